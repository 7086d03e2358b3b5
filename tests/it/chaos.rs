//! Faults on purpose: each does what it says, and nothing else.

mod crash_next;

use std::time::Duration;

use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use undying::{
    AnyServerRef, CallError, Callback, ExitReason, ServerRef, ServerSpec, Status,
    chaos::Fault::{self, BlockWorker, CrashNext, KillKeeper, KillSupervisor, KillWorker, StallKeeper},
};

use crate::{
    crash::{
        script::{Script, add, ask, crash, get, inc, serves, soon, start, stop, tell},
        tape::{Event, rest, tape},
    },
    effects::{held, tasks},
    support::{RACES, quiet, until},
};

const SECOND: Duration = Duration::from_secs(1);

/// A counter from 0 with three listeners.
async fn threefold() -> (ServerRef<Script<u64>>, [UnboundedReceiver<Event<u64>>; 3]) {
    let (tapes, events): (Vec<_>, Vec<_>) = (0..3).map(|_| tape()).unzip();
    let spec = tapes.into_iter().fold(ServerSpec::new(Script::new(), 0), ServerSpec::listener);
    let server = spec.max_restarts(u32::MAX, SECOND).start().await.expect("it starts");
    (server, events.try_into().expect("three"))
}

/// Shows that each listener heard every change up to `last`, and the end, once and last.
async fn all_heard(events: [UnboundedReceiver<Event<u64>>; 3], last: u64) {
    for events in events {
        let events = rest(events).await;
        let changes = events.iter().filter_map(|event| match event {
            Event::Changed { old, new, lagged: 0, .. } => Some((*old, *new)),
            _ => None,
        });
        assert!(changes.eq((1..=last).map(|n| (n - 1, n))), "{events:?}");
        let ends = events.iter().filter(|event| matches!(event, Event::Terminated { .. }));
        assert_eq!(ends.count(), 1, "{events:?}");
        assert!(matches!(events.last(), Some(Event::Terminated { .. })), "{events:?}");
    }
}

both! {
    /// KF6 KF4: keepers are killed a hundred times under load, and each of three listeners hears everything in order.
    async fn killed_keepers_of_several_listeners_lose_nothing() {
        let (server, events) = threefold().await;
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
            if kill % 10 == 0 {
                server.chaos().kill_keeper();
            }
        }
        soon(load).await.expect("every update was acknowledged");
        assert_eq!(server.incarnation(), 1);
        stop(&server).await;
        drop(server);
        all_heard(events, 2_000).await;
    }

    /// KF2 KF4: keepers and workers are killed in turn, while changes are told, and the end comes as ever.
    async fn keepers_and_workers_killed_in_turn_lose_nothing() {
        for _ in 0..RACES / 10 {
            let (server, events) = threefold().await;
            for n in 1..=20 {
                assert_eq!(ask(&server, add).await, n);
                match n % 3 {
                    0 => server.chaos().kill_keeper(),
                    1 => server.chaos().kill_worker(),
                    _ => {}
                }
            }
            server.chaos().kill_keeper();
            stop(&server).await;
            drop(server);
            all_heard(events, 20).await;
        }
    }

    /// KF7 LI6: where the supervisor is killed, each listener is told of the end once, also if its keeper was killed with it.
    async fn a_killed_supervisor_tells_each_listener_of_the_end() {
        for round in 0..RACES {
            let (server, events) = threefold().await;
            assert_eq!(ask(&server, add).await, 1);
            if round % 2 == 0 {
                server.chaos().kill_keeper();
            }
            server.chaos().kill_supervisor();
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
            drop((exit, server));
            all_heard(events, 1).await;
        }
    }

    /// LI10 KF4: a keeper that is killed while the end waits for its listener does not cut that short.
    async fn a_keeper_killed_during_the_end_does_not_cut_it_short() {
        let (listener, mut rein) = crate::listener::held::held();
        let server = ServerSpec::new(Script::new(), 0_u64).listener(listener).start().await.expect("it starts");
        assert_eq!(rein.next().await, crate::listener::held::Heard::Started(0));
        assert_eq!(ask(&server, add).await, 1);
        let stopping = tokio::spawn({
            let server = server.clone();
            async move { stop(&server).await }
        });
        until("it is about to end", || server.try_cast(inc()).is_err()).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        server.chaos().kill_keeper();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!stopping.is_finished(), "the listener has not heard the rest yet");
        drop(rein);
        soon(stopping).await.expect("joined");
    }

    /// CH3: `inflict` does what the methods do, by a handle with a type and by one without.
    async fn faults_are_values() {
        for round in 0..2 {
            let server = start(0_u64).await;
            let any = AnyServerRef::from(&server);
            let inflict = |fault| if round == 0 { server.chaos().inflict(fault) } else { any.inflict(fault) };
            assert_eq!(ask(&server, add).await, 1);
            inflict(KillWorker);
            serves(&server, 2).await;
            inflict(KillKeeper);
            inflict(StallKeeper(Duration::ZERO));
            inflict(CrashNext(Callback::Call));
            let answer = soon(server.call(add)).await;
            assert!(matches!(answer, Err(CallError::Crashed(_))), "{answer:?}");
            let begin = Instant::now();
            inflict(BlockWorker(Duration::from_millis(5)));
            assert_eq!(ask(&server, add).await, 2);
            assert!(begin.elapsed() >= Duration::from_millis(5));
            assert_eq!(any.statistics().crashes, 2);
            inflict(KillSupervisor);
            assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Killed));
        }
    }

    /// CH3: faults that are done to a server that is over do nothing, and hold nobody up.
    async fn faults_to_a_server_that_is_over_do_nothing() {
        let server = start(3_u64).await;
        stop(&server).await;
        let memory = server.downgrade();
        for fault in [
            KillWorker, KillKeeper, KillSupervisor, StallKeeper(60 * SECOND), CrashNext(Callback::Call),
            BlockWorker(60 * SECOND),
        ] {
            server.chaos().inflict(fault);
            AnyServerRef::from(&server).inflict(fault);
        }
        assert_eq!((server.status(), *server.peek()), (Status::Terminated, 3));
        drop(server);
        until("it is freed", || memory.upgrade().is_none()).await;
    }

    /// CH2: a worker is blocked between callbacks, not in one, and a suspended one, too; what is queued is served afterwards.
    async fn a_blocked_worker_goes_on() {
        let server = start(0_u64).await;
        let gate = held(&server).await;
        let begin = Instant::now();
        server.chaos().block_worker(Duration::from_millis(10));
        let late = server.call(add).no_timeout().into_future();
        gate.open();
        assert_eq!(soon(late).await.expect("an answer"), 1);
        assert!(begin.elapsed() >= Duration::from_millis(10));
        soon(server.sys().suspend()).await.expect("suspended");
        let begin = Instant::now();
        server.chaos().block_worker(Duration::from_millis(10));
        soon(server.sys().replace(|state| *state = 5)).await.expect("replaced");
        assert!(begin.elapsed() >= Duration::from_millis(10));
        assert_eq!((server.incarnation(), server.status()), (1, Status::Suspended));
    }
}

