//! Listeners that say that they block: they are told on a thread where they may, and hold nobody up on either runtime.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use undying::{CallError, Event, ExitReason, Listener, ServerRef, ServerSpec, StateChanged};

use super::{
    one_a_commit, only_end,
    wall::{Blocking, kind, wall},
};
use crate::{
    crash::{
        script::{Script, add, ask, crash, get, inc, serves, stop, tell},
        tape::{Event as Taped, rest, tape},
    },
    support::{inject, until},
};

/// Told to the test by a listener.
type Log<T> = Arc<Mutex<Vec<T>>>;

/// The server that an event is about.
fn of(event: &Event<'_, Script<u64>>) -> ServerRef<Script<u64>> {
    match event {
        Event::Started(event) => event.server.clone(),
        Event::StateChanged(event) => event.server.clone(),
        Event::Crashed(event) => event.server.clone(),
        Event::Restarted(event) => event.server.clone(),
        Event::Terminated(event) => event.server.clone(),
        other => panic!("{other:?}"),
    }
}

both! {
    /// LI4, K12: while two listeners block their threads, the server, a third listener, timers and everything else on the runtime
    /// go on, also where there is only one thread.
    async fn listeners_that_block_hold_nobody_up() {
        let ((first, door), (second, other)) = (wall(), wall());
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Blocking(move |_: Event<'_, Script<u64>>| first.stand()))
            .listener(Blocking(move |_: Event<'_, Script<u64>>| second.stand()))
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        door.reached(1).await;
        other.reached(1).await;
        server.send_after(Duration::from_millis(1), inc());
        until("the timer has fired", || *server.peek() == 1).await;
        for n in 2..=500 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        serves(&server, 2).await;
        until("the other one has heard of it", || events.len() == 1 + 500 + 2).await;
        drop((door, other));
        assert!(matches!(stop(&server).await.reason, ExitReason::Normal));
        drop(server);
        let events = rest(events).await;
        one_a_commit(&events, 500);
        assert!(matches!(only_end(&events), (ExitReason::Normal, 500)));
    }

    /// LI8: a listener that may block may wait for an answer of its own server, in each of its methods.
    async fn a_listener_may_wait_for_an_answer_of_its_server() {
        let answers: Log<(&str, Result<u64, bool>)> = Log::default();
        let log = Arc::clone(&answers);
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Blocking(move |event: Event<'_, Script<u64>>| {
                let answer = Handle::current().block_on(of(&event).call(get).into_future());
                let over = |error| matches!(error, CallError::NoProc | CallError::Stopped(_));
                log.lock().push((kind(&event), answer.map_err(over)));
            }))
            .start()
            .await
            .expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        until("it has got its answers", || answers.lock().len() == 2).await;
        crash(&server).await;
        serves(&server, 2).await;
        until("it has got its answers again", || answers.lock().len() == 4).await;
        stop(&server).await;
        let answers = answers.lock().clone();
        let kinds: Vec<_> = answers.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, ["started", "state_changed", "crashed", "restarted", "terminated"]);
        assert!(answers[0].1.is_ok_and(|state| state <= 1), "{answers:?}");
        assert_eq!(answers[1..4].iter().map(|(_, answer)| *answer).collect::<Vec<_>>(), [Ok(1); 3]);
        assert_eq!(answers[4].1, Err(true), "the server was over");
    }

    /// LI1: what it is told comes one thing at a time and in order, however long each takes and from whatever thread.
    async fn a_listener_that_blocks_is_told_in_order() {
        let (tape, events) = tape();
        let inside = AtomicBool::new(false);
        struct OneAtATime<L>(L, AtomicBool);
        impl<L: Listener<Script<u64>>> Listener<Script<u64>> for OneAtATime<L> {
            fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
                assert!(!self.1.swap(true, SeqCst), "two at a time");
                for _ in 0..change.version * 7 % 13 {
                    thread::yield_now();
                }
                self.0.state_changed(change);
                self.1.store(false, SeqCst);
            }
        }
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Blocking(OneAtATime(tape, inside)))
            .start()
            .await
            .expect("it starts");
        for n in 1..=2_000 {
            tell(&server, inc()).await;
            if n % 100 == 0 {
                // So that it runs dry now and then.
                assert_eq!(ask(&server, get).await, n);
            }
        }
        stop(&server).await;
        drop(server);
        one_a_commit(&rest(events).await, 2_000);
    }

    /// LI4: it is never told on a thread that runs tasks.
    async fn a_listener_that_blocks_is_not_told_among_tasks() {
        let threads: Log<bool> = Log::default();
        let log = Arc::clone(&threads);
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Blocking(move |_: Event<'_, Script<u64>>| {
                // Where tasks run, this panics.
                let may_block = std::panic::catch_unwind(|| Handle::current().block_on(async {}));
                log.lock().push(may_block.is_ok());
            }))
            .start()
            .await
            .expect("it starts");
        for n in 1..=100 {
            assert_eq!(ask(&server, add).await, n);
        }
        crash(&server).await;
        serves(&server, 2).await;
        stop(&server).await;
        let threads = threads.lock();
        assert_eq!(*threads, [true; 104]);
    }

    /// LI10: `stop` waits for a listener that blocks, but five seconds at most; the rest is told once it goes on.
    async fn stop_waits_five_seconds_at_most_for_who_blocks() {
        let ((held, door), (tape, events)) = (wall(), tape());
        let first = AtomicBool::new(true);
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Blocking(move |event: Event<'_, Script<u64>>| {
                if first.swap(false, SeqCst) {
                    held.stand();
                }
                match event {
                    Event::StateChanged(change) => tape.state_changed(change),
                    Event::Terminated(end) => tape.terminated(end),
                    _ => {}
                }
            }))
            .start()
            .await
            .expect("it starts");
        door.reached(1).await;
        assert_eq!(ask(&server, add).await, 1);
        let began = Instant::now();
        assert_eq!(*stop(&server).await.state, 1);
        let took = began.elapsed();
        assert!((4.9..15.0).contains(&took.as_secs_f64()), "{took:?}");
        assert!(!server.is_alive());
        assert!(events.is_empty());
        drop((door, server));
        let events = rest(events).await;
        assert!(
            matches!(
                events[..],
                [Taped::Changed { old: 0, new: 1, .. }, Taped::Terminated { reason: ExitReason::Normal, state: 1 }]
            ),
            "{events:?}"
        );
    }

    /// LI5: one that panics on its thread hears the next event all the same, and so it is with one that panics when it is asked
    /// whether it blocks.
    async fn a_listener_that_blocks_and_panics_hears_the_rest() {
        struct Coy<L>(L);
        impl<L: Listener<Script<u64>>> Listener<Script<u64>> for Coy<L> {
            fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
                self.0.state_changed(change);
                inject()
            }
            fn blocking(&self) -> bool {
                inject()
            }
        }
        let ((coy, first), (tape, second)) = (tape(), tape());
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Coy(coy))
            .listener(Blocking(move |event: Event<'_, Script<u64>>| {
                if let Event::StateChanged(change) = event {
                    tape.state_changed(change);
                }
                inject()
            }))
            .start()
            .await
            .expect("it starts");
        for n in 1..=100 {
            assert_eq!(ask(&server, add).await, n);
        }
        assert!(matches!(stop(&server).await.reason, ExitReason::Normal));
        drop(server);
        for events in [first, second] {
            one_a_commit(&rest(events).await, 100);
        }
    }
}
