//! The task of a supervisor: starts its children, hears of their ends, and restarts them out of its budget.
//!
//! Like OTP's supervisor it does one thing after the other, in the order in which it was told. A restart that fails goes back into
//! the queue, so that a child that never comes to serve keeps nobody from being heard.

mod dynamic;
mod ordered;

use std::{
    collections::BTreeSet,
    future::poll_fn,
    mem,
    pin::pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

use super::{
    branch::Branch,
    children::Stage,
    roster::{Event, Order, Roster},
};
use crate::{
    alarm::Alarm,
    contain::log,
    deadlines::later,
    error::StartError,
    exit::{Callback, CrashKind, CrashReport, ExitReason, Place},
    plan::{self, Reaction},
    record::{Phase, Then},
    restart::{Budget, Verdict},
    sync::coop,
};

pub(crate) struct Manager {
    branch: Arc<Branch>,
    on: Handle,
    budget: Budget,
    born: Instant,
    /// Which children are to be restarted, and when.
    retries: BTreeSet<Retry>,
    /// It is the queue's turn, if there is both something in it and a restart due.
    queue_first: bool,
    alarm: Alarm,
    /// Whether the children that there are have been killed.
    killed: bool,
    over: bool,
}

/// What a manager does next.
enum Next {
    End,
    News(u64),
    Order(Order),
    Retry(Retry),
}

/// A child that is to be restarted at some time: as the strategy has it, or, if it only was to be restarted with another one, alone
/// should that be gone by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Retry {
    at: Instant,
    seat: u64,
    alone: bool,
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How a supervisor ends.
type End = Result<ExitReason, StartError>;

impl Manager {
    pub(crate) fn new(branch: Arc<Branch>, on: Handle) -> Self {
        Self {
            budget: Budget::new(branch.rules.max_restarts, branch.rules.within),
            branch,
            on,
            born: Instant::now(),
            retries: BTreeSet::new(),
            queue_first: true,
            alarm: Alarm::default(),
            killed: false,
            over: false,
        }
    }

    pub(crate) async fn run(mut self) {
        let end = match self.branch.rules.strategy {
            Some(strategy) => self.look_after_ordered(strategy).await,
            None => self.look_after_dynamic().await,
        };
        self.over = true;
        self.branch.over(match end {
            Ok(reason) => Phase::Terminated(reason),
            Err(error) => Phase::Failed(error),
        });
    }

    /// Waits for the next thing to do.
    async fn next(&mut self) -> Next {
        poll_fn(|task| self.poll_next(task)).await
    }

    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Next> {
        // There may always be something to do: a child that never comes to serve, on a runtime that shuts down.
        let coop = ready!(coop::poll_proceed(task));
        let next = ready!(self.poll_whatever_is_next(task));
        coop.made_progress();
        Poll::Ready(next)
    }

    fn poll_whatever_is_next(&mut self, task: &mut Task<'_>) -> Poll<Next> {
        loop {
            let now = Instant::now();
            let due = self.retries.first().copied().filter(|retry| retry.at <= now);
            let queue_first = self.queue_first || due.is_none();
            let next = self.branch.look(|roster| {
                if roster.is_closing() {
                    return Some(Next::End);
                }
                let event = if queue_first { roster.events.pop_front() } else { None };
                if event.is_none() && due.is_none() {
                    roster.manager = Some(task.waker().clone());
                }
                event.map(|event| match event {
                    Event::News(seat) => Next::News(seat),
                    Event::Order(order) => Next::Order(order),
                })
            });
            if let Some(next) = next {
                self.queue_first = false;
                return Poll::Ready(next);
            }
            self.queue_first = true;
            if let Some(retry) = due {
                self.retries.remove(&retry);
                return Poll::Ready(Next::Retry(retry));
            }
            let Some(&Retry { at, .. }) = self.retries.first() else { return Poll::Pending };
            if self.alarm.poll(at, task).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Waits for something that children do. Whoever wants the supervisor to be over at once, or by now, is heard meanwhile.
    async fn wait<T>(&mut self, event: impl Future<Output = T>) -> T {
        let mut event = pin!(event);
        poll_fn(|task| {
            loop {
                let (kill, kill_at) = self.branch.look(|roster| {
                    roster.manager = Some(task.waker().clone());
                    (roster.kill, roster.kill_at)
                });
                if kill && !mem::replace(&mut self.killed, true) {
                    self.branch.kill_children();
                }
                if let Poll::Ready(done) = event.as_mut().poll(task) {
                    return Poll::Ready(done);
                }
                match kill_at.filter(|_| !kill) {
                    Some(at) if self.alarm.poll(at, task).is_ready() => self.branch.kill(),
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// A child has ended by itself, or did not come to serve again. `Err`: that ends the supervisor.
    fn attend_to(&mut self, seat: u64) -> Result<(), ExitReason> {
        let auto_shutdown = self.branch.rules.auto_shutdown;
        let decide = |roster: &mut Roster| {
            let others = roster.children.iter().filter(|(other, _)| *other != seat);
            let others = others.map(|(_, entry)| entry.member());
            let entry = roster.children.get(seat).filter(|entry| entry.is_news())?;
            Some(match &entry.stage {
                Stage::Ended(reason) => {
                    (plan::react(entry.member(), reason, auto_shutdown, others), reason.clone())
                }
                Stage::Failed(StartError::Ignored) => (Reaction::Stay, ExitReason::Normal),
                Stage::Failed(error) => (Reaction::Restart, reason_of(error)),
                _ => return None,
            })
        };
        let Some((reaction, reason)) = self.branch.look(decide) else { return Ok(()) };
        match reaction {
            Reaction::Restart => return self.schedule(seat, &reason).map(|_| ()),
            Reaction::Stay if self.branch.rules.strategy.is_some() => self.lay_down(seat),
            Reaction::Stay | Reaction::Forget => self.branch.forget(seat),
            Reaction::ShutDown => {
                self.lay_down(seat);
                return Err(ExitReason::Shutdown);
            }
        }
        Ok(())
    }

    /// Charges a restart, and has it done after the pause there is to be: then.
    fn schedule(&mut self, seat: u64, reason: &ExitReason) -> Result<Instant, ExitReason> {
        let now = Instant::now();
        let recent = match self.budget.charge(now.duration_since(self.born)) {
            Verdict::Restart { recent } => recent,
            Verdict::Exceeded => {
                let report = self.last_straw(seat, reason);
                log!(error, undying.supervisor = %self.branch.id, exception.message = %report, "the restart limit is reached");
                return Err(ExitReason::RestartLimit(report));
            }
        };
        let pause = self.branch.rules.backoff.map(|backoff| backoff.pause(recent, fastrand::f64()));
        // A pause that outlasts the clock is as good as a century.
        let at = pause.map_or(Some(now), later).unwrap_or(now + CENTURY);
        self.retry_at(Retry { at, seat, alone: false });
        Ok(at)
    }

    /// How often a child was over. What comes after that is news that is yet to be heard; what came before has been.
    fn ends(&self, seat: u64) -> u64 {
        let child = self.branch.look(|roster| roster.children.get(seat).map(|entry| entry.child.clone()));
        child.map_or(0, |child| {
            let ends = child.ends();
            child.lineage().settle();
            ends
        })
    }

    fn retry_at(&mut self, retry: Retry) {
        self.branch.look(|roster| {
            if let Some(entry) = roster.children.get_mut(retry.seat) {
                entry.stage = Stage::Pending(retry.at);
            }
        });
        self.retries.insert(retry);
    }

    /// The report of the crash that was one too many.
    fn last_straw(&self, seat: u64, reason: &ExitReason) -> CrashReport {
        if let ExitReason::Crashed(report) | ExitReason::RestartLimit(report) = reason {
            return report.clone();
        }
        let id = self.branch.look(|roster| roster.children.get(seat).map(|entry| entry.id.clone()));
        let place = Place { callback: Callback::Idle, incarnation: 0, version: 0 };
        let kind = if let ExitReason::Killed = reason { CrashKind::Kill } else { CrashKind::Error };
        let child = id.as_deref().unwrap_or("?");
        CrashReport::new(kind, format!("the child `{child}` ended: {reason}"), place)
    }

    /// A child stays in the list, and is down.
    fn lay_down(&self, seat: u64) {
        let child = self.branch.look(|roster| {
            let entry = roster.children.get_mut(seat)?;
            (entry.stage, entry.busy) = (Stage::Down, false);
            Some(entry.child.clone())
        });
        // If it waits for another life, there will be none for now.
        child.into_iter().for_each(|child| child.shut_down(Then::Nothing));
    }

    /// Why it has ended: its children may have been killed, since it took too long.
    fn killed_or(&self, reason: ExitReason) -> ExitReason {
        if self.branch.look(|roster| roster.kill) { ExitReason::Killed } else { reason }
    }

    fn is_closing(&self) -> bool {
        self.branch.look(|roster| roster.is_closing())
    }

    /// Why it ends, once somebody has said that it is to.
    fn ordered_end(&self) -> ExitReason {
        self.branch.look(|roster| match &roster.stop {
            Some(reason) if !roster.kill => reason.clone(),
            _ => ExitReason::Killed,
        })
    }
}

/// The error of a child that did not come to serve for a reason of its supervisor.
fn cut_short(why: &str) -> StartError {
    let place = Place { callback: Callback::Init, incarnation: 0, version: 0 };
    StartError::Init(CrashReport::new(CrashKind::Kill, why, place))
}

/// The reason a child that did not come to serve has ended with.
fn reason_of(error: &StartError) -> ExitReason {
    match error {
        StartError::Init(report) => ExitReason::Crashed(report.clone()),
        other => ExitReason::error(other),
    }
}

impl Drop for Manager {
    /// As with a server, the death of this task is the end of the supervisor, and no child is left behind.
    fn drop(&mut self) {
        if !self.over {
            self.branch.kill();
            self.branch.kill_children();
            self.branch.over(Phase::Terminated(ExitReason::Killed));
        }
    }
}
