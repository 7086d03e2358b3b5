//! What stands under the lock of a supervisor: its children, and what is to be done.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use tokio::{runtime::Handle, sync::oneshot, task::AbortHandle, time::Instant};

use super::children::{Children, Entry, Stage};
use crate::{
    error::ChildError,
    exit::ExitReason,
    name::ServerId,
    record::{Phase, Then},
    server_ref::Status,
};

pub(crate) struct Roster {
    pub(crate) phase: Phase,
    pub(super) begun: bool,
    pub(crate) children: Children,
    /// The children that every life begins with.
    pub(super) founders: Vec<Entry>,
    /// What the manager is to look at, in order.
    pub(crate) events: VecDeque<Event>,
    /// It is to end with this reason.
    pub(crate) stop: Option<ExitReason>,
    /// It is to end at once.
    pub(crate) kill: bool,
    pub(crate) kill_at: Option<Instant>,
    /// What its parent wants after the end of this life.
    pub(super) then: Option<Then>,
    pub(crate) manager: Option<Waker>,
    pub(super) on: Option<Handle>,
    pub(super) since: Instant,
    /// How many lives of it are over, and how the last one ended.
    pub(crate) lives: u64,
    pub(crate) last_end: Option<ExitReason>,
    /// Its task, which only a fault on purpose aborts.
    #[cfg_attr(not(feature = "chaos"), allow(dead_code, reason = "read by `chaos` only"))]
    pub(super) task: Option<AbortHandle>,
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
    pub(super) fn new(founders: Vec<Entry>) -> Self {
        Self {
            phase: Phase::Starting,
            begun: false,
            children: Children::default(),
            founders,
            events: VecDeque::new(),
            stop: None,
            kill: false,
            kill_at: None,
            then: None,
            manager: None,
            on: None,
            since: Instant::now(),
            lives: 0,
            last_end: None,
            task: None,
        }
    }

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

    /// Notes what the parent wants to come after this life; that nothing comes is final.
    pub(super) fn note(&mut self, then: Then) {
        if self.is_alive() && self.then != Some(Then::Nothing) {
            self.then = Some(then);
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

    pub(super) fn status(&self) -> Status {
        match self.phase {
            Phase::Starting if self.lives > 0 => Status::Restarting,
            Phase::Starting => Status::Starting,
            Phase::Running => Status::Running,
            Phase::Restarting => Status::Restarting,
            Phase::Failed(_) | Phase::Terminated(_) => Status::Terminated,
        }
    }
}
