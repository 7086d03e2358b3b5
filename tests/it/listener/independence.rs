//! Several listeners of one server: none of them concerns the others, nor the server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::mpsc::UnboundedReceiver;
use undying::{ExitReason, Overflow, ServerSpec};

use super::{
    crashes, one_a_commit, only_end,
    wall::{Blocking, kind, wall},
};
use crate::{
    crash::{
        script::{Script, add, ask, crash, inc, serves, soon, stop, tell},
        tape::{Event, rest, tape},
    },
    support::{inject, quiet, until},
};

const METHODS: [&str; 5] = ["started", "state_changed", "crashed", "restarted", "terminated"];

/// A spec of a counter from 0 with a tape.
fn taped() -> (ServerSpec<Script<u64>>, UnboundedReceiver<Event<u64>>) {
    let (tape, events) = tape();
    (ServerSpec::new(Script::new(), 0).listener(tape), events)
}

/// Shows that `events` are the whole life of a server that counted to `last`, crashed and was killed `crashed` times
/// altogether, and was stopped.
fn whole_life(events: &[Event<u64>], last: u64, crashed: usize) {
    assert!(matches!(events.first(), Some(Event::Started)), "{events:?}");
    one_a_commit(events, last);
    assert_eq!(crashes(events).len(), crashed);
    let restarts = events.iter().filter(|event| matches!(event, Event::Restarted { .. })).count();
    assert_eq!(restarts, crashed);
    assert!(matches!(only_end(events), (ExitReason::Normal, state) if state == last), "{events:?}");
}

both! {
    /// LI1, K12: each of several listeners hears every event, in order, whatever happens to the server.
    async fn every_listener_hears_everything_in_order() {
        let (mut spec, first) = taped();
        let mut all = vec![first];
        for _ in 0..4 {
            let (tape, events) = tape();
            spec = spec.listener(tape);
            all.push(events);
        }
        let server = spec.start().await.expect("it starts");
        for round in 0..40 {
            for _ in 0..round % 5 {
                tell(&server, inc()).await;
            }
            ask(&server, add).await;
            if round % 2 == 0 {
                crash(&server).await;
            } else {
                server.kill_worker();
            }
            serves(&server, round + 2).await;
        }
        stop(&server).await;
        drop(server);
        for events in all {
            whole_life(&rest(events).await, 120, 40);
        }
    }

    /// LI5, K12: a listener that panics in one method hears the rest, too; the others and the server are not concerned.
    async fn a_panic_in_any_method_concerns_nobody_else() {
        for at in METHODS {
            let (spec, before) = taped();
            let (tape, after) = tape();
            let heard = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&heard);
            let server = spec
                .listener(move |event: undying::Event<'_, Script<u64>>| {
                    count.fetch_add(1, SeqCst);
                    if kind(&event) == at {
                        inject()
                    }
                })
                .listener(tape)
                .start()
                .await
                .expect("it starts");
            for n in 1..=10 {
                assert_eq!(ask(&server, add).await, n, "{at}");
            }
            crash(&server).await;
            assert_eq!(ask(&server, add).await, 11, "{at}");
            assert_eq!(server.incarnation(), 2, "{at}");
            assert!(matches!(stop(&server).await.reason, ExitReason::Normal), "{at}");
            drop(server);
            for events in [before, after] {
                whole_life(&rest(events).await, 11, 1);
            }
            assert_eq!(heard.load(SeqCst), 15, "{at}");
        }
    }

    /// K12: what a listener that lags does not hear is told to the others.
    async fn a_listener_that_lags_makes_no_other_lag() {
        let (spec, prompt) = taped();
        let (held, door) = wall();
        let (tape, lazy) = tape();
        let note = Blocking(move |event: undying::Event<'_, Script<u64>>| {
            match &event {
                undying::Event::StateChanged(change) => tape.note(Event::Changed {
                    old: *change.old,
                    new: *change.new,
                    version: change.version,
                    callback: change.callback,
                    lagged: change.lagged,
                }),
                undying::Event::Started(_) => held.stand(),
                _ => {}
            }
        });
        let server = spec.listener_with(note, 1, Overflow::Coalesce).start().await.expect("it starts");
        door.reached(1).await;
        for n in 1..=100 {
            assert_eq!(ask(&server, add).await, n);
        }
        until("the prompt one has heard all", || prompt.len() == 101).await;
        drop(door);
        stop(&server).await;
        drop(server);
        whole_life(&rest(prompt).await, 100, 0);
        let lazy = rest(lazy).await;
        assert!(
            matches!(
                lazy[..],
                [
                    Event::Changed { old: 0, new: 1, lagged: 0, .. },
                    Event::Changed { old: 1, new: 100, version: 100, lagged: 98, .. },
                ]
            ),
            "{lazy:?}"
        );
    }
}

