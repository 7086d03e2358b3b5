//! What is counted of one server beyond what all servers of its label have in common.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{Instruments, Shared};
use crate::{name::ServerId, probe::Ran};

/// Its share of the gauges. The probe owns it, so it is gone with the server, and its share with it: also where the runtime was shut
/// down and nobody told of an end.
pub(super) struct Tally {
    pub(super) instruments: Arc<Instruments>,
    server: ServerId,
    alive: AtomicBool,
    queued: AtomicUsize,
    listener: Weak<Shared>,
}

impl Tally {
    pub(super) fn new(instruments: Arc<Instruments>, server: ServerId, listener: &Arc<Shared>) -> Self {
        Self {
            instruments,
            server,
            alive: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            listener: Arc::downgrade(listener),
        }
    }

    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn ran(&self, ran: &Ran) {
        self.instruments.ran(ran);
        self.queue(ran.mailbox_len);
    }

    /// The gauge is of all servers of the label, so each adds what has changed.
    fn queue(&self, now: usize) {
        let before = self.queued.swap(now, Ordering::Relaxed);
        if now != before {
            self.instruments.queued.increment(now as f64 - before as f64);
        }
    }

    pub(super) fn lives(&self) {
        if !self.alive.swap(true, Ordering::Relaxed) {
            self.instruments.servers.increment(1.0);
        }
    }

    pub(super) fn ends(&self) {
        if self.alive.swap(false, Ordering::Relaxed) {
            self.instruments.servers.decrement(1.0);
        }
        self.queue(0);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.upgrade() {
            listener.forget(self);
        }
        self.ends();
    }
}
