//! Crashes and restarts: what is rolled back, what is kept, and who is told.

mod hostile;
pub(crate) mod script;
pub(crate) mod tape;
mod zombie;

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use tokio::sync::oneshot;
use undying::{CallError, Callback, CrashKind, ExitReason, Next, ServerRef, ServerSpec, StateMut, Status};

use crate::support::{Gate, RACES, inject};
use script::{
    Job, Script, add, ask, asked, boom, crash, get, inc, job, look, serves, set, slow, soon, start,
    statistics, tell, wait_at,
};
use tape::{Event, rest, tape};

/// Has `callback` change the state and panic, and shows that only the incarnation is another one afterwards.
async fn crash_in(callback: Callback) {
    let script = Script::new().on_timeout(|state| {
        *state = 99_u64;
        inject()
    });
    let (tape, mut events) = tape();
    let server = ServerSpec::new(script, 0).listener(tape).start().await.expect("it starts");
    tell(&server, set(7)).await;
    let half = job(|state| {
        *state = 99;
        inject()
    });
    match callback {
        Callback::Call => {
            let lost = server.call(asked(half)).await;
            assert!(matches!(lost, Err(CallError::Crashed(_))), "{lost:?}");
        }
        Callback::Cast => tell(&server, half).await,
        Callback::Info => server.send(half).await.expect("a server"),
        Callback::Continue => {
            let next = look(|_| Ok(Next::Continue(half)));
            tell(&server, next).await;
        }
        Callback::Timeout => {
            let idle = look(|_| Ok(Next::Timeout(Duration::ZERO)));
            tell(&server, idle).await;
        }
        other => panic!("{other:?} has no message"),
    }
    serves(&server, 2).await;
    assert_eq!(ask(&server, get).await, 7);
    assert_eq!(server.incarnation(), 2);
    assert_eq!(server.peek().version(), 1);
    let report = loop {
        if let Some(Event::Crashed { report, .. }) = soon(events.recv()).await {
            break report;
        }
    };
    assert_eq!(report.callback(), callback);
    assert_eq!(report.kind(), CrashKind::Panic);
}

/// A server whose state is 1, the callback that waits for ever in the middle of changing it, and the kill of that.
async fn killed_at_an_await() -> ServerRef<Script<(u64, u64)>> {
    let server = start((0_u64, 0_u64)).await;
    tell(&server, set((1, 1))).await;
    let (signal, told) = oneshot::channel();
    let half = slow(|mut state: StateMut<'_, Script<(u64, u64)>>, _| {
        Box::pin(async move {
            state.0 = 2;
            signal.send(()).expect("the test waits for it");
            pending::<()>().await;
            state.1 = 2;
            Ok(Next::Wait)
        })
    });
    tell(&server, half).await;
    soon(told).await.expect("told");
    server.kill_worker();
    serves(&server, 2).await;
    server
}

