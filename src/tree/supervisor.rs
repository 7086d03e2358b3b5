//! Supervisors of children in an order, which stand and fall as a strategy has it.

use std::{collections::HashSet, fmt, panic::Location, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    branch::Branch,
    child::Child,
    child_spec::{ChildSpec, Seed, within},
    children::Care,
    dynamic::DynamicSupervisorRef,
    handle::{ChildCount, ChildInfo, SupervisorGuard, handle},
    partition::PartitionSupervisorRef,
    roster::{Event, Order, Roster},
    rules::Rules,
    transfer::{self, Adopt},
    view::Tree,
};
use crate::{
    any::AnyServerRef,
    any_listener::{AnyAudience, AnyListener},
    error::{ChildError, StartError, StopError, TransferError},
    exit::ExitReason,
    gen_server::GenServer,
    logical::Logical,
    name::ServerId,
    options::Shutdown,
    plan::{AutoShutdown, RestartPolicy, Strategy},
    record::Phase,
    restart::Backoff,
    server_ref::{ServerRef, Status},
};

/// The description of a supervisor with its children, to be [started](Self::start). The counterpart of OTP's `supervisor`.
///
/// It starts its children in the order in which they are given, each once the one before serves, and stops them in the reverse
/// order. A child that ends is restarted as its [`RestartPolicy`] has it, and with it those that the [`Strategy`] names. When
/// that happens more often than [`max_restarts`](Self::max_restarts) allows, it stops all of them and ends with
/// [`ExitReason::RestartLimit`]: an abnormal end, about which its own supervisor decides.
///
/// # Examples
///
/// ```
/// use undying::{ServerSpec, Strategy, Supervisor};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Stock;
/// # impl GenServer for Stock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// # #[derive(Clone)] struct Orders;
/// # impl GenServer for Orders { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let shop = Supervisor::builder()
///     .strategy(Strategy::RestForOne) // orders look into the stock: they are restarted with it
///     .child(ServerSpec::new(Stock, 0))
///     .child(ServerSpec::new(Orders, 0).max_restarts(3, std::time::Duration::from_secs(1)))
///     .start()
///     .await
///     .unwrap();
///
/// let stock = shop.server::<Stock>("Stock").unwrap();
/// let life = stock.incarnation();
/// stock.kill(); // not only its worker
/// stock.wait_incarnation(life + 1).await.unwrap(); // the same handle
/// assert_eq!(shop.count().active + shop.count().supervisors, 2);
/// shop.stop().await.unwrap();
/// # }
/// ```
#[must_use = "a supervisor runs only once it is started"]
pub struct Supervisor {
    id: String,
    rules: Rules,
    care: Care,
    listeners: AnyAudience,
    children: Vec<ChildSpec>,
    /// Its children are the partitions of something.
    partitioned: bool,
}

impl Supervisor {
    /// A supervisor without children: one for one, 3 restarts in 5 s, as in Elixir.
    pub fn builder() -> Self {
        Self {
            id: "supervisor".into(),
            rules: Rules {
                strategy: Some(Strategy::default()),
                auto_shutdown: AutoShutdown::default(),
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
            children: Vec::new(),
            partitioned: false,
        }
    }

    /// What it is called, among the children of its own supervisor too. Defaults to `supervisor`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Which children are restarted when one is. Defaults to [`Strategy::OneForOne`].
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.rules.strategy = Some(strategy);
        self
    }

    /// Restarts children `n` times within any span of `within`; the next end of one is its own end. A restart that fails counts,
    /// and so does each attempt after it. Defaults to 3 in 5 s. `u32::MAX` is no limit. A zero `within` is refused at
    /// [`start`](Self::start).
    pub fn max_restarts(mut self, n: u32, within: Duration) -> Self {
        (self.rules.max_restarts, self.rules.within) = (n, within);
        self
    }

