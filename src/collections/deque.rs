//! A double-ended queue that knows what changed.

mod keep;
mod traits;

use std::{
    collections::{VecDeque, vec_deque},
    ops::{Deref, RangeBounds},
};

use self::keep::MIDDLE;
use super::{
    journal::Journal,
    span::{Span, start_of},
};

/// A [`VecDeque`] whose snapshots cost what changed, and not what is there.
///
/// It has the methods of std's `VecDeque` and does what they do; for reading it derefs to one. An earlier copy of it is
/// brought up to date by [`clone_from`](Clone::clone_from), which is how a server takes a snapshot: it removes what is gone
/// from either end, and clones the elements that changed or came since. Any other copy clones all of them.
///
/// What counts as changed: at the ends ([`push_back`](Self::push_back), [`pop_front`](Self::pop_front), …) and with
/// [`get_mut`](Self::get_mut), `deque[i]` where it is written to, and [`swap`](Self::swap) what they touch; with
/// [`insert`](Self::insert) and [`remove`](Self::remove) the elements from there to the nearer end; with what goes through all
/// of them everything. Changes by interior mutability are seen by nobody.
///
/// # Examples
///
/// ```
/// use undying::collections::KeptDeque;
///
/// let mut jobs: KeptDeque<u32> = (0..1000).collect();
/// let mut kept = jobs.clone();
/// let next = jobs.pop_front();
/// jobs.push_back(1000);
/// kept.clone_from(&jobs); // removes one element, and clones one
/// assert_eq!((next, &kept), (Some(0), &jobs));
/// ```
pub struct KeptDeque<T> {
    items: VecDeque<T>,
    /// The number of the first element: what is in the middle keeps its number when something comes or goes before it.
    front: u64,
    journal: Journal<Span<u64>>,
}

