//! What the handles of all supervisors have in common.

use std::{fmt, ops::Deref, sync::Arc};

use super::{
    branch::Branch,
    child::Child,
    children::Stage,
    roster::Roster,
    view::{ChildKind, Tree},
};
use crate::{
    error::StopError, exit::ExitReason, name::ServerId, plan::RestartPolicy, scope, server_ref::Status,
};

/// A child, as its supervisor sees it.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{ChildKind, RestartPolicy, ServerSpec, Status, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder().child(ServerSpec::new(Quiet, 0).id("till")).start().await?;
/// let till = &shop.children()[0];
/// assert_eq!((till.id.as_str(), till.kind, till.status), ("till", ChildKind::Server, Status::Running));
/// assert_eq!((till.restarts, till.restart, till.significant), (0, RestartPolicy::Transient, false));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildInfo {
    /// What it is called among its siblings.
    pub id: String,
    /// Its number.
    pub server: ServerId,
    /// A server, a supervisor or a task.
    pub kind: ChildKind,
    /// Where it is in its life. [`Restarting`](Status::Restarting) also while its supervisor is about to restart it or tries to;
    /// [`Terminated`](Status::Terminated) if it is down and stays so.
    pub status: Status,
    /// Whether it is a supervisor.
    pub is_supervisor: bool,
    /// How often this supervisor has restarted it. The restarts of a server's worker are its own affair.
    pub restarts: u64,
    /// Whether it is restarted when it ends.
    pub restart: RestartPolicy,
    /// Whether its end counts for the supervisor's [`AutoShutdown`](crate::AutoShutdown).
    pub significant: bool,
}

/// How many children a supervisor has. OTP's `count_children`.
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
/// shop.terminate_child("till").await?;
/// let count = shop.count();
/// assert_eq!((count.specs, count.active, count.supervisors, count.workers), (2, 1, 1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildCount {
    /// All of them, those that are down too.
    pub specs: usize,
    /// Those that run.
    pub active: usize,
    /// Those that are supervisors.
    pub supervisors: usize,
    /// Those that are servers or tasks.
    pub workers: usize,
}

impl Branch {
    pub(super) fn infos(&self) -> Vec<ChildInfo> {
        let entries: Vec<_> =
            self.look(|roster| roster.children.iter().map(|(_, entry)| entry.clone()).collect());
        let info = |entry: &super::children::Entry| ChildInfo {
            id: entry.id.to_string(),
            server: entry.child.server(),
            kind: entry.child.kind(),
            status: entry.status(),
            is_supervisor: entry.child.kind() == ChildKind::Supervisor,
            restarts: entry.restarts,
            restart: entry.care.restart,
            significant: entry.care.significant,
        };
        entries.iter().map(info).collect()
    }

    pub(super) fn count(&self) -> ChildCount {
        self.look(|roster| {
            let mut count = ChildCount { specs: roster.children.len(), ..ChildCount::default() };
            for (_, entry) in roster.children.iter() {
                count.active += usize::from(matches!(entry.stage, Stage::Up));
                match entry.child.kind() {
                    ChildKind::Supervisor => count.supervisors += 1,
                    ChildKind::Server | ChildKind::Task => count.workers += 1,
                }
            }
            count
        })
    }

    /// Asks it to end, and waits for that.
    pub(super) async fn stop_and_wait(&self) -> Result<ExitReason, StopError> {
        if scope::here().is_some_and(|server| self.is_above(server.lineage())) {
            return Err(StopError::CallingSelf);
        }
        let Some(end) = self.look(|roster| roster.is_alive().then_some(roster.lives)) else {
            return Err(StopError::NoProc);
        };
        self.end(ExitReason::Normal, None);
        Ok(self.end_of_life(end).await)
    }

    pub(super) async fn stopped(&self) -> ExitReason {
        let life =
            self.look(|roster| if roster.is_alive() { roster.lives } else { roster.lives.saturating_sub(1) });
        self.end_of_life(life).await
    }

