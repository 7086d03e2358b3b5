//! Looking into a server and changing it from outside: the requests of OTP's `sys` module.

mod hooks;
mod limits;
mod status;
mod suspend;
mod upgrade;

use std::time::Duration;

use futures::poll;
use undying::{Callback, CrashKind, Next, Reply, ServerRef, ServerSpec, StateMut, StatusReport, SysError};

use crate::{
    crash::{
        script::{
            Job, Script, add, ask, get, inc, job, look, serves, slow, soon, start, statistics, stop, tell,
        },
        tape::{Event, rest, tape},
    },
    support::{Gate, inject, quiet},
};

/// Notes a number.
fn note(number: u64) -> Job<Vec<u64>> {
    job(move |log: &mut Vec<u64>| {
        log.push(number);
        Ok(Next::Wait)
    })
}

/// Adds one, and then waits at the gate.
fn add_and_hold(gate: &Gate) -> Job<u64> {
    let gate = gate.clone();
    slow(move |mut state: StateMut<'_, Script<u64>>, _| {
        Box::pin(async move {
            *state += 1;
            gate.pass().await;
            Ok(Next::Wait)
        })
    })
}

/// The state as the worker has it.
async fn state(server: &ServerRef<Script<u64>>) -> u64 {
    *soon(server.sys().state()).await.expect("a server")
}

/// What the server says of itself.
async fn status(server: &ServerRef<Script<u64>>) -> StatusReport {
    soon(server.sys().status()).await.expect("a server")
}

