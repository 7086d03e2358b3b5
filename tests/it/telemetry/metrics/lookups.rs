//! Where the metrics go, what the recorder is told of them, and that it is asked for handles once and not for each event.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder,
};
use metrics_util::{MetricKind, debugging::DebuggingRecorder};
use parking_lot::Mutex;
use undying::{ServerSpec, telemetry::MetricsListener};

use super::{Meter, counts, spec};
use crate::{
    crash::script::{Script, add, ask, crash, inc, serves, stop, tell},
    support::quiet,
};

type Description = (MetricKind, Option<Unit>, String);

/// Counts how often it is asked for what.
#[derive(Default)]
struct Asked {
    handles: AtomicUsize,
    described: Mutex<BTreeMap<String, Description>>,
    descriptions: AtomicUsize,
}

impl Asked {
    fn describe(&self, kind: MetricKind, key: &KeyName, unit: Option<Unit>, text: &SharedString) {
        self.descriptions.fetch_add(1, Ordering::SeqCst);
        self.described.lock().insert(key.as_str().into(), (kind, unit, text.to_string()));
    }
}

impl Recorder for Asked {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(MetricKind::Counter, &key, unit, &text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(MetricKind::Gauge, &key, unit, &text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(MetricKind::Histogram, &key, unit, &text);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.handles.fetch_add(1, Ordering::SeqCst);
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.handles.fetch_add(1, Ordering::SeqCst);
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.handles.fetch_add(1, Ordering::SeqCst);
        Histogram::noop()
    }
}

both! {
    /// TE41: once everything has happened once, the recorder is asked for nothing more, neither by the same server nor by another of
    /// the label.
    async fn the_recorder_is_asked_once() {
        let asked = Arc::new(Asked::default());
        let listener = MetricsListener::default().recorder(asked.clone());
        let life = async |rounds: u64| {
            let server = spec("a", &listener).start().await.expect("it starts");
            for round in 0..rounds {
                for _ in 0..20 {
                    ask(&server, add).await;
                    tell(&server, inc()).await;
                }
                crash(&server).await;
                serves(&server, round + 2).await;
            }
            stop(&server).await;
        };
        life(1).await;
        let (handles, descriptions) = (asked.handles.load(Ordering::SeqCst), asked.descriptions.load(Ordering::SeqCst));
        assert!(handles > 7 && descriptions == 12, "{handles} {descriptions}");
        life(10).await;
        assert_eq!(asked.handles.load(Ordering::SeqCst), handles);
        assert_eq!(asked.descriptions.load(Ordering::SeqCst), descriptions);
    }

    /// TE42: the recorder is told of each metric what it is and in which unit; durations are in seconds.
    async fn each_metric_is_described() {
        let asked = Arc::new(Asked::default());
        let listener = MetricsListener::default().recorder(asked.clone());
        stop(&spec("a", &listener).start().await.expect("it starts")).await;
        let described = asked.described.lock();
        let kinds: Vec<_> = described.iter().map(|(name, (kind, unit, _))| (name.as_str(), *kind, *unit)).collect();
        let (count, seconds) = (Some(Unit::Count), Some(Unit::Seconds));
        assert_eq!(kinds, [
            ("undying.callback.duration", MetricKind::Histogram, seconds),
            ("undying.callbacks", MetricKind::Counter, count),
            ("undying.commits", MetricKind::Counter, count),
            ("undying.crashes", MetricKind::Counter, count),
            ("undying.exits", MetricKind::Counter, count),
            ("undying.listener.lagged", MetricKind::Counter, count),
            ("undying.mailbox.length", MetricKind::Gauge, count),
            ("undying.restart.duration", MetricKind::Histogram, seconds),
            ("undying.restarts", MetricKind::Counter, count),
            ("undying.servers", MetricKind::Gauge, count),
            ("undying.snapshot.duration", MetricKind::Histogram, seconds),
            ("undying.zombies", MetricKind::Counter, count),
        ]);
        assert!(described.values().all(|(_, _, text)| text.ends_with('.')));
    }
}

/// TE43: without a recorder of its own the listener counts for the one that is installed.
#[tokio::test]
async fn it_counts_for_the_recorder_that_is_installed() {
    quiet();
    let recorder = DebuggingRecorder::new();
    let meter = Meter::of(&recorder);
    // All of the server runs on this thread, for which the recorder is installed.
    let _guard = set_default_local_recorder(&recorder);
    let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&undying::Registry::new(), "a");
    let server = spec.listener(MetricsListener::default()).start().await.expect("it starts");
    ask(&server, add).await;
    crash(&server).await;
    stop(&server).await;
    assert_eq!(
        meter.all("undying.callbacks"),
        counts([
            ("undying.callbacks{server=a,callback=handle_call}", 2),
            ("undying.callbacks{server=a,callback=init}", 1),
            ("undying.callbacks{server=a,callback=restarted}", 1),
            ("undying.callbacks{server=a,callback=terminate}", 2),
        ])
    );
    assert_eq!(meter.all("undying.servers"), []);
}

/// TE44: where nobody records, nothing happens.
#[tokio::test]
async fn without_a_recorder_it_does_nothing() {
    quiet();
    let spec = ServerSpec::new(Script::new(), 0_u64).listener(MetricsListener::default());
    let server = spec.start().await.expect("it starts");
    assert_eq!(ask(&server, add).await, 1);
    crash(&server).await;
    assert_eq!(*stop(&server).await.state, 1);
}
