//! A server that does what its messages say, for the tests of what survives: each message is a closure over the
//! state, so that a test shows in one place what a callback does and what becomes of it.

use std::{future::IntoFuture, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use undying::{
    CallError, Context, CrashReport, Exit, ExitReason, GenServer, Next, Outcome, Preserve, Reply, Restart,
    ServerRef, ServerSpec, StateMut, Statistics,
};

use crate::support::{Gate, inject};

/// What an asynchronous callback returns.
pub(crate) type Doing<'a, T> = BoxFuture<'a, Outcome<Script<T>>>;

type Act<T> = dyn for<'a> FnOnce(StateMut<'a, Script<T>>, &'a mut Context<Script<T>>) -> Doing<'a, T> + Send;
type Hook<T> = dyn Fn(&mut T) -> Outcome<Script<T>> + Send + Sync;
type RestartHook<T> = dyn for<'a> Fn(&'a Restart, StateMut<'a, Script<T>>) -> Doing<'a, T> + Send + Sync;
type EndHook<T> = dyn Fn(&ExitReason, &T) + Send + Sync;

/// A message of [`Script`]: what the callback that gets it shall do.
pub(crate) struct Job<T: Preserve>(Box<Act<T>>);

/// A server over any state, whose callbacks without a message are set by the test.
pub(crate) struct Script<T: Preserve> {
    init: Option<Arc<Hook<T>>>,
    restarted: Option<Arc<RestartHook<T>>>,
    timeout: Option<Arc<Hook<T>>>,
    terminate: Option<Arc<EndHook<T>>>,
}

impl<T: Preserve> Script<T> {
    pub(crate) fn new() -> Self {
        Self { init: None, restarted: None, timeout: None, terminate: None }
    }

    pub(crate) fn on_init(mut self, hook: impl Fn(&mut T) -> Outcome<Self> + Send + Sync + 'static) -> Self {
        self.init = Some(Arc::new(hook));
        self
    }

    pub(crate) fn on_restarted(
        mut self,
        hook: impl for<'a> Fn(&'a Restart, StateMut<'a, Self>) -> Doing<'a, T> + Send + Sync + 'static,
    ) -> Self {
        self.restarted = Some(Arc::new(hook));
        self
    }

    pub(crate) fn on_timeout(
        mut self,
        hook: impl Fn(&mut T) -> Outcome<Self> + Send + Sync + 'static,
    ) -> Self {
        self.timeout = Some(Arc::new(hook));
        self
    }

    pub(crate) fn on_terminate(mut self, hook: impl Fn(&ExitReason, &T) + Send + Sync + 'static) -> Self {
        self.terminate = Some(Arc::new(hook));
        self
    }
}

impl<T: Preserve> Clone for Script<T> {
    fn clone(&self) -> Self {
        Self {
            init: self.init.clone(),
            restarted: self.restarted.clone(),
            timeout: self.timeout.clone(),
            terminate: self.terminate.clone(),
        }
    }
}

impl<T: Preserve> GenServer for Script<T> {
    type State = T;
    type Call = Job<T>;
    type Cast = Job<T>;
    type Info = Job<T>;
    type Continue = Job<T>;

    async fn init(&mut self, mut state: StateMut<'_, Self>, _cx: &mut Context<Self>) -> Outcome<Self> {
        self.init.as_ref().map_or(Ok(Next::Wait), |hook| hook(&mut state))
    }

    async fn restarted(
        &mut self,
        why: &Restart,
        state: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match &self.restarted {
            Some(hook) => hook(why, state).await,
            None => Ok(Next::Wait),
        }
    }

    async fn handle_call(
        &mut self,
        call: Job<T>,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        (call.0)(state, cx).await
    }

    async fn handle_cast(
        &mut self,
        cast: Job<T>,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        (cast.0)(state, cx).await
    }

    async fn handle_info(
        &mut self,
        info: Job<T>,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        (info.0)(state, cx).await
    }

    async fn handle_continue(
        &mut self,
        next: Job<T>,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        (next.0)(state, cx).await
    }

    async fn handle_timeout(
        &mut self,
        mut state: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.timeout.as_ref().map_or(Ok(Next::Wait), |hook| hook(&mut state))
    }

    async fn terminate(&mut self, reason: &ExitReason, state: StateMut<'_, Self>, _cx: &mut Context<Self>) {
        if let Some(hook) = &self.terminate {
            hook(reason, &state);
        }
    }
}

/// A job that awaits, or that needs the context.
pub(crate) fn slow<T: Preserve>(
    act: impl for<'a> FnOnce(StateMut<'a, Script<T>>, &'a mut Context<Script<T>>) -> Doing<'a, T> + Send + 'static,
) -> Job<T> {
    Job(Box::new(act))
}

/// A job that takes the state by `&mut`, so that it counts as changed.
pub(crate) fn job<T: Preserve>(act: impl FnOnce(&mut T) -> Outcome<Script<T>> + Send + 'static) -> Job<T> {
    slow(move |mut state, _| Box::pin(async move { act(&mut state) }))
}

/// A job that only reads.
pub(crate) fn look<T: Preserve>(act: impl FnOnce(&T) -> Outcome<Script<T>> + Send + 'static) -> Job<T> {
    slow(move |state, _| Box::pin(async move { act(&state) }))
}

/// Makes the state `value`.
pub(crate) fn set<T: Preserve>(value: T) -> Job<T> {
    job(move |state| {
        *state = value;
        Ok(Next::Wait)
    })
}

/// Adds one and answers with the sum.
pub(crate) fn add(reply: Reply<u64>) -> Job<u64> {
    job(move |state| {
        *state += 1;
        reply.send(*state);
        Ok(Next::Wait)
    })
}

/// Adds one, for a cast.
pub(crate) fn inc() -> Job<u64> {
    job(|state| {
        *state += 1;
        Ok(Next::Wait)
    })
}

/// Answers with the state.
pub(crate) fn get<T: Preserve + Clone>(reply: Reply<T>) -> Job<T> {
    look(move |state: &T| {
        reply.send(state.clone());
        Ok(Next::Wait)
    })
}

/// Panics.
pub(crate) fn boom<T: Preserve>() -> Job<T> {
    look(|_| inject())
}

/// Makes a call of `job`, which does not answer: for jobs that crash. Their caller must learn that, not `NoReply`.
pub(crate) fn asked<T: Preserve>(job: Job<T>) -> impl FnOnce(Reply<()>) -> Job<T> {
    move |reply| {
        slow(move |state, cx| {
            Box::pin(async move {
                let _reply = reply;
                (job.0)(state, cx).await
            })
        })
    }
}

/// A server without any hook.
pub(crate) async fn start<T: Preserve>(state: T) -> ServerRef<Script<T>> {
    ServerSpec::new(Script::new(), state).start().await.expect("a server that nothing is wrong with starts")
}

/// Calls `server` and returns the answer, which there must be.
pub(crate) async fn ask<T: Preserve, R: Send + 'static>(
    server: &ServerRef<Script<T>>,
    make: impl FnOnce(Reply<R>) -> Job<T>,
) -> R {
    soon(server.call(make)).await.expect("an answer")
}

