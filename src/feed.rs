//! The feed: what the keepers have yet to tell the listeners, in the order in which it happened.
//!
//! It lives beside the record, under the same lock: an event is queued in the very moment in which the thing happens, so
//! no crash can fall between the two and no two events can change places. It belongs to the logical server: a new keeper
//! goes on where the last one ended.

mod ear;
mod event;
mod hand;
mod line;
mod nudge;
mod spares;
mod wants;

use std::{collections::BTreeMap, mem, sync::Arc, task::Waker, time::Duration};

pub(crate) use self::{
    ear::Ear,
    event::{Change, Event, Shared},
    hand::{Hand, Told},
    line::Line,
    nudge::Nudge,
};
use self::{ear::Over, wants::Wants};
use crate::{
    contain::Quiet,
    exit::Callback,
    gen_server::GenServer,
    listener::Listener,
    preserve::{Kept, SharedSnapshot},
};

pub(crate) struct Feed<S: GenServer> {
    /// One for each listener; a deaf one if there are none.
    ears: Vec<Ear<S>>,
    /// Whether anybody listens; nothing is queued for nobody.
    heard: bool,
    /// Which changes anybody wants to hear of.
    wants: Wants,
    /// Whether the server waits for a listener that is behind.
    blocks: bool,
    closed: bool,
    /// Whether the listeners are to be there for another life.
    retained: bool,
    /// Those who wait for another state, each by its number.
    watchers: BTreeMap<u64, Waker>,
}

/// What a keeper finds.
pub(crate) enum Fed<S: GenServer> {
    /// The next events, and whether the server may go on because of the room that makes.
    Events(Box<Hand<S>>, bool),
    /// There is something to tell, on a thread that may block.
    Away,
    /// A fault on purpose: do nothing for so long.
    Stall(Duration),
    Nothing,
    /// There will be no more, so that the listener, who may hold the server itself, can go.
    Closed(Option<Box<Line<S>>>),
}

/// Nobody tells a listener on a thread that may block any more.
#[must_use = "the rest may be left to tell"]
pub(crate) struct Back {
    /// Its keeper has left meanwhile, and the server is over: there is nobody else to tell the rest.
    pub(crate) alone: bool,
}

impl<S: GenServer> Feed<S> {
    pub(crate) fn new(ears: Vec<Ear<S>>) -> Self {
        let mut feed = Self {
            ears: Vec::new(),
            heard: false,
            wants: Wants::NONE,
            blocks: false,
            closed: false,
            retained: false,
            watchers: BTreeMap::new(),
        };
        feed.add(ears);
        feed
    }

    /// Adds listeners, before there is anything to tell.
    pub(crate) fn add(&mut self, ears: Vec<Ear<S>>) {
        let lines = ears.iter().filter_map(|ear| ear.line.as_ref());
        self.blocks |= lines.clone().any(|line| line.blocks());
        self.wants = lines.fold(self.wants, |wants, line| wants.and(line.wants));
        if !ears.is_empty() && !mem::replace(&mut self.heard, true) {
            self.ears.clear();
        }
        self.ears.extend(ears);
        if self.ears.is_empty() {
            self.ears = vec![Ear::deaf()];
        }
    }

    /// How many keepers it takes.
    pub(crate) fn keepers(&self) -> usize {
        self.ears.len()
    }

    pub(crate) fn listeners(&self) -> Vec<Quiet<Arc<dyn Listener<S>>>> {
        self.ears.iter().filter_map(Ear::listener).collect()
    }

    /// Queues an event, if anybody listens. `kept` is the state that is kept. What is left to be done outside the lock is added to
    /// `nudge`.
    #[inline]
    pub(crate) fn push(&mut self, nudge: &mut Nudge<S>, kept: &Kept<S>, event: impl Fn() -> Event<S>) {
        if self.heard {
            self.ears.iter_mut().for_each(|ear| ear.push(&event, kept, nudge));
        }
    }

    /// Whether anybody wants to hear of changes by that callback. Nobody does of those by `init`: they are told by `started`.
    #[inline]
    pub(crate) fn wants_changes(&self, by: Callback) -> bool {
        self.wants.has(by)
    }

    /// Queues a change from the state in `outgoing` to `kept`, as [`push`](Self::push) does. Those who have yet to tell of the
    /// former get it: what they leave in its place is free to be written into, if there is anything.
    #[inline(never)]
    pub(crate) fn change(
        &mut self,
        outgoing: &mut Option<SharedSnapshot<S>>,
        kept: &Kept<S>,
        callback: Callback,
        nudge: &mut Nudge<S>,
    ) {
        let change = Change { version: kept.version(), incarnation: kept.incarnation(), callback };
        match &mut self.ears[..] {
            [only] => only.change(outgoing, change, kept, nudge),
            _ => self.hand_out(outgoing, |ear, outgoing| ear.change(outgoing, change, kept, nudge)),
        }
        if outgoing.is_none() {
            *outgoing = self.ears.iter_mut().find_map(Ear::spare);
        }
    }

    /// The state in `outgoing` is not kept any more, which is no change. Those who have yet to tell of it get it.
    pub(crate) fn supersede(&mut self, outgoing: &mut Option<SharedSnapshot<S>>) {
        self.hand_out(outgoing, |ear, outgoing| ear.supersede(outgoing));
    }

