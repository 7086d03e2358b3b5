//! The worker task: one incarnation, from its first callback to its last.
//!
//! The way of a message, top to bottom: [`take`](Worker::take) → [`perform`](Worker::perform) →
//! [`commit`](Worker::commit) → replies; or, if the callback crashes, [`crash`](Worker::crash), and the supervisor starts
//! the next incarnation from what was committed last.

use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};

use tokio::{task::coop, time::Instant};

use crate::{
    alarm::Alarm,
    callback::InCallback,
    cell::Fenced,
    contain::{Quiet, catch, drop_quietly},
    context::Context,
    dead_letter::Message,
    debug,
    error::StartError,
    exit::{Callback, CrashReport, ExitReason, Place},
    feed::Nudge,
    gen_server::{GenServer, Next},
    job::{After, End, Job, Opening, Turn, Unkept},
    logical::Logical,
    mailbox::Fetched,
    preserve::{Preserve, Snapshot, StateMut},
    probe::Probes,
    record::{InHand, Parting},
    reply::Claim,
    scope::Scope,
    seat::Seat,
    spec::Poison,
    supervisor::Factory,
};

mod ends;
mod keeping;
mod probing;
mod requests;

use self::probing::Stopwatch;

pub(crate) struct Worker<S: GenServer> {
    logical: Arc<Logical<S>>,
    epoch: u64,
    /// `self` of the callbacks: this incarnation's own.
    server: Quiet<S>,
    /// The working copy.
    state: Quiet<S::State>,
    /// Whether the callback took `&mut` to it.
    changed: bool,
    /// How many callbacks that did so are not committed.
    uncommitted: u64,
    cx: Context<S>,
    scope: Scope,
    /// A snapshot that is not kept any more, for the next one to be written into.
    spare: Quiet<Option<Arc<Snapshot<S>>>>,
    /// Whether a reply was cloned for the snapshot that is kept, and for the one that was just taken.
    kept_holds_replies: bool,
    fresh_holds_replies: bool,
    /// For timers and the idle timeout.
    alarm: Alarm,
    debug: Option<Arc<debug::Hooks>>,
    probes: Option<Arc<Probes>>,
    stopwatch: Stopwatch,
    /// What an upgrade puts in the place of the supervisor's factory, with its commit.
    factory: Option<Factory<S>>,
    /// What it leaves in the mailbox when it goes to sleep.
    seat: WorkerSeat,
    /// Whether it has done so with its last commit.
    asleep: bool,
    /// How many callbacks it may run before others get their turn.
    turns: u8,
}

/// The seat of a worker. The end is in a box, since the task has room for it for as long as it lives.
pub(crate) type WorkerSeat = Arc<Seat<Box<End>>>;

/// So many callbacks count as one turn of a Tokio resource.
const TURNS: u8 = 8;

/// Lives one incarnation. `initial` is the state as it was given, for the first one.
pub(crate) async fn live<S: GenServer>(
    logical: Arc<Logical<S>>,
    seat: WorkerSeat,
    epoch: u64,
    server: Quiet<S>,
    initial: Option<Quiet<S::State>>,
    opening: Opening,
) -> Box<End> {
    let (kept, probes) = logical.cell.look(|record| (record.kept.clone(), record.probes.clone()));
    let state = match initial {
        Some(state) => state,
        None => match catch(|| S::State::restore(&kept)) {
            Ok(state) => Quiet::new(state),
            Err(payload) => {
                let place =
                    Place { callback: Callback::Restarted, incarnation: epoch, version: kept.version() };
                let report = CrashReport::of_panic(payload.as_any(), place);
                return Box::new(End::Died { reason: ExitReason::Crashed(report.clone()), report });
            }
        },
    };
    let mut worker = Worker {
        epoch,
        server,
        state,
        changed: false,
        uncommitted: 0,
        cx: Context::new(logical.clone(), epoch, kept.version()),
        scope: Scope::new(logical.clone(), epoch),
        spare: Quiet::new(None),
        kept_holds_replies: true,
        fresh_holds_replies: true,
        alarm: Alarm::default(),
        debug: None,
        probes,
        stopwatch: Stopwatch::default(),
        factory: None,
        seat,
        asleep: false,
        turns: 0,
        logical,
    };
    drop_quietly(kept);
    Box::new(worker.run(opening).await)
}

