//! What a queue has in common with std's: conversions, comparisons, extension.

use std::{
    cmp::Ordering,
    collections::{VecDeque, vec_deque},
    fmt,
    hash::{Hash, Hasher},
    ops::{Index, IndexMut},
};

use super::KeptDeque;

impl<T> Default for KeptDeque<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for KeptDeque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for KeptDeque<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<T: Eq> Eq for KeptDeque<T> {}

macro_rules! equal_to {
    ($([$($generics:tt)*] $other:ty),*) => {$(
        impl<T: PartialEq<U>, U, $($generics)*> PartialEq<$other> for KeptDeque<T> {
            fn eq(&self, other: &$other) -> bool {
                self.items == *other
            }
        }
    )*};
}

equal_to!([] Vec<U>, [] &[U], [] &mut [U], [const N: usize] [U; N], [const N: usize] &[U; N]);

impl<T: PartialEq> PartialEq<VecDeque<T>> for KeptDeque<T> {
    fn eq(&self, other: &VecDeque<T>) -> bool {
        self.items == *other
    }
}

impl<T: PartialEq> PartialEq<KeptDeque<T>> for VecDeque<T> {
    fn eq(&self, other: &KeptDeque<T>) -> bool {
        *self == other.items
    }
}

impl<T: PartialOrd> PartialOrd for KeptDeque<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.items.partial_cmp(&other.items)
    }
}

impl<T: Ord> Ord for KeptDeque<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.items.cmp(&other.items)
    }
}

impl<T: Hash> Hash for KeptDeque<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.items.hash(hasher);
    }
}

impl<T> Index<usize> for KeptDeque<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.items[index]
    }
}

/// The element counts as changed.
impl<T> IndexMut<usize> for KeptDeque<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.touch_one(index)[index]
    }
}

impl<T> Extend<T> for KeptDeque<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.touch_from(self.items.len()).extend(items);
    }
}

impl<'a, T: Copy + 'a> Extend<&'a T> for KeptDeque<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.touch_from(self.items.len()).extend(items);
    }
}

impl<T> FromIterator<T> for KeptDeque<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::of(items.into_iter().collect())
    }
}

impl<T> From<VecDeque<T>> for KeptDeque<T> {
    fn from(items: VecDeque<T>) -> Self {
        Self::of(items)
    }
}

impl<T> From<Vec<T>> for KeptDeque<T> {
    fn from(items: Vec<T>) -> Self {
        Self::of(items.into())
    }
}

impl<T, const N: usize> From<[T; N]> for KeptDeque<T> {
    fn from(items: [T; N]) -> Self {
        Self::of(items.into())
    }
}

impl<T> From<KeptDeque<T>> for VecDeque<T> {
    fn from(deque: KeptDeque<T>) -> Self {
        deque.items
    }
}

impl<T> From<KeptDeque<T>> for Vec<T> {
    fn from(deque: KeptDeque<T>) -> Self {
        deque.items.into()
    }
}

impl<T> IntoIterator for KeptDeque<T> {
    type Item = T;
    type IntoIter = vec_deque::IntoIter<T>;

    fn into_iter(self) -> vec_deque::IntoIter<T> {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a KeptDeque<T> {
    type Item = &'a T;
    type IntoIter = vec_deque::Iter<'a, T>;

    fn into_iter(self) -> vec_deque::Iter<'a, T> {
        self.items.iter()
    }
}

/// All elements count as changed.
impl<'a, T> IntoIterator for &'a mut KeptDeque<T> {
    type Item = &'a mut T;
    type IntoIter = vec_deque::IterMut<'a, T>;

    fn into_iter(self) -> vec_deque::IterMut<'a, T> {
        self.iter_mut()
    }
}
