//! The handle to a logical server.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    deadlines::later,
    error::{CastError, TrySendError},
    exit::ExitReason,
    gen_server::GenServer,
    logical::Logical,
    mailbox::Refused,
    monitor::{Incarnations, Monitor},
    name::ServerId,
    pending::{Exit, PendingCall, PendingStop},
    preserve::Kept,
    recipient::Recipient,
    record::Envelope,
    reply::Reply,
    sys::Sys,
    timers::{Rings, Timer, TimerRef},
};

/// A handle to a logical server. Cheap to clone; valid across all its crashes, and across all its lives.
///
/// Under a [supervisor](crate::Supervisor) a server may have another *life* after its logical end: the same server, with the
/// same number, name and handles, but with a fresh state, unless
/// [`preserve_on_escalation`](crate::ServerSpec::preserve_on_escalation) says otherwise. Between the two it is
/// [restarting](Status::Restarting): what is sent meanwhile waits for the next life.
///
/// Dropping all handles does not stop a server, as in OTP; [`into_guard`](Self::into_guard) gives one whose drop does.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ServerSpec, Status};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).name("clicks").start().await?;
/// let everybody = counter.clone(); // the same server
/// everybody.cast(2).await?;
/// assert_eq!(counter.call(|get| get).await?, 2);
///
/// counter.kill_worker();
/// assert_eq!(everybody.call(|get| get).await?, 2);
/// assert_eq!((everybody.incarnation(), everybody.name(), everybody.mailbox_len()), (2, Some("clicks"), 0));
/// assert_eq!((everybody.status(), everybody.is_alive(), everybody.id()), (Status::Running, true, counter.id()));
/// # Ok(())
/// # }
/// ```
pub struct ServerRef<S: GenServer> {
    pub(crate) logical: Arc<Logical<S>>,
}

/// Where a server is in its life.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ServerSpec, Status};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// assert_eq!(counter.status(), Status::Running);
/// counter.sys().suspend().await?;
/// assert_eq!(counter.status(), Status::Suspended);
/// counter.kill();
/// counter.stopped().await;
/// assert_eq!(counter.status(), Status::Terminated);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// `init` has not finished.
    Starting,
    /// It serves.
    Running,
    /// It is [suspended](crate::Sys::suspend): no callback begins.
    Suspended,
    /// Its worker has crashed or was killed, and the next one does not serve yet; or it has ended, and its supervisor is about
    /// to give it another life.
    Restarting,
    /// It is over.
    Terminated,
}

impl<S: GenServer> ServerRef<S> {
    pub(crate) fn new(logical: Arc<Logical<S>>) -> Self {
        Self { logical }
    }

