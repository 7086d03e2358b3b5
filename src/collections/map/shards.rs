//! The tables of a map: about √n of about √n entries each, shared among copies until one of them changes.
//!
//! A map grows by one table at a time (linear hashing): the table whose turn it is gives about half of its entries to a new
//! one. So no insertion ever costs more than √n, where a std map moves all it has every now and then.

use std::ops::{Deref, DerefMut};

use hashbrown::HashTable;
use triomphe::Arc;

/// One of the tables.
pub(super) type Shard<K, V> = HashTable<(K, V)>;

/// How many entries a table has before there is a second one.
const SMALL: usize = 64;

pub(super) struct Shards<K, V>(Vec<Arc<Shard<K, V>>>);

impl<K, V> Shards<K, V> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn with_capacity(capacity: usize) -> Self {
        let many = if capacity > SMALL * SMALL { capacity.isqrt() } else { capacity.div_ceil(SMALL) };
        let each = capacity.div_ceil(many.max(1));
        Self((0..many).map(|_| Arc::new(HashTable::with_capacity(each))).collect())
    }

    pub(super) fn into_inner(self) -> Vec<Arc<Shard<K, V>>> {
        self.0
    }

    /// Whether there should be another table for `entries`.
    pub(super) fn are_few_for(&self, entries: usize) -> bool {
        entries > self.0.len() * self.0.len().max(SMALL)
    }

    /// Which table `hash` belongs in.
    ///
    /// The bits are mixed, because a poor hash has most of what it has in the low bits, and taken from the middle of the
    /// product: a table looks at the low and at the highest bits of the hash itself.
    pub(super) fn index(&self, hash: u64) -> usize {
        let mixed = (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
        let (len, mask) = (self.0.len(), self.0.len().next_power_of_two() - 1);
        let at = mixed & mask;
        if at < len { at } else { at & (mask >> 1) }
    }

    /// The table `hash` belongs in. There has to be one.
    pub(super) fn of(&self, hash: u64) -> &Shard<K, V> {
        &self.0[self.index(hash)]
    }

    /// The table `hash` belongs in. There has to be one.
    pub(super) fn of_mut(&mut self, hash: u64) -> &mut Arc<Shard<K, V>> {
        let at = self.index(hash);
        &mut self.0[at]
    }
}

impl<K: Clone, V: Clone> Shards<K, V> {
    /// Adds a table, and tells which ones it is about to `change`.
    pub(super) fn split(&mut self, hash_of: impl Fn(&K) -> u64, mut change: impl FnMut(usize)) {
        let new = self.0.len();
        if new == 0 {
            change(new);
            return self.0.push(Arc::default());
        }
        let old = new & !(1 << new.ilog2());
        // All that user code has a part in, a panic may cut short; the rest comes after.
        let hashes: Vec<u64> = self.0[old].iter().map(|(key, _)| hash_of(key)).collect();
        Arc::make_mut(&mut self.0[old]);
        change(old);
        change(new);
        self.0.push(Arc::default());
        let moves: Vec<bool> = hashes.iter().map(|&hash| self.index(hash) == new).collect();
        let mut moving = HashTable::with_capacity(moves.iter().filter(|&&moves| moves).count());
        let staying = Arc::get_mut(&mut self.0[old]).expect("made our own above");
        let mut turn = moves.iter();
        let moved_hashes = hashes.iter().zip(&moves).filter_map(|(&hash, &moves)| moves.then_some(hash));
        let moved = staying.extract_if(|_| turn.next().is_some_and(|&moves| moves));
        for (entry, hash) in moved.zip(moved_hashes) {
            moving.insert_unique(hash, entry, |_| unreachable!("there is room for it"));
        }
        self.0[new] = Arc::new(moving);
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shares all tables.
impl<K, V> Clone for Shards<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn clone_from(&mut self, source: &Self) {
        self.0.clone_from(&source.0);
    }
}

impl<K, V> Deref for Shards<K, V> {
    type Target = Vec<Arc<Shard<K, V>>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K, V> DerefMut for Shards<K, V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