/// LI4, K12: while a listener blocks its thread, in whatever method, calls, commits and restarts go on, and the others hear of
/// them at once; afterwards it hears all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listener_that_blocks_holds_nobody_up() {
    quiet();
    for at in &METHODS[..4] {
        let (spec, before) = taped();
        let ((last, after), (stuck, heard)) = (tape(), tape());
        let (held, door) = wall();
        let (been, first) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(true));
        let count = Arc::clone(&been);
        let server = spec
            .listener(move |event: undying::Event<'_, Script<u64>>| {
                if kind(&event) == *at && first.swap(false, SeqCst) {
                    held.stand();
                }
                count.fetch_add(1, SeqCst);
                if let undying::Event::StateChanged(change) = event {
                    stuck.note(Event::Changed {
                        old: *change.old,
                        new: *change.new,
                        version: change.version,
                        callback: change.callback,
                        lagged: change.lagged,
                    });
                }
            })
            .listener(last)
            .start()
            .await
            .expect("it starts");
        for n in 1..=10 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        serves(&server, 2).await;
        door.reached(1).await;
        for n in 11..=1_000 {
            assert_eq!(ask(&server, add).await, n, "{at}");
            assert_eq!(*server.peek(), n, "{at}");
        }
        server.kill_worker();
        serves(&server, 3).await;
        assert_eq!(ask(&server, add).await, 1_001, "{at}");
        let told = 1 + 1_001 + 4;
        until("the others have heard all of it", || before.len() == told && after.len() == told).await;
        assert!(been.load(SeqCst) < 13, "it is held up: {at}");
        drop(door);
        assert!(matches!(stop(&server).await.reason, ExitReason::Normal), "{at}");
        drop(server);
        for events in [before, after] {
            whole_life(&rest(events).await, 1_001, 2);
        }
        one_a_commit(&rest(heard).await, 1_001);
        assert_eq!(been.load(SeqCst), told + 1, "{at}");
    }
}

/// LI5, LI4: one that panics, one that blocks and one that lags beside each other, and still nobody else is concerned.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bad_listeners_of_all_sorts_concern_nobody_else() {
    quiet();
    let (spec, events) = taped();
    let ((held, door), (slow, other)) = (wall(), wall());
    let server = spec
        .listener(|_: undying::Event<'_, Script<u64>>| inject())
        .listener(move |_: undying::Event<'_, Script<u64>>| held.stand())
        .listener_with(
            Blocking(move |_: undying::Event<'_, Script<u64>>| slow.stand()),
            2,
            Overflow::DropOldest,
        )
        .start()
        .await
        .expect("it starts");
    door.reached(1).await;
    other.reached(1).await;
    for round in 0..50 {
        for n in 1..=20 {
            assert_eq!(ask(&server, add).await, round * 20 + n);
        }
        crash(&server).await;
        serves(&server, round + 2).await;
    }
    until("the good one has heard all of it", || events.len() == 1 + 1_000 + 100).await;
    drop((door, other));
    assert!(matches!(stop(&server).await.reason, ExitReason::Normal));
    drop(server);
    whole_life(&soon(rest(events)).await, 1_000, 50);
}
