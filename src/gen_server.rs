//! The behaviour: what a user writes.

use std::{convert::Infallible, fmt, time::Duration};

use crate::{
    contain::log,
    context::Context,
    exit::{Crash, ExitReason},
    preserve::{Preserve, StateMut},
};

/// The type of a message kind that a server does not have: no value of it exists.
///
/// # Examples
///
/// ```
/// use undying::{GenServer, Never};
///
/// #[derive(Clone)]
/// struct Settings;
///
/// impl GenServer for Settings {
///     type State = Vec<(String, String)>;
///     type Call = Never; // it is only read, by `peek`
///     type Cast = Never;
///     type Info = Never;
///     type Continue = Never;
/// }
/// ```
pub type Never = Infallible;

/// What a callback returns: what to do next, or the error it crashes with.
///
/// # Examples
///
/// ```
/// use undying::{Crash, GenServer, Next, Outcome};
///
/// /// What callbacks have in common may be a function of its own.
/// fn checked<S: GenServer>(sum: i64) -> Outcome<S> {
///     if sum < 0 { Err(Crash::msg("less than nothing")) } else { Ok(Next::Wait) }
/// }
/// # struct Any;
/// # impl GenServer for Any { type State = (); type Call = (); type Cast = (); type Info = (); type Continue = (); }
/// # assert!(checked::<Any>(1).is_ok() && checked::<Any>(-1).is_err());
/// ```
pub type Outcome<S> = Result<Next<S>, Crash>;

/// A server whose `State` survives its crashes.
///
/// Every callback is optional, and every one may crash: by a panic, by an `Err` (so by `?`), by being killed at an await.
/// Its work is then rolled back, the worker is replaced, and the next incarnation carries on with the state of the last
/// callback that returned `Ok` and with the messages that were queued. The message whose callback crashed is not run
/// again, unless [`redelivery`](crate::ServerSpec::redelivery) says so. Two have nothing to carry on: a crash in `init` fails the start, and one in the `terminate` of a server that is to
/// end becomes the reason of that end.
///
/// The counterpart of OTP's [`gen_server`](https://www.erlang.org/doc/apps/stdlib/gen_server.html).
///
/// # What survives, and what does not
///
/// * **`State` survives** a crash, as the last commit left it.
/// * **`&mut self` does not**: each incarnation gets a fresh value, a clone of the one given to
///   [`ServerSpec::new`](crate::ServerSpec::new) or what the factory makes. Connections, file handles and caches live there.
/// * **An `Arc` in `self`** is shared by all incarnations and is *not* rolled back: the counterpart of an ETS table with an
///   heir.
///
/// # Examples
///
/// ```
/// use undying::{CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
///
/// #[derive(Clone)]
/// struct Divider;
///
/// impl GenServer for Divider {
///     type State = u32;
///     type Call = (u32, Reply<u32>);
///     type Cast = Never;
///     type Info = Never;
///     type Continue = Never;
///
///     async fn handle_call(
///         &mut self,
///         (by, reply): Self::Call,
///         mut value: StateMut<'_, Self>,
///         _: &mut Context<Self>,
///     ) -> Outcome<Self> {
///         *value = value.checked_div(by).ok_or(undying::Crash::msg("division by zero"))?;
///         reply.send(*value);
///         Ok(Next::Wait)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let divider = ServerSpec::new(Divider, 84).start().await.unwrap();
/// assert_eq!(divider.call(|reply| (2, reply)).await.unwrap(), 42);
/// assert!(matches!(divider.call(|reply| (0, reply)).await, Err(CallError::Crashed(_))));
/// assert_eq!(divider.call(|reply| (2, reply)).await.unwrap(), 21);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a server",
    note = "implement `undying::GenServer` for it: five associated types, and the callbacks it needs"
)]
pub trait GenServer: Sized + Send + 'static {
    /// What survives a crash.
    type State: Preserve;
    /// Requests; each carries a [`Reply`](crate::Reply).
    type Call: Send + 'static;
    /// Requests without an answer.
    type Cast: Send + 'static;
    /// Everything else that arrives: plain sends.
    type Info: Send + 'static;
    /// What [`Next::Continue`] carries.
    type Continue: Send + 'static;

    /// Runs once, in the first incarnation, before [`start`](crate::ServerSpec::start) returns; `start` fails if it does.
    /// Defaults to nothing.
    fn init(
        &mut self,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (state, cx);
        async { Ok(Next::Wait) }
    }

    /// Runs first in every later incarnation, with the state as it was kept: the place to open connections again. A crash
    /// in it is a failed restart, charged to the budget. Defaults to nothing.
    fn restarted(
        &mut self,
        why: &Restart,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (why, state, cx);
        async { Ok(Next::Wait) }
    }

    /// Handles a request. Defaults to crashing, as in OTP.
    fn handle_call(
        &mut self,
        call: Self::Call,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (call, state, cx);
        async { Err(Crash::msg("no handle_call for this server")) }
    }

    /// Handles a request without an answer. Defaults to crashing, as in OTP.
    fn handle_cast(
        &mut self,
        cast: Self::Cast,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (cast, state, cx);
        async { Err(Crash::msg("no handle_cast for this server")) }
    }

    /// Handles any other message. Defaults to logging and ignoring it, as in OTP.
    fn handle_info(
        &mut self,
        info: Self::Info,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (info, state);
        log!(warn, undying.server = %cx.label(), "a message was ignored: no handle_info for this server");
        async { Ok(Next::Wait) }
    }

    /// Handles what [`Next::Continue`] carried, before any queued message. Defaults to crashing, as in OTP.
    fn handle_continue(
        &mut self,
        next: Self::Continue,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (next, state, cx);
        async { Err(Crash::msg("no handle_continue for this server")) }
    }

    /// Runs when the time of [`Next::Timeout`] has passed without a message. Defaults to nothing.
    fn handle_timeout(
        &mut self,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (state, cx);
        async { Ok(Next::Wait) }
    }

    /// Runs last in an incarnation that stops or that crashed, never in one that is killed, nor in one whose `init` or
    /// `restarted` crashed: what never served has nothing to terminate. After a crash the state is the one that is kept, not
    /// what the crashed callback left of it. What it does to the state is not kept, and its replies
    /// go out when it has returned. Defaults to nothing.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, state, cx);
        async {}
    }
}

