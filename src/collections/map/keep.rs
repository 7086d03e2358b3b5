//! Copies of a map, and how one that is out of date is brought up to date.

use std::{
    hash::{BuildHasher, Hash},
    mem,
};

use triomphe::Arc;

use super::{KeptMap, shards::Shard};
use crate::collections::journal::Change;

/// Where a map changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the entries of this hash.
    Entry(u64),
    /// Somewhere in this table.
    Shard(usize),
}

impl Change for Place {
    fn merge(&mut self, next: &Self) -> bool {
        self == next
    }
}

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher + Clone> Clone for KeptMap<K, V, S> {
    /// Copies no entry: the tables are shared until one of them changes here or there.
    fn clone(&self) -> Self {
        let Self { shards, len, hasher, journal } = self;
        Self { shards: shards.clone(), len: *len, hasher: hasher.clone(), journal: journal.clone() }
    }

    /// Writes what changed since, where this is an earlier copy of `source`; otherwise as `clone`. A panic in here leaves
    /// this empty.
    fn clone_from(&mut self, source: &Self) {
        let places = source.journal.since(&self.journal);
        self.journal.forget();
        let half = Half(self);
        match places {
            Some(places) => half.0.catch_up(source, places),
            None => {
                half.0.shards.clone_from(&source.shards);
                half.0.hasher.clone_from(&source.hasher);
            }
        }
        half.0.len = source.len;
        half.0.journal.become_copy(source.journal.name());
        mem::forget(half);
    }
}

/// A map that is being written to: of two moments at once, unless it is forgotten.
struct Half<'a, K, V, S>(&'a mut KeptMap<K, V, S>);

impl<K, V, S> Drop for Half<'_, K, V, S> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

impl<K: Eq + Hash + Clone, V: Clone, S: BuildHasher> KeptMap<K, V, S> {
    fn catch_up<'a>(&mut self, source: &Self, places: impl Iterator<Item = &'a Place>) {
        let known = self.shards.len();
        self.shards.extend_from_slice(&source.shards[known..]);
        let mut before = None;
        for &place in places {
            if before.replace(place) == Some(place) {
                continue; // Changed before the last copy, and after it.
            }
            let at = match place {
                Place::Entry(hash) => source.shards.index(hash),
                Place::Shard(at) => at,
            };
            let (mine, theirs) = (&mut self.shards[at], &source.shards[at]);
            if Arc::ptr_eq(mine, theirs) {
                continue;
            }
            match (place, Arc::get_mut(mine)) {
                (Place::Entry(hash), Some(mine)) => copy_hash(hash, &source.hasher, theirs, mine),
                // A table that others share as well is left to them.
                _ => mine.clone_from(theirs),
            }
        }
    }
}

/// Makes the entries of one hash in `mine` those of `theirs`.
fn copy_hash<K: Eq + Hash + Clone, V: Clone>(
    hash: u64,
    hasher: &impl BuildHasher,
    theirs: &Shard<K, V>,
    mine: &mut Shard<K, V>,
) {
    // Nearly always there is one such entry on either side.
    let mut found = theirs.iter_hash(hash);
    if let (Some(entry), None) = (found.next(), found.next()) {
        let mut found = mine.iter_hash_mut(hash);
        if let (Some((key, value)), None) = (found.next(), found.next()) {
            if *key == entry.0 {
                key.clone_from(&entry.0);
                value.clone_from(&entry.1);
                return;
            }
        }
    }
    let hash_of = |(key, _): &(K, V)| hasher.hash_one(key);
    let gone =
        |entry: &(K, V)| theirs.find(hash, |(key, _)| *key == entry.0).is_none() && hash_of(entry) == hash;
    while let Ok(entry) = mine.find_entry(hash, gone) {
        entry.remove();
    }
    // A table finds by a part of the hash, so other entries come along. Whether one is that is not asked where there is one
    // only, and it is here already: to copy it is no harm.
    let several = theirs.iter_hash(hash).nth(1).is_some();
    for entry in theirs.iter_hash(hash) {
        if several && hash_of(entry) != hash {
            continue;
        }
        match mine.find_mut(hash, |(key, _)| *key == entry.0) {
            Some((key, value)) => {
                key.clone_from(&entry.0);
                value.clone_from(&entry.1);
            }
            None if several || hash_of(entry) == hash => {
                mine.insert_unique(hash, entry.clone(), hash_of);
            }
            None => {}
        }
    }
}
