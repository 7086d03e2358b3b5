//! A vector that knows what changed.

mod keep;
mod traits;

use std::{
    ops::{Deref, DerefMut, RangeBounds},
    vec,
};

pub use self::keep::Place;
use super::{
    journal::Journal,
    span::{Span, start_of},
};

/// A [`Vec`] whose snapshots cost what changed, and not what is there.
///
/// It has the methods of std's `Vec` and does what they do; reading is that of a slice. An earlier copy of it is brought up to
/// date by [`clone_from`](Clone::clone_from), which is how a server takes a snapshot: it clones the elements that changed
/// since. Any other copy clones all of them.
///
/// What counts as changed: with [`push`](Self::push), [`pop`](Self::pop), [`get_mut`](Self::get_mut), `vec[i]` and `vec[a..b]`
/// where they are written to, [`swap`](Self::swap), [`first_mut`](Self::first_mut), [`last_mut`](Self::last_mut) what they
/// touch; with [`insert`](Self::insert), [`remove`](Self::remove), [`drain`](Self::drain), [`retain`](Self::retain) and the
/// like all from the first element that moves; with any other `&mut` to the slice (`sort`, `iter_mut`, …) everything.
/// Changes by interior mutability are seen by nobody.
///
/// # Examples
///
/// ```
/// use undying::collections::KeptVec;
///
/// let mut scores = KeptVec::from(vec![0; 1000]);
/// let mut kept = scores.clone();
/// scores[7] += 1;
/// scores.push(3);
/// kept.clone_from(&scores); // clones two elements
/// assert_eq!(kept, scores);
/// ```
pub struct KeptVec<T> {
    items: Vec<T>,
    journal: Journal<Span<usize>>,
}

impl<T> KeptVec<T> {
    /// An empty vector, which allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Vec::new())
    }

    /// An empty vector with room for `capacity` elements.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::of(Vec::with_capacity(capacity))
    }

    const fn of(items: Vec<T>) -> Self {
        Self { items, journal: Journal::new() }
    }

    /// The elements are about to change from `start` to before `end`.
    #[inline]
    fn touch(&mut self, start: usize, end: usize) {
        self.journal.record(Span { start, end }, 32 + self.items.len() / 64);
    }

    /// The elements are about to change from `start` on.
    fn touch_from(&mut self, start: usize) -> &mut Vec<T> {
        self.touch(start, usize::MAX);
        &mut self.items
    }

    /// How many elements there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Makes room for `additional` more elements.
    pub fn reserve(&mut self, additional: usize) {
        self.items.reserve(additional);
    }

    /// Gives back what memory it can.
    pub fn shrink_to_fit(&mut self) {
        self.items.shrink_to_fit();
    }

    /// The elements as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    /// The elements as a slice, to be changed. All of them count as changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.touch_from(0)
    }

    /// The element or elements at `place`, to be changed. They count as changed.
    pub fn get_mut<P: Place<T>>(&mut self, place: P) -> Option<&mut P::Output> {
        let (start, end) = place.bounds();
        self.items.get(place.clone())?;
        self.touch(start, end);
        self.items.get_mut(place)
    }

    /// The first element, to be changed.
    pub fn first_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    /// The last element, to be changed.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.items.len().checked_sub(1)?)
    }

    /// Swaps two elements.
    ///
    /// # Panics
    ///
    /// If one of them is not there.
    pub fn swap(&mut self, one: usize, other: usize) {
        self.touch(one, one.saturating_add(1));
        self.touch(other, other.saturating_add(1));
        self.items.swap(one, other);
    }

    /// Appends an element.
    pub fn push(&mut self, item: T) {
        let end = self.items.len();
        self.touch(end, end + 1);
        self.items.push(item);
    }

    /// Removes the last element.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.touch_from(last).pop()
    }

    /// Inserts an element before the one at `at`.
    ///
    /// # Panics
    ///
    /// If `at` is beyond the end.
    pub fn insert(&mut self, at: usize, item: T) {
        self.touch_from(at).insert(at, item);
    }

    /// Removes the element at `at`, and moves those behind it forward.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn remove(&mut self, at: usize) -> T {
        self.touch_from(at).remove(at)
    }

    /// Removes the element at `at`, and puts the last one in its place.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn swap_remove(&mut self, at: usize) -> T {
        self.touch(at, at.saturating_add(1));
        self.touch_from(self.items.len().saturating_sub(1)).swap_remove(at)
    }

    /// Shortens it to `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.touch_from(len).truncate(len);
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.touch_from(0).clear();
    }

    /// Moves all elements of `other` to its end.
    pub fn append(&mut self, other: &mut Self) {
        self.touch_from(self.items.len()).append(other.touch_from(0));
    }

    /// Splits off the elements from `at` on.
    ///
    /// # Panics
    ///
    /// If `at` is beyond the end.
    #[must_use = "the elements are no longer in the vector"]
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

    /// Appends clones of `items`.
    pub fn extend_from_slice(&mut self, items: &[T])
    where
        T: Clone,
    {
        self.touch_from(self.items.len()).extend_from_slice(items);
    }

    /// Appends clones of the elements of `range`.
    ///
    /// # Panics
    ///
    /// If it is not within the vector.
    pub fn extend_from_within(&mut self, range: impl RangeBounds<usize>)
    where
        T: Clone,
    {
        self.touch_from(self.items.len()).extend_from_within(range);
    }

    /// Removes the elements of `range`, and gives them out.
    ///
    /// # Panics
    ///
    /// If it is not within the vector.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> vec::Drain<'_, T> {
        self.touch_from(start_of(&range)).drain(range)
    }

    /// Puts `others` in the place of the elements of `range`, and gives those out.
    ///
    /// # Panics
    ///
    /// If it is not within the vector.
    pub fn splice<I: IntoIterator<Item = T>>(
        &mut self,
        range: impl RangeBounds<usize>,
        others: I,
    ) -> vec::Splice<'_, I::IntoIter> {
        self.touch_from(start_of(&range)).splice(range, others)
    }

    /// Keeps the elements of which `keep` is true.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.touch_from(0).retain(keep);
    }

    /// Keeps the elements of which `keep` is true, which may change them.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.touch_from(0).retain_mut(keep);
    }

    /// Removes all but the first of equal neighbours.
    pub fn dedup(&mut self)
    where
        T: PartialEq,
    {
        self.touch_from(0).dedup();
    }

    /// Removes all but the first of neighbours that `same` is true of.
    pub fn dedup_by(&mut self, same: impl FnMut(&mut T, &mut T) -> bool) {
        self.touch_from(0).dedup_by(same);
    }

    /// Removes all but the first of neighbours with the same key.
    pub fn dedup_by_key<K: PartialEq>(&mut self, key: impl FnMut(&mut T) -> K) {
        self.touch_from(0).dedup_by_key(key);
    }
}

impl<T> Deref for KeptVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

/// All elements count as changed.
impl<T> DerefMut for KeptVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}
