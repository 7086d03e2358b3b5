//! Spares: snapshots that nobody needs any more, for the worker to write into.

use std::{any::TypeId, mem};

use super::event::Shared;
use crate::{
    gen_server::GenServer,
    preserve::{SharedSnapshot, Snapshot},
};

/// Only those are saved that have nothing to drop: all the memory they take is known, no reply hides in them, and none of them runs
/// a user's code when it goes (K8).
pub(super) struct Spares<S: GenServer>(Vec<SharedSnapshot<S>>);

impl<S: GenServer> Spares<S> {
    /// As many as the events that are told in one go; fewer where they are large.
    const MOST: usize = match size_of::<Snapshot<S>>() {
        _ if mem::needs_drop::<Snapshot<S>>() => 0,
        0..=64 => 128,
        size @ 65..=4_096 => 8_192 / size,
        _ => 2,
    };

    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Saves a snapshot that is told of, or lets it go.
    #[inline]
    pub(super) fn save(&mut self, told: Shared<S>) {
        if Self::is_for() && self.0.len() < Self::MOST {
            let snapshot = told.into_inner();
            // One that somebody else holds, too, is theirs.
            if SharedSnapshot::<S>::strong_count(&snapshot) == 1 {
                self.0.push(snapshot);
            }
        }
    }

    /// Whether a snapshot may be let go under a lock (K8).
    pub(super) const HARMLESS: bool = !mem::needs_drop::<Snapshot<S>>();

    /// Whether any are saved. A snapshot that is no copy of the state may be one that its type knows by its place among the others.
    #[inline]
    fn is_for() -> bool {
        Self::MOST > 0 && TypeId::of::<S::State>() == TypeId::of::<Snapshot<S>>()
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<SharedSnapshot<S>> {
        self.0.pop()
    }

    /// Takes over what `others` has, as far as there is room.
    pub(super) fn absorb(&mut self, others: &mut Self) {
        if self.0.is_empty() {
            mem::swap(self, others);
        } else {
            let room = Self::MOST.saturating_sub(self.0.len());
            self.0.extend(others.0.drain(..).take(room));
        }
    }
}
