//! Telling one listener.

use std::sync::Arc;

use crate::{
    contain::{Quiet, catch, drop_quietly, log},
    feed::{Event, Fed, Feed, Told},
    gen_server::GenServer,
    listener::{Crashed, Listener, Restarted, Started, StateChanged, Terminated},
    logical::Logical,
    server_ref::ServerRef,
};

/// Who tells a listener.
pub(super) struct Teller<S: GenServer> {
    server: ServerRef<S>,
    /// The number of the listener.
    ear: usize,
    listener: Option<Quiet<Arc<dyn Listener<S>>>>,
}

impl<S: GenServer> Teller<S> {
    pub(super) fn new(logical: Arc<Logical<S>>, ear: usize) -> Self {
        let listener = logical.cell.look(|record| record.feed.listener(ear));
        Self { server: ServerRef::new(logical), ear, listener }
    }

    /// Another one for the same listener.
    pub(super) fn again(&self) -> Self {
        Self::new(self.server.logical.clone(), self.ear)
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&mut Feed<S>, usize) -> R) -> R {
        self.server.logical.cell.look(|record| look(&mut record.feed, self.ear))
    }

    /// Tells an event, whatever the listener does (K12). If that has made `room`, the server may wait for it.
    pub(super) fn tell(&self, told: Told<S>, room: bool) {
        let Self { server, ear: _, listener } = self;
        if room {
            server.logical.mailbox.wake();
        }
        if let (Event::Changed { kept, .. }, Some(seen)) = (&told.event, &told.seen) {
            if !server.logical.hooks.is_change(seen, kept) {
                return drop_quietly(self.look(|feed, ear| feed.untell(ear, told)));
            }
        }
        let Some(listener) = listener else { return drop_quietly(told) };
        let panicked = catch(|| call(&***listener, server, &told)).is_err();
        drop_quietly(told);
        if panicked {
            log!(error, undying.server = %server.logical.label(), "a listener panicked");
        }
    }

    /// Tells all that is left to tell.
    pub(super) fn tell_the_rest(&self) {
        loop {
            match self.look(|feed, ear| feed.pull(ear, None)) {
                Fed::Event(told, room) => self.tell(told, room),
                Fed::Stall(_) => {}
                Fed::Closed(listener) => return drop_quietly(listener),
                Fed::Away | Fed::Nothing => return,
            }
        }
    }
}

fn call<S: GenServer>(listener: &dyn Listener<S>, server: &ServerRef<S>, told: &Told<S>) {
    let lagged = told.lagged;
    match &told.event {
        Event::Started { kept } => listener.started(&Started { server, state: kept }),
        Event::Changed { kept, callback } => listener.state_changed(&StateChanged {
            server,
            old: told.seen.as_ref().unwrap_or(kept),
            new: kept,
            version: kept.version(),
            incarnation: kept.incarnation(),
            callback: *callback,
            lagged,
        }),
        Event::Crashed { report, kept, abandoned } => {
            listener.crashed(&Crashed { server, report, state: kept, abandoned: *abandoned, lagged });
        }
        Event::Restarted { incarnation, took } => {
            listener.restarted(&Restarted { server, incarnation: *incarnation, took: *took, lagged });
        }
        Event::Terminated { reason, kept } => {
            listener.terminated(&Terminated { server, reason, state: kept });
        }
    }
}
