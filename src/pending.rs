//! The futures of a call and of a stop.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{
    error::{CallError, StopError},
    exit::ExitReason,
    gen_server::GenServer,
    logical::{Deadline, Logical, Queue},
    mailbox::{Dismissed, Intake, Refused},
    preserve::Kept,
    record::Envelope,
    reply::{self, Caller, Claim, Reply},
    scope::{self, Place},
    sync::coop,
    waits::{self, On, Waiting},
};

/// A call under way: the future of its answer.
///
/// Lazy, as futures are: nothing is sent before it is first polled.
///
/// # Cancel safety
///
/// Dropped before its first poll, or while it waits for room in a bounded mailbox, the request is not sent. Dropped later,
/// the request is handled all the same and its answer goes nowhere.
#[must_use = "nothing is sent before it is awaited"]
pub struct PendingCall<'a, S: GenServer, T: Send + 'static> {
    logical: &'a Arc<Logical<S>>,
    timeout: Option<Duration>,
    request: Option<(S::Call, Claim)>,
    caller: Caller<T>,
    /// The place in the line for room.
    ticket: Option<Box<Queue<'a, S>>>,
    deadline: Option<Deadline<'a>>,
    /// Whether it had to wait for the answer, so that its deadline is noted.
    waits: bool,
    /// The edge to the called server, if a callback calls.
    waiting: Option<Waiting>,
}

impl<'a, S: GenServer, T: Send + 'static> PendingCall<'a, S, T> {
    pub(crate) fn new(logical: &'a Arc<Logical<S>>, make: impl FnOnce(Reply<T>) -> S::Call) -> Self {
        let (reply, claim, caller) = reply::open(logical.id);
        let timeout = Some(logical.options.call_timeout);
        let request = Some((make(reply), claim));
        Self { logical, timeout, request, caller, ticket: None, deadline: None, waits: false, waiting: None }
    }

    /// Waits for the answer this long, from the first poll on, instead of the server's
    /// [`call_timeout`](crate::ServerSpec::call_timeout). Where that poll runs the callback itself
    /// ([`Dispatch::Direct`](crate::Dispatch::Direct)), it is from there on.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use std::time::Duration;
    /// use undying::{CallError, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.sys().suspend().await?; // so that nobody answers
    /// let answer = counter.call(|get| get).timeout(Duration::from_secs(1)).await;
    /// assert!(matches!(answer, Err(CallError::Timeout)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Waits for the answer as long as it takes.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    fn send(&mut self, call: S::Call, claim: Claim) -> Result<(), CallError> {
        self.waiting = match scope::place(self.logical.id) {
            Place::Outside => None,
            Place::Inside => return Err(CallError::CallingSelf),
            Place::Elsewhere(callback) => {
                let waiting = waits::begin(callback, self.logical.clone(), On::Answer(self.caller.slot()));
                Some(waiting.map_err(|circle| CallError::Deadlock { cycle: circle.names() })?)
            }
        };
        match self.logical.push_call(Envelope::Call(call, claim)) {
            Ok(ticket) => self.ticket = ticket.map(Box::new),
            Err(Refused::Full(_)) => return Err(CallError::Full),
            Err(Refused::Closed(Dismissed { intake: Intake::Closing(reason), .. })) => {
                return Err(CallError::Stopped(reason));
            }
            Err(Refused::Closed(_)) => return Err(CallError::NoProc),
        }
        Ok(())
    }

    /// Waits for the answer, and for room in the mailbox before.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, CallError>> {
        if let Some(ticket) = &mut self.ticket {
            match ticket.poll(cx).map_err(|dismissed| dismissed.intake) {
                // Its deadline may pass while it waits for room.
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.ticket = None,
                // It has been waiting, so it is told how the server ended.
                Poll::Ready(Err(Intake::Closing(reason) | Intake::Ended(reason))) => {
                    return Poll::Ready(Err(CallError::Stopped(reason)));
                }
                Poll::Ready(Err(Intake::Open)) => unreachable!("an open mailbox dismisses nobody"),
            }
        }
        self.caller.poll(cx)
    }
}

