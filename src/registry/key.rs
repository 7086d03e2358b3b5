//! The keys of a table.
//!
//! They are a user's, and so is how they are hashed, compared and dropped (K8). A key is hashed once, outside the lock, and
//! carries its hash with it. It is compared under the lock only where a user's own call looks for it: what a table looks for
//! by itself, as at the end of a server, it knows by its address. It is dropped quietly wherever its last copy goes, which
//! is the table's care to be outside the lock.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    ptr,
    sync::Arc,
};

use crate::contain::Quiet;

/// A map whose keys are hashed already.
pub(super) type Map<Q, T> = HashMap<Key<Q>, T, BuildHasherDefault<Hashed>>;

/// A key that stands in a table. A clone is the same one.
pub(super) struct Key<Q: ?Sized> {
    hash: u64,
    key: Quiet<Arc<Q>>,
}

impl<Q: Hash + ?Sized> Key<Q> {
    /// Hashes it, which is the user's doing.
    pub(super) fn new(hasher: &RandomState, key: Arc<Q>) -> Self {
        // Held from here on, so that it is dropped quietly even if it cannot be hashed.
        let key = Quiet::new(key);
        Self { hash: hasher.hash_one(&**key), key }
    }
}

impl<Q: ?Sized> Key<Q> {
    pub(super) fn as_key(&self) -> &Q {
        &self.key
    }
}

impl<Q: ?Sized> Clone for Key<Q> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, key: Quiet::new(self.key.clone()) }
    }
}

/// What a table can be asked for: a key of its own, or one that is equal to it.
pub(super) trait Sought<Q: ?Sized> {
    fn hashed(&self) -> u64;

    fn key(&self) -> &Q;

    /// Whether only this very key will do, so that no user's `Eq` has to tell.
    fn itself(&self) -> bool;
}

impl<Q: ?Sized> Sought<Q> for Key<Q> {
    fn hashed(&self) -> u64 {
        self.hash
    }

    fn key(&self) -> &Q {
        &self.key
    }

    fn itself(&self) -> bool {
        false
    }
}

/// A key that is equal to that of a user.
pub(super) struct Like<'a, Q: ?Sized> {
    hash: u64,
    key: &'a Q,
}

impl<'a, Q: Hash + ?Sized> Like<'a, Q> {
    /// Hashes it, which is the user's doing.
    pub(super) fn new(hasher: &RandomState, key: &'a Q) -> Self {
        Self { hash: hasher.hash_one(key), key }
    }
}

impl<Q: ?Sized> Sought<Q> for Like<'_, Q> {
    fn hashed(&self) -> u64 {
        self.hash
    }

    fn key(&self) -> &Q {
        self.key
    }

    fn itself(&self) -> bool {
        false
    }
}

/// A key that stands in the table: found without a user's `Eq`.
pub(super) struct This<'a, Q: ?Sized>(pub(super) &'a Key<Q>);

impl<Q: ?Sized> Sought<Q> for This<'_, Q> {
    fn hashed(&self) -> u64 {
        self.0.hash
    }

    fn key(&self) -> &Q {
        &self.0.key
    }

    fn itself(&self) -> bool {
        true
    }
}

impl<'a, Q: ?Sized + 'a> Borrow<dyn Sought<Q> + 'a> for Key<Q> {
    fn borrow(&self) -> &(dyn Sought<Q> + 'a) {
        self
    }
}

impl<Q: ?Sized> Hash for dyn Sought<Q> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hashed());
    }
}

impl<Q: Eq + ?Sized> PartialEq for dyn Sought<Q> + '_ {
    fn eq(&self, other: &Self) -> bool {
        if self.itself() || other.itself() {
            return ptr::addr_eq(self.key(), other.key());
        }
        self.hashed() == other.hashed() && self.key() == other.key()
    }
}

impl<Q: Eq + ?Sized> Eq for dyn Sought<Q> + '_ {}

impl<Q: ?Sized> Hash for Key<Q> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<Q: Eq + ?Sized> PartialEq for Key<Q> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && *self.key == *other.key
    }
}

impl<Q: Eq + ?Sized> Eq for Key<Q> {}

impl<Q: ?Sized> fmt::Debug for Key<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Takes a hash for what it is.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key writes its hash and nothing else");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