/// CH2 CR9: a worker that is killed while it blocks is left behind as a zombie, and a successor serves meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_blocked_worker_that_is_killed_is_a_zombie() {
    quiet();
    let (tape, events) = tape();
    let server = ServerSpec::new(Script::new(), 0_u64)
        .kill_grace(Duration::from_millis(10))
        .listener(tape)
        .start()
        .await
        .expect("it starts");
    assert_eq!(ask(&server, add).await, 1);
    let (block, before) = (2 * SECOND, tasks());
    let begin = Instant::now();
    server.chaos().block_worker(block);
    let any = AnyServerRef::from(&server);
    // A worker that is killed before it blocks leaves that to the next one.
    let mut incarnation = 1;
    while any.statistics().zombies == 0 {
        server.kill_worker();
        incarnation += 1;
        serves(&server, incarnation).await;
    }
    assert_eq!(ask(&server, add).await, 2);
    assert!(begin.elapsed() < block, "it was served by the one that was blocked");
    until("the zombie wakes up and is gone", || tasks() == before).await;
    assert_eq!((ask(&server, get).await, any.statistics().zombies), (2, 1));
    stop(&server).await;
    drop((server, any));
    let events = rest(events).await;
    let abandoned: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Crashed { report, abandoned: true, state } => Some((report.callback(), *state)),
            _ => None,
        })
        .collect();
    assert_eq!(abandoned, [(Callback::System, 1)]);
}

/// CH1 KF3: a stalled keeper stalls all listeners, for so long, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_stalled_keeper_stalls_listeners_only() {
    quiet();
    let (server, mut events) = threefold().await;
    for events in &mut events {
        assert!(matches!(soon(events.recv()).await, Some(Event::Started)));
    }
    server.chaos().stall_keeper(10 * SECOND);
    for n in 1..=50 {
        assert_eq!(ask(&server, add).await, n);
    }
    crash(&server).await;
    assert_eq!((ask(&server, get).await, server.incarnation()), (50, 2));
    let mut watch = server.watch();
    assert_eq!(soon(watch.next()).await.map(|kept| *kept), Some(50));
    tokio::time::sleep(9 * SECOND).await;
    assert!(events.iter().all(UnboundedReceiver::is_empty));
    tokio::time::sleep(2 * SECOND).await;
    assert!(events.iter().all(|events| events.len() == 52), "{events:?}");
    stop(&server).await;
    drop((server, watch));
    all_heard(events, 50).await;
}

/// CH1 LI10: a keeper that is stalled for longer than the end waits for it tells the rest afterwards.
#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever_for_a_stalled_keeper() {
    quiet();
    let (server, events) = threefold().await;
    assert_eq!(ask(&server, add).await, 1);
    server.chaos().stall_keeper(60 * SECOND);
    // The keepers are asleep before there is an end to tell.
    tokio::time::sleep(SECOND).await;
    let begin = Instant::now();
    tell(&server, inc()).await;
    let exit = server.stop().timeout(60 * SECOND).await.expect("it stops");
    assert_eq!((*exit.state, begin.elapsed().as_secs()), (2, 5));
    drop((exit, server));
    all_heard(events, 2).await;
    assert!(begin.elapsed() >= 58 * SECOND);
}

/// CH3: what a fault is can be read.
#[test]
fn faults_can_be_read() {
    let read = |fault: Fault| fault.to_string();
    assert_eq!(read(KillWorker), "kill the worker");
    assert_eq!(read(KillKeeper), "kill the keeper");
    assert_eq!(read(KillSupervisor), "kill the supervisor");
    assert_eq!(read(StallKeeper(SECOND)), "stall the keeper for 1s");
    assert_eq!(read(CrashNext(Callback::Call)), format!("crash the next {}", Callback::Call));
    assert_eq!(read(BlockWorker(SECOND)), "block the worker for 1s");
}
