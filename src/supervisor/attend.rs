//! What a supervisor does while it waits for anything: it lets calls time out, starts the keeper again if that dies, and
//! forgets zombies that have come to an end.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

use tokio::time::Instant;

use super::Supervisor;
use crate::{contain::Payload, gen_server::GenServer, keeper::Keeper, restart::Verdict};

impl<S: GenServer> Supervisor<S> {
    /// Waits for `event`, or until `until`; meanwhile lets calls time out, starts the keeper again if it dies, and forgets
    /// zombies that have come to an end.
    pub(super) async fn attend<T>(
        &mut self,
        until: Option<Instant>,
        mut event: impl FnMut(&mut Self, &mut Task<'_>) -> Poll<T>,
    ) -> Option<T> {
        poll_fn(|task| {
            // Be reachable before looking: an order that is given from now on wakes this task again.
            self.logical.call_supervisor_with(task.waker());
            if let Poll::Ready(seen) = event(self, task) {
                return Poll::Ready(Some(seen));
            }
            self.look_after_keeper(task);
            self.zombies.retain(|zombie| !zombie.is_finished());
            loop {
                let deadline = self.logical.next_deadline();
                let Some(earliest) = [until, deadline].into_iter().flatten().min() else {
                    return Poll::Pending;
                };
                ready!(self.alarm.poll(earliest, task));
                let now = Instant::now();
                self.logical.expire_deadlines(now);
                if until.is_some_and(|until| until <= now) {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }

    /// Starts a keeper, unless that of the supervisor before is not done yet: then it goes on.
    pub(super) fn start_keeper(&mut self) {
        let lagging = self.logical.cell.look(|record| record.lagging.take());
        let keeper = lagging.unwrap_or_else(|| tokio::spawn(Keeper::new(self.logical.clone()).run()));
        let handle = keeper.abort_handle();
        self.logical.cell.look(|record| record.tasks.keeper.replace(handle));
        self.keeper = Some(keeper);
    }

    fn look_after_keeper(&mut self, task: &mut Task<'_>) {
        let Some(keeper) = &mut self.keeper else { return };
        let Poll::Ready(joined) = Pin::new(keeper).poll(task) else { return };
        self.keeper = None;
        let panicked = joined.err().and_then(|error| error.try_into_panic().ok()).map(Payload::new).is_some();
        if panicked && self.keeper_budget.charge(self.born.elapsed()) == Verdict::Exceeded {
            tracing::error!(server = %self.logical.label(), "the keeper panics over and over");
            self.logical.kill();
            return;
        }
        self.start_keeper();
        task.waker().wake_by_ref();
    }
}
