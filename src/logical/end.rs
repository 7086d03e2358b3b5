//! The logical end.

use std::mem;

use tokio::task::JoinHandle;

use super::Logical;
use crate::{
    contain::{drop_quietly, wake_quietly},
    dead_letter::{Again, DeadLetterReason},
    error::CallError,
    exit::ExitReason,
    extras::{Extras, Own},
    feed::{Event, Nudge, Shared},
    gen_server::GenServer,
    monitor::Down,
    peer,
    preserve::Kept,
    record::{Phase, Record, fail_all},
    tree::News,
};

impl<S: GenServer> Logical<S> {
    /// K13: ends whatever incarnation is alive, takes in no message any more, answers everyone who waits, and frees the name,
    /// unless it [`comes_back`](Self::comes_back). Its own tasks, which are on their way out, come back.
    pub(crate) fn dismiss_everyone(&self, reason: &ExitReason, comes_back: bool) -> Vec<JoinHandle<()>> {
        let stopped = || CallError::Stopped(reason.clone());
        if let Some(left) = self.cell.fence(|record, _| record.leave(None)) {
            self.see_off(left, stopped());
        }
        let hook = self.hooks.dead_letters();
        let ended = || DeadLetterReason::Ended(reason.clone());
        // What comes in from now on is for the next life, if there will be one. That is said once for each life.
        let (inbox, line) = self.cell.look(|record| match comes_back {
            false => self.mailbox.end(reason.clone()),
            true if mem::replace(&mut record.life.turned_over, true) => Default::default(),
            true => self.mailbox.turn_over(reason.clone()),
        });
        line.settle();
        let preserved = comes_back && self.options.preserve_on_escalation;
        let (batch, deferred, continues, registration, own) = self.cell.look(|record| {
            let batch = mem::take(&mut record.batch);
            let own = record.extras.as_mut().map(|extras| extras.own());
            let continues = if preserved { Vec::new() } else { mem::take(&mut record.continues) };
            let registration = if comes_back { None } else { record.registration.take() };
            (batch, record.deferred.end(), continues, registration, own)
        });
        drop(registration);
        let (agains, tasks) = own.map(Own::end).unwrap_or_default();
        for Again { message, claim, .. } in agains {
            claim.into_iter().for_each(|claim| claim.fail(stopped()));
            message.bury(hook, ended);
        }
        fail_all(deferred, reason);
        let queued = [batch].into_iter().chain(inbox).flatten();
        queued.for_each(|envelope| envelope.bury(hook, stopped(), ended));
        continues.into_iter().for_each(drop_quietly);
        tasks
    }

    /// Tells the listeners of the end, if they were told of the start. Gives those that have no keeper to do so.
    pub(crate) fn announce_end(&self, reason: &ExitReason) -> Vec<usize> {
        let mut nudge = Nudge::none();
        let supervised = self.lineage.is_supervised();
        let unattended = self.cell.look(|record| {
            let kept = &record.kept;
            // At the end of the life that a server waits after, they have been told.
            let untold = record.life.served && !record.life.waiting;
            let last =
                untold.then_some(|| Event::Terminated { reason: reason.clone(), state: Shared::of(kept) });
            record.feed.end(&mut nudge, kept, last, supervised)
        });
        nudge.ring();
        unattended
    }

    /// Marks the server as over, and tells whoever waits for it, its parent first.
    pub(crate) fn over(&self, phase: Phase) {
        let over = || {
            let news = News::of(&phase);
            let left = self.cell.look(|record| {
                let reason = phase.reason();
                record.life.phase = phase;
                record.life.ends += 1;
                record.life.waiting = false;
                let watchers = record.feed.take_watchers();
                let left = (mem::take(&mut record.tasks), record.extras.take(), record.debug.take());
                (left, watchers, reason)
            });
            (left, news)
        };
        let ((tasks, extras, debug), watchers, reason) = self.report_with(over);
        let supervisor = self.supervisor.lock().take();
        drop((tasks, supervisor));
        drop_quietly(debug);
        watchers.map(Some).for_each(wake_quietly);
        self.ring();
        if let Some(reason) = reason {
            self.tell_peers(extras, reason);
        }
    }

    /// Tells those who are linked with it and those who monitor it.
    pub(super) fn tell_peers(&self, extras: Option<Box<Extras<S>>>, reason: ExitReason) {
        let Some(extras) = extras else { return };
        let Extras { watchers, ties, .. } = *extras;
        let down = Down { id: self.id, name: self.name.clone(), reason };
        watchers.into_values().for_each(|watcher| watcher(down.clone()));
        for peer in ties.into_values().filter_map(|(peer, _)| peer.upgrade()) {
            peer::ended(&*peer, self.id, down.clone());
            drop_quietly(peer);
        }
    }

    pub(crate) fn is_over(record: &Record<S>) -> bool {
        record.life.phase.reason().is_some()
    }

    /// The reason of the logical end and the final state, once it is over.
    pub(crate) fn end_of(record: &mut Record<S>) -> Option<(ExitReason, Kept<S>)> {
        let reason = record.life.phase.reason()?;
        Some((reason, record.kept.clone()))
    }

    /// The end of a life, given how many were before it.
    pub(crate) fn end_of_life(
        lives: u64,
    ) -> impl FnMut(&mut Record<S>) -> Option<(ExitReason, Kept<S>)> + use<S> {
        move |record| match &record.former {
            Some(former) if record.life.lives > lives => Some((**former).clone()),
            _ => Self::end_of(record),
        }
    }
}
