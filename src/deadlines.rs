//! The deadlines of the calls of one logical server.
//!
//! A Tokio timer per call would cost more than the call. Here a call only notes its deadline; the supervisor task sleeps
//! until the earliest one and is woken only by a call whose deadline is earlier than anything it sleeps for.
//!
//! Calls with the same timeout fall due in the order in which they are noted. So there is a *lane* for each timeout that is
//! in use, a linked list in a slab: noting and forgetting a deadline touches the ends of one list. Most servers only ever
//! have one lane; those that one client calls have none, since a single call stands outside.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::reply::AnySlot;

/// Whether a time that far away ever comes: 30 years, as Tokio has it, are for ever.
pub(crate) fn comes(after: Duration) -> bool {
    after < Duration::from_secs(30 * 365 * 24 * 60 * 60)
}

/// The instant `after` from now, if it ever comes.
pub(crate) fn later(after: Duration) -> Option<Instant> {
    comes(after).then(|| Instant::now() + after)
}

/// Names a noted deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeadlineKey {
    /// In the lanes; `None`: it is the one outside of them.
    place: Option<usize>,
    /// Tells it from others that were at that place before.
    number: u64,
}

#[derive(Default)]
pub(crate) struct Deadlines {
    /// One call stands outside the lanes: mostly no other waits at the same time, and no lanes are needed.
    single: Option<Single>,
    lanes: Option<Box<Lanes>>,
    noted: u64,
    /// What the supervisor sleeps for, or is on its way to sleep for.
    armed: Option<Instant>,
    /// How often the supervisor came too late to need a timer.
    spared: u8,
}

struct Single {
    number: u64,
    at: Instant,
    slot: Arc<dyn AnySlot>,
}

/// So often a supervisor makes sure that a call still waits before it sets a timer. A server that is called over and over is
/// better off with a timer: it is woken once for many calls.
const SPARED: u8 = 4;

impl Deadlines {
    /// Notes a deadline `after` from `now`, and tells whether the supervisor must be woken for it.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        after: Duration,
        slot: Arc<dyn AnySlot>,
    ) -> (DeadlineKey, bool) {
        self.noted += 1;
        let number = self.noted;
        let (place, at) = match &mut self.single {
            Some(_) => {
                let (place, at) = self.lanes.get_or_insert_default().note(number, now, after, slot);
                (Some(place), at)
            }
            single => {
                let at = now + after;
                *single = Some(Single { number, at, slot });
                (None, at)
            }
        };
        let earlier = self.armed.is_none_or(|armed| at < armed);
        if earlier {
            self.armed = Some(at);
        }
        (DeadlineKey { place, number }, earlier)
    }

    /// The call has its answer. What is given back is to be dropped outside the lock (K8).
    pub(crate) fn forget(&mut self, key: DeadlineKey) -> Option<Arc<dyn AnySlot>> {
        match key.place {
            Some(place) => self.lanes.as_mut()?.forget(place, key.number),
            None => self.single.take_if(|single| single.number == key.number).map(|single| single.slot),
        }
    }

    /// When the supervisor has to look again.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        if self.armed.is_some() && self.spared < SPARED && !self.is_awaited() {
            self.spared += 1;
            self.armed = None;
        }
        self.armed
    }

    /// Whether a call may still have to be told that its time is over.
    fn is_awaited(&self) -> bool {
        self.single.as_ref().is_some_and(|single| !single.slot.is_settled())
            || self.lanes.as_ref().is_some_and(|lanes| !lanes.is_empty())
    }

    /// Takes out the calls that are due at `now`, and arms for the earliest that is left.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Arc<dyn AnySlot>> {
        let mut due = Vec::new();
        due.extend(self.single.take_if(|single| single.at <= now).map(|single| single.slot));
        let single = self.single.as_ref().map(|single| single.at);
        let others = self.lanes.as_mut().and_then(|lanes| lanes.due(now, &mut due));
        self.armed = [single, others].into_iter().flatten().min();
        due
    }
}

#[derive(Default)]
struct Lanes {
    places: Vec<Place>,
    /// The places that are free.
    free: Vec<usize>,
    lanes: Vec<Lane>,
}

struct Place {
    number: u64,
    at: Instant,
    lane: usize,
    before: Option<usize>,
    behind: Option<usize>,
    /// Who waits; nobody at a free place.
    slot: Option<Arc<dyn AnySlot>>,
}

struct Lane {
    after: Duration,
    first: Option<usize>,
    last: Option<usize>,
}

impl Lanes {
    /// Notes a deadline; where, and for when.
    fn note(
        &mut self,
        number: u64,
        now: Instant,
        after: Duration,
        slot: Arc<dyn AnySlot>,
    ) -> (usize, Instant) {
        let lane = self.lane(after);
        // Two threads may come with their instants in the other order; whoever came last is due no earlier.
        let before = self.lanes[lane].last;
        let at = before.map_or(now + after, |before| (now + after).max(self.places[before].at));
        let entry = Place { number, at, lane, before, behind: None, slot: Some(slot) };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place] = entry;
                place
            }
            None => {
                self.places.push(entry);
                self.places.len() - 1
            }
        };
        match before {
            Some(before) => self.places[before].behind = Some(place),
            None => self.lanes[lane].first = Some(place),
        }
        self.lanes[lane].last = Some(place);
        (place, at)
    }

    fn forget(&mut self, place: usize, number: u64) -> Option<Arc<dyn AnySlot>> {
        (self.places[place].number == number).then(|| self.take(place)).flatten()
    }

    fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// Takes out the calls that are due at `now`. When the earliest is that is left.
    fn due(&mut self, now: Instant, due: &mut Vec<Arc<dyn AnySlot>>) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for lane in 0..self.lanes.len() {
            while let Some(first) = self.lanes[lane].first {
                let at = self.places[first].at;
                if at > now {
                    earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                    break;
                }
                due.extend(self.take(first));
            }
        }
        earliest
    }

    /// The lane of a timeout: its own, or one that is empty, or a new one.
    fn lane(&mut self, after: Duration) -> usize {
        let same = |lane: &Lane| lane.after == after;
        let known = self.lanes.iter().position(same);
        let empty = || self.lanes.iter().position(|lane| lane.first.is_none());
        let Some(lane) = known.or_else(empty) else {
            self.lanes.push(Lane { after, first: None, last: None });
            return self.lanes.len() - 1;
        };
        self.lanes[lane].after = after;
        lane
    }

    /// Takes a call out of its lane and frees its place.
    fn take(&mut self, place: usize) -> Option<Arc<dyn AnySlot>> {
        let slot = self.places[place].slot.take()?;
        let Place { lane, before, behind, .. } = self.places[place];
        match before {
            Some(before) => self.places[before].behind = behind,
            None => self.lanes[lane].first = behind,
        }
        match behind {
            Some(behind) => self.places[behind].before = before,
            None => self.lanes[lane].last = before,
        }
        self.free.push(place);
        Some(slot)
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.lanes.as_ref().map_or(0, |lanes| lanes.places.len() - lanes.free.len());
        let waiting = usize::from(self.single.is_some()) + others;
        f.debug_struct("Deadlines").field("waiting", &waiting).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
