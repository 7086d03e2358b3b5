//! What counts as a change is the user's to say: `changed_when`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use undying::{ExitReason, Overflow, ServerRef, ServerSpec};

use super::{
    only_end,
    wall::{Blocking, kind, wall},
};
use crate::{
    crash::{
        script::{Script, add, ask, crash, get, inc, serves, set, soon, stop, tell},
        tape::{Event, rest, tape},
    },
    support::{inject, until},
};

/// A counter from 0 with a tape, and what counts as a change of it.
async fn taped(
    changed: impl Fn(&u64, &u64) -> bool + Send + Sync + 'static,
) -> (ServerRef<Script<u64>>, UnboundedReceiver<Event<u64>>) {
    let (tape, events) = tape();
    let spec = ServerSpec::new(Script::new(), 0).listener(tape).changed_when(changed);
    (spec.start().await.expect("it starts"), events)
}

/// The changes among `events`: old, new, version, lagged.
fn changes(events: &[Event<u64>]) -> Vec<(u64, u64, u64, u64)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Changed { old, new, version, lagged, .. } => Some((*old, *new, *version, *lagged)),
            _ => None,
        })
        .collect()
}

both! {
    /// LI3: a callback that wrote what was there before is committed, and told to nobody.
    async fn what_is_equal_is_no_change() {
        let (server, events) = taped(PartialEq::ne).await;
        for n in 1..=50 {
            tell(&server, set(n)).await;
            for _ in 0..3 {
                tell(&server, set(n)).await;
            }
        }
        assert_eq!(ask(&server, get).await, 50);
        assert_eq!(server.peek().version(), 200);
        stop(&server).await;
        drop(server);
        let events = rest(events).await;
        let expected: Vec<_> = (1..=50).map(|n| (n - 1, n, 4 * n - 3, 0)).collect();
        assert_eq!(changes(&events), expected);
        assert_eq!(events.len(), 52);
    }

    /// LI3, LI2: a state is compared with the one that was told last, so that small changes add up, and the chain holds.
    async fn a_state_is_compared_with_the_one_told_last() {
        let (server, events) = taped(|old, new| new.abs_diff(*old) >= 10).await;
        for n in 1..=105 {
            assert_eq!(ask(&server, add).await, n);
            if n % 7 == 0 {
                crash(&server).await;
            }
        }
        stop(&server).await;
        drop(server);
        let events = rest(events).await;
        let expected: Vec<_> = (1..=10).map(|n| (10 * n - 10, 10 * n, 10 * n, 0)).collect();
        assert_eq!(changes(&events), expected);
        // What is not told as a change is there all the same, and said at the end.
        assert!(matches!(only_end(&events), (ExitReason::Normal, 105)));
    }

    /// LI3: what never is a change is never told; starts, crashes, restarts and the end are, with the states they had.
    async fn only_changes_are_compared() {
        let (server, events) = taped(|_, _| false).await;
        for n in 1..=9 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        serves(&server, 2).await;
        stop(&server).await;
        drop(server);
        let events = rest(events).await;
        assert!(
            matches!(
                events[..],
                [
                    Event::Started,
                    Event::Crashed { state: 9, .. },
                    Event::Restarted { incarnation: 2 },
                    Event::Terminated { state: 9, .. },
                ]
            ),
            "{events:?}"
        );
    }

    /// LI3, K12: a comparison that panics counts as a change, and harms nobody.
    async fn a_comparison_that_panics_is_a_change() {
        let (server, events) = taped(|_, new| if new % 2 == 0 { inject() } else { false }).await;
        for n in 1..=20 {
            assert_eq!(ask(&server, add).await, n);
        }
        assert_eq!(server.incarnation(), 1);
        stop(&server).await;
        drop(server);
        let expected: Vec<_> = (1..=10).map(|n| (2 * n - 2, 2 * n, 2 * n, 0)).collect();
        assert_eq!(changes(&rest(events).await), expected);
    }

    /// LI3, LI9: what was merged away is counted, what was no change is not, and the count is told with the next change.
    async fn what_was_no_change_is_not_counted_as_missed() {
        let (tape, events) = tape();
        let (wall, door) = wall();
        let note = move |event: undying::Event<'_, Script<u64>>| match &event {
            undying::Event::StateChanged(change) => tape.note(Event::Changed {
                old: *change.old,
                new: *change.new,
                version: change.version,
                callback: change.callback,
                lagged: change.lagged,
            }),
            _ if kind(&event) == "started" => wall.stand(),
            _ => {}
        };
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener_with(Blocking(note), 1, Overflow::Coalesce)
            .changed_when(PartialEq::ne)
            .start()
            .await
            .expect("it starts");
        door.reached(1).await;
        // The 1 is queued, 5 and 6 give way to the last 1, which then is no change.
        for n in [1, 5, 6, 1] {
            tell(&server, set(n)).await;
        }
        assert_eq!(ask(&server, get).await, 1);
        door.open();
        until("the 1 is told", || !events.is_empty()).await;
        tell(&server, inc()).await;
        until("the 2 is told", || events.len() == 2).await;
        // Nor is one that is no change and has not given way.
        tell(&server, set(2)).await;
        tell(&server, inc()).await;
        assert_eq!(ask(&server, get).await, 3);
        stop(&server).await;
        drop(server);
        assert_eq!(changes(&rest(events).await), [(0, 1, 1, 0), (1, 2, 5, 2), (2, 3, 7, 0)]);
    }

    /// LI3, K12: the comparison runs where the listener does: one that blocks holds neither the server up nor who watches
    /// something else.
    async fn a_comparison_that_blocks_holds_the_server_up_in_nothing() {
        let ((wall, door), (tape, events)) = (wall(), tape());
        let first = AtomicBool::new(true);
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Blocking(tape))
            .changed_when(move |_, _| {
                if first.swap(false, SeqCst) {
                    wall.stand();
                }
                true
            })
            .start()
            .await
            .expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        door.reached(1).await;
        for n in 2..=200 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        serves(&server, 2).await;
        assert_eq!(events.len(), 1, "only the start");
        drop(door);
        stop(&server).await;
        drop(server);
        let expected: Vec<_> = (1..=200).map(|n| (n - 1, n, n, 0)).collect();
        assert_eq!(changes(&rest(events).await), expected);
    }

    /// LI3: each listener is compared with what it was told itself, each watcher with what it got itself.
    async fn each_has_its_own_last_state() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let ((one, first), (two, second)) = (tape(), tape());
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(one)
            .listener(two)
            .changed_when(move |old, new| {
                log.lock().push((*old, *new));
                new / 10 != old / 10
            })
            .start()
            .await
            .expect("it starts");
        let mut watch = server.watch();
        assert_eq!(soon(watch.next()).await.as_deref(), Some(&0));
        for n in 1..=25 {
            assert_eq!(ask(&server, add).await, n);
        }
        assert_eq!(soon(watch.next()).await.as_deref(), Some(&25));
        // The server is over with a state that is no news to the watcher.
        assert_eq!(ask(&server, add).await, 26);
        stop(&server).await;
        assert!(soon(watch.next()).await.is_none());
        drop((server, watch));
        for events in [first, second] {
            assert_eq!(changes(&rest(events).await), [(0, 10, 10, 0), (10, 20, 20, 0)]);
        }
        let asked = asked.lock().clone();
        let by_watcher = [(0, 25), (25, 26)].iter().all(|pair| asked.contains(pair));
        assert!(by_watcher && asked.contains(&(20, 25)), "{asked:?}");
    }

    /// LI3, K2: a callback that only read is not even compared, nor is anything where nobody listens or watches.
    async fn what_nobody_is_told_is_not_compared() {
        let count = Arc::new(AtomicUsize::new(0));
        let compared = |count: &Arc<AtomicUsize>| {
            let count = Arc::clone(count);
            move |_: &u64, _: &u64| {
                count.fetch_add(1, SeqCst);
                true
            }
        };
        let silent = ServerSpec::new(Script::new(), 0_u64).changed_when(compared(&count));
        let silent = silent.start().await.expect("it starts");
        for n in 1..=10 {
            assert_eq!(ask(&silent, add).await, n);
        }
        stop(&silent).await;
        assert_eq!(count.load(SeqCst), 0);
        let (server, events) = taped(compared(&count)).await;
        assert_eq!(ask(&server, add).await, 1);
        for _ in 0..10 {
            assert_eq!(ask(&server, get).await, 1);
        }
        stop(&server).await;
        drop(server);
        assert_eq!(changes(&rest(events).await), [(0, 1, 1, 0)]);
        assert_eq!(count.load(SeqCst), 1);
    }
}
