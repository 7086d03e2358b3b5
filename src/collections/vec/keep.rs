//! Copies of a vector, how one that is out of date is brought up to date, and what an index touches.

use std::{
    collections::vec_deque,
    ops::{
        Bound, Index, IndexMut, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo,
        RangeToInclusive,
    },
    slice::SliceIndex,
};

use super::KeptVec;
use crate::collections::span::{Span, start_of};

impl<T: Clone> Clone for KeptVec<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), journal: self.journal.clone() }
    }

    /// Clones what changed since, where this is an earlier copy of `source`; otherwise everything.
    fn clone_from(&mut self, source: &Self) {
        let changes = source.journal.since(&self.journal);
        self.journal.forget();
        let (mine, theirs) = (&mut self.items, &source.items);
        let common = 0..mine.len().min(theirs.len());
        let few = |changes: &vec_deque::Iter<'_, Span<usize>>| {
            changes.clone().map(|changed| changed.within(&common).len()).sum::<usize>() < theirs.len()
        };
        match changes.filter(few) {
            Some(changes) => {
                mine.truncate(common.end);
                for changed in changes {
                    let range = changed.within(&common);
                    mine[range.clone()].clone_from_slice(&theirs[range]);
                }
                mine.extend_from_slice(&theirs[common.end..]);
            }
            None => mine.clone_from(theirs),
        }
        self.journal.become_copy(source.journal.name());
    }
}

/// An index or a range of them, as slices have it. Only the types that std has are one.
pub trait Place<T>: SliceIndex<[T]> + Clone + sealed::Sealed {
    /// From where to before where.
    #[doc(hidden)]
    fn bounds(&self) -> (usize, usize);
}

mod sealed {
    #[allow(unnameable_types, reason = "nobody else is to name it")]
    pub trait Sealed {}
}

impl sealed::Sealed for usize {}

impl<T> Place<T> for usize {
    fn bounds(&self) -> (usize, usize) {
        (*self, self.saturating_add(1))
    }
}

macro_rules! ranges {
    ($($range:ty),*) => {$(
        impl sealed::Sealed for $range {}

        impl<T> Place<T> for $range {
            fn bounds(&self) -> (usize, usize) {
                let end = match RangeBounds::<usize>::end_bound(self) {
                    Bound::Included(end) => end.saturating_add(1),
                    Bound::Excluded(end) => *end,
                    Bound::Unbounded => usize::MAX,
                };
                (start_of(self), end)
            }
        }
    )*};
}

ranges!(
    Range<usize>,
    RangeFrom<usize>,
    RangeFull,
    RangeInclusive<usize>,
    RangeTo<usize>,
    RangeToInclusive<usize>,
    (Bound<usize>, Bound<usize>)
);

impl<T, P: Place<T>> Index<P> for KeptVec<T> {
    type Output = P::Output;

    fn index(&self, place: P) -> &P::Output {
        &self.items[place]
    }
}

impl<T, P: Place<T>> IndexMut<P> for KeptVec<T> {
    fn index_mut(&mut self, place: P) -> &mut P::Output {
        let (start, end) = place.bounds();
        self.touch(start, end);
        &mut self.items[place]
    }
}
