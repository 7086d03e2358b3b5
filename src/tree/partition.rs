//! Supervisors of servers that are all alike, among which keys are divided.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    child::Child,
    child_spec::ChildSpec,
    supervisor::{Supervisor, SupervisorRef},
};
use crate::{
    any::AnyServerRef,
    any_listener::AnyListener,
    error::{ChildError, StartError, StopError},
    exit::ExitReason,
    gen_server::GenServer,
    options::Shutdown,
    plan::RestartPolicy,
    server_ref::ServerRef,
    spec::ServerSpec,
};

/// The description of a number of servers that are all alike, among which the work is divided by key: the same key always meets
/// the same server. The counterpart of Elixir's `PartitionSupervisor`.
///
/// The partitions stand one for one under a [`Supervisor`]; their ids are their numbers, from 0.
///
/// # Examples
///
/// ```
/// use undying::{PartitionSupervisor, ServerSpec};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Sessions;
/// # impl GenServer for Sessions { type State = usize; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sessions = PartitionSupervisor::new(8, |index| ServerSpec::new(Sessions, index)).start().await.unwrap();
/// assert_eq!(sessions.route("ada").id(), sessions.route("ada").id());
/// # }
/// ```
#[must_use = "a supervisor runs only once it is started"]
pub struct PartitionSupervisor<S: GenServer> {
    partitions: usize,
    spec: Box<dyn Fn(usize) -> ServerSpec<S> + Send + Sync>,
    supervisor: Supervisor,
}

impl<S: GenServer> PartitionSupervisor<S> {
    /// So many partitions, each as `spec` describes it, which is given its number. None at all is refused at
    /// [`start`](Self::start).
    pub fn new(partitions: usize, spec: impl Fn(usize) -> ServerSpec<S> + Send + Sync + 'static) -> Self {
        let supervisor = Supervisor::builder().id("partition_supervisor");
        Self { partitions, spec: Box::new(spec), supervisor }
    }

    /// What it is called, among the children of its own supervisor too. Defaults to `partition_supervisor`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.supervisor = self.supervisor.id(id);
        self
    }

    /// As [`Supervisor::max_restarts`]. Defaults to 3 in 5 s, for all partitions together.
    pub fn max_restarts(mut self, n: u32, within: Duration) -> Self {
        self.supervisor = self.supervisor.max_restarts(n, within);
        self
    }

    /// Whether its own supervisor restarts it when it ends. Defaults to [`RestartPolicy::Transient`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.supervisor = self.supervisor.restart(policy);
        self
    }

    /// As [`Supervisor::listener`]. Defaults to none.
    pub fn listener(mut self, listener: impl AnyListener) -> Self {
        self.supervisor = self.supervisor.listener(listener);
        self
    }

    /// How its own supervisor ends it. Defaults to [`Shutdown::Infinity`].
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.supervisor = self.supervisor.shutdown(shutdown);
        self
    }
}

impl<S: GenServer> PartitionSupervisor<S> {
    /// Starts the partitions on the current runtime, one after the other, and resolves once all of them serve.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it resolves, what is started is killed.
    ///
    /// # Errors
    ///
    /// As for [`Supervisor::start`]; [`StartError::Config`] if there are to be no partitions.
    ///
    /// # Panics
    ///
    /// If it is polled outside a Tokio runtime, or in one without timers (`enable_time`).
    #[track_caller]
    pub fn start(self) -> impl Future<Output = Result<PartitionSupervisorRef<S>, StartError>> + Send {
        let started = self.into_supervisor().start();
        async move { Ok(PartitionSupervisorRef::of(started.await?).expect("its children are of that type")) }
    }

    fn into_supervisor(self) -> Supervisor {
        let Self { partitions, spec, supervisor } = self;
        let mut supervisor = supervisor.partitioned();
        for index in 0..partitions {
            supervisor = supervisor.child(spec(index).id(index.to_string()));
        }
        supervisor
    }
}

impl<S: GenServer> From<PartitionSupervisor<S>> for ChildSpec {
    fn from(partitions: PartitionSupervisor<S>) -> Self {
        partitions.into_supervisor().into()
    }
}

impl<S: GenServer> fmt::Debug for PartitionSupervisor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionSupervisor").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

/// How many partitions there are, and how many of them are in use.
pub(crate) struct Partitions {
    /// In order, wherever they are by now.
    all: Vec<Arc<dyn Child>>,
    in_use: AtomicUsize,
    /// One resize at a time.
    resizing: Mutex<()>,
}

impl Partitions {
    pub(super) fn new(all: Vec<Arc<dyn Child>>) -> Self {
        Self { in_use: AtomicUsize::new(all.len()), all, resizing: Mutex::new(()) }
    }

    /// Another life begins with all of them.
    pub(super) fn renew(&self) {
        self.in_use.store(self.all.len(), Ordering::Release);
    }
}