impl<S: GenServer, T: Send + 'static> Future for PendingCall<'_, S, T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some((call, claim)) = this.request.take() {
            if let Err(error) = this.send(call, claim) {
                return Poll::Ready(Err(error));
            }
            if !coop::has_budget_remaining() {
                // Who has run callbacks on the spot takes turns with others, like any Tokio resource: it has sent, and takes
                // the answer when it is its turn again.
                let _ = ready!(coop::poll_proceed(cx));
            }
        }
        let polled = this.poll_answer(cx);
        if polled.is_ready() {
            (this.ticket, this.deadline, this.waiting) = (None, None, None);
        } else if !mem::replace(&mut this.waits, true) {
            // Mostly the answer is there by now, and no deadline is needed.
            this.deadline = this.timeout.and_then(|after| this.logical.deadline(after, &this.caller));
        }
        polled
    }
}

/// Nothing in it is ever pinned.
impl<S: GenServer, T: Send + 'static> Unpin for PendingCall<'_, S, T> {}

impl<S: GenServer, T: Send + 'static> fmt::Debug for PendingCall<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall")
            .field("server", &self.logical.id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A stop under way: the future of the end.
///
/// # Cancel safety
///
/// Dropped before it is first polled, it does nothing. Dropped later, the stop stays requested.
#[must_use = "nothing is requested before it is awaited"]
pub struct PendingStop<'a, S: GenServer> {
    logical: &'a Logical<S>,
    reason: ExitReason,
    timeout: Option<Duration>,
}

impl<'a, S: GenServer> PendingStop<'a, S> {
    pub(crate) fn new(logical: &'a Logical<S>, reason: ExitReason) -> Self {
        Self { logical, reason, timeout: None }
    }

    /// Waits for the end only so long. Defaults to as long as it takes.
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    async fn run(self) -> Result<Exit<S>, StopError> {
        let Self { logical, reason, timeout } = self;
        if scope::is_inside(logical.id) {
            return Err(StopError::CallingSelf);
        }
        let Some(life) = logical.stop(reason) else { return Err(StopError::NoProc) };
        let mut end = pin!(logical.until(Logical::end_of_life(life)));
        let Some(timeout) = timeout else {
            let (reason, state) = end.await;
            return Ok(Exit { reason, state });
        };
        // A slot that nobody answers but the deadline.
        let (_reply, _claim, mut caller) = reply::open::<()>(logical.id);
        let _deadline = logical.deadline(timeout, &caller);
        poll_fn(|cx| {
            if let Poll::Ready((reason, state)) = end.as_mut().poll(cx) {
                return Poll::Ready(Ok(Exit { reason, state }));
            }
            caller.poll(cx).map(|_| Err(StopError::Timeout))
        })
        .await
    }
}

impl<'a, S: GenServer> IntoFuture for PendingStop<'a, S> {
    type Output = Result<Exit<S>, StopError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<S: GenServer> fmt::Debug for PendingStop<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logical, reason, timeout } = self;
        f.debug_struct("PendingStop")
            .field("server", &logical.id)
            .field("reason", reason)
            .field("timeout", timeout)
            .finish()
    }
}

/// The logical end of a server.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{Exit, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 7).start().await?;
/// let Exit { reason, state, .. } = counter.stop().await?;
/// assert_eq!((reason.to_string().as_str(), *state, state.version()), ("normal", 7, 0));
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub struct Exit<S: GenServer> {
    /// Why it ended.
    pub reason: ExitReason,
    /// The last state that was committed.
    pub state: Kept<S>,
}

impl<S: GenServer> fmt::Debug for Exit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, state } = self;
        f.debug_struct("Exit").field("reason", reason).field("state", state).finish()
    }
}
