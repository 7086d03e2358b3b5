//! One error type per operation. Each gives the message back where there is one, and [`CallError`] says whether the
//! request may have run.

use std::{error::Error, fmt};

use thiserror::Error as ThisError;

use crate::{
    exit::{CrashReport, ExitReason},
    name::ServerId,
};

/// Why a [`call`](crate::ServerRef::call) has no answer.
///
/// # Examples
///
/// ```
/// use undying::{CallError, CrashKind};
///
/// /// Whether the same request may be sent again without looking: see `docs::let_it_crash`.
/// fn may_ask_again(error: &CallError) -> bool {
///     match error {
///         CallError::Crashed(report) => report.kind() == CrashKind::Kill,
///         error => !error.may_have_run(),
///     }
/// }
/// assert!(may_ask_again(&CallError::Full) && !may_ask_again(&CallError::Timeout));
/// ```
#[derive(Debug, Clone, ThisError)]
#[non_exhaustive]
pub enum CallError {
    /// There is no such server (any more). The request was not sent.
    #[error("no such server")]
    NoProc,
    /// No answer came in time. The request may still be handled; its late answer is dropped.
    #[error("no answer in time")]
    Timeout,
    /// The callback that handled the request crashed: nothing of it is in the kept state.
    #[error("the callback crashed: {0}")]
    Crashed(CrashReport),
    /// The server ended, or is about to, before it answered.
    #[error("the server stopped: {0}")]
    Stopped(ExitReason),
    /// The server dropped its [`Reply`](crate::Reply) unanswered.
    #[error("the server dropped the reply")]
    NoReply,
    /// A callback called its own server, which could only ever time out.
    #[error("a server cannot call itself")]
    CallingSelf,
    /// The bounded mailbox had no room: the request was [refused](crate::WhenFull::Refuse), or it gave way to a
    /// [newer](crate::WhenFull::DropOldest) one. It has not run.
    #[error("the mailbox is full")]
    Full,
    /// The callbacks of several servers wait for each other's answers, and this call has closed the circle: it could only
    /// ever time out. The request has not run.
    #[error("a deadlock: {}", circle(cycle))]
    Deadlock {
        /// The servers by name (or number), in the order in which they call, the one that made this call first.
        cycle: Vec<String>,
    },
}

fn circle(cycle: &[String]) -> String {
    let back = cycle.first().map(String::as_str);
    cycle.iter().map(String::as_str).chain(back).collect::<Vec<_>>().join(" → ")
}

impl CallError {
    /// Whether the request may have reached a callback.
    ///
    /// `false` means it surely has not: it is safe to send it again. `true` after [`Crashed`](Self::Crashed) means that a
    /// callback ran and was rolled back: nothing is in the state, but effects on the outside world may have happened.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::NoProc | Self::CallingSelf | Self::Full | Self::Deadlock { .. } => false,
            Self::Timeout | Self::Crashed(_) | Self::Stopped(_) | Self::NoReply => true,
        }
    }
}

/// The message was not taken, and here it is back: the server is over, or about to be, or its full mailbox
/// [refuses](crate::WhenFull::Refuse) it.
///
/// Of [`cast`](crate::ServerRef::cast) and [`send`](crate::ServerRef::send).
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{CastError, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// counter.stop().await?;
/// let Err(CastError(message)) = counter.cast(5).await else { panic!() };
/// assert_eq!(message, 5);
/// # Ok(())
/// # }
/// ```
#[expect(clippy::exhaustive_structs, reason = "a message and nothing else, as in tokio's SendError")]
pub struct CastError<M>(pub M);

impl<M> fmt::Debug for CastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CastError").finish_non_exhaustive()
    }
}

impl<M> fmt::Display for CastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message was not taken: no such server, or its mailbox is full and refuses it")
    }
}

impl<M> Error for CastError<M> {}

