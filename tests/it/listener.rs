//! Listeners: they hear of everything, in order, and can harm only themselves.

mod block;
mod blocking;
mod chains;
mod closures;
mod comparator;
pub(crate) mod held;
mod independence;
#[cfg(feature = "chaos")]
mod keepers;
mod meddling;
mod model;
mod overflow;
mod probe;
mod slow;
mod wall;
mod wants;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::mpsc::UnboundedReceiver};
use undying::{
    Callback, CrashKind, CrashReport, Crashed, ExitReason, Listener, Next, Restarted, ServerRef, ServerSpec,
    Shutdown, Started, StateChanged, Terminated,
};

use crate::{
    crash::{
        script::{
            Script, add, ask, asked, boom, crash, get, inc, job, look, serves, slow, soon, stop, tell,
            wait_at,
        },
        tape::{Event, Tape, rest, tape},
    },
    support::{Gate, inject, until},
};

/// A server from 0 with a tape.
async fn taped() -> (ServerRef<Script<u64>>, UnboundedReceiver<Event<u64>>) {
    let (tape, events) = tape();
    let server = ServerSpec::new(Script::new(), 0).listener(tape).start().await.expect("it starts");
    (server, events)
}

/// Shows that the changes in `events` are one unbroken chain from version 1 to `last`, one a commit.
fn one_a_commit(events: &[Event<u64>], last: u64) {
    let mut seen = 0;
    for event in events {
        if let Event::Changed { old, new, version, lagged, .. } = event {
            assert_eq!((*old, *new, *version), (seen, seen + 1, seen + 1));
            assert_eq!(*lagged, 0);
            seen += 1;
        }
    }
    assert_eq!(seen, last);
}

/// Shows that `terminated` came once and last, and returns what it told.
fn only_end(events: &[Event<u64>]) -> (&ExitReason, u64) {
    let ends = events.iter().filter(|event| matches!(event, Event::Terminated { .. })).count();
    match events.last() {
        Some(Event::Terminated { reason, state }) if ends == 1 => (reason, *state),
        _ => panic!("{events:?}"),
    }
}

/// The crashes among `events`, with the state each was told with.
fn crashes(events: &[Event<u64>]) -> Vec<(&CrashReport, u64)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Crashed { report, state, .. } => Some((report, *state)),
            _ => None,
        })
        .collect()
}

/// A listener that panics in every method, after counting that it was called.
#[derive(Clone, Default)]
struct Hysteric(Arc<AtomicUsize>);

impl Hysteric {
    fn scream(&self) -> ! {
        self.0.fetch_add(1, Ordering::SeqCst);
        inject()
    }
}

impl Listener<Script<u64>> for Hysteric {
    fn started(&self, _: &Started<'_, Script<u64>>) {
        self.scream()
    }
    fn state_changed(&self, _: &StateChanged<'_, Script<u64>>) {
        self.scream()
    }
    fn crashed(&self, _: &Crashed<'_, Script<u64>>) {
        self.scream()
    }
    fn restarted(&self, _: &Restarted<'_, Script<u64>>) {
        self.scream()
    }
    fn terminated(&self, _: &Terminated<'_, Script<u64>>) {
        self.scream()
    }
}

/// A listener that takes longer over some changes than over others.
struct Fickle(Tape<u64>);

impl Listener<Script<u64>> for Fickle {
    fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
        for _ in 0..(change.version * 7 % 13) {
            std::thread::yield_now();
        }
        self.0.state_changed(change);
    }
}