    /// Sends a request and waits for the answer, for 5 s unless the [spec](crate::ServerSpec::call_timeout) or
    /// [`timeout`](PendingCall::timeout) says otherwise.
    ///
    /// `Ok` means that the state the answer was computed with is kept: every later incarnation starts from it or from a later
    /// one. Requests wait in the mailbox while the server restarts, within the same timeout. The deadline is kept by the
    /// server's own runtime; a caller need not be in one.
    ///
    /// # Cancel safety
    ///
    /// See [`PendingCall`].
    ///
    /// # Errors
    ///
    /// See [`CallError`](crate::CallError). [`may_have_run`](crate::CallError::may_have_run) tells whether it is safe to send
    /// the request again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
    /// # use std::time::Duration;
    /// # #[derive(Clone)] struct Counter;
    /// enum Call {
    ///     Get(Reply<u64>),
    ///     Add { by: u64, reply: Reply<u64> },
    /// }
    /// # impl GenServer for Counter {
    /// #     type State = u64; type Call = Call; type Cast = Never; type Info = Never; type Continue = Never;
    /// #     async fn handle_call(&mut self, call: Call, mut n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    /// #         match call {
    /// #             Call::Get(reply) => reply.send(*n),
    /// #             Call::Add { by, reply } => { *n += by; reply.send(*n) }
    /// #         }
    /// #         Ok(Next::Wait)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), undying::CallError> {
    /// # let counter = ServerSpec::new(Counter, 0).start().await.unwrap();
    /// counter.call(|reply| Call::Add { by: 2, reply }).await?;
    /// assert_eq!(counter.call(Call::Get).timeout(Duration::from_millis(100)).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<T: Send + 'static>(&self, make: impl FnOnce(Reply<T>) -> S::Call) -> PendingCall<'_, S, T> {
        PendingCall::new(&self.logical, make)
    }

    /// Sends a request without an answer. Waits only for room in a bounded mailbox.
    ///
    /// `Ok` means queued: it will be handled once, unless the server ends before, or the message gives way to a newer one
    /// ([`WhenFull::DropOldest`](crate::WhenFull::DropOldest)). A server that casts to itself never waits: where its mailbox is
    /// full, the message is queued over the capacity; nor do those wait whose callbacks fill each other's mailboxes.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the message is not queued.
    ///
    /// # Errors
    ///
    /// [`CastError`] with the message if the server is over, or about to be, or if its full mailbox
    /// [refuses](crate::WhenFull::Refuse) it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.cast(2).await?; // queued
    /// counter.cast(3).await?; // queued behind it
    /// assert_eq!(counter.call(|get| get).await?, 5); // and this behind both
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cast(&self, message: S::Cast) -> Result<(), CastError<S::Cast>> {
        self.logical.post(Envelope::Cast(message)).await.map_err(|envelope| CastError(envelope.into_cast()))
    }

    /// Sends any other message, as [`cast`](Self::cast) does.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the message is not queued.
    ///
    /// # Errors
    ///
    /// As for [`cast`](Self::cast).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.send(2).await?; // to `handle_info`
    /// assert_eq!(counter.call(|get| get).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, message: S::Info) -> Result<(), CastError<S::Info>> {
        self.logical.post(Envelope::Info(message)).await.map_err(|envelope| CastError(envelope.into_info()))
    }

    /// Sends a request without an answer, and never waits.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if a bounded mailbox has no room, [`TrySendError::NoProc`] if the server is over, or about to
    /// be; both with the message.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{Mailbox, ServerSpec, TrySendError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).mailbox(Mailbox::bounded(1)).start().await?;
    /// counter.sys().suspend().await?; // so that nothing is taken out
    /// counter.try_cast(1)?;
    /// match counter.try_cast(2) {
    ///     Err(TrySendError::Full(message)) => assert_eq!(message, 2),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_cast(&self, message: S::Cast) -> Result<(), TrySendError<S::Cast>> {
        self.try_post(Envelope::Cast(message), Envelope::into_cast)
    }

    /// Sends any other message, as [`try_cast`](Self::try_cast) does.
    ///
    /// # Errors
    ///
    /// As for [`try_cast`](Self::try_cast).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{ServerSpec, TrySendError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.try_send(1)?;
    /// assert_eq!(*counter.stop().await?.state, 1);
    /// assert!(matches!(counter.try_send(2), Err(TrySendError::NoProc(2))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_send(&self, message: S::Info) -> Result<(), TrySendError<S::Info>> {
        self.try_post(Envelope::Info(message), Envelope::into_info)
    }

    fn try_post<M>(
        &self,
        envelope: Envelope<S>,
        unwrap: fn(Envelope<S>) -> M,
    ) -> Result<(), TrySendError<M>> {
        self.logical.try_push(envelope).map_err(|refused| match refused {
            Refused::Full(envelope) => TrySendError::Full(unwrap(envelope)),
            Refused::Closed(dismissed) => TrySendError::NoProc(unwrap(dismissed.message)),
        })
    }

    /// Sends `info` to the server after so much time, once: a timer of the logical server, as
    /// [`Context::send_after`](crate::Context::send_after) arms them, except that it is armed at once. If the server is over it
    /// does nothing.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use std::time::Duration;
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.send_after(Duration::from_secs(1), 7);
    /// let timer = counter.send_after(Duration::from_secs(2), 100);
    /// counter.kill_worker(); // changes nothing
    /// tokio::time::sleep(Duration::from_millis(1_500)).await;
    /// assert_eq!(*counter.peek(), 7);
    /// assert!(counter.cancel(timer));
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_after(&self, after: Duration, info: S::Info) -> TimerRef {
        self.logical.arm(later(after), Timer { rings: Rings::Once(info), key: None })
    }

    /// Cancels a timer of the server, at once. `true`: it was armed, and its message will never be handled.
    pub fn cancel(&self, timer: TimerRef) -> bool {
        self.logical.cancel(timer)
    }

    /// The last committed snapshot, read without troubling the worker: also while it is busy, crashed or restarting, and
    /// after the end.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// let before = counter.peek();
    /// counter.cast(2).await?;
    /// counter.call(|get| get).await?; // by now it is committed
    /// let after = counter.peek();
    /// assert_eq!((*before, *after), (0, 2)); // what was read does not change
    /// assert_eq!((after.version(), after.incarnation()), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn peek(&self) -> Kept<S> {
        self.logical.cell.look(|record| record.kept.clone())
    }

    /// Ends the server in good order, with the reason `Normal`: what is queued is handled first, then
    /// [`terminate`](GenServer::terminate) runs. Resolves once everything is over: the name is free, the listeners have been
    /// told (those that are behind are waited for 5 s at most) and the tasks are done.
    ///
    /// If a worker crashes meanwhile, the next one goes on with the queue; if that cannot even start, the server ends without.
    ///
    /// A permanent child of a supervisor ends like any other, and is given another life: then its name is not free. To have it
    /// stopped for good, ask its supervisor to [terminate](crate::SupervisorRef::terminate_child) it.
    ///
    /// From the first poll on no new message is taken: calls get [`Stopped`](crate::CallError::Stopped).
    ///
    /// # Cancel safety
    ///
    /// See [`PendingStop`].
    ///
    /// # Errors
    ///
    /// [`NoProc`](crate::StopError::NoProc) if it is over already; [`Timeout`](crate::StopError::Timeout) if
    /// [`timeout`](PendingStop::timeout) was given and has passed: the stop stays requested;
    /// [`CallingSelf`](crate::StopError::CallingSelf) inside a callback of the server itself.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{ExitReason, ServerSpec, StopError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.cast(2).await?;
    /// let exit = counter.stop().await?; // what was queued is done
    /// assert!(matches!(exit.reason, ExitReason::Normal));
    /// assert_eq!(*exit.state, 2);
    /// assert_eq!(counter.stop().await.unwrap_err(), StopError::NoProc);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) -> PendingStop<'_, S> {
        self.stop_with(ExitReason::Normal)
    }

    /// Ends the server in good order with a reason of your own, which may be abnormal: see [`stop`](Self::stop).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use std::time::Duration;
    /// use undying::{ExitReason, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// let reason = ExitReason::ShutdownWith("maintenance".into());
    /// let exit = counter.stop_with(reason).timeout(Duration::from_secs(3)).await?;
    /// assert_eq!(exit.reason.to_string(), "shutdown: maintenance");
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_with(&self, reason: ExitReason) -> PendingStop<'_, S> {
        PendingStop::new(&self.logical, reason)
    }

    /// Ends the server at once, without `terminate`; a supervisor gives it another life, unless it is temporary. Between two
    /// lives there is nothing to kill. A callback is cut at its next await; whoever waits for an answer gets
    /// [`Stopped`](crate::CallError::Stopped) with [`Killed`](ExitReason::Killed).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{CallError, ExitReason, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// counter.kill();
    /// assert!(matches!(counter.stopped().await.reason, ExitReason::Killed));
    /// assert!(matches!(counter.call(|get| get).await, Err(CallError::NoProc)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill(&self) {
        self.logical.kill();
    }

    /// Kills the worker only: the state survives, the queued messages too, and the next incarnation serves them.
    ///
    /// When this returns, the incarnation that was alive can neither commit nor reply any more, even if its callback does not
    /// yield and goes on for a while. The caller of that callback gets [`Crashed`](crate::CallError::Crashed). A kill counts
    /// against the restart budget like any crash. Between two incarnations there is nothing to kill.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// for by in [1, 2, 3] {
    ///     counter.cast(by).await?;
    /// }
    /// counter.kill_worker();
    /// assert_eq!(counter.call(|get| get).await?, 6); // none of them was in hand, so none is lost
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill_worker(&self) {
        self.logical.kill_worker("killed");
    }

    /// Waits for the logical end, also for one that is followed by another life. Inside a callback of the server itself it
    /// never comes.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 5).start().await?;
    /// let waiting = tokio::spawn({
    ///     let counter = counter.clone();
    ///     async move { counter.stopped().await }
    /// });
    /// counter.stop().await?;
    /// assert_eq!(*waiting.await?.state, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stopped(&self) -> Exit<S> {
        let lives = self.logical.cell.look(|record| record.life.lives);
        let (reason, state) = self.logical.until(Logical::end_of_life(lives)).await;
        Exit { reason, state }
    }

    /// The future of its logical end. Registered now, not when it is polled; it tells exactly once, however the server
    /// ends, and [`NoProc`](ExitReason::NoProc) if that was before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{ExitReason, GenServer, Never, ServerSpec};
    /// # #[derive(Clone)] struct Quiet;
    /// # impl GenServer for Quiet { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let server = ServerSpec::new(Quiet, ()).start().await.unwrap();
    /// let monitor = server.monitor();
    /// server.kill();
    /// assert!(matches!(monitor.await.reason, ExitReason::Killed));
    /// assert!(matches!(server.monitor().await.reason, ExitReason::NoProc));
    /// # }
    /// ```
    pub fn monitor(&self) -> Monitor {
        Monitor::of(self.logical.clone())
    }

    /// The incarnations that come after the one that there is now: one for each crash that the server survives, and for each
    /// other life that its supervisor gives it.
    pub fn incarnations(&self) -> Incarnations<S> {
        Incarnations::of(self.logical.clone())
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        self.logical.cell.look(|record| record.life.status())
    }

    /// The number of the last incarnation that began to serve, from 1; 0 before the first. It goes on counting in another
    /// life.
    pub fn incarnation(&self) -> u64 {
        self.logical.cell.look(|record| record.life.serving)
    }

    /// Waits until incarnation `n` or a later one serves, and gives its number. A logical end that is followed by another life
    /// is waited over.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// The reason of the logical end, if that comes first and its supervisor does not start it again.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use std::time::Duration;
    /// use undying::{ExitReason, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).max_restarts(1, Duration::from_secs(60)).start().await?;
    /// counter.cast(13).await?; // crashes
    /// assert_eq!(counter.wait_incarnation(2).await.ok(), Some(2));
    /// counter.cast(13).await?; // once too often
    /// assert!(matches!(counter.wait_incarnation(3).await, Err(ExitReason::RestartLimit(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_incarnation(&self, n: u64) -> Result<u64, ExitReason> {
        let reached = self.logical.until(|record| match Logical::end_of(record) {
            Some((reason, _)) => Some(Err(reason)),
            None => Some(record.life.serving).filter(|&serving| serving >= n).map(Ok),
        });
        reached.await
    }

    /// How many messages are queued, not counting the one that is being handled.
    pub fn mailbox_len(&self) -> usize {
        self.logical.cell.look(|record| record.batch.len() + self.logical.mailbox.len())
    }

    /// Its number.
    pub fn id(&self) -> ServerId {
        self.logical.id
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.logical.name.as_deref()
    }

    /// Whether it is not over yet. A server is over when all of its end is done, the listeners told included.
    pub fn is_alive(&self) -> bool {
        self.status() != Status::Terminated
    }

    /// The requests of OTP's `sys` module.
    pub fn sys(&self) -> Sys<'_, S> {
        Sys::new(&self.logical)
    }

    /// An address for messages of type `M`, which `info` makes the server's own of, in the worker: for those who are to send
    /// them without knowing the server's type.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// let lengths = counter.recipient(|line: String| line.len() as u64);
    /// lengths.send("hello".into()).await?; // by somebody who need not know of any `Counter`
    /// assert_eq!(counter.call(|get| get).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn recipient<M: Send + 'static>(
        &self,
        info: impl Fn(M) -> S::Info + Send + Sync + 'static,
    ) -> Recipient<M> {
        Recipient::of(self.logical.clone(), info)
    }

    /// A handle that does not keep the server's memory alive once it is over.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 0).start().await?;
    /// let weak = counter.downgrade();
    /// drop(counter); // stops nothing
    /// let counter = weak.upgrade().expect("it lives");
    /// counter.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn downgrade(&self) -> WeakServerRef<S> {
        WeakServerRef { logical: Arc::downgrade(&self.logical) }
    }

    /// A handle whose drop shuts the server down, as its [`shutdown`](crate::ServerSpec::shutdown) has it.
    pub fn into_guard(self) -> ServerGuard<S> {
        ServerGuard { server: self, released: false }
    }
}

