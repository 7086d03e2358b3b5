//! How a server is described and started.

mod listening;

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::{
    contain::{Quiet, catch},
    dead_letter::{Copies, DeadLetter, Redelivery},
    error::StartError,
    exit::{Callback, CrashReport, Place},
    feed::Ear,
    gen_server::GenServer,
    job::Factory,
    logical::Logical,
    monitor::{Down, Monitor},
    name::ServerId,
    options::{Choice, CommitPolicy, Dispatch, Hooks, Mailbox, Options, Poison, Shutdown},
    peer::{self, Peer},
    plan::RestartPolicy,
    preserve::{Kept, Snapshot},
    record::{Fallback, Initial, Record},
    registry::Registry,
    restart::Backoff,
    server_ref::ServerRef,
    tree::Care,
};

/// In so much time a killed worker that yields gets the turn it needs to go.
const LEAST_GRACE: Duration = Duration::from_millis(10);

/// The description of a server, to be [started](Self::start).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use undying::{Backoff, Mailbox, ServerSpec};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Cache;
/// # impl GenServer for Cache { type State = Vec<u8>; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = ServerSpec::new(Cache, Vec::new())
///     .name("cache")
///     .max_restarts(5, Duration::from_secs(1))
///     .backoff(Backoff::exponential(Duration::from_millis(1), Duration::from_millis(100)))
///     .mailbox(Mailbox::bounded(1024))
///     .start()
///     .await
///     .unwrap();
/// assert_eq!(cache.name(), Some("cache"));
/// # }
/// ```
#[must_use = "a server runs only once its spec is started"]
pub struct ServerSpec<S: GenServer> {
    factory: Factory<S>,
    state: Quiet<S::State>,
    name: Option<(Registry, Arc<str>)>,
    listeners: Vec<Ear<S>>,
    options: Choice,
    hooks: Hooks<S>,
    owner: Option<Arc<dyn Peer>>,
    id: Option<String>,
}

impl<S: GenServer> ServerSpec<S> {
    /// A server whose every incarnation gets a clone of `server`, and which begins with `state`.
    pub fn new(server: S, state: S::State) -> Self
    where
        S: Clone,
    {
        Self::with_factory(Quiet::new(Box::new(move || server.clone())), state)
    }

    /// A server whose every incarnation gets what `factory` makes, and which begins with `state`.
    ///
    /// The supervisor task calls `factory`, so it should not block. If it panics, that is a failed start or restart.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{GenServer, Never, ServerSpec};
    ///
    /// struct Db { connection: Option<std::net::TcpStream> } // has no `Clone`
    /// # impl GenServer for Db { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let db = ServerSpec::from_fn(|| Db { connection: None }, ()).start().await.unwrap();
    /// # db.stop().await.unwrap();
    /// # }
    /// ```
    pub fn from_fn(factory: impl Fn() -> S + Send + Sync + 'static, state: S::State) -> Self {
        Self::with_factory(Quiet::new(Box::new(factory)), state)
    }

    fn with_factory(factory: Factory<S>, state: S::State) -> Self {
        Self {
            factory,
            state: Quiet::new(state),
            name: None,
            listeners: Vec::new(),
            options: Choice::default(),
            hooks: Hooks::default(),
            owner: None,
            id: None,
        }
    }

