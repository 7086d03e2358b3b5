//! What is measured: anything that counts.

use std::time::Duration;

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// A counter that answers calls and takes casts. All of them have the same messages.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    fn start() -> impl Future<Output = Self> + Send;

    /// A call: adds, and gives the sum.
    fn add(&self, by: u64) -> impl Future<Output = u64> + Send;

    /// A cast: adds.
    fn cast(&self, by: u64) -> impl Future<Output = ()> + Send;

    fn stop(self) -> impl Future<Output = ()> + Send;

    /// Runs a workload as a task of the runtime, as a client in a service would be one.
    fn host(runtime: &Runtime, workload: impl Future<Output = Duration> + Send + 'static) -> Duration {
        runtime.block_on(async { tokio::spawn(workload).await.expect("the workload ends") })
    }

    fn spawn(clients: &mut JoinSet<()>, client: impl Future<Output = ()> + Send + 'static) {
        clients.spawn(client);
    }
}

/// One that serves on after a panic.
pub(crate) trait Undying: Subject {
    /// Asks for a panic, and returns once it is known that the request will have no answer.
    fn crash(&self) -> impl Future<Output = ()> + Send;
}

/// The runtimes that are measured.
#[derive(Clone, Copy)]
pub(crate) enum Flavour {
    CurrentThread,
    /// Two workers.
    MultiThread,
}

impl Flavour {
    pub(crate) const BOTH: [Self; 2] = [Self::CurrentThread, Self::MultiThread];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "CT",
            Self::MultiThread => "MT",
        }
    }

    pub(crate) fn runtime(self) -> Runtime {
        match self {
            Self::CurrentThread => Builder::new_current_thread().enable_all().build(),
            Self::MultiThread => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        }
        .expect("a runtime")
    }
}