both! {
    /// IS1: the state that is told is that after the callback that is running.
    async fn the_state_is_told_after_the_running_callback() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        tell(&server, add_and_hold(&gate)).await;
        soon(gate.arrived()).await;
        let sys = server.sys();
        let mut asked = Box::pin(sys.state());
        assert!(poll!(&mut asked).is_pending());
        assert_eq!(*server.peek(), 0);
        gate.open();
        let state = soon(asked).await.expect("a server");
        assert_eq!((*state, state.version(), state.incarnation()), (1, 1, 1));
    }

    /// IS1 K10: a question about the state does not wait behind what is queued.
    async fn the_state_is_told_before_queued_messages() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        tell(&server, add_and_hold(&gate)).await;
        soon(gate.arrived()).await;
        for _ in 0..100 {
            tell(&server, inc()).await;
        }
        let sys = server.sys();
        let mut asked = Box::pin(sys.state());
        assert!(poll!(&mut asked).is_pending());
        gate.open();
        assert_eq!(*soon(asked).await.expect("a server"), 1);
        assert_eq!(ask(&server, get).await, 101);
    }

    /// IS1: a question that comes while there is no worker is answered by the next incarnation, from the state that
    /// was kept.
    async fn the_state_is_told_after_a_crash() {
        let (server, gate) = (start(7_u64).await, Gate::new());
        tell(&server, add_and_hold(&gate)).await;
        soon(gate.arrived()).await;
        let sys = server.sys();
        let mut asked = Box::pin(sys.state());
        assert!(poll!(&mut asked).is_pending());
        server.kill_worker();
        let state = soon(asked).await.expect("a server");
        assert_eq!(*state, 7);
    }

    /// IS1: asking for the state costs nothing that shows: no commit, no message, no answer.
    async fn a_question_about_the_state_changes_nothing() {
        let server = start(0_u64).await;
        ask(&server, add).await;
        let before = statistics(&server).await;
        for _ in 0..10 {
            assert_eq!(state(&server).await, 1);
        }
        assert_eq!(statistics(&server).await, before);
        assert_eq!(server.peek().version(), 1);
    }

    /// IS2: a replaced state is live, committed, told to listeners as a change by the system, and survives a kill.
    async fn a_replaced_state_is_live_and_kept() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 1_u64).listener(tape).start().await.expect("it starts");
        ask(&server, add).await;
        soon(server.sys().replace(|state| *state *= 50)).await.expect("a server");
        assert_eq!((*server.peek(), server.peek().version()), (100, 2));
        assert_eq!(ask(&server, get).await, 100);
        server.kill_worker();
        serves(&server, 2).await;
        assert_eq!((ask(&server, get).await, state(&server).await), (100, 100));
        stop(&server).await;
        drop(server);
        let changes: Vec<_> = rest(events)
            .await
            .into_iter()
            .filter_map(|event| match event {
                Event::Changed { old, new, version, callback, .. } => Some((old, new, version, callback)),
                _ => None,
            })
            .collect();
        assert_eq!(changes, [(1, 2, 1, Callback::Call), (2, 100, 2, Callback::System)]);
    }

    /// IS2 K10: a replacement happens between two callbacks, and before what is queued.
    async fn a_state_is_replaced_between_two_callbacks() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        tell(&server, add_and_hold(&gate)).await;
        soon(gate.arrived()).await;
        tell(&server, inc()).await;
        let sys = server.sys();
        let mut replaced = Box::pin(sys.replace(|state| *state = *state * 10 + 5));
        assert!(poll!(&mut replaced).is_pending());
        gate.open();
        soon(replaced).await.expect("a server");
        assert_eq!(ask(&server, get).await, 16);
        assert_eq!(server.incarnation(), 1);
    }

    /// IS3: a replacement that panics is told so, and changes nothing, not even what it has changed before it
    /// panicked; the server has not crashed.
    async fn a_replacement_that_panics_changes_nothing() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 1_u64).listener(tape).start().await.expect("it starts");
        ask(&server, add).await;
        let torn = |state: &mut u64| {
            *state = 99;
            panic!("test: torn");
        };
        match soon(server.sys().replace(torn)).await {
            Err(SysError::Crashed(report)) => {
                assert_eq!(report.message(), "test: torn");
                assert_eq!((report.callback(), report.kind()), (Callback::System, CrashKind::Panic));
                assert_eq!((report.incarnation(), report.version()), (1, 1));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((*server.peek(), state(&server).await, ask(&server, add).await), (2, 2, 3));
        assert_eq!((statistics(&server).await.crashes, server.incarnation()), (0, 1));
        stop(&server).await;
        drop(server);
        for event in rest(events).await {
            assert!(!matches!(event, Event::Crashed { .. }), "{event:?}");
        }
    }

    /// IS3: a state whose copy panics cannot be replaced; the server goes on with the one it has.
    async fn a_replacement_whose_copy_panics_changes_nothing() {
        /// Cannot be cloned when it is negative.
        struct Fragile(i64);

        impl Clone for Fragile {
            fn clone(&self) -> Self {
                if self.0 < 0 { inject() } else { Self(self.0) }
            }
        }

        let server = start(Fragile(5)).await;
        let refused = soon(server.sys().replace(|state| state.0 = -1)).await;
        let Err(SysError::Crashed(report)) = refused else { panic!("{refused:?}") };
        assert_eq!((report.callback(), report.kind()), (Callback::System, CrashKind::Panic));
        assert_eq!((server.peek().0, server.peek().version(), server.incarnation()), (5, 0, 1));
        let value = ask(&server, |reply| look(move |state: &Fragile| {
            reply.send(state.0);
            Ok(Next::Wait)
        }))
        .await;
        assert_eq!(value, 5);
    }

}

/// TO4: an idle timeout is not cancelled by any request of the system, and is not late for it.
#[tokio::test(start_paused = true)]
async fn system_requests_do_not_cancel_a_timeout() {
    quiet();
    let script = Script::new().on_timeout(|state: &mut u64| {
        *state += 100;
        Ok(Next::Wait)
    });
    let server = ServerSpec::new(script, 0).start().await.expect("it starts");
    let idle = |_: &u64| Ok(Next::Timeout(Duration::from_secs(1)));
    ask(&server, |reply: Reply<()>| {
        look(move |state| {
            reply.send(());
            idle(state)
        })
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sys = server.sys();
    assert_eq!(*sys.state().await.expect("a server"), 0);
    sys.replace(|state| *state += 1).await.expect("a server");
    sys.suspend().await.expect("a server");
    sys.resume().await.expect("a server");
    sys.status().await.expect("a server");
    assert!(sys.install("none", |_| {}).await.expect("a server"));
    sys.upgrade(Script::new, |_| Err(undying::Crash::msg("test: not now"))).await.expect_err("it failed");
    tokio::time::sleep(Duration::from_millis(499)).await;
    assert_eq!(*server.peek(), 1);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(*server.peek(), 101);
}
