//! A listener that the test holds: it tells what it is about to hear, and goes on only when it is let.

use std::sync::mpsc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use undying::{Event, Listener, Restarted, Started, StateChanged, Terminated};

use crate::crash::script::{Script, soon};

/// What a [`Held`] listener hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Started(u64),
    Changed { old: u64, new: u64, lagged: u64 },
    Crashed { state: u64, lagged: u64 },
    Restarted { incarnation: u64, lagged: u64 },
    Terminated(u64),
}

impl Heard {
    pub(crate) fn of(event: &Event<'_, Script<u64>>) -> Self {
        match event {
            Event::Started(event) => Self::Started(*event.state),
            Event::StateChanged(change) => {
                Self::Changed { old: *change.old, new: *change.new, lagged: change.lagged }
            }
            Event::Crashed(crash) => Self::Crashed { state: *crash.state, lagged: crash.lagged },
            Event::Restarted(restart) => {
                Self::Restarted { incarnation: restart.incarnation, lagged: restart.lagged }
            }
            Event::Terminated(end) => Self::Terminated(*end.state),
            _ => panic!("test: another kind of event"),
        }
    }
}

/// A listener that stays in each event until its [`Rein`] lets it go on.
pub(crate) struct Held {
    heard: UnboundedSender<Heard>,
    pass: Mutex<mpsc::Receiver<()>>,
}

/// What holds a [`Held`] listener. When it is dropped, the listener is free.
pub(crate) struct Rein {
    heard: UnboundedReceiver<Heard>,
    pass: mpsc::Sender<()>,
}

pub(crate) fn held() -> (Held, Rein) {
    let (tell, heard) = unbounded_channel();
    let (pass, wall) = mpsc::channel();
    (Held { heard: tell, pass: Mutex::new(wall) }, Rein { heard, pass })
}

impl Held {
    fn hear(&self, event: &Event<'_, Script<u64>>) {
        let _ = self.heard.send(Heard::of(event));
        // An error says that it is free.
        let _ = self.pass.lock().recv();
    }
}

impl Listener<Script<u64>> for Held {
    fn started(&self, event: &Started<'_, Script<u64>>) {
        self.hear(&Event::Started(event));
    }

    fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
        self.hear(&Event::StateChanged(change));
    }

    fn crashed(&self, crash: &undying::Crashed<'_, Script<u64>>) {
        self.hear(&Event::Crashed(crash));
    }

    fn restarted(&self, restart: &Restarted<'_, Script<u64>>) {
        self.hear(&Event::Restarted(restart));
    }

    fn terminated(&self, end: &Terminated<'_, Script<u64>>) {
        self.hear(&Event::Terminated(end));
    }

    fn blocking(&self) -> bool {
        true
    }
}

impl Rein {
    /// The next event the listener has got to, where it stays.
    pub(crate) async fn next(&mut self) -> Heard {
        soon(self.heard.recv()).await.expect("it still listens")
    }

    /// Lets the listener leave the event it is in.
    pub(crate) fn let_go(&self) {
        let _ = self.pass.send(());
    }

    /// Whether it has got to an event that was not asked for.
    pub(crate) fn has_more(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Sets the listener free. What it hears from now on, until it is dropped, comes out.
    pub(crate) fn release(self) -> UnboundedReceiver<Heard> {
        self.heard
    }
}

/// All that is still to come until the listener is dropped.
pub(crate) async fn remaining<T>(mut heard: UnboundedReceiver<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(event) = soon(heard.recv()).await {
        all.push(event);
    }
    all
}
