//! Probes: who measures every callback.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    contain::{Quiet, catch},
    exit::Callback,
};

/// Is told of every callback of a server, by the worker itself: after its commit and its replies, or when it has crashed.
///
/// It holds the worker up while it runs, so it should count and measure, and nothing else; whatever can wait is a listener's
/// business. What is killed is not told. One that panics is told nothing more. It is let go when the
/// server is over, as listeners are.
///
/// # Examples
///
/// One that is run is in the [guide](crate::docs::telemetry#the-probe).
///
/// ```
/// use std::{sync::{Arc, atomic::{AtomicU64, Ordering}}, time::Duration};
/// use undying::{GenServer, Listener, Probe, Ran, ServerRef};
///
/// struct Slow(Arc<AtomicU64>);
///
/// impl<S: GenServer> Listener<S> for Slow {
///     fn probe(&self, _: &ServerRef<S>) -> Option<Probe> {
///         let slow = self.0.clone();
///         Some(Box::new(move |ran: &Ran| {
///             if ran.took > Duration::from_millis(10) {
///                 slow.fetch_add(1, Ordering::Relaxed);
///             }
///         }))
///     }
/// }
/// ```
pub type Probe = Box<dyn Fn(&Ran) + Send + Sync>;

/// A callback has run: see [`Probe`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ran {
    /// Which one.
    pub callback: Callback,
    /// How long, with all its awaits.
    pub took: Duration,
    /// How long it took to take a snapshot, if a change of the state was committed.
    pub snapshot: Option<Duration>,
    /// It crashed, and nothing of it is kept.
    pub crashed: bool,
    /// How many messages are queued now.
    pub mailbox_len: usize,
}

/// The probes of a server.
pub(crate) struct Probes(Vec<(Quiet<Probe>, AtomicBool)>);

impl Probes {
    /// `None` if there are none.
    pub(crate) fn of(probes: Vec<Probe>) -> Option<Self> {
        let probes: Vec<_> =
            probes.into_iter().map(|probe| (Quiet::new(probe), AtomicBool::new(false))).collect();
        (!probes.is_empty()).then_some(Self(probes))
    }

    /// Tells all of them. Whether one of them has panicked.
    pub(crate) fn tell(&self, ran: &Ran) -> bool {
        let mut broke = false;
        for (probe, broken) in &self.0 {
            if !broken.load(Ordering::Relaxed) && catch(|| probe(ran)).is_err() {
                broken.store(true, Ordering::Relaxed);
                broke = true;
            }
        }
        broke
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("count", &self.0.len()).finish()
    }
}
