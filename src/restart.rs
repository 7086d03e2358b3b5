//! When to restart, and after what pause. Pure: no clock, no randomness; both are arguments.
//!
//! Time is a [`Duration`] since some fixed origin, which never overflows and never runs backwards.

use std::{collections::VecDeque, time::Duration};

/// A restart budget: so many crashes within a window that truly slides.
///
/// As in OTP's supervisor, a crash exactly `within` ago still counts.
#[derive(Debug)]
pub(crate) struct Budget {
    max: u32,
    within: Duration,
    /// The crashes that may still be within the window, oldest first; never more than `max + 1`.
    crashes: VecDeque<Duration>,
}

/// What a crash does to the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is within the budget; so many are in the window now, this one included.
    Restart { recent: u32 },
    /// It is one too many.
    Exceeded,
}

impl Budget {
    /// A budget without an end has to know only whether there were few crashes or many.
    const ENOUGH: usize = 64;

    pub(crate) fn new(max: u32, within: Duration) -> Self {
        Self { max, within, crashes: VecDeque::new() }
    }

    /// Charges a crash at `now`.
    pub(crate) fn charge(&mut self, now: Duration) -> Verdict {
        self.slide(now);
        self.crashes.push_back(now);
        if self.max == u32::MAX && self.crashes.len() > Self::ENOUGH {
            self.crashes.pop_front();
        }
        match u32::try_from(self.crashes.len()) {
            Ok(recent) if recent <= self.max => Verdict::Restart { recent },
            _ => Verdict::Exceeded,
        }
    }

    /// How many crashes are within the window that ends at `now`.
    pub(crate) fn recent(&mut self, now: Duration) -> usize {
        self.slide(now);
        self.crashes.len()
    }

    fn slide(&mut self, now: Duration) {
        while self.crashes.front().is_some_and(|&at| now.saturating_sub(at) > self.within) {
            self.crashes.pop_front();
        }
    }
}

/// The pause before a restart: doubling from a minimum to a maximum with the number of recent crashes, jittered.
///
/// The pause before restart *k* of the current window is drawn from the upper half of
/// `min · 2^(k - 1)`, capped by `max`, and is never below `min`; so `exponential(d, d)` is a constant pause of `d`. Jitter keeps
/// many servers that crashed together from coming back together (Brooker, *Exponential Backoff And Jitter*, 2015).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use undying::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_secs(1));
/// # let _ = backoff;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// Doubles from `min` to `max`. A `min` above `max` is refused at [`start`](crate::ServerSpec::start).
    pub const fn exponential(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    /// The pause before the `attempt`-th restart of the window (from 1), `jitter` being a random number of `0.0..1.0`.
    pub(crate) fn pause(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let longest = self.min.saturating_mul(1 << doublings).min(self.max);
        let shortest = (longest / 2).max(self.min);
        let span = longest.saturating_sub(shortest);
        // A span near `Duration::MAX` rounds up to more than a `Duration` holds.
        let extra = Duration::try_from_secs_f64(span.as_secs_f64() * jitter).unwrap_or(span);
        shortest.saturating_add(extra.min(span))
    }
}

#[cfg(test)]
mod tests;