impl<S: GenServer> Clone for ServerRef<S> {
    fn clone(&self) -> Self {
        Self { logical: self.logical.clone() }
    }
}

impl<S: GenServer> fmt::Debug for ServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerRef")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A handle that does not keep the memory of a server alive once that is over. A server that is not over keeps itself.
///
/// # Examples
///
/// ```
/// use undying::{GenServer, ServerRef, WeakServerRef};
///
/// /// In a state, a handle to its own server has to be weak: see [`Context::server`](undying::Context::server).
/// #[derive(Clone)]
/// struct Room<S: GenServer> {
///     itself: WeakServerRef<S>,
///     neighbour: ServerRef<S>,
/// }
/// ```
pub struct WeakServerRef<S: GenServer> {
    logical: Weak<Logical<S>>,
}

impl<S: GenServer> WeakServerRef<S> {
    /// The server, unless it is over and nobody else holds it.
    pub fn upgrade(&self) -> Option<ServerRef<S>> {
        self.logical.upgrade().map(ServerRef::new)
    }
}

impl<S: GenServer> Clone for WeakServerRef<S> {
    fn clone(&self) -> Self {
        Self { logical: self.logical.clone() }
    }
}

impl<S: GenServer> fmt::Debug for WeakServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakServerRef").finish_non_exhaustive()
    }
}

