//! Watching the state of a server from outside.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;

use crate::{
    contain::drop_quietly, gen_server::GenServer, logical::Logical, name::serial, preserve::Kept,
    server_ref::ServerRef,
};

/// The newest state of a server, whenever there is a newer one: see [`ServerRef::watch`].
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use undying::{Preserve, GenServer, Watch};
///
/// /// It is a `Stream`, too.
/// async fn print<S: GenServer<State: Preserve<Snapshot = u64>>>(states: Watch<S>) {
///     states.for_each(|state| async move { println!("{} in version {}", *state, state.version()) }).await;
/// }
/// ```
#[must_use = "it tells nothing unless it is asked"]
pub struct Watch<S: GenServer> {
    logical: Arc<Logical<S>>,
    number: u64,
    /// The version that was given last.
    version: Option<u64>,
    /// That state, if it takes more than its version to tell whether there is another.
    seen: Option<Kept<S>>,
}

impl<S: GenServer> ServerRef<S> {
    /// A stream of the state: first the one there is, then the newest whenever it has changed. What came in between, while
    /// nobody asked, is skipped; who has to see every change is a [`Listener`](crate::Listener). It goes on across crashes and
    /// other lives, and ends with the logical end, after the last state.
    ///
    /// Any number of them may be there at a time. A server that nobody watches has no cost of it, and one that is watched pays
    /// for a wake-up only where somebody waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Counter;
    /// # impl GenServer for Counter {
    /// #     type State = u64; type Call = Never; type Cast = u64; type Info = Never; type Continue = Never;
    /// #     async fn handle_cast(&mut self, by: u64, mut n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    /// #         *n += by; Ok(Next::Wait)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let counter = ServerSpec::new(Counter, 0).start().await.unwrap();
    /// let mut states = counter.watch();
    /// assert_eq!(*states.next().await.unwrap(), 0);
    /// counter.cast(1).await.unwrap();
    /// counter.cast(1).await.unwrap();
    /// counter.stop().await.unwrap();
    /// assert_eq!(*states.next().await.unwrap(), 2); // newest wins
    /// assert!(states.next().await.is_none());
    /// # }
    /// ```
    pub fn watch(&self) -> Watch<S> {
        Watch { logical: self.logical.clone(), number: serial(), version: None, seen: None }
    }
}

impl<S: GenServer> Watch<S> {
    /// The newest state that was not given yet, as soon as there is one. `None` after the logical end.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time: nothing is skipped.
    pub async fn next(&mut self) -> Option<Kept<S>> {
        poll_fn(|cx| self.poll_newer(cx)).await
    }

    fn poll_newer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Kept<S>>> {
        loop {
            // The waker is not ours, so that nothing is done with it under the lock (K8).
            let mut waker = Some(cx.waker().clone());
            let looked = self.logical.cell.look(|record| {
                if self.version != Some(record.kept.version()) {
                    return Some(Some(record.kept.clone()));
                }
                if Logical::is_over(record) {
                    return Some(None);
                }
                waker = record.feed.watch(self.number, waker.take()?);
                None
            });
            drop_quietly(waker);
            match looked {
                Some(Some(kept)) if self.is_news(&kept) => return Poll::Ready(Some(kept)),
                Some(Some(same)) => drop_quietly(same),
                Some(None) => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }

    /// Whether this state is another than the one that was given last, as the server has it. Takes note of it.
    fn is_news(&mut self, kept: &Kept<S>) -> bool {
        self.version = Some(kept.version());
        let hooks = &self.logical.hooks;
        let changed = self.seen.as_ref().is_none_or(|seen| hooks.is_change(seen, kept));
        if changed && hooks.compares() {
            drop_quietly(self.seen.replace(kept.clone()));
        }
        changed
    }
}

impl<S: GenServer> Stream for Watch<S> {
    type Item = Kept<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Kept<S>>> {
        self.poll_newer(cx)
    }
}

/// Nothing in it is ever pinned in place.
impl<S: GenServer> Unpin for Watch<S> {}

impl<S: GenServer> Drop for Watch<S> {
    fn drop(&mut self) {
        let waker = self.logical.cell.look(|record| record.feed.unwatch(self.number));
        drop_quietly(waker);
    }
}

impl<S: GenServer> fmt::Debug for Watch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("server", &self.logical.id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
