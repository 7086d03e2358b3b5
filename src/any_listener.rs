//! Listeners of servers whatever their type.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use crate::{
    any::AnyServerRef,
    contain::Quiet,
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    listener::Event,
    probe::Probe,
};

/// Is told of what happens to many servers, whatever their types: those of a [supervisor](crate::Supervisor::listener), or those
/// with a name in a [registry](crate::Registry::listener).
///
/// What is said of a [`Listener`](crate::Listener) holds here, too: for each server the events come in order, one at a time, and
/// the queue of one server does not concern another. Of different servers events come from different tasks, at the same time. A
/// closure that takes an [`AnyEvent`] is one.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use undying::{AnyEvent, AnyEventKind, ServerSpec, Supervisor};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Stock;
/// # impl GenServer for Stock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// # #[derive(Clone)] struct Orders;
/// # impl GenServer for Orders { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let crashes = Arc::new(AtomicU64::new(0));
/// let count = crashes.clone();
/// let shop = Supervisor::builder()
///     .listener(move |event: &AnyEvent<'_>| {
///         if let AnyEventKind::Crashed { .. } = event.kind {
///             count.fetch_add(1, Ordering::Relaxed);
///         }
///     })
///     .child(ServerSpec::new(Stock, 0))
///     .child(ServerSpec::new(Orders, 0))
///     .start()
///     .await
///     .unwrap();
/// shop.servers().iter().for_each(|server| server.kill_worker());
/// shop.stop().await.unwrap(); // the listeners are told before
/// assert_eq!(crashes.load(Ordering::Relaxed), 2);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not listen to servers of any type",
    label = "not such a listener",
    note = "implement `undying::AnyListener` for it, or give a closure that says what it takes: `|event: &undying::AnyEvent<'_>| …`"
)]
pub trait AnyListener: Send + Sync + 'static {
    /// Something has happened to a server.
    fn event(&self, event: &AnyEvent<'_>);

    /// See [`Listener::blocking`](crate::Listener::blocking). Defaults to no.
    fn blocking(&self) -> bool {
        false
    }

    /// See [`Listener::wants_changes`](crate::Listener::wants_changes). Asked for each server. Defaults to yes.
    fn wants_changes(&self, by: Callback) -> bool {
        let _ = by;
        true
    }

    /// See [`Listener::probe`](crate::Listener::probe). Defaults to nothing.
    fn probe(&self, server: &AnyServerRef) -> Option<Probe> {
        let _ = server;
        None
    }
}

impl<F: Fn(&AnyEvent<'_>) + Send + Sync + 'static> AnyListener for F {
    fn event(&self, event: &AnyEvent<'_>) {
        self(event);
    }
}

/// What an [`AnyListener`] is told of.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use std::sync::{Arc, Mutex};
/// use undying::{AnyEvent, AnyEventKind, Registry, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (registry, log) = (Registry::new(), Arc::new(Mutex::new(vec![])));
/// let told = log.clone();
/// registry.listener(move |event: &AnyEvent<'_>| {
///     let (old, new) = (event.old::<u64>(), event.state::<u64>()); // of servers with such a state
///     match event.kind {
///         AnyEventKind::StateChanged { .. } => told.lock().unwrap().push(format!("{old:?} -> {new:?}")),
///         AnyEventKind::Terminated { reason, .. } => told.lock().unwrap().push(reason.to_string()),
///         _ => {}
///     }
/// });
/// let counter = ServerSpec::new(Counter, 0).name_in(&registry, "clicks").start().await?;
/// counter.cast(5).await?;
/// counter.stop().await?;
/// assert_eq!(*log.lock().unwrap(), ["Some(0) -> Some(5)", "normal"]);
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub struct AnyEvent<'a> {
    /// The server.
    pub server: &'a AnyServerRef,
    /// What has happened to it.
    pub kind: AnyEventKind<'a>,
    state: Option<&'a dyn Any>,
    old: Option<&'a dyn Any>,
}

/// What has happened to a server.
///
/// # Examples
///
/// ```
/// use undying::{AnyEvent, AnyEventKind};
///
/// fn page(event: &AnyEvent<'_>) {
///     let server = event.server.name().unwrap_or(event.server.type_name());
///     match event.kind {
///         AnyEventKind::Crashed { report, .. } => println!("{server}: {report}"),
///         AnyEventKind::Terminated { reason, .. } if reason.is_abnormal() => println!("{server} is over: {reason}"),
///         _ => {}
///     }
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AnyEventKind<'a> {
    /// See [`Started`](crate::Started).
    Started,
    /// See [`StateChanged`](crate::StateChanged).
    #[non_exhaustive]
    StateChanged {
        /// The version of the state.
        version: u64,
        /// The incarnation that committed it.
        incarnation: u64,
        /// The callback that changed it.
        callback: Callback,
        /// How many changes before this one are not told.
        lagged: u64,
    },
    /// See [`Crashed`](crate::Crashed).
    #[non_exhaustive]
    Crashed {
        /// What is known of it.
        report: &'a CrashReport,
        /// The worker was left behind as a zombie.
        abandoned: bool,
        /// How many crashes before this one are not told.
        lagged: u64,
    },
    /// See [`Restarted`](crate::Restarted).
    #[non_exhaustive]
    Restarted {
        /// The number of the new incarnation.
        incarnation: u64,
        /// The time from the end of the incarnation before to the moment this one was ready.
        took: Duration,
        /// How many restarts before this one are not told.
        lagged: u64,
    },
    /// See [`Terminated`](crate::Terminated).
    #[non_exhaustive]
    Terminated {
        /// Why.
        reason: &'a ExitReason,
    },
}

