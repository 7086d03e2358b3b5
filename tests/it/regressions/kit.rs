//! What several of these tests use: a value whose drop panics, a subscriber that acts on warnings, a server that is kept
//! busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use tokio::runtime::Handle;
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use undying::{Context, Next, Preserve, ServerRef};

use crate::{
    crash::script::{Job, Script, ask, slow, soon, tell, wait_at},
    support::{Gate, inject},
};

/// A value whose drop panics. Dropped while a panic unwinds it only counts that: the test is to fail, not to be aborted.
#[derive(Clone)]
pub(super) struct Bomb(Arc<Fallout>);

/// What became of some bombs.
#[derive(Debug, Default)]
pub(super) struct Fallout {
    dropped: AtomicUsize,
    unwound: AtomicUsize,
}

impl Bomb {
    pub(super) fn new(fallout: &Arc<Fallout>) -> Self {
        Self(fallout.clone())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
        if thread::panicking() {
            self.0.unwound.fetch_add(1, SeqCst);
        } else {
            inject();
        }
    }
}

impl Fallout {
    /// How many were dropped.
    pub(super) fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }

    /// How many of them while a panic unwound, where a user's would have aborted the process.
    pub(super) fn unwound(&self) -> usize {
        self.unwound.load(SeqCst)
    }
}

/// A subscriber that does something whenever this crate warns.
pub(super) struct OnWarning<F>(pub(super) F);

impl<F: Fn() + Send + Sync + 'static> Subscriber for OnWarning<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("undying")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        (self.0)();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A job that uses its context.
pub(super) fn act<T: Preserve>(
    act: impl for<'a> FnOnce(&'a mut Context<Script<T>>) + Send + 'static,
) -> Job<T> {
    slow(move |_, cx| {
        Box::pin(async move {
            act(cx);
            Ok(Next::Wait)
        })
    })
}

/// Runs `asks` in a callback of `server`, and gives what it returned once that is committed.
pub(super) async fn within<T: Preserve, R: Send + 'static>(
    server: &ServerRef<Script<T>>,
    asks: impl for<'a> FnOnce(&'a mut Context<Script<T>>) -> R + Send + 'static,
) -> R {
    ask(server, |reply| act(move |cx| reply.send(asks(cx)))).await
}

/// Keeps `server` in a callback until the gate opens.
pub(super) async fn held<T: Preserve>(server: &ServerRef<Script<T>>) -> Gate {
    let gate = Gate::new();
    tell(server, wait_at(&gate)).await;
    soon(gate.arrived()).await;
    gate
}

/// How many tasks the runtime has.
pub(super) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
