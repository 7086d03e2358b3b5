//! Looking at a server from outside, and into it: the counterpart of OTP's `sys` module.

use std::{fmt, future::poll_fn, sync::Arc, time::Duration};

use crate::{
    any::AnyServer,
    contain::Quiet,
    debug::{self, SysEvent},
    error::{CallError, SysError},
    exit::Crash,
    gen_server::GenServer,
    job::Factory,
    logical::Logical,
    options::CommitPolicy,
    preserve::Kept,
    record::Record,
    reply::{self, Reply},
    request::{Request, Wish},
    scope,
    server_ref::Status,
};

/// How long a request waits for the worker, as in OTP.
const PATIENCE: Duration = Duration::from_secs(5);

/// The system requests of a server: see [`ServerRef::sys`](crate::ServerRef::sys).
///
/// They do not queue behind the mail, and they are no messages: an idle timeout that is armed stays so. Those that need the
/// worker ([`state`](Self::state), [`replace`](Self::replace), [`suspend`](Self::suspend), [`upgrade`](Self::upgrade)) are
/// granted between two callbacks and wait 5 s for that; the others never wait. Every one of them may be dropped at any time.
///
/// # Examples
///
/// ```
/// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut, Status};
/// # #[derive(Clone)] struct Counter;
/// # impl GenServer for Counter {
/// #     type State = u64; type Call = Reply<u64>; type Cast = u64; type Info = Never; type Continue = Never;
/// #     async fn handle_call(&mut self, get: Reply<u64>, n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         get.send(*n); Ok(Next::Wait)
/// #     }
/// #     async fn handle_cast(&mut self, by: u64, mut n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         *n += by; Ok(Next::Wait)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).format_state(|n| format!("{n} so far")).start().await?;
/// counter.sys().suspend().await?;
/// counter.cast(1).await?; // waits
/// counter.sys().replace(|n| *n = 40).await?;
/// counter.sys().resume().await?;
/// counter.cast(1).await?;
/// assert_eq!(counter.call(|get| get).await?, 42);
/// assert_eq!(counter.sys().status().await?.state.unwrap(), "42 so far");
/// # Ok(())
/// # }
/// ```
#[must_use = "it does nothing by itself"]
pub struct Sys<'a, S: GenServer> {
    logical: &'a Logical<S>,
}

/// What a server has counted since its start. Exact: what is counted together was counted in the same instant.
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
/// counter.cast(5).await?;
/// counter.cast(13).await?; // crashes
/// counter.call(|get| get).await?;
/// let statistics = counter.sys().statistics().await?;
/// assert_eq!((statistics.messages_in, statistics.replies_out, statistics.commits), (3, 1, 1));
/// assert_eq!((statistics.crashes, statistics.restarts), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages taken out of the mailbox to be handled.
    pub messages_in: u64,
    /// Answers of callbacks that were committed.
    pub replies_out: u64,
    /// Changes of the state that were kept.
    pub commits: u64,
    /// Incarnations that came to an abnormal end.
    pub crashes: u64,
    /// Incarnations that began to serve after another.
    pub restarts: u64,
    /// Workers that could not be stopped and were left behind.
    pub zombies: u64,
    /// Commits that came too late, by an incarnation that was not the one alive, and were refused.
    pub fenced: u64,
    /// Messages that are queued.
    pub mailbox_len: usize,
}

/// Where a server stands: see [`Sys::status`].
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ServerSpec, Status};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 5).format_state(|n| format!("{n} clicks")).start().await?;
/// let report = counter.sys().status().await?;
/// assert_eq!((report.status, report.incarnation, report.restarts_in_window), (Status::Running, 1, 0));
/// assert_eq!(report.state.as_deref(), Some("5 clicks"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatusReport {
    /// Where it is in its life.
    pub status: Status,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// The last incarnation that began to serve; 0 before the first.
    pub incarnation: u64,
    /// How many of the crashes that its budget allows are within the window now.
    pub restarts_in_window: usize,
    /// The state, as [`format_state`](crate::ServerSpec::format_state) shows it; `None` without such a hook.
    pub state: Option<String>,
}

