//! The supervisor task of one logical server: starts the keeper and incarnation after incarnation, pays for them out of the
//! restart budget, and ends the whole.

mod attend;
mod finish;
mod incarnation;
mod restarting;

use std::{
    convert::Infallible,
    mem,
    sync::Arc,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle, yield_now},
    time::Instant,
};

use self::incarnation::Incarnation;
use crate::{
    alarm::Alarm,
    contain::{Payload, Quiet, catch},
    deadlines::later,
    error::{CallError, StartError},
    exit::{Callback, CrashKind, CrashReport, ExitReason, Place},
    gen_server::GenServer,
    job::{End, Factory, Opening},
    logical::Logical,
    record::{Phase, Record},
    restart::Budget,
    worker::Worker,
};

/// The keeper's own budget, for panics of its task. Listeners' panics are caught, so there should be none; that somebody
/// aborts it, over and over, is harmless.
const KEEPER_BUDGET: (u32, Duration) = (1000, Duration::from_secs(10));

/// Its task waits for as long as the server lives, so what it holds meanwhile is kept small.
pub(crate) struct Supervisor<S: GenServer> {
    logical: Arc<Logical<S>>,
    /// Taken from the record at the first start; an upgrade puts another one there.
    factory: Option<Factory<S>>,
    worker: Option<Incarnation>,
    /// One for each listener; `None` for one that is done.
    keepers: Vec<Option<JoinHandle<()>>>,
    remains: Option<Box<Remains>>,
    alarm: Alarm,
    /// How many incarnations in a row have crashed without handling one message.
    barren: u32,
    /// How this life ends, once its last incarnation is gone.
    end: Option<Phase>,
    /// Whether there will be no other life.
    is_last: bool,
    over: bool,
}

/// What most supervisors never come to have.
struct Remains {
    /// Workers that could not be stopped (K5).
    zombies: Vec<Incarnation>,
    /// The server's own tasks, once they are aborted.
    tasks: Vec<JoinHandle<()>>,
    /// For panics of keepers.
    keeper_budget: Budget,
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
    pub(crate) fn new(logical: Arc<Logical<S>>) -> Self {
        Self {
            logical,
            factory: None,
            worker: None,
            keepers: Vec::new(),
            remains: None,
            alarm: Alarm::default(),
            barren: 0,
            end: None,
            is_last: false,
            over: false,
        }
    }

    /// One life of the logical server after the other, for as long as its parent begins another.
    pub(crate) async fn run(&mut self) {
        self.start_keepers();
        while self.logical.cell.look(|record| record.opening.is_some()) {
            self.barren = 0;
            let Err(finale) = self.incarnations().await;
            self.end = Some(match finale {
                Ok(reason) => Phase::Terminated(reason),
                Err(error) => Phase::Failed(error),
            });
            if !self.conclude().await {
                break;
            }
        }
    }

    /// One incarnation after the other, until the logical server is to end.
    async fn incarnations(&mut self) -> Result<Infallible, Finale> {
        loop {
            let end = match self.bring_to_life()? {
                Ok(first) => self.watch(first).await,
                Err(report) => {
                    // No worker was waited for, so that nobody else has had a turn since the last life.
                    yield_now().await;
                    End::Died { reason: ExitReason::Crashed(report.clone()), report }
                }
            };
            let death = self.bury(end)?;
            let reason = death.reason.clone();
            if let Some(until) = self.pay_for(death)? {
                self.back_off(until).await?;
            }
            self.announce_next(reason);
        }
    }

    /// Starts the next incarnation. Tells whether it is the first of this life; the report is of a factory that has panicked.
    fn bring_to_life(&mut self) -> Result<Result<bool, CrashReport>, Finale> {
        let Some(epoch) = self.logical.cell.open_if(|record| !record.life.kill) else {
            return Err(if self.is_first_life() { Err(self.never_served()) } else { Ok(ExitReason::Killed) });
        };
        let (opening, factory, initial) = self.logical.cell.look(|record| {
            let initial = record.initial.as_mut().and_then(|initial| initial.given.take());
            // What nobody will ask for again is not held.
            let used_up = record.initial.take_if(|initial| initial.snapshot.is_none());
            drop(used_up);
            (record.opening.take(), record.factory.take(), initial)
        });
        let opening = opening.expect("an incarnation is brought to life only where one is to begin");
        let first = matches!(opening, Opening::Init);
        self.factory = factory.or_else(|| self.factory.take());
        let factory = self.factory.as_ref().expect("a server is not started without a factory");
        match catch(&***factory) {
            Ok(server) => {
                let (logical, server) = (self.logical.clone(), Quiet::new(server));
                let worker = |seat| Worker::new(logical, seat, epoch, server, initial, opening).live();
                self.worker = Some(Incarnation::spawn(worker));
                Ok(Ok(first))
            }
            Err(payload) => {
                let callback = if first { Callback::Init } else { Callback::Restarted };
                Ok(Err(CrashReport::of_panic(payload.as_any(), self.place(callback))))
            }
        }
    }

