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
//! * **K7** The message whose callback crashed is not run again, and its caller is told at once. Those behind it are kept. (A
//!   caller that runs the callback itself is told when that returns or waits: see [`seat`](crate::seat).)
//! * **K8** No lock of the crate is held while user code runs: `Clone`, `Drop`, `Debug`, listeners, wakers. (The turn of a
//!   [`seat`](crate::seat) is no such lock: nobody waits for it.)
//! * **K9** No callback is wrapped in a `select!`. What is asked from outside is looked at between callbacks; only a kill cuts
//!   one, at an await.
//! * **K10** Control does not queue behind user mail, and user mail cannot starve control.
//! * **K11** What belongs to the logical server (refs, name, queue, deadlines, timers, tasks, monitors, links) survives crashes.
//!   What a callback asks of these is done with its commit, or not at all.
//! * **K12** A listener can delay or break only itself: each has a queue and a keeper task of its own.
//! * **K13** Every end is an answer: every pending and later operation resolves, with the reason.
//! * **K14** The death of the supervisor task is the logical end.
//!
//! Where the server stands under a supervisor of a tree, all of that is said of one of its [`lives`].

mod any;
mod audience;
mod child;
mod dispatch;
mod end;
mod lives;
mod mail;
#[cfg(all(test, shuttle))]
mod models;
mod orders;
mod peer;

pub(crate) use self::{audience::CAPACITY, dispatch::Queue, lives::Verdict};

use std::{fmt, sync::Arc, task::Waker, time::Duration};

use tokio::time::Instant;

use crate::{
    bell::Bell,
    cell::Cell,
    deadlines::{DeadlineKey, Deadlines, comes},
    debug,
    error::CallError,
    exit::ExitReason,
    gen_server::GenServer,
    job::WorkerSeat,
    mailbox::Mailbox,
    name::{Label, ServerId},
    options::{Choice, Hooks},
    record::{Envelope, Parting, Record, fail_all},
    registry::Registry,
    reply::{AnySlot, Caller, Claim},
    sync::Mutex,
    tree::{Lineage, News},
    waits::Waits,
};

/// K11: all of it outlives workers and keepers.
pub(crate) struct Logical<S: GenServer> {
    pub(crate) id: ServerId,
    pub(crate) name: Option<Arc<str>>,
    /// Where it has that name.
    registry: Option<Registry>,
    pub(crate) lineage: Lineage,
    pub(crate) options: Choice,
    pub(crate) hooks: Hooks<S>,
    pub(crate) mailbox: Mailbox<Envelope<S>, WorkerSeat>,
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
        naming: Option<(Registry, Arc<str>)>,
        options: Choice,
        hooks: Hooks<S>,
        record: Record<S>,
    ) -> Self {
        let (registry, name) = naming.unzip();
        Self {
            id,
            mailbox: Mailbox::new(
                Label { id, name: name.clone() },
                options.mailbox.capacity,
                options.mailbox.mark(),
            ),
            name,
            registry,
            lineage: Lineage::default(),
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
    pub(crate) fn part(&self, parting: Option<Box<Parting>>) {
        if let Some(Parting { said, claim }) = parting.map(|parting| *parting) {
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

    /// An incarnation serves: whoever waits for that, and the parent, is told.
    pub(crate) fn serves(&self) {
        self.lineage.report(News::Up);
        self.ring();
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
}

impl<S: GenServer> fmt::Debug for Logical<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logical").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
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
