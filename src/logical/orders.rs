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
    job::WorkerSeat,
    mailbox::Closed,
    options::Shutdown,
    record::{Left, Phase, Record, Then},
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

    /// Ends the logical server without `terminate`. Between two lives there is nothing to kill.
    pub(crate) fn kill(&self) {
        self.kill_and(None);
    }

    /// As [`kill`](Self::kill). What comes `then` is the parent's to say.
    pub(super) fn kill_and(&self, then: Option<Then>) {
        let (left, closed) = self.cell.end(|record, ended| {
            if then == Some(Then::Another) && !record.life.begun {
                // It is of its parent's next life, if that comes. One whose parent is gone for good is never to begin.
                return (None, None);
            }
            note(record, then);
            if record.life.is_past() {
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
    /// that ends; `None` if it is over already. Between two lives, if there will be another in spite of that, it is the last one.
    pub(crate) fn stop(&self, reason: ExitReason) -> Option<u64> {
        let stopped = self.cell.look(|record| {
            if Self::end_of(record).is_some() {
                return None;
            }
            let life = &record.life;
            if life.is_past() && self.options.restart.restarts(&reason) {
                return Some((life.lives - u64::from(life.waiting), None));
            }
            Some((life.lives, Some(self.close(record, reason))))
        });
        let (life, closed) = stopped?;
        closed.into_iter().for_each(Closed::settle);
        self.mailbox.wake();
        // While a worker is alive its supervisor has nothing to see to; and once that worker is gone, it looks.
        if !self.cell.is_open() {
            self.wake_supervisor();
        }
        Some(life)
    }

    /// Stops it as its owner would: within the time its `Shutdown` gives.
    pub(crate) fn shut_down(&self, reason: ExitReason) {
        self.shut_down_and(reason, None);
    }

    /// As [`shut_down`](Self::shut_down). What comes `then` is the parent's to say; between two lives there is nothing to be done
    /// besides.
    pub(super) fn shut_down_and(&self, reason: ExitReason, then: Option<Then>) {
        let kill_at = match self.options.shutdown {
            Shutdown::BrutalKill => return self.kill_and(then),
            Shutdown::Timeout(limit) => later(limit),
            Shutdown::Infinity => None,
        };
        let closed = self.cell.look(|record| {
            if then.is_some() && !record.life.begun {
                // There is nothing to be ended, and its parent may begin it some time.
                return None;
            }
            note(record, then);
            if then.is_some() && record.life.is_past() {
                return None;
            }
            record.life.kill_at = record.life.kill_at.or(kill_at);
            Some(self.close(record, reason))
        });
        closed.into_iter().for_each(Closed::settle);
        self.mailbox.wake();
        self.wake_supervisor();
    }

    /// Lets no callback begin. Tells whether none is running; `None` if the server is about to end.
    pub(crate) fn suspend(&self) -> Option<bool> {
        self.cell.look(|record| {
            if record.deferred.ended() || self.mailbox.closing().is_some() {
                return None;
            }
            record.life.suspended = true;
            Some(record.in_hand.is_none())
        })
    }

    /// Lets callbacks begin again. `None` if the server is over.
    pub(crate) fn resume(&self) -> Option<()> {
        self.cell.look(|record| {
            let alive = !Self::is_over(record);
            alive.then(|| record.life.suspended = false)
        })?;
        self.mailbox.wake();
        Some(())
    }

    fn close(&self, record: &mut Record<S>, reason: ExitReason) -> Closed<WorkerSeat> {
        // A suspended server handles what is queued, too, before it ends.
        record.life.suspended = false;
        self.mailbox.close(reason)
    }
}

/// Notes what the parent wants to come after this life; that nothing comes is final.
fn note<S: GenServer>(record: &mut Record<S>, then: Option<Then>) {
    let life = &mut record.life;
    if life.then != Some(Then::Nothing) {
        life.then = then.or(life.then);
    }
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
