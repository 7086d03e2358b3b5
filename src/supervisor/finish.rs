//! How a supervisor ends, and with it the logical server.

use std::{
    mem,
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::task::JoinError;

use super::{Remains, Supervisor};
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
    pub(super) async fn conclude(&mut self) -> bool {
        if !self.comes_back() {
            self.finish().await;
            return false;
        }
        if self.turn_over() {
            self.see_off().await;
            self.pause();
        }
        let verdict =
            |this: &mut Self, _: &mut Task<'_>| this.logical.verdict().map_or(Poll::Pending, Poll::Ready);
        match self.attend(None, verdict).await {
            Some(Verdict::Again) | None => {
                self.end = None;
                true
            }
            Some(Verdict::Over(reason)) => {
                self.end = Some(Phase::Terminated(reason));
                self.finish().await;
                false
            }
        }
    }

    /// How this life ends.
    fn ending(&self) -> &Phase {
        self.end.as_ref().expect("it has come to its end")
    }

    /// Why it does, as others are told.
    fn told(&self) -> ExitReason {
        self.ending().reason().unwrap_or(ExitReason::Killed)
    }

    /// Why it does, as those are told whose requests are not handled any more.
    fn reason(&self) -> ExitReason {
        if let Phase::Terminated(reason) = self.ending() { reason.clone() } else { ExitReason::Shutdown }
    }

    fn news(&self) -> News {
        News::of(self.ending()).expect("it has ended")
    }

    /// Whether the parent may begin another life.
    fn comes_back(&self) -> bool {
        let ignored = matches!(self.ending(), Phase::Failed(StartError::Ignored));
        !ignored && self.logical.comes_back(&self.told())
    }

    /// Lets go of everyone in the expectation of another life. `false` if this one did not come to serve: then they wait on.
    fn turn_over(&mut self) -> bool {
        if self.logical.try_later(&self.news()) {
            return false;
        }
        let tasks = self.logical.dismiss_everyone(&self.reason(), true);
        self.wait_for(tasks);
        true
    }

    fn pause(&self) {
        self.logical.pause(&self.told(), self.news());
    }

    /// SH2: the worker is gone; now the callers, the name, the listeners, and then this task.
    async fn finish(&mut self) {
        self.is_last = true;
        let tasks = self.logical.dismiss_everyone(&self.reason(), false);
        self.wait_for(tasks);
        self.see_off().await;
        // Keepers that died before there was an end to tell.
        let dead = self.logical.announce_end(&self.reason());
        if !dead.is_empty() {
            self.replace_keepers(dead);
        }
        // Mostly a keeper is done as soon as it has had its turn, and no timer is needed to wait for it.
        if !self.are_keepers_done().await {
            let drain = later(DRAIN);
            self.attend(drain, Self::poll_keepers).await;
        }
        let phase = self.ending().clone();
        self.over(phase);
    }

    /// Waits for the server's own tasks to be gone.
    async fn see_off(&mut self) {
        if self.remains.as_ref().is_some_and(|remains| !remains.tasks.is_empty()) {
            let grace = later(self.logical.options.kill_grace);
            self.attend(grace, Self::poll_tasks).await;
        }
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
        let Some(Remains { tasks, .. }) = self.remains.as_deref_mut() else { return Poll::Ready(()) };
        while let Some(last) = tasks.last_mut() {
            let joined = ready!(Pin::new(last).poll(task));
            tasks.pop();
            let panicked = joined.err().filter(JoinError::is_panic);
            drop(panicked.map(|error| Payload::new(error.into_panic())));
        }
        Poll::Ready(())
    }

    /// Whether the keepers are done, once each task that is to run by now has had its turn.
    async fn are_keepers_done(&mut self) -> bool {
        let mut turns = 0;
        let done = |this: &mut Self, task: &mut Task<'_>| {
            if this.poll_keepers(task).is_ready() {
                return Poll::Ready(true);
            }
            turns += 1;
            if turns > 1 {
                return Poll::Ready(false);
            }
            task.waker().wake_by_ref();
            Poll::Pending
        };
        self.attend(None, done).await.unwrap_or(false)
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
        let phase = self.end.clone().filter(|_| self.is_last).unwrap_or_else(killed);
        self.over(phase);
    }
}