/// A handle to a [`PartitionSupervisor`]. Cheap to clone; valid also after its own supervisor has restarted it.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{PartitionSupervisor, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let halls = PartitionSupervisor::new(2, |n| ServerSpec::new(Quiet, n as u32)).start().await?;
/// let hall = halls.route("anna"); // always the same for the same key
/// assert_eq!(halls.route("anna").id(), hall.id());
/// assert_eq!((*halls.partition(1).unwrap().peek(), halls.servers().len()), (1, 2));
///
/// halls.resize(1).await?; // and up to 2 again
/// assert_eq!(halls.partitions(), 1);
/// assert!(halls.partition(1).is_none());
/// assert_eq!(halls.route("anna").id(), halls.route("bert").id());
/// halls.stop().await?;
/// # Ok(())
/// # }
/// ```
pub struct PartitionSupervisorRef<S: GenServer> {
    supervisor: SupervisorRef,
    partitions: Arc<Partitions>,
    servers: Arc<[ServerRef<S>]>,
}

impl<S: GenServer> PartitionSupervisorRef<S> {
    /// `None` if it is no supervisor of partitions of that type.
    pub(super) fn of(supervisor: SupervisorRef) -> Option<Self> {
        let partitions = supervisor.branch.partitions.clone()?;
        let servers: Option<Arc<[_]>> = partitions.all.iter().cloned().map(SupervisorRef::typed).collect();
        Some(Self { supervisor, partitions, servers: servers? })
    }

    /// The partition of that key: the same for every equal key, as long as the number of partitions stays the same.
    ///
    /// With no partitions in use it is the first one, which is down, so that calls to it say
    /// [`NoProc`](crate::CallError::NoProc).
    pub fn route<K: Hash + ?Sized>(&self, key: &K) -> ServerRef<S> {
        // Its keys are constants: the same within a process and from one to the next of the same build.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let in_use = self.partitions().max(1) as u64;
        // Below a `usize`, since it is below one.
        let index = (hasher.finish() % in_use) as usize;
        self.servers[index].clone()
    }

    /// The partition of that number, from 0, if it is in use.
    pub fn partition(&self, index: usize) -> Option<ServerRef<S>> {
        self.servers[..self.partitions()].get(index).cloned()
    }

    /// All partitions that are there, whatever is done with their type.
    pub fn servers(&self) -> Vec<AnyServerRef> {
        self.supervisor.servers()
    }

    /// How many partitions are in use.
    pub fn partitions(&self) -> usize {
        self.partitions.in_use.load(Ordering::Acquire)
    }

    /// Uses `n` partitions, of those that there were at the start: the last ones are stopped, or started again. Keys are divided
    /// anew. The counterpart of `PartitionSupervisor.resize!`.
    ///
    /// # Cancel safety
    ///
    /// Dropped half-way, some of the partitions are stopped or started; a later `resize` does the rest.
    ///
    /// # Errors
    ///
    /// [`ChildError::MaxChildren`] if there were not so many at the start; [`ChildError::Start`] if one does not start again:
    /// those before it are in use; [`ChildError::NoProc`] if the supervisor is over, or about to be.
    pub async fn resize(&self, n: usize) -> Result<(), ChildError> {
        let Partitions { all, in_use, resizing } = &*self.partitions;
        if n > all.len() {
            return Err(ChildError::MaxChildren);
        }
        let _turn = resizing.lock().await;
        // From here on nobody is routed to those that are to be stopped.
        in_use.fetch_min(n, Ordering::AcqRel);
        for index in (n..all.len()).rev() {
            self.supervisor.terminate_child(&index.to_string()).await?;
        }
        for index in self.partitions()..n {
            match self.supervisor.restart_child(&index.to_string()).await {
                Ok(()) | Err(ChildError::Running) => in_use.store(index + 1, Ordering::Release),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The supervisor of the partitions.
    pub fn supervisor(&self) -> &SupervisorRef {
        &self.supervisor
    }

    /// Ends it: see [`SupervisorRef::stop`].
    ///
    /// # Cancel safety
    ///
    /// As for [`SupervisorRef::stop`].
    ///
    /// # Errors
    ///
    /// As for [`SupervisorRef::stop`].
    pub async fn stop(&self) -> Result<ExitReason, StopError> {
        self.supervisor.stop().await
    }

    /// Waits for its end, and gives the reason.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    pub async fn stopped(&self) -> ExitReason {
        self.supervisor.stopped().await
    }
}

impl<S: GenServer> Clone for PartitionSupervisorRef<S> {
    fn clone(&self) -> Self {
        let Self { supervisor, partitions, servers } = self;
        Self { supervisor: supervisor.clone(), partitions: partitions.clone(), servers: servers.clone() }
    }
}

impl<S: GenServer> fmt::Debug for PartitionSupervisorRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionSupervisorRef")
            .field("supervisor", &self.supervisor)
            .field("partitions", &self.partitions())
            .finish_non_exhaustive()
    }
}
