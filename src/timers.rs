//! The timers of one logical server (K11).
//!
//! They stand beside the record, under its lock, and it is the worker that looks at them between two callbacks. So a timer
//! costs no task, a crash cannot come between its firing and its message, and one that is cancelled by a callback that
//! committed never fires: there is no moment in which its message is already on its way.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{name::serial, sync::Mutex};

/// Names a timer: see [`Context::send_after`](crate::Context::send_after). Unique within the process.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut, TimerRef};
///
/// #[derive(Clone)]
/// struct Alarm;
/// enum Set { In(Duration), Off }
///
/// impl GenServer for Alarm {
///     type State = Option<TimerRef>; // survives, as the timer does
///     type Cast = Set;
///     type Info = ();
/// #   type Call = Never; type Continue = Never;
///
///     async fn handle_cast(&mut self, set: Set, mut timer: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
///         if let Some(before) = timer.take() {
///             cx.cancel(before);
///         }
///         if let Set::In(after) = set {
///             *timer = Some(cx.send_after(after, ()));
///         }
///         Ok(Next::Wait)
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let alarm = ServerSpec::new(Alarm, None).start().await.unwrap();
/// # alarm.cast(Set::In(Duration::from_secs(60))).await.unwrap();
/// # alarm.cast(Set::Off).await.unwrap();
/// # assert!(alarm.stop().await.unwrap().state.is_none());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerRef(u64);

impl TimerRef {
    pub(crate) fn next() -> Self {
        Self(serial())
    }
}

/// What a timer is called by its server.
pub(crate) type Key = Cow<'static, str>;

pub(crate) struct Timer<M> {
    pub(crate) rings: Rings<M>,
    pub(crate) key: Option<Key>,
}

/// How often a timer fires.
pub(crate) enum Rings<M> {
    Once(M),
    Every(Duration, Arc<Maker<M>>),
}

/// What has fired.
pub(crate) enum Rung<M> {
    Once(M),
    Tick(Arc<Maker<M>>),
}

/// When a timer is due. Those that are due at the same instant fire in the order in which they were armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    At(Instant, TimerRef),
    Never(TimerRef),
}

pub(crate) struct Timers<M> {
    queue: BTreeMap<Due, Timer<M>>,
    places: HashMap<TimerRef, Due>,
    keys: HashMap<Key, TimerRef>,
}

impl<M> Default for Timers<M> {
    fn default() -> Self {
        Self { queue: BTreeMap::new(), places: HashMap::new(), keys: HashMap::new() }
    }
}

impl<M> Timers<M> {
    /// Arms a timer for `at`; `None`: it never fires. The one of the same key that it replaces comes back, to be dropped
    /// outside the lock (K8).
    pub(crate) fn arm(&mut self, name: TimerRef, at: Option<Instant>, timer: Timer<M>) -> Option<Timer<M>> {
        let replaced = timer.key.as_ref().and_then(|key| self.named(key)).and_then(|same| self.cancel(same));
        if let Some(key) = &timer.key {
            self.keys.insert(key.clone(), name);
        }
        let due = at.map_or(Due::Never(name), |at| Due::At(at, name));
        self.places.insert(name, due);
        self.queue.insert(due, timer);
        replaced
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.queue.first_key_value()?.0 {
            Due::At(at, _) => Some(*at),
            Due::Never(_) => None,
        }
    }

    /// Takes out the first of those that are due at `now`. An interval is armed again, for its next tick.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<Rung<M>> {
        let first = self.queue.first_entry()?;
        let &Due::At(at, name) = first.key() else { return None };
        if at > now {
            return None;
        }
        let timer = first.remove();
        self.places.remove(&name);
        match timer.rings {
            Rings::Once(message) => {
                if let Some(key) = &timer.key {
                    self.keys.remove(key);
                }
                Some(Rung::Once(message))
            }
            Rings::Every(period, maker) => {
                let rings = Rings::Every(period, maker.clone());
                // Counted from when it was due, not from now: ticks do not drift, and those that were missed are made up for.
                self.arm(name, Some(at + period), Timer { rings, ..timer });
                Some(Rung::Tick(maker))
            }
        }
    }

    pub(crate) fn cancel(&mut self, name: TimerRef) -> Option<Timer<M>> {
        let due = self.places.remove(&name)?;
        let timer = self.queue.remove(&due)?;
        if let Some(key) = &timer.key {
            self.keys.remove(key);
        }
        Some(timer)
    }

    pub(crate) fn is_armed(&self, name: TimerRef) -> bool {
        self.places.contains_key(&name)
    }

    pub(crate) fn into_timers(self) -> impl Iterator<Item = Timer<M>> {
        self.queue.into_values()
    }

    /// The timer of that key.
    pub(crate) fn named(&self, key: &str) -> Option<TimerRef> {
        self.keys.get(key).copied()
    }
}

impl<M> Rings<M> {
    pub(crate) fn every(period: Duration, make: impl Fn() -> M + Send + 'static) -> Self {
        Self::Every(period, Arc::new(Maker(Mutex::new(Some(Box::new(make))))))
    }
}

/// Makes the message of each tick of an interval.
pub(crate) struct Maker<M>(Mutex<Option<Box<dyn Fn() -> M + Send>>>);

impl<M> Maker<M> {
    /// Makes one. It is taken out while it runs, since no lock is held meanwhile (K8): `None` if a zombie is stuck in it.
    pub(crate) fn make(&self) -> Option<M> {
        let make = self.0.lock().take()?;
        let back = PutBack { maker: self, make: Some(make) };
        back.make.as_ref().map(|make| make())
    }
}

/// Puts a closure back where it came from, even if it panics.
struct PutBack<'a, M> {
    maker: &'a Maker<M>,
    make: Option<Box<dyn Fn() -> M + Send>>,
}

impl<M> Drop for PutBack<'_, M> {
    fn drop(&mut self) {
        *self.maker.0.lock() = self.make.take();
    }
}

impl<M> fmt::Debug for Timers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("armed", &self.queue.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