/// Why a message was not taken at once, with the message back.
///
/// Of [`try_cast`](crate::ServerRef::try_cast) and [`try_send`](crate::ServerRef::try_send).
///
/// # Examples
///
/// ```
/// use undying::TrySendError;
///
/// let refused = TrySendError::Full("a letter");
/// assert_eq!(refused.to_string(), "the mailbox is full");
/// assert_eq!(refused.into_inner(), "a letter");
/// ```
#[non_exhaustive]
pub enum TrySendError<M> {
    /// The bounded mailbox has no room, or others wait for room already.
    Full(M),
    /// The server is over, or about to be.
    NoProc(M),
}

impl<M> TrySendError<M> {
    /// The message.
    pub fn into_inner(self) -> M {
        match self {
            Self::Full(message) | Self::NoProc(message) => message,
        }
    }
}

impl<M> fmt::Debug for TrySendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.debug_tuple("Full").finish_non_exhaustive(),
            Self::NoProc(_) => f.debug_tuple("NoProc").finish_non_exhaustive(),
        }
    }
}

impl<M> fmt::Display for TrySendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox is full",
            Self::NoProc(_) => "no such server",
        })
    }
}

impl<M> Error for TrySendError<M> {}

/// Why a [`stop`](crate::ServerRef::stop) did not see the end.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use std::time::Duration;
/// use undying::{ServerSpec, StopError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// counter.stop().timeout(Duration::from_secs(10)).await?;
/// assert_eq!(counter.stop().await.unwrap_err(), StopError::NoProc);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum StopError {
    /// The server was over already.
    #[error("no such server")]
    NoProc,
    /// The server was not over in time. The stop stays requested.
    #[error("not stopped in time; the stop stays requested")]
    Timeout,
    /// A callback tried to wait for the end of its own server; [`Next::Stop`](crate::Next::Stop) is how to end it.
    #[error("a server cannot wait for its own end")]
    CallingSelf,
}

/// Why a [`sys`](crate::ServerRef::sys) request has no answer.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ServerSpec, SysError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// let failed = counter.sys().replace(|n| *n = "many".parse().unwrap()).await;
/// assert!(matches!(failed, Err(SysError::Crashed(_))));
/// assert_eq!(*counter.peek(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, ThisError)]
#[non_exhaustive]
pub enum SysError {
    /// The server is over, or about to be.
    #[error("no such server")]
    NoProc,
    /// The server did not get to it within 5 s; it will not be done any more, unless it had been begun.
    #[error("no answer in time")]
    Timeout,
    /// A callback asked its own server for what only happens between callbacks.
    #[error("a server cannot wait for itself")]
    CallingSelf,
    /// What was to be done to the state panicked or failed: nothing has changed. Or the worker was killed in the middle of it.
    #[error("it crashed: {0}")]
    Crashed(CrashReport),
}

/// Why a server did not start: nothing of it is left, its name is free. Or why it was not
/// [given a name](crate::Registry::register).
///
/// # Examples
///
/// ```
/// use undying::{Context, Crash, GenServer, Never, Outcome, ServerSpec, StartError, StateMut};
///
/// #[derive(Clone)]
/// struct Db;
///
/// impl GenServer for Db {
/// #   type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never;
///     async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         Err(Crash::msg("no such host"))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// match ServerSpec::new(Db, ()).start().await {
///     Err(StartError::Init(report)) => assert_eq!(report.message(), "no such host"),
///     other => panic!("{other:?}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, ThisError)]
#[non_exhaustive]
pub enum StartError {
    /// Another server has the name.
    #[error("the name is taken by server {0}")]
    AlreadyStarted(ServerId),
    /// `init` (or the making of the server value before it) panicked or returned `Err`; it ran once and is not retried.
    #[error("init failed: {0}")]
    Init(CrashReport),
    /// `init` did not finish within [`init_timeout`](crate::ServerSpec::init_timeout).
    #[error("init did not finish in time")]
    Timeout,
    /// `init` returned [`Next::Ignore`](crate::Next::Ignore): not started, on purpose.
    #[error("init asked to be ignored")]
    Ignored,
    /// The server it was to be [linked](crate::ServerSpec::start_link) to is over: no task was spawned. Or the server that was to
    /// be [given a name](crate::Registry::register) is: the name is free.
    #[error("the server it was to belong to is over")]
    OwnerGone,
    /// The configuration makes no sense; the text says which part. No task was spawned.
    #[error("bad configuration: {0}")]
    Config(String),
}

