//! An ear: what a keeper looks after.

use std::{sync::Arc, task::Waker, time::Duration};

use super::{Change, Event, Fed, Hand, Nudge, line::Line};
use crate::{
    contain::Quiet,
    gen_server::GenServer,
    listener::{Listener, Overflow},
    preserve::{Kept, SharedSnapshot},
};

pub(crate) struct Ear<S: GenServer> {
    /// `None`: nobody listens, or not any more.
    pub(super) line: Option<Box<Line<S>>>,
    /// Whether there is a keeper for it.
    attended: bool,
    /// Whether it is being told on a thread that may block.
    away: bool,
    keeper: Option<Waker>,
    stall: Option<Duration>,
}

impl<S: GenServer> Ear<S> {
    pub(crate) fn new(listener: Arc<dyn Listener<S>>, capacity: usize, overflow: Overflow) -> Self {
        Self { line: Some(Box::new(Line::new(listener, capacity, overflow))), ..Self::deaf() }
    }

    /// That of a server to which nobody listens.
    pub(super) const fn deaf() -> Self {
        Self { line: None, attended: false, away: false, keeper: None, stall: None }
    }

    pub(super) fn listener(&self) -> Option<Quiet<Arc<dyn Listener<S>>>> {
        self.line.as_ref().map(|line| line.listener())
    }

    /// How many events may be queued. `None`: nobody listens.
    pub(crate) fn capacity(&self) -> Option<usize> {
        self.line.as_ref().map(|line| line.capacity())
    }

    /// Queues an event, if somebody listens. What gives way to it, and who is to be woken, is added to `nudge`.
    pub(super) fn push(&mut self, event: impl FnOnce() -> Event<S>, kept: &Kept<S>, nudge: &mut Nudge<S>) {
        if let Some(line) = &mut self.line {
            line.push(event(), kept, nudge);
            self.wake(nudge);
        }
    }

    /// Queues a change: see [`Line::change`].
    #[inline]
    pub(super) fn change(
        &mut self,
        outgoing: &mut Option<SharedSnapshot<S>>,
        change: Change,
        kept: &Kept<S>,
        nudge: &mut Nudge<S>,
    ) {
        let Some(line) = &mut self.line else { return };
        if line.wants.has(change.callback) {
            line.change(outgoing, change, kept, nudge);
            self.wake(nudge);
        }
    }

    pub(super) fn supersede(&mut self, outgoing: &mut Option<SharedSnapshot<S>>) {
        if let Some(line) = &mut self.line {
            line.supersede(outgoing);
        }
    }

    /// A snapshot to write into that nobody needs any more.
    #[inline]
    pub(super) fn spare(&mut self) -> Option<SharedSnapshot<S>> {
        self.line.as_mut().and_then(|line| line.spare())
    }

    /// Whether the server has to wait for it.
    pub(super) fn holds_up(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.holds_up())
    }

    #[inline]
    pub(super) fn wake(&mut self, nudge: &mut Nudge<S>) {
        if let Some(keeper) = self.keeper.take() {
            nudge.wake(keeper);
        }
    }

    #[cfg(feature = "chaos")]
    pub(super) fn stall(&mut self, nudge: &mut Nudge<S>, pause: Duration) {
        self.stall = Some(pause);
        self.wake(nudge);
    }

    pub(super) const fn is_away(&self) -> bool {
        self.away
    }

    pub(super) const fn is_attended(&self) -> bool {
        self.attended
    }

    pub(super) fn attend(&mut self, attended: bool) {
        self.attended = attended;
    }

    /// Lets the listener go, if it has heard everything.
    pub(super) fn release(&mut self) -> Option<Line<S>> {
        self.line.take_if(|line| line.is_empty() && !self.away).map(|line| *line)
    }

    /// The next thing for the keeper of this ear to do.
    pub(super) fn pull(&mut self, waker: Option<&Waker>, over: Over, kept: &Kept<S>) -> Fed<S> {
        if !self.away {
            if let Some(pause) = self.stall.take() {
                return Fed::Stall(pause);
            }
            if waker.is_some() && self.line.as_ref().is_some_and(|line| line.blocking && !line.is_empty()) {
                self.away = true;
                return Fed::Away;
            }
            if let Some((hand, room)) = self.take(kept) {
                return Fed::Events(hand, room);
            }
            match over {
                Over::No => {}
                Over::ForNow => return Fed::Closed(None),
                Over::ForGood => return Fed::Closed(self.line.take()),
            }
        }
        self.keeper = waker.cloned();
        Fed::Nothing
    }

    /// The next events to tell, and whether the server may go on because of the room that makes.
    pub(super) fn take(&mut self, kept: &Kept<S>) -> Option<(Box<Hand<S>>, bool)> {
        self.line.as_mut().and_then(|line| line.take(kept))
    }

    /// Takes back a hand, if there is one and somebody listens still. Tells whether the server may go on because of the room that
    /// makes.
    pub(super) fn take_back(&mut self, hand: &mut Option<Box<Hand<S>>>) -> bool {
        match &mut self.line {
            Some(line) => hand.take().is_some_and(|hand| line.take_back(hand)),
            None => false,
        }
    }

    /// It is not told on a thread that may block any more.
    pub(super) fn come_back(&mut self, nudge: &mut Nudge<S>) {
        self.away = false;
        self.wake(nudge);
    }
}

/// Whether the server is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over {
    No,
    /// There may be another life.
    ForNow,
    ForGood,
}
