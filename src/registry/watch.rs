//! Those who watch a registry.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker, ready},
};

use futures_util::Stream;

use super::{key::Key, places::Book};
use crate::{name::ServerId, sync::Mutex};

/// What happened to a name or to a group: see [`NameEvents`].
///
/// The names of a [`Registry`](crate::Registry) are `String`s, those of a [`KeyedRegistry`](crate::KeyedRegistry) its keys.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{NameEvent, Registry, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::new();
/// let mut events = registry.watch();
/// let till = ServerSpec::new(Quiet, 0).name_in(&registry, "till").start().await?;
/// registry.join("machines", &till);
/// let id = till.id();
/// till.stop().await?;
/// for expected in [
///     NameEvent::Registered { name: "till".into(), id },
///     NameEvent::Joined { group: "machines".into(), id },
/// ] {
///     assert_eq!(events.next().await, Some(expected));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameEvent<K = String> {
    /// A name leads to a server from now on.
    Registered {
        /// The name.
        name: K,
        /// The server.
        id: ServerId,
    },
    /// A name is free again: it was [taken away](crate::Registry::unregister), or its server ended.
    Unregistered {
        /// The name.
        name: K,
        /// The server that had it.
        id: ServerId,
    },
    /// A server has joined a group.
    Joined {
        /// The group.
        group: K,
        /// The server.
        id: ServerId,
    },
    /// A server has left a group, or ended.
    Left {
        /// The group.
        group: K,
        /// The server.
        id: ServerId,
    },
}

/// The same, while it waits to be told.
pub(super) type Event<Q> = NameEvent<Key<Q>>;

impl<Q: ToOwned + ?Sized> Event<Q> {
    fn told(&self) -> NameEvent<Q::Owned> {
        match self {
            Self::Registered { name, id } => {
                NameEvent::Registered { name: name.as_key().to_owned(), id: *id }
            }
            Self::Unregistered { name, id } => {
                NameEvent::Unregistered { name: name.as_key().to_owned(), id: *id }
            }
            Self::Joined { group, id } => NameEvent::Joined { group: group.as_key().to_owned(), id: *id },
            Self::Left { group, id } => NameEvent::Left { group: group.as_key().to_owned(), id: *id },
        }
    }
}

/// The changes of a registry as they come: see [`Registry::watch`](crate::Registry::watch) and
/// [`KeyedRegistry::watch`](crate::KeyedRegistry::watch).
///
/// A [`Stream`], with a [`next`](Self::next) of its own for those who use no stream library. It tells of every change from
/// the moment of its making on, in exactly the order in which they happened, however late it is asked: what was not asked
/// for yet is kept, without a bound. Dropped, it is forgotten by the registry, with all that it has kept.
///
/// `K` is what the names are: `str` for a `Registry`, whose events carry `String`s, or the key of a `KeyedRegistry`. The
/// counterpart of the `:listeners` of Elixir's `Registry`.
#[must_use = "it tells only when asked"]
pub struct NameEvents<K: ?Sized = str> {
    queue: Arc<Queue<K>>,
    number: u64,
    book: Weak<dyn Book>,
}

impl<K: ?Sized> NameEvents<K> {
    pub(super) fn of(queue: Arc<Queue<K>>, number: u64, book: Weak<dyn Book>) -> Self {
        Self { queue, number, book }
    }
}

impl<K: ToOwned + ?Sized> NameEvents<K> {
    /// The next change, as soon as there is one. `None` once nobody has the registry any more, which a server has, and its
    /// handles, that was started with a name in it.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time: nothing is skipped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{GenServer, NameEvent, Never, Registry, ServerSpec};
    /// # #[derive(Clone)] struct Clock;
    /// # impl GenServer for Clock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let names = Registry::new();
    /// let mut events = names.watch();
    /// let clock = ServerSpec::new(Clock, 0).name_in(&names, "clock").start().await.unwrap();
    /// let id = clock.id();
    /// clock.stop().await.unwrap();
    /// assert_eq!(events.next().await, Some(NameEvent::Registered { name: "clock".into(), id }));
    /// assert_eq!(events.next().await, Some(NameEvent::Unregistered { name: "clock".into(), id }));
    ///
    /// drop((names, clock));
    /// assert_eq!(events.next().await, None);
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<NameEvent<K::Owned>> {
        poll_fn(|cx| self.poll_following(cx)).await
    }

    fn poll_following(&mut self, cx: &mut Context<'_>) -> Poll<Option<NameEvent<K::Owned>>> {
        let event = ready!(self.queue.pull(cx));
        Poll::Ready(event.map(|event| event.told()))
    }
}

impl<K: ToOwned + ?Sized> Stream for NameEvents<K> {
    type Item = NameEvent<K::Owned>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_following(cx)
    }
}

impl<K: ?Sized> Drop for NameEvents<K> {
    fn drop(&mut self) {
        if let Some(book) = self.book.upgrade() {
            book.unwatch(self.number);
        }
    }
}

impl<K: ?Sized> fmt::Debug for NameEvents<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameEvents").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

/// What a watcher has yet to be told. It is filled under the lock of its table, so that its order is that of the changes.
pub(super) struct Queue<Q: ?Sized>(Mutex<Waiting<Q>>);

struct Waiting<Q: ?Sized> {
    events: VecDeque<Event<Q>>,
    waker: Option<Waker>,
    closed: bool,
}

impl<Q: ?Sized> Queue<Q> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Waiting { events: VecDeque::new(), waker: None, closed: false }))
    }

    /// Queues an event. Who waits for it is to be woken outside the lock of the table.
    pub(super) fn push(&self, event: Event<Q>) -> Option<Waker> {
        let mut waiting = self.0.lock();
        waiting.events.push_back(event);
        waiting.waker.take()
    }

    /// Says that no more will come. Who waits is to be woken.
    pub(super) fn close(&self) -> Option<Waker> {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        waiting.waker.take()
    }

    fn pull(&self, cx: &mut Context<'_>) -> Poll<Option<Event<Q>>> {
        // A waker is not ours: it is cloned and dropped outside the lock (K8).
        let mut waker = Some(cx.waker().clone());
        let mut waiting = self.0.lock();
        let next = waiting.events.pop_front();
        if next.is_some() || waiting.closed {
            return Poll::Ready(next);
        }
        mem::swap(&mut waiting.waker, &mut waker);
        drop(waiting);
        drop(waker);
        Poll::Pending
    }

    fn len(&self) -> usize {
        self.0.lock().events.len()
    }
}