impl<'a, S: GenServer> Sys<'a, S> {
    pub(crate) fn new(logical: &'a Logical<S>) -> Self {
        Self { logical }
    }

    /// The state, once the callback that is running is done; also of a suspended server. The request goes before the mail: a
    /// cast that was sent just before it need not be in it. With a
    /// [`CommitPolicy`](crate::CommitPolicy) that has left something uncommitted, this shows it, as a snapshot of its own.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// See [`SysError`].
    pub async fn state(&self) -> Result<Kept<S>, SysError> {
        let everything_is_kept = self.logical.options.commit == CommitPolicy::EveryCallback;
        let idle = |record: &mut Record<S>| {
            let idle = record.in_hand.is_none() && everything_is_kept && Logical::end_of(record).is_none();
            idle.then(|| record.kept.clone())
        };
        match self.logical.cell.look(idle) {
            Some(state) => Ok(state),
            None => self.ask(Wish::State).await,
        }
    }

    /// Changes the state between two callbacks: `change` gets a copy, which is committed and gone on with if it returns. It
    /// is a change like any other, which listeners are told of.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was begun, it is not done.
    ///
    /// # Errors
    ///
    /// [`SysError::Crashed`] if `change` panics, or the state's `Clone` does: nothing has changed, and the server goes on. For
    /// the others see [`SysError`].
    pub async fn replace(&self, change: impl FnOnce(&mut S::State) + Send + 'static) -> Result<(), SysError> {
        let change = |state: &mut S::State| {
            change(state);
            Ok(())
        };
        self.ask(|reply| Wish::Replace { change: Box::new(change), factory: None, reply }).await
    }

    /// Changes the behaviour and the state, both or neither, between two callbacks: `server` makes the server value that goes
    /// on from there and those of all later incarnations, `change` brings a copy of the state into its new shape. OTP's
    /// `code_change`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was begun, it is not done.
    ///
    /// # Errors
    ///
    /// [`SysError::Crashed`] if one of the two panics or `change` fails: the server goes on as it was. For the others see
    /// [`SysError`].
    pub async fn upgrade(
        &self,
        server: impl Fn() -> S + Send + 'static,
        change: impl FnOnce(&mut S::State) -> Result<(), Crash> + Send + 'static,
    ) -> Result<(), SysError> {
        let factory: Factory<S> = Quiet::new(Box::new(server));
        self.ask(|reply| Wish::Replace { change: Box::new(change), factory: Some(factory), reply }).await
    }

    /// Lets no callback begin from now on, and resolves when none is running any more. Messages, timers, continues and timeouts
    /// wait; calls may time out. Does nothing to a server that is suspended already.
    ///
    /// It belongs to the logical server: after a crash [`restarted`](GenServer::restarted) runs, and then nothing. To stop a
    /// server lifts it, so that what is queued is handled first; to kill it works as ever.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the server stays suspended.
    ///
    /// # Errors
    ///
    /// [`SysError::Timeout`] if the callback that is running takes longer than 5 s: no other will begin all the same. For the
    /// others see [`SysError`].
    pub async fn suspend(&self) -> Result<(), SysError> {
        if scope::is_inside(self.logical.id) {
            return Err(SysError::CallingSelf);
        }
        let Some(idle) = self.logical.suspend() else { return Err(SysError::NoProc) };
        if idle { Ok(()) } else { self.ask(Wish::Pause).await }
    }

    /// Lets callbacks begin again: what has waited is handled in order. Does nothing to a server that is not suspended.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// [`SysError::NoProc`] if the server is over.
    pub async fn resume(&self) -> Result<(), SysError> {
        self.logical.resume().ok_or(SysError::NoProc)
    }

