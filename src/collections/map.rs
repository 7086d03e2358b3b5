//! A hash map that knows what changed.

mod entry;
mod iter;
mod keep;
mod shards;
mod traits;

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash, RandomState},
    mem,
};

pub use self::{
    entry::{Entry, OccupiedEntry, VacantEntry},
    iter::{Drain, IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, Values, ValuesMut},
};
use triomphe::Arc;

use self::{keep::Place, shards::Shards};
use super::journal::Journal;

/// A [`HashMap`](std::collections::HashMap) whose snapshots cost what changed, and not what is there.
///
/// It has the methods of std's map and does what they do. Its entries are divided among about √n small tables, which copies
/// share until one of them changes there:
///
/// * [`clone`](Clone::clone) copies no entry. The first change in a table that is shared copies that table: √n entries.
/// * [`clone_from`](Clone::clone_from), which is how a server takes a snapshot, knows an earlier copy of the same map and
///   writes only the entries that changed since.
///
/// What hands out `&mut` to one value ([`get_mut`](Self::get_mut), [`entry`](Self::entry)) counts as a change of that entry,
/// whether or not it is used to change it. What goes through all ([`iter_mut`](Self::iter_mut),
/// [`values_mut`](Self::values_mut), [`retain`](Self::retain)) counts as a change of everything: the next snapshot is then a
/// `clone`. Changes by interior mutability are seen by nobody.
///
/// Keys and values have to be `Clone` to be changed. The tables are never merged again, except by [`clear`](Self::clear) and
/// [`drain`](Self::drain).
///
/// # Examples
///
/// ```
/// use undying::collections::KeptMap;
///
/// let mut stock = KeptMap::from([("apple", 3), ("pear", 5)]);
/// let mut kept = stock.clone();
/// *stock.entry("apple").or_insert(0) += 1;
/// stock.remove("pear");
/// kept.clone_from(&stock); // writes one entry, and removes one
/// assert_eq!(kept, KeptMap::from([("apple", 4)]));
/// ```
pub struct KeptMap<K, V, S = RandomState> {
    shards: Shards<K, V>,
    len: usize,
    hasher: S,
    journal: Journal<Place>,
}

impl<K, V> KeptMap<K, V> {
    /// An empty map, which allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty map with room for `capacity` entries.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_and_hasher(capacity, RandomState::new())
    }
}

impl<K, V, S> KeptMap<K, V, S> {
    /// An empty map that hashes with `hasher`.
    #[must_use]
    pub const fn with_hasher(hasher: S) -> Self {
        Self { shards: Shards::new(), len: 0, hasher, journal: Journal::new() }
    }

