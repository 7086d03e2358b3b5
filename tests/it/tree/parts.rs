//! What the tests of dynamic children, transfers and snapshots are made of: a server whose life is scripted from `init` to
//! `terminate`, and supervisors with little in them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use undying::{
    ChildInfo, Context, Crash, DynamicSupervisor, DynamicSupervisorRef, ExitReason, GenServer, Never, Next,
    Outcome, Reply, ServerId, ServerRef, ServerSpec, StateMut, Status, Supervisor, SupervisorRef,
};

use crate::{
    crash::script::{Script, soon},
    effects::Log,
    support::until,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A server that counts.
pub(super) type Counter = Script<u64>;

/// A counter that begins with 0.
pub(super) fn counter() -> ServerSpec<Counter> {
    ServerSpec::new(Script::new(), 0)
}

/// A counter that notes in `log` as what it is terminated, and why.
pub(super) fn mortal(name: &'static str, log: &Log<String>) -> ServerSpec<Counter> {
    let log = log.clone();
    ServerSpec::new(Script::new().on_terminate(move |why, _| log.note(format!("{name} {why}"))), 0)
}

/// A dynamic supervisor without children that never gives up.
pub(super) async fn nursery() -> DynamicSupervisorRef {
    started(DynamicSupervisor::builder().max_restarts(u32::MAX, SECOND)).await
}

pub(super) async fn started(spec: DynamicSupervisor) -> DynamicSupervisorRef {
    soon(spec.start()).await.expect("a dynamic supervisor starts")
}

/// A static supervisor of counters with these ids that never gives up.
pub(super) async fn family<const N: usize>(ids: [&str; N]) -> SupervisorRef {
    let empty = Supervisor::builder().max_restarts(u32::MAX, SECOND);
    let spec = ids.into_iter().fold(empty, |spec, id| spec.child(counter().id(id)));
    soon(spec.start()).await.expect("a supervisor starts")
}

/// A counter under `parent`.
pub(super) async fn child(parent: &DynamicSupervisorRef) -> ServerRef<Counter> {
    born(parent, counter()).await
}

/// A child of that description under `parent`.
pub(super) async fn born<S: GenServer>(parent: &DynamicSupervisorRef, spec: ServerSpec<S>) -> ServerRef<S> {
    soon(parent.start_child(spec)).await.expect("a child starts")
}

/// What is listed of `server`.
pub(super) fn entry(children: Vec<ChildInfo>, server: ServerId) -> Option<ChildInfo> {
    let mut entries = children.into_iter().filter(|child| child.server == server);
    let entry = entries.next();
    assert!(entries.next().is_none(), "it is listed twice");
    entry
}

/// What is listed of `server` has that status.
pub(super) fn is(parent: &DynamicSupervisorRef, server: ServerId, status: Status) -> bool {
    entry(parent.children(), server).is_some_and(|child| child.status == status)
}

/// The numbers of what is listed, in no order.
pub(super) fn servers(children: &[ChildInfo]) -> Vec<ServerId> {
    let mut servers: Vec<_> = children.iter().map(|child| child.server).collect();
    servers.sort_unstable();
    servers
}

/// Kills `server`, which its parent restarts, and waits for its next life.
pub(super) async fn reborn<S: GenServer>(server: &ServerRef<S>) {
    let next = server.incarnation() + 1;
    server.kill();
    let serving = soon(server.wait_incarnation(next)).await.expect("another life");
    assert_eq!(serving, next);
    until("it serves", || server.status() == Status::Running).await;
}

type Birth = dyn Fn(u64) -> BoxFuture<'static, Outcome<Life>> + Send + Sync;
type Death = dyn Fn(ExitReason) -> BoxFuture<'static, ()> + Send + Sync;

/// A server whose `init` and `terminate` take their time. `init` is told how often it has run, from 1; the state is that
/// number. Its calls answer with the state, its casts crash it with their text.
#[derive(Clone)]
pub(super) struct Life {
    births: Arc<AtomicU64>,
    birth: Option<Arc<Birth>>,
    death: Option<Arc<Death>>,
}

impl Life {
    pub(super) fn new() -> Self {
        Self { births: Arc::default(), birth: None, death: None }
    }

    pub(super) fn born<F>(mut self, birth: impl Fn(u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome<Self>> + Send + 'static,
    {
        self.birth = Some(Arc::new(move |nth| Box::pin(birth(nth))));
        self
    }

    pub(super) fn dies<F>(mut self, death: impl Fn(ExitReason) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.death = Some(Arc::new(move |reason| Box::pin(death(reason))));
        self
    }

    /// A spec of it. Its worker is not restarted: a crash is left to the parent.
    pub(super) fn spec(self) -> ServerSpec<Self> {
        ServerSpec::new(self, 0).max_restarts(0, SECOND)
    }

    /// How often `init` has run.
    pub(super) fn births(&self) -> u64 {
        self.births.load(SeqCst)
    }
}

impl GenServer for Life {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = &'static str;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, mut state: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        let nth = self.births.fetch_add(1, SeqCst) + 1;
        *state = nth;
        match &self.birth {
            Some(birth) => birth(nth).await,
            None => Ok(Next::Wait),
        }
    }

    async fn handle_call(
        &mut self,
        call: Reply<u64>,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        call.send(*state);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        text: &'static str,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Err(Crash::msg(text))
    }

    async fn terminate(&mut self, reason: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        if let Some(death) = &self.death {
            death(reason.clone()).await;
        }
    }
}

/// The first `init` goes well, the later ones fail.
pub(super) async fn only_once(nth: u64) -> Outcome<Life> {
    if nth == 1 { Ok(Next::Wait) } else { Err(Crash::msg("test: not again")) }
}
