//! Why something ended: the reason of a logical end, the report of a crash, and the error that makes a callback crash.

use std::{any::Any, error::Error, fmt, sync::Arc};

use crate::contain::{catch, drop_quietly};

/// What a callback returns as `Err` to let it crash: `?` makes one of any error.
///
/// An `Err` rolls the callback back exactly as a panic does: its changes to the state are thrown away, its replies are
/// not sent, its caller gets [`CallError::Crashed`](crate::CallError::Crashed), and a fresh incarnation carries on.
///
/// `Crash` does not implement [`Error`] itself; that is what allows `?` on every error type.
///
/// # Examples
///
/// ```
/// use undying::Crash;
///
/// fn parse(text: &str) -> Result<u64, Crash> {
///     let amount: u64 = text.parse()?;
///     if amount == 0 {
///         return Err(Crash::msg("nothing to do"));
///     }
///     Ok(amount)
/// }
/// assert_eq!(parse("7").unwrap(), 7);
/// assert_eq!(parse("0").unwrap_err().to_string(), "nothing to do");
/// ```
#[derive(Clone)]
pub struct Crash(Arc<dyn Error + Send + Sync>);

impl Crash {
    /// A crash with a message of its own.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self(Arc::from(Box::<dyn Error + Send + Sync>::from(message.to_string())))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Crash {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Debug for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How a callback, or the worker between two callbacks, came to its abnormal end.
///
/// # Examples
///
/// ```
/// use undying::{CrashKind, CrashReport};
///
/// /// Who is to be told.
/// fn team(report: &CrashReport) -> &'static str {
///     match report.kind() {
///         CrashKind::Panic => "developers",
///         CrashKind::Error => "operators",
///         _ => "nobody",
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrashKind {
    /// It panicked, or the `Clone` of the state did when the callback's work was to be kept.
    Panic,
    /// It returned `Err`, or stopped with an abnormal reason.
    Error,
    /// It was killed from outside.
    Kill,
}

/// A callback of [`GenServer`](crate::GenServer), or the pause between two of them.
///
/// # Examples
///
/// ```
/// use undying::Callback;
///
/// assert_eq!(Callback::Call.to_string(), "handle_call");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Callback {
    /// [`init`](crate::GenServer::init)
    Init,
    /// [`restarted`](crate::GenServer::restarted)
    Restarted,
    /// [`handle_call`](crate::GenServer::handle_call)
    Call,
    /// [`handle_cast`](crate::GenServer::handle_cast)
    Cast,
    /// [`handle_info`](crate::GenServer::handle_info)
    Info,
    /// [`handle_continue`](crate::GenServer::handle_continue)
    Continue,
    /// [`handle_timeout`](crate::GenServer::handle_timeout)
    Timeout,
    /// [`terminate`](crate::GenServer::terminate)
    Terminate,
    /// None: the worker was between two callbacks.
    Idle,
    /// None: a request of [`sys`](crate::ServerRef::sys) changed the state.
    System,
    /// None: a task that the server had [spawned](crate::Context::spawn).
    Task,
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "init",
            Self::Restarted => "restarted",
            Self::Call => "handle_call",
            Self::Cast => "handle_cast",
            Self::Info => "handle_info",
            Self::Continue => "handle_continue",
            Self::Timeout => "handle_timeout",
            Self::Terminate => "terminate",
            Self::Idle => "idle",
            Self::System => "a system request",
            Self::Task => "a task",
        })
    }
}

/// What is known of one crash. Cheap to clone.
///
/// # Examples
///
/// ```
/// use undying::{CallError, Callback, Context, Crash, CrashKind, GenServer, Never, Outcome, Reply, ServerSpec, StateMut};
///
/// #[derive(Clone)]
/// struct Db;
///
/// impl GenServer for Db {
///     type State = u64;
///     type Call = Reply<()>;
/// #   type Cast = Never; type Info = Never; type Continue = Never;
///
///     async fn handle_call(&mut self, _: Reply<()>, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         Err(Crash::msg("no connection"))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let db = ServerSpec::new(Db, 0).start().await.unwrap();
/// let Err(CallError::Crashed(report)) = db.call(|done| done).await else { panic!() };
/// assert_eq!((report.kind(), report.callback(), report.message()), (CrashKind::Error, Callback::Call, "no connection"));
/// assert_eq!((report.incarnation(), report.version()), (1, 0));
/// assert_eq!(report.to_string(), "incarnation 1 failed in handle_call: no connection (rolled back to version 0)");
/// # }
/// ```
#[derive(Clone)]
pub struct CrashReport(Arc<Facts>);

#[derive(Clone)]
struct Facts {
    message: String,
    callback: Callback,
    kind: CrashKind,
    incarnation: u64,
    version: u64,
}

/// Where in the life of a server something happened: the part of a report that is known before it happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) callback: Callback,
    pub(crate) incarnation: u64,
    pub(crate) version: u64,
}

