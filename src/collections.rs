//! Collections that know what changed: a commit costs what changed, and not what is there.

mod deque;
mod fields;
mod journal;
mod map;
#[cfg(feature = "serde")]
mod serde;
mod set;
mod vec;

pub use self::{
    deque::KeptDeque,
    map::KeptMap,
    set::KeptSet,
    vec::{KeptVec, Place},
};

/// The entries and iterators of a [`KeptMap`].
pub mod kept_map {
    pub use super::map::{
        Drain, Entry, IntoIter, IntoKeys, IntoValues, Iter, IterMut, Keys, OccupiedEntry, VacantEntry,
        Values, ValuesMut,
    };
}
