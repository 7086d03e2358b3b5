//! Calls that their callback has left open.

use std::{collections::VecDeque, mem, sync::Weak};

use crate::{contain::drop_quietly, error::CallError, exit::ExitReason, reply::AnySlot};

/// The slots of calls that will be answered later, if at all.
#[derive(Default)]
pub(crate) struct Deferred {
    slots: VecDeque<Weak<dyn AnySlot>>,
    ended: bool,
}

impl Deferred {
    /// Notes a slot. If the server has answered everyone already and will not see this one, it comes back.
    pub(crate) fn note(&mut self, slot: Weak<dyn AnySlot>) -> Option<Weak<dyn AnySlot>> {
        if self.ended {
            return Some(slot);
        }
        self.slots.push_back(slot);
        None
    }

    /// Whether the server has answered everyone: it is over, or as good as.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether there may be any.
    #[inline]
    pub(crate) fn any(&mut self) -> bool {
        !self.slots.is_empty() && self.any_left()
    }

    /// Looks at two at a time and forgets those that are over: since a callback adds one at most, at most half of the list is
    /// ever out of date.
    fn any_left(&mut self) -> bool {
        for _ in 0..2 {
            match self.slots.pop_front() {
                Some(slot) if slot.strong_count() > 0 => self.slots.push_back(slot),
                Some(_) => {}
                None => return false,
            }
        }
        !self.slots.is_empty()
    }

    /// The server answers everyone now: gives all slots, and takes none any more.
    pub(crate) fn end(&mut self) -> VecDeque<Weak<dyn AnySlot>> {
        self.ended = true;
        mem::take(&mut self.slots)
    }
}

/// Tells the callers that the server has ended.
pub(crate) fn fail_all(slots: impl IntoIterator<Item = Weak<dyn AnySlot>>, reason: &ExitReason) {
    for slot in slots.into_iter().filter_map(|slot| slot.upgrade()) {
        slot.fail(CallError::Stopped(reason.clone()));
        drop_quietly(slot);
    }
}
