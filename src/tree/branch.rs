//! A supervisor, whatever its kind: what its handles, its children and its manager task share.

mod child;

use std::{mem, sync::Arc, task::Waker};

use tokio::time::Instant;

use super::{
    child::{Child, Lineage, News, Seat},
    children::{Care, Entry, Stage},
    partition::Partitions,
    roster::{Event, Roster},
    rules::Rules,
};
use crate::{
    any_listener::{AnyAudience, AnyListener},
    bell::Bell,
    deadlines::later,
    exit::ExitReason,
    name::ServerId,
    options::Shutdown,
    plan::RestartPolicy,
    record::{Phase, Then},
    sync::Mutex,
};

/// A supervisor. Like every child it has one life after the other; its children and their news are of one life.
pub(crate) struct Branch {
    server: ServerId,
    pub(crate) id: Arc<str>,
    pub(crate) rules: Rules,
    restart: RestartPolicy,
    shutdown: Shutdown,
    lineage: Lineage,
    /// Who listens to all servers below it.
    listeners: AnyAudience,
    roster: Mutex<Roster>,
    /// Rings when it serves, when it is over, and when somebody is done with a child.
    bell: Bell,
    /// If its children are the partitions of something.
    pub(crate) partitions: Option<Arc<Partitions>>,
}

impl Branch {
    /// A supervisor that is not started. Its children are of every life of it.
    pub(crate) fn new(
        id: Arc<str>,
        rules: Rules,
        care: Care,
        listeners: AnyAudience,
        founders: Vec<Entry>,
        partitioned: bool,
    ) -> Arc<Self> {
        let all = || founders.iter().map(|founder| founder.child.clone()).collect();
        let partitions = partitioned.then(|| Arc::new(Partitions::new(all())));
        Arc::new(Self {
            server: ServerId::next(),
            id,
            rules,
            restart: care.restart,
            shutdown: care.shutdown,
            lineage: Lineage::default(),
            listeners,
            roster: Mutex::new(Roster::new(founders)),
            bell: Bell::new(),
            partitions,
        })
    }

