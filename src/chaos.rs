//! Faults on purpose, for the tests of services that are built on this crate (feature `chaos`).

pub mod history;
mod monkey;

use std::{fmt, time::Duration};

use crate::{
    exit::Callback,
    feed::Nudge,
    gen_server::GenServer,
    logical::Logical,
    reply,
    request::{Request, Wish},
    server_ref::ServerRef,
    sync,
    tree::{DynamicSupervisorRef, SupervisorRef},
};

pub use self::monkey::{Monkey, MonkeyReport, Strike};

/// The faults that can be done to one server: see [`ServerRef::chaos`].
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{ExitReason, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// counter.cast(5).await?;
/// counter.chaos().kill_worker();
/// counter.chaos().kill_keeper();
/// assert_eq!(counter.call(|get| get).await?, 5); // nobody notices
/// counter.chaos().kill_supervisor();
/// assert!(matches!(counter.stopped().await.reason, ExitReason::Killed));
/// # Ok(())
/// # }
/// ```
#[must_use = "it does nothing by itself"]
pub struct Chaos<'a, S: GenServer> {
    logical: &'a Logical<S>,
}

impl<S: GenServer> ServerRef<S> {
    /// Faults on purpose.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
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
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let counter = ServerSpec::new(Counter, 0).start().await.unwrap();
    /// counter.cast(7).await.unwrap();
    /// assert_eq!(counter.call(|get| get).await.unwrap(), 7);
    /// counter.chaos().kill_keeper();
    /// counter.chaos().kill_worker();
    /// assert_eq!(counter.call(|get| get).await.unwrap(), 7);
    /// # }
    /// ```
    pub fn chaos(&self) -> Chaos<'_, S> {
        Chaos { logical: &self.logical }
    }
}

/// A fault on purpose, for [`Chaos::inflict`] and the like.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{Callback, ServerSpec, chaos::Fault};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// for fault in [Fault::KillWorker, Fault::KillKeeper, Fault::CrashNext(Callback::Cast)] {
///     counter.chaos().inflict(fault);
/// }
/// counter.cast(5).await?; // crashes
/// counter.cast(7).await?;
/// assert_eq!(counter.call(|get| get).await?, 7);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// [`Chaos::kill_worker`]
    KillWorker,
    /// [`Chaos::kill_keeper`]
    KillKeeper,
    /// [`Chaos::kill_supervisor`]
    KillSupervisor,
    /// [`Chaos::stall_keeper`]
    StallKeeper(Duration),
    /// [`Chaos::crash_next`]
    CrashNext(Callback),
    /// [`Chaos::block_worker`]
    BlockWorker(Duration),
}

impl<S: GenServer> Chaos<'_, S> {
    /// As [`ServerRef::kill_worker`].
    pub fn kill_worker(&self) {
        self.inflict(Fault::KillWorker);
    }

    /// Aborts the keeper, that is the task of each of its listeners. Others take their place, and no event is lost.
    pub fn kill_keeper(&self) {
        self.inflict(Fault::KillKeeper);
    }

    /// Aborts the supervisor task: the logical end, with the reason [`Killed`](crate::ExitReason::Killed).
    pub fn kill_supervisor(&self) {
        self.inflict(Fault::KillSupervisor);
    }

    /// Makes the keeper do nothing for so long: no listener is told anything meanwhile.
    pub fn stall_keeper(&self, pause: Duration) {
        self.inflict(Fault::StallKeeper(pause));
    }

    /// Makes the next run of that callback crash, as if it panicked with the message "crashed by chaos": when it has done its
    /// work, and before anything of it is kept or said. Once for each time this is called, in whatever incarnation or life of
    /// the server that is. Nothing runs under the name of [`Callback::Idle`]; [`Callback::System`] is a change by
    /// [`Sys`](crate::Sys).
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{CallError, Callback};
    /// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Counter;
    /// # impl GenServer for Counter {
    /// #     type State = u64; type Call = Reply<u64>; type Cast = Never; type Info = Never; type Continue = Never;
    /// #     async fn handle_call(&mut self, next: Reply<u64>, mut n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    /// #         *n += 1; next.send(*n); Ok(Next::Wait)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let counter = ServerSpec::new(Counter, 0).start().await.unwrap();
    /// counter.chaos().crash_next(Callback::Call);
    /// assert!(matches!(counter.call(|next| next).await, Err(CallError::Crashed(_))));
    /// assert_eq!(counter.call(|next| next).await.unwrap(), 1); // the first one was not applied
    /// # }
    /// ```
    pub fn crash_next(&self, callback: Callback) {
        self.inflict(Fault::CrashNext(callback));
    }

    /// Makes the worker block its thread for so long, as soon as it is between two callbacks: on a current-thread runtime
    /// nothing else runs meanwhile. A worker that is killed while it blocks is left behind as a zombie.
    pub fn block_worker(&self, pause: Duration) {
        self.inflict(Fault::BlockWorker(pause));
    }

    /// Does this fault.
    pub fn inflict(&self, fault: Fault) {
        self.logical.inflict(fault);
    }
}

