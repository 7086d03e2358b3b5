//! Tokio servers whose state survives their crashes.
//!
//! > acknowledged ⇒ kept.  crashed ⇒ not applied.  queued ⇒ still served.
//!
//! Write a [`GenServer`] with no error handling at all and let it crash: by a panic, by `?`, by a kill. A few microseconds
//! later it is there again, at the same address, with the state of its last good callback and with every queued message
//! still in line.
//!
//! ```
//! use undying::{CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
//!
//! #[derive(Clone)]
//! struct Counter;
//!
//! impl GenServer for Counter {
//!     type State = u64; //                 survives
//!     type Call = (String, Reply<u64>);
//!     type Cast = Never;
//!     type Info = Never;
//!     type Continue = Never;
//!
//!     async fn handle_call(&mut self, (by, reply): Self::Call, mut total: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
//!         *total += 1_000_000;
//!         *total += by.parse::<u64>()?; // crashes on bad input, with the work half done
//!         *total -= 1_000_000;
//!         reply.send(*total);
//!         Ok(Next::Wait)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let counter = ServerSpec::new(Counter, 0).start().await.unwrap();
//! assert_eq!(counter.call(|reply| ("7".into(), reply)).await.unwrap(), 7);
//! assert!(matches!(counter.call(|reply| ("x".into(), reply)).await, Err(CallError::Crashed(_))));
//! assert_eq!(counter.call(|reply| ("3".into(), reply)).await.unwrap(), 10);
//! # }
//! ```
//!
//! The guide is in [`docs`], with a table for those who [come from Elixir](docs::coming_from_elixir).
//!
//! # What survives a crash
//!
//! | | a crash of a callback, a kill of the worker | the logical end |
//! | --- | --- | --- |
//! | [`State`](GenServer::State), as of the last callback that returned `Ok` | yes | given back by [`stop`](ServerRef::stop) |
//! | queued messages, in order | yes | their callers get [`Stopped`](CallError::Stopped) |
//! | the message whose callback crashed | no: it is not run again | no |
//! | a pending [`Next::Continue`], the deadline of a [`Next::Timeout`] | yes | no |
//! | a [`Reply`] that lives in the state | yes | its caller gets `Stopped` |
//! | timers ([`Context::send_after`] …) | yes, each fires once | no |
//! | tasks and streams ([`Context::spawn`], [`attach`](Context::attach)) | yes | aborted |
//! | monitors and links | yes | told of it |
//! | timers, tasks, monitors that the crashed callback had asked for | no: crashed ⇒ not applied | |
//! | [`ServerRef`]s, names and groups, the restart budget | yes | the names are free |
//! | `&mut self`: connections, caches | no: each incarnation has its own | no |
//! | what an `Arc` in `self` shares | yes, and it is not rolled back | as long as it is held |
//!
//! # How it works
//!
//! A *logical server* is what a [`ServerRef`] names. Three tasks make it up: the **worker** runs one callback at a time on
//! a working copy of the state and commits after each; the **keeper** tells a [`Listener`] what was committed (where there are
//! several, each has a keeper of its own); the **supervisor** starts the next *incarnation* of the worker from what was
//! committed last, and ends the whole when it crashes more often than its budget allows. The kept state belongs to none of
//! the three.
//!
//! Servers stand in supervision trees, as in OTP: a [`Supervisor`] starts its children in order and restarts them as its
//! [`Strategy`] has it, a [`DynamicSupervisor`] has children that come and go, a [`PartitionSupervisor`] divides keys among
//! equal servers. They restart what has come to its *logical* end; a mere crash is the server's own affair. A [`Registry`]
//! finds servers by name, and [`transfer`](SupervisorRef::transfer) moves one to another supervisor while it runs.
//!
//! # Guarantees
//!
//! * **Acknowledged means kept.** If a call returned `Ok`, every later incarnation starts from the state the answer was
//!   computed with, or from a later one. (Another *life*, which a supervisor gives a server after its logical end, begins
//!   afresh, unless its spec says [`preserve_on_escalation`](ServerSpec::preserve_on_escalation).)
//! * **Crashed means not applied.** Nothing of a callback that crashed is in the kept state, and none of its answers were
//!   heard.
//! * **At most once.** A message is handled once or not at all; those behind one that crashed are kept, in order.
//! * **One order.** What one sender sends by call, cast and send is handled in that order, also across crashes.
//! * **A fenced incarnation is harmless.** A worker that was killed and does not yield can neither commit nor reply nor
//!   take a message.
//! * **Every end is an answer.** However a server ends, every pending and later operation resolves, with the reason.
//! * **No deadlock goes unnoticed.** A call that would close a circle of callbacks that wait for each other fails at once, with
//!   [`Deadlock`](CallError::Deadlock) and the names.
//! * **Listeners see commits in order**, an unbroken chain, and harm neither the server nor each other: one that panics is
//!   told the next event all the same, one that is slow lags.
//!
//! # What it cannot survive
//!
//! * The end of the process: the state is kept in memory.
//! * Panics in builds with `panic = "abort"`, where none can be caught: there the first one ends the process. The first server
//!   that is started says so, by a warning of `tracing`; errors and kills are survived as ever.
//! * A `Drop` that panics while a panic unwinds (the process aborts), a stack overflow, the end of memory.
//! * A callback that blocks its thread for ever keeps that thread. The server itself goes on without it; on a
//!   current-thread runtime there is no other thread to go on with. Where the callback was run by its caller
//!   ([`Dispatch::Direct`]) the thread is the caller's, who then hears nothing, no timeout and no kill; a server that may block
//!   is to be [`Queued`](Dispatch::Queued).
//! * Effects outside `State`: what a callback has done to the world is not undone when it is rolled back.
//! * Changes made through an `Arc` inside `State`: the snapshot shares them.
//!
//! # Features
//!
//! None is on by default; each only adds.
//!
//! * `chaos`: faults on purpose (`ServerRef::chaos`, `chaos::Monkey`) and a checker of histories (`chaos::history`), for the tests
//!   of what is built on this crate.
//! * `metrics`: `telemetry::MetricsListener`, which counts and measures through the facade of the crate `metrics`.
//! * `observer`: `observer::Observer`, a web page that shows the servers of a process while they run.
//! * `serde`: the [`collections`] can be serialized.
//!
//! # MSRV
//!
//! Rust 1.85.

