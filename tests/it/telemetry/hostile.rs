//! Names that would be more than names, and subscribers that panic.

use tracing::{Event, Id, Level, Metadata, Subscriber, span, subscriber::set_default};
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

/// Panics whenever it is told something that it is to break at.
struct Broken {
    breaks_at: fn(&Metadata<'_>, At) -> bool,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Enabled,
    NewSpan,
    Event,
}

impl Broken {
    fn at(&self, metadata: &Metadata<'_>, at: At) {
        if metadata.target().starts_with("undying") && (self.breaks_at)(metadata, at) {
            inject();
        }
    }
}

impl Subscriber for Broken {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.at(metadata, At::Enabled);
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> Id {
        self.at(span.metadata(), At::NewSpan);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.at(event.metadata(), At::Event);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What a server does for its callers while telemetry breaks.
async fn serves_all_the_same(breaks_at: fn(&Metadata<'_>, At) -> bool) {
    quiet();
    let _guard = set_default(Broken { breaks_at });
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
#[tokio::test]
async fn a_subscriber_that_panics_at_the_listeners_events_harms_nobody() {
    fn of_a_listener(metadata: &Metadata<'_>) -> bool {
        let targets = ["started", "state_changed", "crashed", "restarted", "terminated"];
        targets.iter().any(|target| metadata.target().strip_prefix("undying::") == Some(target))
    }
    serves_all_the_same(|metadata, at| at == At::Event && of_a_listener(metadata)).await;
}

/// TE19: one that panics at whatever the crate itself logs harms nobody, either.
#[tokio::test]
async fn a_subscriber_that_panics_at_the_logs_of_the_crate_harms_nobody() {
    serves_all_the_same(|_, at| at == At::Event).await;
}

/// TE20: nor does one that panics at the spans of callbacks.
#[tokio::test]
async fn a_subscriber_that_panics_at_spans_harms_nobody() {
    serves_all_the_same(|_, at| at == At::NewSpan).await;
}
