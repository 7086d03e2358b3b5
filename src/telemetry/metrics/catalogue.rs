//! The metrics by name, and what a recorder is told of each.

use ::metrics::{Recorder, Unit};

pub(super) const CALLBACKS: &str = "undying.callbacks";
pub(super) const CALLBACK_DURATION: &str = "undying.callback.duration";
pub(super) const COMMITS: &str = "undying.commits";
pub(super) const SNAPSHOT_DURATION: &str = "undying.snapshot.duration";
pub(super) const MAILBOX_LENGTH: &str = "undying.mailbox.length";
pub(super) const CRASHES: &str = "undying.crashes";
pub(super) const ZOMBIES: &str = "undying.zombies";
pub(super) const RESTARTS: &str = "undying.restarts";
pub(super) const RESTART_DURATION: &str = "undying.restart.duration";
pub(super) const SERVERS: &str = "undying.servers";
pub(super) const EXITS: &str = "undying.exits";
pub(super) const LAGGED: &str = "undying.listener.lagged";

const COUNTERS: [(&str, &str); 7] = [
    (CALLBACKS, "Callbacks that ran, crashed ones included."),
    (COMMITS, "Changes of the state that were committed."),
    (CRASHES, "Abnormal ends of incarnations."),
    (ZOMBIES, "Workers that could not be stopped and were left behind."),
    (RESTARTS, "Incarnations that began to serve after another."),
    (EXITS, "Ends of servers."),
    (LAGGED, "Events that were not told because the listener was behind."),
];

const DURATIONS: [(&str, &str); 3] = [
    (CALLBACK_DURATION, "How long callbacks took."),
    (SNAPSHOT_DURATION, "How long it took to take the snapshot for a commit."),
    (RESTART_DURATION, "The time from the end of an incarnation until the next one serves."),
];

const GAUGES: [(&str, &str); 2] = [
    (MAILBOX_LENGTH, "Messages that are queued, as of the last callback."),
    (SERVERS, "Servers that are alive."),
];

/// Tells `recorder` what the metrics are.
pub(super) fn describe(recorder: &dyn Recorder) {
    for (name, text) in COUNTERS {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    for (name, text) in DURATIONS {
        recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
    }
    for (name, text) in GAUGES {
        recorder.describe_gauge(name.into(), Some(Unit::Count), text.into());
    }
}
