//! A supervisor, whatever its kind: what its handles, its children and its manager task share.

use std::{any::Any, collections::VecDeque, mem, sync::Arc, task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, task::AbortHandle, time::Instant};

use super::{
    child::{Child, Lineage, News, Seat, Until},
    manager::Manager,
    partition::Partitions,
    roster::{Care, Children, Entry, Stage},
    view::{ChildKind, TreeNode},
};
use crate::{
    bell::Bell,
    deadlines::later,
    error::{ChildError, StartError},
    exit::ExitReason,
    name::ServerId,
    plan::{AutoShutdown, RestartPolicy, Strategy},
    record::{Phase, Then},
    restart::Backoff,
    server_ref::Status,
    spec::Shutdown,
};

/// How a supervisor looks after its children.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// `None`: the children come and go, in no order.
    pub(crate) strategy: Option<Strategy>,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) max_children: usize,
    pub(crate) max_restarts: u32,
    pub(crate) within: Duration,
    pub(crate) backoff: Option<Backoff>,
}

/// A supervisor. Like every child it has one life after the other; its children and their news are of one life.
pub(crate) struct Branch {
    server: ServerId,
    pub(crate) id: Arc<str>,
    pub(crate) rules: Rules,
    shutdown: Shutdown,
    lineage: Lineage,
    roster: Mutex<Roster>,
    /// Rings when it serves, when it is over, and when somebody is done with a child.
    bell: Bell,
    /// If its children are the partitions of something.
    pub(crate) partitions: Option<Arc<Partitions>>,
}

pub(crate) struct Roster {
    pub(crate) phase: Phase,
    begun: bool,
    pub(crate) children: Children,
    /// The children that every life begins with.
    founders: Vec<Entry>,
    /// What the manager is to look at, in order.
    pub(crate) events: VecDeque<Event>,
    /// It is to end with this reason.
    pub(crate) stop: Option<ExitReason>,
    /// It is to end at once.
    pub(crate) kill: bool,
    pub(crate) kill_at: Option<Instant>,
    pub(crate) manager: Option<Waker>,
    on: Option<Handle>,
    since: Instant,
    /// How many lives of it are over, and how the last one ended.
    pub(crate) lives: u64,
    pub(crate) last_end: Option<ExitReason>,
    #[cfg(feature = "chaos")]
    task: Option<AbortHandle>,
}

/// What a manager looks at.
pub(crate) enum Event {
    /// There is news of a child.
    News(u64),
    Order(Order),
}

/// What is asked of the manager of an ordered supervisor.
pub(crate) enum Order {
    Start(Box<Entry>, oneshot::Sender<Result<(), ChildError>>),
    Terminate(Arc<str>, oneshot::Sender<Result<(), ChildError>>),
    Restart(Arc<str>, oneshot::Sender<Result<(), ChildError>>),
    Delete(Arc<str>, oneshot::Sender<Result<(), ChildError>>),
}

impl Roster {
    /// Whether it takes no new children any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.stop.is_some() || self.kill || self.phase.reason().is_some()
    }

    /// Nobody sees to the news of that child any more but the manager.
    pub(crate) fn leave_to_manager(&mut self, seat: u64) {
        let Some(entry) = self.children.get_mut(seat) else { return };
        entry.busy = false;
        if entry.is_news() {
            self.events.push_back(Event::News(seat));
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.phase.reason().is_none()
    }

    /// Where its children run, once it runs itself.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.on.clone()
    }

    /// Refuses an id that is taken.
    pub(crate) fn vacant(&self, id: &str) -> Result<(), ChildError> {
        match self.children.named(id).and_then(|seat| self.children.get(seat)) {
            None => Ok(()),
            Some(entry) if matches!(entry.stage, Stage::Down) => Err(ChildError::AlreadyPresent),
            Some(_) => Err(ChildError::AlreadyStarted),
        }
    }

    /// A child is no founder any more: it is under another supervisor.
    pub(crate) fn strike(&mut self, server: ServerId) -> Option<Entry> {
        let place = self.founders.iter().position(|founder| founder.child.server() == server)?;
        Some(self.founders.remove(place))
    }

    fn status(&self) -> Status {
        match self.phase {
            Phase::Starting => Status::Starting,
            Phase::Running => Status::Running,
            Phase::Restarting => Status::Restarting,
            Phase::Failed(_) | Phase::Terminated(_) => Status::Terminated,
        }
    }
}