impl<S: GenServer> Logical<S> {
    pub(crate) fn inflict(&self, fault: Fault) {
        match fault {
            Fault::KillWorker => self.kill_worker("killed by chaos"),
            Fault::KillKeeper => {
                let keepers = self.cell.look(|record| record.tasks.keepers());
                keepers.iter().for_each(|keeper| keeper.abort());
            }
            Fault::KillSupervisor => self.abort(),
            Fault::StallKeeper(pause) => {
                let mut nudge = Nudge::none();
                self.cell.look(|record| record.feed.stall(&mut nudge, pause));
                nudge.ring();
            }
            Fault::CrashNext(callback) => self.cell.look(|record| record.faults.crash_next(callback)),
            Fault::BlockWorker(pause) => self.block(pause),
        }
    }

    /// Aborts the supervisor task.
    fn abort(&self) {
        loop {
            let (supervisor, over) =
                self.cell.look(|record| (record.tasks.supervisor(), record.life.phase.reason().is_some()));
            match supervisor {
                Some(supervisor) => return supervisor.abort(),
                None if over => return,
                // Whoever has just spawned it is about to note it.
                None => sync::yield_now(),
            }
        }
    }

    fn block(&self, pause: Duration) {
        let (_, claim, _) = reply::open::<()>(self.id);
        let request = Request { wish: Wish::Block(pause), claim };
        let refused = self.cell.look(|record| match record.deferred.ended() {
            true => Some(request),
            false => {
                record.extras().requests.push_back(request);
                None
            }
        });
        drop(refused);
        self.mailbox.wake();
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillWorker => write!(f, "kill the worker"),
            Self::KillKeeper => write!(f, "kill the keeper"),
            Self::KillSupervisor => write!(f, "kill the supervisor"),
            Self::StallKeeper(pause) => write!(f, "stall the keeper for {pause:?}"),
            Self::CrashNext(callback) => write!(f, "crash the next {callback}"),
            Self::BlockWorker(pause) => write!(f, "block the worker for {pause:?}"),
        }
    }
}

impl<S: GenServer> fmt::Debug for Chaos<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos").field("server", &self.logical.id).finish()
    }
}

impl SupervisorRef {
    /// Aborts the task of this supervisor: its end, with the reason [`Killed`](crate::ExitReason::Killed), and that of everything
    /// below it.
    pub fn kill_supervisor(&self) {
        self.branch.abort();
    }
}

impl DynamicSupervisorRef {
    /// Aborts the task of this supervisor: its end, with the reason [`Killed`](crate::ExitReason::Killed), and that of everything
    /// below it.
    pub fn kill_supervisor(&self) {
        self.branch.abort();
    }
}
