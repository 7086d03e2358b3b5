//! Structs with such collections in them.

/// Implements `Clone` for a struct, field by field, [`clone_from`](Clone::clone_from) included.
///
/// `#[derive(Clone)]` does not do that: by it, `clone_from` makes a whole new copy, and a collection in a field never sees
/// the earlier one that it could have brought up to date. All fields have to be named, those of a tuple struct by number; one
/// that is forgotten is an error. Fields of other types gain as well: a `Vec` or a `String` uses its memory again.
///
/// # Examples
///
/// ```
/// use undying::{collections::{KeptMap, KeptVec}, preserve_fields};
///
/// struct Bank {
///     accounts: KeptMap<String, u64>,
///     journal: KeptVec<String>,
///     total: u64,
/// }
///
/// preserve_fields!(Bank { accounts, journal, total });
/// ```
///
/// Of generic and tuple structs:
///
/// ```
/// use std::hash::Hash;
/// use undying::{collections::KeptMap, preserve_fields};
///
/// struct Scores<K, V>(KeptMap<K, V>, u64);
///
/// preserve_fields!(impl<K: Clone + Eq + Hash, V: Clone> Scores<K, V> { 0, 1 });
/// ```
///
/// A field that is forgotten:
///
/// ```compile_fail,E0063
/// struct Pair {
///     one: u64,
///     other: u64,
/// }
///
/// undying::preserve_fields!(Pair { one });
/// ```
#[macro_export]
macro_rules! preserve_fields {
    (impl < $($rest:tt)*) => {
        $crate::preserve_fields!(@generics [] $($rest)*);
    };
    // The parameters end where a type comes.
    (@generics [$($generics:tt)*] > $type:ty { $($field:tt),* $(,)? }) => {
        $crate::preserve_fields!(@clone [$($generics)*] $type { $($field),* });
    };
    (@generics [$($generics:tt)*] >> $type:ty { $($field:tt),* $(,)? }) => {
        $crate::preserve_fields!(@clone [$($generics)* >] $type { $($field),* });
    };
    (@generics [$($generics:tt)*] $next:tt $($rest:tt)*) => {
        $crate::preserve_fields!(@generics [$($generics)* $next] $($rest)*);
    };
    (@clone [$($generics:tt)*] $type:ty { $($field:tt),* }) => {
        impl<$($generics)*> ::core::clone::Clone for $type {
            fn clone(&self) -> Self {
                Self { $($field: ::core::clone::Clone::clone(&self.$field)),* }
            }

            fn clone_from(&mut self, source: &Self) {
                $(::core::clone::Clone::clone_from(&mut self.$field, &source.$field);)*
            }
        }
    };
    ($type:ty { $($field:tt),* $(,)? }) => {
        $crate::preserve_fields!(@clone [] $type { $($field),* });
    };
}
