//! `KeptMap` against std's.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
};

use proptest::prelude::*;
use undying::collections::{KeptMap, kept_map::Entry};

use super::histories::{Item, Subject, clones, play};

/// A hasher by which most keys collide.
#[derive(Clone, Copy, Default)]
struct Poor(u64);

impl Hasher for Poor {
    fn finish(&self) -> u64 {
        self.0 % 5
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    }
}

impl BuildHasher for Poor {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Insert(u16, u16),
    Remove(u16),
    GetMut(u16, u16),
    OrInsert(u16, u16),
    TakeEntry(u16),
    ModifyEntry(u16),
    Extend(u16, u16),
    Retain(u16),
    IterMut(u16),
    Drain,
    Clear,
    Shrink,
    Reserve(usize),
}

impl<S: BuildHasher + Default + Clone> Subject for KeptMap<Item, Item, S> {
    type Change = Change;
    type Model = HashMap<u16, u16>;

    fn filled(len: u16) -> Self {
        (0..len).map(|key| (Item(key), Item(key))).collect()
    }

    fn any_change() -> BoxedStrategy<Change> {
        let key = || prop_oneof![0..8_u16, 0..500_u16];
        prop_oneof![
            4 => (key(), any::<u16>()).prop_map(|(key, value)| Change::Insert(key, value)),
            4 => key().prop_map(Change::Remove),
            4 => (key(), any::<u16>()).prop_map(|(key, value)| Change::GetMut(key, value)),
            2 => (key(), any::<u16>()).prop_map(|(key, value)| Change::OrInsert(key, value)),
            2 => key().prop_map(Change::TakeEntry),
            2 => key().prop_map(Change::ModifyEntry),
            2 => (key(), 0..150_u16).prop_map(|(key, many)| Change::Extend(key, many)),
            1 => (2..9_u16).prop_map(Change::Retain),
            1 => any::<u16>().prop_map(Change::IterMut),
            1 => Just(Change::Drain),
            1 => Just(Change::Clear),
            1 => Just(Change::Shrink),
            1 => (0..400_usize).prop_map(Change::Reserve),
        ]
        .boxed()
    }

    fn change(&mut self, change: &Change) {
        match *change {
            Change::Insert(key, value) => drop(self.insert(Item(key), Item(value))),
            Change::Remove(key) => drop(self.remove(&Item(key))),
            Change::GetMut(key, value) => {
                if let Some(found) = self.get_mut(&Item(key)) {
                    found.0 = value;
                }
            }
            Change::OrInsert(key, value) => self.entry(Item(key)).or_insert(Item(value)).0 ^= 1,
            Change::TakeEntry(key) => {
                if let Entry::Occupied(entry) = self.entry(Item(key)) {
                    entry.remove_entry();
                }
            }
            Change::ModifyEntry(key) => {
                self.entry(Item(key)).and_modify(|value| value.0 ^= 2).or_insert_with_key(|key| key.clone());
            }
            Change::Extend(from, many) => self.extend((from..from + many).map(|key| (Item(key), Item(!key)))),
            Change::Retain(step) => self.retain(|key, value| {
                value.0 ^= 4;
                drop(value.clone());
                key.0 % step == 0
            }),
            Change::IterMut(by) => self.iter_mut().for_each(|(_, value)| value.0 ^= by),
            Change::Drain => assert_eq!(self.len(), self.drain().count()),
            Change::Clear => self.clear(),
            Change::Shrink => self.shrink_to_fit(),
            Change::Reserve(more) => self.reserve(more),
        }
    }

    fn change_model(model: &mut HashMap<u16, u16>, change: &Change) {
        match *change {
            Change::Insert(key, value) => drop(model.insert(key, value)),
            Change::Remove(key) | Change::TakeEntry(key) => drop(model.remove(&key)),
            Change::GetMut(key, value) => {
                model.entry(key).and_modify(|found| *found = value);
            }
            Change::OrInsert(key, value) => *model.entry(key).or_insert(value) ^= 1,
            Change::ModifyEntry(key) => {
                model.entry(key).and_modify(|value| *value ^= 2).or_insert(key);
            }
            Change::Extend(from, many) => model.extend((from..from + many).map(|key| (key, !key))),
            Change::Retain(step) => {
                model.retain(|key, value| {
                    *value ^= 4;
                    key % step == 0
                });
            }
            Change::IterMut(by) => model.values_mut().for_each(|value| *value ^= by),
            Change::Drain | Change::Clear => model.clear(),
            Change::Shrink | Change::Reserve(_) => {}
        }
    }

    fn read(&self) -> HashMap<u16, u16> {
        let read: HashMap<_, _> = self.iter().map(|(key, value)| (key.0, value.0)).collect();
        assert_eq!((read.len(), self.iter().len()), (self.len(), self.len()));
        for (&key, &value) in read.iter().take(20) {
            assert_eq!(self.get(&Item(key)).map(|value| value.0), Some(value));
        }
        read
    }
}

/// Copies, changes and updates of maps in any order give what std's maps give.
#[test]
fn a_map_is_what_std_s_is_under_any_history() {
    play::<KeptMap<Item, Item, RandomState>>(false);
}

/// The same where most keys have the same hash.
#[test]
fn a_map_is_what_std_s_is_however_poor_the_hash() {
    play::<KeptMap<Item, Item, Poor>>(false);
}

/// A panic of a key or value, at whatever step, leaves no copy that is taken for a good one later.
#[test]
fn a_map_survives_panics_at_every_step() {
    play::<KeptMap<Item, Item, RandomState>>(true);
    play::<KeptMap<Item, Item, Poor>>(true);
}

/// A commit into a snapshot clones the entries that changed since, however many there are.
#[test]
fn an_update_of_a_map_clones_what_changed() {
    for len in [10_u16, 1_000, 60_000] {
        let mut map = KeptMap::<Item, Item>::filled(len);
        let mut slots = [map.clone(), map.clone()];
        for round in 0..6 {
            map.get_mut(&Item(7)).expect("there").0 = round;
            // The first rounds make the table of that entry each copy's own.
            let cloned = clones(|| slots[usize::from(round) % 2].clone_from(&map));
            assert!(round < 2 || cloned == 2, "{cloned} of {len} in round {round}");
            assert_eq!(slots[usize::from(round) % 2].get(&Item(7)).map(|value| value.0), Some(round));
        }
        assert_eq!(clones(|| drop(map.clone())), 0);
    }
}

/// A map whose snapshots are all held copies one table of about √n entries for a change, not the map.
#[test]
fn a_change_under_held_snapshots_copies_one_table() {
    let mut map = KeptMap::<Item, Item>::filled(60_000);
    let mut held = Vec::new();
    for round in 0..20 {
        let cloned = clones(|| {
            held.push(map.clone());
            map.insert(Item(round * 100), Item(round));
        });
        assert!(cloned < 2 * 600, "{cloned}");
    }
    for (round, snapshot) in (0..).zip(&held) {
        assert_eq!(snapshot.get(&Item(round * 100)).map(|value| value.0), Some(round * 100));
    }
}
