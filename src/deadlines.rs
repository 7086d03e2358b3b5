//! The deadlines of the calls of one logical server.
//!
//! A Tokio timer per call would cost more than the call. Here a call only notes its deadline; the supervisor task sleeps
//! until the earliest one and is woken only by a call whose deadline is earlier than anything it sleeps for.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::reply::AnySlot;

/// The instant `after` from now; `None` if that is too far away to ever come (30 years, as Tokio has it).
pub(crate) fn later(after: Duration) -> Option<Instant> {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    (after < NEVER).then(|| Instant::now() + after)
}

/// Names a noted deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeadlineKey {
    at: Instant,
    number: u64,
}

#[derive(Default)]
pub(crate) struct Deadlines {
    waiting: BTreeMap<DeadlineKey, Arc<dyn AnySlot>>,
    noted: u64,
    /// What the supervisor sleeps for, or is on its way to sleep for.
    armed: Option<Instant>,
}

impl Deadlines {
    /// Notes a deadline, and tells whether the supervisor must be woken for it.
    pub(crate) fn note(&mut self, at: Instant, slot: Arc<dyn AnySlot>) -> (DeadlineKey, bool) {
        self.noted += 1;
        let key = DeadlineKey { at, number: self.noted };
        self.waiting.insert(key, slot);
        let earlier = self.armed.is_none_or(|armed| at < armed);
        if earlier {
            self.armed = Some(at);
        }
        (key, earlier)
    }

    /// The call has its answer. What is given back is to be dropped outside the lock (K8).
    pub(crate) fn forget(&mut self, key: DeadlineKey) -> Option<Arc<dyn AnySlot>> {
        self.waiting.remove(&key)
    }

    /// When the supervisor has to look again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.armed
    }

    /// Takes out the calls that are due at `now`, and arms for the earliest that is left.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Arc<dyn AnySlot>> {
        let mut due = Vec::new();
        while let Some(earliest) = self.waiting.first_entry().filter(|earliest| earliest.key().at <= now) {
            due.push(earliest.remove());
        }
        self.armed = self.waiting.first_key_value().map(|(key, _)| key.at);
        due
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadlines").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
