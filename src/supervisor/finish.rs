//! How a supervisor ends, and with it the logical server.

use std::{
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::task::JoinError;

use super::{Finale, Supervisor};
use crate::{
    contain::Payload, deadlines::later, exit::ExitReason, gen_server::GenServer, keeper, record::Phase,
};

/// How long the end waits for listeners that are behind. They are told the rest all the same.
const DRAIN: Duration = Duration::from_secs(5);

impl<S: GenServer> Supervisor<S> {
    /// SH2: the worker is gone; now the callers, the name, the listeners, and then this task.
    pub(super) async fn finish(&mut self, finale: Finale) {
        let (phase, reason) = match finale {
            Ok(reason) => (Phase::Terminated(reason.clone()), reason),
            Err(error) => (Phase::Failed(error), ExitReason::Shutdown),
        };
        self.end = Some(phase.clone());
        let tasks = self.logical.dismiss_everyone(&reason);
        self.tasks.extend(tasks);
        let grace = later(self.logical.options.kill_grace);
        self.attend(grace, Self::poll_tasks).await;
        if !self.logical.announce_end(&reason) {
            // The last keeper died before there was an end to tell.
            self.start_keeper();
        }
        let drain = later(DRAIN);
        self.attend(drain, Self::poll_keeper).await;
        self.over = true;
        self.logical.over(phase);
    }

    fn poll_tasks(&mut self, task: &mut Task<'_>) -> Poll<()> {
        while let Some(last) = self.tasks.last_mut() {
            let joined = ready!(Pin::new(last).poll(task));
            self.tasks.pop();
            drop(joined.map_err(JoinError::try_into_panic).map_err(|panic| panic.map(Payload::new)));
        }
        Poll::Ready(())
    }

    fn poll_keeper(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let Some(keeper) = &mut self.keeper else { return Poll::Ready(()) };
        // A keeper that dies now has told the rest while it went.
        let _ = ready!(Pin::new(keeper).poll(task));
        self.keeper = None;
        Poll::Ready(())
    }
}

impl<S: GenServer> Drop for Supervisor<S> {
    /// K14: the death of this task is the logical end.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let logical = &self.logical;
        let reason = ExitReason::Killed;
        drop(logical.dismiss_everyone(&reason));
        if let Some(worker) = &self.worker {
            worker.abort();
        }
        if !logical.announce_end(&reason) {
            keeper::tell_the_rest(logical);
        }
        let killed = || {
            if logical.cell.look(|record| record.life.serving > 0) {
                return Phase::Terminated(reason);
            }
            Phase::Failed(self.never_served())
        };
        logical.over(self.end.clone().unwrap_or_else(killed));
    }
}