impl Branch {
    /// A supervisor that is not started. Its children are of every life of it.
    pub(crate) fn new(
        id: Arc<str>,
        rules: Rules,
        shutdown: Shutdown,
        founders: Vec<Entry>,
        partitions: Option<usize>,
    ) -> Arc<Self> {
        let roster = Roster {
            phase: Phase::Starting,
            begun: false,
            children: Children::default(),
            founders,
            events: VecDeque::new(),
            stop: None,
            kill: false,
            kill_at: None,
            manager: None,
            on: None,
            since: Instant::now(),
            lives: 0,
            last_end: None,
            #[cfg(feature = "chaos")]
            task: None,
        };
        Arc::new(Self {
            server: ServerId::next(),
            id,
            rules,
            shutdown,
            lineage: Lineage::default(),
            roster: Mutex::new(roster),
            bell: Bell::new(),
            partitions: partitions.map(Partitions::new).map(Arc::new),
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
        let ended = !matches!(news, News::Up);
        self.look(|roster| {
            let Some(entry) = roster.children.get_mut(seat) else {
                return Noted { forgotten: !founder, entry: None, manager: None };
            };
            entry.stage = news.into();
            let forgotten = ended && entry.leaving;
            if entry.is_news() && !forgotten {
                roster.events.push_back(Event::News(seat));
            }
            let entry = if forgotten { roster.children.remove(seat) } else { None };
            Noted { forgotten, entry, manager: roster.manager.take() }
        })
    }

    /// A child that was seated is begun.
    pub(crate) fn begun(&self, seat: u64) {
        self.look(|roster| {
            if let Some(stage @ Stage::Seated) = roster.children.get_mut(seat).map(|entry| &mut entry.stage) {
                *stage = Stage::Starting;
            }
        });
        self.ring();
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
        self.look(|roster| roster.kill |= roster.phase.reason().is_none());
        self.kill_children();
        self.wake_manager();
    }

    pub(crate) fn kill_children(&self) {
        let children: Vec<_> =
            self.look(|roster| roster.children.iter().map(|(_, entry)| entry.child.clone()).collect());
        children.iter().for_each(|child| child.kill());
    }

    /// Marks it as over, and tells whoever waits for it, its parent first. Its children are, or will be in a moment.
    pub(crate) fn over(&self, phase: Phase) {
        let news = News::of(&phase);
        let (children, events) = self.look(|roster| {
            roster.last_end = phase.reason();
            roster.phase = phase;
            roster.lives += 1;
            (roster.stop, roster.kill, roster.kill_at) = (None, false, None);
            (roster.children.drain(), mem::take(&mut roster.events))
        });
        // Whoever waits for an order to be done hears that it will not be.
        drop(events);
        for entry in children.into_iter().filter(|entry| !entry.founder) {
            entry.child.lineage().set(None);
            entry.child.release();
        }
        if !news.is_some_and(|news| self.lineage.report(news)) {
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
            founder.child.release();
        }
    }

    /// Aborts its task.
    #[cfg(feature = "chaos")]
    pub(crate) fn abort(&self) {
        let task = self.look(|roster| roster.task.clone());
        task.into_iter().for_each(|task| task.abort());
    }

    #[cfg(feature = "chaos")]
    fn note_task(&self, task: AbortHandle) {
        self.look(|roster| roster.task = Some(task));
    }

    #[cfg(not(feature = "chaos"))]
    #[expect(clippy::unused_self, reason = "only a fault on purpose aborts it")]
    fn note_task(&self, _task: AbortHandle) {}
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
    pub(crate) fn settle(self, lineage: &Lineage) -> bool {
        let Self { forgotten, entry, manager } = self;
        manager.into_iter().for_each(Waker::wake);
        if forgotten {
            lineage.set(None);
        }
        drop(entry);
        !forgotten
    }
}

impl Child for Branch {
    fn server(&self) -> ServerId {
        self.server
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Supervisor
    }

    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn status(&self) -> Status {
        self.look(|roster| roster.status())
    }

    fn begin(self: Arc<Self>, on: &Handle) -> Result<(), StartError> {
        let seats = self.look(|roster| {
            roster.begun = true;
            roster.phase = Phase::Starting;
            roster.on = Some(on.clone());
            roster.since = Instant::now();
            let founders = roster.founders.clone();
            let seat = |entry: Entry| (entry.child.clone(), roster.children.insert(entry));
            founders.into_iter().map(seat).collect::<Vec<_>>()
        });
        if let Some(partitions) = &self.partitions {
            partitions.renew();
        }
        for (child, seat) in seats {
            child.lineage().set(Some(self.seat(seat, true)));
        }
        let manager = Manager::new(self.clone(), on.clone());
        let task = on.spawn(manager.run());
        self.note_task(task.abort_handle());
        Ok(())
    }

    fn started(&self) -> Until<'_, bool> {
        Box::pin(self.until(|roster| match roster.phase {
            Phase::Starting => None,
            Phase::Running | Phase::Restarting => Some(true),
            Phase::Failed(_) | Phase::Terminated(_) => Some(false),
        }))
    }

    fn shut_down(&self, _then: Then) {
        self.stop(ExitReason::Shutdown);
    }

    fn kill(&self) {
        Self::kill(self);
    }

    fn settled(&self) -> Until<'_, ()> {
        self.gone()
    }

    fn gone(&self) -> Until<'_, ()> {
        Box::pin(self.until(|roster| (!roster.begun || roster.phase.reason().is_some()).then_some(())))
    }

    fn release(&self) {
        self.release_founders();
    }

    fn view(&self) -> TreeNode {
        let (entries, status, uptime) = self.look(|roster| {
            let entries: Vec<_> = roster.children.iter().map(|(_, entry)| entry.clone()).collect();
            (entries, roster.status(), roster.since.elapsed())
        });
        let children = entries.iter().map(Entry::view).collect();
        TreeNode {
            id: self.id.to_string(),
            server: self.server,
            name: None,
            kind: ChildKind::Supervisor,
            strategy: self.rules.strategy,
            status,
            restarts: 0,
            incarnation: 0,
            version: 0,
            mailbox_len: 0,
            uptime,
            children,
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Entry {
    /// What there is to see of it, and of what is below it.
    pub(crate) fn view(&self) -> TreeNode {
        let seen = self.child.view();
        TreeNode { id: self.id.to_string(), status: self.status(), restarts: self.restarts, ..seen }
    }
}

/// For the specs.
impl Care {
    /// Refuses what no supervisor could do.
    pub(crate) fn check(&self, id: &str, auto_shutdown: AutoShutdown) -> Result<(), StartError> {
        if self.significant && self.restart == RestartPolicy::Permanent {
            return Err(StartError::Config(format!(
                "the child `{id}` is significant and permanent: it never ends by itself"
            )));
        }
        if self.significant && auto_shutdown == AutoShutdown::Never {
            return Err(StartError::Config(format!(
                "the child `{id}` is significant, but its supervisor has no auto-shutdown"
            )));
        }
        Ok(())
    }
}
