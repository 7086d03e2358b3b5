//! The logical end.

use std::{collections::VecDeque, mem};

use tokio::task::JoinHandle;

use super::Logical;
use crate::{
    contain::drop_quietly,
    dead_letter::{Again, DeadLetterReason},
    error::{CallError, StartError},
    exit::ExitReason,
    extras::{Extras, Own},
    feed::{Event, Nudge},
    gen_server::GenServer,
    monitor::Down,
    peer,
    preserve::Kept,
    record::{Phase, Record, fail_all},
};

impl<S: GenServer> Logical<S> {
    /// K13: ends whatever incarnation is alive, takes in no message any more, answers everyone who waits, and frees the name.
    /// Its own tasks, which are on their way out, come back.
    pub(crate) fn dismiss_everyone(&self, reason: &ExitReason) -> Vec<JoinHandle<()>> {
        let stopped = || CallError::Stopped(reason.clone());
        if let Some(left) = self.cell.fence(|record, _| record.leave(None)) {
            self.see_off(left, stopped());
        }
        let hook = self.hooks.dead_letters.as_ref();
        let ended = || DeadLetterReason::Ended(reason.clone());
        let inbox = self.mailbox.end(reason.clone());
        let (batch, deferred, continues, registration, own) = self.cell.look(|record| {
            let batch = mem::take(&mut record.batch);
            let own = record.extras.as_mut().map(|extras| extras.own());
            (batch, record.deferred.end(), mem::take(&mut record.continues), record.registration.take(), own)
        });
        drop(registration);
        let (agains, tasks) = own.map(Own::end).unwrap_or_default();
        for Again { message, claim, .. } in agains {
            claim.into_iter().for_each(|claim| claim.fail(stopped()));
            message.bury(hook, ended);
        }
        fail_all(deferred, reason);
        let queued: Vec<VecDeque<_>> = [batch].into_iter().chain(inbox).collect();
        queued.into_iter().flatten().for_each(|envelope| envelope.bury(hook, stopped(), ended));
        continues.into_iter().for_each(drop_quietly);
        tasks
    }

    /// Tells the listeners of the end, if they were told of the start. `false` if there is no keeper to do so.
    pub(crate) fn announce_end(&self, reason: &ExitReason) -> bool {
        let mut nudge = Nudge::none();
        let attended = self.cell.look(|record| {
            let served = record.life.serving > 0;
            let kept = record.kept.clone();
            let last = served.then(|| Event::Terminated { reason: reason.clone(), kept });
            record.feed.end(&mut nudge, last)
        });
        nudge.ring();
        attended
    }

    /// Marks the server as over, and tells whoever waits for it.
    pub(crate) fn over(&self, phase: Phase) {
        let (tasks, extras, end, (debug, factory)) = self.cell.look(|record| {
            record.life.phase = phase;
            let users = (record.debug.take(), record.factory.take());
            (mem::take(&mut record.tasks), record.extras.take(), Self::end_of(record), users)
        });
        let supervisor = self.supervisor.lock().take();
        drop((tasks, supervisor));
        drop_quietly(debug);
        drop_quietly(factory);
        self.ring();
        if let (Some(extras), Some((reason, _))) = (extras, end) {
            let Extras { watchers, ties, .. } = *extras;
            let down = Down { id: self.id, name: self.name.clone(), reason };
            watchers.into_values().for_each(|watcher| watcher(down.clone()));
            for peer in ties.into_values().filter_map(|(peer, _)| peer.upgrade()) {
                peer::ended(&*peer, self.id, down.clone());
                drop_quietly(peer);
            }
        }
    }

    /// The reason of the logical end and the final state, once it is over.
    pub(crate) fn end_of(record: &mut Record<S>) -> Option<(ExitReason, Kept<S>)> {
        let reason = match &record.life.phase {
            Phase::Terminated(reason) => reason.clone(),
            Phase::Failed(StartError::Init(report)) => ExitReason::Crashed(report.clone()),
            Phase::Failed(_) => ExitReason::Shutdown,
            Phase::Starting | Phase::Running | Phase::Restarting => return None,
        };
        Some((reason, record.kept.clone()))
    }
}
