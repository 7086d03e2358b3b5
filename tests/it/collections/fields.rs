//! Structs with collections that know what changed in them.

use std::hash::Hash;

use undying::{
    collections::{KeptDeque, KeptMap, KeptSet, KeptVec},
    preserve_fields,
};

use super::histories::{Item, Subject, clones};

#[derive(Debug, PartialEq)]
struct Everything {
    map: KeptMap<Item, Item>,
    set: KeptSet<Item>,
    vec: KeptVec<Item>,
    deque: KeptDeque<Item>,
    plain: u64,
}

preserve_fields!(Everything { map, set, vec, deque, plain });

struct Generic<K, V>(KeptMap<K, V>, Option<V>);

preserve_fields!(impl<K: Clone + Eq + Hash, V: Clone + Into<Vec<u8>>> Generic<K, V> { 0, 1 });

struct Outer {
    inner: Generic<Item, String>,
}

preserve_fields!(Outer { inner });

/// An update of a struct updates each of its collections by what changed in it.
#[test]
fn an_update_of_a_struct_is_one_of_its_fields() {
    let filled = 50_000;
    let mut working = Everything {
        map: Subject::filled(filled),
        set: Subject::filled(filled),
        vec: Subject::filled(filled),
        deque: Subject::filled(filled),
        plain: 0,
    };
    let mut slots = [working.clone(), working.clone()];
    for round in 0..8_u16 {
        working.map.get_mut(&Item(9)).expect("there").0 = round;
        working.set.insert(Item(filled + round));
        working.vec[9].0 = round;
        working.deque.push_back(Item(round));
        working.plain += 1;
        let slot = &mut slots[usize::from(round) % 2];
        let cloned = clones(|| slot.clone_from(&working));
        assert!(cloned <= 10, "{cloned} in round {round}");
        assert_eq!(*slot, working);
    }
}

/// Structs in structs, with numbered fields and parameters that have bounds, are copied and updated like any other.
#[test]
fn generic_structs_in_structs_are_updated_too() {
    let mut working = Outer { inner: Generic(KeptMap::new(), None) };
    let mut kept = working.clone();
    for round in 0..300_u16 {
        working.inner.0.insert(Item(round), round.to_string());
        working.inner.1 = Some(round.to_string());
        kept.clone_from(&working);
        assert_eq!((&kept.inner.0, &kept.inner.1), (&working.inner.0, &working.inner.1));
    }
}
