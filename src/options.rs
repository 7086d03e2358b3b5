//! The options of a server, with their defaults, and the refusal of those that make no sense.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use crate::{
    contain::{catch, drop_quietly},
    dead_letter::{Copies, Undertaker},
    error::StartError,
    gen_server::GenServer,
    monitor::Down,
    plan::RestartPolicy,
    preserve::{Kept, Snapshot},
    restart::Backoff,
};

/// How many messages a server queues.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{CallError, Mailbox, ServerSpec, WhenFull};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mailbox = Mailbox::bounded(2).when_full(WhenFull::Refuse).high_water(1);
/// let counter = ServerSpec::new(Counter, 0).mailbox(mailbox).start().await?;
/// counter.sys().suspend().await?; // so that it cannot keep up
/// counter.cast(1).await?;
/// counter.cast(2).await?; // more than one is queued: a warning is logged
/// assert!(counter.cast(3).await.is_err());
/// assert!(matches!(counter.call(|get| get).await, Err(CallError::Full)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailbox {
    pub(crate) capacity: Option<usize>,
    pub(crate) when_full: WhenFull,
    high_water: Option<usize>,
}

/// What becomes of a message for which a bounded mailbox has no room.
///
/// It does not concern what a server sends itself, its timers, and the notices of its monitors and tasks: they never wait, and
/// never give way.
///
/// # Examples
///
/// ```
/// use undying::{Mailbox, WhenFull};
///
/// let back_pressure = Mailbox::bounded(1_000);
/// let load_shedding = Mailbox::bounded(1_000).when_full(WhenFull::Refuse);
/// let latest_news = Mailbox::bounded(10).when_full(WhenFull::DropOldest);
/// assert_eq!(back_pressure, Mailbox::bounded(1_000).when_full(WhenFull::Wait));
/// # let _ = (load_shedding, latest_news);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Its sender waits for room, first come first served.
    Wait,
    /// Its sender is told at once: [`CallError::Full`](crate::CallError::Full), [`CastError`](crate::CastError),
    /// [`TrySendError::Full`](crate::TrySendError::Full).
    Refuse,
    /// The oldest queued message gives way to it: its caller gets [`CallError::Full`](crate::CallError::Full), and it is a
    /// [`DeadLetter`](crate::DeadLetter).
    DropOldest,
}

impl Mailbox {
    /// Any number, as in OTP.
    pub const fn unbounded() -> Self {
        Self { capacity: None, when_full: WhenFull::Wait, high_water: None }
    }

    /// At most `capacity`: then [`call`](crate::ServerRef::call), [`cast`](crate::ServerRef::cast) and [`send`](crate::ServerRef::send) wait for
    /// room, first come first served, and [`try_cast`](crate::ServerRef::try_cast) gives the message back. A capacity of 0 is
    /// refused at [`start`](crate::ServerSpec::start).
    pub const fn bounded(capacity: usize) -> Self {
        Self { capacity: Some(capacity), when_full: WhenFull::Wait, high_water: None }
    }

    /// What becomes of a message for which there is no room. Defaults to [`WhenFull::Wait`].
    #[must_use]
    pub const fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// Logs a warning (by `tracing`) when so many messages are queued, and again only after their number has fallen to half of
    /// it. Defaults to three quarters of the capacity (from a capacity of 4 on), or to 10,000 where there is none; without bounds the up to 1,024
    /// messages that the worker has taken to work on do not count.
    #[must_use]
    pub const fn high_water(mut self, messages: usize) -> Self {
        self.high_water = Some(messages);
        self
    }

    pub(crate) fn mark(&self) -> usize {
        match (self.high_water, self.capacity) {
            (Some(mark), _) => mark,
            (None, None) => 10_000,
            // Of a mailbox for a few messages it says nothing that it is full.
            (None, Some(..4)) => usize::MAX,
            (None, Some(capacity)) => capacity - capacity / 4,
        }
    }
}

