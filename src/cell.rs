//! The cell: what is kept of a logical server, behind a fence of epochs.
//!
//! An *epoch* is the number of an incarnation. The cell admits the one incarnation that is alive and refuses every earlier
//! one for good (K4), so that a worker which nobody can stop can still do no harm: fencing tokens, as in Kleppmann's
//! *How to do distributed locking* (2016), only that here the lock and the storage are one thing and the check is exact.
//!
//! No closure given to a cell runs user code (K8).

use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Cell<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    /// The incarnation that is alive or, between two lives, the one to come.
    epoch: u64,
    alive: bool,
    refused: u64,
    record: T,
}

/// The incarnation is not the one that is alive: whatever it wanted to do has not happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fenced;

impl<T> Cell<T> {
    pub(crate) fn new(record: T) -> Self {
        Self { inner: Mutex::new(Inner { epoch: 1, alive: false, refused: 0, record }) }
    }

    /// Lets the next incarnation live if `may` agrees in the same instant, and gives its epoch.
    pub(crate) fn open_if(&self, may: impl FnOnce(&T) -> bool) -> Option<u64> {
        let mut inner = self.inner.lock();
        if !may(&inner.record) {
            return None;
        }
        inner.alive = true;
        Some(inner.epoch)
    }

    /// Ends the life of the incarnation that is alive, if any: from here on it is refused (K4). `f` sees the record in the
    /// same instant, and the epoch that ended.
    pub(crate) fn fence<R>(&self, f: impl FnOnce(&mut T, u64) -> R) -> Option<R> {
        self.fence_if(|_| true, f)
    }

    /// As [`fence`](Self::fence), if `may` agrees in the same instant.
    pub(crate) fn fence_if<R>(
        &self,
        may: impl FnOnce(&T) -> bool,
        f: impl FnOnce(&mut T, u64) -> R,
    ) -> Option<R> {
        let mut inner = self.inner.lock();
        if !inner.alive || !may(&inner.record) {
            return None;
        }
        let ended = inner.epoch;
        inner.alive = false;
        inner.epoch += 1;
        Some(f(&mut inner.record, ended))
    }

    /// Ends the life of the incarnation that is alive, if any, and lets `f` at the record in the same instant in any case, with
    /// the epoch that ended.
    pub(crate) fn end<R>(&self, f: impl FnOnce(&mut T, Option<u64>) -> R) -> R {
        let mut inner = self.inner.lock();
        let ended = inner.alive.then_some(inner.epoch);
        inner.alive = false;
        inner.epoch += u64::from(ended.is_some());
        f(&mut inner.record, ended)
    }

    /// Lets incarnation `epoch` at the record if it is the one alive.
    #[inline]
    pub(crate) fn enter<R>(&self, epoch: u64, f: impl FnOnce(&mut T) -> R) -> Result<R, Fenced> {
        let mut inner = self.inner.lock();
        if inner.alive && inner.epoch == epoch { Ok(f(&mut inner.record)) } else { Err(Fenced) }
    }

    /// As [`enter`](Self::enter), and counts what is refused: for commits.
    #[inline]
    pub(crate) fn commit<R>(&self, epoch: u64, f: impl FnOnce(&mut T) -> R) -> Result<R, Fenced> {
        let mut inner = self.inner.lock();
        if inner.alive && inner.epoch == epoch {
            Ok(f(&mut inner.record))
        } else {
            inner.refused += 1;
            Err(Fenced)
        }
    }

    /// For the logical server itself, which outlives incarnations.
    #[inline]
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.inner.lock().record)
    }

    /// As [`look`](Self::look), with the epoch: that of the incarnation that is alive or, between two lives, to come.
    pub(crate) fn look_at<R>(&self, f: impl FnOnce(&mut T, u64) -> R) -> R {
        let mut inner = self.inner.lock();
        let epoch = inner.epoch;
        f(&mut inner.record, epoch)
    }

    /// As [`look`](Self::look), with the number of commits that were refused.
    pub(crate) fn audit<R>(&self, f: impl FnOnce(&mut T, u64) -> R) -> R {
        let mut inner = self.inner.lock();
        let refused = inner.refused;
        f(&mut inner.record, refused)
    }

    /// Whether an incarnation is alive.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.lock().alive
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
