//! What servers do, as metrics of the facade `metrics`.

mod catalogue;
mod instruments;
mod tally;

use std::{
    collections::HashMap,
    fmt, ptr,
    sync::{Arc, Weak},
};

use ::metrics::Recorder;
use parking_lot::Mutex;

use self::{instruments::Instruments, tally::Tally};
use crate::{
    any::AnyServerRef,
    any_listener::{AnyEvent, AnyEventKind, AnyListener, listens_to_any},
    contain::catch,
    exit::Callback,
    name::ServerId,
    probe::{Probe, Ran},
};

/// The label of the servers for which there is no more room, as OpenTelemetry calls what it does not tell apart.
const OTHER: &str = "_OTHER";

/// Counts and measures what servers do by the facade of the crate [`metrics`](::metrics), for whatever recorder the program has:
/// Prometheus, StatsD, OpenTelemetry.
///
#[doc = include_str!("../docs/telemetry/metrics.md")]
///
/// **The label `server`** is the name of a server, or its type where it has none: servers without a name are counted together by
/// type, and their gauges add up. It is never the id, so restarts make no new series. Where names are many (one for each user, say),
/// [`label`](Self::label) says what they have in common; in any case there are no more than [`max_labels`](Self::max_labels)
/// of them. The other labels have the few values that are listed.
///
/// **The cost.** The handles of the recorder are looked up when a server is first seen, those of a callback, a crash or an exit when the
/// first such thing happens; after that a callback costs an increment, a histogram entry and what has changed of the gauge. The
/// rest is done by the keeper. Crashes whose event was not told for lack of time are counted with the `callback` and `kind` `_OTHER`.
///
/// The recorder has to be there when the first server starts: what was looked up before counts for nobody. Give the listener to
/// each server once: by two supervisors, one above the other, everything is counted twice.
///
/// # Examples
///
/// ```
/// use undying::{ServerSpec, Supervisor, telemetry::MetricsListener};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Stock;
/// # impl GenServer for Stock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // With, say, `metrics_exporter_prometheus::PrometheusBuilder::new().install()` before:
/// let shop = Supervisor::builder()
///     .listener(MetricsListener::default())
///     .child(ServerSpec::new(Stock, 0).name("stock"))
///     .start()
///     .await
///     .unwrap();
/// # shop.stop().await.unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct MetricsListener {
    shared: Arc<Shared>,
}

type Labeller = dyn Fn(&AnyServerRef) -> String + Send + Sync;

#[derive(Clone)]
struct Config {
    label: Option<Arc<Labeller>>,
    max_labels: usize,
    recorder: Option<Arc<dyn Recorder + Send + Sync>>,
}

/// What all clones of a listener have in common.
struct Shared {
    config: Config,
    /// The instruments by the label `server`. As a recorder keeps its series, so are they kept.
    /// A label that is admitted has its place before it has its instruments.
    labels: Mutex<HashMap<Arc<str>, Option<Arc<Instruments>>>>,
    /// The servers that are there.
    servers: Mutex<HashMap<ServerId, Weak<Tally>>>,
}

impl MetricsListener {
    /// What stands in the label `server`, instead of a server's name or type. For names of which there is one for each user, order or
    /// connection.
    ///
    /// It is asked once for each server. If it panics, the label is `_OTHER`.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::telemetry::MetricsListener;
    ///
    /// // "session/4711" and all the other sessions are "session".
    /// let listener = MetricsListener::default().label(|server| {
    ///     let name = server.name().unwrap_or(server.type_name());
    ///     name.split('/').next().unwrap_or(name).to_owned()
    /// });
    /// # let _ = listener;
    /// ```
    #[must_use = "it is a listener that is yet to be given to a server"]
    pub fn label(self, label: impl Fn(&AnyServerRef) -> String + Send + Sync + 'static) -> Self {
        self.with(|config| config.label = Some(Arc::new(label)))
    }

    /// How many values the label `server` may have: servers beyond are counted together, as `_OTHER`. Defaults to 1,000.
    #[must_use = "it is a listener that is yet to be given to a server"]
    pub fn max_labels(self, max: usize) -> Self {
        self.with(|config| config.max_labels = max)
    }