impl<'a> AnyEvent<'a> {
    /// The state, if its snapshot is a `T`: the one that began, the new one, the one that was kept, the final one. None at a
    /// restart.
    pub fn state<T: 'static>(&self) -> Option<&'a T> {
        self.state?.downcast_ref()
    }

    /// The state before a change, if its snapshot is a `T`.
    pub fn old<T: 'static>(&self) -> Option<&'a T> {
        self.old?.downcast_ref()
    }

    /// Tells an event without its types.
    pub(crate) fn of<S: GenServer>(event: &Event<'_, S>, tell: impl FnOnce(&AnyEvent<'_>)) {
        let (server, kind, state, old): (_, _, Option<&dyn Any>, Option<&dyn Any>) = match *event {
            Event::Started(event) => (event.server, AnyEventKind::Started, Some(event.state), None),
            Event::StateChanged(change) => {
                let kind = AnyEventKind::StateChanged {
                    version: change.version,
                    incarnation: change.incarnation,
                    callback: change.callback,
                    lagged: change.lagged,
                };
                (change.server, kind, Some(change.new), Some(change.old))
            }
            Event::Crashed(crash) => {
                let kind = AnyEventKind::Crashed {
                    report: crash.report,
                    abandoned: crash.abandoned,
                    lagged: crash.lagged,
                };
                (crash.server, kind, Some(crash.state), None)
            }
            Event::Restarted(restart) => {
                let kind = AnyEventKind::Restarted {
                    incarnation: restart.incarnation,
                    took: restart.took,
                    lagged: restart.lagged,
                };
                (restart.server, kind, None, None)
            }
            Event::Terminated(end) => {
                (end.server, AnyEventKind::Terminated { reason: end.reason }, Some(end.state), None)
            }
        };
        tell(&AnyEvent { server: &AnyServerRef::from(server), kind, state, old });
    }
}

impl fmt::Debug for AnyEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyEvent")
            .field("server", &self.server)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Makes a type that listens to servers whatever their type a [`Listener`](crate::Listener) of each of them.
macro_rules! listens_to_any {
    ($listener:ty) => {
        impl<S: $crate::GenServer> $crate::Listener<S> for $listener {
            fn started(&self, event: &$crate::Started<'_, S>) {
                let tell = |event: &$crate::AnyEvent<'_>| $crate::AnyListener::event(self, event);
                $crate::AnyEvent::of(&$crate::Event::Started(event), tell);
            }

            fn state_changed(&self, change: &$crate::StateChanged<'_, S>) {
                let tell = |event: &$crate::AnyEvent<'_>| $crate::AnyListener::event(self, event);
                $crate::AnyEvent::of(&$crate::Event::StateChanged(change), tell);
            }

            fn crashed(&self, crash: &$crate::Crashed<'_, S>) {
                let tell = |event: &$crate::AnyEvent<'_>| $crate::AnyListener::event(self, event);
                $crate::AnyEvent::of(&$crate::Event::Crashed(crash), tell);
            }

            fn restarted(&self, restart: &$crate::Restarted<'_, S>) {
                let tell = |event: &$crate::AnyEvent<'_>| $crate::AnyListener::event(self, event);
                $crate::AnyEvent::of(&$crate::Event::Restarted(restart), tell);
            }

            fn terminated(&self, end: &$crate::Terminated<'_, S>) {
                let tell = |event: &$crate::AnyEvent<'_>| $crate::AnyListener::event(self, event);
                $crate::AnyEvent::of(&$crate::Event::Terminated(end), tell);
            }

            fn blocking(&self) -> bool {
                $crate::AnyListener::blocking(self)
            }

            fn wants_changes(&self, by: $crate::Callback) -> bool {
                $crate::AnyListener::wants_changes(self, by)
            }

            fn probe(&self, server: &$crate::ServerRef<S>) -> Option<$crate::Probe> {
                $crate::AnyListener::probe(self, &server.into())
            }
        }
    };
}
pub(crate) use listens_to_any;

/// Who listens to all servers of a supervisor or registry.
#[derive(Default)]
pub(crate) struct AnyAudience(Vec<Quiet<Arc<dyn AnyListener>>>);

impl AnyAudience {
    pub(crate) fn add(&mut self, listener: impl AnyListener) {
        self.0.push(Quiet::new(Arc::new(listener)));
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<dyn AnyListener>> {
        self.0.iter().map(|listener| (**listener).clone())
    }
}

impl fmt::Debug for AnyAudience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyAudience").field("count", &self.0.len()).finish()
    }
}

/// One of them, as the listener of one server.
pub(crate) struct Everywhere(pub(crate) Arc<dyn AnyListener>);

impl AnyListener for Everywhere {
    fn event(&self, event: &AnyEvent<'_>) {
        self.0.event(event);
    }

    fn blocking(&self) -> bool {
        self.0.blocking()
    }

    fn wants_changes(&self, by: Callback) -> bool {
        self.0.wants_changes(by)
    }

    fn probe(&self, server: &AnyServerRef) -> Option<Probe> {
        self.0.probe(server)
    }
}

listens_to_any!(Everywhere);