impl<S: GenServer> Worker<S> {
    async fn run(&mut self, opening: Opening) -> End {
        let mut job = Job::from(opening);
        if self.open(job.callback()).is_err() {
            return End::Fenced;
        }
        loop {
            let callback = job.callback();
            let turn = match job {
                Job::Stop(reason) => return self.stop(reason, true).await,
                Job::System(wish) => self.grant(wish),
                Job::Void(unwanted) => {
                    drop_quietly(unwanted);
                    Ok(Turn::Next(None))
                }
                job => match self.perform(job).await {
                    Ok(next) => self.commit(callback, next),
                    Err(report) => Err(Unkept::Crashed(report)),
                },
            };
            match turn {
                Ok(Turn::Next(Some(next))) => {
                    job = next;
                    continue;
                }
                Ok(Turn::Next(None)) => {}
                Ok(Turn::Sleep) => self.asleep = true,
                Ok(Turn::Stop(reason)) => return self.stop(reason.at(self.place(callback)), false).await,
                Err(Unkept::Crashed(report)) => return self.crash(report).await,
                Err(Unkept::Ignored) => return End::NotStarted(StartError::Ignored),
                Err(Unkept::Fenced) => return End::Fenced,
            }
            job = match self.take().await {
                Ok(job) => job,
                Err(Fenced) => return End::Fenced,
            };
        }
    }

    /// Puts the opening callback in hand.
    fn open(&self, callback: Callback) -> Result<(), Fenced> {
        self.logical.cell.enter(self.epoch, |record| record.in_hand = Some(InHand { callback, claim: None }))
    }

    // ---- take: K6, K9, K10

    /// Waits for the next thing to do, and puts it in hand.
    async fn take(&mut self) -> Result<Job<S>, Fenced> {
        poll_fn(|task| self.poll_take(task)).await
    }

    fn poll_take(&mut self, task: &mut Task<'_>) -> Poll<Result<Job<S>, Fenced>> {
        if mem::take(&mut self.asleep) {
            return Poll::Pending;
        }
        // A busy worker yields now and then like any Tokio resource, so that it can be aborted and others get their turn.
        let coop = ready!(coop::poll_proceed(task));
        loop {
            let (debug, mut stale) = (&mut self.debug, None);
            let taken = self.logical.cell.enter(self.epoch, |record| {
                stale = watch(debug, &record.debug);
                if let Some(job) = record.next_job() {
                    return Ok(job);
                }
                if record.is_held_up() {
                    self.logical.mailbox.listen(&self.seat);
                    return Err(None);
                }
                let fetched = self.logical.mailbox.fetch(&mut record.batch, &self.seat);
                if let Fetched::Messages = fetched {
                    return record.next_job().ok_or(None);
                }
                if let Fetched::Closed(_) = fetched {
                    record.life.last_call.get_or_insert_with(Instant::now);
                }
                if let Some(job) = record.timer() {
                    return Ok(job);
                }
                if let Fetched::Closed(reason) = fetched {
                    return Ok(Job::Stop(reason));
                }
                if record.idle_until.is_some_and(|until| until <= Instant::now()) {
                    record.idle_until = None;
                    return Ok(record.begin(Callback::Timeout, None, Job::Timeout));
                }
                Err(record.wake_at())
            });
            if stale.is_some() {
                drop_quietly(stale);
            }
            match taken {
                Err(fenced) => return Poll::Ready(Err(fenced)),
                Ok(Ok(job)) => {
                    coop.made_progress();
                    self.turns = TURNS;
                    self.taken(&job);
                    return Poll::Ready(Ok(job));
                }
                Ok(Err(None)) => return Poll::Pending,
                Ok(Err(Some(until))) => ready!(self.alarm.poll(until, task)),
            }
        }
    }

    /// A job was taken: if it is mail, a bounded mailbox has room for another.
    fn taken(&self, job: &Job<S>) {
        if job.is_mail() {
            self.logical.mailbox.taken();
        }
    }

    // ---- perform: K3, K7