/// Casts `job` to `server`, which must be there.
pub(crate) async fn tell<T: Preserve>(server: &ServerRef<Script<T>>, job: Job<T>) {
    soon(server.cast(job)).await.expect("a server");
}

/// Waits until incarnation `n` of `server` serves.
pub(crate) async fn serves<T: Preserve>(server: &ServerRef<Script<T>>, n: u64) {
    let serving = soon(server.wait_incarnation(n)).await;
    assert_eq!(serving.expect("an incarnation"), n);
}

/// Stops `server`, which must be there.
pub(crate) async fn stop<T: Preserve>(server: &ServerRef<Script<T>>) -> Exit<Script<T>> {
    soon(server.stop()).await.expect("a server")
}

/// The statistics of `server`.
pub(crate) async fn statistics<T: Preserve>(server: &ServerRef<Script<T>>) -> Statistics {
    soon(server.sys().statistics()).await.expect("statistics")
}

/// Crashes `server` by a call and returns the report its caller got.
pub(crate) async fn crash<T: Preserve>(server: &ServerRef<Script<T>>) -> CrashReport {
    match soon(server.call(asked(boom()))).await {
        Err(CallError::Crashed(report)) => report,
        other => panic!("the caller of the crash got {other:?}"),
    }
}

/// Awaits what must not hang. The limit is real time and generous: reaching it is the failure.
pub(crate) async fn soon<F: IntoFuture>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("resolved, not hung")
}

/// Yields until the statistics of `server` are as `done` wants them.
pub(crate) async fn counted<T: Preserve>(server: &ServerRef<Script<T>>, done: impl Fn(&Statistics) -> bool) {
    soon(async {
        while !done(&statistics(server).await) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A job that waits at `gate`.
pub(crate) fn wait_at<T: Preserve>(gate: &Gate) -> Job<T> {
    let gate = gate.clone();
    slow(move |_, _| {
        Box::pin(async move {
            gate.pass().await;
            Ok(Next::Wait)
        })
    })
}
