//! Faults on purpose: a keeper killed, stalled, or left without its supervisor.

use std::time::Duration;

use tokio::{runtime::Handle, sync::mpsc::UnboundedReceiver, task::yield_now};
use undying::{CallError, ExitReason, Next, Registry, ServerRef, ServerSpec, WhereisError};

use crate::{
    crash::{
        script::{
            Script, add, ask, asked, crash, get, inc, serves, slow, soon, start, statistics, stop, tell,
        },
        tape::{Event, rest, tape},
    },
    support::{Gate, RACES, until},
};

/// A server from 0 with a tape, so that its keeper has work.
async fn taped() -> (ServerRef<Script<u64>>, UnboundedReceiver<Event<u64>>) {
    let (tape, events) = tape();
    let server = ServerSpec::new(Script::new(), 0).listener(tape).start().await.expect("it starts");
    (server, events)
}

/// Stops `server` and shows that its listener heard each change up to `last` once, and the end.
async fn heard_all(server: ServerRef<Script<u64>>, events: UnboundedReceiver<Event<u64>>, last: u64) {
    let exit = stop(&server).await;
    assert_eq!(*exit.state, last);
    drop((exit, server));
    let events = rest(events).await;
    let changes = events.iter().filter_map(|event| match event {
        Event::Changed { old, new, .. } => Some((*old, *new)),
        _ => None,
    });
    assert!(changes.eq((1..=last).map(|n| (n - 1, n))), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Terminated { .. })), "{events:?}");
}

