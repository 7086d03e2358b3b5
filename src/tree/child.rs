//! What a supervisor can start, stop and count, whatever it is: a server, another supervisor, a plain task.

use std::{
    any::Any,
    pin::Pin,
    sync::{Arc, Weak},
};

use tokio::runtime::Handle;

use super::{
    branch::Branch,
    view::{ChildKind, TreeNode},
};
use crate::{
    any::AnyServerRef,
    any_listener::AnyListener,
    error::StartError,
    exit::ExitReason,
    name::ServerId,
    record::{Phase, Then},
    server_ref::Status,
    sync::Mutex,
};

/// What a parent waits for.
pub(crate) type Until<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A child of a supervisor. It has one life after the other, each begun by its parent.
pub(crate) trait Child: Send + Sync {
    fn server(&self) -> ServerId;

    fn kind(&self) -> ChildKind;

    /// Who its parent is.
    fn lineage(&self) -> &Lineage;

    fn status(&self) -> Status;

    /// How often it was over: what a parent decides on.
    fn ends(&self) -> u64 {
        0
    }

    /// Begins a life, unless it was over once more since `ends`: then that is news. Whether it comes to serve is reported.
    fn begin(self: Arc<Self>, on: &Handle, ends: u64) -> Result<(), StartError>;

    /// Resolves once the life that was begun serves (`true`) or has failed.
    fn started(&self) -> Until<'_, bool>;

    /// Has it end in good order, as its `Shutdown` has it; one that waits for another life is told whether that is to come.
    fn shut_down(&self, then: Then);

    /// Ends it at once.
    fn kill(&self, then: Then);

    /// Resolves once it is over, or waits for its parent to begin another life.
    fn settled(&self) -> Until<'_, ()>;

    /// Resolves once it is over.
    fn gone(&self) -> Until<'_, ()>;

    /// It has no parent any more, so there will be no other life.
    fn release(&self);

    /// What there is to see of it, and of what is below it.
    fn view(&self) -> TreeNode;

    /// Adds the servers that it is or has below it.
    fn servers(self: Arc<Self>, found: &mut Vec<AnyServerRef>);

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What a child tells its parent.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// It serves.
    Up,
    /// It has ended.
    Ended(ExitReason),
    /// It did not come to serve.
    Failed(StartError),
}

impl News {
    /// What there is to tell of a server that is in that phase, if it is over.
    pub(crate) fn of(phase: &Phase) -> Option<Self> {
        match phase {
            Phase::Terminated(reason) => Some(Self::Ended(reason.clone())),
            Phase::Failed(error) => Some(Self::Failed(error.clone())),
            Phase::Starting | Phase::Running | Phase::Restarting => None,
        }
    }
}

/// A place among the children of a supervisor.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) branch: Weak<Branch>,
    pub(crate) number: u64,
    /// Whether it is the child's own in every life of the supervisor.
    pub(crate) founder: bool,
}

/// Who the parent of a child is. A transfer changes it.
///
/// Locked before the record of its child and before any [`Branch`], and held while news are noted there: so whoever holds it can
/// move a child with all its news.
#[derive(Default)]
pub(crate) struct Lineage(Mutex<Option<Seat>>);

impl Lineage {
    pub(crate) fn is_supervised(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Whether the parent would give it another life, should it end by itself now.
    pub(crate) fn is_looked_after(&self) -> bool {
        let seat = self.0.lock().clone();
        let Some((founder, parent)) = seat.and_then(|seat| Some((seat.founder, seat.branch.upgrade()?)))
        else {
            return false;
        };
        match parent.end_to_come() {
            None => true,
            // It is about to end itself, and may be there again with those that it always has.
            Some(end) => founder && parent.comes_back(&end),
        }
    }

    pub(crate) fn set(&self, seat: Option<Seat>) {
        let before = std::mem::replace(&mut *self.0.lock(), seat);
        drop(before);
    }

    /// The parent, if there is one.
    pub(crate) fn parent(&self) -> Option<Arc<Branch>> {
        self.0.lock().as_ref().and_then(|seat| seat.branch.upgrade())
    }

    /// Who listens to all servers of a supervisor that is above it, the nearest first.
    pub(crate) fn listeners(&self) -> Vec<Arc<dyn AnyListener>> {
        let mut found = Vec::new();
        let mut parent = self.parent();
        while let Some(branch) = parent {
            found.extend(branch.listeners());
            parent = branch.lineage().parent();
        }
        found
    }

    /// Whether that supervisor is the parent, or above it.
    pub(crate) fn leads_to(&self, supervisor: ServerId) -> bool {
        let mut parent = self.parent();
        while let Some(branch) = parent {
            if branch.server() == supervisor {
                return true;
            }
            parent = branch.lineage().parent();
        }
        false
    }

    /// Tells the parent. `false` if there is none, or if it wants nothing more of this child.
    pub(crate) fn report(&self, news: News) -> bool {
        self.report_with(|| ((), Some(news))).1
    }

    /// Runs `act`, and tells the parent the news that it gives, in one go: whoever sees what it has done and [waits for
    /// those](Self::settle) finds the parent informed.
    pub(crate) fn report_with<R>(&self, act: impl FnOnce() -> (R, Option<News>)) -> (R, bool) {
        let seat = self.0.lock();
        let (done, news) = act();
        let Some(news) = news else { return (done, true) };
        let Some((parent, noted)) = seat.as_ref().and_then(|seat| {
            let parent = seat.branch.upgrade()?;
            let noted = parent.note(seat.number, seat.founder, news);
            Some((parent, noted))
        }) else {
            return (done, false);
        };
        // These may be the last handles to something of a user's.
        drop(seat);
        let wanted = noted.settle(self, &parent);
        (done, wanted)
    }

    /// Waits for the news that are on their way.
    pub(crate) fn settle(&self) {
        drop(self.0.lock());
    }

    /// Runs `f` while no news can come in.
    pub(crate) fn still<R>(&self, f: impl FnOnce(&mut Option<Seat>) -> R) -> R {
        f(&mut self.0.lock())
    }
}
