//! Listeners that block their thread for as long as the test wants.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
    mpsc,
};

use parking_lot::Mutex;
use undying::{Crashed, Event, GenServer, Listener, Restarted, Started, StateChanged, Terminated};

use crate::support::until;

/// Where a listener blocks its thread.
pub(super) struct Wall {
    through: Mutex<mpsc::Receiver<()>>,
    reached: Arc<AtomicUsize>,
}

/// The test's side of a [`Wall`]. When it is dropped nobody is held up any more.
pub(super) struct Door {
    open: mpsc::Sender<()>,
    reached: Arc<AtomicUsize>,
}

/// A wall and the door in it.
pub(super) fn wall() -> (Wall, Door) {
    let (open, through) = mpsc::channel();
    let reached = Arc::new(AtomicUsize::new(0));
    (Wall { through: Mutex::new(through), reached: Arc::clone(&reached) }, Door { open, reached })
}

impl Wall {
    /// Blocks the thread until the door is opened once, or is gone.
    pub(super) fn stand(&self) {
        self.reached.fetch_add(1, SeqCst);
        let _ = self.through.lock().recv();
    }
}

impl Door {
    /// Waits until somebody has come to the wall for the `nth` time.
    pub(super) async fn reached(&self, nth: usize) {
        until("somebody stands at the wall", || self.reached.load(SeqCst) >= nth).await;
    }

    /// Lets one through, now or when it comes.
    pub(super) fn open(&self) {
        // Who is gone needs no door.
        let _ = self.open.send(());
    }
}

/// A listener that says of itself that it blocks.
pub(super) struct Blocking<L>(pub(super) L);

impl<S: GenServer, L: Listener<S>> Listener<S> for Blocking<L> {
    fn started(&self, event: &Started<'_, S>) {
        self.0.started(event);
    }

    fn state_changed(&self, change: &StateChanged<'_, S>) {
        self.0.state_changed(change);
    }

    fn crashed(&self, crash: &Crashed<'_, S>) {
        self.0.crashed(crash);
    }

    fn restarted(&self, restart: &Restarted<'_, S>) {
        self.0.restarted(restart);
    }

    fn terminated(&self, end: &Terminated<'_, S>) {
        self.0.terminated(end);
    }

    fn blocking(&self) -> bool {
        true
    }
}

/// The name of the method that is told of such an event.
pub(super) fn kind<S: GenServer>(event: &Event<'_, S>) -> &'static str {
    match event {
        Event::Started(_) => "started",
        Event::StateChanged(_) => "state_changed",
        Event::Crashed(_) => "crashed",
        Event::Restarted(_) => "restarted",
        Event::Terminated(_) => "terminated",
        _ => "another",
    }
}
