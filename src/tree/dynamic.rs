//! Supervisors of children that come and go.

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use super::{
    branch::Branch,
    child::Child,
    child_spec::{ChildSpec, Seed, within},
    children::{Care, Entry, Stage},
    handle::{ChildCount, ChildInfo, SupervisorGuard, handle},
    roster::Roster,
    rules::Rules,
    supervisor::start,
    transfer::{self, Adopt},
    view::Tree,
};
use crate::{
    any::AnyServerRef,
    any_listener::{AnyAudience, AnyListener},
    contain::drop_quietly,
    error::{ChildError, StartError, StopError, TransferError},
    exit::ExitReason,
    gen_server::GenServer,
    logical::Logical,
    name::ServerId,
    options::Shutdown,
    plan::{AutoShutdown, RestartPolicy},
    record::Then,
    restart::Backoff,
    server_ref::{ServerRef, Status},
    spec::ServerSpec,
};

/// The description of a supervisor whose children are started one by one as they are needed, each independent of the others: a
/// server for each connection, each job, each player. The counterpart of Elixir's `DynamicSupervisor`.
///
/// Children start beside each other, so that one whose `init` is slow keeps nobody waiting, and stop all at the same time. One
/// that ends and is not restarted is forgotten.
///
/// # Examples
///
/// ```
/// use undying::{ChildError, DynamicSupervisor, ServerSpec};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Job;
/// # impl GenServer for Job { type State = u32; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pool = DynamicSupervisor::builder().max_children(2).start().await.unwrap();
/// let first = pool.start_child(ServerSpec::new(Job, 1)).await.unwrap();
/// pool.start_child(ServerSpec::new(Job, 2)).await.unwrap();
/// let third = pool.start_child(ServerSpec::new(Job, 3)).await;
/// assert!(matches!(third, Err(ChildError::MaxChildren)));
///
/// pool.terminate_child(first.id()).await.unwrap();
/// assert_eq!(pool.count().active, 1);
/// # }
/// ```
#[must_use = "a supervisor runs only once it is started"]
#[derive(Debug)]
pub struct DynamicSupervisor {
    id: String,
    rules: Rules,
    care: Care,
    listeners: AnyAudience,
}

impl DynamicSupervisor {
    /// A supervisor for any number of children: 3 restarts in 5 s, as in Elixir.
    pub fn builder() -> Self {
        Self {
            id: "dynamic_supervisor".into(),
            rules: Rules {
                strategy: None,
                auto_shutdown: AutoShutdown::Never,
                max_children: usize::MAX,
                max_restarts: 3,
                within: Duration::from_secs(5),
                backoff: None,
            },
            care: Care {
                restart: RestartPolicy::default(),
                shutdown: Shutdown::Infinity,
                significant: false,
            },
            listeners: AnyAudience::default(),
        }
    }

    /// What it is called, among the children of its own supervisor too. Defaults to `dynamic_supervisor`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Has at most `n` children at a time; those that are starting or are to be restarted count. Defaults to any number.
    pub fn max_children(mut self, n: usize) -> Self {
        self.rules.max_children = n;
        self
    }

    /// Restarts children `n` times within any span of `within`, all of them together; the next end of one is its own end. A restart
    /// that fails counts, and so does each attempt after it. Defaults to 3 in 5 s. `u32::MAX` is no limit. A zero `within` is
    /// refused at [`start`](Self::start).
    pub fn max_restarts(mut self, n: u32, within: Duration) -> Self {
        (self.rules.max_restarts, self.rules.within) = (n, within);
        self
    }

    /// Pauses before each restart. Defaults to no pause.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = Some(backoff);
        self
    }

    /// Whether its own supervisor restarts it when it ends. Defaults to [`RestartPolicy::Transient`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.care.restart = policy;
        self
    }

    /// How its own supervisor ends it. Defaults to [`Shutdown::Infinity`]: its children have their own time.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.care.shutdown = shutdown;
        self
    }

    /// Whether its end counts for the [`AutoShutdown`] of its own supervisor. Defaults to no.
    pub fn significant(mut self, yes: bool) -> Self {
        self.care.significant = yes;
        self
    }

    /// Adds a listener to all servers below it, at any depth, those that are started later included: from before the first life
    /// of each, for as long as it is there, also when it is [transferred](DynamicSupervisorRef::transfer). Defaults to none.
    pub fn listener(mut self, listener: impl AnyListener) -> Self {
        self.listeners.add(listener);
        self
    }

    /// Starts the supervisor on the current runtime, where its children will run, too.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it resolves, the supervisor is killed.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`] if an option makes no sense.
    ///
    /// # Panics
    ///
    /// If it is polled outside a Tokio runtime, or in one without timers (`enable_time`).
    #[track_caller]
    pub fn start(self) -> impl Future<Output = Result<DynamicSupervisorRef, StartError>> + Send {
        let caller = Location::caller();
        async move {
            self.rules.check()?;
            let Self { id, rules, care, listeners } = self;
            let branch = Branch::new(id.into(), rules, care, listeners, Vec::new(), false);
            Ok(DynamicSupervisorRef { branch: start(branch, caller).await? })
        }
    }
}

impl Seed for DynamicSupervisor {
    fn check(&self, id: &str) -> Result<(), StartError> {
        self.rules.check().map_err(|error| within(id, error))
    }

    fn plant(self: Box<Self>, id: &str, care: Care, _retained: bool) -> Result<Arc<dyn Child>, StartError> {
        Ok(Branch::new(id.into(), self.rules, care, self.listeners, Vec::new(), false))
    }
}

impl From<DynamicSupervisor> for ChildSpec {
    fn from(supervisor: DynamicSupervisor) -> Self {
        Self::new(Some(supervisor.id.clone()), supervisor.care, supervisor)
    }
}