    /// Runs one callback on the working copy.
    async fn perform(&mut self, job: Job<S>) -> Result<Next<S>, CrashReport> {
        let place = self.place(job.callback());
        if self.debug.is_some() {
            self.report_message(place.callback);
        }
        let job = if self.logical.hooks.copies().is_some() { self.with_copy(job)? } else { job };
        let span = self.span(place.callback);
        self.start_watch();
        let Self { server, state, changed, cx, scope, .. } = self;
        let state = StateMut::new(&mut **state, changed);
        let callback = async move {
            match job {
                Job::Init => server.init(state, cx).await,
                Job::Restarted(why) => server.restarted(&why, state, cx).await,
                Job::Call(call) | Job::Again(Message::Call(call)) => {
                    server.handle_call(call, state, cx).await
                }
                Job::Cast(cast) | Job::Again(Message::Cast(cast)) => {
                    server.handle_cast(cast, state, cx).await
                }
                Job::Info(info) | Job::Timer(info) | Job::Again(Message::Info(info)) => {
                    server.handle_info(info, state, cx).await
                }
                Job::Notice(notice) => server.handle_info(notice.make(), state, cx).await,
                Job::Tick(maker) => match maker.make() {
                    Some(info) => server.handle_info(info, state, cx).await,
                    None => Ok(Next::Wait),
                },
                Job::Continue(next) => server.handle_continue(next, state, cx).await,
                Job::Timeout => server.handle_timeout(state, cx).await,
                Job::System(_) | Job::Stop(_) | Job::Void(_) => unreachable!("it is not a callback"),
            }
        };
        let done = InCallback::new(scope, span, callback).await;
        self.stop_watch();
        match done {
            Ok(Ok(next)) => Ok(next),
            Ok(Err(crash)) => Err(CrashReport::of_error(crash, place)),
            Err(payload) => Err(CrashReport::of_panic(payload.as_any(), place)),
        }
    }

    fn place(&self, callback: Callback) -> Place {
        Place { callback, incarnation: self.epoch, version: self.cx.version }
    }

    // ---- commit: K1, K2

    /// Keeps what the callback did, then releases what it said. No await in here, so no kill can fall in between.
    fn commit(&mut self, callback: Callback, next: Next<S>) -> Result<Turn<S>, Unkept> {
        self.scope.end_waits();
        let after = After::of(next, self.place(callback))?;
        self.turns = self.turns.saturating_sub(1);
        // K1: the user's `Clone` runs before anything is committed; if it panics, that is a crash of this callback.
        let mut snapshot = if self.is_due(callback, stops(&after)) { self.snapshot(callback)? } else { None };
        if after.is_none() && self.is_plain(callback) {
            match self.commit_plainly(callback, &mut snapshot) {
                Ok(Some(turn)) => return Ok(turn),
                Ok(None) => {}
                Err(Fenced) => {
                    drop_quietly(snapshot);
                    return Err(Unkept::Fenced);
                }
            }
        }
        self.commit_fully(callback, after, snapshot)
    }

    /// Whether the callback has left nothing to see to but a message's state and replies.
    fn is_plain(&self, callback: Callback) -> bool {
        matches!(callback, Callback::Call | Callback::Cast | Callback::Info)
            && self.cx.effects.are_none()
            && self.probes.is_none()
            && self.debug.is_none()
            && self.factory.is_none()
            && self.logical.options.poison == Poison::Stop
    }

    /// Commits where there is nothing to see to but the state, its listeners, the caller and the next message, as with nearly every
    /// callback. `None` if there is more, and nothing is done.
    #[inline]
    fn commit_plainly(
        &mut self,
        callback: Callback,
        snapshot: &mut Option<Arc<Snapshot<S>>>,
    ) -> Result<Option<Turn<S>>, Fenced> {
        let Self { logical, epoch, scope, seat, turns, .. } = self;
        let (replies, changed) = (scope.held(), snapshot.is_some());
        let (mut claim, mut nudge) = (None, Nudge::none());
        let committed = logical.cell.commit(*epoch, |record| {
            if !record.is_plain() {
                return None;
            }
            if changed {
                record.keep_plainly(snapshot, *epoch, callback, &mut nudge);
            }
            record.counters.replies_out += replies;
            record.life.proven = true;
            claim = record.in_hand.take().and_then(|in_hand| in_hand.claim);
            Some(if *turns > 0 { record.next_turn(&logical.mailbox, seat) } else { Turn::Next(None) })
        });
        let Some(turn) = committed? else { return Ok(None) };
        scope.say(&mut claim);
        self.go_on(&turn, claim);
        if changed {
            self.kept(snapshot.take(), false);
        }
        nudge.ring();
        Ok(Some(turn))
    }

    /// The commit is done, and the replies are out.
    #[inline]
    fn go_on(&self, turn: &Turn<S>, claim: Option<Claim>) {
        if let Turn::Next(Some(job)) = turn {
            self.taken(job);
        }
        // Whoever waited for this callback has the answer; what follows is not theirs to wait for.
        if let Some(claim) = claim {
            self.logical.defer(claim);
        }
    }

