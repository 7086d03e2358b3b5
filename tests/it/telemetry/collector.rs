//! A subscriber that keeps what it is told: the events with their fields, and the spans in which they came.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tracing::{
    Event, Id, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
    subscriber::{DefaultGuard, set_default},
};

/// The fields of an event or a span, as text.
pub(super) type Fields = BTreeMap<String, String>;

/// An event, with the names of the spans it came in, the outermost first.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) target: String,
    pub(super) level: Level,
    pub(super) fields: Fields,
    pub(super) spans: Vec<Spanned>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned {
    pub(super) target: String,
    pub(super) name: &'static str,
    pub(super) fields: Fields,
}

/// Clones share what was told. Listens to all that the crate and the tests say, up to a level.
#[derive(Clone)]
pub(super) struct Collector {
    level: Level,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Told>>,
    spans: Mutex<BTreeMap<u64, Spanned>>,
    /// The spans that this thread is in: the tests that ask have one thread.
    inside: Mutex<Vec<u64>>,
    closed: AtomicU64,
    last: AtomicU64,
}

impl Collector {
    /// Listens on this thread until the guard is dropped.
    pub(super) fn listen(level: Level) -> (Self, DefaultGuard) {
        let collector = Self { level, heard: Arc::default() };
        (collector.clone(), set_default(collector))
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.heard.events.lock().clone()
    }

    /// What was told of a target, as the fields.
    pub(super) fn of(&self, target: &str) -> Vec<Fields> {
        let told = self.told().into_iter().filter(|told| told.target == target);
        told.map(|told| told.fields).collect()
    }

    /// All spans that were made, in order.
    pub(super) fn spans(&self) -> Vec<Spanned> {
        self.heard.spans.lock().values().cloned().collect()
    }

    /// Whether no span is open, nor entered.
    pub(super) fn is_outside(&self) -> bool {
        let made = self.heard.spans.lock().len() as u64;
        self.heard.inside.lock().is_empty() && self.heard.closed.load(Ordering::SeqCst) == made
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = ["undying", "it"].iter().any(|name| metadata.target().starts_with(name));
        ours && *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.heard.last.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fields = Texts::default();
        span.record(&mut fields);
        let metadata = span.metadata();
        let span = Spanned { target: metadata.target().into(), name: metadata.name(), fields: fields.0 };
        self.heard.spans.lock().insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Texts::default();
        event.record(&mut fields);
        let spans = self.heard.spans.lock();
        let inside = self.heard.inside.lock();
        let told = Told {
            target: event.metadata().target().into(),
            level: *event.metadata().level(),
            fields: fields.0,
            spans: inside.iter().map(|id| spans[id].clone()).collect(),
        };
        self.heard.events.lock().push(told);
    }

    fn enter(&self, id: &Id) {
        self.heard.inside.lock().push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        assert_eq!(self.heard.inside.lock().pop(), Some(id.into_u64()), "spans are left in order");
    }

    fn try_close(&self, _: Id) -> bool {
        self.heard.closed.fetch_add(1, Ordering::SeqCst);
        true
    }
}

#[derive(Default)]
struct Texts(Fields);

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

/// The fields, in order, for a comparison.
pub(super) fn fields<const N: usize>(fields: [(&str, &str); N]) -> Fields {
    fields.into_iter().map(|(name, text)| (name.into(), text.into())).collect()
}
