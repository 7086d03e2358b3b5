//! Faults on purpose, for the tests of services that are built on this crate (feature `chaos`).

use std::{fmt, time::Duration};

use crate::{
    feed::Nudge,
    gen_server::GenServer,
    logical::Logical,
    server_ref::ServerRef,
    tree::{DynamicSupervisorRef, SupervisorRef},
};

/// The faults that can be done to one server: see [`ServerRef::chaos`].
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

impl<S: GenServer> Chaos<'_, S> {
    /// As [`ServerRef::kill_worker`].
    pub fn kill_worker(&self) {
        self.logical.kill_worker("killed by chaos");
    }

    /// Aborts the keeper task. Another takes its place, and no event is lost.
    pub fn kill_keeper(&self) {
        let keeper = self.logical.cell.look(|record| record.tasks.keeper.clone());
        keeper.into_iter().for_each(|keeper| keeper.abort());
    }

    /// Aborts the supervisor task: the logical end, with the reason [`Killed`](crate::ExitReason::Killed).
    pub fn kill_supervisor(&self) {
        loop {
            let (supervisor, over) = self
                .logical
                .cell
                .look(|record| (record.tasks.supervisor.clone(), record.life.phase.reason().is_some()));
            match supervisor {
                Some(supervisor) => return supervisor.abort(),
                None if over => return,
                // Whoever has just spawned it is about to note it.
                None => std::thread::yield_now(),
            }
        }
    }

    /// Makes the keeper do nothing for so long.
    pub fn stall_keeper(&self, pause: Duration) {
        let mut nudge = Nudge::none();
        self.logical.cell.look(|record| record.feed.stall(&mut nudge, pause));
        nudge.ring();
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