both! {
    /// CR1: a panic in handle_call rolls the state back to the last commit.
    async fn a_panic_in_a_call_is_rolled_back() {
        crash_in(Callback::Call).await;
    }

    /// CR1: a panic in handle_cast rolls the state back to the last commit.
    async fn a_panic_in_a_cast_is_rolled_back() {
        crash_in(Callback::Cast).await;
    }

    /// CR1: a panic in handle_info rolls the state back to the last commit.
    async fn a_panic_in_an_info_is_rolled_back() {
        crash_in(Callback::Info).await;
    }

    /// CR1: a panic in handle_continue rolls the state back to the last commit.
    async fn a_panic_in_a_continue_is_rolled_back() {
        crash_in(Callback::Continue).await;
    }

    /// CR1: a panic in handle_timeout rolls the state back to the last commit.
    async fn a_panic_in_a_timeout_is_rolled_back() {
        crash_in(Callback::Timeout).await;
    }

    /// CR2: the kill of an idle worker loses nothing.
    async fn an_idle_worker_can_be_killed_without_loss() {
        for _ in 0..RACES {
            let server = start(0_u64).await;
            assert_eq!(ask(&server, add).await, 1);
            server.kill_worker();
            serves(&server, 2).await;
            assert_eq!(ask(&server, get).await, 1);
        }
    }

    /// CR2 CR4: a worker killed at an await of a callback goes back to the state before that callback.
    async fn a_callback_killed_at_an_await_is_rolled_back() {
        for _ in 0..RACES {
            let server = killed_at_an_await().await;
            assert_eq!(ask(&server, get).await, (1, 1));
            assert_eq!(server.peek().version(), 1);
        }
    }

    /// CR3: a callback that panics between two changes leaves neither.
    async fn a_half_done_change_is_not_visible() {
        let server = start((0_u64, 0_u64)).await;
        let half = |state: &mut (u64, u64)| {
            state.0 = 1;
            if state.1 == 0 {
                panic!("test: between a and b");
            }
            state.1 = 1;
            Ok(Next::Wait)
        };
        tell(&server, job(half)).await;
        assert_eq!(ask(&server, get).await, (0, 0));
        assert_eq!(*server.peek(), (0, 0));
        assert_eq!(server.incarnation(), 2);
    }

    /// CR5: the messages queued behind a crash are all handled, in their order.
    async fn messages_queued_behind_a_crash_are_handled_in_order() {
        for _ in 0..RACES {
            let server = start(Vec::new()).await;
            let gate = Gate::new();
            tell(&server, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            tell(&server, boom()).await;
            for n in 0..10_u64 {
                let push = job(move |state: &mut Vec<u64>| {
                    state.push(n);
                    Ok(Next::Wait)
                });
                if n % 2 == 0 {
                    tell(&server, push).await;
                } else {
                    server.send(push).await.expect("a server");
                }
            }
            assert_eq!(server.mailbox_len(), 11);
            gate.open();
            assert_eq!(ask(&server, get).await, (0..10).collect::<Vec<_>>());
            assert_eq!(server.incarnation(), 2);
        }
    }

    /// CR6: the message whose callback crashed is not handled again, whether it panicked or was killed.
    async fn a_crashing_message_is_not_redelivered() {
        let server = start(0_u64).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let crashing: Job<u64> = look(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            inject()
        });
        tell(&server, crashing).await;
        serves(&server, 2).await;
        let gate = Gate::new();
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        server.kill_worker();
        serves(&server, 3).await;
        // Answered without the gate having been opened: the killed message is not in the way either.
        assert_eq!(ask(&server, add).await, 1);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let statistics = statistics(&server).await;
        assert_eq!(statistics.messages_in, 3);
        assert_eq!((statistics.crashes, server.incarnation()), (2, 3));
    }

    /// CR8: handles taken before outlive fifty killed workers, and no increment is lost.
    async fn handles_work_across_many_restarts() {
        let server = start(0_u64).await;
        let (clone, weak) = (server.clone(), server.downgrade());
        for cycle in 0..50 {
            assert_eq!(ask(&clone, add).await, cycle + 1);
            server.kill_worker();
            let upgraded = weak.upgrade().expect("alive");
            serves(&upgraded, cycle + 2).await;
        }
        assert_eq!(ask(&clone, get).await, 50);
        assert_eq!(server.id(), clone.id());
        let statistics = statistics(&server).await;
        assert_eq!((statistics.crashes, statistics.restarts), (50, 50));
    }

    /// CR8: with the kill racing the call, what was acknowledged is in the state, and what crashed is not.
    async fn a_kill_racing_a_call_loses_nothing_acknowledged() {
        let server = start(0_u64).await;
        let mut acknowledged = 0;
        for _ in 0..RACES {
            server.kill_worker();
            match soon(server.call(add)).await {
                Ok(sum) => {
                    acknowledged += 1;
                    assert_eq!(sum, acknowledged);
                }
                Err(CallError::Crashed(report)) => assert_eq!(report.kind(), CrashKind::Kill),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(ask(&server, get).await, acknowledged);
    }

    /// CR13: a `restarted` hook that always panics uses up the budget and ends the server with its panic.
    async fn a_hook_that_always_panics_is_charged_each_time() {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let script = Script::new().on_restarted(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("test: cannot come back")
        });
        let server = ServerSpec::new(script, 3_u64)
            .max_restarts(3, Duration::from_secs(60))
            .start()
            .await
            .expect("it starts");
        crash(&server).await;
        let exit = soon(server.stopped()).await;
        match exit.reason {
            ExitReason::RestartLimit(report) => {
                assert_eq!(report.message(), "test: cannot come back");
                assert_eq!(report.callback(), Callback::Restarted);
            }
            other => panic!("{other}"),
        }
        assert_eq!(*exit.state, 3);
        assert_eq!(attempts.load(Ordering::SeqCst), 3);
    }

    /// CR14: while a restart takes its time, everything that needs no worker answers.
    async fn a_slow_restart_does_not_keep_questions_waiting() {
        let gate = Gate::new();
        let slow_hook = gate.clone();
        let script = Script::new().on_restarted(move |_, _| {
            let gate = slow_hook.clone();
            Box::pin(async move {
                gate.pass().await;
                Ok(Next::Wait)
            })
        });
        let server = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
        assert_eq!(server.status(), Status::Running);
        ask(&server, add).await;
        server.kill_worker();
        soon(gate.arrived()).await;
        assert_eq!(server.status(), Status::Restarting);
        assert_eq!((*server.peek(), server.incarnation(), server.is_alive()), (1, 1, true));
        assert_eq!(statistics(&server).await.crashes, 1);
        tell(&server, inc()).await;
        assert_eq!(server.mailbox_len(), 1);
        gate.open();
        assert_eq!(ask(&server, get).await, 2);
        assert_eq!(server.status(), Status::Running);
    }

    /// CR15: a crash is reported once, with what is known about it; orderly ends are not reported as crashes.
    async fn a_crash_is_reported_once_with_its_circumstances() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64).listener(tape).start().await.expect("it starts");
        ask(&server, add).await;
        let lost = server.call(asked(look(|_| panic!("test: on record")))).await;
        let Err(CallError::Crashed(told)) = lost else { panic!("{lost:?}") };
        let orderly = ExitReason::ShutdownWith("done".into());
        soon(server.stop_with(orderly)).await.expect("a server");
        drop(server);
        let reports: Vec<_> = rest(events)
            .await
            .into_iter()
            .filter_map(|event| match event {
                Event::Crashed { report, state, abandoned } => Some((report, state, abandoned)),
                _ => None,
            })
            .collect();
        assert_eq!(reports.len(), 1, "{reports:?}");
        let (report, state, abandoned) = &reports[0];
        assert_eq!((*state, *abandoned), (1, false));
        for report in [&told, report] {
            assert_eq!(report.message(), "test: on record");
            assert_eq!((report.callback(), report.kind()), (Callback::Call, CrashKind::Panic));
            assert_eq!((report.incarnation(), report.version()), (1, 1));
        }
    }

    /// CR16: a thousand other servers come and go, and this one does not crash.
    async fn unrelated_servers_do_not_disturb_one_another() {
        let server = start(0_u64).await;
        for batch in 0..10 {
            let others = join_all((0..100).map(|_| async {
                let other = start(HashMap::from([(0_u64, 0_u64)])).await;
                other.stop().await.map(|exit| exit.reason)
            }));
            let calls = async {
                for n in 0..100 {
                    assert_eq!(ask(&server, add).await, batch * 100 + n + 1);
                }
            };
            let (ends, ()) = soon(async { tokio::join!(others, calls) }).await;
            assert!(ends.iter().all(|end| matches!(end, Ok(ExitReason::Normal))), "{ends:?}");
        }
        assert_eq!(statistics(&server).await.crashes, 0);
        assert_eq!(server.incarnation(), 1);
    }
}
