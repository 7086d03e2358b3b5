//! What a server has done elsewhere: a future whose result, or a stream whose items come back to it as `Info`s.
//!
//! They belong to the logical server (K11): they survive crashes of the worker and end with the whole. Each spawned future
//! gives exactly one notice, whatever becomes of it: its result, its panic, or the news that it was aborted.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
};

use futures_util::Stream;
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    contain::{Caught, Payload, catch, drop_quietly, log},
    exit::{CrashReport, ExitReason, Place},
    gen_server::GenServer,
    logical::Logical,
    name::serial,
    notice::{Notice, Source},
};

/// How many items of a stream may wait for the worker.
const AHEAD: usize = 64;

/// Names a task or an attached stream: see [`Context::spawn`](crate::Context::spawn).
///
/// # Examples
///
/// ```
/// use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, ServerSpec, StateMut, TaskRef};
///
/// #[derive(Clone)]
/// struct Search;
/// enum Ask { For(&'static str), Nothing }
///
/// impl GenServer for Search {
///     type State = Option<TaskRef>; // survives, as the task does
///     type Cast = Ask;
///     type Info = Result<usize, ExitReason>;
/// #   type Call = Never; type Continue = Never;
///
///     async fn handle_cast(&mut self, ask: Ask, mut task: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
///         if let Some(before) = task.take() {
///             cx.abort(before);
///         }
///         if let Ask::For(word) = ask {
///             *task = Some(cx.spawn(async move { word.len() }, |found| found));
///         }
///         Ok(Next::Wait)
///     }
/// #   async fn handle_info(&mut self, _: Self::Info, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> { Ok(Next::Wait) }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let search = ServerSpec::new(Search, None).start().await.unwrap();
/// # search.cast(Ask::For("word")).await.unwrap();
/// # search.cast(Ask::Nothing).await.unwrap();
/// # assert!(search.stop().await.unwrap().state.is_none());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskRef(u64);

impl TaskRef {
    pub(crate) fn next() -> Self {
        Self(serial())
    }
}

/// A task of a server: in its record from the commit that asked for it to its end.
#[derive(Debug, Default)]
pub(crate) struct Running {
    pub(crate) is_stream: bool,
    /// The incarnation it ends with, if it is not to outlive it.
    pub(crate) bound_to: Option<u64>,
    pub(crate) aborted: bool,
    /// `None` until it is spawned.
    pub(crate) handle: Option<JoinHandle<()>>,
}

impl Running {
    /// How to abort it, if it was spawned.
    pub(crate) fn abort_handle(&self) -> Option<AbortHandle> {
        self.handle.as_ref().map(JoinHandle::abort_handle)
    }
}

/// Where a task's result goes; whatever way the task ends, one does.
struct Outcome<S: GenServer, T, M>
where
    T: Send + 'static,
    M: FnOnce(Result<T, ExitReason>) -> S::Info + Send + 'static,
{
    logical: Weak<Logical<S>>,
    task: TaskRef,
    /// What was said, and how an `Info` is made of it.
    map: Option<M>,
    result: Option<Result<T, ExitReason>>,
}

impl<S: GenServer, T, M> Outcome<S, T, M>
where
    T: Send + 'static,
    M: FnOnce(Result<T, ExitReason>) -> S::Info + Send + 'static,
{
    fn is(mut self, result: Result<T, ExitReason>) {
        self.result = Some(result);
    }
}

impl<S: GenServer, T, M> Drop for Outcome<S, T, M>
where
    T: Send + 'static,
    M: FnOnce(Result<T, ExitReason>) -> S::Info + Send + 'static,
{
    fn drop(&mut self) {
        let (map, result) = (self.map.take(), self.result.take().unwrap_or(Err(ExitReason::Killed)));
        let wanted = |logical: &Arc<Logical<S>>| logical.cell.look(|record| record.forget_task(self.task));
        match (self.logical.upgrade().filter(wanted), map) {
            (Some(logical), Some(map)) => logical.notify(Notice::new(Source::Task, move || map(result))),
            // It was never begun, or the server is over.
            (unwanted, map) => {
                drop_quietly(map);
                drop_quietly(result);
                drop_quietly(unwanted);
            }
        }
    }
}

/// The body of a spawned task.
pub(crate) fn run<S: GenServer, F>(
    logical: &Arc<Logical<S>>,
    task: TaskRef,
    place: Place,
    future: F,
    map: impl FnOnce(Result<F::Output, ExitReason>) -> S::Info + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let outcome = Outcome { logical: Arc::downgrade(logical), task, map: Some(map), result: None };
    async move {
        let result = Caught::new(future).await;
        outcome.is(result.map_err(|payload| crashed(&payload, place)));
    }
}

/// The body of the task that reads an attached stream.
pub(crate) fn read<S: GenServer, I>(
    logical: &Arc<Logical<S>>,
    task: TaskRef,
    stream: I,
    mut map: impl FnMut(Option<I::Item>) -> S::Info + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    I: Stream + Send + 'static,
    I::Item: Send + 'static,
{
    let logical = Arc::downgrade(logical);
    async move {
        let ahead = Arc::new(Semaphore::new(AHEAD));
        let mut stream = pin!(stream);
        loop {
            let permit = ahead.clone().acquire_owned().await.expect("nobody closes it");
            let item = poll_fn(|cx| match catch(|| stream.as_mut().poll_next(cx)) {
                Ok(polled) => polled.map(Ok),
                Err(payload) => std::task::Poll::Ready(Err(payload)),
            });
            let item = item.await.unwrap_or_else(|payload| {
                drop(payload);
                log!(error, "an attached stream panicked: that is its end");
                None
            });
            let mut last = item.is_none();
            let info = catch(|| map(item));
            last |= info.is_err();
            let source = Source::Stream { task, last };
            // A panic of `map` is one of the callback that would have handled the item.
            let make = move || info.unwrap_or_else(|payload| payload.resume());
            let Some(logical) = logical.upgrade() else { return };
            let notice = Notice::paced(source, permit, make);
            if !logical.deliver(notice).await || last {
                return;
            }
        }
    }
}

fn crashed(payload: &Payload, place: Place) -> ExitReason {
    ExitReason::Crashed(CrashReport::of_panic(payload.as_any(), place))
}