/// When the state is committed.
///
/// A looser policy makes callbacks that change a large state cheaper, and loses what was not committed when the worker
/// crashes: exactly the callbacks since the last commit, *acknowledged or not*. Replies, timers, continues and everything else
/// go as ever.
///
/// Whatever the policy, the state is committed after `init`, `restarted` and [`Sys::replace`](crate::Sys::replace), with
/// [`Next::Stop`](crate::Next::Stop), and before the `terminate` of an orderly stop.
///
/// # Examples
///
/// More of them are in the [guide](crate::docs::commit_policies).
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{CommitPolicy, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).commit(CommitPolicy::Every(3)).start().await?;
/// for by in [1, 10, 100, 1_000] {
///     counter.cast(by).await?;
/// }
/// assert_eq!(counter.call(|get| get).await?, 1_111);
/// assert_eq!(*counter.peek(), 111); // what a crash would leave
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitPolicy {
    /// With every callback that changed it. Loses nothing.
    EveryCallback,
    /// With every `n`-th callback that changed it. Loses the last `n - 1` of them at most.
    Every(u64),
    /// With the end of a callback that called [`Context::commit`](crate::Context::commit).
    Explicit,
}

/// Where the callbacks of calls run.
///
/// Every server has a worker task, and nothing but that is needed to serve. But to wake a task and to be woken by it is the
/// dearest part of a call. A caller that finds the worker asleep can poll it on the spot instead, as a part of its own poll:
/// then the answer is there without a switch of tasks, which is worth most to a caller on another thread, one that is in
/// `block_on` (figures are in [`docs::performance`](crate::docs::performance)). The callback is the same, in the same order,
/// under the same rules, one at a time, with wakers of the worker's task; where it waits, and for everything but calls, that
/// task goes on with it.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{Dispatch, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).dispatch(Dispatch::Queued).start().await?;
/// assert_eq!(counter.call(|get| get).await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dispatch {
    /// By the caller, if the worker is asleep, the caller is in the same runtime, and the server's callbacks are short: the first
    /// 32 polls of the worker have to take less than 100 µs each, and one in 16 is measured after that.
    ///
    /// What a caller can notice: a callback that takes long (or blocks its thread, which none should) where those before were
    /// quick holds up its caller, whose own timeouts cannot pass before the callback waits or returns, and who cannot be told
    /// that the callback was killed. Nor are the callback's thread, its [task id](tokio::task::id), its task-locals and the
    /// current [span](tracing::Span) always the worker's own. A caller that polls a call under a lock which the callback takes,
    /// too, locks itself out. If any of that matters, choose `Queued`.
    Direct,
    /// Always by the worker's task.
    Queued,
}

/// How an owner ends a server: its supervisor, or the drop of a [`ServerGuard`](crate::ServerGuard). OTP's `shutdown` of a child.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use std::time::Duration;
/// use undying::{ServerSpec, Shutdown};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).shutdown(Shutdown::Timeout(Duration::from_secs(30))).start().await?;
/// let guard = counter.clone().into_guard();
/// guard.cast(1).await?;
/// drop(guard); // shuts it down
/// assert_eq!(*counter.stopped().await.state, 1); // what was queued is done
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// Kill it: no `terminate`.
    BrutalKill,
    /// Let it handle what is queued and terminate, and kill it if that takes longer.
    Timeout(Duration),
    /// Let it handle what is queued and terminate, however long it takes.
    Infinity,
}

