//! Where a sequence changed, and the bounds of ranges.

use std::ops::{Bound, Range, RangeBounds};

use super::journal::Change;

/// A part of a sequence: the numbers from `start` to before `end`, which need not be those of elements.
#[derive(Clone, Copy)]
pub(super) struct Span<N> {
    pub(super) start: N,
    pub(super) end: N,
}

impl<N: Ord + Copy> Span<N> {
    /// What of it is within `numbers`.
    pub(super) fn within(self, numbers: &Range<N>) -> Range<N> {
        let end = self.end.clamp(numbers.start, numbers.end);
        self.start.clamp(numbers.start, end)..end
    }
}

impl<N: Ord + Copy> Change for Span<N> {
    fn merge(&mut self, next: &Self) -> bool {
        let touching = next.start <= self.end && self.start <= next.end;
        if touching {
            (self.start, self.end) = (self.start.min(next.start), self.end.max(next.end));
        }
        touching
    }
}

/// The first index of a range.
pub(super) fn start_of(range: &impl RangeBounds<usize>) -> usize {
    match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    }
}