    /// Gives it a name in the [global registry](Registry::global). Defaults to none.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.name_in(&Registry::global(), name)
    }

    /// Gives it a name in `registry`. Defaults to none.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{Registry, ServerSpec, StartError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::new();
    /// let counter = ServerSpec::new(Counter, 0).name_in(&registry, "clicks").start().await?;
    /// let twice = ServerSpec::new(Counter, 0).name_in(&registry, "clicks").start().await;
    /// assert!(matches!(twice, Err(StartError::AlreadyStarted(id)) if id == counter.id()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn name_in(mut self, registry: &Registry, name: impl Into<String>) -> Self {
        self.name = Some((registry.clone(), name.into().into()));
        self
    }

    /// What it is called among the children of a [`Supervisor`](crate::Supervisor). Defaults to its name, if it has one, else
    /// to the name of its type, as in Elixir; under a [`DynamicSupervisor`](crate::DynamicSupervisor) to its number.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Survives `n` crashes within any span of `within`; the next one ends the server with
    /// [`RestartLimit`](crate::ExitReason::RestartLimit). A crash exactly `within` ago still counts, as in OTP. Defaults to
    /// 1000 in 10 s. `u32::MAX` is no limit. A zero `within` is refused at [`start`](Self::start).
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
    /// let counter = ServerSpec::new(Counter, 0).max_restarts(2, Duration::from_secs(60)).start().await?;
    /// for _ in 0..3 {
    ///     counter.cast(13).await?; // crashes
    /// }
    /// assert!(matches!(counter.stopped().await.reason, ExitReason::RestartLimit(_)));
    /// assert_eq!(counter.incarnation(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_restarts(mut self, n: u32, within: Duration) -> Self {
        (self.options.max_restarts, self.options.within) = (n, within);
        self
    }

    /// Pauses before each restart; messages wait meanwhile. Defaults to no pause.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use std::time::Duration;
    /// use undying::{Backoff, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let second = Duration::from_secs(1);
    /// let counter = ServerSpec::new(Counter, 7).backoff(Backoff::exponential(second, second)).start().await?;
    /// let begin = tokio::time::Instant::now();
    /// counter.cast(13).await?; // crashes
    /// assert_eq!(counter.call(|get| get).await?, 7); // waits with it
    /// assert_eq!(begin.elapsed(), second);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = Some(backoff);
        self
    }

    /// Bounds the mailbox. Defaults to [`Mailbox::unbounded`].
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.options.mailbox = mailbox;
        self
    }

    /// Gives `hook` every message that was queued and will not be handled: one that gave way in a full mailbox, one whose
    /// callback crashed as often as [`redelivery`](Self::redelivery) allows, one that was queued when the server ended.
    /// Defaults to dropping them.
    ///
    /// It runs where that becomes known, in a sender, the worker or the supervisor, and should not block. If it panics, that is
    /// logged. To what it sends itself, a full mailbox that drops the oldest says [`Full`](crate::TrySendError::Full): otherwise
    /// a message that gave way and is sent again would make the next one give way, without an end.
    pub fn dead_letters(mut self, hook: impl Fn(DeadLetter<S>) + Send + Sync + 'static) -> Self {
        self.hooks.closures().dead_letters = Some(Arc::new(hook));
        self
    }

    /// Runs a message again whose callback crashed or was killed. Defaults to [`Redelivery::Never`].
    pub fn redelivery(mut self, redelivery: Redelivery) -> Self
    where
        S::Call: Clone,
        S::Cast: Clone,
        S::Info: Clone,
    {
        self.hooks.closures().copies = match redelivery {
            Redelivery::Never => None,
            Redelivery::Retry { max } => Some(Copies::new(max)),
        };
        self
    }

    /// When the state is committed. Defaults to [`CommitPolicy::EveryCallback`]; `Every(0)` is refused at
    /// [`start`](Self::start).
    pub fn commit(mut self, policy: CommitPolicy) -> Self {
        self.options.commit = policy;
        self
    }

    /// Where the callbacks of calls run. Defaults to [`Dispatch::Direct`].
    pub fn dispatch(mut self, dispatch: Dispatch) -> Self {
        self.options.dispatch = dispatch;
        self
    }

    /// How the state is shown in [`Sys::status`](crate::Sys::status) and in the log of a crash: the place to leave out what is
    /// secret. Defaults to not showing it. If it panics, a text that says so is shown. The counterpart of `format_status`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::ServerSpec;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let counter = ServerSpec::new(Counter, 5).format_state(|n| format!("{n} clicks")).start().await?;
    /// assert_eq!(counter.sys().status().await?.state.as_deref(), Some("5 clicks"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn format_state(mut self, format: impl Fn(&Snapshot<S>) -> String + Send + Sync + 'static) -> Self {
        self.hooks.closures().format_state = Some(Box::new(format));
        self
    }

    /// The time in which a [`call`](ServerRef::call) has to be answered, unless the call says otherwise. Defaults to 5 s.
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
    /// let counter = ServerSpec::new(Counter, 0).call_timeout(Duration::from_secs(60)).start().await?;
    /// counter.sys().suspend().await?; // so that nobody answers
    /// let begin = tokio::time::Instant::now();
    /// assert!(matches!(counter.call(|get| get).await, Err(CallError::Timeout)));
    /// assert_eq!(begin.elapsed().as_secs(), 60);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_timeout(mut self, after: Duration) -> Self {
        self.options.call_timeout = after;
        self
    }

    /// The time in which `init` has to finish. Defaults to any.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StartError, StateMut};
    ///
    /// #[derive(Clone)]
    /// struct Slow;
    ///
    /// impl GenServer for Slow {
    /// #   type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never;
    ///     async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         tokio::time::sleep(Duration::from_secs(60)).await;
    ///         Ok(Next::Wait)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let started = ServerSpec::new(Slow, ()).init_timeout(Duration::from_secs(1)).start().await;
    /// assert!(matches!(started, Err(StartError::Timeout)));
    /// # }
    /// ```
    pub fn init_timeout(mut self, after: Duration) -> Self {
        self.options.init_timeout = Some(after);
        self
    }

    /// How an owner ends it. Defaults to `Shutdown::Timeout` of 5 s.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.options.shutdown = shutdown;
        self
    }

    /// Whether its supervisor gives it another life after its logical end. Defaults to [`RestartPolicy::Transient`]: after
    /// an abnormal one. Without a supervisor it has no meaning.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.options.restart = policy;
        self
    }

    /// Whether its end by itself counts for the [`AutoShutdown`](crate::AutoShutdown) of its supervisor. Defaults to no. With
    /// [`RestartPolicy::Permanent`] it is refused at [`start`](Self::start).
    pub fn significant(mut self, yes: bool) -> Self {
        self.options.significant = yes;
        self
    }

    /// Whether another life, which its supervisor gives it, goes on with what was kept of the one before: the state, the pending
    /// [`Next::Continue`](crate::Next::Continue), the deadline of a [`Next::Timeout`](crate::Next::Timeout).
    /// [`restarted`](GenServer::restarted) runs then instead of `init`. Defaults to no: it begins afresh, with the state it
    /// was given, as OTP's supervisors do, since the state may be what made it crash.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{ServerSpec, Supervisor};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let part = |id: &str| ServerSpec::new(Counter, 0).id(id);
    /// let tree = Supervisor::builder()
    ///     .child(part("keeps").preserve_on_escalation(true))
    ///     .child(part("begins afresh"))
    ///     .start()
    ///     .await?;
    /// let counters = ["keeps", "begins afresh"].map(|id| tree.server::<Counter>(id).unwrap());
    /// for counter in &counters {
    ///     counter.cast(5).await?;
    ///     counter.call(|get| get).await?;
    ///     counter.kill(); // its end, and the supervisor gives it another life
    ///     counter.wait_incarnation(2).await.expect("it is transient");
    /// }
    /// assert_eq!(counters.map(|counter| *counter.peek()), [5, 0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn preserve_on_escalation(mut self, yes: bool) -> Self {
        self.options.preserve_on_escalation = yes;
        self
    }

    /// How long a killed worker that does not yield is waited for before it is left behind as a zombie. Defaults to 1 s, and is
    /// 10 ms at least: one that does yield needs a turn to go, and is no zombie.
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.options.kill_grace = grace.max(LEAST_GRACE);
        self
    }

    /// With more zombies than this at a time the server ends. Defaults to 1.
    pub fn max_zombies(mut self, n: usize) -> Self {
        self.options.max_zombies = n;
        self
    }

    /// What becomes of a state that lets no incarnation live. Defaults to [`Poison::Stop`].
    pub fn on_poison(mut self, poison: Poison) -> Self {
        self.options.poison = poison;
        self
    }

    /// Has the ends of servers it is linked with, normal ones too, come as an `Info` made by `info` (in the worker), instead of
    /// ending it. Defaults to ending with them. The counterpart of `Process.flag(:trap_exit, true)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{Context, Down, ExitReason, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Quiet;
    /// # impl GenServer for Quiet { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// #[derive(Clone)]
    /// struct Nurse;
    ///
    /// impl GenServer for Nurse {
    ///     type State = Vec<String>;
    ///     type Call = (ServerRef<Quiet>, Reply<()>);
    ///     type Info = Down;
    /// #   type Cast = Never; type Continue = Never;
    ///
    ///     async fn handle_call(&mut self, (patient, linked): Self::Call, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.link(&patient);
    ///         linked.send(());
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, down: Down, mut seen: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         seen.push(down.reason.to_string());
    ///         Ok(Next::Stop(ExitReason::Normal))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let patient = ServerSpec::new(Quiet, ()).start().await.unwrap();
    /// let nurse = ServerSpec::new(Nurse, vec![]).trap_exits(|down| down).start().await.unwrap();
    /// nurse.call(|linked| (patient.clone(), linked)).await.unwrap();
    /// patient.kill();
    /// assert_eq!(**nurse.stopped().await.state, ["killed"]);
    /// # }
    /// ```
    pub fn trap_exits(mut self, info: impl Fn(Down) -> S::Info + Send + Sync + 'static) -> Self {
        self.hooks.closures().trap_exits = Some(Arc::new(info));
        self
    }

    /// [Starts](Self::start) a server that is [shut down](Self::shutdown) with the same reason when `owner` comes to an abnormal
    /// end; `terminate` runs. A normal end of the owner does not concern it, nor does its own end concern the owner: use
    /// [`Context::link`](crate::Context::link) for both ways. Where the owner is a task and not a server, let it hold a
    /// [`ServerGuard`](crate::ServerGuard).
    ///
    /// # Cancel safety
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// [`StartError::OwnerGone`] if the owner is over already; otherwise as for [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/quiet.md")]
    /// use undying::{ExitReason, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let owner = ServerSpec::new(Quiet, 0).start().await?;
    /// let helper = ServerSpec::new(Quiet, 0).start_link(&owner).await?;
    /// owner.kill();
    /// assert!(matches!(helper.stopped().await.reason, ExitReason::Killed));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn start_link<T: GenServer>(
        mut self,
        owner: &ServerRef<T>,
    ) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send + use<S, T> {
        self.owner = Some(owner.logical.clone());
        self.start()
    }

    /// [Starts](Self::start) the server, and monitors it from before its `init` is done, so that no end is too early to be told.
    ///
    /// # Cancel safety
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/quiet.md")]
    /// use undying::{ExitReason, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (server, monitor) = ServerSpec::new(Quiet, 0).start_monitor().await?;
    /// server.stop().await?;
    /// assert!(matches!(monitor.await.reason, ExitReason::Normal));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn start_monitor(self) -> impl Future<Output = Result<(ServerRef<S>, Monitor), StartError>> + Send {
        self.start_with(|logical| Monitor::of(logical.clone()))
    }

    /// Starts the server on the current runtime, and resolves once `init` is done.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it resolves, the server is killed: as soon as its supervisor task has run, the name is
    /// free again and nothing of it is left.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`] before any task is spawned; [`StartError::AlreadyStarted`] if the name is taken;
    /// [`StartError::Init`], [`StartError::Timeout`] and [`StartError::Ignored`] if `init` does not go well. Nothing is left of
    /// a server that did not start, but for the task of an `init` that ran out of time and does not yield.
    ///
    /// # Panics
    ///
    /// If it is polled outside a Tokio runtime, or in one without timers (`enable_time`).
    #[track_caller]
    pub fn start(self) -> impl Future<Output = Result<ServerRef<S>, StartError>> + Send {
        let started = self.start_with(|_| ());
        async move { started.await.map(|(server, ())| server) }
    }

    #[track_caller]
    fn start_with<T: Send>(
        self,
        at_birth: impl FnOnce(&Arc<Logical<S>>) -> T + Send,
    ) -> impl Future<Output = Result<(ServerRef<S>, T), StartError>> + Send {
        let caller = Location::caller();
        async move {
            assert!(
                Handle::try_current().is_ok(),
                "the server that {caller} starts needs a Tokio runtime to run on: await `start` inside one"
            );
            // A runtime without timers is refused here, by Tokio's own words, and not by a supervisor that dies of it later.
            drop(tokio::time::sleep(Duration::ZERO));
            let mut spec = self;
            let owner = spec.owner.take();
            let logical = spec.plant(false)?;
            let server: Arc<dyn Peer> = logical.clone();
            let owned = owner.as_ref().map(|owner| peer::own(owner, &server)).transpose();
            owned.map_err(|_| StartError::OwnerGone)?;
            let born = at_birth(&logical);
            logical.begin(&Handle::current(), 0).inspect_err(|_| {
                owner.iter().for_each(|owner| peer::unlink(&**owner, &*server));
            })?;
            let abandoned = KillOnDrop(&logical);
            logical.served().await?;
            std::mem::forget(abandoned);
            Ok((ServerRef::new(logical), born))
        }
    }

    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.options.check()?;
        listening::check(&self.listeners)
    }

    pub(crate) fn child_id(&self) -> Option<String> {
        let name = self.name.as_ref().map(|(_, name)| name.to_string());
        self.id.clone().or(name)
    }

    /// What its parent has to know of it.
    pub(crate) fn care(&self) -> Care {
        let Options { restart, shutdown, significant, .. } = *self.options;
        Care { restart, shutdown, significant }
    }

    /// Has it looked after as its parent was told.
    pub(crate) fn looked_after(mut self, care: Care) -> Self {
        let Care { restart, shutdown, significant } = care;
        if self.care() != care {
            let options = &mut *self.options;
            (options.restart, options.shutdown, options.significant) = (restart, shutdown, significant);
        }
        self
    }

    /// Makes the logical server, with everything it needs to be started; and to be started again, if it is to be `retained`.
    pub(crate) fn plant(self, retained: bool) -> Result<Arc<Logical<S>>, StartError> {
        let Self { factory, mut state, name, listeners, options, hooks, owner: _, id: _ } = self;
        options.check()?;
        listening::check(&listeners)?;
        let kept = catch(|| Kept::<S>::first(&mut state)).map_err(|payload| {
            let place = Place { callback: Callback::Init, incarnation: 1, version: 0 };
            StartError::Init(CrashReport::of_panic(payload.as_any(), place))
        })?;
        let fallback = match options.poison {
            Poison::Stop => Fallback::None,
            Poison::ResetToInitial => Fallback::Initial(Quiet::new(kept.snapshot().clone())),
            Poison::PreviousGood => Fallback::Previous(Quiet::new(None)),
        };
        let snapshot = retained.then(|| Quiet::new(kept.snapshot().clone()));
        let mut record = Record::new(kept, fallback, listeners);
        record.factory = Some(factory);
        record.initial = Some(Box::new(Initial { given: Some(state), snapshot }));
        Ok(Arc::new(Logical::new(ServerId::next(), name, options, hooks, record)))
    }
}

impl<S: GenServer> fmt::Debug for ServerSpec<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { factory: _, state: _, name, listeners, options, hooks: _, owner: _, id } = self;
        f.debug_struct("ServerSpec")
            .field("id", id)
            .field("name", &name.as_ref().map(|(_, name)| name))
            .field("listeners", &listeners.len())
            .field("options", options)
            .finish_non_exhaustive()
    }
}

/// Kills a server whose starter is gone before it served.
struct KillOnDrop<'a, S: GenServer>(&'a Logical<S>);

impl<S: GenServer> Drop for KillOnDrop<'_, S> {
    fn drop(&mut self) {
        self.0.kill();
    }
}
