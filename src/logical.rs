//! The logical server: what a [`ServerRef`](crate::ServerRef) names and what the three tasks of its subtree share.
//!
//! # The rules of the subtree
//!
//! The comments of this crate cite them where they bind.
//!
//! * **K1** Commit before reply: the callback returned `Ok`, the snapshot is taken, it is swapped in behind the fence, the
//!   replies go out. No user code and no await stands between the last two.
//! * **K2** Unchanged, uncopied: a callback that never took `&mut` to the state takes no snapshot and tells no listener.
//! * **K3** The working copy of an abnormal end is thrown away, never looked at. It, panic payloads and messages are dropped
//!   where a panic is caught, and never while one unwinds.
//! * **K4** To replace a worker: raise the epoch under the cell's lock, abort the task, wait for it for `kill_grace`, read the
//!   record, start the next incarnation. A stale incarnation can neither commit nor reply nor take a message.
//! * **K5** A task that never yields cannot be aborted. After `kill_grace` it is left behind as a zombie: fenced, counted,
//!   reported. More than `max_zombies` of them end the server.
//! * **K6** The mailbox is locked only while messages are put in or taken out, never across a callback.
//! * **K7** The message whose callback crashed is not run again, and its caller is told at once. Those behind it are kept.
//! * **K8** No lock of the crate is held while user code runs: `Clone`, `Drop`, `Debug`, listeners, wakers.
//! * **K9** No callback is wrapped in a `select!`. What is asked from outside is looked at between callbacks; only a kill cuts
//!   one, at an await.
//! * **K10** Control does not queue behind user mail, and user mail cannot starve control.
//! * **K11** What belongs to the logical server (refs, name, queue, deadlines) survives crashes.
//! * **K12** A listener can delay or break only itself.
//! * **K13** Every end is an answer: every pending and later operation resolves, with the reason.
//! * **K14** The death of the supervisor task is the logical end.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, Weak},
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    bell::Bell,
    cell::Cell,
    contain::drop_quietly,
    dead_letter::{Again, DeadLetterReason},
    deadlines::{DeadlineKey, Deadlines, comes, later},
    debug,
    error::{CallError, StartError},
    exit::{CrashKind, CrashReport, ExitReason},
    extras::{Extras, Own},
    feed::{Event, Nudge},
    gen_server::GenServer,
    mailbox::{Mailbox, Refused, Ticket},
    monitor::Down,
    name::{Label, ServerId},
    notice::Notice,
    peer,
    preserve::Kept,
    record::{Envelope, InHand, Parting, Phase, Record},
    reply::{AnySlot, Caller, Claim},
    scope::{self, Place},
    spec::{Hooks, Options, Shutdown, WhenFull},
    sync::Mutex,
    timers::{Timer, TimerRef},
    waits::{self, Waits},
};

/// K11: all of it outlives workers and keepers.
pub(crate) struct Logical<S: GenServer> {
    pub(crate) id: ServerId,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) options: Options,
    pub(crate) hooks: Hooks<S>,
    pub(crate) mailbox: Mailbox<Envelope<S>>,
    pub(crate) cell: Cell<Record<S>>,
    deadlines: Mutex<Deadlines>,
    pub(crate) waits: Waits,
    /// Wakes the supervisor for an order or an earlier deadline.
    supervisor: Mutex<Option<Waker>>,
    /// Rings when the server serves, serves again, or is over.
    bell: Bell,
}

impl<S: GenServer> Logical<S> {
    pub(crate) fn new(
        id: ServerId,
        name: Option<Arc<str>>,
        options: Options,
        hooks: Hooks<S>,
        record: Record<S>,
    ) -> Self {
        Self {
            id,
            mailbox: Mailbox::new(
                Label { id, name: name.clone() },
                options.mailbox.capacity,
                options.mailbox.mark(),
            ),
            name,
            options,
            hooks,
            cell: Cell::new(record),
            deadlines: Mutex::new(Deadlines::default()),
            waits: Waits::default(),
            supervisor: Mutex::new(None),
            bell: Bell::new(),
        }
    }

    /// For logs and errors.
    pub(crate) fn label(&self) -> Label {
        Label { id: self.id, name: self.name.clone() }
    }

