//! A hash set that knows what changed.

use std::{
    borrow::Borrow,
    collections::HashSet,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    ops::{BitAnd, BitOr, BitXor, Sub},
};

use super::{KeptMap, kept_map};

/// A [`HashSet`] whose snapshots cost what changed, and not what is there: a [`KeptMap`] of keys alone.
///
/// It has the methods of std's set and does what they do. [`clone`](Clone::clone) clones no element, and
/// [`clone_from`](Clone::clone_from), which is how a server takes a snapshot, brings an earlier copy up to date; see
/// [`KeptMap`] for what that costs.
///
/// # Examples
///
/// ```
/// use undying::collections::KeptSet;
///
/// let mut seen = KeptSet::from(["a", "b"]);
/// let mut kept = seen.clone();
/// assert!(seen.insert("c") && !seen.insert("a"));
/// kept.clone_from(&seen); // writes one element
/// assert_eq!(kept, KeptSet::from(["a", "b", "c"]));
/// ```
pub struct KeptSet<T, S = RandomState> {
    map: KeptMap<T, (), S>,
}

impl<T> KeptSet<T> {
    /// An empty set, which allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty set with room for `capacity` elements.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { map: KeptMap::with_capacity(capacity) }
    }
}

impl<T, S> KeptSet<T, S> {
    /// An empty set that hashes with `hasher`.
    #[must_use]
    pub const fn with_hasher(hasher: S) -> Self {
        Self { map: KeptMap::with_hasher(hasher) }
    }

    /// An empty set with room for `capacity` elements, that hashes with `hasher`.
    #[must_use]
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        Self { map: KeptMap::with_capacity_and_hasher(capacity, hasher) }
    }

    /// How many elements there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// What it hashes with.
    #[must_use]
    pub const fn hasher(&self) -> &S {
        self.map.hasher()
    }

    /// The elements, in no order.
    pub fn iter(&self) -> kept_map::Keys<'_, T, ()> {
        self.map.keys()
    }

    /// Removes all elements, and gives their memory back.
    pub fn clear(&mut self) {
        self.map.clear();
    }
}

impl<T: Eq + Hash, S: BuildHasher> KeptSet<T, S> {
    /// Whether `item` is in it.
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.map.contains_key(item)
    }

    /// The element that equals `item`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, item: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
    {
        self.map.get_key_value(item).map(|(item, ())| item)
    }

    /// What is in this set and not in `other`.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.iter().filter(|item| !other.contains(*item))
    }

    /// What is in one of the sets only.
    pub fn symmetric_difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.difference(other).chain(other.difference(self))
    }

    /// What is in both sets.
    pub fn intersection<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        let (few, many) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        few.iter().filter(|item| many.contains(*item))
    }

    /// What is in either set, once.
    pub fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.iter().chain(other.difference(self))
    }

    /// Whether nothing is in both sets.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).next().is_none()
    }

    /// Whether all of it is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.len() <= other.len() && self.iter().all(|item| other.contains(item))
    }

    /// Whether all of `other` is in it.
    pub fn is_superset(&self, other: &Self) -> bool {
        other.is_subset(self)
    }
}

impl<T: Eq + Hash + Clone, S: BuildHasher> KeptSet<T, S> {
    /// Adds `item`, and says whether it is new. One that was there stays as it is.
    pub fn insert(&mut self, item: T) -> bool {
        !self.contains(&item) && self.map.insert(item, ()).is_none()
    }

    /// Adds `item` in the place of the one that equals it, and gives that back.
    pub fn replace(&mut self, item: T) -> Option<T> {
        let before = self.take(&item);
        self.map.insert(item, ());
        before
    }

    /// Removes the element that equals `item`, and says whether there was one.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.map.remove(item).is_some()
    }

    /// Removes the element that equals `item`, and gives it back.
    pub fn take<Q: Eq + Hash + ?Sized>(&mut self, item: &Q) -> Option<T>
    where
        T: Borrow<Q>,
    {
        self.map.remove_entry(item).map(|(item, ())| item)
    }

    /// Keeps the elements of which `keep` is true. It counts as a change of everything.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.map.retain(|item, ()| keep(item));
    }

    /// Empties the set at once, and gives out what was in it.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = T> {
        self.map.drain().map(|(item, ())| item)
    }

    /// Makes room for `additional` more elements.
    pub fn reserve(&mut self, additional: usize) {
        self.map.reserve(additional);
    }

    /// Gives back what memory it can. It counts as a change of everything.
    pub fn shrink_to_fit(&mut self) {
        self.map.shrink_to_fit();
    }
}

impl<T: Eq + Hash + Clone, S: BuildHasher + Clone> Clone for KeptSet<T, S> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.map.clone_from(&source.map);
    }
}

impl<T, S: Default> Default for KeptSet<T, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<T: fmt::Debug, S> fmt::Debug for KeptSet<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Eq + Hash, S: BuildHasher> PartialEq for KeptSet<T, S> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_subset(other)
    }
}

impl<T: Eq + Hash, S: BuildHasher> Eq for KeptSet<T, S> {}

impl<T: Eq + Hash, S, R: BuildHasher> PartialEq<HashSet<T, R>> for KeptSet<T, S> {
    fn eq(&self, other: &HashSet<T, R>) -> bool {
        self.len() == other.len() && self.iter().all(|item| other.contains(item))
    }
}

impl<T: Eq + Hash, S, R: BuildHasher> PartialEq<KeptSet<T, S>> for HashSet<T, R> {
    fn eq(&self, other: &KeptSet<T, S>) -> bool {
        other == self
    }
}

impl<T: Eq + Hash + Clone, S: BuildHasher> Extend<T> for KeptSet<T, S> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

impl<'a, T: Eq + Hash + Copy + 'a, S: BuildHasher> Extend<&'a T> for KeptSet<T, S> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.extend(items.into_iter().copied());
    }
}

impl<T: Eq + Hash + Clone, S: BuildHasher + Default> FromIterator<T> for KeptSet<T, S> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let items = items.into_iter();
        let mut set = Self::with_capacity_and_hasher(items.size_hint().0, S::default());
        set.extend(items);
        set
    }
}

impl<T: Eq + Hash + Clone, const N: usize> From<[T; N]> for KeptSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Eq + Hash + Clone, S: BuildHasher + Default> From<HashSet<T, S>> for KeptSet<T, S> {
    fn from(set: HashSet<T, S>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Eq + Hash + Clone, S: BuildHasher + Default> From<KeptSet<T, S>> for HashSet<T, S> {
    fn from(set: KeptSet<T, S>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Clone, S> IntoIterator for KeptSet<T, S> {
    type Item = T;
    type IntoIter = kept_map::IntoKeys<T, ()>;

    fn into_iter(self) -> kept_map::IntoKeys<T, ()> {
        self.map.into_keys()
    }
}

impl<'a, T, S> IntoIterator for &'a KeptSet<T, S> {
    type Item = &'a T;
    type IntoIter = kept_map::Keys<'a, T, ()>;

    fn into_iter(self) -> kept_map::Keys<'a, T, ()> {
        self.iter()
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $of:ident),*) => {$(
        impl<T: Eq + Hash + Clone, S: BuildHasher + Default> $trait<&KeptSet<T, S>> for &KeptSet<T, S> {
            type Output = KeptSet<T, S>;

            fn $method(self, other: &KeptSet<T, S>) -> KeptSet<T, S> {
                self.$of(other).cloned().collect()
            }
        }
    )*};
}

operators!(BitAnd bitand intersection, BitOr bitor union, BitXor bitxor symmetric_difference, Sub sub difference);
