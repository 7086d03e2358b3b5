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
    /// Mostly there is one listener at most, which takes no allocation.
    first: Option<(u64, Waker)>,
    others: BTreeMap<u64, Waker>,
    /// Numbers the listeners.
    came: u64,
}

impl Tower {
    /// Notes whom to wake for a listener. What it was before comes back, to be dropped outside the lock.
    fn note(&mut self, listener: u64, waker: Waker) -> Option<Waker> {
        match &mut self.first {
            Some((first, before)) if *first == listener => Some(mem::replace(before, waker)),
            // One that stands among the others stays there.
            None if self.others.is_empty() => {
                self.first = Some((listener, waker));
                None
            }
            _ => self.others.insert(listener, waker),
        }
    }

    fn forget(&mut self, listener: u64) -> Option<Waker> {
        match self.first.take_if(|(first, _)| *first == listener) {
            Some((_, waker)) => Some(waker),
            None => self.others.remove(&listener),
        }
    }
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
        let (first, others) = (tower.first.take(), mem::take(&mut tower.others));
        drop(tower);
        wake_quietly(first.map(|(_, waker)| waker));
        others.into_values().map(Some).for_each(wake_quietly);
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
        let stale = tower.note(listener, waker);
        drop(tower);
        drop(stale);
        self.listener = Some(listener);
        Poll::Pending
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        if let Some(listener) = self.listener {
            let waker = self.bell.0.lock().forget(listener);
            drop(waker);
        }
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
