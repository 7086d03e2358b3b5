//! `KeptVec` against std's.

use proptest::prelude::*;
use undying::collections::KeptVec;

use super::histories::{Item, Subject, clones, play};

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Push(u16),
    Pop,
    GetMut(usize, u16),
    Index(usize, u16),
    IndexRange(usize, usize, u16),
    Swap(usize, usize),
    Ends(u16),
    Insert(usize, u16),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Extend(u16),
    Drain(usize, usize),
    Splice(usize, u16),
    SplitOff(usize),
    Retain(u16),
    Sort,
    IterMut(u16),
    Resize(usize),
    Dedup,
    Clear,
}

/// The same change of either type: they have the same methods.
macro_rules! change {
    ($vec:ident, $change:ident, $item:expr, $value:expr) => {{
        let (len, item, value) = ($vec.len(), $item, $value);
        let clip = |at: usize| at % (len + 1);
        match *$change {
            Change::Push(of) => $vec.push(item(of)),
            Change::Pop => drop($vec.pop()),
            Change::GetMut(at, of) => {
                if let Some(found) = $vec.get_mut(clip(at)) {
                    *value(found) = of;
                }
            }
            Change::Index(at, of) if clip(at) < len => *value(&mut $vec[clip(at)]) = of,
            Change::Index(..) => {}
            Change::IndexRange(one, other, of) => {
                let (from, to) = (clip(one).min(clip(other)), clip(one).max(clip(other)));
                $vec[from..to].iter_mut().for_each(|found| *value(found) ^= of);
            }
            Change::Swap(one, other) if clip(one).max(clip(other)) < len => $vec.swap(clip(one), clip(other)),
            Change::Swap(..) => {}
            Change::Ends(of) => {
                $vec.first_mut().into_iter().for_each(|found| *value(found) = of);
                $vec.last_mut().into_iter().for_each(|found| *value(found) ^= of);
            }
            Change::Insert(at, of) => $vec.insert(clip(at), item(of)),
            Change::Remove(at) if clip(at) < len => drop($vec.remove(clip(at))),
            Change::SwapRemove(at) if clip(at) < len => drop($vec.swap_remove(clip(at))),
            Change::Remove(_) | Change::SwapRemove(_) => {}
            Change::Truncate(to) => $vec.truncate(clip(to)),
            Change::Extend(many) => $vec.extend((0..many).map(&item)),
            Change::Drain(one, other) => {
                let (from, to) = (clip(one).min(clip(other)), clip(one).max(clip(other)));
                $vec.drain(from..to);
            }
            Change::Splice(at, of) => drop($vec.splice(clip(at).., [item(of), item(!of)])),
            Change::SplitOff(at) => drop($vec.split_off(clip(at))),
            Change::Retain(step) => $vec.retain_mut(|found| {
                *value(found) ^= 1;
                *value(found) % step != 0
            }),
            Change::Sort => $vec.sort(),
            Change::IterMut(by) => $vec.iter_mut().for_each(|found| *value(found) ^= by),
            Change::Resize(to) => $vec.resize(to, item(7)),
            Change::Dedup => $vec.dedup(),
            Change::Clear => $vec.clear(),
        }
    }};
}

impl Subject for KeptVec<Item> {
    type Change = Change;
    type Model = Vec<u16>;

    fn filled(len: u16) -> Self {
        (0..len).map(Item).collect()
    }

    fn any_change() -> BoxedStrategy<Change> {
        let at = || any::<usize>();
        let of = || any::<u16>();
        prop_oneof![
            4 => of().prop_map(Change::Push),
            4 => Just(Change::Pop),
            3 => (at(), of()).prop_map(|(at, of)| Change::GetMut(at, of)),
            3 => (at(), of()).prop_map(|(at, of)| Change::Index(at, of)),
            2 => (at(), at(), of()).prop_map(|(one, other, of)| Change::IndexRange(one, other, of)),
            2 => (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
            1 => of().prop_map(Change::Ends),
            1 => (at(), of()).prop_map(|(at, of)| Change::Insert(at, of)),
            1 => at().prop_map(Change::Remove),
            2 => at().prop_map(Change::SwapRemove),
            1 => at().prop_map(Change::Truncate),
            2 => (0..100_u16).prop_map(Change::Extend),
            1 => (at(), at()).prop_map(|(one, other)| Change::Drain(one, other)),
            1 => (at(), of()).prop_map(|(at, of)| Change::Splice(at, of)),
            1 => at().prop_map(Change::SplitOff),
            1 => (2..9_u16).prop_map(Change::Retain),
            1 => Just(Change::Sort),
            1 => of().prop_map(Change::IterMut),
            1 => (0..200_usize).prop_map(Change::Resize),
            1 => Just(Change::Dedup),
            1 => Just(Change::Clear),
        ]
        .boxed()
    }

    fn change(&mut self, change: &Change) {
        fn value(item: &mut Item) -> &mut u16 {
            &mut item.0
        }
        change!(self, change, Item, value)
    }

    fn change_model(model: &mut Vec<u16>, change: &Change) {
        fn value(item: &mut u16) -> &mut u16 {
            item
        }
        change!(model, change, |of| of, value)
    }

    fn read(&self) -> Vec<u16> {
        self.iter().map(|item| item.0).collect()
    }
}

/// Copies, changes and updates of vectors in any order give what std's vectors give.
#[test]
fn a_vec_is_what_std_s_is_under_any_history() {
    play::<KeptVec<Item>>(false);
}

/// A panic of an element, at whatever step, leaves no copy that is taken for a good one later.
#[test]
fn a_vec_survives_panics_at_every_step() {
    play::<KeptVec<Item>>(true);
}

/// A commit into a snapshot clones the elements that changed since, however many there are.
#[test]
fn an_update_of_a_vec_clones_what_changed() {
    for len in [10_u16, 1_000, 60_000] {
        let mut vec = KeptVec::<Item>::filled(len);
        let mut slots = [vec.clone(), vec.clone()];
        for round in 0..6 {
            vec[7].0 = round;
            vec.push(Item(round));
            vec.swap(0, 1);
            let slot = &mut slots[usize::from(round) % 2];
            let cloned = clones(|| slot.clone_from(&vec));
            // What was committed to the other slot is news to this one as well.
            assert!(cloned <= 8, "{cloned} of {len} in round {round}");
            assert_eq!(slot.read(), vec.read());
        }
    }
}