    async fn end_of_life(&self, life: u64) -> ExitReason {
        let end = |roster: &mut Roster| roster.last_end.clone().filter(|_| roster.lives > life);
        self.until(end).await
    }

    pub(super) fn tree(&self) -> Tree {
        Tree::new(self.view())
    }
}

/// A handle of a supervisor whose drop shuts it down, and all that is below it, with the reason
/// [`Shutdown`](ExitReason::Shutdown); it does not wait for the end.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder().child(ServerSpec::new(Quiet, 0).id("till")).start().await?;
/// let guard = shop.clone().into_guard();
/// drop(guard); // stops the tree, and does not wait for it
/// shop.stopped().await;
///
/// let shop = Supervisor::builder().start().await?.into_guard().release();
/// assert!(shop.is_alive());
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it shuts the supervisor down"]
pub struct SupervisorGuard<R> {
    handle: R,
    branch: Option<Arc<Branch>>,
}

impl<R> SupervisorGuard<R> {
    pub(super) fn new(handle: R, branch: Arc<Branch>) -> Self {
        Self { handle, branch: Some(branch) }
    }

    /// Lets the supervisor live on.
    #[must_use = "to drop the guard itself shuts the supervisor down"]
    pub fn release(mut self) -> R
    where
        R: Clone,
    {
        self.branch = None;
        self.handle.clone()
    }
}

impl<R> Deref for SupervisorGuard<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.handle
    }
}

impl<R> Drop for SupervisorGuard<R> {
    fn drop(&mut self) {
        if let Some(branch) = &self.branch {
            branch.stop(ExitReason::Shutdown);
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for SupervisorGuard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SupervisorGuard").field(&self.handle).finish()
    }
}

/// Writes what all handles of supervisors can do.
macro_rules! handle {
    ($handle:ident) => {
        impl $handle {
            /// Its children, in the order in which they were started. Answers also while the supervisor is busy; after the end
            /// there are none.
            pub fn children(&self) -> Vec<ChildInfo> {
                self.branch.infos()
            }

            /// How many children it has.
            pub fn count(&self) -> ChildCount {
                self.branch.count()
            }

            /// A picture of it and of everything below it. Nothing is stopped for it.
            pub fn tree(&self) -> Tree {
                self.branch.tree()
            }

            /// All servers below it, at any depth, in the order of [`tree`](Self::tree).
            pub fn servers(&self) -> Vec<AnyServerRef> {
                let mut found = Vec::new();
                self.branch.clone().servers(&mut found);
                found
            }

            /// Ends it in good order: its children first, with the reason [`Shutdown`](ExitReason::Shutdown) and each in the
            /// time its own [`Shutdown`](crate::Shutdown) gives. Resolves with the reason it has ended with
            /// ([`Normal`](ExitReason::Normal), unless it was ending already) once everything is over.
            ///
            /// # Cancel safety
            ///
            /// Dropped before it is first polled, it does nothing. Dropped later, the stop stays requested.
            ///
            /// # Errors
            ///
            /// [`StopError::NoProc`] if it is over already; [`StopError::CallingSelf`] inside a callback of a server below it,
            /// which could only wait for itself.
            pub async fn stop(&self) -> Result<ExitReason, StopError> {
                self.branch.stop_and_wait().await
            }

            /// Ends it at once, and everything below it: no server terminates in good order.
            pub fn kill(&self) {
                self.branch.kill();
            }

            /// Waits for its end, and gives the reason.
            ///
            /// # Cancel safety
            ///
            /// Safe to drop at any time.
            pub async fn stopped(&self) -> ExitReason {
                self.branch.stopped().await
            }

            /// Whether it is not over.
            pub fn is_alive(&self) -> bool {
                self.branch.status() != Status::Terminated
            }

            /// Its number.
            pub fn id(&self) -> ServerId {
                self.branch.server()
            }

            /// A handle whose drop shuts it down.
            pub fn into_guard(self) -> SupervisorGuard<Self> {
                let branch = self.branch.clone();
                SupervisorGuard::new(self, branch)
            }
        }

        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("id", &self.branch.id)
                    .field("server", &self.id())
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(super) use handle;
