//! High-water marks: a mailbox that fills up is logged once, and again only after it has been half empty.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, set_default},
};
use undying::{Mailbox, ServerRef, ServerSpec, WhenFull};

use crate::{
    crash::script::{Script, inc, look, soon, wait_at},
    support::{Gate, quiet, until},
};

/// Counts the warnings of this crate.
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("undying")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A server whose warnings are counted, on the runtime of this thread.
struct Watched {
    server: ServerRef<Script<u64>>,
    /// What its callbacks wait at.
    gate: Gate,
    warnings: Arc<AtomicUsize>,
    _subscriber: DefaultGuard,
}

impl Watched {
    /// The server is in a callback, and nothing is queued.
    async fn new(mailbox: Mailbox) -> Self {
        quiet();
        let (gate, warnings) = (Gate::new(), Arc::default());
        let _subscriber = set_default(Warnings(Arc::clone(&warnings)));
        let spec = ServerSpec::new(Script::new(), 0).mailbox(mailbox);
        let server = spec.start().await.expect("it starts");
        let watched = Self { server, gate, warnings, _subscriber };
        watched.hold().await;
        watched
    }

    /// Brings the server into a callback that waits at the gate.
    async fn hold(&self) {
        self.server.cast(wait_at(&self.gate)).await.expect("a server");
        soon(self.gate.arrived()).await;
        assert_eq!(self.server.mailbox_len(), 0);
    }

    /// Queues messages until there are `n`, each of which will wait at the gate. Tells how many warnings that gave.
    async fn rise_to(&self, n: usize) -> usize {
        let before = self.warnings.load(Ordering::SeqCst);
        while self.server.mailbox_len() < n {
            self.server.cast(wait_at(&self.gate)).await.expect("a server");
        }
        self.warnings.load(Ordering::SeqCst) - before
    }

    /// Has messages handled until there are `n` queued.
    async fn fall_to(&self, n: usize) {
        while self.server.mailbox_len() > n {
            self.gate.open();
            soon(self.gate.arrived()).await;
        }
        assert_eq!(self.server.mailbox_len(), n);
    }
}

/// CS6: a mailbox, bounded or not, that reaches its mark is logged once, and not before.
#[tokio::test]
async fn reaching_the_mark_is_logged_once() {
    for mailbox in [Mailbox::unbounded(), Mailbox::bounded(100)] {
        let watched = Watched::new(mailbox.high_water(8)).await;
        assert_eq!(watched.rise_to(7).await, 0, "{mailbox:?}");
        assert_eq!(watched.rise_to(8).await, 1, "{mailbox:?}");
        assert_eq!(watched.rise_to(50).await, 0, "{mailbox:?}");
        // All the way down and up again.
        watched.fall_to(0).await;
        assert_eq!(watched.rise_to(7).await, 0, "{mailbox:?}");
        assert_eq!(watched.rise_to(50).await, 1, "{mailbox:?}");
    }
}

/// CS6: it is logged again only after no more than half of the mark was queued.
#[tokio::test]
async fn it_is_logged_again_only_after_half_of_it_is_gone() {
    let watched = Watched::new(Mailbox::bounded(100).high_water(8)).await;
    assert_eq!(watched.rise_to(10).await, 1);
    for _ in 0..3 {
        watched.fall_to(5).await;
        assert_eq!(watched.rise_to(10).await, 0);
    }
    for _ in 0..3 {
        watched.fall_to(4).await;
        assert_eq!(watched.rise_to(7).await, 0);
        assert_eq!(watched.rise_to(10).await, 1);
    }
}

/// CS6: a bounded mailbox has its mark at three quarters of its capacity unless it is set.
#[tokio::test]
async fn a_bounded_mailbox_has_a_mark_of_its_own() {
    for (capacity, mark) in [(8, 6), (100, 75)] {
        for policy in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            let watched = Watched::new(Mailbox::bounded(capacity).when_full(policy)).await;
            assert_eq!(watched.rise_to(mark - 1).await, 0, "{capacity}");
            assert_eq!(watched.rise_to(mark).await, 1, "{capacity}");
            assert_eq!(watched.rise_to(capacity).await, 0, "{capacity}");
        }
    }
}

/// CS6: one with room for three messages at most has none unless it is set.
#[tokio::test]
async fn a_very_small_mailbox_has_no_mark_unless_set() {
    let watched = Watched::new(Mailbox::bounded(3)).await;
    assert_eq!(watched.rise_to(3).await, 0);
    let watched = Watched::new(Mailbox::bounded(3).high_water(2)).await;
    assert_eq!((watched.rise_to(1).await, watched.rise_to(2).await, watched.rise_to(3).await), (0, 1, 0));
}

/// CS6: an unbounded one has it at ten thousand.
#[tokio::test]
async fn an_unbounded_mailbox_has_a_mark_of_its_own() {
    let watched = Watched::new(Mailbox::unbounded()).await;
    assert_eq!(watched.rise_to(9_999).await, 0);
    assert_eq!(watched.rise_to(10_000).await, 1);
    assert_eq!(watched.rise_to(11_000).await, 0);
}

/// CS6: a mailbox that stays below its mark is never logged, however much goes through it, and across crashes.
#[tokio::test]
async fn a_mailbox_below_its_mark_is_not_logged() {
    let watched = Watched::new(Mailbox::unbounded().high_water(8)).await;
    for _ in 0..20 {
        assert_eq!(watched.rise_to(7).await, 0);
        watched.server.kill_worker();
        soon(watched.gate.arrived()).await;
        watched.fall_to(0).await;
        watched.gate.open();
        until("it is idle", || watched.server.mailbox_len() == 0).await;
        watched.hold().await;
    }
    watched.server.cast(look(|_| crate::support::inject())).await.expect("a server");
    watched.server.cast(inc()).await.expect("a server");
    assert_eq!(watched.warnings.load(Ordering::SeqCst), 0);
}
