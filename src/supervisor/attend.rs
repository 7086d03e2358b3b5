//! What a supervisor does while it waits for anything: it lets calls time out, starts the keeper again if that dies, and
//! forgets zombies that have come to an end.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

use tokio::{
    task::{JoinError, JoinHandle},
    time::Instant,
};

use super::Supervisor;
use crate::{
    contain::{Payload, log},
    gen_server::GenServer,
    keeper::Keeper,
    restart::Verdict,
};

impl<S: GenServer> Supervisor<S> {
    /// Waits for `event`, or until `until`; meanwhile lets calls time out, starts the keeper again if it dies, and forgets
    /// zombies that have come to an end.
    pub(super) fn attend<T>(
        &mut self,
        until: Option<Instant>,
        mut event: impl FnMut(&mut Self, &mut Task<'_>) -> Poll<T>,
    ) -> impl Future<Output = Option<T>> {
        poll_fn(move |task| {
            // Be reachable before looking: an order that is given from now on wakes this task again.
            self.logical.call_supervisor_with(task.waker());
            if let Poll::Ready(seen) = event(self, task) {
                return Poll::Ready(Some(seen));
            }
            self.look_after_keepers(task);
            if let Some(remains) = &mut self.remains {
                remains.zombies.retain(|zombie| !zombie.is_gone());
            }
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
    }

    /// Starts a keeper for each listener, unless that of the supervisor before is not done yet: then it goes on.
    pub(super) fn start_keepers(&mut self) {
        let (count, mut keepers) =
            self.logical.cell.look(|record| (record.feed.keepers(), mem::take(&mut record.lagging)));
        keepers.reserve_exact(count.saturating_sub(keepers.len()));
        keepers.resize_with(count, || None);
        for (ear, keeper) in keepers.iter_mut().enumerate() {
            keeper.get_or_insert_with(|| self.keeper(ear));
        }
        self.keepers = keepers;
        self.note_keepers();
    }

    /// Starts a keeper in the place of each of those that have died.
    pub(super) fn replace_keepers(&mut self, ears: Vec<usize>) {
        for ear in ears {
            self.keepers[ear] = Some(self.keeper(ear));
        }
        self.note_keepers();
    }

    pub(super) fn keeper(&self, ear: usize) -> JoinHandle<()> {
        tokio::spawn(Keeper::new(self.logical.clone(), ear).run())
    }

    /// For whoever wants to kill them.
    fn note_keepers(&self) {
        drop(self.logical.cell.look(|record| record.tasks.note_keepers(&self.keepers)));
    }

    fn look_after_keepers(&mut self, task: &mut Task<'_>) {
        let mut dead = Vec::new();
        for ear in 0..self.keepers.len() {
            let Some(keeper) = &mut self.keepers[ear] else { continue };
            let Poll::Ready(joined) = Pin::new(keeper).poll(task) else { continue };
            self.keepers[ear] = None;
            let panic =
                joined.err().filter(JoinError::is_panic).map(|error| Payload::new(error.into_panic()));
            if panic.is_some() && self.charge_panic() == Verdict::Exceeded {
                log!(error, undying.server = %self.logical.label(), "the keeper panics over and over");
                self.logical.kill();
                continue;
            }
            dead.push(ear);
        }
        if !dead.is_empty() {
            self.replace_keepers(dead);
            task.waker().wake_by_ref();
        }
    }

    /// Charges a panic of a keeper.
    fn charge_panic(&mut self) -> Verdict {
        let lived = self.logical.cell.look(|record| record.born.elapsed());
        self.remains().keeper_budget.charge(lived)
    }
}
