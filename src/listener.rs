//! Listeners: who is told of a server's changes, crashes and end.

use std::{fmt, marker::PhantomData, time::Duration};

use crate::{
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    preserve::Snapshot,
    server_ref::ServerRef,
};

/// Is told of what happens to a server, in the order in which it happened.
///
/// The keeper task calls the methods, one event at a time, after the fact: a listener can neither hold the worker up nor
/// break it. Each change's `old` is the `new` of the change before, also across crashes. A method that panics is logged,
/// and the next event comes all the same (K12).
///
/// Events queue up while a listener is busy. From 4,096 on, only the newest change, crash and restart are kept, and `lagged`
/// says how many before them are not told. The chain of `old` and `new` holds all the same, and the start and the end are
/// always told.
///
/// The methods are synchronous. The listeners of one server are told one after the other, so one that blocks delays the
/// others; and the keeper is a task like any other, so one that blocks its thread does so to the runtime, on a
/// current-thread runtime to everything.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use undying::{Listener, ServerSpec, StateChanged};
/// # use undying::{Context, GenServer, Never, Next, Outcome, StateMut};
/// # #[derive(Clone)] struct Counter;
/// # impl GenServer for Counter {
/// #     type State = u64; type Call = Never; type Cast = u64; type Info = Never; type Continue = Never;
/// #     async fn handle_cast(&mut self, by: u64, mut n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         *n += by; Ok(Next::Wait)
/// #     }
/// # }
///
/// #[derive(Default, Clone)]
/// struct Audit(Arc<Mutex<Vec<(u64, u64)>>>);
///
/// impl Listener<Counter> for Audit {
///     fn state_changed(&self, change: &StateChanged<'_, Counter>) {
///         self.0.lock().unwrap().push((*change.old, *change.new));
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let audit = Audit::default();
/// let counter = ServerSpec::new(Counter, 0).listener(audit.clone()).start().await.unwrap();
/// counter.cast(2).await.unwrap();
/// counter.cast(3).await.unwrap();
/// counter.stop().await.unwrap();
/// assert_eq!(*audit.0.lock().unwrap(), [(0, 2), (2, 5)]);
/// # }
/// ```
pub trait Listener<S: GenServer>: Send + Sync + 'static {
    /// The server serves: `init` is done.
    fn started(&self, event: &Started<'_, S>) {
        let _ = event;
    }

    /// A callback has changed the state, and the change is committed.
    fn state_changed(&self, change: &StateChanged<'_, S>) {
        let _ = change;
    }

    /// An incarnation came to an abnormal end. What it had not committed is rolled back.
    fn crashed(&self, crash: &Crashed<'_, S>) {
        let _ = crash;
    }

    /// A new incarnation serves.
    fn restarted(&self, restart: &Restarted<'_, S>) {
        let _ = restart;
    }

    /// The server is over. Once, and last; unless its supervisor gives it another life, which begins with
    /// [`started`](Self::started) (or, where the state is preserved, [`restarted`](Self::restarted)).
    fn terminated(&self, end: &Terminated<'_, S>) {
        let _ = end;
    }
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
    /// Its number.
    pub incarnation: u64,
    /// The time from the end of the incarnation before to the moment this one was ready.
    pub took: Duration,
    pub(crate) server: PhantomData<&'a fn() -> S>,
}

/// The server is over.
#[non_exhaustive]
pub struct Terminated<'a, S: GenServer> {
    /// Why.
    pub reason: &'a ExitReason,
    /// The last state that was committed.
    pub state: &'a Snapshot<S>,
}

impl<S: GenServer> fmt::Debug for Started<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("server", self.server).finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for StateChanged<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old: _, new: _, version, incarnation, callback, lagged } = self;
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
        let Self { report, state: _, abandoned, lagged } = self;
        f.debug_struct("Crashed")
            .field("report", report)
            .field("abandoned", abandoned)
            .field("lagged", lagged)
            .finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for Restarted<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incarnation, took, server: _ } = self;
        f.debug_struct("Restarted")
            .field("incarnation", incarnation)
            .field("took", took)
            .finish_non_exhaustive()
    }
}

impl<S: GenServer> fmt::Debug for Terminated<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminated").field("reason", self.reason).finish_non_exhaustive()
    }
}
