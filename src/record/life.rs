//! Where a logical server is in its life, and what it has counted on the way.

use tokio::time::Instant;

use crate::{
    error::StartError,
    exit::{CrashReport, ExitReason},
    server_ref::Status,
};

/// Where the logical server is in its life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    /// The last incarnation that began to serve.
    pub(crate) serving: u64,
    /// The last incarnation that was decided on.
    pub(crate) announced: u64,
    /// Whether the incarnation that is alive has handled a message.
    pub(crate) proven: bool,
    /// Whether it crashed in a message that had crashed before: the message may be to blame then, and not the state.
    pub(crate) rerun: bool,
    /// When the last incarnation ended.
    pub(crate) died: Option<Instant>,
    /// How the incarnation that is alive has crashed, as its caller was told: whatever becomes of it now.
    pub(crate) fallen: Option<CrashReport>,
    /// How the last incarnation was killed.
    pub(crate) killed: Option<CrashReport>,
    /// The logical server is to end at once.
    pub(crate) kill: bool,
    /// It is to end at this time if an orderly shutdown has not ended it before.
    pub(crate) kill_at: Option<Instant>,
    /// When its mailbox was found closed and empty: what timers are due later never fire.
    pub(crate) last_call: Option<Instant>,
    /// No callback is to begin.
    pub(crate) suspended: bool,
    /// Whether this life has come to serve.
    pub(crate) served: bool,
    /// Whether the first life has begun.
    pub(crate) begun: bool,
    /// How many lives have ended that were followed, or may be followed, by another.
    pub(crate) lives: u64,
    /// How often the server was over.
    pub(crate) ends: u64,
    /// What the parent wants after the end of this life.
    pub(crate) then: Option<Then>,
    /// The mailbox takes messages in for the next life.
    pub(crate) turned_over: bool,
    /// The life is over, and the parent has not said yet whether there is to be another.
    pub(crate) waiting: bool,
}

/// What comes after a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Another, once the parent says so.
    Another,
    Nothing,
}

impl Life {
    /// That of another incarnation-to-be, number `epoch`, after this one is over.
    pub(crate) fn renew(&mut self, epoch: u64, phase: Phase) {
        let Self { serving, lives, ends, begun, died, .. } = *self;
        *self = Self { phase, serving, announced: epoch, died, begun, lives, ends, ..Self::default() };
    }

    /// Whether this life is over, and another may come.
    pub(crate) fn is_past(&self) -> bool {
        self.turned_over || self.waiting
    }

    pub(crate) fn status(&self) -> Status {
        match self.phase {
            Phase::Starting if self.lives > 0 => Status::Restarting,
            Phase::Starting => Status::Starting,
            Phase::Running if self.suspended => Status::Suspended,
            Phase::Running => Status::Running,
            Phase::Restarting => Status::Restarting,
            Phase::Failed(_) | Phase::Terminated(_) => Status::Terminated,
        }
    }
}

impl Phase {
    /// Why the server is over, if it is.
    pub(crate) fn reason(&self) -> Option<ExitReason> {
        match self {
            Self::Terminated(reason) => Some(reason.clone()),
            Self::Failed(StartError::Init(report)) => Some(ExitReason::Crashed(report.clone())),
            Self::Failed(_) => Some(ExitReason::Shutdown),
            Self::Starting | Self::Running | Self::Restarting => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Running,
    Restarting,
    /// It never served.
    Failed(StartError),
    Terminated(ExitReason),
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) messages_in: u64,
    pub(crate) replies_out: u64,
    pub(crate) commits: u64,
    pub(crate) crashes: u64,
    pub(crate) restarts: u64,
    pub(crate) zombies: u64,
}