    /// Who gets the metrics. Defaults to the recorder that is installed: the global one, or the local one of the thread on which a
    /// server starts.
    #[must_use = "it is a listener that is yet to be given to a server"]
    pub fn recorder(self, recorder: impl Recorder + Send + Sync + 'static) -> Self {
        self.with(|config| config.recorder = Some(Arc::new(recorder)))
    }

    /// A listener that has nothing in common with its clones from before.
    fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.shared.config.clone();
        change(&mut config);
        Self { shared: Arc::new(Shared::new(config)) }
    }
}

impl Default for MetricsListener {
    fn default() -> Self {
        let config = Config { label: None, max_labels: 1000, recorder: None };
        Self { shared: Arc::new(Shared::new(config)) }
    }
}

impl Shared {
    fn new(config: Config) -> Self {
        Self { config, labels: Mutex::default(), servers: Mutex::default() }
    }

    /// Begins to count for a server. The recorder is the user's and is asked outside every lock (K8).
    fn admit(self: &Arc<Self>, server: &AnyServerRef) -> Arc<Tally> {
        let mut label = self.label_of(server);
        let (known, first) = {
            let mut labels = self.labels.lock();
            if !labels.contains_key(&label) && labels.len() >= self.config.max_labels {
                label = OTHER.into();
            }
            let first = labels.is_empty();
            (labels.entry(label.clone()).or_default().clone(), first)
        };
        let instruments = known.unwrap_or_else(|| {
            let made = Arc::new(Instruments::new(self.config.recorder.clone(), label.clone(), first));
            // Another server of that label may have been faster; of the same recorder both are the same.
            let mut labels = self.labels.lock();
            labels.entry(label).or_default().get_or_insert_with(|| made.clone()).clone()
        });
        let tally = Arc::new(Tally::new(instruments, server.id(), self));
        self.servers.lock().insert(server.id(), Arc::downgrade(&tally));
        tally
    }

    fn label_of(&self, server: &AnyServerRef) -> Arc<str> {
        match &self.config.label {
            Some(label) => catch(|| label(server)).map_or_else(|_| OTHER.into(), Into::into),
            // No label at all, for Prometheus, is what an empty one is.
            None => {
                server.name().filter(|name| !name.is_empty()).unwrap_or_else(|| server.type_name()).into()
            }
        }
    }

    fn tally(&self, server: ServerId) -> Option<Arc<Tally>> {
        self.servers.lock().get(&server)?.upgrade()
    }

    /// A server is not there any more.
    fn forget(&self, tally: &Tally) {
        let mut servers = self.servers.lock();
        let its_own = |known: &Weak<Tally>| ptr::eq(known.as_ptr(), tally);
        if servers.get(&tally.server()).is_some_and(its_own) {
            servers.remove(&tally.server());
        }
    }
}

impl AnyListener for MetricsListener {
    fn event(&self, event: &AnyEvent<'_>) {
        let Some(tally) = self.shared.tally(event.server.id()) else { return };
        let instruments = &tally.instruments;
        match event.kind {
            AnyEventKind::Started => tally.lives(),
            AnyEventKind::StateChanged { lagged, .. } => {
                instruments.lagged("state_changed", lagged);
                instruments.committed(1 + lagged);
            }
            AnyEventKind::Crashed { report, abandoned, lagged } => {
                instruments.lagged("crashed", lagged);
                instruments.crashed(report, abandoned, lagged);
            }
            AnyEventKind::Restarted { took, lagged, .. } => {
                tally.lives();
                instruments.lagged("restarted", lagged);
                instruments.restarted(took, lagged);
            }
            AnyEventKind::Terminated { reason } => {
                tally.ends();
                instruments.ended(reason);
            }
        }
    }

    /// Each commit of a callback is counted where it is made.
    fn wants_changes(&self, by: Callback) -> bool {
        by == Callback::System
    }

    fn probe(&self, server: &AnyServerRef) -> Option<Probe> {
        let tally = self.shared.admit(server);
        Some(Box::new(move |ran: &Ran| tally.ran(ran)))
    }
}

listens_to_any!(MetricsListener);

impl fmt::Debug for MetricsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { config, labels, servers } = &*self.shared;
        f.debug_struct("MetricsListener")
            .field("max_labels", &config.max_labels)
            .field("labels", &labels.lock().len())
            .field("servers", &servers.lock().len())
            .finish_non_exhaustive()
    }
}
