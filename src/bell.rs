//! A bell: whoever waits for something looks, listens for the next ring, and looks again.

use std::{
    collections::BTreeMap,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::{contain::wake_quietly, sync::Mutex};

#[derive(Default)]
struct Tower {
    rung: u64,
    listeners: BTreeMap<u64, Waker>,
    /// Numbers the listeners.
    came: u64,
}

pub(crate) struct Bell(Mutex<Tower>);

impl Bell {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Tower::default()))
    }

    /// Rings: every [`Ring`] that was listened for before this resolves.
    pub(crate) fn ring(&self) {
        let mut tower = self.0.lock();
        tower.rung += 1;
        let listeners = mem::take(&mut tower.listeners);
        drop(tower);
        listeners.into_values().map(Some).for_each(wake_quietly);
    }

    /// The next ring from now on, whether it is polled by then or not.
    pub(crate) fn listen(&self) -> Ring<'_> {
        Ring { bell: self, heard: self.0.lock().rung, listener: None }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

/// The future of the next ring.
#[derive(Debug)]
pub(crate) struct Ring<'a> {
    bell: &'a Bell,
    heard: u64,
    listener: Option<u64>,
}

impl Future for Ring<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A waker is not ours: it is cloned and dropped outside the lock (K8).
        let waker = cx.waker().clone();
        let mut tower = self.bell.0.lock();
        if tower.rung != self.heard {
            drop(tower);
            return Poll::Ready(());
        }
        let listener = self.listener.unwrap_or_else(|| {
            tower.came += 1;
            tower.came
        });
        let stale = tower.listeners.insert(listener, waker);
        drop(tower);
        drop(stale);
        self.listener = Some(listener);
        Poll::Pending
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        if let Some(listener) = self.listener {
            let waker = self.bell.0.lock().listeners.remove(&listener);
            drop(waker);
        }
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
