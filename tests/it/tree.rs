//! Trees: who starts, restarts and stops whom, in which order, and what becomes of those who hold a handle meanwhile.

mod auto_shutdown;
mod children;
mod drawings;
mod dynamic;
mod dynamic_ends;
mod dynamic_limits;
mod dynamic_restarts;
mod dynamic_starts;
mod escalation;
#[cfg(feature = "chaos")]
mod faults;
mod gap;
mod homes;
mod nested;
mod partition;
mod parts;
mod runtime_ends;
mod shutdown;
mod snapshot;
mod starting;
mod strategies;
mod tasks;
mod transfer;
mod transfer_ended;
mod transfer_ends;
mod transfer_kinds;
mod transfer_races;
mod transfer_refused;
mod transfer_waits;

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::yield_now;
use undying::{
    CallError, ChildInfo, Context, ExitReason, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec,
    StateMut, Status, Supervisor, SupervisorRef,
};

use crate::{
    crash::script::{Script, add, soon},
    support::{Gate, inject, until},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A child that does what its messages say.
pub(crate) type Kid = ServerRef<Script<u64>>;

/// What happened to the children of a test, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: &str) {
        self.0.lock().expect("no panic").push(line.into());
    }

    /// What was noted since it was last asked for.
    pub(crate) fn take(&self) -> Vec<String> {
        mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

/// Notes `+id` when `init` runs, and `-id` when `terminate` does, unless that is because of a crash.
pub(crate) fn noting(id: &str, log: &Log) -> Script<u64> {
    fragile(id, log, &Faults::default())
}

/// A child of that name that is [noting].
pub(crate) fn child(id: &str, log: &Log) -> ServerSpec<Script<u64>> {
    ServerSpec::new(noting(id, log), 0).id(id)
}

/// How many of the next starts fail. Clones are the same number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<AtomicUsize>);

impl Faults {
    pub(crate) fn set(&self, n: usize) {
        self.0.store(n, SeqCst);
    }

    /// Whether there are any left.
    pub(crate) fn left(&self) -> bool {
        self.0.load(SeqCst) > 0
    }

    /// Uses one up, if there is one left.
    pub(crate) fn strike(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
    }
}

/// [Noting], but as long as there are `faults`, `init` panics, noted as `!id`.
pub(crate) fn fragile(id: &str, log: &Log, faults: &Faults) -> Script<u64> {
    let (begun, ended, faults) = (log.clone(), log.clone(), faults.clone());
    let [up, down, fault] = ["+", "-", "!"].map(|sign| format!("{sign}{id}"));
    Script::new()
        .on_init(move |_| {
            if faults.strike() {
                begun.add(&fault);
                inject();
            }
            begun.add(&up);
            Ok(Next::Wait)
        })
        .on_terminate(move |reason, _| {
            if !reason.is_abnormal() {
                ended.add(&down);
            }
        })
}

/// A counter whose `init` waits at a gate.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) gate: Gate,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self { gate: Gate::new() }
    }

    pub(crate) fn spec(&self, id: &str) -> ServerSpec<Self> {
        ServerSpec::new(self.clone(), 0).id(id)
    }
}

impl GenServer for Door {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = u64;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.gate.pass().await;
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        reply: Reply<u64>,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(*state);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        by: u64,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *state = *state * 10 + by;
        Ok(Next::Wait)
    }
}

/// Starts a tree that nothing is wrong with.
pub(crate) async fn rise(tree: Supervisor) -> SupervisorRef {
    soon(tree.start()).await.expect("it starts")
}

/// The child of that id, which there must be.
pub(crate) fn kid(sup: &SupervisorRef, id: &str) -> Kid {
    sup.server(id).expect("a server of that id and type")
}

/// What `sup` says of its child of that id.
pub(crate) fn info(sup: &SupervisorRef, id: &str) -> Option<ChildInfo> {
    sup.children().into_iter().find(|child| child.id == id)
}

/// Where the child of that id is in its life; `None` if there is no such child.
pub(crate) fn status(sup: &SupervisorRef, id: &str) -> Option<Status> {
    info(sup, id).map(|child| child.status)
}

/// How often the child of that id was restarted by `sup`.
pub(crate) fn restarts(sup: &SupervisorRef, id: &str) -> u64 {
    info(sup, id).expect("a child of that id").restarts
}

/// The children, in the order in which they start.
pub(crate) fn ids(sup: &SupervisorRef) -> Vec<String> {
    sup.children().into_iter().map(|child| child.id).collect()
}

/// Waits until every child runs.
pub(crate) async fn settled(sup: &SupervisorRef) {
    until("every child runs", || sup.children().iter().all(|child| child.status == Status::Running)).await;
}

/// Kills `server` and waits until its parent has given it another life.
pub(crate) async fn dies<S: GenServer>(server: &ServerRef<S>) {
    let before = server.incarnation();
    server.kill();
    let serving = soon(server.wait_incarnation(before + 1)).await;
    assert!(serving.is_ok(), "its parent gave it up: {serving:?}");
}

/// Waits until life after life, perhaps with a supervisor above it in between, has brought `server` to incarnation `n`.
pub(crate) async fn lives<S: GenServer>(server: &ServerRef<S>, n: u64) {
    until("it lives again", || server.incarnation() >= n && server.status() == Status::Running).await;
}

/// Counts `server`, which is always restarted, up: as soon as a call does not meet a death.
pub(crate) async fn answers(server: &Kid) -> u64 {
    soon(async {
        loop {
            match server.call(add).await {
                Ok(count) => return count,
                Err(CallError::Stopped(_) | CallError::Crashed(_)) => yield_now().await,
                Err(other) => panic!("it is restarted, so this is no answer: {other}"),
            }
        }
    })
    .await
}

/// One word for a reason.
pub(crate) fn word(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "normal",
        ExitReason::Shutdown => "shutdown",
        ExitReason::ShutdownWith(_) => "shutdown with",
        ExitReason::Killed => "killed",
        ExitReason::Crashed(_) => "crashed",
        ExitReason::RestartLimit(_) => "limit",
        ExitReason::NoProc => "nobody",
        other => panic!("no other reason is known: {other}"),
    }
}
