//! The lives of a logical server: a parent may start it again after its end, as the same server, with the same handles.
//!
//! A server that its parent is going to start again is not over. Its supervisor task waits for the parent's word, and
//! meanwhile messages are taken in for the next life. One that was over is given a new supervisor task.

use std::{mem, sync::Arc};

use tokio::{runtime::Handle, time::Instant};

use super::Logical;
use crate::{
    contain::{drop_each, drop_quietly, warn_where_panics_abort},
    error::{CallError, StartError},
    exit::ExitReason,
    feed::{Event, Nudge, Shared},
    gen_server::{GenServer, Restart},
    job::Opening,
    preserve::{Kept, SharedSnapshot},
    record::{Deferred, Fallback, Phase, Record, Then},
    supervisor::Supervisor,
    tasks::Tasks,
    tree::News,
};

/// What a server that waits between two lives is told.
pub(crate) enum Verdict {
    /// Another life has begun.
    Again,
    /// There will be none.
    Over(ExitReason),
}

impl<S: GenServer> Logical<S> {
    /// Whether a server that ends with this reason waits for its parent to start it again. What has never served does not.
    pub(crate) fn comes_back(&self, reason: &ExitReason) -> bool {
        let (served, then) = self.cell.look(|record| (record.life.serving > 0, record.life.then));
        served
            && match then {
                Some(Then::Another) => self.lineage.is_supervised(),
                Some(Then::Nothing) => false,
                None => self.options.restart.restarts(reason) && self.lineage.is_looked_after(),
            }
    }

    /// A life that did not come to serve is none: nobody is told of it but the parent, and whoever waits for the next one goes on
    /// waiting. `false` if somebody has ended it.
    pub(crate) fn try_later(&self, news: &News) -> bool {
        let later = || {
            self.cell.end(|record, ended| {
                if record.life.served || self.is_to_end(record) {
                    return (None, None);
                }
                record.life.phase = Phase::Restarting;
                record.life.waiting = true;
                (Some(ended.map(|_| record.leave(None))), Some(news.clone()))
            })
        };
        let Some(left) = self.report_with(later) else { return false };
        if let Some(left) = left {
            self.see_off(left, CallError::Stopped(ExitReason::Killed));
        }
        self.ring();
        true
    }

    /// Tells everyone of the end of a life that is to be followed by another, the parent first.
    pub(crate) fn pause(&self, reason: &ExitReason, news: News) {
        let mut nudge = Nudge::none();
        let pause = |record: &mut Record<S>| {
            let end = (reason.clone(), record.kept.clone());
            if record.life.served {
                let kept = &record.kept;
                let last = || Event::Terminated { reason: reason.clone(), state: Shared::of(kept) };
                record.feed.conclude(&mut nudge, kept, Some(last));
            }
            let life = &mut record.life;
            life.phase = Phase::Restarting;
            (life.kill, life.kill_at, life.last_call) = (false, None, None);
            (life.waiting, life.lives) = (true, life.lives + 1);
            life.then = life.then.filter(|then| *then == Then::Nothing);
            record.deferred = Deferred::default();
            (record.extras.take(), record.former.replace(Box::new(end)))
        };
        let (extras, former) = self.report_with(|| (self.cell.look(pause), Some(news)));
        nudge.ring();
        self.ring();
        self.tell_peers(extras, reason.clone());
        drop_quietly(former);
    }