/// A handle to a [`DynamicSupervisor`]. Cheap to clone; valid also after its own supervisor has restarted it.
///
/// Dropping all handles does not stop it, as in OTP; [`into_guard`](Self::into_guard) gives one whose drop does.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{DynamicSupervisor, ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let customers = DynamicSupervisor::builder().max_children(100).start().await?;
/// let anna = customers.start_child(ServerSpec::new(Quiet, 1)).await?;
/// let bert = customers.start_child(ServerSpec::new(Quiet, 2)).await?;
/// assert_eq!(customers.count().active, 2);
///
/// customers.terminate_child(anna.id()).await?;
/// let elsewhere = Supervisor::builder().start().await?;
/// customers.transfer(bert.id(), &elsewhere).await?;
/// assert!(customers.children().is_empty() && bert.is_alive() && !anna.is_alive());
/// customers.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DynamicSupervisorRef {
    pub(crate) branch: Arc<Branch>,
}

handle!(DynamicSupervisorRef);

impl DynamicSupervisorRef {
    /// Starts a child, and resolves once it serves.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the child is killed and forgotten.
    ///
    /// # Errors
    ///
    /// [`ChildError::MaxChildren`]; [`ChildError::Start`] if it does not start, [`Ignored`](StartError::Ignored) included: then it
    /// is not kept; [`ChildError::NoProc`] if the supervisor is over, or about to be.
    pub async fn start_child<S: GenServer>(&self, spec: ServerSpec<S>) -> Result<ServerRef<S>, ChildError> {
        let branch = &self.branch;
        let (id, care) = (spec.child_id(), spec.care());
        care.check(id.as_deref().unwrap_or("(no id)"), AutoShutdown::Never).map_err(ChildError::Start)?;
        let child = spec.plant(care.restart != RestartPolicy::Temporary).map_err(ChildError::Start)?;
        let id = id.unwrap_or_else(|| child.id.to_string());
        let mut entry = Entry::new(id.into(), child.clone(), care, false);
        (entry.stage, entry.busy) = (Stage::Seated, true);
        let mut entry = Some(entry);
        let seated = branch.look(|roster| {
            let on = roster.runtime().filter(|_| !roster.is_closing()).ok_or(ChildError::NoProc)?;
            if roster.children.len() >= branch.rules.max_children {
                return Err(ChildError::MaxChildren);
            }
            Ok(entry.take().map(|entry| (roster.children.insert(entry), on)))
        });
        // One that is refused is a user's, and goes outside the lock (K8).
        drop_quietly(entry);
        let Some((seat, on)) = seated? else { return Err(ChildError::NoProc) };
        let starting = Starting { branch, seat, child: &*child };
        child.lineage.set(Some(branch.seat(seat, false)));
        let begun = Logical::begin(&child, &on, 0);
        if branch.begun(seat) {
            Child::shut_down(&*child, Then::Nothing);
        }
        let served = match begun {
            Ok(()) => child.served().await,
            Err(error) => Err(error),
        };
        std::mem::forget(starting);
        match served {
            Ok(()) => {
                branch.look(|roster| roster.leave_to_manager(seat));
                branch.wake_manager();
                branch.ring();
                Ok(ServerRef::new(child))
            }
            Err(error) => {
                branch.forget(seat);
                Err(ChildError::Start(error))
            }
        }
    }

    /// Stops a child, and forgets it.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the child is stopped all the same.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`] if it has no such child (any more); [`ChildError::NoProc`] if the supervisor is over.
    pub async fn terminate_child(&self, id: ServerId) -> Result<(), ChildError> {
        let (seat, child, first) = self.branch.look(|roster| {
            if !roster.is_alive() {
                return Err(ChildError::NoProc);
            }
            let seat = roster.children.seat_of(id).ok_or(ChildError::NotFound)?;
            let entry = roster.children.get_mut(seat).ok_or(ChildError::NotFound)?;
            let first = !std::mem::replace(&mut entry.leaving, true);
            Ok((seat, entry.child.clone(), first))
        })?;
        // Nothing can be said to a child that is about to begin.
        let begun = |roster: &mut Roster| {
            let stage = roster.children.get(seat).map(|entry| &entry.stage);
            (!matches!(stage, Some(Stage::Seated))).then_some(())
        };
        self.branch.until(begun).await;
        child.shut_down(Then::Nothing);
        child.gone().await;
        // One that was down already has nothing to tell any more.
        self.branch.forget(seat);
        if first { Ok(()) } else { Err(ChildError::NotFound) }
    }

    /// Moves a running child under another supervisor, with everything that belongs to it: nothing of it is stopped or copied, and
    /// no message is lost. Either all of that is done, or nothing.
    ///
    /// It is done at once, also while the child's worker is busy or restarts; only while the child is started for the first time
    /// or waits to be restarted by its supervisor, that is waited for, for 5 s.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time: the child is here or there.
    ///
    /// # Errors
    ///
    /// See [`TransferError`].
    pub async fn transfer(&self, id: ServerId, to: &impl Adopt) -> Result<(), TransferError> {
        transfer::transfer(&self.branch, |roster| roster.children.seat_of(id), to.branch()).await
    }
}

/// A child whose `init` runs. If its starter goes before that is done, it is killed and forgotten.
struct Starting<'a> {
    branch: &'a Branch,
    seat: u64,
    child: &'a dyn Child,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let over = self.branch.look(|roster| {
            let Some(entry) = roster.children.get_mut(self.seat) else { return false };
            (entry.leaving, entry.busy) = (true, false);
            matches!(entry.stage, Stage::Ended(_) | Stage::Failed(_))
        });
        self.child.kill(Then::Nothing);
        if over {
            self.branch.forget(self.seat);
        }
    }
}