    /// An empty map with room for `capacity` entries, that hashes with `hasher`.
    #[must_use]
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        Self { shards: Shards::with_capacity(capacity), ..Self::with_hasher(hasher) }
    }

    /// How many entries there is room for, all tables taken together.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| shard.capacity()).sum()
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it hashes with.
    #[must_use]
    pub const fn hasher(&self) -> &S {
        &self.hasher
    }

    /// Removes all entries, and gives their memory back.
    pub fn clear(&mut self) {
        drop(self.take());
    }

    /// The tables, and in their place none.
    fn take(&mut self) -> (Shards<K, V>, usize) {
        self.journal.record_all();
        (mem::take(&mut self.shards), mem::take(&mut self.len))
    }

    /// How long the journal may get before sharing all tables, and copying each again when it changes, is cheaper.
    fn limit(&self) -> usize {
        32 + self.len / 64
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> KeptMap<K, V, S> {
    fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        self.shards.of(hash).find(hash, |(known, _)| known.borrow() == key)
    }

    /// The value of `key`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|(_, value)| value)
    }

    /// The entry of `key`: the key as it is kept, and the value.
    pub fn get_key_value<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|(key, value)| (key, value))
    }

    /// Whether there is an entry of `key`.
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }
}

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher> KeptMap<K, V, S> {
    /// The value of `key`, to be changed. It counts as changed.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let same = |(known, _): &(K, V)| known.borrow() == key;
        let limit = self.limit();
        let shard = self.shards.of_mut(hash);
        // A table that is shared is copied for an entry that is there, and not to look for one.
        if Arc::get_mut(shard).is_none() && shard.find(hash, same).is_none() {
            return None;
        }
        let (_, value) = Arc::make_mut(shard).find_mut(hash, same)?;
        self.journal.record(Place::Entry(hash), limit);
        Some(value)
    }

    /// Puts `value` in the place of `key`, and gives back what was there. A key that was there stays as it is.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(key) {
            Entry::Occupied(mut entry) => Some(entry.insert(value)),
            Entry::Vacant(entry) => {
                entry.insert(value);
                None
            }
        }
    }

    /// The place of `key`, whether there is a value or not. It counts as changed.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        let hash = self.hasher.hash_one(&key);
        let at = self.make_room(hash);
        self.journal.record(Place::Entry(hash), self.limit());
        let shard = Arc::make_mut(&mut self.shards[at]);
        let rehash = |(key, _): &(K, V)| self.hasher.hash_one(key);
        let place = shard.entry(hash, |(known, _)| *known == key, rehash);
        Entry::new(key, place, &mut self.len)
    }

    /// Removes the entry of `key`, and gives back its value.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Removes the entry of `key`, and gives it back.
    pub fn remove_entry<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let same = |(known, _): &(K, V)| known.borrow() == key;
        let limit = self.limit();
        let shard = self.shards.of_mut(hash);
        shard.find(hash, same)?;
        self.journal.record(Place::Entry(hash), limit);
        let (entry, _) = Arc::make_mut(shard).find_entry(hash, same).ok()?.remove();
        self.len -= 1;
        Some(entry)
    }

    /// Makes room for `additional` more entries, as well as can be told how they will be divided among the tables.
    pub fn reserve(&mut self, additional: usize) {
        let wanted = self.len.saturating_add(additional);
        if self.len == 0 {
            self.journal.record_all();
            self.shards = Shards::with_capacity(wanted);
            return;
        }
        while self.shards.are_few_for(wanted) {
            self.split();
        }
        let each = wanted.div_ceil(self.shards.len());
        for at in 0..self.shards.len() {
            let missing = each.saturating_sub(self.shards[at].len());
            self.grow(at, missing);
        }
    }

    /// Gives back what memory it can. It counts as a change of everything.
    pub fn shrink_to_fit(&mut self) {
        if self.len == 0 {
            return self.clear();
        }
        let torn = Torn(self);
        let Self { shards, hasher, .. } = &mut *torn.0;
        for shard in shards.iter_mut() {
            Arc::make_mut(shard).shrink_to_fit(|(key, _)| hasher.hash_one(key));
        }
    }

    /// Keeps the entries of which `keep` is true. It counts as a change of everything.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let torn = Torn(self);
        for shard in torn.0.shards.iter_mut() {
            Arc::make_mut(shard).retain(|(key, value)| keep(key, value));
        }
    }

    /// A table with room for one more entry, where `hash` belongs.
    fn make_room(&mut self, hash: u64) -> usize {
        if self.shards.are_few_for(self.len + 1) {
            self.split();
        }
        let at = self.shards.index(hash);
        let shard = &self.shards[at];
        if shard.len() == shard.capacity() {
            self.grow(at, 1);
        }
        at
    }

    #[cold]
    fn grow(&mut self, at: usize, additional: usize) {
        let torn = Torn(self);
        let Self { shards, hasher, .. } = &mut *torn.0;
        Arc::make_mut(&mut shards[at]).reserve(additional, |(key, _)| hasher.hash_one(key));
        mem::forget(torn); // Nothing moved in or out.
    }

    #[cold]
    fn split(&mut self) {
        let limit = self.limit();
        let Self { shards, hasher, journal, .. } = self;
        shards.split(|key| hasher.hash_one(key), |at| journal.record(Place::Shard(at), limit));
    }
}

/// Counts the entries again, and lets everything count as changed, also when user code panics in between.
struct Torn<'a, K, V, S>(&'a mut KeptMap<K, V, S>);

impl<K, V, S> Drop for Torn<'_, K, V, S> {
    fn drop(&mut self) {
        self.0.len = self.0.shards.iter().map(|shard| shard.len()).sum();
        self.0.journal.record_all();
    }
}
