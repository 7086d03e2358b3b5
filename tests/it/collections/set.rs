//! `KeptSet` against std's.

use std::collections::HashSet;

use proptest::prelude::*;
use undying::collections::KeptSet;

use super::histories::{Item, Subject, clones, play};

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Insert(u16),
    Remove(u16),
    Take(u16),
    Replace(u16),
    Extend(u16, u16),
    Retain(u16),
    Drain,
}

impl Subject for KeptSet<Item> {
    type Change = Change;
    type Model = HashSet<u16>;

    fn filled(len: u16) -> Self {
        (0..len).map(Item).collect()
    }

    fn any_change() -> BoxedStrategy<Change> {
        let item = || prop_oneof![0..8_u16, 0..500_u16];
        prop_oneof![
            4 => item().prop_map(Change::Insert),
            3 => item().prop_map(Change::Remove),
            1 => item().prop_map(Change::Take),
            1 => item().prop_map(Change::Replace),
            2 => (item(), 0..150_u16).prop_map(|(from, many)| Change::Extend(from, many)),
            1 => (2..9_u16).prop_map(Change::Retain),
            1 => Just(Change::Drain),
        ]
        .boxed()
    }

    fn change(&mut self, change: &Change) {
        match *change {
            Change::Insert(item) => drop(self.insert(Item(item))),
            Change::Remove(item) => drop(self.remove(&Item(item))),
            Change::Take(item) => drop(self.take(&Item(item))),
            Change::Replace(item) => drop(self.replace(Item(item))),
            Change::Extend(from, many) => self.extend((from..from + many).map(Item)),
            Change::Retain(step) => self.retain(|item| item.0 % step == 0),
            Change::Drain => assert_eq!(self.len(), self.drain().count()),
        }
    }

    fn change_model(model: &mut HashSet<u16>, change: &Change) {
        match *change {
            Change::Insert(item) | Change::Replace(item) => drop(model.insert(item)),
            Change::Remove(item) | Change::Take(item) => drop(model.remove(&item)),
            Change::Extend(from, many) => model.extend(from..from + many),
            Change::Retain(step) => model.retain(|item| item % step == 0),
            Change::Drain => model.clear(),
        }
    }

    fn read(&self) -> HashSet<u16> {
        let read: HashSet<_> = self.iter().map(|item| item.0).collect();
        assert_eq!(read.len(), self.len());
        read
    }
}

/// Copies, changes and updates of sets in any order give what std's sets give.
#[test]
fn a_set_is_what_std_s_is_under_any_history() {
    play::<KeptSet<Item>>(false);
}

/// A panic of an element, at whatever step, leaves no copy that is taken for a good one later.
#[test]
fn a_set_survives_panics_at_every_step() {
    play::<KeptSet<Item>>(true);
}

/// What is there already is not inserted again, and so no change that a snapshot would have to be told.
#[test]
fn an_element_that_is_there_is_no_change() {
    let mut set = KeptSet::<Item>::filled(1000);
    let mut kept = set.clone();
    assert!(!set.insert(Item(3)));
    assert_eq!(clones(|| kept.clone_from(&set)), 0);
    assert!(set.insert(Item(2000)));
    kept.clone_from(&set);
    assert_eq!(kept, set);
}

proptest! {
    /// What two sets have to do with each other is what two of std's have.
    #[test]
    fn two_sets_have_in_common_what_std_s_have(one: HashSet<u8>, other: HashSet<u8>) {
        let (mine, others) = (KeptSet::from(one.clone()), KeptSet::from(other.clone()));
        prop_assert_eq!(&mine | &others, &one | &other);
        prop_assert_eq!(&mine & &others, &one & &other);
        prop_assert_eq!(&mine - &others, &one - &other);
        prop_assert_eq!(&mine ^ &others, &one ^ &other);
        prop_assert_eq!(mine.is_subset(&others), one.is_subset(&other));
        prop_assert_eq!(mine.is_superset(&others), one.is_superset(&other));
        prop_assert_eq!(mine.is_disjoint(&others), one.is_disjoint(&other));
    }
}
