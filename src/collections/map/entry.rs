//! The place of a key, whether there is a value or not.

use std::{fmt, mem};

use hashbrown::hash_table;

/// The place of a key in a [`KeptMap`](super::KeptMap), from [`KeptMap::entry`](super::KeptMap::entry).
///
/// # Examples
///
/// ```
/// use undying::collections::KeptMap;
///
/// let mut words = KeptMap::new();
/// for word in ["to", "be", "or", "not", "to", "be"] {
///     *words.entry(word).or_insert(0) += 1;
/// }
/// assert_eq!((words["to"], words["not"]), (2, 1));
/// ```
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "there is a value, or there is none")]
pub enum Entry<'a, K, V> {
    /// There is a value.
    Occupied(OccupiedEntry<'a, K, V>),
    /// There is none.
    Vacant(VacantEntry<'a, K, V>),
}

/// The place of a key that has a value.
///
/// # Examples
///
/// ```
/// use undying::collections::{KeptMap, kept_map::Entry};
///
/// let mut stock: KeptMap<_, _> = [("tea", 3)].into_iter().collect();
/// if let Entry::Occupied(mut tea) = stock.entry("tea") {
///     *tea.get_mut() -= 1;
///     assert_eq!((*tea.key(), *tea.get(), tea.insert(1)), ("tea", 2, 2));
///     assert_eq!(tea.remove(), 1);
/// }
/// assert!(stock.is_empty());
/// ```
pub struct OccupiedEntry<'a, K, V> {
    place: hash_table::OccupiedEntry<'a, (K, V)>,
    len: &'a mut usize,
}

/// The place of a key that has none.
///
/// # Examples
///
/// ```
/// use undying::collections::{KeptMap, kept_map::Entry};
///
/// let mut stock = KeptMap::new();
/// if let Entry::Vacant(tea) = stock.entry("tea") {
///     assert_eq!(tea.key(), &"tea");
///     *tea.insert(3) += 1;
/// }
/// assert_eq!(stock.get("tea"), Some(&4));
/// ```
pub struct VacantEntry<'a, K, V> {
    key: K,
    place: hash_table::VacantEntry<'a, (K, V)>,
    len: &'a mut usize,
}

impl<'a, K, V> Entry<'a, K, V> {
    pub(super) fn new(key: K, place: hash_table::Entry<'a, (K, V)>, len: &'a mut usize) -> Self {
        match place {
            hash_table::Entry::Occupied(place) => Self::Occupied(OccupiedEntry { place, len }),
            hash_table::Entry::Vacant(place) => Self::Vacant(VacantEntry { key, place, len }),
        }
    }

    /// The key: as it is kept, where it is.
    pub fn key(&self) -> &K {
        match self {
            Self::Occupied(entry) => entry.key(),
            Self::Vacant(entry) => entry.key(),
        }
    }

    /// The value; `value` where there was none.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The value; what `make` makes where there was none.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        self.or_insert_with_key(|_| make())
    }

    /// The value; what `make` makes of the key where there was none.
    pub fn or_insert_with_key(self, make: impl FnOnce(&K) -> V) -> &'a mut V {
        match self {
            Self::Occupied(entry) => entry.into_mut(),
            Self::Vacant(entry) => {
                let value = make(entry.key());
                entry.insert(value)
            }
        }
    }

    /// The value; its type's default where there was none.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Changes the value where there is one.
    #[must_use]
    pub fn and_modify(mut self, change: impl FnOnce(&mut V)) -> Self {
        if let Self::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }

    /// Puts `value` there, whether or not there was one.
    pub fn insert_entry(self, value: V) -> OccupiedEntry<'a, K, V> {
        match self {
            Self::Occupied(mut entry) => {
                entry.insert(value);
                entry
            }
            Self::Vacant(entry) => entry.insert_entry(value),
        }
    }
}

impl<'a, K, V> OccupiedEntry<'a, K, V> {
    /// The key, as it is kept.
    pub fn key(&self) -> &K {
        &self.place.get().0
    }

    /// The value.
    pub fn get(&self) -> &V {
        &self.place.get().1
    }

    /// The value, to be changed.
    pub fn get_mut(&mut self) -> &mut V {
        &mut self.place.get_mut().1
    }

    /// The value, to be changed as long as the map is borrowed.
    pub fn into_mut(self) -> &'a mut V {
        &mut self.place.into_mut().1
    }

    /// Puts `value` there, and gives back what was there.
    pub fn insert(&mut self, value: V) -> V {
        mem::replace(self.get_mut(), value)
    }

    /// Removes the entry, and gives back its value.
    pub fn remove(self) -> V {
        self.remove_entry().1
    }

    /// Removes the entry, and gives it back.
    pub fn remove_entry(self) -> (K, V) {
        *self.len -= 1;
        self.place.remove().0
    }
}

impl<'a, K, V> VacantEntry<'a, K, V> {
    /// The key that would be inserted.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The key back.
    pub fn into_key(self) -> K {
        self.key
    }

    /// Puts `value` there.
    pub fn insert(self, value: V) -> &'a mut V {
        self.insert_entry(value).into_mut()
    }

    /// Puts `value` there.
    pub fn insert_entry(self, value: V) -> OccupiedEntry<'a, K, V> {
        let Self { key, place, len } = self;
        let place = place.insert((key, value));
        *len += 1;
        OccupiedEntry { place, len }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OccupiedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedEntry")
            .field("key", self.key())
            .field("value", self.get())
            .finish_non_exhaustive()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for VacantEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(self.key()).finish()
    }
}
