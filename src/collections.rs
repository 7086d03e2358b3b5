//! Collections that know what changed: a commit costs what changed, and not what is there.
//!
//! A server's state is kept after each callback that changed it. A std collection is kept by copying all of it. [`KeptMap`],
//! [`KeptSet`], [`KeptVec`] and [`KeptDeque`] have std's methods, remember where they were changed, and copy that.
//!
//! ```
//! use undying::{collections::{KeptMap, KeptVec}, preserve_fields};
//!
//! /// The state of a server.
//! #[derive(Default)]
//! struct Bank {
//!     accounts: KeptMap<String, i64>,
//!     audit: KeptVec<String>,
//! }
//!
//! // In the place of `#[derive(Clone)]`, which would copy everything.
//! preserve_fields!(Bank { accounts, audit });
//!
//! let mut bank = Bank::default();
//! let mut kept = bank.clone(); // what a server does when it starts …
//! *bank.accounts.entry("ann".into()).or_default() += 5;
//! bank.audit.push("ann: 5".into());
//! kept.clone_from(&bank); // … and after a callback: one entry, one element
//! assert_eq!(kept.accounts["ann"], 5);
//! ```
//!
//! # How
//!
//! The collections are `Clone`, and so are states and their own snapshots: [`peek`](crate::ServerRef::peek), listeners and
//! watchers see the very type. All is in [`clone_from`](Clone::clone_from), which knows an earlier copy of the same collection
//! that nobody has changed since, and writes what changed. Any other destination gets a whole copy. It is right for any
//! copies of copies, swapped, changed or half written when something panicked: they are told apart by numbers that are never
//! given twice.
//!
//! A server writes its snapshots into two buffers in turns, so each change is written twice. A buffer that somebody holds (a
//! [`Kept`](crate::Kept), an event on its way to a listener) cannot be written to: then the snapshot is a whole copy, as it is
//! after a crash, while calls wait for an answer that is deferred, and with a [`Poison`](crate::Poison) policy other than `Stop`.
//! A whole copy of a map or set shares its tables and copies none of its entries; a whole copy of a vector or queue copies
//! every element.
//!
//! # What it costs
//!
//! Nanoseconds, entries of two `u64`, keys drawn at random but for the row of hot keys; the best of nine interleaved runs on a
//! shared 2-core machine on 2026-11-21, so look at the ratios.
//!
//! | | 1 k | 100 k | 1 M |
//! | --- | --- | --- | --- |
//! | `get`: std, `KeptMap` | 11, 13 | 25, 30 | 99, 120 |
//! | `insert` over an entry: std, `KeptMap` | 11, 18 | 23, 25 | 84, 71 |
//! | keep, after a change of one entry: std (`clone_from`) | 860 | 151,000 | 4,190,000 |
//! | `get_mut` and keep: `KeptMap` | 54 | 220 | 779 |
//! | the same, 64 hot keys | 61 | 65 | 59 |
//! | the same, every snapshot held for a while | 355 | 6,400 | 25,000 |
//! | the same, `imbl::HashMap` | 839 | 2,860 | 3,770 |
//! | a whole copy of a `KeptMap`: restoring it after a crash | 201 | 3,500 | 11,700 |
//! | a tenth of all changed, and keep: std | 1,800 | 338,000 | 10,500,000 |
//! | a tenth of all changed, and keep: `KeptMap` | 4,650 | 1,310,000 | 20,200,000 |
//! | an element of a `KeptVec` changed, and keep | 17 | 44 | 89 |
//! | one out of a `KeptDeque` and one in, and keep | 36 | 33 | 36 |
//! | std's `Vec::clone_from` | 58 | 20,000 | 766,000 |
//!
//! What random keys cost more in a large map is memory that is in no cache: std's `get` alone takes nine times as long.
//!
//! A table of a map is copied when it changes for the first time after a whole copy, and once more for the other buffer; what has
//! been touched is there three times in the end, and shared as long as it is not.
//!
//! # Which to choose
//!
//! * A small state, or one of which a callback changes a large part: std's collections. Entries that are plain numbers are
//!   copied so fast that a callback which changes a tenth of them is better off without a `KeptMap`.
//! * A large value that is replaced as a whole: an [`Arc`](std::sync::Arc).
//! * A large collection of which a callback changes little: these.
//! * A large vector or queue whose snapshots are often held by readers: a persistent one, such as those of the crate `imbl`. For
//!   maps and sets, too, where each snapshot is held for long: their copies share more.
//! * Values with interior mutability: not these, unless they are behind an `Arc`; nobody sees such a change.

mod deque;
mod fields;
mod journal;
mod map;
#[cfg(feature = "serde")]
mod serde;
mod set;
mod span;
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