    /// Lets each ear take what is in `outgoing`. If one does, it is gone.
    #[inline(never)]
    fn hand_out(
        &mut self,
        outgoing: &mut Option<SharedSnapshot<S>>,
        mut to: impl FnMut(&mut Ear<S>, &mut Option<SharedSnapshot<S>>),
    ) {
        let mut taken = false;
        for ear in &mut self.ears {
            let mut copy = outgoing.clone();
            to(ear, &mut copy);
            taken |= copy.is_none();
        }
        if taken {
            // K8: whoever took it holds it.
            *outgoing = None;
        }
    }

    /// There is another state.
    #[inline]
    pub(crate) fn changed(&mut self, nudge: &mut Nudge<S>) {
        if !self.watchers.is_empty() {
            nudge.errands().watchers.extend(self.take_watchers());
        }
    }

    /// Whether a listener is so far behind that the server has to wait for it.
    #[inline]
    pub(crate) fn holds_up(&self) -> bool {
        self.blocks && self.ears.iter().any(Ear::holds_up)
    }

    /// Queues the last event of a life.
    pub(crate) fn conclude(
        &mut self,
        nudge: &mut Nudge<S>,
        kept: &Kept<S>,
        last: Option<impl Fn() -> Event<S>>,
    ) {
        if let Some(last) = last {
            self.push(nudge, kept, last);
        }
        self.ears.iter_mut().for_each(|ear| ear.wake(nudge));
    }

    /// Queues the last event, if there is to be one, and says that no more will come. Only the first end counts. The listeners
    /// are kept for another life if they are `retained`. Gives those that have no keeper to hear of it.
    pub(crate) fn end(
        &mut self,
        nudge: &mut Nudge<S>,
        kept: &Kept<S>,
        last: Option<impl Fn() -> Event<S>>,
        retained: bool,
    ) -> Vec<usize> {
        if mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        self.retained = retained;
        self.conclude(nudge, kept, last);
        (0..self.ears.len()).filter(|&ear| !self.ears[ear].is_attended()).collect()
    }

    /// There will be more, after all.
    pub(crate) fn reopen(&mut self) {
        self.closed = false;
    }

    /// There will be no other life: the listeners can go, now or once they have heard the rest.
    pub(crate) fn release(&mut self) -> Vec<Line<S>> {
        self.retained = false;
        if self.closed { self.ears.iter_mut().filter_map(Ear::release).collect() } else { Vec::new() }
    }

    /// A keeper takes over, or leaves. Tells whether the feed is closed: who leaves a closed feed has to finish it.
    pub(crate) fn attend(&mut self, ear: usize, attended: bool) -> bool {
        self.ears[ear].attend(attended);
        self.closed
    }

    /// Makes the keepers do nothing for `pause`.
    #[cfg(feature = "chaos")]
    pub(crate) fn stall(&mut self, nudge: &mut Nudge<S>, pause: Duration) {
        self.ears.iter_mut().for_each(|ear| ear.stall(nudge, pause));
    }

    /// The next thing to do for the keeper of an ear, which is woken by `waker` once there is one. `kept` is the state that is
    /// kept.
    pub(crate) fn pull(&mut self, ear: usize, waker: Option<&Waker>, kept: &Kept<S>) -> Fed<S> {
        let over = match (self.closed, self.retained) {
            (false, _) => Over::No,
            (true, true) => Over::ForNow,
            (true, false) => Over::ForGood,
        };
        self.ears[ear].pull(waker, over, kept)
    }

    /// The next events for who tells them on a thread that may block, and whether that makes room. If there are none, it is back.
    pub(crate) fn pull_away(
        &mut self,
        ear: usize,
        kept: &Kept<S>,
        nudge: &mut Nudge<S>,
    ) -> Result<(Box<Hand<S>>, bool), Back> {
        self.ears[ear].take(kept).ok_or_else(|| self.come_back(ear, nudge))
    }

    /// Takes back a hand that was told, if there is one. Tells whether the server may go on because of the room that makes. If
    /// nobody listens any more, the hand stays where it is.
    pub(crate) fn take_back(&mut self, ear: usize, hand: &mut Option<Box<Hand<S>>>) -> bool {
        self.ears[ear].take_back(hand)
    }

    /// Whoever told an ear on a thread that may block does so no more.
    pub(crate) fn come_back(&mut self, ear: usize, nudge: &mut Nudge<S>) -> Back {
        self.ears[ear].come_back(nudge);
        Back { alone: self.closed && !self.ears[ear].is_attended() }
    }

    /// Whether a listener is being told on a thread that may block.
    pub(crate) fn is_away(&self, ear: usize) -> bool {
        self.ears[ear].is_away()
    }

    // ---- watchers

    /// Has a watcher woken when there is another state, or none any more.
    pub(crate) fn watch(&mut self, watcher: u64, waker: Waker) -> Option<Waker> {
        self.watchers.insert(watcher, waker)
    }

    pub(crate) fn unwatch(&mut self, watcher: u64) -> Option<Waker> {
        self.watchers.remove(&watcher)
    }

    pub(crate) fn take_watchers(&mut self) -> impl Iterator<Item = Waker> + use<S> {
        mem::take(&mut self.watchers).into_values()
    }
}
