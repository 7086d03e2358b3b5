//! The handles that a recorder gave for one value of the label `server`.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, with_recorder};
use parking_lot::Mutex;

use super::{
    OTHER,
    catalogue::{
        CALLBACK_DURATION, CALLBACKS, COMMITS, CRASHES, EXITS, LAGGED, MAILBOX_LENGTH, RESTART_DURATION,
        RESTARTS, SERVERS, SNAPSHOT_DURATION, ZOMBIES, describe,
    },
};
use crate::{
    exit::{Callback, CrashReport, ExitReason},
    probe::Ran,
    telemetry::{callback_word, kind_word, reason_word},
};

/// As many as there are callbacks.
const CALLBACK_COUNT: usize = Callback::Task as usize + 1;

/// What a recorder may want to know of where the metrics come from.
const METADATA: Metadata<'static> = Metadata::new("undying", Level::INFO, Some(module_path!()));

pub(super) struct Instruments {
    source: Source,
    callbacks: [OnceLock<(Counter, Histogram)>; CALLBACK_COUNT],
    commits: Counter,
    snapshots: Histogram,
    pub(super) queued: Gauge,
    pub(super) servers: Gauge,
    restarts: Counter,
    restart_times: Histogram,
    zombies: Counter,
    crashes: Family<(&'static str, &'static str)>,
    exits: Family<&'static str>,
    lagged: Family<&'static str>,
}

/// Where handles come from.
struct Source {
    /// Otherwise the one that is installed.
    recorder: Option<Arc<dyn Recorder + Send + Sync>>,
    server: Label,
}

impl Source {
    fn ask<R>(&self, ask: impl FnOnce(&dyn Recorder) -> R) -> R {
        match &self.recorder {
            Some(recorder) => ask(recorder),
            None => with_recorder(ask),
        }
    }

    fn key(&self, name: &'static str, others: &[(&'static str, &'static str)]) -> Key {
        let others = others.iter().map(|&(key, value)| Label::from_static_parts(key, value));
        let labels: Vec<_> = [self.server.clone()].into_iter().chain(others).collect();
        Key::from_parts(name, labels)
    }

    fn counter(&self, name: &'static str, others: &[(&'static str, &'static str)]) -> Counter {
        self.ask(|recorder| recorder.register_counter(&self.key(name, others), &METADATA))
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        self.ask(|recorder| recorder.register_gauge(&self.key(name, &[]), &METADATA))
    }

    fn histogram(&self, name: &'static str, others: &[(&'static str, &'static str)]) -> Histogram {
        self.ask(|recorder| recorder.register_histogram(&self.key(name, others), &METADATA))
    }
}

impl Instruments {
    /// Asks the recorder for what every server has. The first time the recorder is told what the metrics are, too.
    pub(super) fn new(
        recorder: Option<Arc<dyn Recorder + Send + Sync>>,
        server: Arc<str>,
        first: bool,
    ) -> Self {
        let source = Source { recorder, server: Label::new("server", server) };
        if first {
            source.ask(describe);
        }
        Self {
            callbacks: [const { OnceLock::new() }; CALLBACK_COUNT],
            commits: source.counter(COMMITS, &[]),
            snapshots: source.histogram(SNAPSHOT_DURATION, &[]),
            queued: source.gauge(MAILBOX_LENGTH),
            servers: source.gauge(SERVERS),
            restarts: source.counter(RESTARTS, &[]),
            restart_times: source.histogram(RESTART_DURATION, &[]),
            zombies: source.counter(ZOMBIES, &[]),
            crashes: Family::new(),
            exits: Family::new(),
            lagged: Family::new(),
            source,
        }
    }

    pub(super) fn ran(&self, ran: &Ran) {
        let (count, times) = self.callbacks[ran.callback as usize].get_or_init(|| {
            let labels = [("callback", callback_word(ran.callback))];
            (self.source.counter(CALLBACKS, &labels), self.source.histogram(CALLBACK_DURATION, &labels))
        });
        count.increment(1);
        times.record(ran.took);
        if let Some(took) = ran.snapshot {
            self.commits.increment(1);
            self.snapshots.record(took);
        }
    }

    pub(super) fn committed(&self, by: u64) {
        self.commits.increment(by);
    }

    pub(super) fn crashed(&self, report: &CrashReport, abandoned: bool, lagged: u64) {
        self.count_crashes((callback_word(report.callback()), kind_word(report.kind())), 1);
        if lagged > 0 {
            self.count_crashes((OTHER, OTHER), lagged);
        }
        if abandoned {
            self.zombies.increment(1);
        }
    }

    fn count_crashes(&self, kind: (&'static str, &'static str), by: u64) {
        let counter =
            |(callback, kind)| self.source.counter(CRASHES, &[("callback", callback), ("kind", kind)]);
        self.crashes.get(kind, counter).increment(by);
    }

    pub(super) fn restarted(&self, took: Duration, lagged: u64) {
        self.restarts.increment(1 + lagged);
        self.restart_times.record(took);
    }

    pub(super) fn ended(&self, reason: &ExitReason) {
        let counter = |reason| self.source.counter(EXITS, &[("reason", reason)]);
        self.exits.get(reason_word(reason), counter).increment(1);
    }

    pub(super) fn lagged(&self, event: &'static str, by: u64) {
        if by > 0 {
            let counter = |event| self.source.counter(LAGGED, &[("event", event)]);
            self.lagged.get(event, counter).increment(by);
        }
    }
}

/// Counters that are told apart by words of which there are few.
struct Family<K>(Mutex<Vec<(K, Counter)>>);

impl<K: Copy + PartialEq> Family<K> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The counter for `key`. The recorder is asked for it once, outside the lock (K8).
    fn get(&self, key: K, counter: impl FnOnce(K) -> Counter) -> Counter {
        let known = |known: &[(K, Counter)]| {
            known.iter().find(|(of, _)| *of == key).map(|(_, counter)| counter.clone())
        };
        let found = known(&self.0.lock());
        found.unwrap_or_else(|| {
            let made = counter(key);
            let mut all = self.0.lock();
            if known(&all).is_none() {
                all.push((key, made.clone()));
            }
            made
        })
    }
}