    /// What the server has counted. The worker is not troubled for it.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// [`SysError::NoProc`] if the server is over.
    #[expect(clippy::unused_async, reason = "as every system request, and others do wait")]
    pub async fn statistics(&self) -> Result<Statistics, SysError> {
        self.look(|_| ())?;
        Ok(self.logical.statistics())
    }

    /// Where the server stands. The worker is not troubled for it, so it answers while a callback runs or the server restarts,
    /// and shows the state that is committed.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// [`SysError::NoProc`] if the server is over.
    #[expect(clippy::unused_async, reason = "as every system request, and others do wait")]
    pub async fn status(&self) -> Result<StatusReport, SysError> {
        let (status, incarnation, restarts_in_window, kept) = self.look(|record| {
            let recent = record.budget.as_mut().map_or(0, |budget| budget.recent(record.born.elapsed()));
            (record.life.status(), record.life.serving, recent, record.kept.clone())
        })?;
        let name = self.logical.name.clone();
        let state = self.logical.hooks.show(|| kept);
        Ok(StatusReport { status, name, incarnation, restarts_in_window, state })
    }

    /// Installs a debug hook, which is told of messages, commits and replies. `false`: there is one of that name already, and
    /// nothing was changed.
    ///
    /// It runs in the worker, after the commit and the replies it tells of, and holds the worker up while it does. One that
    /// panics is removed.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// [`SysError::NoProc`] if the server is over.
    #[expect(clippy::unused_async, reason = "as every system request, and others do wait")]
    pub async fn install(
        &self,
        id: &'static str,
        hook: impl Fn(&SysEvent) + Send + Sync + 'static,
    ) -> Result<bool, SysError> {
        // One that is not installed is dropped here, and not under the lock (K8).
        let hook: Arc<debug::Hook> = Arc::new(hook);
        self.look(|record| {
            let others = record.debug.as_deref().cloned().unwrap_or_default();
            let free = !others.has(id);
            if free {
                record.debug = Some(Arc::new(others.with(id, hook.clone())));
            }
            free
        })
    }

    /// Removes a debug hook. `false`: there is none of that name.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// [`SysError::NoProc`] if the server is over.
    #[expect(clippy::unused_async, reason = "as every system request, and others do wait")]
    pub async fn remove(&self, id: &'static str) -> Result<bool, SysError> {
        self.look(|_| ())?;
        Ok(self.logical.remove_hook(id))
    }

    /// Looks at the record of a server that is not over.
    fn look<R>(&self, look: impl FnOnce(&mut Record<S>) -> R) -> Result<R, SysError> {
        self.logical.cell.look(|record| match Logical::end_of(record) {
            Some(_) => Err(SysError::NoProc),
            None => Ok(look(record)),
        })
    }

    /// Asks the worker, and waits for it.
    async fn ask<T: Send + 'static>(&self, wish: impl FnOnce(Reply<T>) -> Wish<S>) -> Result<T, SysError> {
        if scope::is_inside(self.logical.id) {
            return Err(SysError::CallingSelf);
        }
        let (reply, claim, mut caller) = reply::open(self.logical.id);
        let request = Request { wish: wish(reply), claim };
        let refused = self.logical.cell.look(|record| {
            if record.deferred.ended() {
                return Some(request);
            }
            record.extras().requests.push_back(request);
            None
        });
        if refused.is_some() {
            return Err(SysError::NoProc);
        }
        self.logical.mailbox.wake();
        let _deadline = self.logical.deadline(PATIENCE, &caller);
        poll_fn(|cx| caller.poll(cx)).await.map_err(|error| match error {
            CallError::Timeout => SysError::Timeout,
            CallError::Crashed(report) => SysError::Crashed(report),
            _ => SysError::NoProc,
        })
    }
}

impl<S: GenServer> fmt::Debug for Sys<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sys").field("server", &self.logical.id).finish()
    }
}
