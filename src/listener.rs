//! Listeners: who is told of a server's changes, crashes and end.

mod events;

pub use self::events::{Crashed, Event, Restarted, Started, StateChanged, Terminated};
use crate::{exit::Callback, gen_server::GenServer, probe::Probe, server_ref::ServerRef};

/// Is told of what happens to a server, in the order in which it happened.
///
/// A keeper task calls the methods, one event at a time, after the fact: a listener can neither hold the worker up nor break
/// it. Each change's `old` is the `new` of the change before, also across crashes. A method that panics is logged, and the next
/// event comes all the same. Each listener of a server has a queue and a keeper of its own: none concerns the others (K12).
///
/// Events queue up while a listener is busy, 4,096 of them unless
/// [`listener_with`](crate::ServerSpec::listener_with) says otherwise. What becomes of more is said by an [`Overflow`]; `lagged`
/// tells how many were lost to it. In any case the order and the chain of `old` and `new` hold, and starts and ends are told.
///
/// The methods are synchronous, and run on a thread of the runtime. A listener that blocks its thread (it sleeps, writes to a
/// disk, waits for an answer of its server) should say so by [`blocking`](Self::blocking). Otherwise it holds up what else runs
/// there: on a current-thread runtime everything.
///
/// What has no state to be told of by type, such as a telemetry hook for all servers, is an
/// [`AnyListener`](crate::AnyListener). A closure that takes an [`Event`] is a listener, too:
///
/// ```
/// # use undying::{Event, GenServer, Never, ServerSpec};
/// # #[derive(Clone)] struct Counter;
/// # impl GenServer for Counter { type State = u64; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// # let _ =
/// ServerSpec::new(Counter, 0).listener(|event: Event<'_, Counter>| match event {
///     Event::StateChanged(change) => println!("{} -> {}", change.old, change.new),
///     other => println!("{other:?}"),
/// })
/// # ;
/// ```
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not listen to servers of type `{S}`",
    label = "not a listener",
    note = "implement `undying::Listener<{S}>` for it, or give a closure that says what it takes: `|event: undying::Event<'_, {S}>| …`",
    note = "a listener is shared between threads, so it has to be `Send + Sync + 'static`"
)]
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

    /// Whether the methods may block their thread. Then they are called on one that is for that
    /// ([`spawn_blocking`](tokio::task::spawn_blocking)), still one event at a time and in order; there they may also
    /// [wait](tokio::runtime::Handle::block_on) for an answer of the server itself. That costs some microseconds each time there is
    /// something to tell after a pause. Only where the runtime shuts down, or the keeper was aborted at the very end, what is left
    /// is told by whoever is there. Defaults to no.
    fn blocking(&self) -> bool {
        false
    }

    /// Whether it is to be told of changes [by](StateChanged::callback) that callback. Asked once for each, before the server starts.
    /// Other changes cost the server nothing, and are not counted as `lagged`; the `old` of a change is the state that was told last.
    /// Defaults to yes.
    ///
    /// # Examples
    ///
    /// One that only wants to know of crashes and ends:
    ///
    /// ```
    /// use undying::{Callback, Crashed, GenServer, Listener, Terminated};
    ///
    /// struct Pager;
    ///
    /// impl<S: GenServer> Listener<S> for Pager {
    ///     fn crashed(&self, crash: &Crashed<'_, S>) {
    ///         println!("{}: {}", crash.server.id(), crash.report);
    ///     }
    ///
    ///     fn terminated(&self, end: &Terminated<'_, S>) {
    ///         println!("{}: {}", end.server.id(), end.reason);
    ///     }
    ///
    ///     fn wants_changes(&self, _: Callback) -> bool {
    ///         false
    ///     }
    /// }
    /// ```
    fn wants_changes(&self, by: Callback) -> bool {
        let _ = by;
        true
    }

    /// What is to be told of every callback of `server`, and not only of changes: see [`Probe`]. Asked once, before the first
    /// life of the server. Defaults to nothing, which costs nothing.
    fn probe(&self, server: &ServerRef<S>) -> Option<Probe> {
        let _ = server;
        None
    }
}

/// What becomes of events for which a listener's queue has no room. Starts and ends of the server are told in any case.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{Event, Overflow, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let audit = |event: Event<'_, Counter>| println!("{event:?}");
/// let counter = ServerSpec::new(Counter, 0).listener_with(audit, 100, Overflow::Block).start().await?;
/// counter.cast(1).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Beyond the capacity there is one event of each kind, the newest: the listener ends up with the newest state.
    Coalesce,
    /// The oldest event gives way to the new one.
    DropOldest,
    /// No callback begins until there is room, but for the first one of an incarnation: the server waits for the listener, and
    /// nothing is lost. Requests of [`Sys`](crate::Sys) and kills do not wait; a stop does. What the callback that filled the
    /// queue has said is said. A listener that waits for a callback of its own server can wait for ever then.
    Block,
}

impl<S: GenServer, F: Fn(Event<'_, S>) + Send + Sync + 'static> Listener<S> for F {
    fn started(&self, event: &Started<'_, S>) {
        self(Event::Started(event));
    }

    fn state_changed(&self, change: &StateChanged<'_, S>) {
        self(Event::StateChanged(change));
    }

    fn crashed(&self, crash: &Crashed<'_, S>) {
        self(Event::Crashed(crash));
    }

    fn restarted(&self, restart: &Restarted<'_, S>) {
        self(Event::Restarted(restart));
    }

    fn terminated(&self, end: &Terminated<'_, S>) {
        self(Event::Terminated(end));
    }
}