    /// Waits for the end of the incarnation that is alive; what it takes to end it from outside is done here (K4, K5).
    async fn watch(&mut self, first: bool) -> End {
        let init_timeout = self.logical.options.init_timeout.filter(|_| first);
        let mut init_until = init_timeout.and_then(later);
        loop {
            let kill_at = self.logical.cell.look(|record| record.life.kill_at);
            let until = [init_until, kill_at].into_iter().flatten().min();
            let seen = self.attend(until, move |this, task| this.poll_watch(kill_at, task)).await;
            match seen {
                Some(Watched::Ended(end)) => return end,
                Some(Watched::Fenced) => {
                    if self.logical.cell.look(|record| record.life.kill) {
                        // The end of the server; nobody who waits for it has to wait for a worker that does not yield.
                        let comes_back = self.logical.comes_back(&ExitReason::Killed);
                        let tasks = self.logical.dismiss_everyone(&ExitReason::Killed, comes_back);
                        self.wait_for(tasks);
                    }
                    return self.remove().await;
                }
                Some(Watched::NewOrders) => {}
                None if self.is_to_be_killed() => self.logical.kill(),
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

    fn is_to_be_killed(&self) -> bool {
        let kill_at = self.logical.cell.look(|record| record.life.kill_at);
        kill_at.is_some_and(|at| at <= Instant::now())
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
        let joined = ready!(worker.poll(task));
        self.worker = None;
        Poll::Ready(joined.map_or_else(|error| self.unforeseen(error), |end| *end))
    }

    /// The worker task itself was cancelled or panicked. Callbacks cannot make it panic, so this is a fault of a runtime or
    /// of this crate; it is treated as a crash all the same.
    fn unforeseen(&self, error: JoinError) -> End {
        if !error.is_panic() {
            // Nobody here cancels a worker before it is fenced: the runtime is shutting down.
            return if self.logical.cell.is_open() { End::Stopped(ExitReason::Killed) } else { End::Fenced };
        }
        let payload = Payload::new(error.into_panic());
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
        if let Some(zombie) = self.worker.take() {
            self.remains().zombies.push(zombie);
        }
        end.unwrap_or(End::Abandoned)
    }

    fn remains(&mut self) -> &mut Remains {
        self.remains.get_or_insert_with(|| {
            let keeper_budget = Budget::new(KEEPER_BUDGET.0, KEEPER_BUDGET.1);
            Box::new(Remains { zombies: Vec::new(), tasks: Vec::new(), keeper_budget })
        })
    }

    /// The server is not over before these are.
    fn wait_for(&mut self, tasks: Vec<JoinHandle<()>>) {
        if !tasks.is_empty() {
            self.remains().tasks.extend(tasks);
        }
    }

    /// Sees an incarnation off: is it to be replaced, or was that the end of the logical server?
    fn bury(&mut self, end: End) -> Result<Death, Finale> {
        let place = self.place(Callback::Idle);
        let (fallen, killed, kill, proven, rerun, starting) = self.logical.cell.look(|record| {
            let life = &mut record.life;
            let starting = matches!(life.phase, Phase::Starting);
            let (proven, rerun) = (mem::take(&mut life.proven), mem::take(&mut life.rerun));
            (life.fallen.take(), life.killed.take(), life.kill, proven, rerun, starting)
        });
        let abandoned = matches!(end, End::Abandoned);
        let (reason, report) = match end {
            End::NotStarted(error) => return Err(Err(error)),
            End::Stopped(reason) if !kill => return Err(Ok(reason)),
            End::Died { reason, report } => (reason, report),
            End::Fenced | End::Abandoned | End::Stopped(_) => match fallen {
                // A kill that comes after a crash does not undo what the caller of that was told.
                Some(report) => (ExitReason::Crashed(report.clone()), report),
                None => {
                    let cancelled = || CrashReport::new(CrashKind::Kill, "its task was cancelled", place);
                    (ExitReason::Killed, killed.unwrap_or_else(cancelled))
                }
            },
        };
        // Of a later life, a kill is an end like any other.
        if starting && (!kill || self.is_first_life()) {
            return Err(Err(StartError::Init(report)));
        }
        if kill {
            if report.kind() != CrashKind::Kill {
                // It crashed, and its caller was told so, before the server was killed.
                self.tell_of(&report, abandoned);
            }
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

    /// Whether it has never served.
    fn is_first_life(&self) -> bool {
        self.logical.cell.look(|record| record.life.serving == 0)
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
