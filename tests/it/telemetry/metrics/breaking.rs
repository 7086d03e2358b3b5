//! A recorder that panics harms nobody but itself.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use undying::{ExitReason, ServerSpec, telemetry::MetricsListener};

use crate::{
    crash::script::{Script, add, ask, crash, serves, soon, stop},
    support::inject,
};

/// Panics whenever it is asked (`asked`), or whenever one of its handles is used.
struct Broken {
    when_asked: bool,
    panics: Arc<Panics>,
}

/// Counts its panics, and drops with one.
struct Panics(AtomicUsize);

impl Panics {
    fn panic(&self) -> ! {
        self.0.fetch_add(1, Ordering::SeqCst);
        inject()
    }
}

impl CounterFn for Panics {
    fn increment(&self, _: u64) {
        self.panic()
    }
    fn absolute(&self, _: u64) {
        self.panic()
    }
}

impl GaugeFn for Panics {
    fn increment(&self, _: f64) {
        self.panic()
    }
    fn decrement(&self, _: f64) {
        self.panic()
    }
    fn set(&self, _: f64) {
        self.panic()
    }
}

impl HistogramFn for Panics {
    fn record(&self, _: f64) {
        self.panic()
    }
}

impl Broken {
    fn hand_out<H>(&self, handle: impl FnOnce(Arc<Panics>) -> H) -> H {
        if self.when_asked { self.panics.panic() } else { handle(self.panics.clone()) }
    }
}

impl Recorder for Broken {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.hand_out(Counter::from_arc)
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.hand_out(Gauge::from_arc)
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.hand_out(Histogram::from_arc)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            inject();
        }
    }
}

/// What a server does for its callers while the recorder breaks. Returns how often it did.
async fn serves_all_the_same(when_asked: bool) -> usize {
    let panics = Arc::new(Panics(AtomicUsize::new(0)));
    let listener = MetricsListener::default().recorder(Broken { when_asked, panics: panics.clone() });
    let spec = ServerSpec::new(Script::new(), 0_u64).listener(listener);
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
    panics.0.load(Ordering::SeqCst)
}

both! {
    /// TE45: a recorder that panics when it is asked for handles is asked once for a server, and harms nobody.
    async fn a_recorder_that_has_no_handles_harms_nobody() {
        assert_eq!(serves_all_the_same(true).await, 1);
    }

    /// TE46: nor does one whose handles panic: the probe is not used again, and each event is tried.
    async fn a_recorder_whose_handles_panic_harms_nobody() {
        // The probe, the start, two crashes, two restarts, the end, and the gauges when the server is gone.
        let panics = serves_all_the_same(false).await;
        assert!((6..=8).contains(&panics), "{panics}");
    }
}