/// Why a supervisor did not do what was asked about a child.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/quiet.md")]
/// use undying::{ChildError, ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder().child(ServerSpec::new(Quiet, 0).id("till")).start().await?;
/// let twice = shop.start_child(ServerSpec::new(Quiet, 0).id("till")).await;
/// assert!(matches!(twice, Err(ChildError::AlreadyStarted)));
/// assert!(matches!(shop.delete_child("till").await, Err(ChildError::Running)));
/// assert!(matches!(shop.restart_child("stock").await, Err(ChildError::NotFound)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, ThisError)]
#[non_exhaustive]
pub enum ChildError {
    /// It has no such child.
    #[error("no such child")]
    NotFound,
    /// The child is not down.
    #[error("the child is running, or about to be")]
    Running,
    /// There is a child of that id, and it is not down.
    #[error("a child of that id is started already")]
    AlreadyStarted,
    /// There is a child of that id, and it is down.
    #[error("there is a child of that id, which is down")]
    AlreadyPresent,
    /// There are as many children as there may be.
    #[error("there are as many children as there may be")]
    MaxChildren,
    /// The child did not start. Nothing of it is left.
    #[error("the child did not start: {0}")]
    Start(#[source] StartError),
    /// The supervisor is over, or about to be.
    #[error("no such supervisor")]
    NoProc,
}

/// Why a child was not [transferred](crate::SupervisorRef::transfer). It is where it was.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/quiet.md")]
/// use undying::{ChildError, DynamicSupervisor, ServerSpec, Supervisor, TransferError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder().child(ServerSpec::new(Quiet, 0).id("till")).start().await?;
/// let full = DynamicSupervisor::builder().max_children(0).start().await?;
/// let refused = shop.transfer("till", &full).await;
/// assert!(matches!(refused, Err(TransferError::Refused(ChildError::MaxChildren))));
/// assert!(shop.server::<Quiet>("till").unwrap().is_alive()); // where it was
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, ThisError)]
#[non_exhaustive]
pub enum TransferError {
    /// The supervisor it was to be taken from has no such child, or it is down.
    #[error("no such child")]
    NotFound,
    /// The supervisor it was to be given to does not take it: that is [over](ChildError::NoProc), or
    /// [full](ChildError::MaxChildren), or has a child of that id, or has no use for a [significant child](ChildError::Start); or
    /// it is the child itself, or [below](ChildError::NotFound) it.
    #[error("refused: {0}")]
    Refused(#[source] ChildError),
    /// The supervisor was starting, stopping or restarting the child, and not done with that in time.
    #[error("the supervisor was busy with the child for too long")]
    Timeout,
    /// The supervisor it was to be taken from is over, or about to be.
    #[error("no such supervisor")]
    NoProc,
}

/// Why a name leads nowhere.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{Registry, ServerSpec, WhereisError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::new();
/// let counter = ServerSpec::new(Counter, 0).name_in(&registry, "clicks").start().await?;
/// # #[derive(Clone)] struct Other;
/// # impl GenServer for Other { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// assert_eq!(registry.whereis::<Counter>("clicks")?.id(), counter.id());
/// assert_eq!(registry.whereis::<Other>("clicks").unwrap_err(), WhereisError::TypeMismatch);
/// assert_eq!(registry.whereis::<Counter>("visits").unwrap_err(), WhereisError::NotFound);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum WhereisError {
    /// No living server has the name.
    #[error("no server has that name")]
    NotFound,
    /// The server of that name is of another type.
    #[error("the server of that name is of another type")]
    TypeMismatch,
}
