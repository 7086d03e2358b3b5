//! `KeptDeque` against std's.

use std::collections::VecDeque;

use proptest::prelude::*;
use undying::collections::KeptDeque;

use super::histories::{Item, Subject, clones, play};

#[derive(Clone, Debug)]
pub(crate) enum Change {
    PushBack(u16),
    PushFront(u16),
    PopBack,
    PopFront,
    GetMut(usize, u16),
    Index(usize, u16),
    Swap(usize, usize),
    Ends(u16),
    Insert(usize, u16),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Extend(u16),
    Drain(usize, usize),
    RangeMut(usize, u16),
    SplitOff(usize),
    Retain(u16),
    Rotate(usize),
    Straighten,
    Resize(usize),
    Clear,
}

/// The same change of either type: they have the same methods.
macro_rules! change {
    ($deque:ident, $change:ident, $item:expr, $value:expr) => {{
        let (len, item, value) = ($deque.len(), $item, $value);
        let clip = |at: usize| at % (len + 1);
        match *$change {
            Change::PushBack(of) => $deque.push_back(item(of)),
            Change::PushFront(of) => $deque.push_front(item(of)),
            Change::PopBack => drop($deque.pop_back()),
            Change::PopFront => drop($deque.pop_front()),
            Change::GetMut(at, of) => {
                if let Some(found) = $deque.get_mut(clip(at)) {
                    *value(found) = of;
                }
            }
            Change::Index(at, of) if clip(at) < len => *value(&mut $deque[clip(at)]) = of,
            Change::Swap(one, other) if clip(one).max(clip(other)) < len => {
                $deque.swap(clip(one), clip(other))
            }
            Change::Index(..) | Change::Swap(..) => {}
            Change::Ends(of) => {
                $deque.front_mut().into_iter().for_each(|found| *value(found) = of);
                $deque.back_mut().into_iter().for_each(|found| *value(found) ^= of);
            }
            Change::Insert(at, of) => $deque.insert(clip(at), item(of)),
            Change::Remove(at) => drop($deque.remove(clip(at))),
            Change::SwapRemove(at) => {
                $deque.swap_remove_back(clip(at));
                $deque.swap_remove_front(clip(at));
            }
            Change::Truncate(to) => $deque.truncate(clip(to)),
            Change::Extend(many) => $deque.extend((0..many).map(&item)),
            Change::Drain(one, other) => {
                let (from, to) = (clip(one).min(clip(other)), clip(one).max(clip(other)));
                $deque.drain(from..to);
            }
            Change::RangeMut(from, of) => {
                $deque.range_mut(clip(from)..).for_each(|found| *value(found) ^= of)
            }
            Change::SplitOff(at) => drop($deque.split_off(clip(at))),
            Change::Retain(step) => $deque.retain_mut(|found| {
                *value(found) ^= 1;
                *value(found) % step != 0
            }),
            Change::Rotate(by) => {
                $deque.rotate_left(clip(by));
                $deque.rotate_right(clip(by) / 2);
            }
            Change::Straighten => $deque.make_contiguous().sort(),
            Change::Resize(to) => $deque.resize(to, item(7)),
            Change::Clear => $deque.clear(),
        }
    }};
}

impl Subject for KeptDeque<Item> {
    type Change = Change;
    type Model = VecDeque<u16>;

    fn filled(len: u16) -> Self {
        (0..len).map(Item).collect()
    }

    fn any_change() -> BoxedStrategy<Change> {
        let at = || any::<usize>();
        let of = || any::<u16>();
        prop_oneof![
            4 => of().prop_map(Change::PushBack),
            4 => of().prop_map(Change::PushFront),
            4 => Just(Change::PopBack),
            4 => Just(Change::PopFront),
            3 => (at(), of()).prop_map(|(at, of)| Change::GetMut(at, of)),
            3 => (at(), of()).prop_map(|(at, of)| Change::Index(at, of)),
            2 => (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
            1 => of().prop_map(Change::Ends),
            3 => (at(), of()).prop_map(|(at, of)| Change::Insert(at, of)),
            3 => at().prop_map(Change::Remove),
            2 => at().prop_map(Change::SwapRemove),
            1 => at().prop_map(Change::Truncate),
            2 => (0..100_u16).prop_map(Change::Extend),
            1 => (at(), at()).prop_map(|(one, other)| Change::Drain(one, other)),
            1 => (at(), of()).prop_map(|(from, of)| Change::RangeMut(from, of)),
            1 => at().prop_map(Change::SplitOff),
            1 => (2..9_u16).prop_map(Change::Retain),
            1 => at().prop_map(Change::Rotate),
            1 => Just(Change::Straighten),
            1 => (0..200_usize).prop_map(Change::Resize),
            1 => Just(Change::Clear),
        ]
        .boxed()
    }

    fn change(&mut self, change: &Change) {
        fn value(item: &mut Item) -> &mut u16 {
            &mut item.0
        }
        change!(self, change, Item, value);
    }

    fn change_model(model: &mut VecDeque<u16>, change: &Change) {
        fn value(item: &mut u16) -> &mut u16 {
            item
        }
        change!(model, change, |of| of, value);
    }

    fn read(&self) -> VecDeque<u16> {
        self.iter().map(|item| item.0).collect()
    }
}

/// Copies, changes and updates of queues in any order give what std's queues give.
#[test]
fn a_deque_is_what_std_s_is_under_any_history() {
    play::<KeptDeque<Item>>(false);
}

/// A panic of an element, at whatever step, leaves no copy that is taken for a good one later.
#[test]
fn a_deque_survives_panics_at_every_step() {
    play::<KeptDeque<Item>>(true);
}

/// A queue that things go through is updated by what came and went, however long it is.
#[test]
fn an_update_of_a_deque_clones_what_came() {
    for len in [10_u16, 1_000, 60_000] {
        let mut deque = KeptDeque::<Item>::filled(len);
        let mut slots = [deque.clone(), deque.clone()];
        for round in 0..40 {
            deque.pop_front();
            deque.push_back(Item(round));
            deque.pop_back();
            deque.push_front(Item(round));
            deque.pop_front();
            deque.push_back(Item(round));
            let slot = &mut slots[usize::from(round) % 2];
            let cloned = clones(|| slot.clone_from(&deque));
            // What was committed to the other slot is news to this one as well.
            assert!(cloned <= 6, "{cloned} of {len} in round {round}");
            assert_eq!(slot.read(), deque.read());
        }
    }
}

/// A copy that has nothing left in common with the queue is updated all the same, and so is one of an empty queue.
#[test]
fn a_queue_that_was_replaced_is_copied() {
    for (before, gone, come) in [(3, 3, 2), (3, 3, 0), (0, 0, 2), (1, 1, 9)] {
        let mut deque = KeptDeque::<Item>::filled(before);
        let mut kept = deque.clone();
        for round in 0..gone.max(come) {
            if round < come {
                deque.push_back(Item(round));
            }
            if round < gone {
                deque.pop_front();
            }
        }
        for _ in 0..2 {
            deque.push_back(Item(7));
            deque.pop_front();
        }
        kept.clone_from(&deque);
        assert_eq!(kept.read(), deque.read());
    }
}
