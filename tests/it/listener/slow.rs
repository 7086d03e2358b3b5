//! Listeners that block. A listener is called on the thread of the keeper task, so that these need a second one.

use std::sync::mpsc;

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use undying::{ExitReason, Listener, ServerRef, ServerSpec, Started, StateChanged, Terminated};

use crate::{
    crash::{
        script::{Script, add, ask, serves, soon, stop},
        tape::{Event, Tape, rest, tape},
    },
    support::quiet,
};

/// A listener that blocks in its first change until the test drops the other end.
struct Blocked {
    tape: Tape<u64>,
    wall: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Listener<Script<u64>> for Blocked {
    fn started(&self, event: &Started<'_, Script<u64>>) {
        self.tape.started(event);
    }
    fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
        self.tape.state_changed(change);
        let wall = self.wall.lock().take();
        if let Some(wall) = wall {
            // Returns an error: nothing is ever sent.
            let _ = wall.recv();
        }
    }
    fn terminated(&self, end: &Terminated<'_, Script<u64>>) {
        self.tape.terminated(end);
    }
}

/// A server at 1 whose listener is blocked, what the listener heard, and what lets it go on.
async fn blocked() -> (ServerRef<Script<u64>>, UnboundedReceiver<Event<u64>>, mpsc::Sender<()>) {
    let (tape, mut events) = tape();
    let (open, wall) = mpsc::channel();
    let listener = Blocked { tape, wall: Mutex::new(Some(wall)) };
    let server = ServerSpec::new(Script::new(), 0).listener(listener).start().await.expect("it starts");
    assert!(matches!(soon(events.recv()).await, Some(Event::Started)));
    assert_eq!(ask(&server, add).await, 1);
    let first = soon(events.recv()).await;
    assert!(matches!(first, Some(Event::Changed { new: 1, .. })), "{first:?}");
    (server, events, open)
}

/// LI4: while a listener blocks, callbacks, commits and restarts go on as if there were none.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_blocked_listener_does_not_hold_up_the_server() {
    quiet();
    let (server, events, open) = blocked().await;
    for n in 2..=1_000 {
        assert_eq!(ask(&server, add).await, n);
        assert_eq!(*server.peek(), n);
        if n % 100 == 0 {
            server.kill_worker();
            serves(&server, n / 100 + 1).await;
        }
    }
    assert!(events.is_empty(), "it is still blocked");
    drop(open);
    stop(&server).await;
    drop(server);
    let events = rest(events).await;
    let changes = events.iter().filter_map(|event| match event {
        Event::Changed { new, .. } => Some(*new),
        _ => None,
    });
    assert!(changes.eq(2..=1_000), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Terminated { state: 1_000, .. })));
}

/// LI9: what is too much for the queue of a blocked listener is merged into its newest change, counted, and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_listener_far_behind_gets_merged_changes() {
    quiet();
    let (server, events, open) = blocked().await;
    for n in 2..=10_000 {
        assert_eq!(ask(&server, add).await, n);
    }
    drop(open);
    let exit = stop(&server).await;
    assert_eq!(*exit.state, 10_000);
    drop(server);
    let mut last = 1;
    let (mut changes, mut swallowed) = (0, 0);
    for event in rest(events).await {
        if let Event::Changed { old, new, version, lagged, .. } = event {
            assert_eq!((old, version), (last, new));
            assert_eq!(new, old + lagged + 1);
            last = new;
            changes += 1;
            swallowed += lagged;
        }
    }
    assert_eq!(last, 10_000);
    assert_eq!(changes + swallowed, 9_999);
    assert!(swallowed > 0 && changes <= 4_100, "{changes} events");
}

/// LI10: `stop` waits for a listener that is behind, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn stop_does_not_wait_for_ever_for_a_blocked_listener() {
    quiet();
    let (server, events, open) = blocked().await;
    let exit = stop(&server).await;
    assert!(matches!(exit.reason, ExitReason::Normal));
    assert_eq!(*exit.state, 1);
    assert!(!server.is_alive());
    drop(open);
    drop(server);
    let events = rest(events).await;
    assert!(matches!(events[..], [Event::Terminated { reason: ExitReason::Normal, state: 1 }]), "{events:?}");
}
