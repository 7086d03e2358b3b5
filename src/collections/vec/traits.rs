//! What a vector has in common with std's: conversions, comparisons, extension.

use std::{
    borrow::{Borrow, Cow},
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    slice, vec,
};

use super::KeptVec;

impl<T> Default for KeptVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for KeptVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

impl<T: Eq> Eq for KeptVec<T> {}

impl<T: PartialEq<U>, U> PartialEq<KeptVec<U>> for KeptVec<T> {
    fn eq(&self, other: &KeptVec<U>) -> bool {
        self.items == other.items
    }
}

macro_rules! equal_to {
    ($([$($generics:tt)*] $other:ty),*) => {$(
        impl<T: PartialEq<U>, U, $($generics)*> PartialEq<$other> for KeptVec<T> {
            fn eq(&self, other: &$other) -> bool {
                self.items[..] == other[..]
            }
        }
    )*};
}

equal_to!([] Vec<U>, [] [U], [] &[U], [] &mut [U], [const N: usize] [U; N], [const N: usize] &[U; N]);

impl<T: PartialEq<U>, U> PartialEq<KeptVec<U>> for Vec<T> {
    fn eq(&self, other: &KeptVec<U>) -> bool {
        *self == other.items
    }
}

impl<T: PartialOrd> PartialOrd for KeptVec<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.items.partial_cmp(&other.items)
    }
}

impl<T: Ord> Ord for KeptVec<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.items.cmp(&other.items)
    }
}

impl<T: Hash> Hash for KeptVec<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.items.hash(hasher);
    }
}

impl<T> Extend<T> for KeptVec<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.touch_from(self.items.len()).extend(items);
    }
}

impl<'a, T: Copy + 'a> Extend<&'a T> for KeptVec<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.touch_from(self.items.len()).extend(items);
    }
}

impl<T> FromIterator<T> for KeptVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::of(items.into_iter().collect())
    }
}

impl<T> From<Vec<T>> for KeptVec<T> {
    fn from(items: Vec<T>) -> Self {
        Self::of(items)
    }
}

impl<T, const N: usize> From<[T; N]> for KeptVec<T> {
    fn from(items: [T; N]) -> Self {
        Self::of(items.into())
    }
}

impl<T: Clone> From<&[T]> for KeptVec<T> {
    fn from(items: &[T]) -> Self {
        Self::of(items.into())
    }
}

impl<T: Clone> From<Cow<'_, [T]>> for KeptVec<T> {
    fn from(items: Cow<'_, [T]>) -> Self {
        Self::of(items.into_owned())
    }
}

impl<T> From<KeptVec<T>> for Vec<T> {
    fn from(vec: KeptVec<T>) -> Self {
        vec.items
    }
}

impl<T> AsRef<[T]> for KeptVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for KeptVec<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Borrow<[T]> for KeptVec<T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T> IntoIterator for KeptVec<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> vec::IntoIter<T> {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a KeptVec<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

/// All elements count as changed.
impl<'a, T> IntoIterator for &'a mut KeptVec<T> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.iter_mut()
    }
}
