//! The children of a supervisor: who they are, in which order they came, and how each of them stands.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    child::{Child, News},
    view::TreeNode,
};
use crate::{
    error::StartError,
    exit::ExitReason,
    name::ServerId,
    options::Shutdown,
    plan::{AutoShutdown, Member, RestartPolicy},
    record::Then,
    server_ref::Status,
};

/// What a parent has to know of a child to look after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Care {
    pub(crate) restart: RestartPolicy,
    pub(crate) shutdown: Shutdown,
    pub(crate) significant: bool,
}

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

/// One child of a supervisor.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) child: Arc<dyn Child>,
    pub(crate) care: Care,
    /// Whether it is there again when the supervisor is restarted.
    pub(crate) founder: bool,
    /// How often this supervisor has restarted it, and whether it is doing so.
    pub(crate) restarts: u64,
    pub(crate) restarting: bool,
    pub(crate) stage: Stage,
    /// Somebody is starting or stopping it, and sees to its news.
    pub(crate) busy: bool,
    /// It is forgotten once it has ended.
    pub(crate) leaving: bool,
}

/// How a child stands, as far as its supervisor has heard.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// It has its place, and is about to be begun.
    Seated,
    Starting,
    Up,
    /// It has ended; nothing was done about it yet.
    Ended(ExitReason),
    /// It did not come to serve; nothing was done about it yet.
    Failed(StartError),
    /// It is down, to be started again in a moment.
    Between,
    /// It is to be restarted at that time.
    Pending(Instant),
    Down,
}

impl Entry {
    pub(crate) fn new(id: Arc<str>, child: Arc<dyn Child>, care: Care, founder: bool) -> Self {
        Self {
            id,
            child,
            care,
            founder,
            restarts: 0,
            restarting: false,
            stage: Stage::Down,
            busy: false,
            leaving: false,
        }
    }

    pub(crate) fn status(&self) -> Status {
        let to_be_restarted = match &self.stage {
            Stage::Seated | Stage::Starting => self.restarting || self.child.status() == Status::Restarting,
            Stage::Up => return self.child.status(),
            Stage::Ended(reason) => self.care.restart.restarts(reason),
            Stage::Failed(_) | Stage::Between | Stage::Pending(_) => true,
            Stage::Down => return Status::Terminated,
        };
        match self.stage {
            _ if to_be_restarted => Status::Restarting,
            Stage::Seated | Stage::Starting => Status::Starting,
            _ => Status::Terminated,
        }
    }

    pub(crate) fn hear(&mut self, news: News) {
        if matches!(news, News::Up) {
            self.restarts += u64::from(std::mem::take(&mut self.restarting));
        }
        self.stage = news.into();
    }

    /// What comes after its end, when its supervisor ends, too; and comes `back` or not.
    pub(crate) fn after(&self, back: bool) -> Then {
        if back && self.founder { Then::Another } else { Then::Nothing }
    }

    /// Whether it runs, or is about to.
    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.stage, Stage::Down | Stage::Between | Stage::Ended(_) | Stage::Failed(_))
    }

    /// Whether it has ended, and there is nothing to be done about it but to forget it.
    pub(crate) fn is_past(&self, dynamic: bool) -> bool {
        let forgotten = dynamic || self.care.restart == RestartPolicy::Temporary;
        match &self.stage {
            Stage::Ended(_) | Stage::Failed(_) if self.leaving => true,
            Stage::Ended(reason) => {
                forgotten && !self.busy && !self.care.significant && !self.care.restart.restarts(reason)
            }
            _ => false,
        }
    }

    pub(crate) fn member(&self) -> Member {
        let Care { restart, significant, .. } = self.care;
        Member { restart, significant, up: self.is_up() }
    }

    /// Whether it is to be restarted at that time, and not at another one.
    pub(crate) fn is_due(&self, at: Instant) -> bool {
        matches!(self.stage, Stage::Pending(due) if due == at)
    }

    /// Whether there is something to be done about it that nobody does yet.
    pub(crate) fn is_news(&self) -> bool {
        !self.busy && matches!(self.stage, Stage::Ended(_) | Stage::Failed(_))
    }
}

impl Entry {
    /// What there is to see of it, and of what is below it.
    pub(crate) fn view(&self) -> TreeNode {
        let seen = self.child.view();
        TreeNode { id: self.id.to_string(), status: self.status(), restarts: self.restarts, ..seen }
    }
}

impl From<News> for Stage {
    fn from(news: News) -> Self {
        match news {
            News::Up => Self::Up,
            News::Ended(reason) => Self::Ended(reason),
            News::Failed(error) => Self::Failed(error),
        }
    }
}

/// The children in the order in which they came. Each has a number that is never used again.
#[derive(Default)]
pub(crate) struct Children {
    seats: BTreeMap<u64, Entry>,
    by_server: HashMap<ServerId, u64>,
    came: u64,
}

impl Children {
    pub(crate) fn insert(&mut self, entry: Entry) -> u64 {
        self.came += 1;
        self.by_server.insert(entry.child.server(), self.came);
        self.seats.insert(self.came, entry);
        self.came
    }

    pub(crate) fn remove(&mut self, seat: u64) -> Option<Entry> {
        let entry = self.seats.remove(&seat)?;
        self.by_server.remove(&entry.child.server());
        Some(entry)
    }

    pub(crate) fn get(&self, seat: u64) -> Option<&Entry> {
        self.seats.get(&seat)
    }

    pub(crate) fn get_mut(&mut self, seat: u64) -> Option<&mut Entry> {
        self.seats.get_mut(&seat)
    }

    pub(crate) fn seat_of(&self, server: ServerId) -> Option<u64> {
        self.by_server.get(&server).copied()
    }

    pub(crate) fn named(&self, id: &str) -> Option<u64> {
        self.iter().find(|(_, entry)| &*entry.id == id).map(|(seat, _)| seat)
    }

    /// In the order in which they came.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.seats.iter().map(|(seat, entry)| (*seat, entry))
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Takes all of them out. The numbers go on.
    pub(crate) fn drain(&mut self) -> Vec<Entry> {
        self.by_server.clear();
        std::mem::take(&mut self.seats).into_values().collect()
    }
}