    /// Pauses before each restart. Defaults to no pause.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = Some(backoff);
        self
    }

    /// Whether it ends when its significant children have. Defaults to [`AutoShutdown::Never`].
    pub fn auto_shutdown(mut self, auto: AutoShutdown) -> Self {
        self.rules.auto_shutdown = auto;
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
    /// of each, for as long as it is there, also when it is [transferred](SupervisorRef::transfer). Defaults to none.
    pub fn listener(mut self, listener: impl AnyListener) -> Self {
        self.listeners.add(listener);
        self
    }

    /// Adds a child, the last in the order.
    pub fn child(mut self, child: impl Into<ChildSpec>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Starts the supervisor on the current runtime, and with it its children, in order. Resolves once all of them serve. A child
    /// whose `init` asks to be [ignored](crate::Next::Ignore) stays down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it resolves, what is started is killed.
    ///
    /// # Errors
    ///
    /// [`StartError::Config`] before anything is started, with the id of the child if it is of one: two children of one id, a
    /// significant child that is permanent or whose supervisor has no auto-shutdown, an option that makes no sense, here or
    /// anywhere below. Otherwise the error of the first child that did not start: those before it are stopped again.
    ///
    /// # Panics
    ///
    /// If it is polled outside a Tokio runtime, or in one without timers (`enable_time`).
    #[track_caller]
    pub fn start(self) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send {
        let caller = Location::caller();
        async move {
            let id = self.id.clone();
            let care = self.care;
            Seed::check(&self, &id)?;
            let branch = start(self.plant(&id, care)?, caller).await?;
            Ok(SupervisorRef { branch })
        }
    }

    /// Its children are the partitions of something.
    pub(super) fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    fn plant(self, id: &str, care: Care) -> Result<Arc<Branch>, StartError> {
        let Self { id: _, rules, care: _, listeners, children, partitioned } = self;
        let founders = children.into_iter().map(|child| child.plant(true)).collect::<Result<_, _>>()?;
        Ok(Branch::new(id.into(), rules, care, listeners, founders, partitioned))
    }
}

/// Starts a supervisor that has no parent.
pub(super) async fn start(
    branch: Arc<Branch>,
    caller: &'static Location<'static>,
) -> Result<Arc<Branch>, StartError> {
    assert!(
        Handle::try_current().is_ok(),
        "the supervisor that {caller} starts needs a Tokio runtime to run on: await `start` inside one"
    );
    // A runtime without timers is refused here, by Tokio's own words.
    drop(tokio::time::sleep(Duration::ZERO));
    let abandoned = KillOnDrop(&branch);
    branch.clone().begin(&Handle::current(), 0)?;
    if !branch.started().await {
        let failed = |roster: &mut Roster| match &roster.phase {
            Phase::Failed(error) => Some(error.clone()),
            _ => None,
        };
        if let Some(error) = branch.look(failed) {
            return Err(error);
        }
    }
    std::mem::forget(abandoned);
    Ok(branch)
}

/// Kills a supervisor whose starter is gone before it served.
struct KillOnDrop<'a>(&'a Branch);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl Seed for Supervisor {
    fn check(&self, id: &str) -> Result<(), StartError> {
        self.rules.check().map_err(|error| within(id, error))?;
        if self.partitioned && self.children.is_empty() {
            return Err(StartError::Config(format!("`{id}` has no partitions")));
        }
        let mut ids = HashSet::new();
        for child in &self.children {
            child.check(self.rules.auto_shutdown)?;
            if let Some(twice) = child.named().filter(|id| !ids.insert(*id)) {
                return Err(StartError::Config(format!("two children of `{id}` have the id `{twice}`")));
            }
        }
        Ok(())
    }

    fn plant(self: Box<Self>, id: &str, care: Care, _retained: bool) -> Result<Arc<dyn Child>, StartError> {
        let branch: Arc<dyn Child> = (*self).plant(id, care)?;
        Ok(branch)
    }
}

impl From<Supervisor> for ChildSpec {
    fn from(supervisor: Supervisor) -> Self {
        Self::new(Some(supervisor.id.clone()), supervisor.care, supervisor)
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, rules, care, listeners: _, children, partitioned: _ } = self;
        f.debug_struct("Supervisor")
            .field("id", id)
            .field("rules", rules)
            .field("care", care)
            .field("children", children)
            .finish_non_exhaustive()
    }
}

/// A handle to a [`Supervisor`]. Cheap to clone; valid also after its own supervisor has restarted it.
///
/// Dropping all handles does not stop it, as in OTP; [`into_guard`](Self::into_guard) gives one whose drop does.
///
/// What is asked of it is done in the order in which it is asked, by a task of its own, which is busy while a child starts or
/// stops: a child whose `init` waits for its own supervisor waits for ever.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{DynamicSupervisor, ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder()
///     .child(ServerSpec::new(Quiet, 0).id("till"))
///     .child(DynamicSupervisor::builder().id("customers"))
///     .start()
///     .await?;
/// let till = shop.server::<Quiet>("till").expect("of the spec");
/// let customers = shop.dynamic_supervisor("customers").expect("of the spec");
/// customers.start_child(ServerSpec::new(Quiet, 1)).await?;
///
/// shop.start_child(ServerSpec::new(Quiet, 0).id("printer")).await?;
/// shop.terminate_child("printer").await?; // is not running, and not forgotten
/// shop.restart_child("printer").await?;
/// shop.terminate_child("printer").await?;
/// shop.delete_child("printer").await?;
///
/// assert_eq!((shop.children().len(), shop.servers().len(), shop.is_alive()), (2, 2, true));
/// assert!(till.is_alive());
/// println!("{}", shop.tree());
/// shop.stop().await?;
/// assert!(!till.is_alive());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SupervisorRef {
    pub(crate) branch: Arc<Branch>,
}

handle!(SupervisorRef);

