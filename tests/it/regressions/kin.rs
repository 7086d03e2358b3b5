//! Parents and children: what two of them do at the same moment, and what is left of it.

mod bombs;
mod cancelled;
mod leaks;
mod locks;
mod moves;
mod orders;
mod pauses;
mod runtimes;
mod storm;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, Waker},
    time::Duration,
};

use undying::{
    ChildInfo, DynamicSupervisor, DynamicSupervisorRef, ServerRef, ServerSpec, Supervisor, SupervisorRef,
};

use crate::crash::script::Script;

/// No test runs into the limit of restarts by accident.
const ENOUGH: (u32, Duration) = (100_000, Duration::from_secs(1));

/// A server that counts.
fn counter(id: &str) -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0).id(id)
}

/// A server that holds `token` as long as anything of it is left.
fn holder(id: &str, token: &Arc<()>) -> ServerSpec<Script<u64>> {
    let token = token.clone();
    let script = Script::new().on_terminate(move |_, _| {
        let _ = &token;
    });
    ServerSpec::new(script, 0).id(id)
}

fn family() -> Supervisor {
    Supervisor::builder().max_restarts(ENOUGH.0, ENOUGH.1)
}

fn crowd() -> DynamicSupervisor {
    DynamicSupervisor::builder().max_restarts(ENOUGH.0, ENOUGH.1)
}

async fn start(supervisor: Supervisor) -> SupervisorRef {
    supervisor.start().await.expect("it starts")
}

async fn start_crowd() -> DynamicSupervisorRef {
    crowd().start().await.expect("it starts")
}

fn child(supervisor: &SupervisorRef, id: &str) -> ServerRef<Script<u64>> {
    supervisor.server(id).expect("it is there")
}

fn ids(children: &[ChildInfo]) -> Vec<&str> {
    children.iter().map(|child| child.id.as_str()).collect()
}

/// Polls a future so many times and drops it. Tells whether it was done by then.
async fn poll_only<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    for _ in 0..times {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Task::from_waker(Waker::noop())) {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}