mod alarm;
mod any;
mod any_listener;
mod bell;
mod callback;
mod cell;
#[cfg(feature = "chaos")]
pub mod chaos;
pub mod collections;
mod contain;
mod context;
mod dead_letter;
mod deadlines;
mod debug;
pub mod docs;
mod effects;
mod error;
mod exit;
mod extras;
mod feed;
mod gen_server;
mod job;
mod keeper;
mod listener;
mod logical;
mod mailbox;
mod monitor;
mod name;
mod notice;
#[cfg(feature = "observer")]
pub mod observer;
mod options;
mod peer;
mod pending;
mod plan;
mod preserve;
mod probe;
mod recipient;
mod record;
mod registry;
mod reply;
mod request;
mod requests;
mod restart;
mod scope;
mod seat;
mod server_ref;
mod spec;
mod supervisor;
mod sync;
mod sys;
mod task;
mod tasks;
pub mod telemetry;
mod timers;
mod tree;
mod waits;
mod watch;
mod worker;

pub use crate::{
    any::AnyServerRef,
    any_listener::{AnyEvent, AnyEventKind, AnyListener},
    context::Context,
    dead_letter::{DeadLetter, DeadLetterReason, Message, Redelivery},
    debug::SysEvent,
    error::{
        CallError, CastError, ChildError, StartError, StopError, SysError, TransferError, TrySendError,
        WhereisError,
    },
    exit::{Callback, Crash, CrashKind, CrashReport, ExitReason},
    gen_server::{GenServer, Never, Next, Outcome, Restart},
    listener::{Crashed, Event, Listener, Overflow, Restarted, Started, StateChanged, Terminated},
    monitor::{Down, Incarnations, Monitor, MonitorRef},
    name::ServerId,
    options::{CommitPolicy, Dispatch, Mailbox, Poison, Shutdown, WhenFull},
    pending::{Exit, PendingCall, PendingStop},
    plan::{AutoShutdown, RestartPolicy, Strategy},
    preserve::{Kept, Preserve, Snapshot, StateMut},
    probe::{Probe, Ran},
    recipient::Recipient,
    registry::{KeyedRegistry, NameEvent, NameEvents, Registry},
    reply::Reply,
    requests::{MultiCall, Requests, multi_call},
    restart::Backoff,
    server_ref::{ServerGuard, ServerRef, Status, WeakServerRef},
    spec::ServerSpec,
    sys::{Statistics, StatusReport, Sys},
    task::TaskRef,
    timers::TimerRef,
    tree::{
        Adopt, ChildCount, ChildInfo, ChildKind, ChildSpec, DynamicSupervisor, DynamicSupervisorRef,
        PartitionSupervisor, PartitionSupervisorRef, Supervisor, SupervisorGuard, SupervisorRef, Tree,
        TreeNode,
    },
    watch::Watch,
};

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
