//! What listeners are told of.

use std::{fmt, time::Duration};

use crate::{
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    preserve::Snapshot,
    server_ref::ServerRef,
};

/// What a listener that is a closure is told of.
#[non_exhaustive]
pub enum Event<'a, S: GenServer> {
    /// See [`Listener::started`](crate::Listener::started).
    Started(&'a Started<'a, S>),
    /// See [`Listener::state_changed`](crate::Listener::state_changed).
    StateChanged(&'a StateChanged<'a, S>),
    /// See [`Listener::crashed`](crate::Listener::crashed).
    Crashed(&'a Crashed<'a, S>),
    /// See [`Listener::restarted`](crate::Listener::restarted).
    Restarted(&'a Restarted<'a, S>),
    /// See [`Listener::terminated`](crate::Listener::terminated).
    Terminated(&'a Terminated<'a, S>),
}

/// The server serves.
#[non_exhaustive]
pub struct Started<'a, S: GenServer> {
    /// The server.
    pub server: &'a ServerRef<S>,
    /// The state after `init`.
    pub state: &'a Snapshot<S>,
}

/// A callback has changed the state.
#[non_exhaustive]
pub struct StateChanged<'a, S: GenServer> {
    /// The server.
    pub server: &'a ServerRef<S>,
    /// The state before: the `new` of the event before.
    pub old: &'a Snapshot<S>,
    /// The state that is kept now.
    pub new: &'a Snapshot<S>,
    /// The version of `new`.
    pub version: u64,
    /// The incarnation that committed it.
    pub incarnation: u64,
    /// The callback that changed it.
    pub callback: Callback,
    /// How many changes before this one are not told because the listener was behind. 0 as a rule.
    pub lagged: u64,
}

/// An incarnation came to an abnormal end.
#[non_exhaustive]
pub struct Crashed<'a, S: GenServer> {
    /// The server.
    pub server: &'a ServerRef<S>,
    /// What is known of it.
    pub report: &'a CrashReport,
    /// The state that is kept.
    pub state: &'a Snapshot<S>,
    /// The worker could not be stopped within [`kill_grace`](crate::ServerSpec::kill_grace) and was abandoned as a zombie:
    /// its thread is still busy, but nothing it does has an effect on the server any more.
    pub abandoned: bool,
    /// How many crashes before this one are not told because the listener was behind. 0 as a rule.
    pub lagged: u64,
}

/// A new incarnation serves.
#[non_exhaustive]
pub struct Restarted<'a, S: GenServer> {
    /// The server.
    pub server: &'a ServerRef<S>,
    /// Its number.
    pub incarnation: u64,
    /// The time from the end of the incarnation before to the moment this one was ready.
    pub took: Duration,
    /// How many restarts before this one are not told because the listener was behind. 0 as a rule.
    pub lagged: u64,
}

/// The server is over.
#[non_exhaustive]
pub struct Terminated<'a, S: GenServer> {
    /// The server.
    pub server: &'a ServerRef<S>,
    /// Why.
    pub reason: &'a ExitReason,
    /// The last state that was committed.
    pub state: &'a Snapshot<S>,
}

impl<S: GenServer> fmt::Debug for Event<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(event) => event.fmt(f),
            Self::StateChanged(event) => event.fmt(f),
            Self::Crashed(event) => event.fmt(f),
            Self::Restarted(event) => event.fmt(f),
            Self::Terminated(event) => event.fmt(f),
        }
    }
}

impl<S: GenServer> fmt::Debug for Started<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("server", self.server).finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for StateChanged<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server: _, old: _, new: _, version, incarnation, callback, lagged } = self;
        f.debug_struct("StateChanged")
            .field("version", version)
            .field("incarnation", incarnation)
            .field("callback", callback)
            .field("lagged", lagged)
            .finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for Crashed<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server: _, report, state: _, abandoned, lagged } = self;
        f.debug_struct("Crashed")
            .field("report", report)
            .field("abandoned", abandoned)
            .field("lagged", lagged)
            .finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for Restarted<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server: _, incarnation, took, lagged } = self;
        f.debug_struct("Restarted")
            .field("incarnation", incarnation)
            .field("took", took)
            .field("lagged", lagged)
            .finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for Terminated<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminated").field("reason", self.reason).finish_non_exhaustive()
    }
}
