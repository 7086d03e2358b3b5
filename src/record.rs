//! The record: what is kept of a logical server behind the fence of its [`Cell`](crate::cell::Cell).
//!
//! The record proper is what a commit keeps: the snapshot with its version, the pending continue, the idle deadline, a stop
//! under way. Beside it, under the same lock, stands what has to change in the same instant: the work in hand, the
//! messages taken but not handled, the events to tell, the phase of the life.

mod deferred;
mod envelope;
mod faults;
mod life;
mod next;

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

pub(crate) use self::{
    deferred::{Deferred, fail_all},
    envelope::Envelope,
    faults::Faults,
    life::{Counters, Life, Phase, Then},
};
use crate::{
    contain::Quiet,
    dead_letter::{Again, Message},
    debug,
    exit::{Callback, CrashReport, ExitReason, Place},
    extras::Extras,
    feed::{Ear, Event, Feed, Nudge, Shared},
    gen_server::GenServer,
    job::{After, Factory, Opening},
    preserve::{Kept, SharedSnapshot},
    probe::Probes,
    registry::Registration,
    reply::Claim,
    restart::Budget,
    scope::Said,
    task::TaskRef,
    tasks::Tasks,
};

pub(crate) struct Record<S: GenServer> {
    pub(crate) kept: Kept<S>,
    /// Continues to run before any message, the next one last.
    pub(crate) continues: Vec<S::Continue>,
    /// Whether the next of them is of a `restarted`.
    opening_continue: bool,
    /// When `handle_timeout` is due, unless a message comes first.
    pub(crate) idle_until: Option<Instant>,
    /// A callback has said to end with this reason.
    pub(crate) stopping: Option<ExitReason>,

    /// The callback that is running, and its caller.
    pub(crate) in_hand: Option<InHand>,
    pub(crate) parting: Option<Box<Parting>>,
    /// Messages taken from the inbox and not yet handled: they belong to the logical server, not to the worker.
    pub(crate) batch: VecDeque<Envelope<S>>,
    /// Calls whose callback has committed, but which are not answered yet.
    pub(crate) deferred: Deferred,
    pub(crate) feed: Feed<S>,
    /// Who measures callbacks: known from the first life on, if there are any.
    pub(crate) probes: Option<Arc<Probes>>,
    pub(crate) fallback: Fallback<S>,
    pub(crate) life: Life,
    pub(crate) counters: Counters,
    /// The last abnormal end of an incarnation.
    pub(crate) last_crash: Option<CrashReport>,
    pub(crate) faults: Faults,
    pub(crate) registration: Option<Registration>,
    pub(crate) tasks: Tasks,
    pub(crate) extras: Option<Box<Extras<S>>>,
    /// What makes the server of each incarnation: for the next supervisor to take, or what an upgrade has put in its place.
    pub(crate) factory: Option<Factory<S>>,
    /// The state as it was given.
    pub(crate) initial: Option<Box<Initial<S>>>,
    /// How the next life begins.
    pub(crate) opening: Option<Opening>,
    /// How the last life ended, if there was one before this.
    pub(crate) former: Option<Box<(ExitReason, Kept<S>)>>,
    /// Keepers that have outlived their supervisor, each in the place of its listener.
    pub(crate) lagging: Vec<Option<JoinHandle<()>>>,
    pub(crate) debug: Option<Arc<debug::Hooks>>,
    /// Restarts are paid for out of this; its time runs from the birth of the server. There is one once it has crashed.
    pub(crate) budget: Option<Box<Budget>>,
    pub(crate) born: Instant,
}

/// The state as it was given: for the first incarnation the value itself, for later lives its snapshot.
pub(crate) struct Initial<S: GenServer> {
    pub(crate) given: Option<Quiet<S::State>>,
    /// `None` if nobody will ask for another life.
    pub(crate) snapshot: Option<Quiet<SharedSnapshot<S>>>,
}

/// What the callback that said to stop has said besides: its caller hears it after `terminate`, or when the worker ends in
/// some other way, since it is committed.
pub(crate) struct Parting {
    pub(crate) said: Said,
    pub(crate) claim: Option<Claim>,
}

pub(crate) struct InHand {
    pub(crate) callback: Callback,
    pub(crate) claim: Option<Claim>,
}

/// What an incarnation leaves that did not end by itself: the caller and the message it had in hand, and what was still to be
/// said.
pub(crate) struct Left<S: GenServer> {
    pub(crate) claim: Option<Claim>,
    pub(crate) parting: Option<Box<Parting>>,
    /// The message, if it was to be run again, but not any more.
    pub(crate) copy: Option<Message<S>>,
}

