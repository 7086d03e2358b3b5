//! Servers whose state survives their crashes.

mod callback;
mod cell;
#[cfg(feature = "chaos")]
pub mod chaos;
mod contain;
mod context;
mod deadlines;
mod error;
mod exit;
mod feed;
mod gen_server;
mod keeper;
mod listener;
mod logical;
mod mailbox;
mod name;
mod pending;
mod preserve;
mod record;
mod registry;
mod reply;
mod restart;
mod scope;
mod server_ref;
mod spec;
mod supervisor;
mod sync;
mod sys;
mod tasks;
mod worker;

pub use crate::{
    context::Context,
    error::{CallError, CastError, StartError, StopError, SysError, TrySendError, WhereisError},
    exit::{Callback, Crash, CrashKind, CrashReport, ExitReason},
    gen_server::{GenServer, Never, Next, Outcome, Restart},
    listener::{Crashed, Listener, Restarted, Started, StateChanged, Terminated},
    name::ServerId,
    pending::{Exit, PendingCall, PendingStop},
    preserve::{Kept, Preserve, Snapshot, StateMut},
    registry::Registry,
    reply::Reply,
    restart::Backoff,
    server_ref::{ServerGuard, ServerRef, Status, WeakServerRef},
    spec::{Mailbox, Poison, ServerSpec, Shutdown},
    sys::{Statistics, Sys},
};
