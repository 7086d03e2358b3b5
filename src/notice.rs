//! What arrives in a mailbox as an `Info` and was sent by no user: the end of a server that is monitored, the result of a
//! task, an item of a stream. The closure that makes the `Info` of it is the user's, so it runs in the worker, as a part of
//! `handle_info`.

use std::fmt;

use tokio::sync::OwnedSemaphorePermit;

use crate::{monitor::MonitorRef, task::TaskRef};

pub(crate) struct Notice<I> {
    pub(crate) source: Source,
    make: Box<dyn FnOnce() -> I + Send>,
    /// Given back once the notice is taken: so a stream is never far ahead of the worker.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Where a notice comes from: it is not handled any more if that was called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A user, by way of a [`Recipient`](crate::Recipient): mail like any other.
    User,
    Link,
    Monitor(MonitorRef),
    Task,
    Stream {
        task: TaskRef,
        last: bool,
    },
}

impl<I> Notice<I> {
    pub(crate) fn new(source: Source, make: impl FnOnce() -> I + Send + 'static) -> Box<Self> {
        Box::new(Self { source, make: Box::new(make), _permit: None })
    }

    pub(crate) fn paced(
        source: Source,
        permit: OwnedSemaphorePermit,
        make: impl FnOnce() -> I + Send + 'static,
    ) -> Box<Self> {
        Box::new(Self { source, make: Box::new(make), _permit: Some(permit) })
    }

    /// Whether a user has sent it, so that it counts as mail like any other.
    pub(crate) fn is_mail(&self) -> bool {
        self.source == Source::User
    }

    /// The `Info` of it. User code.
    pub(crate) fn make(self) -> I {
        (self.make)()
    }
}

impl<I> fmt::Debug for Notice<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice").field("source", &self.source).finish_non_exhaustive()
    }
}