    /// No user code runs in `f`, and nothing of a user's is dropped (K8).
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut Roster) -> R) -> R {
        f(&mut self.roster.lock())
    }

    /// Waits until `check` finds what it looks for.
    pub(crate) async fn until<T>(&self, mut check: impl FnMut(&mut Roster) -> Option<T>) -> T {
        self.until_some(|| self.look(&mut check)).await
    }

    /// Waits until there is something; it is looked for whenever the bell rings.
    pub(crate) async fn until_some<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            // Listen before looking: what happens in between is not missed.
            let ring = self.bell.listen();
            if let Some(found) = look() {
                return found;
            }
            ring.await;
        }
    }

    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    pub(crate) fn wake_manager(&self) {
        let manager = self.look(|roster| roster.manager.take());
        manager.into_iter().for_each(Waker::wake);
    }

    // ---- children

    /// Whom the child at `number` reports to.
    pub(crate) fn seat(self: &Arc<Self>, number: u64, founder: bool) -> Seat {
        Seat { branch: Arc::downgrade(self), number, founder }
    }

    /// Notes what a child has told. The child's lineage is locked.
    pub(crate) fn note(&self, seat: u64, founder: bool, news: News) -> Noted {
        self.look(|roster| {
            let Some(entry) = roster.children.get_mut(seat) else {
                return Noted { forgotten: !founder, entry: None, manager: None };
            };
            entry.hear(news);
            let past = entry.is_past(self.rules.strategy.is_none());
            if entry.is_news() && !past {
                roster.events.push_back(Event::News(seat));
            }
            let entry = if past { roster.children.remove(seat) } else { None };
            let forgotten = past && !founder;
            Noted { forgotten, entry, manager: roster.manager.take() }
        })
    }

    /// A child that was seated is begun. Tells whether somebody has wanted it to end before that.
    pub(crate) fn begun(&self, seat: u64) -> bool {
        let leaving = self.look(|roster| {
            let Some(entry) = roster.children.get_mut(seat) else { return false };
            if let Stage::Seated = entry.stage {
                entry.stage = Stage::Starting;
            }
            entry.leaving
        });
        self.ring();
        leaving
    }

    /// Forgets a child. It reports to nobody any more.
    pub(crate) fn forget(&self, seat: u64) {
        if let Some(entry) = self.look(|roster| roster.children.remove(seat)) {
            // One that waits for another life waits no more.
            entry.child.shut_down(Then::Nothing);
            if entry.founder {
                // It may be there again.
                return;
            }
            entry.child.lineage().set(None);
            entry.child.release();
            self.ring();
        }
    }

    /// The child of that id.
    pub(crate) fn child(&self, id: &str) -> Option<Arc<dyn Child>> {
        self.look(|roster| {
            let seat = roster.children.named(id)?;
            roster.children.get(seat).map(|entry| entry.child.clone())
        })
    }

    /// The children that every life begins with.
    pub(crate) fn founders(&self) -> Vec<Arc<dyn Child>> {
        self.look(|roster| roster.founders.iter().map(|founder| founder.child.clone()).collect())
    }

    /// Whether `lineage` leads up to this supervisor.
    pub(crate) fn is_above(&self, lineage: &Lineage) -> bool {
        lineage.leads_to(self.server)
    }

    /// Whether it stands below that one.
    pub(crate) fn is_below(&self, supervisor: ServerId) -> bool {
        self.lineage.leads_to(supervisor)
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = Arc<dyn AnyListener>> {
        self.listeners.all()
    }

    // ---- life

    /// It serves.
    pub(crate) fn up(&self) {
        self.look(|roster| roster.phase = Phase::Running);
        self.lineage.report(News::Up);
        self.ring();
    }

    /// Asks it to end in good order.
    pub(crate) fn stop(&self, reason: ExitReason) {
        let kill_at = match self.shutdown {
            Shutdown::BrutalKill => return self.kill(),
            Shutdown::Timeout(limit) => later(limit),
            Shutdown::Infinity => None,
        };
        self.end(reason, kill_at);
    }

    /// Asks it to end in good order, until `kill_at`.
    pub(crate) fn end(&self, reason: ExitReason, kill_at: Option<Instant>) {
        self.look(|roster| {
            if roster.phase.reason().is_none() {
                roster.stop.get_or_insert(reason);
                roster.kill_at = roster.kill_at.or(kill_at);
            }
        });
        self.wake_manager();
    }

    /// Ends it at once, and all that is below it.
    pub(crate) fn kill(&self) {
        // It is its manager that kills the children: those of this life, and not of the next.
        self.look(|roster| roster.kill |= roster.is_alive());
        self.wake_manager();
    }

    pub(crate) fn kill_children(&self) {
        let back = self.comes_back(&Phase::Terminated(ExitReason::Killed));
        let children: Vec<_> = self.look(|roster| {
            roster.children.iter().map(|(_, entry)| (entry.child.clone(), entry.after(back))).collect()
        });
        children.iter().for_each(|(child, then)| child.kill(*then));
    }

    /// How it is about to end, if it is.
    pub(crate) fn end_to_come(&self) -> Option<Phase> {
        self.look(|roster| match (&roster.phase, &roster.stop) {
            (over, _) if over.reason().is_some() => Some(over.clone()),
            (_, _) if roster.kill => Some(Phase::Terminated(ExitReason::Killed)),
            (_, stop) => stop.clone().map(Phase::Terminated),
        })
    }

    /// Whether, should it end like that, its parent gives it another life, as far as it knows: then its children wait for that.
    pub(crate) fn comes_back(&self, end: &Phase) -> bool {
        let (then, lives) = self.look(|roster| (roster.then, roster.lives));
        let wanted = match (then, end) {
            (Some(then), _) => then == Then::Another,
            // A restart that fails is tried again.
            (None, Phase::Failed(_)) => lives > 0,
            (None, end) => end.reason().is_some_and(|reason| self.restart.restarts(&reason)),
        };
        wanted && self.lineage.is_supervised()
    }

    /// Marks it as over, and tells whoever waits for it, its parent first. Its children are, or will be in a moment.
    pub(crate) fn over(&self, phase: Phase) {
        let over = || {
            let news = News::of(&phase);
            let left = self.look(|roster| {
                roster.last_end = phase.reason();
                roster.phase = phase;
                roster.lives += 1;
                (roster.stop, roster.kill, roster.kill_at, roster.then) = (None, false, None, None);
                roster.task = None;
                (roster.children.drain(), mem::take(&mut roster.events))
            });
            (left, news)
        };
        let ((children, events), wanted) = self.lineage.report_with(over);
        // Whoever waits for an order to be done hears that it will not be.
        drop(events);
        for entry in children.into_iter().filter(|entry| !entry.founder) {
            entry.child.lineage().set(None);
            entry.child.release();
        }
        if !wanted {
            self.release_founders();
        }
        self.ring();
    }

    fn release_founders(&self) {
        let founders = self.look(|roster| match roster.phase.reason() {
            Some(_) => mem::take(&mut roster.founders),
            None => Vec::new(),
        });
        for founder in founders {
            founder.child.lineage().set(None);
            founder.child.shut_down(Then::Nothing);
            founder.child.release();
        }
    }

    /// Aborts its task.
    #[cfg(feature = "chaos")]
    pub(crate) fn abort(&self) {
        loop {
            match self.look(|roster| (roster.task.clone(), roster.is_alive())) {
                (Some(task), _) => return task.abort(),
                (None, false) => return,
                // Whoever has just spawned it is about to note it.
                (None, true) => crate::sync::yield_now(),
            }
        }
    }
}

/// What noting some news leaves to be done outside the locks.
#[must_use = "the manager is woken by `settle`"]
pub(crate) struct Noted {
    forgotten: bool,
    entry: Option<Entry>,
    manager: Option<Waker>,
}

impl Noted {
    /// Tells whether the child still has a parent.
    pub(crate) fn settle(self, lineage: &Lineage, parent: &Branch) -> bool {
        let Self { forgotten, entry, manager } = self;
        manager.into_iter().for_each(Waker::wake);
        if forgotten {
            lineage.set(None);
        }
        if entry.is_some() {
            // Somebody may wait for it to be gone.
            parent.ring();
        }
        drop(entry);
        !forgotten
    }
}
