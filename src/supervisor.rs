//! The supervisor task of one logical server: starts the keeper and incarnation after incarnation, pays for them out of the
//! restart budget, and ends the whole.

mod attend;

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle},
    time::Instant,
};

use crate::{
    alarm::Alarm,
    contain::{Payload, Quiet, catch, drop_quietly},
    deadlines::later,
    error::{CallError, StartError},
    exit::{Callback, CrashKind, CrashReport, ExitReason, Place},
    feed::{Event, Nudge},
    gen_server::{GenServer, Restart},
    job::{End, Job},
    keeper,
    logical::Logical,
    record::{Phase, Record},
    restart::{Budget, Verdict},
    spec::Poison,
    worker,
};

/// The keeper's own budget, for panics of its task. Listeners' panics are caught, so there should be none; that somebody
/// aborts it, over and over, is harmless.
const KEEPER_BUDGET: (u32, Duration) = (1000, Duration::from_secs(10));

/// How long the end waits for listeners that are behind. They are told the rest all the same.
const DRAIN: Duration = Duration::from_secs(5);

pub(crate) type Factory<S> = Box<dyn Fn() -> S + Send>;

pub(crate) struct Supervisor<S: GenServer> {
    logical: Arc<Logical<S>>,
    factory: Quiet<Factory<S>>,
    /// The state as it was given, for the first incarnation.
    initial: Option<Quiet<S::State>>,
    worker: Option<JoinHandle<End>>,
    keeper: Option<JoinHandle<()>>,
    /// Workers that could not be stopped (K5).
    zombies: Vec<JoinHandle<End>>,
    /// The server's own tasks, once they are aborted.
    tasks: Vec<JoinHandle<()>>,
    keeper_budget: Budget,
    /// How many incarnations in a row have crashed without handling one message.
    barren: u32,
    born: Instant,
    alarm: Alarm,
    /// How it ends, once that is decided.
    end: Option<Phase>,
    over: bool,
}

/// An incarnation that has to be replaced.
struct Death {
    reason: ExitReason,
    report: CrashReport,
    abandoned: bool,
}

/// How the logical server ends.
type Finale = Result<ExitReason, StartError>;

impl<S: GenServer> Supervisor<S> {
    pub(crate) fn new(
        logical: Arc<Logical<S>>,
        factory: Quiet<Factory<S>>,
        initial: Quiet<S::State>,
    ) -> Self {
        Self {
            keeper_budget: Budget::new(KEEPER_BUDGET.0, KEEPER_BUDGET.1),
            logical,
            factory,
            initial: Some(initial),
            worker: None,
            keeper: None,
            zombies: Vec::new(),
            tasks: Vec::new(),
            barren: 0,
            born: Instant::now(),
            alarm: Alarm::default(),
            end: None,
            over: false,
        }
    }

    pub(crate) async fn run(&mut self) {
        self.start_keeper();
        let finale = self.lives().await;
        self.finish(finale).await;
    }

    /// One incarnation after the other, until the logical server is to end.
    async fn lives(&mut self) -> Finale {
        let mut opening = Job::Init;
        loop {
            let prepared = match self.life(opening).await {
                Ok(death) => self.prepare(death).await,
                Err(finale) => Err(finale),
            };
            opening = match prepared {
                Ok(restart) => Job::Restarted(restart),
                Err(finale) => return finale,
            };
        }
    }

    /// One incarnation from its start to its end.
    async fn life(&mut self, opening: Job<S>) -> Result<Death, Finale> {
        let first = matches!(opening, Job::Init);
        let Some(epoch) = self.logical.cell.open_if(|record| !record.life.kill) else {
            return Err(if first { Err(self.never_served()) } else { Ok(ExitReason::Killed) });
        };
        if let Some(upgraded) = self.logical.cell.look(|record| record.factory.take()) {
            self.factory = Quiet::new(upgraded);
        }
        let end = match catch(|| (self.factory)()) {
            Ok(server) => {
                let initial = self.initial.take();
                let worker = worker::live(self.logical.clone(), epoch, Quiet::new(server), initial, opening);
                self.worker = Some(tokio::spawn(worker));
                self.watch(first).await
            }
            Err(payload) => {
                let callback = if first { Callback::Init } else { Callback::Restarted };
                let report = CrashReport::of_panic(payload.as_any(), self.place(callback));
                drop(payload);
                // No worker was waited for, so that nobody else has had a turn since the last life.
                tokio::task::yield_now().await;
                End::Died { reason: ExitReason::Crashed(report.clone()), report }
            }
        };
        self.bury(end)
    }

