//! Whether the polls of a worker are short enough for somebody else's task to run them.

use std::time::{Duration, Instant};

/// So long may a poll take: to wake another thread takes a good part of that.
const SHORT: Duration = Duration::from_micros(100);

/// So many polls in a row have to be short at first, and twice as many each time that one was too long for somebody else.
const FIRST: u32 = if cfg!(any(dispatch = "eager", loom, shuttle)) { 0 } else { 32 };
const MOST: u32 = 1 << 14;

/// Of the polls that others run, one in so many is measured: to look at the clock twice costs as much as half a call.
const SAMPLE: u32 = 16;

#[derive(Debug)]
pub(super) struct Probation {
    /// How many polls in a row have to be short.
    wanted: u32,
    /// How many have been.
    passed: u32,
    /// How many polls others have run.
    stolen: u32,
}

impl Default for Probation {
    fn default() -> Self {
        Self { wanted: FIRST, passed: 0, stolen: 0 }
    }
}

impl Probation {
    /// Whether others may poll the worker.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.passed >= self.wanted
    }

    /// Polls the worker by its task.
    #[inline]
    pub(super) fn watch<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        if self.is_over() {
            return poll();
        }
        let (polled, short) = measure(poll);
        self.passed = if short { self.passed + 1 } else { 0 };
        polled
    }

    /// Polls the worker by somebody else.
    #[inline]
    pub(super) fn spot_check<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        self.stolen = self.stolen.wrapping_add(1);
        if self.stolen % SAMPLE != 0 {
            return poll();
        }
        let (polled, short) = measure(poll);
        if !short {
            (self.wanted, self.passed) = ((2 * self.wanted).min(MOST), 0);
        }
        polled
    }
}

fn measure<R>(poll: impl FnOnce() -> R) -> (R, bool) {
    let began = Instant::now();
    let polled = poll();
    (polled, began.elapsed() <= SHORT)
}
