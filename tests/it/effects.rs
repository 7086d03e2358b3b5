//! What a callback asks of its context is an effect: done when the callback commits, and not at all if it crashes. Here
//! is how a test asks, how it has a callback fail after it has asked, and where it writes down what came of it.

mod commits;
mod drops;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, time::Instant};
use undying::{CallError, Context, Crash, Next, Preserve, Reply, ServerRef};

use crate::{
    crash::script::{Job, Script, ask, asked, serves, slow, soon, tell, wait_at},
    support::{Gate, inject},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A server that has a context and nothing else.
pub(crate) type Plain = ServerRef<Script<()>>;

/// A job that uses its context.
pub(crate) fn act<T: Preserve>(
    act: impl for<'a> FnOnce(&'a mut Context<Script<T>>) + Send + 'static,
) -> Job<T> {
    slow(move |_, cx| {
        Box::pin(async move {
            act(cx);
            Ok(Next::Wait)
        })
    })
}

/// Runs `asks` in a callback of `server`, and gives what it returned once the callback is committed.
pub(crate) async fn within<T: Preserve, R: Send + 'static>(
    server: &ServerRef<Script<T>>,
    asks: impl for<'a> FnOnce(&'a mut Context<Script<T>>) -> R + Send + 'static,
) -> R {
    ask(server, |reply: Reply<R>| act(move |cx| reply.send(asks(cx)))).await
}

/// How a callback fails that has asked something of its context.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure {
    Panic,
    Error,
    Kill,
}

pub(crate) const FAILURES: [Failure; 3] = [Failure::Panic, Failure::Error, Failure::Kill];

/// Runs `asks` in a callback of `server` that fails afterwards, and waits for the next incarnation.
pub(crate) async fn in_vain<T: Preserve>(
    server: &ServerRef<Script<T>>,
    failure: Failure,
    asks: impl for<'a> FnOnce(&'a mut Context<Script<T>>) + Send + 'static,
) {
    let next = server.incarnation() + 1;
    let gate = Gate::new();
    let at = gate.clone();
    let job = slow(move |_, cx| {
        Box::pin(async move {
            asks(cx);
            match failure {
                Failure::Panic => inject(),
                Failure::Error => Err(Crash::msg("test: in vain")),
                Failure::Kill => {
                    at.pass().await;
                    Ok(Next::Wait)
                }
            }
        })
    });
    if let Failure::Kill = failure {
        tell(server, job).await;
        soon(gate.arrived()).await;
        server.kill_worker();
    } else {
        let lost = soon(server.call(asked(job))).await;
        assert!(matches!(lost, Err(CallError::Crashed(_))), "{lost:?}");
    }
    serves(server, next).await;
}

/// Keeps `server` in a callback until the gate opens.
pub(crate) async fn held<T: Preserve>(server: &ServerRef<Script<T>>) -> Gate {
    let gate = Gate::new();
    tell(server, wait_at(&gate)).await;
    soon(gate.arrived()).await;
    gate
}

/// What callbacks have noted, and when. It is no part of a state: also what is rolled back is seen. Clones are the same log.
pub(crate) struct Log<M>(Arc<Notes<M>>);

struct Notes<M> {
    begin: Instant,
    notes: Mutex<Vec<(Duration, M)>>,
}

impl<M> Clone for Log<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Clone + Send + 'static> Log<M> {
    /// An empty one, whose time begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Notes { begin: Instant::now(), notes: Mutex::new(Vec::new()) }))
    }

    pub(crate) fn note(&self, what: M) {
        let Notes { begin, notes } = &*self.0;
        notes.lock().push((begin.elapsed(), what));
    }

    /// A job that notes `what`.
    pub(crate) fn job<T: Preserve>(&self, what: M) -> Job<T> {
        let log = self.clone();
        act(move |_| log.note(what))
    }

    /// A job that notes `what` and panics.
    pub(crate) fn boom<T: Preserve>(&self, what: M) -> Job<T> {
        let log = self.clone();
        act(move |_| {
            log.note(what);
            inject()
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.notes.lock().len()
    }

    /// What was noted.
    pub(crate) fn notes(&self) -> Vec<M> {
        self.0.notes.lock().iter().map(|(_, what)| what.clone()).collect()
    }

    /// What was noted, and how long after the beginning.
    pub(crate) fn times(&self) -> Vec<(Duration, M)> {
        self.0.notes.lock().clone()
    }
}

/// How many tasks the runtime has.
pub(crate) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Counts how many of it there are: part of a message or a task, it shows when that is dropped.
#[derive(Debug, Default)]
pub(crate) struct Alive(Arc<AtomicUsize>);

impl Alive {
    pub(crate) fn one(&self) -> One {
        self.0.fetch_add(1, SeqCst);
        One(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// One that [`Alive`] counts.
#[derive(Debug)]
pub(crate) struct One(Arc<AtomicUsize>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
