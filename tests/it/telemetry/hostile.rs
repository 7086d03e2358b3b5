//! Names that would be more than names, and subscribers that panic.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::runtime::Builder;
use tracing::{
    Dispatch, Event, Id, Level, Metadata, Subscriber, dispatcher::set_default, span, subscriber::Interest,
};
use undying::{ExitReason, Registry, ServerSpec, telemetry::TracingListener};

use super::collector::Collector;
use crate::{
    crash::script::{Script, add, ask, crash, serves, soon, stop},
    support::{inject, quiet},
};

/// Names that mean something elsewhere: in JSON, in a log line, in an exposition of metrics, to a terminal.
pub(super) const NAMES: [&str; 7] = [
    "",
    "with \"quotes\" and \\",
    "line\nbreak\r\n# HELP me",
    "{server=\"other\"} 1",
    "nul\0 and \u{1b}[31mred",
    "π ≠ 𝟛 \u{202e}",
    "{} {0} {name:?} %s",
];

/// TE17: whatever a server is called, that is its name in the field, and in no other.
#[tokio::test]
async fn a_name_is_a_name_whatever_is_in_it() {
    quiet();
    for name in NAMES.iter().map(ToString::to_string).chain([("long ".repeat(100_000))]) {
        let (collector, _guard) = Collector::listen(Level::TRACE);
        let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&Registry::new(), name.clone());
        let server = spec.listener(TracingListener::default()).start().await.expect("it starts");
        crash(&server).await;
        serves(&server, 2).await;
        stop(&server).await;
        for target in ["started", "crashed", "restarted", "terminated"] {
            let told = collector.of(&format!("undying::{target}"));
            assert_eq!(told.len(), 1, "{name:?} {target}");
            assert_eq!(told[0]["server.name"], name);
        }
        assert!(collector.spans().iter().all(|span| span.fields["server.name"] == name));
    }
}

/// What a subscriber can be told, and may panic at.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Enabled,
    NewSpan,
    Enter,
    Exit,
    Close,
    Event,
}

/// Panics whenever it is told something of the crate that it is to break at.
struct Broken {
    breaks_at: fn(Option<&Metadata<'_>>, At) -> bool,
    broken: Arc<AtomicUsize>,
}

impl Broken {
    fn at(&self, metadata: Option<&Metadata<'_>>, at: At) {
        let ours = metadata.is_none_or(|metadata| metadata.target().starts_with("undying"));
        if ours && (self.breaks_at)(metadata, at) {
            self.broken.fetch_add(1, Ordering::SeqCst);
            inject();
        }
    }
}

impl Subscriber for Broken {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // So that it is asked every time.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.at(Some(metadata), At::Enabled);
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> Id {
        self.at(Some(span.metadata()), At::NewSpan);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.at(Some(event.metadata()), At::Event);
    }

    fn enter(&self, _: &Id) {
        self.at(None, At::Enter);
    }

    fn exit(&self, _: &Id) {
        self.at(None, At::Exit);
    }

    fn try_close(&self, _: Id) -> bool {
        self.at(None, At::Close);
        true
    }
}

/// Shows what a server does for its callers while telemetry breaks, on both runtime flavours.
fn serves_all_the_same(breaks_at: fn(Option<&Metadata<'_>>, At) -> bool) {
    quiet();
    for threads in [0, 2] {
        let broken = Arc::new(AtomicUsize::new(0));
        let subscriber = Dispatch::new(Broken { breaks_at, broken: broken.clone() });
        let here = subscriber.clone();
        let runtime = match threads {
            0 => Builder::new_current_thread().enable_all().build(),
            // Each thread of the runtime has it from its start to its end.
            _ => Builder::new_multi_thread()
                .worker_threads(threads)
                .on_thread_start(move || mem::forget(set_default(&subscriber)))
                .enable_all()
                .build(),
        };
        let _guard = set_default(&here);
        runtime.expect("a runtime").block_on(a_life());
        assert!(broken.load(Ordering::SeqCst) > 0, "nothing broke");
    }
}

async fn a_life() {
    let spec = ServerSpec::new(Script::new(), 0_u64).listener(TracingListener::default());
    let server = spec.start().await.expect("it starts");
    assert_eq!(ask(&server, add).await, 1);
    crash(&server).await;
    serves(&server, 2).await;
    assert_eq!(ask(&server, add).await, 2);
    server.kill_worker();
    serves(&server, 3).await;
    assert_eq!(ask(&server, add).await, 3);
    let exit = stop(&server).await;
    assert!(matches!(exit.reason, ExitReason::Normal), "{:?}", exit.reason);
    assert_eq!(*exit.state, 3);
    assert!(soon(server.call(add)).await.is_err());
}

/// TE18: a subscriber that panics at the events of the listener harms nobody.
#[test]
fn a_subscriber_that_panics_at_the_listeners_events_harms_nobody() {
    fn of_a_listener(metadata: &Metadata<'_>) -> bool {
        let targets = ["started", "state_changed", "crashed", "restarted", "terminated"];
        targets.iter().any(|target| metadata.target().strip_prefix("undying::") == Some(target))
    }
    serves_all_the_same(|metadata, at| at == At::Event && metadata.is_some_and(of_a_listener));
    serves_all_the_same(|metadata, at| at == At::Enabled && metadata.is_some_and(of_a_listener));
}

/// TE19: one that panics at whatever the crate itself logs harms nobody, either.
#[test]
fn a_subscriber_that_panics_at_the_logs_of_the_crate_harms_nobody() {
    serves_all_the_same(|_, at| at == At::Event);
    serves_all_the_same(|_, at| at == At::Enabled);
}

/// TE20: nor does one that panics at the spans of callbacks: when they are made, entered, left or closed.
#[test]
fn a_subscriber_that_panics_at_spans_harms_nobody() {
    serves_all_the_same(|_, at| at == At::NewSpan);
    serves_all_the_same(|_, at| at == At::Enter);
    serves_all_the_same(|_, at| at == At::Exit);
    serves_all_the_same(|_, at| at == At::Close);
}
