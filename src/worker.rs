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

use tokio::time::Instant;

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
    job::{After, End, Factory, Job, Opening, Turn, Unkept, WorkerSeat},
    logical::Logical,
    mailbox::Fetched,
    preserve::{Preserve, SharedSnapshot, StateMut},
    record::{InHand, Parting},
    scope::Scope,
    sync::coop,
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
    /// What is in hand and has not begun.
    job: Option<Job<S>>,
    /// Whether the callback took `&mut` to it.
    changed: bool,
    /// How many callbacks that did so are not committed.
    uncommitted: u64,
    cx: Context<S>,
    scope: Scope,
    /// A snapshot that is not kept any more, for the next one to be written into.
    spare: Quiet<Option<SharedSnapshot<S>>>,
    /// Whether a reply was cloned for the snapshot that is kept, and for the one that was just taken.
    kept_holds_replies: bool,
    fresh_holds_replies: bool,
    /// For timers and the idle timeout.
    alarm: Alarm,
    debug: Option<Arc<debug::Hooks>>,
    /// For the probes, if there are any.
    stopwatch: Option<Box<Stopwatch>>,
    /// What an upgrade puts in the place of the supervisor's factory, with its commit.
    factory: Option<Factory<S>>,
    /// What it leaves in the mailbox when it goes to sleep.
    seat: WorkerSeat,
    /// Whether it has done so with its last commit.
    asleep: bool,
    /// How many callbacks it may run before others get their turn.
    turns: u8,
}

/// So many callbacks count as one turn of a Tokio resource.
const TURNS: u8 = 8;

impl<S: GenServer> Worker<S> {
    /// `initial` is the state as it was given, for the first incarnation.
    pub(crate) fn new(
        logical: Arc<Logical<S>>,
        seat: WorkerSeat,
        epoch: u64,
        server: Quiet<S>,
        initial: Option<Quiet<S::State>>,
        opening: Opening,
    ) -> Self {
        let (version, probes) = logical.cell.look(|record| (record.kept.version(), record.probes.clone()));
        Self {
            epoch,
            server,
            state: initial.unwrap_or_else(Quiet::vacant),
            job: Some(opening.into()),
            changed: false,
            uncommitted: 0,
            cx: Context::new(logical.clone(), epoch, version),
            scope: Scope::new(logical.clone(), epoch),
            spare: Quiet::new(None),
            kept_holds_replies: true,
            fresh_holds_replies: true,
            alarm: Alarm::default(),
            debug: None,
            stopwatch: probes.map(Stopwatch::new),
            factory: None,
            seat,
            asleep: false,
            turns: 0,
            logical,
        }
    }

    /// Lives one incarnation.
    #[expect(clippy::manual_async_fn, reason = "that would have room for two workers")]
    pub(crate) fn live(mut self) -> impl Future<Output = Box<End>> + Send {
        async move {
            Box::new(match self.restore() {
                Ok(()) => self.run().await,
                Err(report) => End::Died { reason: ExitReason::Crashed(report.clone()), report },
            })
        }
    }

    /// Makes the working copy, unless it was given.
    fn restore(&mut self) -> Result<(), CrashReport> {
        if !self.state.is_vacant() {
            return Ok(());
        }
        let kept = self.logical.cell.look(|record| record.kept.clone());
        let restored = catch(|| S::State::restore(&kept));
        drop_quietly(kept);
        match restored {
            Ok(state) => self.state = Quiet::new(state),
            Err(payload) => {
                return Err(CrashReport::of_panic(payload.as_any(), self.place(Callback::Restarted)));
            }
        }
        Ok(())
    }