impl CrashReport {
    pub(crate) fn new(kind: CrashKind, message: impl Into<String>, place: Place) -> Self {
        let Place { callback, incarnation, version } = place;
        Self(Arc::new(Facts { message: message.into(), callback, kind, incarnation, version }))
    }

    /// A fault on purpose.
    pub(crate) fn on_purpose(place: Place) -> Self {
        Self::new(CrashKind::Panic, "crashed by chaos", place)
    }

    pub(crate) fn of_panic(payload: &(dyn Any + Send), place: Place) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self::new(CrashKind::Panic, message.unwrap_or_else(|| "opaque payload".into()), place)
    }

    pub(crate) fn of_error(crash: Crash, place: Place) -> Self {
        // The user's `Display` and `Drop` may panic, too.
        let message =
            catch(|| crash.to_string()).unwrap_or_else(|_| "an error whose Display panicked".into());
        drop_quietly(crash);
        Self::new(CrashKind::Error, message, place)
    }

    /// The same message and kind, seen at `place`: for a reason that a user made up before it was known where it binds.
    pub(crate) fn at(&self, place: Place) -> Self {
        Self::new(self.0.kind, self.0.message.clone(), place)
    }

    /// The panic message, the error's text, or who killed it; `opaque payload` for a panic without a string.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The callback that crashed.
    pub fn callback(&self) -> Callback {
        self.0.callback
    }

    /// Panic, error or kill.
    pub fn kind(&self) -> CrashKind {
        self.0.kind
    }

    /// The incarnation that crashed, counted from 1.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// The version of the state it was rolled back to.
    pub fn version(&self) -> u64 {
        self.0.version
    }
}

impl fmt::Debug for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { message, callback, kind, incarnation, version } = &*self.0;
        f.debug_struct("CrashReport")
            .field("message", message)
            .field("callback", callback)
            .field("kind", kind)
            .field("incarnation", incarnation)
            .field("version", version)
            .finish()
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { message, callback, kind, incarnation, version } = &*self.0;
        if *incarnation == 0 {
            // A reason that a user has made up and that binds nowhere yet.
            return f.write_str(message);
        }
        let how = match kind {
            CrashKind::Panic => "panicked",
            CrashKind::Error => "failed",
            CrashKind::Kill => "was killed",
        };
        write!(
            f,
            "incarnation {incarnation} {how} in {callback}: {message} (rolled back to version {version})"
        )
    }
}

/// Why a logical server, or one incarnation of it, ended.
///
/// The first three are orderly, as in OTP (`normal`, `shutdown`, `{shutdown, Term}`); the others are abnormal.
///
/// # Examples
///
/// ```
/// use undying::{Exit, ExitReason, GenServer};
///
/// fn report<S: GenServer>(exit: &Exit<S>) {
///     match &exit.reason {
///         ExitReason::RestartLimit(last) => println!("it crashed too often, at last by {}", last.message()),
///         reason if reason.is_abnormal() => println!("{reason}"),
///         _ => {}
///     }
/// }
/// assert!(!ExitReason::Shutdown.is_abnormal() && ExitReason::Killed.is_abnormal());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was done.
    Normal,
    /// It was told to shut down.
    Shutdown,
    /// It was told to shut down, and why.
    ShutdownWith(Arc<str>),
    /// It was killed.
    Killed,
    /// It crashed.
    Crashed(CrashReport),
    /// It crashed more often than its restart budget allows; the report is of the last crash.
    RestartLimit(CrashReport),
    /// Only in a [`Down`](crate::Down): there was no such server when it was to be monitored.
    NoProc,
}

impl ExitReason {
    /// An abnormal reason of the user's own, for [`Next::Stop`](crate::Next::Stop) and
    /// [`ServerRef::stop_with`](crate::ServerRef::stop_with).
    ///
    /// It is a [`Crashed`](Self::Crashed) of kind [`CrashKind::Error`]; where it was given is filled in when it binds.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::ExitReason;
    ///
    /// let reason = ExitReason::error("disk full");
    /// assert!(reason.is_abnormal());
    /// assert!(!ExitReason::Shutdown.is_abnormal());
    /// ```
    pub fn error(text: impl fmt::Display) -> Self {
        let place = Place { callback: Callback::Idle, incarnation: 0, version: 0 };
        Self::Crashed(CrashReport::new(CrashKind::Error, text.to_string(), place))
    }

    /// Whether a supervisor of OTP would call it abnormal: everything but `Normal`, `Shutdown` and `ShutdownWith`.
    pub fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith(_))
    }

    /// Fills in where a reason made by [`error`](Self::error) came to bind.
    pub(crate) fn at(self, place: Place) -> Self {
        match self {
            Self::Crashed(report) if report.incarnation() == 0 => Self::Crashed(report.at(place)),
            other => other,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::ShutdownWith(why) => write!(f, "shutdown: {why}"),
            Self::Killed => f.write_str("killed"),
            Self::Crashed(report) => write!(f, "crashed: {report}"),
            Self::RestartLimit(report) => write!(f, "restart limit reached: {report}"),
            Self::NoProc => f.write_str("no such server"),
        }
    }
}
