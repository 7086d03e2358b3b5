//! What is measured of a callback, if there is a probe, and the span around it, if anybody listens to that.

use std::time::{Duration, Instant};

use tracing::{Level, Span, level_filters::LevelFilter};

use super::Worker;
use crate::{
    contain::{Quiet, catch, log},
    exit::Callback,
    gen_server::GenServer,
    probe::Ran,
};

/// How long things have taken; nothing is looked at where nobody wants to know.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    began: Option<Instant>,
    took: Duration,
    snapshot: Option<Duration>,
}

impl Stopwatch {
    pub(super) fn of_snapshot(&mut self, began: Instant) {
        self.snapshot = Some(began.elapsed());
    }
}

impl<S: GenServer> Worker<S> {
    /// A callback begins.
    #[inline]
    pub(super) fn start_watch(&mut self) {
        if self.probes.is_some() {
            self.stopwatch = Stopwatch { began: Some(Instant::now()), ..Stopwatch::default() };
        }
    }

    /// It has returned.
    #[inline]
    pub(super) fn stop_watch(&mut self) {
        if let Some(began) = self.stopwatch.began {
            self.stopwatch.took = began.elapsed();
        }
    }

    /// When a snapshot begins to be taken, if anybody wants to know.
    #[inline]
    pub(super) fn snapshot_begins(&self) -> Option<Instant> {
        self.stopwatch.began.map(|_| Instant::now())
    }

    /// Tells the probes. `waiting`: how many messages were queued, if that is known.
    #[inline]
    pub(super) fn report_run(&mut self, callback: Callback, crashed: bool, waiting: Option<usize>) {
        if self.stopwatch.began.take().is_some() {
            self.tell_probes(callback, crashed, waiting);
        }
    }

    #[cold]
    fn tell_probes(&mut self, callback: Callback, crashed: bool, waiting: Option<usize>) {
        let Some(probes) = &self.probes else { return };
        let Stopwatch { began: _, took, snapshot } = self.stopwatch;
        let mailbox_len = waiting.unwrap_or_else(|| {
            self.logical.cell.look(|record| record.batch.len() + self.logical.mailbox.len())
        });
        let snapshot = snapshot.filter(|_| !crashed);
        if probes.tell(&Ran { callback, took, snapshot, crashed, mailbox_len }) {
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
