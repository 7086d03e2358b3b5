//! Copies of a queue, and how one that is out of date is brought up to date.

use std::ops::Range;

use super::KeptDeque;

/// The number of the first element of a fresh queue: there is as much room before it as behind.
pub(super) const MIDDLE: u64 = 1 << 63;

impl<T: Clone> Clone for KeptDeque<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), front: self.front, journal: self.journal.clone() }
    }

    /// Clones what changed since, where this is an earlier copy of `source`; otherwise everything.
    fn clone_from(&mut self, source: &Self) {
        let changes = source.journal.since(&self.journal);
        self.journal.forget();
        let start = self.front.max(source.front);
        let end = self.number(self.items.len()).min(source.number(source.items.len()));
        let common = start..end;
        let changes = changes.filter(|changes| {
            let many = || changes.clone().map(|changed| changed.within(&common).count()).sum::<usize>();
            start < end && many() < source.items.len()
        });
        match changes {
            Some(changes) => {
                self.keep_only(&common);
                for number in changes.flat_map(|changed| changed.within(&common)) {
                    self.items[distance(start, number)]
                        .clone_from(&source.items[distance(source.front, number)]);
                }
                for before in source.items.range(..distance(source.front, start)).rev() {
                    self.items.push_front(before.clone());
                }
                self.items.extend(source.items.range(distance(source.front, end)..).cloned());
            }
            None => self.items.clone_from(&source.items),
        }
        self.front = source.front;
        self.journal.become_copy(source.journal.name());
    }
}

impl<T> KeptDeque<T> {
    /// Removes what is not of these numbers.
    fn keep_only(&mut self, numbers: &Range<u64>) {
        self.items.truncate(distance(self.front, numbers.end));
        self.items.drain(..distance(self.front, numbers.start));
    }
}

/// From one number to another that is no further away than there are elements.
fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to - from).expect("both of elements in memory")
}