    /// What became of a server that waits between two lives, if that is known.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let said = self.cell.look(|record| {
            let reason = || record.former.as_ref().map_or(ExitReason::Shutdown, |former| former.0.clone());
            match record.life.then {
                _ if !record.life.waiting => Some(Verdict::Again),
                Some(Then::Nothing) => Some(Verdict::Over(reason())),
                Some(Then::Another) | None => None,
            }
        });
        said.or_else(|| self.mailbox.closing().map(Verdict::Over))
    }

    /// Begins a life: the first one, or another one of a server that is over or waits for it, unless it was over once more since
    /// `ends`. `init` has not run yet when this returns.
    pub(crate) fn begin(self: &Arc<Self>, on: &Handle, ends: u64) -> Result<(), StartError> {
        let (first, gone, overtaken) = self.cell.look(|record| {
            let first = !record.life.begun;
            (first, first || record.life.phase.reason().is_some(), record.life.ends != ends)
        });
        if overtaken {
            // Somebody has ended it for good while its parent was about to begin another life because of an end before.
            return Ok(());
        }
        let registration = match (gone, &self.registry, &self.name) {
            (true, Some(registry), Some(name)) => Some(registry.reserve(name, self.id)?),
            _ => None,
        };
        if let Some(registration) = &registration {
            registration.points_to(self);
        }
        if first {
            warn_where_panics_abort();
            // From here on nothing can keep its life from beginning: so they are gathered once.
            self.gather_listeners();
        }
        if gone && !first {
            // Before the first life it is open, unless somebody has ended the server already, as its owner does: that is heard.
            self.mailbox.reopen();
        }
        let stale = self.cell.look_at(|record, epoch| {
            record.life.begun = true;
            // Whoever has ended it while it waits is heard.
            let again = gone || record.life.waiting && !self.is_to_end(record);
            (again && !first).then(|| self.renew(record, epoch))
        });
        if gone {
            self.cell.look(|record| record.registration = registration);
            let mut supervisor = Supervisor::new(self.clone());
            let supervisor = on.spawn(async move { supervisor.run().await });
            self.cell.look(|record| record.tasks.note_supervisor(&supervisor));
        } else {
            self.wake_supervisor();
        }
        stale.into_iter().for_each(Stale::forget);
        Ok(())
    }

    /// Whether somebody has ended a server that waits for another life.
    pub(super) fn is_to_end(&self, record: &Record<S>) -> bool {
        let life = &record.life;
        life.kill || life.then == Some(Then::Nothing) || self.mailbox.closing().is_some()
    }

    /// Waits until the life that was begun serves.
    pub(crate) async fn served(&self) -> Result<(), StartError> {
        let served = self.until(|record| match &record.life.phase {
            Phase::Starting => None,
            Phase::Failed(error) => Some(Err(error.clone())),
            Phase::Running | Phase::Restarting | Phase::Terminated(_) => Some(Ok(())),
        });
        served.await
    }

    /// Makes the record that of a life to come. What it does not keep comes back.
    fn renew(&self, record: &mut Record<S>, epoch: u64) -> Stale<S> {
        let (mut former, mut nudge) = (None, Nudge::none());
        if let Some(end) = Self::end_of(record) {
            former = record.former.replace(Box::new(end));
            record.life.lives += 1;
            record.feed.reopen();
            record.tasks = Tasks::default();
        }
        let last = record.former.as_ref().map_or(ExitReason::Shutdown, |former| former.0.clone());
        record.budget = None;
        record.born = Instant::now();
        record.deferred = Deferred::default();
        record.stopping = None;
        let initial = record.initial.as_ref().and_then(|initial| initial.snapshot.as_deref().cloned());
        let preserved = self.options.preserve_on_escalation && record.life.serving > 0;
        let Some(mut initial) = initial.filter(|_| !preserved) else {
            record.life.renew(epoch, Phase::Restarting);
            record.opening = Some(Opening::Restarted(Restart { reason: last, incarnation: epoch }));
            return Stale { former, snapshots: Vec::new(), continues: Vec::new(), nudge };
        };
        let serving = record.life.serving;
        record.life.renew(epoch, Phase::Starting);
        record.opening = Some(Opening::Init);
        record.idle_until = None;
        let mut snapshots = Vec::new();
        match &mut record.fallback {
            Fallback::None => {}
            Fallback::Initial(fallback) => snapshots.push(mem::replace(&mut **fallback, initial.clone())),
            Fallback::Previous(previous) => snapshots.extend(previous.take()),
        }
        let version = record.kept.version() + 1;
        record.kept.swap(&mut initial, version, serving);
        let mut outgoing = Some(initial);
        record.feed.supersede(&mut outgoing);
        snapshots.extend(outgoing);
        record.feed.changed(&mut nudge);
        Stale { former, snapshots, continues: mem::take(&mut record.continues), nudge }
    }

    /// Does what there is to be told to the parent, and tells it. If there is none, or none any more, there will be no other life.
    pub(super) fn report_with<R>(&self, act: impl FnOnce() -> (R, Option<News>)) -> R {
        let (done, wanted) = self.lineage.report_with(act);
        if !wanted {
            self.cell.look(|record| record.life.then = Some(Then::Nothing));
            self.release();
        }
        done
    }

    /// There will be no other life: what was kept for it can go, once this one is over.
    pub(crate) fn release(&self) {
        let kept = self.cell.look(|record| {
            record.life.phase.reason()?;
            let listening = (record.feed.release(), record.probes.take());
            Some((listening, record.factory.take(), record.initial.take()))
        });
        let Some(((listeners, probes), factory, initial)) = kept else { return };
        drop_each(listeners);
        drop_quietly((probes, factory, initial));
    }
}

/// What was of a life that is over.
#[must_use = "it is the user's, and is forgotten outside every lock"]
struct Stale<S: GenServer> {
    former: Option<Box<(ExitReason, Kept<S>)>>,
    snapshots: Vec<SharedSnapshot<S>>,
    continues: Vec<S::Continue>,
    /// For those who watch: the state is another.
    nudge: Nudge<S>,
}

impl<S: GenServer> Stale<S> {
    fn forget(self) {
        let Self { former, snapshots, continues, nudge } = self;
        drop_quietly(former);
        drop_each(snapshots);
        drop_each(continues);
        nudge.ring();
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
