//! Telling one listener.

use std::sync::Arc;

use crate::{
    contain::{catch, drop_quietly, log},
    feed::{Event, Fed, Feed, Hand, Told},
    gen_server::GenServer,
    listener::{Crashed, Listener, Restarted, Started, StateChanged, Terminated},
    logical::Logical,
    preserve::Kept,
    server_ref::ServerRef,
};

/// Who tells a listener.
pub(super) struct Teller<S: GenServer> {
    server: ServerRef<S>,
    /// The number of the listener.
    ear: usize,
    /// What it tells, until it looks for more.
    hand: Option<Box<Hand<S>>>,
}

impl<S: GenServer> Teller<S> {
    pub(super) fn new(logical: Arc<Logical<S>>, ear: usize) -> Self {
        Self { server: ServerRef::new(logical), ear, hand: None }
    }

    /// Another one for the same listener.
    pub(super) fn again(&self) -> Self {
        Self::new(self.server.logical.clone(), self.ear)
    }

    /// Gives back what was told, and looks for what is next.
    pub(super) fn look<R>(&mut self, look: impl FnOnce(&mut Feed<S>, usize, &Kept<S>) -> R) -> R {
        let Self { server, ear, hand } = self;
        let (seen, room) = server.logical.cell.look(|record| {
            let room = record.feed.take_back(*ear, hand);
            (look(&mut record.feed, *ear, &record.kept), room)
        });
        self.go_on(room);
        // Nobody took it: the listener was let go of meanwhile.
        drop_quietly(self.hand.take());
        seen
    }

    /// If there is `room` now, the server may have waited for it.
    fn go_on(&self, room: bool) {
        if room {
            self.server.logical.mailbox.wake();
        }
    }

    /// Tells what is in `hand`, whatever the listener does (K12), and how much it was. If taking it has made `room`, the server may
    /// wait for that.
    pub(super) fn tell(&mut self, hand: Box<Hand<S>>, room: bool) -> usize {
        self.go_on(room);
        let Self { server, ear: _, hand: place } = self;
        let (hand, logical) = (place.insert(hand), &server.logical);
        hand.tell(
            |old, new| logical.hooks.is_change(old, new),
            |listener, told| {
                if catch(|| call(listener, server, told)).is_err() {
                    log!(error, undying.server = %logical.label(), "a listener panicked");
                }
            },
        )
    }

    /// Tells all that is left to tell.
    pub(super) fn tell_the_rest(&mut self) {
        loop {
            match self.look(|feed, ear, kept| feed.pull(ear, None, kept)) {
                Fed::Events(hand, room) => drop(self.tell(hand, room)),
                Fed::Stall(_) => {}
                Fed::Closed(line) => return drop_quietly(line),
                Fed::Away | Fed::Nothing => return,
            }
        }
    }
}

fn call<S: GenServer>(listener: &dyn Listener<S>, server: &ServerRef<S>, told: &Told<'_, S>) {
    let lagged = told.lagged;
    match told.event {
        Event::Started { state } => listener.started(&Started { server, state }),
        Event::Changed { state, change } => {
            listener.state_changed(&StateChanged {
                server,
                old: told.seen.unwrap_or(state),
                new: state,
                version: change.version,
                incarnation: change.incarnation,
                callback: change.callback,
                lagged,
            });
        }
        Event::Crashed { report, state, abandoned } => {
            listener.crashed(&Crashed { server, report, state, abandoned: *abandoned, lagged });
        }
        Event::Restarted { incarnation, took } => {
            listener.restarted(&Restarted { server, incarnation: *incarnation, took: *took, lagged });
        }
        Event::Terminated { reason, state } => {
            listener.terminated(&Terminated { server, reason, state });
        }
    }
}