    // ---- from outside

    /// Kills the incarnation that is alive, if any. Once this returns it can neither commit nor reply (K4).
    pub(crate) fn kill_worker(&self, why: &str) {
        self.end_life(why, CallError::Crashed);
    }

    /// Ends the logical server without `terminate`.
    pub(crate) fn kill(&self) {
        // The order first, so that no incarnation comes to life after it, and the mailbox last: a worker that found it closed
        // before its own end would take that for a stop in good order, and terminate.
        self.cell.look(|record| record.life.kill = true);
        self.end_life("its server was killed", |_| CallError::Stopped(ExitReason::Killed));
        self.mailbox.close(ExitReason::Killed);
        self.wake_supervisor();
    }

    /// Takes no messages any more; once those that are queued are handled, the server ends with `reason`.
    pub(crate) fn stop(&self, reason: ExitReason) {
        self.mailbox.close(reason);
        // A suspended server handles what is queued, too, before it ends.
        self.cell.look(|record| record.life.suspended = false);
        self.mailbox.wake();
        self.wake_supervisor();
    }

    /// Stops it as its owner would: within the time its `Shutdown` gives.
    pub(crate) fn shut_down(&self, reason: ExitReason) {
        match self.options.shutdown {
            Shutdown::BrutalKill => return self.kill(),
            Shutdown::Timeout(limit) => {
                let kill_at = later(limit);
                self.cell.look(|record| record.life.kill_at = record.life.kill_at.or(kill_at));
            }
            Shutdown::Infinity => {}
        }
        self.stop(reason);
    }