    /// Waits for the end of the incarnation that is alive; what it takes to end it from outside is done here (K4, K5).
    async fn watch(&mut self, first: bool) -> End {
        let init_timeout = self.logical.options.init_timeout.filter(|_| first);
        let mut init_until = init_timeout.and_then(later);
        loop {
            let kill_at = self.logical.cell.look(|record| record.life.kill_at);
            let until = [init_until, kill_at].into_iter().flatten().min();
            let seen = self.attend(until, |this, task| this.poll_watch(kill_at, task)).await;
            match seen {
                Some(Watched::Ended(end)) => return end,
                Some(Watched::Fenced) => {
                    if self.logical.cell.look(|record| record.life.kill) {
                        // The end of the server; nobody who waits for it has to wait for a worker that does not yield.
                        let tasks = self.logical.dismiss_everyone(&ExitReason::Killed);
                        self.tasks.extend(tasks);
                    }
                    return self.remove().await;
                }
                Some(Watched::NewOrders) => {}
                None if kill_at.is_some_and(|at| at <= Instant::now()) => self.logical.kill(),
                None => {
                    init_until = None;
                    if self.logical.give_up_starting() {
                        self.remove().await;
                        return End::NotStarted(StartError::Timeout);
                    }
                }
            }
        }
    }

    fn poll_watch(&mut self, kill_at: Option<Instant>, task: &mut Task<'_>) -> Poll<Watched> {
        if let Poll::Ready(end) = self.poll_worker(task) {
            return Poll::Ready(Watched::Ended(end));
        }
        let (kill, new_kill_at) = self.logical.cell.look(|record| (record.life.kill, record.life.kill_at));
        if kill {
            // Given between two lives, the order found nobody to fence.
            self.logical.kill();
        }
        if !self.logical.cell.is_open() {
            return Poll::Ready(Watched::Fenced);
        }
        if new_kill_at != kill_at {
            return Poll::Ready(Watched::NewOrders);
        }
        Poll::Pending
    }

    fn poll_worker(&mut self, task: &mut Task<'_>) -> Poll<End> {
        let Some(worker) = &mut self.worker else { return Poll::Ready(End::Fenced) };
        let joined = ready!(Pin::new(worker).poll(task));
        self.worker = None;
        Poll::Ready(joined.unwrap_or_else(|error| self.unforeseen(error)))
    }

    /// The worker task itself was cancelled or panicked. Callbacks cannot make it panic, so this is a fault of a runtime or
    /// of this crate; it is treated as a crash all the same.
    fn unforeseen(&self, error: JoinError) -> End {
        let Ok(payload) = error.try_into_panic() else {
            // Nobody here cancels a worker before it is fenced: the runtime is shutting down.
            return if self.logical.cell.is_open() { End::Stopped(ExitReason::Killed) } else { End::Fenced };
        };
        let payload = Payload::new(payload);
        let report = CrashReport::of_panic(payload.as_any(), self.place(Callback::Idle));
        End::Died { reason: ExitReason::Crashed(report.clone()), report }
    }

    /// K4: the incarnation is fenced; now its task has to go, or be left behind as a zombie (K5).
    async fn remove(&mut self) -> End {
        if let Some(worker) = &self.worker {
            worker.abort();
        }
        let grace = later(self.logical.options.kill_grace);
        let end = self.attend(grace, |this, task| this.poll_worker(task)).await;
        self.zombies.extend(self.worker.take());
        end.unwrap_or(End::Abandoned)
    }

    /// Sees an incarnation off: is it to be replaced, or was that the end of the logical server?
    fn bury(&mut self, end: End) -> Result<Death, Finale> {
        let place = self.place(Callback::Idle);
        let (killed, kill, proven, rerun, starting) = self.logical.cell.look(|record| {
            let life = &mut record.life;
            let starting = matches!(life.phase, Phase::Starting);
            let (proven, rerun) = (mem::take(&mut life.proven), mem::take(&mut life.rerun));
            (life.killed.take(), life.kill, proven, rerun, starting)
        });
        let abandoned = matches!(end, End::Abandoned);
        let (reason, report) = match end {
            End::NotStarted(error) => return Err(Err(error)),
            End::Stopped(reason) if !kill => return Err(Ok(reason)),
            End::Died { reason, report } => (reason, report),
            End::Fenced | End::Abandoned | End::Stopped(_) => {
                let killed = killed
                    .unwrap_or_else(|| CrashReport::new(CrashKind::Kill, "its task was cancelled", place));
                (ExitReason::Killed, killed)
            }
        };
        if starting {
            return Err(Err(StartError::Init(report)));
        }
        if kill {
            return Err(Ok(ExitReason::Killed));
        }
        // K4: there will be another. At an end of the whole, whoever still waits is told the reason of that.
        let retries = self.logical.hooks.retries();
        if let Some(left) = self.logical.cell.fence(|record, _| record.leave(retries)) {
            self.logical.see_off(left, CallError::Crashed(report.clone()));
        }
        let bound = |record: &mut Record<S>, next: u64| {
            record.extras.as_mut().map_or_else(Vec::new, |extras| extras.abort_bound_to(next - 1))
        };
        self.logical.cell.look_at(bound).into_iter().for_each(|task| task.abort());
        if proven {
            self.barren = 0;
        } else if report.kind() != CrashKind::Kill && !rerun {
            self.barren += 1;
        }
        Ok(Death { reason, report, abandoned })
    }

