//! Several calls at a time.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};

use crate::{
    error::CallError, gen_server::GenServer, pending::PendingCall, reply::Reply, server_ref::ServerRef,
};

type Answer<L, T> = (L, Result<T, CallError>);
type Pending<'a, L, T> = Pin<Box<dyn Future<Output = Answer<L, T>> + Send + 'a>>;

/// Calls under way, to servers of any type, that are answered in the order of their completion, each with its label. OTP's
/// request id collection (`gen_server:reqids_new`).
///
/// A [`Stream`], with a [`next`](Self::next) of its own for those who use no stream library. To wait for all of them only so
/// long, wrap `next` in Tokio's `timeout`; each call has its own timeout besides.
///
/// # Examples
///
/// ```
/// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
/// # #[derive(Clone)] struct Shop;
/// # impl GenServer for Shop {
/// #     type State = u64; type Call = Reply<u64>; type Cast = Never; type Info = Never; type Continue = Never;
/// #     async fn handle_call(&mut self, price: Reply<u64>, n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         price.send(*n); Ok(Next::Wait)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let mut shops = vec![];
/// # for price in [7, 5, 9] { shops.push(ServerSpec::new(Shop, price).start().await.unwrap()); }
/// use undying::Requests;
///
/// shops[2].kill();
/// let mut prices = Requests::new();
/// for (shop, server) in shops.iter().enumerate() {
///     prices.add(shop, server.call(|price| price));
/// }
/// let mut best = None;
/// while let Some((shop, price)) = prices.next().await {
///     best = best.into_iter().chain(price.ok().map(|price| (price, shop))).min();
/// }
/// assert_eq!(best, Some((5, 1)));
/// # }
/// ```
#[must_use = "the answers are what `next` gives"]
pub struct Requests<'a, L, T> {
    pending: FuturesUnordered<Pending<'a, L, T>>,
}

impl<'a, L: Send + 'a, T: Send + 'static> Requests<'a, L, T> {
    /// No requests yet.
    pub fn new() -> Self {
        Self { pending: FuturesUnordered::new() }
    }

    /// Sends a request now; its answer will come with `label`.
    pub fn add<S: GenServer>(&mut self, label: L, mut call: PendingCall<'a, S, T>) {
        // Sent in the order in which they are added, and not when somebody comes to wait for an answer.
        let answered = (&mut call).now_or_never();
        self.pending.push(Box::pin(async move {
            match answered {
                Some(answer) => (label, answer),
                None => (label, call.await),
            }
        }));
    }

    /// The next answer, or the error of a request that has none. `None`: no request is left (OTP's `no_request`).
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time: no answer is lost.
    pub async fn next(&mut self) -> Option<Answer<L, T>> {
        StreamExt::next(self).await
    }

    /// How many requests have no answer that was given out.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether every answer was given out.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

impl<'a, L: Send + 'a, T: Send + 'static> Default for Requests<'a, L, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L, T> Stream for Requests<'_, L, T> {
    type Item = Answer<L, T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pending.poll_next_unpin(cx)
    }
}

/// What is in it is boxed.
impl<L, T> Unpin for Requests<'_, L, T> {}

impl<L, T> fmt::Debug for Requests<'_, L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

/// What came of a [`multi_call`].
///
/// # Examples
///
/// Of what [`multi_call`] gives:
///
/// ```
/// use undying::{GenServer, MultiCall};
///
/// fn majority<S: GenServer>(votes: &MultiCall<S, bool>) -> bool {
///     let yes = votes.replies.iter().filter(|(_, vote)| *vote).count();
///     2 * yes > votes.replies.len() + votes.failed.len()
/// }
/// ```
#[non_exhaustive]
pub struct MultiCall<S: GenServer, T> {
    /// The servers that answered, in the order in which they did.
    pub replies: Vec<(ServerRef<S>, T)>,
    /// The servers that did not.
    pub failed: Vec<(ServerRef<S>, CallError)>,
}

impl<S: GenServer, T: fmt::Debug> fmt::Debug for MultiCall<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replies, failed } = self;
        f.debug_struct("MultiCall").field("replies", replies).field("failed", failed).finish()
    }
}

/// Calls several servers at once, and waits for all of them, but no longer than `within`. The counterpart of
/// `GenServer.multi_call`.
///
/// # Cancel safety
///
/// Dropped after its first poll, the requests are handled all the same.
///
/// # Examples
///
/// ```
/// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
/// # #[derive(Clone)] struct Counter;
/// # impl GenServer for Counter {
/// #     type State = u64; type Call = Reply<u64>; type Cast = Never; type Info = Never; type Continue = Never;
/// #     async fn handle_call(&mut self, get: Reply<u64>, n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         get.send(*n); Ok(Next::Wait)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let mut counters = vec![];
/// # for n in [1, 2, 3] { counters.push(ServerSpec::new(Counter, n).start().await.unwrap()); }
/// counters[0].kill();
/// let answers = undying::multi_call(&counters, |reply| reply, std::time::Duration::from_secs(1)).await;
/// assert_eq!(answers.replies.iter().map(|(_, n)| n).sum::<u64>(), 5);
/// assert_eq!(answers.failed.len(), 1);
/// # }
/// ```
pub async fn multi_call<S: GenServer, T: Send + 'static>(
    servers: &[ServerRef<S>],
    request: impl Fn(Reply<T>) -> S::Call,
    within: Duration,
) -> MultiCall<S, T> {
    let mut requests = Requests::new();
    for server in servers {
        requests.add(server, server.call(&request).timeout(within));
    }
    let mut result = MultiCall { replies: Vec::new(), failed: Vec::new() };
    while let Some((server, answer)) = requests.next().await {
        match answer {
            Ok(reply) => result.replies.push((server.clone(), reply)),
            Err(error) => result.failed.push((server.clone(), error)),
        }
    }
    result
}