/// What a poisoned state may be replaced with.
pub(crate) enum Fallback<S: GenServer> {
    None,
    /// The state that `init` left.
    Initial(Quiet<SharedSnapshot<S>>),
    /// The state before the last commit.
    Previous(Quiet<Option<SharedSnapshot<S>>>),
}

impl<S: GenServer> Record<S> {
    pub(crate) fn new(kept: Kept<S>, fallback: Fallback<S>, ears: Vec<Ear<S>>) -> Self {
        Self {
            kept,
            continues: Vec::new(),
            opening_continue: false,
            idle_until: None,
            stopping: None,
            in_hand: None,
            parting: None,
            batch: VecDeque::new(),
            deferred: Deferred::default(),
            feed: Feed::new(ears),
            probes: None,
            fallback,
            life: Life { announced: 1, ..Life::default() },
            counters: Counters::default(),
            last_crash: None,
            faults: Faults::default(),
            registration: None,
            tasks: Tasks::default(),
            extras: None,
            factory: None,
            initial: None,
            opening: Some(Opening::Init),
            former: None,
            lagging: Vec::new(),
            debug: None,
            budget: None,
            born: Instant::now(),
        }
    }

    pub(crate) fn extras(&mut self) -> &mut Extras<S> {
        self.extras.get_or_insert_default()
    }

    /// Where incarnation `epoch` is now.
    pub(crate) fn place(&self, epoch: u64) -> Place {
        Place {
            callback: self.in_hand.as_ref().map_or(Callback::Idle, |in_hand| in_hand.callback),
            incarnation: epoch,
            version: self.kept.version(),
        }
    }

    /// Puts a job in hand.
    #[inline]
    pub(crate) fn begin<J>(&mut self, callback: Callback, claim: Option<Claim>, job: J) -> J {
        self.in_hand = Some(InHand { callback, claim });
        job
    }

    /// Takes what an incarnation that ends has in hand, and what it was still to say. A message that may be run again, at most
    /// `retries` times, is the first to be run: it never leaves the record, so that nothing overtakes it.
    pub(crate) fn leave(&mut self, retries: Option<u32>) -> Left<S> {
        let mut claim = self.in_hand.take().and_then(|in_hand| in_hand.claim);
        let mut copy = None;
        if let Some(extras) = &mut self.extras {
            let runs = extras.runs;
            copy = extras.take_copy();
            if retries.is_some_and(|max| runs < max) {
                let again = copy.take().map(|message| Again { message, claim: claim.take(), runs: runs + 1 });
                extras.again.extend(again);
            }
        }
        // From here on nobody waits for this server to do anything about it.
        claim.iter().for_each(Claim::let_go);
        Left { claim, parting: self.parting.take(), copy }
    }

    /// Notes what is to come after a callback.
    #[inline]
    pub(crate) fn follow(&mut self, after: &mut Option<After<S>>, callback: Callback) {
        // What was pending when the last incarnation ended stays so, unless `restarted` wants it otherwise. A system request
        // is no message.
        let stays = matches!(callback, Callback::Restarted | Callback::System);
        let idle_until = after.as_ref().and_then(|after| after.idle_until);
        if !stays || idle_until.is_some() {
            self.idle_until = idle_until;
        }
        if let Some(after) = after {
            self.follow_up(after, callback);
        }
    }

    fn follow_up(&mut self, after: &mut After<S>, callback: Callback) {
        let opening = callback == Callback::Restarted;
        match (self.continues.last_mut(), after.next.as_mut()) {
            // An incarnation that was killed before the continue of its `restarted` ran has left it; one is enough.
            (Some(last), Some(next)) if opening && self.opening_continue => mem::swap(last, next),
            (_, None) => {}
            (_, Some(_)) => {
                self.continues.extend(after.next.take());
                self.opening_continue = opening;
            }
        }
        // An abnormal stop ends the incarnation only.
        if let Some(reason) = after.stop.as_ref().filter(|reason| !reason.is_abnormal()) {
            self.stopping = Some(reason.clone());
        }
    }

    /// A task has ended. Tells whether anybody wants to hear of it.
    pub(crate) fn forget_task(&mut self, task: TaskRef) -> bool {
        self.extras.as_mut().is_some_and(|extras| extras.tasks.remove(&task).is_some())
    }