    /// Queues a message, or stands in line for room: then the ticket queues it.
    pub(crate) fn push(
        &self,
        envelope: Envelope<S>,
    ) -> Result<Option<Ticket<'_, Envelope<S>>>, Refused<Envelope<S>>> {
        match self.options.mailbox.when_full {
            WhenFull::Wait => self.mailbox.push(envelope).map_err(Refused::Closed),
            WhenFull::Refuse | WhenFull::DropOldest => self.try_push(envelope).map(|()| None),
        }
    }

    /// Queues a message, and never waits.
    pub(crate) fn try_push(&self, envelope: Envelope<S>) -> Result<(), Refused<Envelope<S>>> {
        let envelope = match self.mailbox.try_push(envelope) {
            Err(Refused::Full(envelope)) if self.options.mailbox.when_full == WhenFull::DropOldest => {
                envelope
            }
            other => return other,
        };
        let push_out =
            |record: &mut Record<S>| self.mailbox.push_out(&mut record.batch, envelope, Envelope::is_mail);
        let oldest = self.cell.look(push_out).map_err(Refused::Closed)?;
        if let Some(oldest) = oldest {
            oldest.bury(self.hooks.dead_letters.as_ref(), CallError::Full, || DeadLetterReason::Overflow);
        }
        Ok(())
    }

    /// Queues a message, and waits for room; but not for a circle of full mailboxes, of which this one may be the only one:
    /// nobody in it would ever make room.
    pub(crate) async fn post(self: &Arc<Self>, envelope: Envelope<S>) -> Result<(), Envelope<S>> {
        let place = scope::place(self.id);
        if let Place::Inside = place {
            return self.mailbox.push_over(envelope).map_err(|dismissed| dismissed.message);
        }
        let Some(mut ticket) = self.push(envelope).map_err(Refused::into_message)? else { return Ok(()) };
        let waiting = match place {
            Place::Elsewhere(callback) => Some(waits::begin(callback, self.clone(), None)),
            Place::Outside | Place::Inside => None,
        };
        let queued = match waiting {
            Some(Err(_)) => self.mailbox.push_over(ticket.leave()),
            Some(Ok(_)) | None => poll_fn(|cx| ticket.poll(cx)).await,
        };
        queued.map_err(|dismissed| dismissed.message)
    }

    /// Queues a notice, which never waits.
    pub(crate) fn notify(&self, notice: Box<Notice<S::Info>>) {
        drop_quietly(self.mailbox.push_over(Envelope::Notice(notice)));
    }

    /// Arms a timer from outside.
    pub(crate) fn arm(&self, at: Option<Instant>, timer: Timer<S::Info>) -> TimerRef {
        let name = TimerRef::next();
        let unwanted = self.cell.look(|record| {
            if record.deferred.ended() {
                return Some(timer);
            }
            record.extras().timers.arm(name, at, timer)
        });
        drop_quietly(unwanted);
        self.mailbox.wake();
        name
    }

    /// Cancels a timer from outside. Tells whether it was armed.
    pub(crate) fn cancel(&self, timer: TimerRef) -> bool {
        let cancelled = self.cell.look(|record| record.extras.as_mut()?.timers.cancel(timer));
        let was_armed = cancelled.is_some();
        drop_quietly(cancelled);
        was_armed
    }

    /// Ends the first incarnation if its `init` is not done. Tells whether it did.
    pub(crate) fn give_up_starting(&self) -> bool {
        let starting = |record: &Record<S>| matches!(record.life.phase, Phase::Starting);
        self.end_life_if(starting, "init did not finish in time", CallError::Crashed)
    }

    fn end_life(&self, why: &str, answer: impl FnOnce(CrashReport) -> CallError) -> bool {
        self.end_life_if(|_| true, why, answer)
    }

    fn end_life_if(
        &self,
        may: impl FnOnce(&Record<S>) -> bool,
        why: &str,
        answer: impl FnOnce(CrashReport) -> CallError,
    ) -> bool {
        let ended = self.cell.fence_if(may, |record, epoch| {
            let report = CrashReport::new(CrashKind::Kill, why, record.place(epoch));
            record.life.killed = Some(report.clone());
            record.life.died = Some(Instant::now());
            if let Phase::Running = record.life.phase {
                record.life.phase = Phase::Restarting;
            }
            (record.leave(), report)
        });
        let Some(((in_hand, parting), report)) = ended else { return false };
        self.part(parting);
        let error = answer(report.clone());
        self.left(in_hand, &report, error);
        self.wake_supervisor();
        true
    }

    /// Sees off what a callback that crashed had in hand: its message is run again if that is wanted, or its caller is told
    /// (K7).
    pub(crate) fn left(&self, in_hand: Option<InHand<S>>, report: &CrashReport, error: CallError) {
        let Some(InHand { claim, copy, runs, .. }) = in_hand else { return };
        let crashed = matches!(error, CallError::Crashed(_));
        let (Some(message), Some(copies), true) = (copy, &self.hooks.copies, crashed) else {
            claim.into_iter().for_each(|claim| claim.fail(error.clone()));
            return;
        };
        let again = Again { message, claim, runs: runs + 1 };
        let late = if runs < copies.max { self.run_again(again) } else { Some(again) };
        if let Some(Again { message, claim, .. }) = late {
            claim.into_iter().for_each(|claim| claim.fail(error.clone()));
            message.bury(self.hooks.dead_letters.as_ref(), || DeadLetterReason::Crashed(report.clone()));
        }
    }

    /// Has a message run before all that are queued, unless the server has seen those off already.
    pub(crate) fn run_again(&self, again: Again<S>) -> Option<Again<S>> {
        self.cell.look(|record| {
            if record.deferred.ended() {
                return Some(again);
            }
            record.extras().again.push_back(again);
            None
        })
    }

    /// Removes a debug hook. Tells whether there was one.
    pub(crate) fn remove_hook(&self, id: &str) -> bool {
        let mut before = None;
        self.cell.look(|record| {
            let Some(hooks) = record.debug.take_if(|hooks| hooks.has(id)) else { return };
            record.debug = debug::Hooks::clone(&hooks).without(id).map(Arc::new);
            before = Some(hooks);
        });
        before.is_some()
    }

    /// Says what a committed stop has said, and leaves its caller to be answered later if it has no answer yet.
    pub(crate) fn part(&self, parting: Option<Parting>) {
        if let Some(Parting { said, claim }) = parting {
            drop(said);
            claim.into_iter().for_each(|claim| self.defer(claim));
        }
    }

    // ---- waiting

    /// Waits until `check` finds what it looks for. It is asked at once, and whenever the server serves, serves again or is
    /// over.
    pub(crate) async fn until<T>(&self, mut check: impl FnMut(&mut Record<S>) -> Option<T>) -> T {
        loop {
            // Listen before looking: what happens in between is not missed.
            let ring = self.bell.listen();
            if let Some(found) = self.cell.look(&mut check) {
                return found;
            }
            ring.await;
        }
    }

    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Fails `caller` with a timeout `after` from now, unless the deadline is dropped before. `None` if that never comes.
    pub(crate) fn deadline<T: Send + 'static>(
        &self,
        after: Duration,
        caller: &Caller<T>,
    ) -> Option<Deadline<'_>> {
        if !comes(after) {
            return None;
        }
        let (now, slot) = (Instant::now(), caller.slot());
        let (key, earlier) = self.deadlines.lock().note(now, after, slot);
        if earlier {
            self.wake_supervisor();
        }
        Some(Deadline { deadlines: &self.deadlines, key })
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.lock().next()
    }

    pub(crate) fn expire_deadlines(&self, now: Instant) {
        let due = self.deadlines.lock().due(now);
        due.into_iter().for_each(|slot| slot.fail(CallError::Timeout));
    }

    pub(crate) fn wake_supervisor(&self) {
        let supervisor = self.supervisor.lock().take();
        if let Some(supervisor) = supervisor {
            supervisor.wake();
        }
    }

    pub(crate) fn call_supervisor_with(&self, waker: &Waker) {
        let mut supervisor = self.supervisor.lock();
        if !supervisor.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *supervisor = Some(waker.clone());
        }
    }

    // ---- calls that are answered later

    /// Notes a call that its callback has left open, so that the logical end can answer it.
    pub(crate) fn defer(&self, claim: Claim) {
        let Some(slot) = claim.defer() else { return };
        let late = self.cell.look(|record| record.deferred.note(slot));
        fail_all(late, &ExitReason::Killed);
    }

    // ---- the end

    /// K13: ends whatever incarnation is alive, takes in no message any more, answers everyone who waits, and frees the name.
    pub(crate) fn dismiss_everyone(&self, reason: &ExitReason) {
        let stopped = || CallError::Stopped(reason.clone());
        let (in_hand, parting) = self.cell.fence(|record, _| record.leave()).unwrap_or_default();
        self.part(parting);
        if let Some(claim) = in_hand.and_then(|in_hand| in_hand.claim) {
            claim.fail(stopped());
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
        for Again { message, claim, .. } in own.into_iter().flat_map(Own::end) {
            claim.into_iter().for_each(|claim| claim.fail(stopped()));
            message.bury(hook, ended);
        }
        fail_all(deferred, reason);
        let queued: Vec<VecDeque<_>> = [batch].into_iter().chain(inbox).collect();
        queued.into_iter().flatten().for_each(|envelope| envelope.bury(hook, stopped(), ended));
        continues.into_iter().for_each(drop_quietly);
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
        let (tasks, extras, end) = self.cell.look(|record| {
            record.life.phase = phase;
            (mem::take(&mut record.tasks), record.extras.take(), Self::end_of(record))
        });
        let supervisor = self.supervisor.lock().take();
        drop((tasks, supervisor));
        self.ring();
        if let (Some(extras), Some((reason, _))) = (extras, end) {
            let Extras { watchers, ties, .. } = *extras;
            let down = Down { name: self.name.clone(), reason };
            watchers.into_values().for_each(|watcher| watcher(down.clone()));
            let peers = ties.into_values().filter_map(|(peer, _)| peer.upgrade());
            peers.for_each(|peer| peer::ended(&*peer, self.id, down.clone()));
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

impl<S: GenServer> fmt::Debug for Logical<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logical").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

fn fail_all(slots: impl IntoIterator<Item = Weak<dyn AnySlot>>, reason: &ExitReason) {
    for slot in slots.into_iter().filter_map(|slot| slot.upgrade()) {
        slot.fail(CallError::Stopped(reason.clone()));
        drop_quietly(slot);
    }
}

/// A noted deadline; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    deadlines: &'a Mutex<Deadlines>,
    key: DeadlineKey,
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        let slot: Option<Arc<dyn AnySlot>> = self.deadlines.lock().forget(self.key);
        drop(slot);
    }
}
