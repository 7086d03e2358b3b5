//! What changed, and since which copy.
//!
//! A collection whose copies are to be brought up to date cheaply has to know three things of a copy it is handed: whose copy
//! it is, of which moment, and that nobody has touched it since.
//!
//! * J1 A *name* is an id and a position, and stands for one content for ever. Ids are never given twice and never copied;
//!   every change moves the position on. So two collections of the same name are equal, whatever became of others.
//! * J2 A copy begins at position 0 with the name of what it was copied from as its *ancestor*. As long as it stays there it
//!   goes by that name; changed, it is somebody else, who still knows what it was at position 0.
//! * J3 What is written to has no name until it is whole: [`Journal::forget`] comes before, [`Journal::become_copy`] after.
//!   A panic between them leaves a collection that is nobody's copy.
//! * J4 A change is recorded before it is made. A panic between the two leaves a record too many, never one too few.
//! * J5 The journal says *where* something changed, never what. It reaches back to the last copy but one, because a server
//!   writes to two snapshots in turns.

use std::{
    collections::{VecDeque, vec_deque},
    fmt, mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A place that changed.
pub(super) trait Change {
    /// Takes `next` in, if that makes this no dearer than the two.
    fn merge(&mut self, next: &Self) -> bool;
}

/// J1: stands for one content. The id 0 is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    id: u64,
    at: u64,
}

const NOBODY: Name = Name { id: 0, at: 0 };

/// Gives out ids; 0 is nobody's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The changes of one collection.
pub(super) struct Journal<C> {
    /// 0 until the first copy is taken that does not go by the ancestor's name.
    id: AtomicU64,
    ancestor: Name,
    /// The position of the first of `changes`.
    start: u64,
    changes: VecDeque<C>,
    /// The positions of the last copy but one, and of the last. Atomic, because copies are taken of what is shared.
    copied: [AtomicU64; 2],
}

impl<C> Journal<C> {
    pub(super) const fn new() -> Self {
        Self {
            id: AtomicU64::new(0),
            ancestor: NOBODY,
            start: 0,
            changes: VecDeque::new(),
            copied: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    fn now(&self) -> u64 {
        self.start + self.changes.len() as u64
    }

    /// J2: the ancestor's name, as long as that is the content.
    fn unchanged(&self) -> Option<Name> {
        (self.ancestor != NOBODY && self.now() == 0).then_some(self.ancestor)
    }

    /// The name for a copy that is being taken.
    pub(super) fn name(&self) -> Name {
        let now = self.now();
        let last = self.copied[1].load(Relaxed);
        if last != now {
            self.copied[0].store(last, Relaxed);
            self.copied[1].store(now, Relaxed);
        }
        self.unchanged().unwrap_or_else(|| Name { id: self.own_id(), at: now })
    }

    fn own_id(&self) -> u64 {
        match self.id.load(Relaxed) {
            0 => {
                let fresh = NEXT_ID.fetch_add(1, Relaxed);
                self.id.compare_exchange(0, fresh, Relaxed, Relaxed).map_or_else(|theirs| theirs, |_| fresh)
            }
            id => id,
        }
    }

    /// What changed here since `copy` was what it is, if it is a copy of this, and the journal reaches back to it.
    pub(super) fn since<'a>(&'a self, copy: &Self) -> Option<vec_deque::Iter<'a, C>> {
        let name = match copy.unchanged() {
            Some(name) => name,
            None => Name { id: copy.id.load(Relaxed), at: copy.now() },
        };
        let at = if name.id == 0 {
            return None;
        } else if name.id == self.id.load(Relaxed) {
            name.at
        } else if name == self.ancestor {
            0
        } else {
            return None;
        };
        let known = usize::try_from(at.checked_sub(self.start)?).ok()?;
        (known <= self.changes.len()).then(|| self.changes.range(known..))
    }

    /// J3: nobody's copy, and nobody is a copy of it.
    pub(super) fn forget(&mut self) {
        self.changes.clear();
        let changes = mem::take(&mut self.changes);
        *self = Self { changes, ..Self::new() };
    }

    /// J3: a whole copy of what goes by `name`.
    pub(super) fn become_copy(&mut self, name: Name) {
        debug_assert!(self.changes.is_empty() && !self.is_known(), "J3: it was forgotten before");
        self.ancestor = name;
    }

    /// Whether anybody may be a copy of this.
    fn is_known(&mut self) -> bool {
        *self.id.get_mut() != 0 || self.ancestor != NOBODY
    }

    /// Records that all of it changes.
    pub(super) fn record_all(&mut self) {
        if self.is_known() {
            self.start = self.now() + 1;
            self.changes.clear();
        }
    }
}

impl<C: Change> Journal<C> {
    /// Records a change that is about to be made. Beyond `limit` of them, everything counts as changed.
    #[inline]
    pub(super) fn record(&mut self, change: C, limit: usize) {
        if !self.is_known() {
            return;
        }
        let [older, last] = [0, 1].map(|which| *self.copied[which].get_mut());
        if last < self.start {
            // No copy is left that could be brought up to date by it.
            return self.record_all();
        }
        if last < self.now() && self.changes.back_mut().is_some_and(|back| back.merge(&change)) {
            return;
        }
        while self.start < older {
            self.changes.pop_front();
            self.start += 1;
        }
        if self.changes.len() < limit {
            self.changes.push_back(change);
        } else {
            self.record_all();
        }
    }
}

/// J2: a copy goes by the name of what it was copied from.
impl<C> Clone for Journal<C> {
    fn clone(&self) -> Self {
        Self { ancestor: self.name(), ..Self::new() }
    }
}

impl<C> Default for Journal<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Journal<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("start", &self.start).field("changes", &self.changes.len()).finish()
    }
}