    /// A task was spawned. How to abort it, if it is not wanted any more.
    pub(crate) fn note_task(&mut self, name: TaskRef, task: JoinHandle<()>) -> Option<AbortHandle> {
        let ended = self.deferred.ended();
        let extras = self.extras();
        let Some(running) = extras.tasks.get_mut(&name) else {
            let unwanted = task.abort_handle();
            if ended {
                // The server waits for it to be gone.
                extras.leaving.push(task);
            }
            return Some(unwanted);
        };
        let unwanted = running.aborted.then(|| task.abort_handle());
        running.handle = Some(task);
        unwanted
    }

    /// Notes that a callback of incarnation `epoch` went well. Tells whether it serves from now on.
    #[inline]
    pub(crate) fn went_well(&mut self, callback: Callback, epoch: u64, nudge: &mut Nudge<S>) -> bool {
        let opens = matches!(callback, Callback::Init | Callback::Restarted);
        if opens {
            self.begins_to_serve(callback, epoch, nudge);
        } else {
            self.life.proven = true;
        }
        opens
    }

    fn begins_to_serve(&mut self, opening: Callback, epoch: u64, nudge: &mut Nudge<S>) {
        let took = (opening == Callback::Restarted).then(|| {
            self.counters.restarts += 1;
            self.life.died.take().map_or(Duration::ZERO, |died| died.elapsed())
        });
        self.life.phase = Phase::Running;
        self.life.serving = epoch;
        self.life.served = true;
        self.feed.push(nudge, &self.kept, || match took {
            None => Event::Started { state: Shared::of(&self.kept) },
            Some(took) => Event::Restarted { incarnation: epoch, took },
        });
    }

    /// Keeps the `fresh` snapshot from now on, and leaves in its place the one that is not kept any more, if there is one.
    #[inline]
    pub(crate) fn keep(
        &mut self,
        fresh: &mut Option<SharedSnapshot<S>>,
        incarnation: u64,
        callback: Callback,
        nudge: &mut Nudge<S>,
    ) {
        let Some(snapshot) = fresh else { return };
        self.replace(snapshot, incarnation);
        match &mut self.fallback {
            Fallback::None => {}
            Fallback::Initial(initial) => {
                if callback == Callback::Init {
                    *snapshot = mem::replace(&mut **initial, self.kept.snapshot().clone());
                }
            }
            Fallback::Previous(previous) => mem::swap(&mut **previous, fresh),
        }
        self.feed.changed(nudge);
        if self.feed.wants_changes(callback) {
            self.tell_change(fresh, callback, nudge);
        }
    }

    /// Tells of a change from the state in `outgoing` to the one that is kept. May use up the former, and leave another one that is
    /// not needed any more in its place.
    fn tell_change(
        &mut self,
        outgoing: &mut Option<SharedSnapshot<S>>,
        callback: Callback,
        nudge: &mut Nudge<S>,
    ) {
        match &self.fallback {
            Fallback::Previous(previous) => {
                let mut outgoing = (**previous).clone();
                self.feed.change(&mut outgoing, &self.kept, callback, nudge);
            }
            Fallback::Initial(_) | Fallback::None => {
                self.feed.change(outgoing, &self.kept, callback, nudge);
            }
        }
    }

    /// Keeps `snapshot` from now on, and leaves in its place the one that is not kept any more.
    #[inline]
    fn replace(&mut self, snapshot: &mut SharedSnapshot<S>, incarnation: u64) {
        self.counters.commits += 1;
        self.kept.swap(snapshot, self.kept.version() + 1, incarnation);
    }

    /// Goes back to the fallback, as a change of its own that the listeners are told of.
    /// What is not needed any more comes back.
    pub(crate) fn heal(&mut self, nudge: &mut Nudge<S>) -> Result<Option<SharedSnapshot<S>>, NoFallback> {
        let mut better = match &mut self.fallback {
            Fallback::Initial(initial) if !SharedSnapshot::<S>::ptr_eq(initial, self.kept.snapshot()) => {
                Some(initial.clone())
            }
            Fallback::Previous(previous) => previous.take(),
            Fallback::Initial(_) | Fallback::None => None,
        };
        if better.is_none() {
            return Err(NoFallback);
        }
        self.keep(&mut better, self.life.serving, Callback::Restarted, nudge);
        if let Fallback::Previous(poison) = &mut self.fallback {
            // It is not to be gone back to.
            mem::swap(&mut **poison, &mut better);
        }
        Ok(better)
    }
}

/// There is no other state to go back to.
#[derive(Debug)]
pub(crate) struct NoFallback;
