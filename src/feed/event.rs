//! What is queued for a listener.

use std::{ops::Deref, time::Duration};

use crate::{
    contain::drop_quietly,
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    preserve::{Kept, SharedSnapshot, Snapshot},
};

pub(crate) enum Event<S: GenServer> {
    Started { state: Shared<S> },
    Changed { state: Shared<S>, change: Change },
    Crashed { report: CrashReport, state: Shared<S>, abandoned: bool },
    Restarted { incarnation: u64, took: Duration },
    Terminated { reason: ExitReason, state: Shared<S> },
}

pub(super) const KINDS: usize = 5;
pub(super) const CHANGED: usize = 1;

impl<S: GenServer> Event<S> {
    pub(super) const fn kind(&self) -> usize {
        match self {
            Self::Started { .. } => 0,
            Self::Changed { .. } => CHANGED,
            Self::Crashed { .. } => 2,
            Self::Restarted { .. } => 3,
            Self::Terminated { .. } => 4,
        }
    }

    /// Whether it may give way to a newer one.
    pub(super) const fn may_go(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Crashed { .. } | Self::Restarted { .. })
    }
}

/// What is known of a change besides its state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) incarnation: u64,
    pub(crate) callback: Callback,
}

/// An event with its number among those of its kind.
pub(super) struct Queued<S: GenServer> {
    pub(super) number: u64,
    pub(super) event: Event<S>,
}

/// A snapshot that was committed, without what is known of it; dropped quietly.
pub(crate) struct Shared<S: GenServer>(Option<SharedSnapshot<S>>);

impl<S: GenServer> Shared<S> {
    #[inline]
    pub(super) const fn new(snapshot: SharedSnapshot<S>) -> Self {
        Self(Some(snapshot))
    }

    pub(crate) fn of(kept: &Kept<S>) -> Self {
        Self::new(kept.snapshot().clone())
    }

    #[inline]
    pub(super) fn into_inner(mut self) -> SharedSnapshot<S> {
        self.0.take().expect("it is taken only by its end")
    }
}

impl<S: GenServer> Deref for Shared<S> {
    type Target = Snapshot<S>;

    fn deref(&self) -> &Snapshot<S> {
        self.0.as_ref().expect("it is taken only by its end")
    }
}

impl<S: GenServer> Drop for Shared<S> {
    fn drop(&mut self) {
        if let Some(snapshot) = self.0.take() {
            drop_quietly(snapshot);
        }
    }
}