    /// Reports a death, pays for it, and waits as long as the next incarnation has to wait.
    async fn prepare(&mut self, death: Death) -> Result<Restart, Finale> {
        let Death { reason, report, abandoned } = death;
        self.log(&report, abandoned);
        let mut nudge = Nudge::none();
        self.logical.cell.look(|record| {
            record.life.phase = Phase::Restarting;
            record.counters.crashes += 1;
            record.counters.zombies += u64::from(abandoned);
            let kept = &record.kept;
            let crashed =
                || Event::Crashed { report: report.clone(), kept: kept.clone(), abandoned, lagged: 0 };
            record.feed.push(&mut nudge, crashed);
        });
        nudge.ring();
        if self.zombies.len() > self.logical.options.max_zombies {
            let message = format!("{} workers could not be stopped", self.zombies.len());
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
        let verdict = self.logical.cell.look(|record| record.budget.charge(record.born.elapsed()));
        match verdict {
            Verdict::Restart { recent } => self.back_off(recent).await?,
            Verdict::Exceeded if self.heal(report.callback()) => {
                self.logical.cell.look(|record| record.budget.clear());
            }
            Verdict::Exceeded => {
                tracing::error!(server = %self.logical.label(), %report, "the restart limit is reached");
                return Err(Ok(ExitReason::RestartLimit(report)));
            }
        }
        let incarnation = self.logical.cell.look_at(|record, next| {
            record.life.announced = next;
            next
        });
        self.logical.ring();
        Ok(Restart { reason, incarnation })
    }

    fn log(&self, report: &CrashReport, abandoned: bool) {
        let kept = || self.logical.cell.look(|record| record.kept.clone());
        let (server, state) = (self.logical.label(), self.logical.hooks.show(kept));
        tracing::error!(%server, %report, abandoned, state, "a worker crashed");
    }

    async fn back_off(&mut self, recent: u32) -> Result<(), Finale> {
        let Some(backoff) = self.logical.options.backoff else { return Ok(()) };
        let until = later(backoff.pause(recent, fastrand::f64()));
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
        tracing::error!(server = %self.logical.label(), poison = ?options.poison, "the state was poisoned; replaced");
        nudge.ring();
        drop_quietly(poison);
        self.barren = 0;
        true
    }

    /// SH2: the worker is gone; now the callers, the name, the listeners, and then this task.
    async fn finish(&mut self, finale: Finale) {
        let (phase, reason) = match finale {
            Ok(reason) => (Phase::Terminated(reason.clone()), reason),
            Err(error) => (Phase::Failed(error), ExitReason::Shutdown),
        };
        self.end = Some(phase.clone());
        let tasks = self.logical.dismiss_everyone(&reason);
        self.tasks.extend(tasks);
        let grace = later(self.logical.options.kill_grace);
        self.attend(grace, Self::poll_tasks).await;
        if !self.logical.announce_end(&reason) {
            // The last keeper died before there was an end to tell.
            self.start_keeper();
        }
        let drain = later(DRAIN);
        self.attend(drain, Self::poll_keeper).await;
        self.over = true;
        self.logical.over(phase);
    }

    fn poll_tasks(&mut self, task: &mut Task<'_>) -> Poll<()> {
        while let Some(last) = self.tasks.last_mut() {
            let joined = ready!(Pin::new(last).poll(task));
            self.tasks.pop();
            drop(joined.map_err(JoinError::try_into_panic).map_err(|panic| panic.map(Payload::new)));
        }
        Poll::Ready(())
    }

    fn poll_keeper(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let Some(keeper) = &mut self.keeper else { return Poll::Ready(()) };
        // A keeper that dies now has told the rest while it went.
        let _ = ready!(Pin::new(keeper).poll(task));
        self.keeper = None;
        Poll::Ready(())
    }

    /// The error of a server that was killed before it served.
    fn never_served(&self) -> StartError {
        StartError::Init(CrashReport::new(
            CrashKind::Kill,
            "killed before it served",
            self.place(Callback::Init),
        ))
    }

    fn place(&self, callback: Callback) -> Place {
        self.logical.cell.look_at(|record, epoch| Place { callback, ..record.place(epoch) })
    }
}

/// What the supervisor sees of a worker.
enum Watched {
    Ended(End),
    /// Somebody killed it.
    Fenced,
    /// Somebody wants the logical server to be over by some time.
    NewOrders,
}

impl<S: GenServer> Drop for Supervisor<S> {
    /// K14: the death of this task is the logical end.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let logical = &self.logical;
        let reason = ExitReason::Killed;
        drop(logical.dismiss_everyone(&reason));
        if let Some(worker) = &self.worker {
            worker.abort();
        }
        if !logical.announce_end(&reason) {
            keeper::tell_the_rest(logical);
        }
        let killed = || {
            if logical.cell.look(|record| record.life.serving > 0) {
                return Phase::Terminated(reason);
            }
            Phase::Failed(self.never_served())
        };
        logical.over(self.end.clone().unwrap_or_else(killed));
    }
}