impl SupervisorRef {
    /// The child of that id, if it is a server of type `S`. The handle stays valid when the server is restarted.
    pub fn server<S: GenServer>(&self, id: &str) -> Option<ServerRef<S>> {
        Self::typed(self.branch.child(id)?)
    }

    pub(super) fn typed<S: GenServer>(child: Arc<dyn Child>) -> Option<ServerRef<S>> {
        child.into_any().downcast::<Logical<S>>().ok().map(ServerRef::new)
    }

    /// The child of that id, if it is a supervisor with a strategy.
    pub fn supervisor(&self, id: &str) -> Option<Self> {
        let branch = self.below(id)?;
        branch.rules.strategy.is_some().then_some(Self { branch })
    }

    /// The child of that id, if it is a [`DynamicSupervisor`](crate::DynamicSupervisor).
    pub fn dynamic_supervisor(&self, id: &str) -> Option<DynamicSupervisorRef> {
        let branch = self.below(id)?;
        branch.rules.strategy.is_none().then_some(DynamicSupervisorRef { branch })
    }

    /// The child of that id, if it is a [`PartitionSupervisor`](crate::PartitionSupervisor) of servers of type `S`.
    pub fn partition_supervisor<S: GenServer>(&self, id: &str) -> Option<PartitionSupervisorRef<S>> {
        PartitionSupervisorRef::of(self.supervisor(id)?)
    }

    fn below(&self, id: &str) -> Option<Arc<Branch>> {
        self.branch.child(id)?.into_any().downcast::<Branch>().ok()
    }

    /// Starts another child, the last in the order. Resolves once it serves; a child that asks to be
    /// [ignored](crate::Next::Ignore) stays down. When the supervisor itself is restarted, children that came in this way are
    /// gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the child is started all the same.
    ///
    /// # Errors
    ///
    /// [`ChildError::AlreadyStarted`] or, if it is down, [`ChildError::AlreadyPresent`] if there is a child of that id;
    /// [`ChildError::Start`] if it does not start: then it is not kept; [`ChildError::NoProc`] if the supervisor is over, or about
    /// to be.
    pub async fn start_child(&self, child: impl Into<ChildSpec>) -> Result<(), ChildError> {
        let child = child.into();
        child.check(self.branch.rules.auto_shutdown).map_err(ChildError::Start)?;
        let entry = child.plant(false).map_err(ChildError::Start)?;
        self.order(|answer| Order::Start(Box::new(entry), answer)).await
    }

    /// Stops a child. It stays in the list, to be restarted or deleted; but a temporary one is forgotten. Of one that is down,
    /// nothing is done.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the child is stopped all the same.
    ///
    /// # Errors
    ///
    /// [`ChildError::NotFound`]; [`ChildError::NoProc`] if the supervisor is over, or about to be.
    pub async fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        self.order(|answer| Order::Terminate(id.into(), answer)).await
    }

    /// Starts a child again that is down. That is not charged to the restart budget.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the child is restarted all the same.
    ///
    /// # Errors
    ///
    /// [`ChildError::Running`] if it is not down; [`ChildError::NotFound`]; [`ChildError::Start`] if it does not start: then it
    /// stays down; [`ChildError::NoProc`] if the supervisor is over, or about to be.
    pub async fn restart_child(&self, id: &str) -> Result<(), ChildError> {
        self.order(|answer| Order::Restart(id.into(), answer)).await
    }

    /// Takes a child that is down off the list.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the child is deleted all the same.
    ///
    /// # Errors
    ///
    /// [`ChildError::Running`] if it is not down; [`ChildError::NotFound`]; [`ChildError::NoProc`] if the supervisor is over, or
    /// about to be.
    pub async fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        self.order(|answer| Order::Delete(id.into(), answer)).await
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), ChildError>>) -> Order,
    ) -> Result<(), ChildError> {
        let (answer, answered) = oneshot::channel();
        let order = Event::Order(order(answer));
        let refused = self.branch.look(|roster| {
            if roster.is_closing() {
                return Some(order);
            }
            roster.events.push_back(order);
            None
        });
        if refused.is_some() {
            return Err(ChildError::NoProc);
        }
        self.branch.wake_manager();
        answered.await.unwrap_or(Err(ChildError::NoProc))
    }

    /// Moves a running child under another supervisor, with everything that belongs to it: nothing of it is stopped or copied, and
    /// no message is lost. Either all of that is done, or nothing.
    ///
    /// It is done at once, also while the child's worker is busy or restarts; only while the supervisor itself starts, stops or
    /// restarts the child, it is waited for, for 5 s. Under its new supervisor the child comes last. When that is restarted, it
    /// is gone; when this one is, it is not there again.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time: the child is here or there.
    ///
    /// # Errors
    ///
    /// See [`TransferError`].
    pub async fn transfer(&self, id: &str, to: &impl Adopt) -> Result<(), TransferError> {
        transfer::transfer(&self.branch, |roster| roster.children.named(id), to.branch()).await
    }
}
