//! Being told of the end of a server, and of its incarnations.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use tokio::sync::oneshot;

use crate::{
    contain::{catch, log},
    exit::ExitReason,
    gen_server::GenServer,
    logical::Logical,
    name::{ServerId, serial},
    peer::Peer,
};

/// Names a monitor: see [`Context::monitor`](crate::Context::monitor).
///
/// # Examples
///
/// ```
/// use undying::{Context, Down, GenServer, MonitorRef, Never, Next, Outcome, ServerRef, StateMut};
/// # #[derive(Clone)] struct Quiet;
/// # impl GenServer for Quiet { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// # #[derive(Clone)] struct Watcher;
/// enum Order { Watch(ServerRef<Quiet>), Forget }
///
/// impl GenServer for Watcher {
///     type State = Option<MonitorRef>; // survives, as the monitor does
///     type Cast = Order;
///     type Info = Down;
/// #   type Call = Never; type Continue = Never;
///
///     async fn handle_cast(&mut self, order: Order, mut watched: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
///         if let Some(before) = watched.take() {
///             cx.demonitor(before);
///         }
///         if let Order::Watch(server) = order {
///             *watched = Some(cx.monitor(&server, |down| down));
///         }
///         Ok(Next::Wait)
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MonitorRef(u64);

impl MonitorRef {
    pub(crate) fn next() -> Self {
        Self(serial())
    }
}

/// A server that was monitored is over.
///
/// The counterpart of Erlang's `{'DOWN', Ref, process, Pid, Reason}`. It tells of the *logical* end: a crash that is followed
/// by another incarnation is none.
///
/// # Examples
///
/// ```
/// use undying::Down;
///
/// fn obituary(down: &Down) -> String {
///     let name = down.name.as_deref().unwrap_or("somebody");
///     format!("{name} is over: {}", down.reason)
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Down {
    /// The server.
    pub id: ServerId,
    /// The server's name, if it had one.
    pub name: Option<Arc<str>>,
    /// Why it ended; [`NoProc`](ExitReason::NoProc) if it was over before it was monitored.
    pub reason: ExitReason,
}

/// The future of a server's end: see [`ServerRef::monitor`](crate::ServerRef::monitor).
///
/// # Cancel safety
///
/// Dropped, it does not tell any more; nothing else happens.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ExitReason, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).name("clicks").start().await?;
/// let monitor = counter.monitor();
/// counter.kill_worker(); // is no end
/// counter.kill();
/// let down = monitor.await;
/// assert_eq!((down.id, down.name.as_deref()), (counter.id(), Some("clicks")));
/// assert!(matches!(down.reason, ExitReason::Killed));
/// # Ok(())
/// # }
/// ```
#[must_use = "it tells of the end only when awaited"]
pub struct Monitor {
    server: Arc<dyn Peer>,
    name: MonitorRef,
    down: oneshot::Receiver<Down>,
}

impl Monitor {
    /// Watches from now on: whatever end comes after this moment is told, however late the future is polled.
    pub(crate) fn of(server: Arc<dyn Peer>) -> Self {
        let (tell, down) = oneshot::channel();
        let name = MonitorRef::next();
        // The waker is not ours, and may panic.
        let watcher = Box::new(move |down| {
            if catch(|| drop(tell.send(down))).is_err() {
                log!(error, "a waker panicked; contained");
            }
        });
        if let Some((watcher, over)) = server.watch(name, watcher) {
            watcher(over);
        }
        Self { server, name, down }
    }
}

impl Future for Monitor {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Down> {
        let down = ready!(Pin::new(&mut self.down).poll(cx));
        Poll::Ready(down.unwrap_or_else(|_| Down {
            id: self.server.id(),
            name: self.server.name(),
            reason: ExitReason::NoProc,
        }))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.server.unwatch(self.name);
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

/// The incarnations of a server as they come: see [`ServerRef::incarnations`](crate::ServerRef::incarnations).
///
/// A [`Stream`] of their numbers, with a [`next`](Self::next) of its own for those who use no stream library. However late it
/// is asked, it skips none: one number for each crash that the server survived.
#[must_use = "it tells only when asked"]
pub struct Incarnations<S: GenServer> {
    logical: Arc<Logical<S>>,
    seen: u64,
    next: Option<Pin<Box<dyn Future<Output = Option<u64>> + Send>>>,
}

impl<S: GenServer> Incarnations<S> {
    pub(crate) fn of(logical: Arc<Logical<S>>) -> Self {
        let seen = logical.cell.look(|record| record.life.announced);
        Self { logical, seen, next: None }
    }

    /// The number of the next incarnation, as soon as the crash before it is dealt with: the incarnation may not serve yet.
    /// `None` at the logical end.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time: nothing is skipped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{GenServer, Never, ServerSpec};
    /// # #[derive(Clone)] struct Quiet;
    /// # impl GenServer for Quiet { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let server = ServerSpec::new(Quiet, ()).start().await.unwrap();
    /// let mut incarnations = server.incarnations();
    /// server.kill_worker();
    /// assert_eq!(incarnations.next().await, Some(2));
    /// server.kill();
    /// assert_eq!(incarnations.next().await, None);
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<u64> {
        poll_fn(|cx| self.poll_following(cx)).await
    }

    fn poll_following(&mut self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let Self { logical, seen, next } = self;
        let next_one = next.get_or_insert_with(|| Box::pin(following(logical.clone(), *seen)));
        let found = ready!(next_one.as_mut().poll(cx));
        *next = None;
        *seen = found.unwrap_or(*seen);
        Poll::Ready(found)
    }
}

async fn following<S: GenServer>(logical: Arc<Logical<S>>, seen: u64) -> Option<u64> {
    let next = logical.until(|record| match record.life.announced {
        announced if announced > seen => Some(Some(seen + 1)),
        _ => Logical::end_of(record).map(|_| None),
    });
    next.await
}

impl<S: GenServer> Stream for Incarnations<S> {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        self.poll_following(cx)
    }
}

/// Nothing in it is ever pinned in place.
impl<S: GenServer> Unpin for Incarnations<S> {}

impl<S: GenServer> fmt::Debug for Incarnations<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incarnations")
            .field("server", &self.logical.id)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
