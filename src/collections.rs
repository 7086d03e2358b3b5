//! Collections that know what changed: a commit costs what changed, and not what is there.

mod journal;
mod map;

pub use self::map::KeptMap;

/// The entries and iterators of a [`KeptMap`].
pub mod kept_map {
    pub use super::map::{
        Drain, Entry, IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, OccupiedEntry, VacantEntry,
        Values, ValuesMut,
    };
}
