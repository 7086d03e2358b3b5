//! Telemetry: listeners that say what happens to servers to the crates `tracing` and `metrics`.
//!
//! Both are given to one server by [`ServerSpec::listener`](crate::ServerSpec::listener), or to all servers of a tree by
//! [`Supervisor::listener`](crate::Supervisor::listener), or to all that have a name in a registry by
//! [`Registry::listener`](crate::Registry::listener). The guide is [`docs::telemetry`](crate::docs::telemetry).

#[cfg(feature = "metrics")]
mod metrics;
mod tracing;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsListener;
pub use self::tracing::TracingListener;
use crate::exit::{Callback, CrashKind, ExitReason};

/// What a callback is called in telemetry: one word of a few.
fn callback_word(callback: Callback) -> &'static str {
    match callback {
        Callback::Init => "init",
        Callback::Restarted => "restarted",
        Callback::Call => "handle_call",
        Callback::Cast => "handle_cast",
        Callback::Info => "handle_info",
        Callback::Continue => "handle_continue",
        Callback::Timeout => "handle_timeout",
        Callback::Terminate => "terminate",
        Callback::Idle => "idle",
        Callback::System => "system",
        Callback::Task => "task",
    }
}

/// Whether it is a method of the user's.
fn is_method(callback: Callback) -> bool {
    !matches!(callback, Callback::Idle | Callback::System | Callback::Task)
}

/// What a crash is called in telemetry.
fn kind_word(kind: CrashKind) -> &'static str {
    match kind {
        CrashKind::Panic => "panic",
        CrashKind::Error => "error",
        CrashKind::Kill => "kill",
    }
}

/// What an end is called in telemetry.
fn reason_word(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "normal",
        ExitReason::Shutdown | ExitReason::ShutdownWith(_) => "shutdown",
        ExitReason::Killed => "killed",
        ExitReason::Crashed(_) => "crashed",
        ExitReason::RestartLimit(_) => "restart_limit",
        ExitReason::NoProc => "no_proc",
    }
}
