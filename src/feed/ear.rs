//! An ear: one listener, and what it has yet to hear.

use std::{collections::VecDeque, mem, sync::Arc, task::Waker, time::Duration};

use super::{Fed, Nudge};
use crate::{
    contain::{Quiet, catch},
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    listener::{Listener, Overflow},
    preserve::Kept,
};

pub(crate) enum Event<S: GenServer> {
    Started { kept: Kept<S> },
    Changed { kept: Kept<S>, callback: Callback },
    Crashed { report: CrashReport, kept: Kept<S>, abandoned: bool },
    Restarted { incarnation: u64, took: Duration },
    Terminated { reason: ExitReason, kept: Kept<S> },
}

const KINDS: usize = 5;

impl<S: GenServer> Event<S> {
    const fn kind(&self) -> usize {
        match self {
            Self::Started { .. } => 0,
            Self::Changed { .. } => 1,
            Self::Crashed { .. } => 2,
            Self::Restarted { .. } => 3,
            Self::Terminated { .. } => 4,
        }
    }

    /// Whether it may give way to a newer one.
    const fn may_go(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Crashed { .. } | Self::Restarted { .. })
    }
}

/// An event in its place.
pub(crate) struct Told<S: GenServer> {
    pub(crate) event: Event<S>,
    /// How many of its kind before it are not told.
    pub(crate) lagged: u64,
    /// The state that was told before it, if it tells another.
    pub(crate) seen: Option<Kept<S>>,
}

pub(crate) struct Ear<S: GenServer> {
    /// `None`: nobody listens, or not any more.
    listener: Option<Quiet<Arc<dyn Listener<S>>>>,
    capacity: usize,
    overflow: Overflow,
    blocking: bool,
    /// Each with its number among those of its kind.
    queue: VecDeque<(u64, Event<S>)>,
    /// Of each kind, how many there were, and the number of the last one told.
    heard: [u64; KINDS],
    told: [u64; KINDS],
    /// The state the listener saw last.
    seen: Option<Kept<S>>,
    /// Whether there is a keeper for it.
    attended: bool,
    /// Whether it is being told on a thread that may block.
    away: bool,
    keeper: Option<Waker>,
    stall: Option<Duration>,
}

impl<S: GenServer> Ear<S> {
    pub(crate) fn new(listener: Arc<dyn Listener<S>>, capacity: usize, overflow: Overflow) -> Self {
        let blocking = catch(|| listener.blocking()).unwrap_or(false);
        Self { listener: Some(Quiet::new(listener)), capacity, overflow, blocking, ..Self::deaf() }
    }

    /// That of a server to which nobody listens.
    pub(super) fn deaf() -> Self {
        Self {
            listener: None,
            capacity: usize::MAX,
            overflow: Overflow::Coalesce,
            blocking: false,
            queue: VecDeque::new(),
            heard: [0; KINDS],
            told: [0; KINDS],
            seen: None,
            attended: false,
            away: false,
            keeper: None,
            stall: None,
        }
    }

    pub(super) fn listener(&self) -> Option<Quiet<Arc<dyn Listener<S>>>> {
        self.listener.as_deref().cloned().map(Quiet::new)
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) const fn blocks(&self) -> bool {
        matches!(self.overflow, Overflow::Block)
    }

    /// Whether the server has to wait for it.
    pub(super) fn is_full(&self) -> bool {
        self.blocks() && self.queue.len() >= self.capacity && self.listener.is_some()
    }

    /// Queues an event, if somebody listens. What gives way to it, and who is to be woken, is added to `nudge`.
    pub(super) fn push(&mut self, event: impl FnOnce() -> Event<S>, nudge: &mut Nudge<S>) {
        if self.listener.is_none() {
            return;
        }
        let event = event();
        let kind = event.kind();
        let stale = self.oldest_to_go(kind).and_then(|place| self.queue.remove(place));
        nudge.forget(stale.map(|(_, stale)| stale));
        self.heard[kind] += 1;
        self.queue.push_back((self.heard[kind], event));
        self.wake(nudge);
    }

    /// Where the event is that gives way to one of that kind.
    fn oldest_to_go(&self, kind: usize) -> Option<usize> {
        if self.queue.len() < self.capacity {
            return None;
        }
        match self.overflow {
            Overflow::Block => None,
            Overflow::DropOldest => self.queue.iter().position(|(_, event)| event.may_go()),
            Overflow::Coalesce => {
                let beyond = self.queue.iter().skip(self.capacity);
                let same = |(_, event): &(u64, Event<S>)| event.may_go() && event.kind() == kind;
                beyond.into_iter().position(same).map(|place| self.capacity + place)
            }
        }
    }

    pub(super) fn wake(&mut self, nudge: &mut Nudge<S>) {
        nudge.wake(self.keeper.take());
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
    pub(super) fn release(&mut self) -> Option<Quiet<Arc<dyn Listener<S>>>> {
        if self.queue.is_empty() && !self.away { self.listener.take() } else { None }
    }

    /// The next thing for the keeper of this ear to do.
    pub(super) fn pull(&mut self, waker: Option<&Waker>, over: Over) -> Fed<S> {
        if !self.away {
            if let Some(pause) = self.stall.take() {
                return Fed::Stall(pause);
            }
            if self.blocking && waker.is_some() && !self.queue.is_empty() {
                self.away = true;
                return Fed::Away;
            }
            if let Some((told, room)) = self.pop() {
                return Fed::Event(told, room);
            }
            match over {
                Over::No => {}
                Over::ForNow => return Fed::Closed(None),
                Over::ForGood => return Fed::Closed(self.listener.take()),
            }
        }
        self.keeper = waker.cloned();
        Fed::Nothing
    }

    /// It is not told on a thread that may block any more.
    pub(super) fn come_back(&mut self, nudge: &mut Nudge<S>) {
        self.away = false;
        self.wake(nudge);
    }

    /// The next event, and whether the server may go on because of the room that makes.
    pub(super) fn pop(&mut self) -> Option<(Told<S>, bool)> {
        let was_full = self.is_full();
        let (number, event) = self.queue.pop_front()?;
        let told = mem::replace(&mut self.told[event.kind()], number);
        let seen = match &event {
            Event::Started { kept } | Event::Changed { kept, .. } => self.seen.replace(kept.clone()),
            Event::Crashed { .. } | Event::Restarted { .. } | Event::Terminated { .. } => None,
        };
        let room = was_full && !self.is_full();
        Some((Told { event, lagged: number - told - 1, seen }, room))
    }

    /// A change that was no change is not told after all. What is not needed any more comes back.
    pub(super) fn untell(&mut self, told: Told<S>) -> (Event<S>, Option<Kept<S>>) {
        self.told[told.event.kind()] -= told.lagged;
        (told.event, mem::replace(&mut self.seen, told.seen))
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
