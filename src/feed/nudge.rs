//! A nudge: what queueing an event leaves to be done.

use std::task::Waker;

use super::event::Shared;
use crate::{contain::wake_quietly, gen_server::GenServer};

/// What queueing an event leaves to be done outside the lock (K8): mostly nothing.
#[must_use = "the keepers are woken by `ring`"]
pub(crate) struct Nudge<S: GenServer>(Option<Box<Errands<S>>>);

pub(super) struct Errands<S: GenServer> {
    keepers: Vec<Waker>,
    pub(super) watchers: Vec<Waker>,
    /// The states of events that gave way to others.
    stale: Vec<Shared<S>>,
}

impl<S: GenServer> Nudge<S> {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn errands(&mut self) -> &mut Errands<S> {
        self.0.get_or_insert_with(|| {
            Box::new(Errands { keepers: Vec::new(), watchers: Vec::new(), stale: Vec::new() })
        })
    }

    #[cold]
    pub(super) fn wake(&mut self, keeper: Waker) {
        self.errands().keepers.push(keeper);
    }

    #[cold]
    pub(super) fn forget(&mut self, stale: Shared<S>) {
        self.errands().stale.push(stale);
    }

    /// Wakes whoever has something to do.
    #[inline]
    pub(crate) fn ring(self) {
        if let Some(errands) = self.0 {
            errands.run();
        }
    }
}

impl<S: GenServer> Errands<S> {
    #[cold]
    fn run(self) {
        let Self { keepers, watchers, stale } = self;
        keepers.into_iter().for_each(Waker::wake);
        // Those may be anybody's.
        watchers.into_iter().map(Some).for_each(wake_quietly);
        drop(stale);
    }
}
