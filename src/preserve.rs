//! What survives: how a state is kept, and how a callback gets at it.

use std::{
    fmt, mem,
    ops::{Deref, DerefMut},
};

use crate::{contain::Quiet, gen_server::GenServer};

/// A state that can be kept and brought back.
///
/// Everything that is `Clone + Send + Sync + 'static` is one, with itself as the snapshot. Types that are not `Clone`, or
/// that are costly to clone, implement it themselves; an [`Arc`](std::sync::Arc) inside the state, or a persistent map, makes snapshots
/// cheap without that.
///
/// After each callback that took `&mut` to the state and returned `Ok`, the worker takes a snapshot; after a crash the next
/// incarnation restores its working copy from the last one. A panic in any of the three methods is a crash of the
/// callback (or restart) it belongs to.
///
/// # Examples
///
/// A state that is not `Clone`, kept as what it can be rebuilt from:
///
/// ```
/// use undying::Preserve;
///
/// struct Histogram {
///     buckets: Vec<u64>,
///     /// Derived; not worth keeping.
///     total: Box<dyn Fn(&[u64]) -> u64 + Send>,
/// }
///
/// impl Preserve for Histogram {
///     type Snapshot = Vec<u64>;
///
///     fn snapshot(&mut self) -> Vec<u64> {
///         self.buckets.clone()
///     }
///
///     fn restore(buckets: &Vec<u64>) -> Self {
///         Self { buckets: buckets.clone(), total: Box::new(|buckets| buckets.iter().sum()) }
///     }
/// }
///
/// let mut histogram = Histogram::restore(&vec![1, 2, 3]);
/// let kept = histogram.snapshot();
/// let restored = Histogram::restore(&kept);
/// assert_eq!((restored.total)(&restored.buckets), 6);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of a server: it is not known how to keep it",
    label = "cannot be kept",
    note = "derive `Clone` for it (what is `Clone + Send + Sync + 'static` is kept by being cloned), or implement `undying::Preserve`",
    note = "what has no copy, such as a connection, does not belong into the state but into the server itself: into `&mut self`"
)]
pub trait Preserve: Send + 'static {
    /// What is kept.
    type Snapshot: Send + Sync + 'static;

    /// Takes a snapshot.
    fn snapshot(&mut self) -> Self::Snapshot;

    /// Takes a snapshot into `slot`, whose allocations may be used again. Defaults to `*slot = self.snapshot()`; for
    /// `Clone` types it is [`Clone::clone_from`].
    ///
    /// `slot` holds *an earlier* snapshot of this state, usually the one before the last: the last one is never written
    /// to, because a panic in here has to leave it whole. A type that updates only what changed has to know which snapshot
    /// that was, so it should number them.
    fn snapshot_into(&mut self, slot: &mut Self::Snapshot) {
        *slot = self.snapshot();
    }

    /// Makes a state from a snapshot.
    fn restore(snapshot: &Self::Snapshot) -> Self;
}

impl<T: Clone + Send + Sync + 'static> Preserve for T {
    type Snapshot = T;

    fn snapshot(&mut self) -> T {
        self.clone()
    }

    fn snapshot_into(&mut self, slot: &mut T) {
        slot.clone_from(self);
    }

    fn restore(snapshot: &T) -> T {
        snapshot.clone()
    }
}

/// The snapshot type of a server's state: for `Clone` states the state itself.
///
/// # Examples
///
/// ```
/// use undying::{GenServer, Snapshot, StateChanged};
///
/// /// Works for every server whose snapshot can be shown.
/// fn show<S: GenServer>(change: &StateChanged<'_, S>)
/// where
///     Snapshot<S>: std::fmt::Debug,
/// {
///     println!("{:?} -> {:?}", change.old, change.new);
/// }
/// ```
pub type Snapshot<S> = <<S as GenServer>::State as Preserve>::Snapshot;

/// A snapshot with its holders. Nobody holds it weakly, so it takes no more than a look to see whether there is only one of them.
pub(crate) type SharedSnapshot<S> = triomphe::Arc<Snapshot<S>>;

