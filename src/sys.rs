//! Looking at a server from outside: the counterpart of OTP's `sys` module.

use std::fmt;

use crate::{error::SysError, gen_server::GenServer, logical::Logical};

/// The system requests of a server: see [`ServerRef::sys`](crate::ServerRef::sys).
#[must_use = "it does nothing by itself"]
pub struct Sys<'a, S: GenServer> {
    logical: &'a Logical<S>,
}

/// What a server has counted since its start. Exact: what is counted together was counted in the same instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages taken out of the mailbox to be handled.
    pub messages_in: u64,
    /// Answers of callbacks that were committed.
    pub replies_out: u64,
    /// Changes of the state that were kept.
    pub commits: u64,
    /// Incarnations that came to an abnormal end.
    pub crashes: u64,
    /// Incarnations that began to serve after another.
    pub restarts: u64,
    /// Workers that could not be stopped and were left behind.
    pub zombies: u64,
    /// Commits that came too late, by an incarnation that was not the one alive, and were refused.
    pub fenced: u64,
    /// Messages that are queued.
    pub mailbox_len: usize,
}

impl<'a, S: GenServer> Sys<'a, S> {
    pub(crate) fn new(logical: &'a Logical<S>) -> Self {
        Self { logical }
    }

    /// What the server has counted. The worker is not troubled for it.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop at any time.
    ///
    /// # Errors
    ///
    /// [`SysError::NoProc`] if the server is over.
    #[expect(clippy::unused_async, reason = "as every system request, and others do wait")]
    pub async fn statistics(&self) -> Result<Statistics, SysError> {
        self.logical.cell.audit(|record, fenced| {
            if Logical::end_of(record).is_some() {
                return Err(SysError::NoProc);
            }
            let counters = &record.counters;
            Ok(Statistics {
                messages_in: counters.messages_in,
                replies_out: counters.replies_out,
                commits: counters.commits,
                crashes: counters.crashes,
                restarts: counters.restarts,
                zombies: counters.zombies,
                fenced,
                mailbox_len: record.batch.len() + self.logical.mailbox.len(),
            })
        })
    }
}

impl<S: GenServer> fmt::Debug for Sys<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sys").field("server", &self.logical.id).finish()
    }
}
