//! The feed: what the keeper has yet to tell the listeners, in the order in which it happened.
//!
//! It lives beside the record, under the same lock: an event is queued in the very moment in which the thing happens, so
//! no crash can fall between the two and no two events can change places. It belongs to the logical server: a new keeper
//! goes on where the last one ended.

use std::{collections::VecDeque, mem, sync::Arc, task::Waker, time::Duration};

use crate::{
    contain::{Quiet, drop_quietly},
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    listener::Listener,
    preserve::Kept,
};

/// From so many queued events on, only the newest of each kind is kept.
const CAPACITY: usize = 4096;

/// The listeners of a server.
pub(crate) type Audience<S> = Quiet<Vec<Box<dyn Listener<S>>>>;

pub(crate) enum Event<S: GenServer> {
    Started { kept: Kept<S> },
    Changed { kept: Kept<S>, callback: Callback, lagged: u64 },
    Crashed { report: CrashReport, kept: Kept<S>, abandoned: bool, lagged: u64 },
    Restarted { incarnation: u64, took: Duration },
    Terminated { reason: ExitReason, kept: Kept<S> },
}

pub(crate) struct Feed<S: GenServer> {
    events: VecDeque<Event<S>>,
    /// The state the listeners saw last.
    seen: Option<Kept<S>>,
    /// Who listens, until the last event is told; nothing is queued for nobody.
    audience: Option<Arc<Audience<S>>>,
    closed: bool,
    /// Whether the listeners are to be there for another life.
    retained: bool,
    /// Whether there is a keeper.
    attended: bool,
    keeper: Option<Waker>,
    stall: Option<Duration>,
}

impl<S: GenServer> Event<S> {
    /// How many events gave way to this one.
    fn lagged(&self) -> u64 {
        match self {
            Self::Changed { lagged, .. } | Self::Crashed { lagged, .. } => *lagged,
            Self::Started { .. } | Self::Restarted { .. } | Self::Terminated { .. } => 0,
        }
    }

    fn lagging(mut self, by: u64) -> Self {
        if let Self::Changed { lagged, .. } | Self::Crashed { lagged, .. } = &mut self {
            *lagged = by;
        }
        self
    }
}

/// What the keeper finds.
pub(crate) enum Fed<S: GenServer> {
    /// The next event, who is to be told, and the state they saw before it.
    Event(Event<S>, Arc<Audience<S>>, Option<Kept<S>>),
    /// A fault on purpose: do nothing for so long.
    Stall(Duration),
    Nothing,
    /// There will be no more, so nobody listens any more: the listeners, who may hold the server itself, can go.
    Closed(Option<Arc<Audience<S>>>),
}

impl<S: GenServer> Feed<S> {
    pub(crate) fn new(listeners: Audience<S>) -> Self {
        Self {
            events: VecDeque::new(),
            seen: None,
            audience: (!listeners.is_empty()).then(|| Arc::new(listeners)),
            closed: false,
            retained: false,
            attended: false,
            keeper: None,
            stall: None,
        }
    }

    /// Queues an event, if anybody listens. What is left to be done outside the lock is added to `nudge`.
    pub(crate) fn push(&mut self, nudge: &mut Nudge<S>, event: impl FnOnce() -> Event<S>) {
        if self.audience.is_none() {
            return;
        }
        let event = event();
        let stale = self.make_room(&event);
        let lagged = stale.as_ref().map_or(0, |stale| stale.lagged() + 1);
        nudge.stale.extend(stale);
        self.events.push_back(event.lagging(lagged));
        nudge.keeper = self.keeper.take().or_else(|| nudge.keeper.take());
    }

    /// Beyond the capacity there is at most one event of each kind: the one of the same kind as `event` gives way to it.
    fn make_room(&mut self, event: &Event<S>) -> Option<Event<S>> {
        if self.events.len() < CAPACITY {
            return None;
        }
        let same = |other: &Event<S>| mem::discriminant(other) == mem::discriminant(event);
        let beyond = self.events.iter().skip(CAPACITY).position(same)?;
        self.events.remove(CAPACITY + beyond)
    }

    /// Queues the last event of a life.
    pub(crate) fn conclude(&mut self, nudge: &mut Nudge<S>, last: Option<Event<S>>) {
        self.events.extend(last.filter(|_| self.audience.is_some()));
        nudge.keeper = self.keeper.take().or_else(|| nudge.keeper.take());
    }

    /// Queues the last event, if there is to be one, and says that no more will come. Only the first end counts. The listeners
    /// are kept for another life if they are `retained`. Tells whether a keeper is there to hear of it.
    pub(crate) fn end(&mut self, nudge: &mut Nudge<S>, last: Option<Event<S>>, retained: bool) -> bool {
        if mem::replace(&mut self.closed, true) {
            return true;
        }
        self.retained = retained;
        self.conclude(nudge, last);
        self.attended
    }

    /// There will be more, after all.
    pub(crate) fn reopen(&mut self) {
        self.closed = false;
    }

    /// There will be no other life: the listeners can go, now or once they have heard the rest.
    pub(crate) fn release(&mut self) -> Option<Arc<Audience<S>>> {
        self.retained = false;
        if self.closed && self.events.is_empty() { self.audience.take() } else { None }
    }

    /// A keeper takes over, or leaves. Tells whether the feed is closed: who leaves a closed feed has to finish it.
    pub(crate) fn attend(&mut self, attended: bool) -> bool {
        self.attended = attended;
        self.closed
    }

    /// Makes the keeper do nothing for `pause`.
    #[cfg(feature = "chaos")]
    pub(crate) fn stall(&mut self, nudge: &mut Nudge<S>, pause: Duration) {
        self.stall = Some(pause);
        nudge.keeper = self.keeper.take();
    }

    /// The next event for the keeper, which is woken by `waker` once there is one.
    pub(crate) fn pull(&mut self, waker: Option<&Waker>) -> Fed<S> {
        if let Some(pause) = self.stall.take() {
            return Fed::Stall(pause);
        }
        let Some(event) = self.events.pop_front() else {
            if self.closed {
                return Fed::Closed(if self.retained { None } else { self.audience.take() });
            }
            self.keeper = waker.cloned();
            return Fed::Nothing;
        };
        let seen = match &event {
            Event::Started { kept } | Event::Changed { kept, .. } => self.seen.replace(kept.clone()),
            Event::Crashed { .. } | Event::Restarted { .. } | Event::Terminated { .. } => None,
        };
        match &self.audience {
            Some(audience) => Fed::Event(event, audience.clone(), seen),
            None => Fed::Nothing,
        }
    }
}

/// What queueing an event leaves to be done outside the lock (K8).
#[must_use = "the keeper is woken by `ring`"]
pub(crate) struct Nudge<S: GenServer> {
    keeper: Option<Waker>,
    /// Events that gave way to others.
    stale: Vec<Event<S>>,
}

impl<S: GenServer> Nudge<S> {
    pub(crate) const fn none() -> Self {
        Self { keeper: None, stale: Vec::new() }
    }

    /// Wakes the keeper if it has something to do.
    pub(crate) fn ring(self) {
        if let Some(keeper) = self.keeper {
            keeper.wake();
        }
        drop_quietly(self.stale);
    }
}