    async fn run(&mut self) -> End {
        if self.open().is_err() {
            return End::Fenced;
        }
        loop {
            let callback = self.callback();
            let turn = match callback {
                Callback::System | Callback::Terminate | Callback::Idle => match self.job.take() {
                    Some(Job::Stop(reason)) => return Box::pin(self.stop(reason, true)).await,
                    Some(Job::System(wish)) => self.grant(wish),
                    Some(Job::Void(unwanted)) => {
                        drop_quietly(unwanted);
                        Ok(Turn::GoOn)
                    }
                    _ => unreachable!("it is a callback"),
                },
                _ => match self.perform(callback).await {
                    Ok(next) => self.commit(callback, next),
                    Err(report) => Err(Unkept::Crashed(report)),
                },
            };
            match turn {
                Ok(Turn::GoOn) => {}
                Ok(Turn::Stop(reason)) => {
                    return Box::pin(self.stop(reason.at(self.place(callback)), false)).await;
                }
                Err(Unkept::Crashed(report)) => return self.crash(report).await,
                Err(Unkept::Ignored) => return End::NotStarted(StartError::Ignored),
                Err(Unkept::Fenced) => return End::Fenced,
            }
            if self.job.is_none() && self.take().await.is_err() {
                return End::Fenced;
            }
        }
    }

    /// Which callback the job in hand is.
    fn callback(&self) -> Callback {
        self.job.as_ref().map_or(Callback::Idle, Job::callback)
    }

    /// Puts the opening callback in hand.
    fn open(&self) -> Result<(), Fenced> {
        let callback = self.callback();
        self.logical.cell.enter(self.epoch, |record| record.in_hand = Some(InHand { callback, claim: None }))
    }

    // ---- take: K6, K9, K10

    /// Waits for the next thing to do, and puts it in hand.
    async fn take(&mut self) -> Result<(), Fenced> {
        poll_fn(|task| self.poll_take(task)).await
    }

