//! What is ordered from outside: that a worker be killed, that the server end.
//!
//! An order that concerns the server is given in one go, under the lock of its cell: so it is given to one life of it, and not
//! half of it to the next.

use tokio::time::Instant;

use super::Logical;
use crate::{
    deadlines::later,
    error::CallError,
    exit::{CrashKind, CrashReport, ExitReason},
    gen_server::GenServer,
    mailbox::Closed,
    record::{Left, Phase, Record, Then},
    spec::Shutdown,
};

impl<S: GenServer> Logical<S> {
    /// Kills the incarnation that is alive, if any. Once this returns it can neither commit nor reply (K4).
    pub(crate) fn kill_worker(&self, why: &str) {
        self.end_incarnation_if(|_| true, self.hooks.retries(), why);
    }

    /// Ends the first incarnation if its `init` is not done. Tells whether it did.
    pub(crate) fn give_up_starting(&self) -> bool {
        let starting = |record: &Record<S>| matches!(record.life.phase, Phase::Starting);
        self.end_incarnation_if(starting, None, "init did not finish in time")
    }

    fn end_incarnation_if(
        &self,
        may: impl FnOnce(&Record<S>) -> bool,
        retries: Option<u32>,
        why: &str,
    ) -> bool {
        let ended = self.cell.fence_if(may, |record, epoch| cut(record, epoch, retries, why));
        let Some((left, report)) = ended else { return false };
        self.see_off(left, CallError::Crashed(report));
        self.wake_supervisor();
        true
    }

    /// Ends the logical server without `terminate`.
    pub(crate) fn kill(&self) {
        self.kill_and(None);
    }

    /// As [`kill`](Self::kill). What comes `then` is the parent's to say: one that waits for `Another` life already goes on
    /// waiting.
    pub(super) fn kill_and(&self, then: Option<Then>) {
        let (left, closed) = self.cell.end(|record, ended| {
            if !note(record, then) {
                return (None, None);
            }
            // No incarnation comes to life after this, and the one that was alive is gone before the mailbox closes: it
            // would take that for a stop in good order.
            record.life.kill = true;
            let left = ended.map(|epoch| cut(record, epoch, None, "its server was killed").0);
            (left, Some(self.mailbox.close(ExitReason::Killed)))
        });
        if let Some(left) = left {
            self.see_off(left, CallError::Stopped(ExitReason::Killed));
        }
        closed.into_iter().for_each(Closed::settle);
        self.wake_supervisor();
    }

    /// Takes no messages any more; once those that are queued are handled, the server ends with `reason`. Tells which of its lives
    /// that ends; `None` if it is over already.
    pub(crate) fn stop(&self, reason: ExitReason) -> Option<u64> {
        let stopped = self.cell.look(|record| {
            Self::end_of(record).is_none().then(|| (record.life.lives, self.close(record, reason)))
        });
        let (life, closed) = stopped?;
        closed.settle();
        self.mailbox.wake();
        self.wake_supervisor();
        Some(life)
    }

    /// Stops it as its owner would: within the time its `Shutdown` gives.
    pub(crate) fn shut_down(&self, reason: ExitReason) {
        self.shut_down_and(reason, None);
    }

    /// As [`shut_down`](Self::shut_down). What comes `then` is the parent's to say: one that waits for `Another` life already goes
    /// on waiting.
    pub(super) fn shut_down_and(&self, reason: ExitReason, then: Option<Then>) {
        let kill_at = match self.options.shutdown {
            Shutdown::BrutalKill => return self.kill_and(then),
            Shutdown::Timeout(limit) => later(limit),
            Shutdown::Infinity => None,
        };
        let closed = self.cell.look(|record| {
            if !note(record, then) {
                return None;
            }
            record.life.kill_at = record.life.kill_at.or(kill_at);
            Some(self.close(record, reason))
        });
        closed.into_iter().for_each(Closed::settle);
        self.mailbox.wake();
        self.wake_supervisor();
    }

    fn close(&self, record: &mut Record<S>, reason: ExitReason) -> Closed {
        // A suspended server handles what is queued, too, before it ends.
        record.life.suspended = false;
        self.mailbox.close(reason)
    }
}

/// Notes what the parent wants to come after this life; that nothing comes is final. Tells whether this life is yet to be ended.
fn note<S: GenServer>(record: &mut Record<S>, then: Option<Then>) -> bool {
    let life = &mut record.life;
    let Some(then) = then else { return true };
    life.then = life.then.filter(|before| *before == Then::Nothing).or(Some(then));
    // One that waits only has to hear that.
    !life.waiting
}

/// The incarnation `epoch` is fenced, and leaves what it has in hand.
fn cut<S: GenServer>(
    record: &mut Record<S>,
    epoch: u64,
    retries: Option<u32>,
    why: &str,
) -> (Left<S>, CrashReport) {
    let report = CrashReport::new(CrashKind::Kill, why, record.place(epoch));
    record.life.killed = Some(report.clone());
    record.life.died = Some(Instant::now());
    if let Phase::Running = record.life.phase {
        record.life.phase = Phase::Restarting;
    }
    (record.leave(retries), report)
}