    /// As [`commit_plainly`](Self::commit_plainly), whatever there is to see to.
    fn commit_fully(
        &mut self,
        callback: Callback,
        mut after: Option<After<S>>,
        mut snapshot: Option<Arc<Snapshot<S>>>,
    ) -> Result<Turn<S>, Unkept> {
        let changed = snapshot.is_some();
        let (mut nudge, mut claim, mut copy, mut stale) = (Nudge::none(), None, None, None);
        let (mut calls_are_open, mut waiting) = (false, None);
        let Self { logical, epoch, scope, cx, debug, factory, seat, turns, probes, .. } = self;
        let replies = scope.held();
        let committed = logical.cell.commit(*epoch, |record| {
            if record.faults.strike(callback) {
                // A crash like any other: nothing is kept yet, and nothing said (K1).
                return None;
            }
            record.keep(&mut snapshot, *epoch, callback, &mut nudge);
            cx.effects.record(record);
            record.counters.replies_out += replies;
            if factory.is_some() {
                mem::swap(&mut record.factory, factory);
            }
            stale = watch(debug, &record.debug);
            record.follow(&mut after, callback);
            let serves = record.went_well(callback, *epoch, &mut nudge);
            calls_are_open = record.deferred.any();
            claim = record.in_hand.take().and_then(|in_hand| in_hand.claim);
            if let Some(extras) = &mut record.extras {
                copy = extras.take_copy();
            }
            if stops(&after) {
                record.parting = Some(Box::new(Parting { said: scope.say_later(), claim: claim.take() }));
                return Some((serves, Turn::Next(None)));
            }
            if probes.is_some() {
                // The next one included.
                waiting = Some(record.batch.len() + logical.mailbox.len());
            }
            // The lock is held anyway: what comes next is taken in the same go, unless it is another task's turn.
            let turn = if *turns > 0 { record.next_turn(&logical.mailbox, seat) } else { Turn::Next(None) };
            Some((serves, turn))
        });
        let (serves, turn) = match committed {
            Ok(Some(committed)) => committed,
            unkept => {
                drop_quietly(snapshot);
                let crashed = || Unkept::Crashed(CrashReport::on_purpose(self.place(callback)));
                return Err(unkept.map_or(Unkept::Fenced, |_| crashed()));
            }
        };
        cx.effects.connect(logical);
        scope.say(&mut claim);
        cx.effects.carry_out(logical);
        if copy.is_some() || stale.is_some() {
            drop_quietly(copy);
            drop_quietly(stale);
        }
        self.go_on(&turn, claim);
        if changed {
            self.kept(snapshot, calls_are_open);
        }
        if self.debug.is_some() {
            self.report_commit(changed, replies);
        }
        self.report_run(callback, false, waiting);
        nudge.ring();
        if serves {
            self.logical.serves();
        }
        let Some(After { stop, hibernate, .. }) = after else { return Ok(turn) };
        if hibernate {
            self.shrink();
        }
        Ok(stop.map_or(turn, Turn::Stop))
    }

    /// Frees what memory can be freed.
    fn shrink(&mut self) {
        self.alarm = Alarm::default();
        self.scope.shrink();
        drop_quietly(self.spare.take());
        self.logical.mailbox.shrink();
        self.logical.cell.look(|record| record.batch.shrink_to_fit());
    }
}

/// Takes note of the debug hooks that are installed: hardly ever any. Those from before come back, to be dropped outside the
/// lock (K8).
#[inline]
fn watch(
    known: &mut Option<Arc<debug::Hooks>>,
    installed: &Option<Arc<debug::Hooks>>,
) -> Option<Arc<debug::Hooks>> {
    if known.is_none() && installed.is_none() { None } else { mem::replace(known, installed.clone()) }
}

/// Lets go of what an incarnation leaves behind. What that says by its `Drop` is not heard (K4).
fn unheard(scope: &mut Scope, let_go: impl FnOnce()) {
    let _ = scope.enter(let_go);
    scope.forget();
}

fn stops<S: GenServer>(after: &Option<After<S>>) -> bool {
    after.as_ref().is_some_and(|after| after.stop.is_some())
}

impl<S: GenServer> Drop for Worker<S> {
    fn drop(&mut self) {
        let Self { scope, server, state, cx, .. } = self;
        unheard(scope, || {
            cx.effects.forget();
            server.clear();
            state.clear();
        });
    }
}