/// A callback's access to the state: the incarnation's working copy.
///
/// Reading goes through [`Deref`] and costs nothing. [`DerefMut`] marks the state as changed: only then is a snapshot taken
/// and kept when the callback returns `Ok`. A callback that only reads a state of any size costs what it costs for a `u64`.
///
/// # Examples
///
/// ```
/// # use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
/// # #[derive(Clone)] struct Hits;
/// # impl GenServer for Hits {
/// #     type State = Vec<u64>; type Call = Never; type Cast = u64; type Info = Never; type Continue = Never;
/// async fn handle_cast(&mut self, hit: u64, mut hits: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///     if !hits.contains(&hit) {
///         hits.push(hit);
///     }
///     Ok(Next::Wait)
/// }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let hits = ServerSpec::new(Hits, vec![]).start().await.unwrap();
/// # for hit in [7, 7, 8] { hits.cast(hit).await.unwrap(); }
/// # let end = hits.stop().await.unwrap();
/// # assert_eq!((end.state.version(), &**end.state), (2, &[7, 8][..]));
/// # }
/// ```
pub struct StateMut<'a, S: GenServer> {
    value: &'a mut S::State,
    changed: &'a mut bool,
}

impl<'a, S: GenServer> StateMut<'a, S> {
    pub(crate) fn new(value: &'a mut S::State, changed: &'a mut bool) -> Self {
        Self { value, changed }
    }
}

impl<S: GenServer> Deref for StateMut<'_, S> {
    type Target = S::State;

    fn deref(&self) -> &S::State {
        self.value
    }
}

impl<S: GenServer> DerefMut for StateMut<'_, S> {
    fn deref_mut(&mut self) -> &mut S::State {
        *self.changed = true;
        self.value
    }
}

impl<S: GenServer> fmt::Debug for StateMut<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMut").field("changed", &self.changed).finish_non_exhaustive()
    }
}

/// A snapshot that was committed, shared with the server. Cheap to clone; derefs to the snapshot.
///
/// It does not change when the server goes on. While it is held, the server cannot use its memory again.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::ServerSpec;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 40).start().await?;
/// let kept = counter.peek();
/// counter.cast(2).await?;
/// assert_eq!(*counter.stop().await?.state, 42);
/// assert_eq!((*kept, kept.version(), kept.incarnation()), (40, 0, 1));
/// # Ok(())
/// # }
/// ```
pub struct Kept<S: GenServer> {
    snapshot: Quiet<SharedSnapshot<S>>,
    version: u64,
    incarnation: u64,
}

impl<S: GenServer> Kept<S> {
    fn new(snapshot: SharedSnapshot<S>, version: u64, incarnation: u64) -> Self {
        Self { snapshot: Quiet::new(snapshot), version, incarnation }
    }

    /// The snapshot a server begins with.
    pub(crate) fn first(state: &mut S::State) -> Self {
        Self::new(SharedSnapshot::<S>::new(state.snapshot()), 0, 1)
    }

    /// The same version of it, not committed yet.
    pub(crate) fn with(&self, snapshot: Snapshot<S>, incarnation: u64) -> Self {
        Self::new(SharedSnapshot::<S>::new(snapshot), self.version, incarnation)
    }

    /// Puts `snapshot` in the place of the one that is kept, and leaves that in `snapshot`.
    pub(crate) fn swap(&mut self, snapshot: &mut SharedSnapshot<S>, version: u64, incarnation: u64) {
        mem::swap(&mut *self.snapshot, snapshot);
        (self.version, self.incarnation) = (version, incarnation);
    }

    pub(crate) fn snapshot(&self) -> &SharedSnapshot<S> {
        &self.snapshot
    }

    /// How many commits had changed the state when this one was made. The initial state is version 0.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The incarnation that committed it, counted from 1.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

impl<S: GenServer> Clone for Kept<S> {
    fn clone(&self) -> Self {
        Self::new(self.snapshot().clone(), self.version, self.incarnation)
    }
}

impl<S: GenServer> Deref for Kept<S> {
    type Target = Snapshot<S>;

    fn deref(&self) -> &Snapshot<S> {
        &self.snapshot
    }
}

impl<S: GenServer> fmt::Debug for Kept<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snapshot: _, version, incarnation } = self;
        f.debug_struct("Kept")
            .field("version", version)
            .field("incarnation", incarnation)
            .finish_non_exhaustive()
    }
}