    fn poll_take(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Fenced>> {
        if mem::take(&mut self.asleep) {
            return Poll::Pending;
        }
        // A busy worker yields now and then like any Tokio resource, so that it can be aborted and others get their turn.
        let coop = ready!(coop::poll_proceed(task));
        loop {
            let (debug, job, mut stale) = (&mut self.debug, &mut self.job, None);
            let wake_at = self.logical.cell.enter(self.epoch, |record| {
                if !are_same(debug, &record.debug) {
                    // Dropped outside the lock (K8).
                    stale = mem::replace(debug, record.debug.clone());
                }
                *job = record.next_job();
                if job.is_some() {
                    return None;
                }
                if record.is_held_up() {
                    self.logical.mailbox.listen(&self.seat);
                    return None;
                }
                let fetched = self.logical.mailbox.fetch(&mut record.batch, &self.seat);
                *job = match fetched {
                    Fetched::Messages => record.next_job(),
                    Fetched::Nothing => record.timed_job(),
                    Fetched::Closed(reason) => {
                        record.life.last_call.get_or_insert_with(Instant::now);
                        record.timer().or(Some(Job::Stop(reason)))
                    }
                };
                if job.is_none() { record.wake_at() } else { None }
            });
            if stale.is_some() {
                drop_quietly(stale);
            }
            match wake_at {
                Err(fenced) => return Poll::Ready(Err(fenced)),
                Ok(_) if self.job.is_some() => {
                    coop.made_progress();
                    self.turns = TURNS;
                    self.taken();
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => return Poll::Pending,
                Ok(Some(until)) => ready!(self.alarm.poll(until, task)),
            }
        }
    }

    /// A job was taken: if it is mail, a bounded mailbox has room for another.
    fn taken(&self) {
        if self.logical.mailbox.is_bounded() && self.job.as_ref().is_some_and(Job::is_mail) {
            self.logical.mailbox.make_room();
        }
    }

    // ---- perform: K3, K7

    /// Runs one callback on the working copy.
    async fn perform(&mut self, callback: Callback) -> Result<Next<S>, CrashReport> {
        if self.debug.is_some() {
            self.report_message(callback);
        }
        if self.logical.hooks.copies().is_some() {
            self.copy()?;
        }
        let span = self.span(callback);
        self.start_watch();
        let Self { server, state, changed, cx, scope, job, .. } = self;
        let state = StateMut::new(&mut **state, changed);
        let body = async move {
            match job.take().expect("a job is in hand") {
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
        let done = InCallback::new(scope, span, body).await;
        self.stop_watch();
        match done {
            Ok(Ok(next)) => Ok(next),
            Ok(Err(crash)) => Err(CrashReport::of_error(crash, self.place(callback))),
            Err(payload) => Err(CrashReport::of_panic(payload.as_any(), self.place(callback))),
        }
    }

    fn place(&self, callback: Callback) -> Place {
        Place { callback, incarnation: self.epoch, version: self.cx.version }
    }

    // ---- commit: K1, K2

    /// Keeps what the callback did, then releases what it said, and takes the next job if there is one. No await in here, so no kill
    /// can fall in between.
    fn commit(&mut self, callback: Callback, next: Next<S>) -> Result<Turn, Unkept> {
        self.scope.end_waits();
        let mut after = After::of(next, self.place(callback))?;
        let stops = after.as_ref().is_some_and(|after| after.stop.is_some());
        // K1: the user's `Clone` runs before anything is committed; if it panics, that is a crash of this callback.
        let mut snapshot = if self.is_due(callback, stops) { self.snapshot(callback)? } else { None };
        let changed = snapshot.is_some();
        self.turns = self.turns.saturating_sub(1);
        let (mut nudge, mut claim, mut copy) = (Nudge::none(), None, None);
        let (mut serves, mut calls_are_open, mut waiting) = (false, false, None);
        let Self { logical, epoch, scope, cx, debug, factory, seat, turns, stopwatch, job, asleep, .. } =
            self;
        let replies = scope.held();
        let committed = logical.cell.commit(*epoch, |record| {
            if record.faults.strike(callback) {
                // A crash like any other: nothing is kept yet, and nothing said (K1).
                return false;
            }
            record.keep(&mut snapshot, *epoch, callback, &mut nudge);
            cx.effects.record(record);
            record.counters.replies_out += replies;
            if factory.is_some() {
                mem::swap(&mut record.factory, factory);
            }
            record.follow(&mut after, callback);
            serves = record.went_well(callback, *epoch, &mut nudge);
            calls_are_open = record.deferred.any();
            claim = record.in_hand.take().and_then(|in_hand| in_hand.claim);
            if let Some(extras) = &mut record.extras {
                copy = extras.take_copy();
            }
            if stopwatch.is_some() {
                // The next one included.
                waiting = Some(record.batch.len() + logical.mailbox.len());
            }
            if stops {
                record.parting = Some(Box::new(Parting { said: scope.say_later(), claim: claim.take() }));
            } else if *turns > 0 && are_same(debug, &record.debug) {
                // The lock is held anyway: what comes next is taken in the same go, unless it is another task's turn, or there are
                // other hooks to learn of.
                *asleep = record.go_on(job, &logical.mailbox, seat);
            }
            true
        });
        if committed != Ok(true) {
            drop_quietly(snapshot);
            committed?;
            return Err(Unkept::Crashed(CrashReport::on_purpose(self.place(callback))));
        }
        cx.effects.connect(logical);
        scope.say(&mut claim);
        cx.effects.carry_out(logical);
        if copy.is_some() {
            drop_quietly(copy);
        }
        self.taken();
        // Whoever waited for this callback has the answer; what follows is not theirs to wait for.
        if let Some(claim) = claim {
            self.logical.defer(claim);
        }
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
        let Some(After { stop, hibernate, .. }) = after else { return Ok(Turn::GoOn) };
        if hibernate {
            self.shrink();
        }
        Ok(stop.map_or(Turn::GoOn, Turn::Stop))
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

/// Whether the debug hooks a worker knows are those that are installed: mostly there are none.
#[inline]
fn are_same(known: &Option<Arc<debug::Hooks>>, installed: &Option<Arc<debug::Hooks>>) -> bool {
    match (known, installed) {
        (None, None) => true,
        (Some(known), Some(installed)) => Arc::ptr_eq(known, installed),
        _ => false,
    }
}

/// Lets go of what an incarnation leaves behind. What that says by its `Drop` is not heard (K4).
fn unheard(scope: &mut Scope, let_go: impl FnOnce()) {
    let _ = scope.enter(let_go);
    scope.forget();
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