impl<T> KeptDeque<T> {
    /// An empty queue, which allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(VecDeque::new())
    }

    /// An empty queue with room for `capacity` elements.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::of(VecDeque::with_capacity(capacity))
    }

    const fn of(items: VecDeque<T>) -> Self {
        Self { items, front: MIDDLE, journal: Journal::new() }
    }

    fn number(&self, index: usize) -> u64 {
        self.front.saturating_add(index as u64)
    }

    /// The elements of these numbers are about to change.
    fn touch(&mut self, start: u64, end: u64) {
        self.journal.record(Span { start, end }, 32 + self.items.len() / 64);
    }

    fn touch_one(&mut self, index: usize) -> &mut VecDeque<T> {
        let number = self.number(index);
        self.touch(number, number.saturating_add(1));
        &mut self.items
    }

    fn touch_from(&mut self, index: usize) -> &mut VecDeque<T> {
        self.touch(self.number(index), u64::MAX);
        &mut self.items
    }

    fn touch_all(&mut self) -> &mut VecDeque<T> {
        self.journal.record_all();
        &mut self.items
    }

    /// Makes room for `additional` more elements.
    pub fn reserve(&mut self, additional: usize) {
        self.items.reserve(additional);
    }

    /// Gives back what memory it can.
    pub fn shrink_to_fit(&mut self) {
        self.items.shrink_to_fit();
    }

    /// The element at `index`, to be changed. It counts as changed.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.items.get(index)?;
        self.touch_one(index).get_mut(index)
    }

    /// The first element, to be changed. It counts as changed.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    /// The last element, to be changed. It counts as changed.
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.items.len().checked_sub(1)?)
    }

    /// Appends an element.
    pub fn push_back(&mut self, item: T) {
        self.touch_one(self.items.len()).push_back(item);
    }

    /// Puts an element before the first.
    pub fn push_front(&mut self, item: T) {
        self.touch(self.front - 1, self.front);
        self.items.push_front(item);
        self.front -= 1;
    }

    /// Removes the last element.
    pub fn pop_back(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.touch_one(last).pop_back()
    }

    /// Removes the first element.
    pub fn pop_front(&mut self) -> Option<T> {
        if self.items.is_empty() {
            return None;
        }
        let item = self.touch_one(0).pop_front();
        self.front += 1;
        item
    }

    /// Swaps two elements.
    ///
    /// # Panics
    ///
    /// If one of them is not there.
    pub fn swap(&mut self, one: usize, other: usize) {
        self.touch_one(one);
        self.touch_one(other).swap(one, other);
    }

    /// Inserts an element before the one at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is beyond the end.
    pub fn insert(&mut self, index: usize, item: T) {
        if index < self.items.len() / 2 {
            self.touch(self.front - 1, self.number(index));
            self.items.insert(index, item);
            self.front -= 1;
        } else {
            self.touch_from(index).insert(index, item);
        }
    }

    /// Removes the element at `index`.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        self.items.get(index)?;
        if index < self.items.len() / 2 {
            self.touch(self.front, self.number(index) + 1);
            let item = self.items.remove(index);
            self.front += 1;
            item
        } else {
            self.touch_from(index).remove(index)
        }
    }

    /// Removes the element at `index`, and puts the last one in its place.
    pub fn swap_remove_back(&mut self, index: usize) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.items.get(index)?;
        self.swap(index, last);
        self.pop_back()
    }

    /// Removes the element at `index`, and puts the first one in its place.
    pub fn swap_remove_front(&mut self, index: usize) -> Option<T> {
        self.items.get(index)?;
        self.swap(index, 0);
        self.pop_front()
    }

    /// Shortens it to the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.touch_from(len).truncate(len);
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.touch_all().clear();
    }

    /// Moves all elements of `other` to its end.
    pub fn append(&mut self, other: &mut Self) {
        self.touch_from(self.items.len()).append(other.touch_all());
    }

    /// Splits off the elements from `at` on.
    ///
    /// # Panics
    ///
    /// If `at` is beyond the end.
    #[must_use = "the elements are no longer in the queue"]
    pub fn split_off(&mut self, at: usize) -> Self {
        Self::of(self.touch_from(at).split_off(at))
    }

    /// Makes it `len` long, with clones of `item` where it grows.
    pub fn resize(&mut self, len: usize, item: T)
    where
        T: Clone,
    {
        self.touch_from(len.min(self.items.len())).resize(len, item);
    }

    /// Makes it `len` long, with what `make` makes where it grows.
    pub fn resize_with(&mut self, len: usize, make: impl FnMut() -> T) {
        self.touch_from(len.min(self.items.len())).resize_with(len, make);
    }

    /// Removes the elements of `range`, and gives them out. All from the first of them on count as changed.
    ///
    /// # Panics
    ///
    /// If it is not within the queue.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> vec_deque::Drain<'_, T> {
        self.touch_from(start_of(&range)).drain(range)
    }

    /// The elements of `range`, to be changed. All from the first of them on count as changed.
    ///
    /// # Panics
    ///
    /// If it is not within the queue.
    pub fn range_mut(&mut self, range: impl RangeBounds<usize>) -> vec_deque::IterMut<'_, T> {
        self.touch_from(start_of(&range)).range_mut(range)
    }

    /// All elements, to be changed. All of them count as changed.
    pub fn iter_mut(&mut self) -> vec_deque::IterMut<'_, T> {
        self.touch_all().iter_mut()
    }

    /// All elements as two slices, to be changed. All of them count as changed.
    pub fn as_mut_slices(&mut self) -> (&mut [T], &mut [T]) {
        self.touch_all().as_mut_slices()
    }

    /// All elements as one slice, to be changed. All of them count as changed.
    pub fn make_contiguous(&mut self) -> &mut [T] {
        self.touch_all().make_contiguous()
    }

    /// Keeps the elements of which `keep` is true. All of them count as changed.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.touch_all().retain(keep);
    }

    /// Keeps the elements of which `keep` is true, which may change them. All of them count as changed.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.touch_all().retain_mut(keep);
    }

    /// Moves the first `by` elements to the end. All of them count as changed.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn rotate_left(&mut self, by: usize) {
        self.touch_all().rotate_left(by);
    }

    /// Moves the last `by` elements to the front. All of them count as changed.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn rotate_right(&mut self, by: usize) {
        self.touch_all().rotate_right(by);
    }
}

impl<T> Deref for KeptDeque<T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        &self.items
    }
}