both! {
    /// KF1: a killed keeper and no further message, then a killed worker: the state is kept, a hundred times.
    async fn a_worker_killed_after_its_keeper_keeps_the_state() {
        for _ in 0..100 {
            let (server, events) = taped().await;
            assert_eq!(ask(&server, add).await, 1);
            server.chaos().kill_keeper();
            for _ in 0..10 {
                yield_now().await;
            }
            server.kill_worker();
            serves(&server, 2).await;
            assert_eq!(ask(&server, get).await, 1);
            heard_all(server, events, 1).await;
        }
    }

    /// KF2: keeper and worker killed at once, in either order: the last committed state is kept, fifty times.
    async fn keeper_and_worker_killed_at_once_keep_the_state() {
        for round in 0..50 {
            let (server, events) = taped().await;
            for n in 1..=5 {
                assert_eq!(ask(&server, add).await, n);
            }
            if round % 2 == 0 {
                server.chaos().kill_keeper();
                server.chaos().kill_worker();
            } else {
                server.chaos().kill_worker();
                server.chaos().kill_keeper();
            }
            serves(&server, 2).await;
            assert_eq!(ask(&server, get).await, 5);
            heard_all(server, events, 5).await;
        }
    }

    /// KF3: fifty updates acknowledged while the keeper is stalled are fifty after a crash.
    async fn updates_acknowledged_under_a_stalled_keeper_are_kept() {
        let (server, _events) = taped().await;
        server.chaos().stall_keeper(Duration::from_secs(3_600));
        for n in 1..=50 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 50);
        server.kill_worker();
        serves(&server, 3).await;
        assert_eq!(ask(&server, get).await, 50);
    }

    /// KF4: the keeper killed while a handler runs: the handler ends, commits, and is heard of.
    async fn a_keeper_killed_inside_a_handler_loses_nothing() {
        for _ in 0..RACES {
            let (server, events) = taped().await;
            let gate = Gate::new();
            let at = gate.clone();
            let slowly = slow(move |mut state: undying::StateMut<'_, Script<u64>>, _| Box::pin(async move {
                *state += 1;
                at.pass().await;
                Ok(Next::Wait)
            }));
            tell(&server, slowly).await;
            soon(gate.arrived()).await;
            server.chaos().kill_keeper();
            gate.open();
            assert_eq!(ask(&server, add).await, 2);
            assert_eq!(server.incarnation(), 1);
            heard_all(server, events, 2).await;
        }
    }

    /// KF4: the keeper killed during a restart: the restart goes on, and nothing is lost.
    async fn a_keeper_killed_during_a_restart_loses_nothing() {
        for _ in 0..RACES {
            let gate = Gate::new();
            let at = gate.clone();
            let script = Script::new().on_restarted(move |_, _| {
                let gate = at.clone();
                Box::pin(async move {
                    gate.pass().await;
                    Ok(Next::Wait)
                })
            });
            let (tape, events) = tape();
            let server = ServerSpec::new(script, 0).listener(tape).start().await.expect("it starts");
            assert_eq!(ask(&server, add).await, 1);
            crash(&server).await;
            soon(gate.arrived()).await;
            server.chaos().kill_keeper();
            gate.open();
            assert_eq!(ask(&server, add).await, 2);
            assert_eq!(server.incarnation(), 2);
            heard_all(server, events, 2).await;
        }
    }

    /// KF4: the keeper killed just before the end: what it had yet to tell, and the end, are told.
    async fn a_keeper_killed_before_the_end_loses_nothing() {
        for _ in 0..RACES {
            let (server, events) = taped().await;
            assert_eq!(ask(&server, add).await, 1);
            server.chaos().kill_keeper();
            heard_all(server, events, 1).await;
        }
    }

    /// KF6: a hundred killed keepers under load lose no update and no event, and are not charged to the worker.
    async fn killed_keepers_are_not_charged_to_the_worker() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .max_restarts(0, Duration::from_secs(3_600))
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        let load = tokio::spawn({
            let server = server.clone();
            async move {
                for n in 1..=2_000 {
                    assert_eq!(ask(&server, add).await, n);
                }
            }
        });
        for kill in 0..100 {
            until("there was some load", || *server.peek() >= kill * 20).await;
            server.chaos().kill_keeper();
        }
        soon(load).await.expect("every update was acknowledged");
        assert_eq!(ask(&server, get).await, 2_000);
        assert_eq!((server.incarnation(), statistics(&server).await.crashes), (1, 0));
        heard_all(server, events, 2_000).await;
    }

    /// KF7: the death of the supervisor is the end: callers are told, the name is free, `terminated` is heard, nothing is left.
    async fn the_death_of_the_supervisor_is_the_end() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let baseline = tasks();
        let names = Registry::new();
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .name_in(&names, "doomed")
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        let gate = Gate::new();
        let at = gate.clone();
        let half = slow(move |mut state: undying::StateMut<'_, Script<u64>>, _| Box::pin(async move {
            *state = 99;
            at.pass().await;
            Ok(Next::Wait)
        }));
        let call = |message| {
            let server = server.clone();
            tokio::spawn(async move { server.call(asked(message)).no_timeout().await })
        };
        let in_hand = call(half);
        soon(gate.arrived()).await;
        let queued = call(inc());
        until("the second call is queued", || server.mailbox_len() == 1).await;
        server.chaos().kill_supervisor();
        for caller in [in_hand, queued] {
            let answer = soon(caller).await.expect("joined");
            assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        }
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
        assert_eq!(*exit.state, 1);
        let late = soon(server.call(get)).await;
        assert!(matches!(late, Err(CallError::NoProc)), "{late:?}");
        assert!(matches!(names.whereis::<Script<u64>>("doomed"), Err(WhereisError::NotFound)));
        drop((exit, server));
        let events = rest(events).await;
        let ends = events.iter().filter(|event| matches!(event, Event::Terminated { .. }));
        assert_eq!(ends.count(), 1, "{events:?}");
        assert!(
            matches!(events.last(), Some(Event::Terminated { reason: ExitReason::Killed, state: 1 })),
            "{events:?}"
        );
        until("worker and keeper are gone", || tasks() == baseline).await;
    }

    /// KF7: with calls racing the death of the supervisor, all are answered and none acknowledged is missing.
    async fn calls_racing_the_death_of_the_supervisor_are_answered() {
        for _ in 0..RACES {
            let server = start(0_u64).await;
            let caller = tokio::spawn({
                let server = server.clone();
                async move {
                    let mut acknowledged = 0;
                    loop {
                        match server.call(add).no_timeout().await {
                            Ok(sum) => acknowledged = sum,
                            Err(end) => return (acknowledged, end),
                        }
                        yield_now().await;
                    }
                }
            });
            until("the caller is at work", || *server.peek() > 0).await;
            server.chaos().kill_supervisor();
            let (acknowledged, end) = soon(caller).await.expect("joined");
            assert!(
                matches!(end, CallError::NoProc | CallError::Stopped(ExitReason::Killed)),
                "{end}"
            );
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
            assert!([acknowledged, acknowledged + 1].contains(&exit.state), "{acknowledged}: {exit:?}");
        }
    }
}

/// KF3: what happens while the keeper is stalled does not pile up: beyond the queue, changes are merged.
#[tokio::test(start_paused = true)]
async fn a_stalled_keeper_does_not_let_a_queue_grow() {
    let (server, mut events) = taped().await;
    assert!(matches!(events.recv().await, Some(Event::Started)));
    let stall = Duration::from_secs(10);
    server.chaos().stall_keeper(stall);
    for _ in 0..20_000 {
        server.cast(inc()).await.expect("a server");
    }
    assert_eq!(server.call(get).await.expect("an answer"), 20_000);
    assert!(events.is_empty(), "it is stalled");
    tokio::time::sleep(stall).await;
    stop(&server).await;
    drop(server);
    let (mut changes, mut swallowed, mut seen) = (0, 0, 0);
    for event in rest(events).await {
        if let Event::Changed { old, new, lagged, .. } = event {
            assert_eq!((old, new), (seen, seen + lagged + 1));
            seen = new;
            changes += 1;
            swallowed += lagged;
        }
    }
    assert_eq!((seen, changes + swallowed), (20_000, 20_000));
    assert!(changes <= 4_100, "{changes} events");
}