/// What becomes of a state that lets no incarnation live.
///
/// It is called poisoned when the restart limit is reached and either the last incarnation died before it could serve, or
/// none of the incarnations in question has handled one message; kills do not count.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use undying::{Context, GenServer, Never, Next, Outcome, Poison, ServerSpec, StateMut};
///
/// #[derive(Clone)]
/// struct Divider;
///
/// impl GenServer for Divider {
///     type State = u32; // a zero makes every incarnation die
///     type Cast = u32;
///     type Info = ();
/// #   type Call = Never; type Continue = Never;
///
///     async fn handle_cast(&mut self, n: u32, mut by: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
///         *by = n;
///         cx.send_interval(Duration::from_secs(1), || ());
///         Ok(Next::Wait)
///     }
///
///     async fn handle_info(&mut self, (): (), by: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         100_u32.checked_div(*by).ok_or(undying::Crash::msg("division by zero"))?;
///         Ok(Next::Wait)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let divider = ServerSpec::new(Divider, 5)
///     .max_restarts(1, Duration::from_secs(60))
///     .on_poison(Poison::ResetToInitial)
///     .start()
///     .await
///     .unwrap();
/// divider.cast(0).await.unwrap();
/// tokio::time::sleep(Duration::from_secs(10)).await;
/// assert_eq!((divider.is_alive(), *divider.peek()), (true, 5));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Poison {
    /// Nothing: the server ends with [`RestartLimit`](crate::ExitReason::RestartLimit).
    Stop,
    /// It goes back to the state that `init` left.
    ResetToInitial,
    /// It goes back to the state before the last commit; not twice in a row. That state is held until the next commit, and so
    /// are the replies in it.
    PreviousGood,
}

/// The options that one server has, besides those that are used up at its start.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) max_restarts: u32,
    pub(crate) within: Duration,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) mailbox: Mailbox,
    pub(crate) commit: CommitPolicy,
    pub(crate) dispatch: Dispatch,
    pub(crate) call_timeout: Duration,
    pub(crate) init_timeout: Option<Duration>,
    pub(crate) shutdown: Shutdown,
    pub(crate) kill_grace: Duration,
    pub(crate) max_zombies: usize,
    pub(crate) poison: Poison,
    pub(crate) restart: RestartPolicy,
    pub(crate) significant: bool,
    pub(crate) preserve_on_escalation: bool,
}

impl Options {
    const DEFAULT: Self = Self {
        max_restarts: 1000,
        within: Duration::from_secs(10),
        backoff: None,
        mailbox: Mailbox::unbounded(),
        commit: CommitPolicy::EveryCallback,
        dispatch: if cfg!(dispatch = "queued") { Dispatch::Queued } else { Dispatch::Direct },
        call_timeout: Duration::from_secs(5),
        init_timeout: None,
        shutdown: Shutdown::Timeout(Duration::from_secs(5)),
        kill_grace: Duration::from_secs(1),
        max_zombies: 1,
        poison: Poison::Stop,
        restart: RestartPolicy::Transient,
        significant: false,
        preserve_on_escalation: false,
    };
}

/// The options of a server: those of its own, if it has any. Most servers have none, and pay for none.
#[derive(Default)]
pub(crate) struct Choice(Option<Box<Options>>);

impl Deref for Choice {
    type Target = Options;

    #[inline]
    fn deref(&self) -> &Options {
        static DEFAULT: Options = Options::DEFAULT;
        self.0.as_deref().unwrap_or(&DEFAULT)
    }
}

