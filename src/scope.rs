//! "Are we inside a callback, and of which server?": what a worker enters around each poll of a callback.
//!
//! Two things hang on it. A reply sent from inside a callback of its own server is *held* here until the callback commits
//! (K1), and a server that calls itself is told so at once instead of timing out.

use std::{cell::Cell, fmt, mem, sync::Arc};

use smallvec::SmallVec;

use crate::{
    contain::{Payload, catch},
    name::ServerId,
    peer::Peer,
    reply::{AnySlot, Claim},
    sync::thread_local,
};

thread_local! {
    /// The callback this thread is in. Taken out while it is looked at.
    static ACTIVE: Cell<Option<Box<Active>>> = const { Cell::new(None) };
}

/// Nearly every callback sends one reply at most: that needs no allocation.
type Replies = SmallVec<[Arc<dyn AnySlot>; 1]>;

struct Active {
    server: ServerId,
    peer: Arc<dyn Peer>,
    epoch: u64,
    held: Replies,
    /// Whether the callback has called other servers.
    called: bool,
}

/// One incarnation's place for held replies: what its callback has said and nobody has heard.
pub(crate) struct Scope {
    epoch: u64,
    /// `None` only while entered.
    active: Option<Box<Active>>,
}

impl Scope {
    pub(crate) fn new(peer: Arc<dyn Peer>, epoch: u64) -> Self {
        let active = Active { server: peer.id(), peer, epoch, held: Replies::new(), called: false };
        Self { epoch, active: Some(Box::new(active)) }
    }

    /// Runs `f` as a part of a callback of this server; a panic comes back as its payload.
    #[inline]
    pub(crate) fn enter<R>(&mut self, f: impl FnOnce() -> R) -> Result<R, Payload> {
        // Scopes nest: a callback may block on a runtime of its own that runs another server's callback.
        let Ok(outer) = ACTIVE.try_with(|active| active.replace(self.active.take())) else {
            // The thread is on its way out, and drops a runtime with it: no callback runs here, only what drops run.
            return catch(f);
        };
        let result = catch(f);
        self.active = ACTIVE.with(|active| active.replace(outer));
        result
    }

    /// How many replies are held.
    #[inline]
    pub(crate) fn held(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.held.len() as u64)
    }

    /// The callback is over: what it has begun to wait for and left to others is not waited for by it any more.
    #[inline]
    pub(crate) fn end_waits(&mut self) {
        if let Some(active) = self.active.as_mut().filter(|active| active.called) {
            active.called = false;
            active.peer.clear_waits(active.epoch);
        }
    }

    /// The callback is committed: its replies go out. `claim`: of the call that it was, if it was one.
    #[inline]
    pub(crate) fn say(&mut self, claim: &mut Option<Claim>) {
        let Some(active) = self.active.as_mut().filter(|active| !active.held.is_empty()) else { return };
        for slot in active.held.drain(..) {
            if !claim.as_mut().is_some_and(|claim| claim.release(&slot, self.epoch)) {
                slot.release(self.epoch, false);
            }
        }
    }

    /// The callback is committed: its replies go out when what is returned is dropped.
    pub(crate) fn say_later(&mut self) -> Said {
        let held = self.active.as_mut().map(|active| mem::take(&mut active.held));
        Said { epoch: self.epoch, held: held.unwrap_or_default() }
    }

    /// The callback has crashed: it has said nothing.
    pub(crate) fn forget(&mut self) {
        self.end_waits();
        for slot in self.active.iter_mut().flat_map(|active| active.held.drain(..)) {
            // The `Drop` of an answer is not ours and may panic.
            let _ = catch(|| slot.forget(self.epoch));
        }
    }

    pub(crate) fn shrink(&mut self) {
        if let Some(active) = &mut self.active {
            active.held.shrink_to_fit();
        }
    }
}

/// Where code runs, seen from a server that is called.
pub(crate) enum Place {
    Outside,
    /// In a callback of the server itself.
    Inside,
    /// In a callback of another one.
    Elsewhere(Callback),
}

/// A callback that is running.
pub(crate) struct Callback {
    pub(crate) server: Arc<dyn Peer>,
    pub(crate) epoch: u64,
}

/// Where this code runs, seen from `server`.
pub(crate) fn place(server: ServerId) -> Place {
    let place = look(|active| {
        if active.server == server {
            return Place::Inside;
        }
        active.called = true;
        Place::Elsewhere(Callback { server: active.peer.clone(), epoch: active.epoch })
    });
    place.unwrap_or(Place::Outside)
}

/// Replies of a callback that is committed. Whatever way this goes, they go out.
pub(crate) struct Said {
    epoch: u64,
    held: Replies,
}

impl Drop for Said {
    fn drop(&mut self) {
        for slot in self.held.drain(..) {
            slot.release(self.epoch, false);
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Whether this code runs inside a callback of `server`.
pub(crate) fn is_inside(server: ServerId) -> bool {
    epoch_inside(server).is_some()
}

/// The epoch of the callback of `server` this code runs in.
pub(crate) fn epoch_inside(server: ServerId) -> Option<u64> {
    look(|active| (active.server == server).then_some(active.epoch)).flatten()
}

/// The server in whose callback this code runs, if it does.
pub(crate) fn here() -> Option<Arc<dyn Peer>> {
    look(|active| active.peer.clone())
}

/// Puts a slot that holds an answer into the scope it was sent from.
pub(crate) fn hold(slot: Arc<dyn AnySlot>) {
    look(|active| active.held.push(slot));
}

fn look<R>(f: impl FnOnce(&mut Active) -> R) -> Option<R> {
    // A thread that is on its way out runs no callback.
    let look = |cell: &Cell<Option<Box<Active>>>| {
        let mut active = cell.take();
        let seen = active.as_deref_mut().map(f);
        cell.set(active);
        seen
    };
    ACTIVE.try_with(look).ok().flatten()
}
