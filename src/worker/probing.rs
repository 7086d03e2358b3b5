//! What is measured of a callback, if there is a probe, and the span around it, if anybody listens to that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Level, Span, level_filters::LevelFilter};

use super::Worker;
use crate::{
    contain::{Quiet, catch, log},
    exit::Callback,
    gen_server::GenServer,
    probe::{Probes, Ran},
};

/// How long things take, for those who want to know.
#[derive(Debug)]
pub(super) struct Stopwatch {
    probes: Arc<Probes>,
    began: Option<Instant>,
    took: Duration,
    snapshot: Option<Duration>,
}

impl Stopwatch {
    pub(super) fn new(probes: Arc<Probes>) -> Box<Self> {
        Box::new(Self { probes, began: None, took: Duration::ZERO, snapshot: None })
    }
}

impl<S: GenServer> Worker<S> {
    /// A callback begins.
    #[inline]
    pub(super) fn start_watch(&mut self) {
        if let Some(watch) = &mut self.stopwatch {
            (watch.began, watch.snapshot) = (Some(Instant::now()), None);
        }
    }

    /// It has returned.
    #[inline]
    pub(super) fn stop_watch(&mut self) {
        if let Some(watch) = &mut self.stopwatch {
            watch.took = watch.began.map_or(Duration::ZERO, |began| began.elapsed());
        }
    }

    /// A snapshot is about to be taken. When that was, if anybody wants to know.
    #[inline]
    pub(super) fn snapshot_begins(&self) -> Option<Instant> {
        self.stopwatch.as_ref().map(|_| Instant::now())
    }

    /// It was taken.
    #[inline]
    pub(super) fn snapshot_ends(&mut self, began: Option<Instant>) {
        if let Some(watch) = &mut self.stopwatch {
            watch.snapshot = began.map(|began| began.elapsed());
        }
    }

    /// Tells the probes. `waiting`: how many messages were queued, if that is known.
    #[inline]
    pub(super) fn report_run(&mut self, callback: Callback, crashed: bool, waiting: Option<usize>) {
        if self.stopwatch.as_mut().is_some_and(|watch| watch.began.take().is_some()) {
            self.tell_probes(callback, crashed, waiting);
        }
    }

    #[cold]
    fn tell_probes(&self, callback: Callback, crashed: bool, waiting: Option<usize>) {
        let Some(watch) = &self.stopwatch else { return };
        let Stopwatch { probes, began: _, took, snapshot } = &**watch;
        let mailbox_len = waiting.unwrap_or_else(|| {
            self.logical.cell.look(|record| record.batch.len() + self.logical.mailbox.len())
        });
        let snapshot = snapshot.filter(|_| !crashed);
        if probes.tell(&Ran { callback, took: *took, snapshot, crashed, mailbox_len }) {
            log!(error, undying.server = %self.logical.label(), "a probe panicked; it is told nothing more");
        }
    }

    /// The span of a callback, where somebody listens at that level.
    #[inline]
    pub(super) fn span(&self, callback: Callback) -> Option<Box<Quiet<Span>>> {
        if LevelFilter::current() < Level::TRACE { None } else { self.new_span(callback) }
    }

    /// Who listens is a user's, and is to harm nobody but itself.
    #[cold]
    fn new_span(&self, callback: Callback) -> Option<Box<Quiet<Span>>> {
        if !catch(|| tracing::enabled!(target: "undying::callback", Level::TRACE)).unwrap_or(false) {
            return None;
        }
        let span = || {
            tracing::trace_span!(
                target: "undying::callback",
                "callback",
                server.id = %self.logical.id,
                server.name = self.logical.name.as_deref(),
                undying.callback = %callback,
                undying.incarnation = self.epoch,
            )
        };
        catch(span).ok().map(Quiet::new).map(Box::new)
    }
}