both! {
    /// LI1: two thousand changes are two thousand events in the order of the commits, however long the listener takes over each.
    async fn events_come_in_the_order_of_the_commits_one_each() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Fickle(tape))
            .start()
            .await
            .expect("it starts");
        for _ in 0..2_000 {
            tell(&server, inc()).await;
        }
        stop(&server).await;
        drop(server);
        one_a_commit(&rest(events).await, 2_000);
    }

    /// LI2: the chain of old and new states is unbroken across panics, errors and kills.
    async fn the_chain_of_states_is_unbroken_across_restarts() {
        let (server, events) = taped().await;
        for round in 0..60_u64 {
            for _ in 0..round % 4 {
                tell(&server, inc()).await;
            }
            let half = job(move |state| {
                *state = 999;
                if round % 2 == 0 { inject() } else { Err(undying::Crash::msg("test: given up")) }
            });
            match round % 3 {
                0 => tell(&server, half).await,
                1 => drop(soon(server.call(asked(half))).await),
                _ => {
                    assert_eq!(ask(&server, get).await, *server.peek());
                    server.kill_worker();
                }
            }
            serves(&server, round + 2).await;
        }
        let total = ask(&server, get).await;
        assert_eq!(total, 90);
        stop(&server).await;
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, total);
        assert_eq!(crashes(&events).len(), 60);
        let restarts: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Restarted { incarnation } => Some(*incarnation),
                _ => None,
            })
            .collect();
        assert_eq!(restarts, (2..=61).collect::<Vec<_>>());
    }

    /// LI3: callbacks that only read, and those that crashed, are no changes.
    async fn callbacks_that_change_nothing_are_not_told() {
        let (server, events) = taped().await;
        let nothing = || look(|_: &u64| Ok(Next::Wait));
        for _ in 0..10 {
            tell(&server, nothing()).await;
            server.send(nothing()).await.expect("a server");
            ask(&server, get).await;
            tell(&server, look(|_| Ok(Next::Continue(look(|_| Ok(Next::Timeout(Duration::ZERO))))))).await;
        }
        assert_eq!(server.peek().version(), 0);
        tell(&server, inc()).await;
        tell(&server, boom()).await;
        ask(&server, get).await;
        stop(&server).await;
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, 1);
        assert!(matches!(events.first(), Some(Event::Started)), "{events:?}");
    }

    /// LI5: a listener that panics every time harms neither the server nor what it and the others hear later.
    async fn a_panicking_listener_harms_nobody() {
        let hysteric = Hysteric::default();
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(hysteric.clone())
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        for n in 1..=100 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 100);
        assert_eq!(server.incarnation(), 2);
        let exit = stop(&server).await;
        assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, 100);
        // Started, the changes, the crash, the restart, the end: both heard all of them.
        assert_eq!((events.len(), hysteric.0.load(Ordering::SeqCst)), (104, 104));
    }

    /// LI6: stopped, a server tells its end once, after all its changes, with the final state.
    async fn the_end_by_stop_is_told_once() {
        let (server, events) = taped().await;
        for _ in 0..50 {
            tell(&server, inc()).await;
        }
        stop(&server).await;
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, 50);
        assert!(matches!(only_end(&events), (ExitReason::Normal, 50)));
    }

    /// LI6: shut down by its owner, a server tells its end once, after all its changes, with the final state.
    async fn the_end_by_shutdown_is_told_once() {
        let (server, events) = taped().await;
        for _ in 0..50 {
            tell(&server, inc()).await;
        }
        drop(server.into_guard());
        let events = rest(events).await;
        one_a_commit(&events, 50);
        assert!(matches!(only_end(&events), (ExitReason::Shutdown, 50)));
    }

    /// LI6: killed as a whole, a server tells its end once, after all its changes, with the final state.
    async fn the_end_by_kill_is_told_once() {
        let (server, events) = taped().await;
        for n in 1..=50 {
            assert_eq!(ask(&server, add).await, n);
        }
        let half = slow(|mut state: undying::StateMut<'_, Script<u64>>, cx| Box::pin(async move {
            *state = 99;
            cx.server().kill();
            std::future::pending().await
        }));
        tell(&server, half).await;
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, 50);
        assert!(matches!(only_end(&events), (ExitReason::Killed, 50)));
        assert!(crashes(&events).is_empty(), "{events:?}");
    }

    /// LI6: ended by its restart limit, a server tells its end once, after all its changes, with the final state.
    async fn the_end_by_the_limit_is_told_once() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .max_restarts(0, Duration::from_secs(60))
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        for _ in 0..50 {
            tell(&server, inc()).await;
        }
        tell(&server, boom()).await;
        soon(server.stopped()).await;
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, 50);
        assert!(matches!(only_end(&events), (ExitReason::RestartLimit(_), 50)));
        assert_eq!(crashes(&events).len(), 1);
    }

    /// LI7: the end of an incarnation is told as a crash, with its reason and the kept state, and not as the end of the server.
    async fn the_end_of_an_incarnation_is_not_the_end() {
        let (server, mut events) = taped().await;
        assert_eq!(ask(&server, add).await, 1);
        let half = job(|state| {
            *state = 99;
            panic!("test: in the middle")
        });
        tell(&server, half).await;
        serves(&server, 2).await;
        server.kill_worker();
        serves(&server, 3).await;
        let mut seen = Vec::new();
        while !matches!(seen.last(), Some(Event::Restarted { incarnation: 3 })) {
            seen.push(soon(events.recv()).await.expect("not the end"));
        }
        match &seen[..] {
            [
                Event::Started,
                Event::Changed { old: 0, new: 1, callback: Callback::Call, .. },
                Event::Crashed { report: panicked, state: 1, abandoned: false },
                Event::Restarted { incarnation: 2 },
                Event::Crashed { report: killed, state: 1, abandoned: false },
                Event::Restarted { incarnation: 3 },
            ] => {
                assert_eq!((panicked.message(), panicked.kind()), ("test: in the middle", CrashKind::Panic));
                assert_eq!((killed.callback(), killed.kind()), (Callback::Idle, CrashKind::Kill));
            }
            other => panic!("{other:?}"),
        }
        stop(&server).await;
        drop(server);
        assert_eq!(rest(events).await.len(), 1);
    }

    /// LI10: when `stop` has returned, the listener has heard everything.
    async fn stop_returns_after_the_listener_has_heard_everything() {
        let (server, mut events) = taped().await;
        for _ in 0..1_000 {
            tell(&server, inc()).await;
        }
        stop(&server).await;
        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            seen.push(event);
        }
        one_a_commit(&seen, 1_000);
        assert!(matches!(only_end(&seen), (ExitReason::Normal, 1_000)));
    }

    /// SH2: a server ends from the inside out: the worker, then what the listener has yet to hear, then the rest; nothing is left.
    async fn a_server_ends_from_the_inside_out_and_leaves_nothing() {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let baseline = tasks();
        let order = Arc::new(Mutex::new(Vec::new()));
        let (by_worker, by_listener) = (Arc::clone(&order), Arc::clone(&order));
        let gate = Gate::new();
        struct Order(Arc<Mutex<Vec<String>>>);
        impl Listener<Script<u64>> for Order {
            fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
                self.0.lock().push(format!("changed {}", change.new));
            }
            fn terminated(&self, _: &Terminated<'_, Script<u64>>) {
                self.0.lock().push("terminated".to_owned());
            }
        }
        let script = Script::new().on_terminate(move |_, _| by_worker.lock().push("terminate".to_owned()));
        let server = ServerSpec::new(script, 0_u64)
            .listener(Order(by_listener))
            .shutdown(Shutdown::Infinity)
            .start()
            .await
            .expect("it starts");
        assert!(tasks() > baseline);
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        tell(&server, inc()).await;
        tell(&server, inc()).await;
        gate.open();
        let exit = stop(&server).await;
        assert_eq!(*exit.state, 2);
        let heard = order.lock().clone();
        let position = |what: &str| heard.iter().position(|event| event == what).expect("heard");
        assert!(position("changed 1") < position("changed 2"), "{heard:?}");
        assert!(position("changed 2") < position("terminated"), "{heard:?}");
        assert!(position("terminate") < position("terminated"), "{heard:?}");
        assert_eq!(heard.len(), 4);
        until("no task is left", || tasks() == baseline).await;
        // What the subtree held of the user's is gone with the last handle.
        drop((exit, server));
        until("nothing holds the listener or the server", || Arc::strong_count(&order) == 1).await;
    }
}
