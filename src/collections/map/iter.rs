//! Ways through a map: one table after the other.

use std::{fmt, iter::FusedIterator, marker::PhantomData, slice, vec};

use hashbrown::{HashTable, hash_table};
use triomphe::Arc;

use super::{
    KeptMap,
    shards::{Shard, Shards},
};

/// The next entry of the table at hand, or of the next table that has one.
fn next_entry<T, I: Iterator>(
    table: &mut Option<I>,
    mut next_table: impl FnMut() -> Option<T>,
    open: impl Fn(T) -> I,
) -> Option<I::Item> {
    loop {
        if let Some(entry) = table.as_mut().and_then(Iterator::next) {
            return Some(entry);
        }
        *table = None;
        *table = Some(open(next_table()?));
    }
}

/// Iterators that know how many items are left, and how to find the next.
macro_rules! iterators {
    ($(
        $(#[$doc:meta])*
        $name:ident [$($generics:tt)*] { $($field:ident: $type:ty),* } => $item:ty,
        |$this:ident| $next:expr, $left:expr;
    )*) => {$(
        $(#[$doc])*
        #[must_use = "iterators are lazy"]
        pub struct $name<$($generics)*> { $(pub(super) $field: $type),* }

        impl<$($generics)*> Iterator for $name<$($generics)*> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                let $this = self;
                $next
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                let $this = self;
                ($left, Some($left))
            }
        }

        impl<$($generics)*> ExactSizeIterator for $name<$($generics)*> {}

        impl<$($generics)*> FusedIterator for $name<$($generics)*> {}

        impl<$($generics)*> fmt::Debug for $name<$($generics)*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("left", &self.len()).finish_non_exhaustive()
            }
        }
    )*};
}

iterators! {
    /// The entries of a [`KeptMap`], from [`KeptMap::iter`].
    Iter['a, K, V] {
        tables: slice::Iter<'a, Arc<Shard<K, V>>>, table: Option<hash_table::Iter<'a, (K, V)>>, left: usize
    } => (&'a K, &'a V),
    |this| {
        let (key, value) = next_entry(&mut this.table, || this.tables.next(), |table| table.iter())?;
        this.left -= 1;
        Some((key, value))
    }, this.left;

    /// The entries of a [`KeptMap`], their values to be changed, from [`KeptMap::iter_mut`].
    IterMut['a, K, V] {
        tables: slice::IterMut<'a, Arc<Shard<K, V>>>, table: Option<hash_table::IterMut<'a, (K, V)>>, left: usize
    } => (&'a K, &'a mut V),
    |this| {
        let (key, value) = next_entry(&mut this.table, || this.tables.next(), |table: &'a mut Arc<Shard<K, V>>| {
            Arc::get_mut(table).expect("made our own before").iter_mut()
        })?;
        this.left -= 1;
        Some((&*key, value))
    }, this.left;

    /// The entries of a [`KeptMap`], taken out of it.
    IntoIter[K, V] {
        tables: vec::IntoIter<Shard<K, V>>, table: Option<hash_table::IntoIter<(K, V)>>, left: usize
    } => (K, V),
    |this| {
        let entry = next_entry(&mut this.table, || this.tables.next(), HashTable::into_iter)?;
        this.left -= 1;
        Some(entry)
    }, this.left;

    /// The entries of a [`KeptMap`] that is empty now, from [`KeptMap::drain`].
    Drain['a, K, V] { entries: IntoIter<K, V>, map: PhantomData<&'a mut (K, V)> } => (K, V),
    |this| this.entries.next(), this.entries.left;

    /// The keys of a [`KeptMap`], from [`KeptMap::keys`].
    Keys['a, K, V] { entries: Iter<'a, K, V> } => &'a K,
    |this| this.entries.next().map(|(key, _)| key), this.entries.left;

    /// The values of a [`KeptMap`], from [`KeptMap::values`].
    Values['a, K, V] { entries: Iter<'a, K, V> } => &'a V,
    |this| this.entries.next().map(|(_, value)| value), this.entries.left;

    /// The values of a [`KeptMap`], to be changed, from [`KeptMap::values_mut`].
    ValuesMut['a, K, V] { entries: IterMut<'a, K, V> } => &'a mut V,
    |this| this.entries.next().map(|(_, value)| value), this.entries.left;

    /// The keys of a [`KeptMap`], from [`KeptMap::into_keys`].
    IntoKeys[K, V] { entries: IntoIter<K, V> } => K,
    |this| this.entries.next().map(|(key, _)| key), this.entries.left;

    /// The values of a [`KeptMap`], from [`KeptMap::into_values`].
    IntoValues[K, V] { entries: IntoIter<K, V> } => V,
    |this| this.entries.next().map(|(_, value)| value), this.entries.left;
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { tables: self.tables.clone(), table: self.table.clone(), left: self.left }
    }
}

impl<K, V> Clone for Keys<'_, K, V> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<K, V> Clone for Values<'_, K, V> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<K, V, S> KeptMap<K, V, S> {
    /// The entries, in no order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { tables: self.shards.iter(), table: None, left: self.len }
    }

    /// The keys, in no order.
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys { entries: self.iter() }
    }

    /// The values, in no order.
    pub fn values(&self) -> Values<'_, K, V> {
        Values { entries: self.iter() }
    }
}

impl<K: Clone, V: Clone, S> KeptMap<K, V, S> {
    /// The entries, their values to be changed. It counts as a change of everything.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        self.journal.record_all();
        for shard in self.shards.iter_mut() {
            Arc::make_mut(shard);
        }
        IterMut { tables: self.shards.iter_mut(), table: None, left: self.len }
    }

    /// The values, to be changed. It counts as a change of everything.
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut { entries: self.iter_mut() }
    }

    /// Empties the map at once, and gives out what was in it.
    pub fn drain(&mut self) -> Drain<'_, K, V> {
        Drain { entries: IntoIter::new(self.take()), map: PhantomData }
    }

    /// Its keys, in no order.
    pub fn into_keys(self) -> IntoKeys<K, V> {
        IntoKeys { entries: self.into_iter() }
    }

    /// Its values, in no order.
    pub fn into_values(self) -> IntoValues<K, V> {
        IntoValues { entries: self.into_iter() }
    }
}

impl<K: Clone, V: Clone> IntoIter<K, V> {
    pub(super) fn new((shards, left): (Shards<K, V>, usize)) -> Self {
        let tables: Vec<_> = shards.into_inner().into_iter().map(Arc::unwrap_or_clone).collect();
        Self { tables: tables.into_iter(), table: None, left }
    }
}