impl DerefMut for Choice {
    fn deref_mut(&mut self) -> &mut Options {
        self.0.get_or_insert_with(|| Box::new(Options::DEFAULT))
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// What a user has said by a closure, if anything.
pub(crate) struct Hooks<S: GenServer>(Option<Box<Closures<S>>>);

pub(crate) struct Closures<S: GenServer> {
    pub(crate) trap_exits: Option<Arc<TrapExits<S>>>,
    pub(crate) dead_letters: Option<Arc<Undertaker<S>>>,
    pub(crate) copies: Option<Copies<S>>,
    pub(crate) format_state: Option<Box<FormatState<S>>>,
    pub(crate) changed: Option<Box<Changed<S>>>,
}

type TrapExits<S> = dyn Fn(Down) -> <S as GenServer>::Info + Send + Sync;
type FormatState<S> = dyn Fn(&Snapshot<S>) -> String + Send + Sync;
type Changed<S> = dyn Fn(&Snapshot<S>, &Snapshot<S>) -> bool + Send + Sync;

impl<S: GenServer> Default for Hooks<S> {
    fn default() -> Self {
        Self(None)
    }
}

impl<S: GenServer> Drop for Closures<S> {
    fn drop(&mut self) {
        drop_quietly(self.trap_exits.take());
        drop_quietly(self.dead_letters.take());
        drop_quietly(self.format_state.take());
        drop_quietly(self.changed.take());
    }
}

impl<S: GenServer> Hooks<S> {
    /// To add one.
    pub(crate) fn closures(&mut self) -> &mut Closures<S> {
        self.0.get_or_insert_with(|| {
            Box::new(Closures {
                trap_exits: None,
                dead_letters: None,
                copies: None,
                format_state: None,
                changed: None,
            })
        })
    }

    /// Makes an `Info` of the end of a linked server.
    pub(crate) fn trap_exits(&self) -> Option<Arc<TrapExits<S>>> {
        self.0.as_ref()?.trap_exits.clone()
    }

    /// Gets what was queued and will not be handled.
    pub(crate) fn dead_letters(&self) -> Option<&Arc<Undertaker<S>>> {
        self.0.as_ref()?.dead_letters.as_ref()
    }

    /// How a message is copied that is to be run again should its callback crash.
    #[inline]
    pub(crate) fn copies(&self) -> Option<&Copies<S>> {
        self.0.as_ref()?.copies.as_ref()
    }

    /// How often a message is run again whose callback crashed.
    pub(crate) fn retries(&self) -> Option<u32> {
        self.copies().map(|copies| copies.max)
    }

    /// Whether a commit may be no change.
    pub(crate) fn compares(&self) -> bool {
        self.changed().is_some()
    }

    fn changed(&self) -> Option<&Changed<S>> {
        self.0.as_ref()?.changed.as_deref()
    }

    /// Whether the second state is another than the first, as those who are told have it.
    pub(crate) fn is_change(&self, old: &Snapshot<S>, new: &Snapshot<S>) -> bool {
        self.changed().is_none_or(|changed| catch(|| changed(old, new)).unwrap_or(true))
    }

    /// The state as it may be shown, if it may.
    pub(crate) fn show(&self, kept: impl FnOnce() -> Kept<S>) -> Option<String> {
        let format = self.0.as_ref()?.format_state.as_ref()?;
        Some(catch(|| format(&kept())).unwrap_or_else(|_| "(its format_state panicked)".into()))
    }
}

impl Options {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let Self {
            max_restarts: _,
            within,
            backoff,
            mailbox,
            commit,
            dispatch: _,
            call_timeout: _,
            init_timeout: _,
            shutdown: _,
            kill_grace: _,
            max_zombies: _,
            poison: _,
            restart,
            significant,
            preserve_on_escalation: _,
        } = self;
        let refuse = |what: &str| Err(StartError::Config(what.into()));
        if within.is_zero() {
            return refuse("the window of max_restarts is zero: no crash would ever count");
        }
        if mailbox.capacity == Some(0) {
            return refuse("the mailbox has a capacity of 0: no message could ever be queued");
        }
        if mailbox.high_water == Some(0) {
            return refuse("the mailbox has a high-water mark of 0: it would always be above it");
        }
        if *commit == CommitPolicy::Every(0) {
            return refuse("the commit policy is every 0 callbacks: that is none");
        }
        if backoff.is_some_and(|backoff| backoff.min > backoff.max) {
            return refuse("the back-off has a minimum above its maximum");
        }
        if *significant && *restart == RestartPolicy::Permanent {
            return refuse("it is significant and permanent: it never ends by itself");
        }
        Ok(())
    }
}