/// A handle whose drop shuts the server down with the reason [`Shutdown`](ExitReason::Shutdown), as its
/// [`shutdown`](crate::ServerSpec::shutdown) has it; it does not wait for the end.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ExitReason, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// let guard = counter.clone().into_guard();
/// guard.cast(2).await?; // a guard is a ref, too
/// drop(guard);
/// let exit = counter.stopped().await;
/// assert!(matches!(exit.reason, ExitReason::Shutdown));
///
/// let counter = ServerSpec::new(Counter, 0).start().await?.into_guard().release();
/// assert!(counter.is_alive());
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it shuts the server down"]
pub struct ServerGuard<S: GenServer> {
    server: ServerRef<S>,
    released: bool,
}

impl<S: GenServer> ServerGuard<S> {
    /// Lets the server live on, as an owner does that ends in good order and leaves it behind.
    #[must_use = "to drop the guard itself shuts the server down"]
    pub fn release(mut self) -> ServerRef<S> {
        self.released = true;
        self.server.clone()
    }
}

impl<S: GenServer> Deref for ServerGuard<S> {
    type Target = ServerRef<S>;

    fn deref(&self) -> &ServerRef<S> {
        &self.server
    }
}

impl<S: GenServer> Drop for ServerGuard<S> {
    fn drop(&mut self) {
        if !self.released {
            self.server.logical.shut_down(ExitReason::Shutdown);
        }
    }
}

impl<S: GenServer> fmt::Debug for ServerGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerGuard").field("server", &self.server).finish()
    }
}
