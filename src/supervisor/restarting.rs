//! From the end of one incarnation to the beginning of the next.

use std::task::{Context as Task, Poll};

use tokio::time::Instant;

use super::{Death, Finale, Supervisor};
use crate::{
    contain::{drop_quietly, log},
    deadlines::later,
    exit::{Callback, CrashKind, CrashReport, ExitReason},
    feed::{Event, Nudge, Shared},
    gen_server::{GenServer, Restart},
    job::Opening,
    options::Poison,
    record::Phase,
    restart::{Budget, Verdict},
};

/// Until when; `None`: for ever.
type Pause = Option<Instant>;

impl<S: GenServer> Supervisor<S> {
    /// Reports a death, and pays for it. Until when the next incarnation has to wait, if it has to.
    pub(super) fn pay_for(&mut self, death: Death) -> Result<Option<Pause>, Finale> {
        let Death { reason: _, report, abandoned } = death;
        self.tell_of(&report, abandoned);
        let zombies = self.remains.as_ref().map_or(0, |remains| remains.zombies.len());
        if zombies > self.logical.options.max_zombies {
            let message = format!("{zombies} workers could not be stopped");
            let report = CrashReport::new(CrashKind::Kill, message, self.place(report.callback()));
            return Err(Ok(ExitReason::Crashed(report)));
        }
        if let (Callback::Restarted, CrashKind::Panic | CrashKind::Error) = (report.callback(), report.kind())
        {
            // There will be nobody to handle what is queued: whoever wants the server to end does not wait for it.
            if let Some(reason) = self.logical.mailbox.closing() {
                return Err(Ok(reason.at(self.place(Callback::Restarted))));
            }
        }
        let options = &self.logical.options;
        let verdict = self.logical.cell.look(|record| {
            let fresh = || Box::new(Budget::new(options.max_restarts, options.within));
            record.budget.get_or_insert_with(fresh).charge(record.born.elapsed())
        });
        match verdict {
            Verdict::Restart { recent } => {
                let backoff = self.logical.options.backoff;
                Ok(backoff.map(|backoff| later(backoff.pause(recent, fastrand::f64()))))
            }
            Verdict::Exceeded if self.heal(report.callback()) => {
                self.logical.cell.look(|record| record.budget = None);
                Ok(None)
            }
            Verdict::Exceeded => {
                log!(error, undying.server = %self.logical.label(), exception.message = %report, "the restart limit is reached");
                Err(Ok(ExitReason::RestartLimit(report)))
            }
        }
    }

    /// Another incarnation is to come, because the one before ended for this reason.
    pub(super) fn announce_next(&mut self, reason: ExitReason) {
        self.logical.cell.look_at(|record, next| {
            record.life.announced = next;
            record.opening = Some(Opening::Restarted(Restart { reason, incarnation: next }));
        });
        self.logical.ring();
    }

    /// An incarnation came to an abnormal end: that is counted, and the listeners are told.
    pub(super) fn tell_of(&self, report: &CrashReport, abandoned: bool) {
        self.log(report, abandoned);
        let mut nudge = Nudge::none();
        self.logical.cell.look(|record| {
            record.life.phase = Phase::Restarting;
            record.counters.crashes += 1;
            record.counters.zombies += u64::from(abandoned);
            record.last_crash = Some(report.clone());
            let kept = &record.kept;
            let crashed = || Event::Crashed { report: report.clone(), state: Shared::of(kept), abandoned };
            record.feed.push(&mut nudge, kept, crashed);
        });
        nudge.ring();
    }

    fn log(&self, report: &CrashReport, abandoned: bool) {
        let kept = || self.logical.cell.look(|record| record.kept.clone());
        let (server, state) = (self.logical.label(), self.logical.hooks.show(kept));
        log!(error, undying.server = %server, exception.message = %report, undying.abandoned = abandoned, undying.state = state, "a worker crashed");
    }

    pub(super) async fn back_off(&mut self, until: Pause) -> Result<(), Finale> {
        // Whoever stops or kills the server does not wait for it to be restarted.
        let ordered = |this: &mut Self, _: &mut Task<'_>| match this.logical.mailbox.closing() {
            None => Poll::Pending,
            Some(_) => Poll::Ready(()),
        };
        self.attend(until, ordered).await;
        if self.logical.cell.look(|record| record.life.kill) { Err(Ok(ExitReason::Killed)) } else { Ok(()) }
    }

    /// Replaces a state that lets no incarnation live, as the poison policy has it. `false` if it is to stay.
    fn heal(&mut self, died_in: Callback) -> bool {
        let options = &self.logical.options;
        let poisoned = died_in == Callback::Restarted || self.barren >= options.max_restarts.max(1);
        if options.poison == Poison::Stop || !poisoned {
            return false;
        }
        let mut nudge = Nudge::none();
        let Ok(poison) = self.logical.cell.look(|record| record.heal(&mut nudge)) else { return false };
        log!(error, undying.server = %self.logical.label(), poison = ?options.poison, "the state was poisoned; replaced");
        nudge.ring();
        drop_quietly(poison);
        self.barren = 0;
        true
    }
}
