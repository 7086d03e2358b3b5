//! The feed: what the keepers have yet to tell the listeners, in the order in which it happened.
//!
//! It lives beside the record, under the same lock: an event is queued in the very moment in which the thing happens, so
//! no crash can fall between the two and no two events can change places. It belongs to the logical server: a new keeper
//! goes on where the last one ended.

mod ear;

use std::{collections::BTreeMap, mem, sync::Arc, task::Waker, time::Duration};

use self::ear::Over;
pub(crate) use self::ear::{Ear, Event, Told};
use crate::{
    contain::{Quiet, drop_each, wake_quietly},
    gen_server::GenServer,
    listener::Listener,
};

pub(crate) struct Feed<S: GenServer> {
    /// One for each listener; a deaf one if there are none.
    ears: Vec<Ear<S>>,
    /// Whether anybody listens; nothing is queued for nobody.
    heard: bool,
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
    /// The next event, and whether the server may go on because of the room that makes.
    Event(Told<S>, bool),
    /// There is something to tell, on a thread that may block.
    Away,
    /// A fault on purpose: do nothing for so long.
    Stall(Duration),
    Nothing,
    /// There will be no more, so that the listener, who may hold the server itself, can go.
    Closed(Option<Quiet<Arc<dyn Listener<S>>>>),
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
        self.blocks |= ears.iter().any(Ear::blocks);
        if !ears.is_empty() && !mem::replace(&mut self.heard, true) {
            self.ears.clear();
        }
        self.ears.extend(ears);
        if self.ears.is_empty() {
            self.ears.push(Ear::deaf());
        }
    }

    /// How many keepers it takes.
    pub(crate) fn keepers(&self) -> usize {
        self.ears.len()
    }

    pub(crate) fn listeners(&self) -> Vec<Quiet<Arc<dyn Listener<S>>>> {
        self.ears.iter().filter_map(Ear::listener).collect()
    }

    /// The listener behind an ear, if there is one still.
    pub(crate) fn listener(&self, ear: usize) -> Option<Quiet<Arc<dyn Listener<S>>>> {
        self.ears[ear].listener()
    }

    /// Queues an event, if anybody listens. What is left to be done outside the lock is added to `nudge`.
    #[inline]
    pub(crate) fn push(&mut self, nudge: &mut Nudge<S>, event: impl Fn() -> Event<S>) {
        if self.heard {
            self.ears.iter_mut().for_each(|ear| ear.push(&event, nudge));
        }
    }

    /// Whether anybody wants to know what happens.
    #[inline]
    pub(crate) fn has_audience(&self) -> bool {
        self.heard || !self.watchers.is_empty()
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
        self.blocks && self.ears.iter().any(Ear::is_full)
    }

    /// Queues the last event of a life.
    pub(crate) fn conclude(&mut self, nudge: &mut Nudge<S>, last: Option<impl Fn() -> Event<S>>) {
        if let Some(last) = last {
            self.push(nudge, last);
        }
        self.ears.iter_mut().for_each(|ear| ear.wake(nudge));
    }

    /// Queues the last event, if there is to be one, and says that no more will come. Only the first end counts. The listeners
    /// are kept for another life if they are `retained`. Gives those that have no keeper to hear of it.
    pub(crate) fn end(
        &mut self,
        nudge: &mut Nudge<S>,
        last: Option<impl Fn() -> Event<S>>,
        retained: bool,
    ) -> Vec<usize> {
        if mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        self.retained = retained;
        self.conclude(nudge, last);
        (0..self.ears.len()).filter(|&ear| !self.ears[ear].is_attended()).collect()
    }

    /// There will be more, after all.
    pub(crate) fn reopen(&mut self) {
        self.closed = false;
    }

    /// There will be no other life: the listeners can go, now or once they have heard the rest.
    pub(crate) fn release(&mut self) -> Vec<Quiet<Arc<dyn Listener<S>>>> {
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

    /// The next thing to do for the keeper of an ear, which is woken by `waker` once there is one.
    pub(crate) fn pull(&mut self, ear: usize, waker: Option<&Waker>) -> Fed<S> {
        let over = match (self.closed, self.retained) {
            (false, _) => Over::No,
            (true, true) => Over::ForNow,
            (true, false) => Over::ForGood,
        };
        self.ears[ear].pull(waker, over)
    }

    /// The next event for who tells it on a thread that may block, and whether that makes room. If there is none, it is back.
    pub(crate) fn pull_away(&mut self, ear: usize, nudge: &mut Nudge<S>) -> Result<(Told<S>, bool), Back> {
        self.ears[ear].pop().ok_or_else(|| self.come_back(ear, nudge))
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

    /// A change that was no change is not told after all. What is not needed any more comes back.
    pub(crate) fn untell(&mut self, ear: usize, told: Told<S>) -> impl Sized + use<S> {
        self.ears[ear].untell(told)
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

/// What queueing an event leaves to be done outside the lock (K8): mostly nothing.
#[must_use = "the keepers are woken by `ring`"]
pub(crate) struct Nudge<S: GenServer>(Option<Box<Errands<S>>>);

struct Errands<S: GenServer> {
    keepers: Vec<Waker>,
    watchers: Vec<Waker>,
    /// Events that gave way to others.
    stale: Vec<Event<S>>,
}

impl<S: GenServer> Errands<S> {
    fn run(self) {
        let Self { keepers, watchers, stale } = self;
        keepers.into_iter().for_each(Waker::wake);
        // Those may be anybody's.
        watchers.into_iter().map(Some).for_each(wake_quietly);
        drop_each(stale);
    }
}

impl<S: GenServer> Nudge<S> {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    fn errands(&mut self) -> &mut Errands<S> {
        self.0.get_or_insert_with(|| {
            Box::new(Errands { keepers: Vec::new(), watchers: Vec::new(), stale: Vec::new() })
        })
    }

    fn wake(&mut self, keeper: Option<Waker>) {
        if let Some(keeper) = keeper {
            self.errands().keepers.push(keeper);
        }
    }

    fn forget(&mut self, stale: Option<Event<S>>) {
        if let Some(stale) = stale {
            self.errands().stale.push(stale);
        }
    }

    /// Wakes whoever has something to do.
    #[inline]
    pub(crate) fn ring(self) {
        if let Some(errands) = self.0 {
            errands.run();
        }
    }
}
