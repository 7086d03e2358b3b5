//! A listener that tells the test everything it hears.

use tokio::sync::mpsc;
use undying::{
    Callback, CrashReport, Crashed, ExitReason, Listener, Restarted, Started, StateChanged, Terminated,
};

use super::script::{Script, soon};

/// What a [`Tape`] saw.
#[derive(Debug, Clone)]
pub(crate) enum Event<T> {
    Started,
    Changed { old: T, new: T, version: u64, callback: Callback, lagged: u64 },
    Crashed { report: CrashReport, state: T, abandoned: bool },
    Restarted { incarnation: u64 },
    Terminated { reason: ExitReason, state: T },
}

/// A listener that sends what it hears to the test. The channel closes when the listener is dropped.
pub(crate) struct Tape<T>(mpsc::UnboundedSender<Event<T>>);

/// A tape and where it is read.
pub(crate) fn tape<T>() -> (Tape<T>, mpsc::UnboundedReceiver<Event<T>>) {
    let (tape, events) = mpsc::unbounded_channel();
    (Tape(tape), events)
}

impl<T> Tape<T> {
    pub(crate) fn note(&self, event: Event<T>) {
        // The test may have read enough.
        let _ = self.0.send(event);
    }
}

impl<T: Clone + Send + Sync + 'static> Listener<Script<T>> for Tape<T> {
    fn started(&self, _event: &Started<'_, Script<T>>) {
        self.note(Event::Started);
    }

    fn state_changed(&self, change: &StateChanged<'_, Script<T>>) {
        self.note(Event::Changed {
            old: change.old.clone(),
            new: change.new.clone(),
            version: change.version,
            callback: change.callback,
            lagged: change.lagged,
        });
    }

    fn crashed(&self, crash: &Crashed<'_, Script<T>>) {
        self.note(Event::Crashed {
            report: crash.report.clone(),
            state: crash.state.clone(),
            abandoned: crash.abandoned,
        });
    }

    fn restarted(&self, restart: &Restarted<'_, Script<T>>) {
        self.note(Event::Restarted { incarnation: restart.incarnation });
    }

    fn terminated(&self, end: &Terminated<'_, Script<T>>) {
        self.note(Event::Terminated { reason: end.reason.clone(), state: end.state.clone() });
    }
}

/// All that is still to come on `events`, until its listener is dropped.
pub(crate) async fn rest<T>(mut events: mpsc::UnboundedReceiver<Event<T>>) -> Vec<Event<T>> {
    let mut seen = Vec::new();
    while let Some(event) = soon(events.recv()).await {
        seen.push(event);
    }
    seen
}
