//! A recorder that a test reads: what was counted and measured, by name and labels.

use std::collections::BTreeMap;

use metrics_util::{
    CompositeKey, MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use parking_lot::Mutex;
use undying::telemetry::MetricsListener;

/// A name and its labels, as one would write them: `undying.commits{server=a}`.
type Series = String;

/// What a recorder was told, all in all. (A [`Snapshotter`] forgets what it has shown; this does not.)
pub(super) struct Meter {
    snapshotter: Snapshotter,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    numbers: BTreeMap<Series, f64>,
    measured: BTreeMap<Series, Vec<f64>>,
}

impl Meter {
    /// A listener with a recorder of its own, and what reads that.
    pub(super) fn new() -> (Self, MetricsListener) {
        let recorder = DebuggingRecorder::new();
        let meter = Self::of(&recorder);
        (meter, MetricsListener::default().recorder(recorder))
    }

    pub(super) fn of(recorder: &DebuggingRecorder) -> Self {
        Self { snapshotter: recorder.snapshotter(), known: Mutex::default() }
    }

    fn read(&self) -> parking_lot::MutexGuard<'_, Known> {
        let mut known = self.known.lock();
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let series = series(&key);
            match value {
                DebugValue::Counter(more) => *known.numbers.entry(series).or_default() += more as f64,
                DebugValue::Gauge(more) => *known.numbers.entry(series).or_default() += more.0,
                DebugValue::Histogram(more) => {
                    known.measured.entry(series).or_default().extend(more.into_iter().map(|value| value.0));
                }
            }
        }
        known
    }

    /// The counters and gauges whose name is `name` and that are not 0.
    pub(super) fn all(&self, name: &str) -> Vec<(Series, u64)> {
        let known = self.read();
        let of_the_name = known.numbers.iter().filter(|(series, _)| is_called(series, name));
        of_the_name.map(|(series, &value)| (series.clone(), whole(value))).filter(|(_, n)| *n > 0).collect()
    }

    /// One counter or gauge; 0 if there is none.
    pub(super) fn number(&self, series: &str) -> u64 {
        self.read().numbers.get(series).copied().map_or(0, whole)
    }

    /// What one histogram was given.
    pub(super) fn measured(&self, series: &str) -> Vec<f64> {
        self.read().measured.get(series).cloned().unwrap_or_default()
    }

    /// All series there are.
    pub(super) fn series(&self) -> Vec<Series> {
        let known = self.read();
        known.numbers.keys().chain(known.measured.keys()).cloned().collect()
    }
}

fn whole(value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0, "{value} is not a number of things");
    value as u64
}

fn is_called(series: &str, name: &str) -> bool {
    series.split('{').next() == Some(name)
}

fn series(key: &CompositeKey) -> Series {
    let (kind, key) = (key.kind(), key.key());
    assert!(matches!(kind, MetricKind::Counter | MetricKind::Gauge | MetricKind::Histogram));
    let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

/// Pairs as [`Meter::all`] has them.
pub(super) fn counts<const N: usize>(counts: [(&str, u64); N]) -> Vec<(Series, u64)> {
    counts.into_iter().map(|(series, count)| (series.to_owned(), count)).collect()
}
