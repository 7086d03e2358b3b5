//! Where a server stands in registries, besides its own name: that ends with the server.
//!
//! The order of the locks is: table, then record. A server that takes a place is looked at under the lock of the table, so
//! that its end comes either before, and it is not taken in, or after, and finds the place. Hence nobody may give up a place
//! ([`Places`], [`Registration`](super::Registration)) while a record is locked.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use crate::{gen_server::GenServer, logical::Logical, name::ServerId};

/// A table, whatever its keys and values.
pub(crate) trait Book: Send + Sync {
    /// Strikes out whatever ends with this server. Runs no user code under a lock.
    fn strike(&self, server: ServerId);

    /// Forgets a watcher.
    fn unwatch(&self, number: u64);
}

/// The tables in which a server stands, by their numbers. It leaves them when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<u64, Place>);

/// A table does not live on because servers stand in it.
struct Place {
    book: Weak<dyn Book>,
    server: ServerId,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(book) = self.book.upgrade() {
            book.strike(self.server);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Places {
    fn note(&mut self, number: u64, book: &Weak<dyn Book>, server: ServerId) {
        if self.0.contains_key(&number) {
            return;
        }
        // Only those are forgotten that lead nowhere any more: they leave nothing.
        self.0.retain(|_, place| place.book.strong_count() > 0);
        self.0.insert(number, Place { book: book.clone(), server });
    }
}

/// Has a server note that it stands in the table of that number. `false`: it has ended, and is not to be taken in.
pub(super) fn enter<S: GenServer>(logical: &Arc<Logical<S>>, number: u64, book: &Weak<dyn Book>) -> bool {
    logical.cell.look(|record| {
        if record.deferred.ended() {
            return false;
        }
        record.extras().places.note(number, book, logical.id);
        true
    })
}
