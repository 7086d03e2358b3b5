//! What several of these tests use: a value whose drop panics, and a subscriber that acts on warnings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use crate::support::inject;

/// A value whose drop panics. Dropped while a panic unwinds it only counts that: the test is to fail, not to be aborted.
#[derive(Clone)]
pub(super) struct Bomb(Arc<Fallout>);

/// What became of some bombs.
#[derive(Debug, Default)]
pub(super) struct Fallout {
    dropped: AtomicUsize,
    unwound: AtomicUsize,
}

impl Bomb {
    pub(super) fn new(fallout: &Arc<Fallout>) -> Self {
        Self(fallout.clone())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
        if thread::panicking() {
            self.0.unwound.fetch_add(1, SeqCst);
        } else {
            inject();
        }
    }
}

impl Fallout {
    /// How many were dropped.
    pub(super) fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }

    /// How many of them while a panic unwound, where a user's would have aborted the process.
    pub(super) fn unwound(&self) -> usize {
        self.unwound.load(SeqCst)
    }
}

/// A subscriber that does something whenever this crate warns.
pub(super) struct OnWarning<F>(pub(super) F);

impl<F: Fn() + Send + Sync + 'static> Subscriber for OnWarning<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("undying")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        (self.0)();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
