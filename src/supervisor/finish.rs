//! How a supervisor ends, and with it the logical server.

use std::{
    mem,
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::task::{JoinError, JoinHandle};

use super::{Finale, Supervisor};
use crate::{
    contain::{Payload, drop_quietly},
    deadlines::later,
    error::StartError,
    exit::ExitReason,
    gen_server::GenServer,
    keeper,
    logical::Verdict,
    record::Phase,
    tree::News,
};

/// How long the end waits for listeners that are behind. They are told the rest all the same.
const DRAIN: Duration = Duration::from_secs(5);

impl<S: GenServer> Supervisor<S> {
    /// The worker is gone, and with it this life. Tells whether there is another one to go on with.
    pub(super) async fn conclude(&mut self, finale: Finale) -> bool {
        let (phase, reason) = match finale {
            Ok(reason) => (Phase::Terminated(reason.clone()), reason),
            Err(error) => (Phase::Failed(error), ExitReason::Shutdown),
        };
        let told = phase.reason().unwrap_or(ExitReason::Killed);
        let ignored = matches!(phase, Phase::Failed(StartError::Ignored));
        if ignored || !self.logical.comes_back(&told) {
            self.finish(phase, reason).await;
            return false;
        }
        let news = News::of(&phase).expect("it has ended");
        if !self.logical.try_later(&news) {
            let tasks = self.logical.dismiss_everyone(&reason, true);
            self.see_off(tasks).await;
            self.logical.pause(&told, news);
        }
        let verdict =
            |this: &mut Self, _: &mut Task<'_>| this.logical.verdict().map_or(Poll::Pending, Poll::Ready);
        match self.attend(None, verdict).await {
            Some(Verdict::Again) | None => true,
            Some(Verdict::Over(reason)) => {
                self.finish(Phase::Terminated(reason.clone()), reason).await;
                false
            }
        }
    }

    /// SH2: the worker is gone; now the callers, the name, the listeners, and then this task.
    async fn finish(&mut self, phase: Phase, reason: ExitReason) {
        self.end = Some(phase.clone());
        let tasks = self.logical.dismiss_everyone(&reason, false);
        self.see_off(tasks).await;
        // Keepers that died before there was an end to tell.
        let dead = self.logical.announce_end(&reason);
        if !dead.is_empty() {
            self.replace_keepers(dead);
        }
        let drain = later(DRAIN);
        self.attend(drain, Self::poll_keepers).await;
        self.over(phase);
    }

    /// Waits for the server's own tasks to be gone.
    async fn see_off(&mut self, tasks: Vec<JoinHandle<()>>) {
        self.tasks.extend(tasks);
        let grace = later(self.logical.options.kill_grace);
        self.attend(grace, Self::poll_tasks).await;
    }

    /// The end of this task. What another life would need stays with the server.
    fn over(&mut self, phase: Phase) {
        self.over = true;
        let (factory, keepers) = (self.factory.take(), mem::take(&mut self.keepers));
        let unneeded = self.logical.cell.look(|record| {
            record.lagging = keepers;
            match &record.factory {
                Some(_) => factory,
                None => mem::replace(&mut record.factory, factory),
            }
        });
        drop_quietly(unneeded);
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

    fn poll_keepers(&mut self, task: &mut Task<'_>) -> Poll<()> {
        for ear in 0..self.keepers.len() {
            let Some(keeper) = &mut self.keepers[ear] else { continue };
            if Pin::new(keeper).poll(task).is_pending() {
                continue;
            }
            // One that dies now has told the rest while it went, unless that is being told on a thread that may block: then
            // another one waits for it.
            let away = self.logical.cell.look(|record| record.feed.is_away(ear));
            self.keepers[ear] = away.then(|| self.keeper(ear));
            if away {
                task.waker().wake_by_ref();
            }
        }
        if self.keepers.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
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
        drop(logical.dismiss_everyone(&reason, false));
        if let Some(worker) = &self.worker {
            worker.abort();
        }
        for ear in logical.announce_end(&reason) {
            keeper::tell_the_rest(logical, ear);
        }
        let killed = || {
            if logical.cell.look(|record| record.life.serving > 0) {
                return Phase::Terminated(reason);
            }
            Phase::Failed(self.never_served())
        };
        let phase = self.end.clone().unwrap_or_else(killed);
        self.over(phase);
    }
}