/// What a server does after a callback that went well.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
///
/// #[derive(Clone)]
/// struct Printer;
/// enum Job { Page(&'static str), Done }
/// struct Flush;
///
/// impl GenServer for Printer {
///     type State = Vec<&'static str>;
///     type Cast = Job;
///     type Continue = Flush;
/// #   type Call = Never; type Info = Never;
///
///     async fn handle_cast(&mut self, job: Job, mut pages: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         match job {
///             Job::Page(_) if pages.len() == 100 => Ok(Next::Continue(Flush)), // before the next message
///             Job::Page(page) => {
///                 pages.push(page);
///                 Ok(Next::Timeout(Duration::from_secs(60))) // unless another one comes before
///             }
///             Job::Done => Ok(Next::Stop(ExitReason::Normal)),
///         }
///     }
///
///     async fn handle_continue(&mut self, _: Flush, mut pages: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         pages.clear();
///         Ok(Next::Wait)
///     }
///
///     async fn handle_timeout(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         Ok(Next::Hibernate) // nothing to do for a while
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let printer = ServerSpec::new(Printer, vec![]).start().await.unwrap();
/// printer.cast(Job::Page("one")).await.unwrap();
/// printer.cast(Job::Done).await.unwrap();
/// assert_eq!(**printer.stopped().await.state, ["one"]);
/// # }
/// ```
#[must_use = "a callback returns what to do next"]
#[non_exhaustive]
pub enum Next<S: GenServer> {
    /// Handle the next message.
    Wait,
    /// Run [`handle_continue`](GenServer::handle_continue) before any queued message. It is kept with the state: a worker
    /// killed in between does not lose it.
    Continue(S::Continue),
    /// Run [`handle_timeout`](GenServer::handle_timeout) after so much time, unless a message comes first. The deadline is
    /// kept with the state. A zero timeout fires as soon as no message is queued; one too far away for the clock never
    /// does.
    Timeout(Duration),
    /// Free what memory can be freed, then wait: for a server that will be idle for long.
    Hibernate,
    /// End. The state is committed first, then [`terminate`](GenServer::terminate) runs, then the replies go out. A normal
    /// reason (`Normal`, `Shutdown`, `ShutdownWith`) ends the logical server; an abnormal one ends this incarnation, and the
    /// next one carries on with the state that was committed.
    Stop(ExitReason),
    /// In [`init`](GenServer::init) only: do not start, and let [`start`](crate::ServerSpec::start) say
    /// [`StartError::Ignored`](crate::StartError::Ignored). Elsewhere it is a crash.
    Ignore,
}

impl<S: GenServer> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait => f.write_str("Wait"),
            Self::Continue(_) => f.debug_tuple("Continue").finish_non_exhaustive(),
            Self::Timeout(after) => f.debug_tuple("Timeout").field(after).finish(),
            Self::Hibernate => f.write_str("Hibernate"),
            Self::Stop(reason) => f.debug_tuple("Stop").field(reason).finish(),
            Self::Ignore => f.write_str("Ignore"),
        }
    }
}

/// Why there is a new incarnation.
///
/// # Examples
///
/// ```
/// use undying::{Context, GenServer, Never, Next, Outcome, Restart, ServerSpec, StateMut};
///
/// #[derive(Clone)]
/// struct Db;
///
/// impl GenServer for Db {
///     type State = Vec<String>;
/// #   type Call = Never; type Cast = Never; type Info = Never; type Continue = Never;
///
///     async fn restarted(&mut self, why: &Restart, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         log.push(format!("{}: {}", why.incarnation(), why.reason()));
///         Ok(Next::Wait)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let db = ServerSpec::new(Db, vec![]).start().await.unwrap();
/// db.kill_worker();
/// db.wait_incarnation(2).await.unwrap();
/// let log = db.stop().await.unwrap().state;
/// assert_eq!(log[0], "2: killed");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Restart {
    pub(crate) reason: ExitReason,
    pub(crate) incarnation: u64,
}

impl Restart {
    /// How the incarnation before this one ended: [`ExitReason::Crashed`], [`ExitReason::Killed`], or the abnormal reason it
    /// stopped with.
    pub fn reason(&self) -> &ExitReason {
        &self.reason
    }

    /// The number of the new incarnation.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }
}
