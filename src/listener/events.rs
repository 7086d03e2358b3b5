//! What listeners are told of.

use std::{fmt, time::Duration};

use crate::{
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    preserve::Snapshot,
    server_ref::ServerRef,
};

/// What a listener that is a closure is told of.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/counter.md")]
/// use std::sync::{Arc, Mutex};
/// use undying::{Event, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = Arc::new(Mutex::new(vec![]));
/// let told = log.clone();
/// let counter = ServerSpec::new(Counter, 0)
///     .listener(move |event: Event<'_, Counter>| {
///         told.lock().unwrap().push(match event {
///             Event::Started(start) => format!("starts with {}", start.state),
///             Event::StateChanged(change) => format!("{} is {} by {}", change.old, change.new, change.callback),
///             Event::Crashed(crash) => format!("crashed, keeps {}: {}", crash.state, crash.report.message()),
///             Event::Restarted(restart) => format!("incarnation {}", restart.incarnation),
///             Event::Terminated(end) => format!("ends with {}: {}", end.state, end.reason),
///             _ => return,
///         });
///     })
///     .start()
///     .await?;
/// counter.cast(5).await?;
/// counter.cast(13).await?; // crashes
/// counter.stop().await?; //   and the listener has been told all of it
/// assert_eq!(*log.lock().unwrap(), [
///     "starts with 0",
///     "0 is 5 by handle_cast",
///     "crashed, keeps 5: unlucky",
///     "incarnation 2",
///     "ends with 5: normal",
/// ]);
/// # Ok(())
/// # }
/// ```
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
///
/// # Examples
///
/// One with a server is at [`Event`](crate::Event).
///
/// ```
/// use undying::{GenServer, Started};
///
/// fn started<S: GenServer>(event: &Started<'_, S>)
/// where
///     undying::Snapshot<S>: std::fmt::Debug,
/// {
///     println!("server {} begins with {:?}", event.server.id(), event.state);
/// }
/// ```
#[non_exhaustive]
pub struct Started<'a, S: GenServer> {
    /// The server.
    pub server: &'a ServerRef<S>,
    /// The state after `init`.
    pub state: &'a Snapshot<S>,
}

/// A callback has changed the state.
///
/// # Examples
///
/// One with a server is at [`Event`](crate::Event).
///
/// ```
/// use undying::{GenServer, StateChanged};
///
/// fn changed<S: GenServer>(change: &StateChanged<'_, S>) {
///     println!("version {} by {} in incarnation {}", change.version, change.callback, change.incarnation);
///     if change.lagged > 0 {
///         println!("{} changes before it were not told", change.lagged);
///     }
/// }
/// ```
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
///
/// # Examples
///
/// One with a server is at [`Event`](crate::Event).
///
/// ```
/// use undying::{GenServer, Crashed};
///
/// fn crashed<S: GenServer>(crash: &Crashed<'_, S>) {
///     println!("server {}: {}", crash.server.id(), crash.report);
///     if crash.abandoned {
///         println!("a thread is still busy with it");
///     }
/// }
/// ```
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
///
/// # Examples
///
/// One with a server is at [`Event`](crate::Event).
///
/// ```
/// use undying::{GenServer, Restarted};
///
/// fn restarted<S: GenServer>(restart: &Restarted<'_, S>) {
///     println!("incarnation {} serves after {:?}", restart.incarnation, restart.took);
/// }
/// ```
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
///
/// # Examples
///
/// One with a server is at [`Event`](crate::Event).
///
/// ```
/// use undying::{GenServer, Terminated};
///
/// fn terminated<S: GenServer>(end: &Terminated<'_, S>) {
///     println!("server {} is over: {}", end.server.id(), end.reason);
/// }
/// ```
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
