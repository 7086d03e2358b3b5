//! Callers who must be answered, by the right incarnation, at the right time.

use std::{
    pin::pin,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use futures::poll;
use parking_lot::Mutex;
use tokio::{runtime::Handle, task::yield_now};
use undying::{
    CallError, Context, Dispatch, ExitReason, GenServer, Never, Next, Outcome, Registry, Reply, ServerRef,
    ServerSpec, StateMut,
};

use super::Callers;
use crate::{
    crash::script::{Job, job, set, soon, start, tell},
    support::{Gate, quiet, until},
};

/// A server whose callbacks stop it with somebody at the counter, and which takes its time to close.
#[derive(Clone)]
struct Closing {
    /// What the first incarnation is blocked by in `terminate`.
    wall: Arc<Mutex<Option<Receiver<()>>>>,
    /// Where every other `terminate` waits.
    gate: Gate,
}

enum Call {
    /// Stops, and leaves the caller waiting.
    Keep(ExitReason, Reply<u64>),
    /// Stops, and has answered.
    Answer(ExitReason, Reply<u64>),
    Waiting(Reply<usize>),
    /// Answers all who wait.
    Serve(Reply<()>),
}

impl Closing {
    fn new() -> Self {
        Self { wall: Arc::default(), gate: Gate::new() }
    }
}

impl GenServer for Closing {
    type State = Callers;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut callers: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Keep(why, reply) => {
                callers.push(reply);
                return Ok(Next::Stop(why));
            }
            Call::Answer(why, reply) => {
                reply.send(1);
                return Ok(Next::Stop(why));
            }
            Call::Waiting(reply) => reply.send(callers.len()),
            Call::Serve(reply) => {
                callers.drain(..).for_each(|caller| caller.send(7));
                reply.send(());
            }
        }
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, _: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        let wall = self.wall.lock().take();
        match wall {
            // Returns an error: the test only drops the other end.
            Some(wall) => drop(wall.recv()),
            None => self.gate.pass().await,
        }
    }
}

/// A closing server, and a way to it that is not in its state.
async fn closing() -> (ServerRef<Closing>, Gate) {
    let closing = Closing::new();
    let gate = closing.gate.clone();
    let server = ServerSpec::new(closing, Callers::new()).start().await.expect("it starts");
    (server, gate)
}

/// A server that answers only when it goes: each incarnation keeps its last caller to itself.
struct Sullen(Option<Reply<u64>>);

impl GenServer for Sullen {
    type State = ();
    type Call = Reply<u64>;
    type Cast = Gate;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Reply<u64>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.0 = Some(reply);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        gate: Gate,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        gate.pass().await;
        Ok(Next::Wait)
    }
}

impl Drop for Sullen {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply.send(13);
        }
    }
}

/// A server whose `init` waits at its gate.
#[derive(Clone)]
struct Unborn(Gate);

impl GenServer for Unborn {
    type State = ();
    type Call = Reply<u64>;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.0.pass().await;
        Ok(Next::Wait)
    }
}

/// As [`keep`](super::keep), with the callers behind an `Arc`.
fn keep_shared(reply: Reply<u64>) -> Job<Arc<Callers>> {
    job(move |callers: &mut Arc<Callers>| {
        Arc::make_mut(callers).push(reply);
        Ok(Next::Wait)
    })
}

both! {
    /// K13 G9 RE5: a caller whom a stopping callback left waiting is told of a kill that comes during `terminate`.
    async fn a_kill_in_terminate_is_told_to_whom_the_stop_left_waiting() {
        let (server, gate) = closing().await;
        let call = server.call(|reply| Call::Keep(ExitReason::Normal, reply));
        let mut call = pin!(call.no_timeout());
        assert!(poll!(&mut call).is_pending());
        soon(gate.arrived()).await;
        server.kill();
        let answer = soon(call).await;
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        assert_eq!(soon(server.stopped()).await.state.len(), 1);
    }

    /// K1 G1 RE4: what a stopping callback has answered is committed, and goes out if `terminate` is cut by a kill.
    async fn a_kill_in_terminate_takes_no_answer_back() {
        let (server, gate) = closing().await;
        let call = server.call(|reply| Call::Answer(ExitReason::Normal, reply));
        let mut call = pin!(call.no_timeout());
        assert!(poll!(&mut call).is_pending());
        soon(gate.arrived()).await;
        assert!(poll!(&mut call).is_pending());
        server.kill();
        assert_eq!(soon(call).await.expect("answered"), 1);
    }

    /// K13 G9 RE5: a caller whom a stopping callback left waiting still waits if the worker is killed in `terminate`: the
    /// next incarnation can answer, and the end does.
    async fn a_worker_killed_in_terminate_leaves_its_callers_to_the_next() {
        for served in [true, false] {
            let (server, gate) = closing().await;
            let call = server.call(|reply| Call::Keep(ExitReason::error("test: stopped"), reply));
            let mut call = pin!(call.no_timeout());
            assert!(poll!(&mut call).is_pending());
            soon(gate.arrived()).await;
            server.kill_worker();
            assert_eq!(soon(server.wait_incarnation(2)).await.expect("it restarts"), 2);
            assert_eq!(soon(server.call(Call::Waiting)).await.expect("served"), 1);
            assert!(poll!(&mut call).is_pending());
            if served {
                soon(server.call(Call::Serve)).await.expect("served");
                assert_eq!(soon(call).await.expect("answered"), 7);
                server.kill();
            } else {
                gate.open();
                soon(server.stop()).await.expect("it stops");
                let answer = soon(call).await;
                assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Normal))), "{answer:?}");
            }
        }
    }

    /// RE3 K13: a reply behind an `Arc` in the state, dropped unanswered, is told at once.
    async fn a_shared_reply_that_is_dropped_is_told_promptly() {
        let server = start(Arc::new(Callers::new())).await;
        // From now on there is a snapshot for the next one to be written into.
        tell(&server, set(Arc::default())).await;
        let mut call = pin!(server.call(keep_shared).no_timeout());
        assert!(poll!(&mut call).is_pending());
        until("the caller is kept", || server.peek().len() == 1).await;
        assert!(poll!(&mut call).is_pending());
        tell(&server, set(Arc::default())).await;
        let answer = soon(call).await;
        assert!(matches!(answer, Err(CallError::NoReply)), "{answer:?}");
        assert_eq!(server.incarnation(), 1);
    }

    /// G6: what a killed incarnation says while it is dropped, nobody hears; its caller is told that no answer will come.
    async fn a_killed_incarnation_does_not_reply_while_it_is_dropped() {
        for busy in [false, true] {
            let server = ServerSpec::from_fn(|| Sullen(None), ()).start().await.expect("it starts");
            let mut call = pin!(server.call(|reply| reply).no_timeout());
            assert!(poll!(&mut call).is_pending());
            let gate = Gate::new();
            server.cast(gate.clone()).await.expect("alive");
            soon(gate.arrived()).await;
            if !busy {
                gate.open();
                server.cast(gate.clone()).await.expect("alive");
                soon(gate.arrived()).await;
                gate.open();
                // The worker is between two callbacks, or about to be.
                yield_now().await;
            }
            assert!(poll!(&mut call).is_pending());
            server.kill_worker();
            let answer = soon(call).await;
            assert!(matches!(answer, Err(CallError::NoReply | CallError::Crashed(_))), "{answer:?}");
            server.kill();
        }
    }

    /// K13: a kill during `init` is told to who has called already, as any kill is.
    async fn a_kill_in_init_is_told_to_those_in_the_queue() {
        let (names, gate) = (Registry::new(), Gate::new());
        let spec = ServerSpec::new(Unborn(gate.clone()), ()).name_in(&names, "unborn");
        let start = tokio::spawn(spec.start());
        soon(gate.arrived()).await;
        let server = names.whereis::<Unborn>("unborn").expect("its name is reserved");
        let mut call = pin!(server.call(|reply| reply).no_timeout());
        assert!(poll!(&mut call).is_pending());
        server.kill();
        let answer = soon(call).await;
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        assert!(soon(start).await.expect("joined").is_err(), "it never served");
        assert!(names.names().is_empty());
    }
}

/// G6 RE4: the answer of an incarnation that terminates is not released by a zombie that terminates, too.
///
/// A zombie blocks a thread, so that this needs the multi-thread flavour.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_zombie_does_not_release_the_answers_of_its_successor() {
    quiet();
    let closing = Closing::new();
    let (open, wall) = mpsc::channel();
    *closing.wall.lock() = Some(wall);
    let (walled, gate) = (closing.wall.clone(), closing.gate.clone());
    let spec = ServerSpec::new(closing, Callers::new()).kill_grace(Duration::from_millis(10));
    let server = spec.dispatch(Dispatch::Queued).start().await.expect("it starts");
    let first = server.call(|reply| Call::Keep(ExitReason::error("test: stopped"), reply));
    let mut first = pin!(first.no_timeout());
    assert!(poll!(&mut first).is_pending());
    until("the first incarnation is blocked", || walled.lock().is_none()).await;
    server.kill_worker();
    assert_eq!(soon(server.wait_incarnation(2)).await.expect("it restarts"), 2);

    let call = server.call(|reply| Call::Answer(ExitReason::Normal, reply));
    let mut call = pin!(call.no_timeout());
    assert!(poll!(&mut call).is_pending());
    soon(gate.arrived()).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let haunted = tasks();
    drop(open);
    until("the zombie is gone", || tasks() < haunted).await;
    assert!(poll!(&mut call).is_pending(), "its `terminate` has not returned");
    gate.open();
    assert_eq!(soon(call).await.expect("answered"), 1);
    let answer = soon(first).await;
    assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Normal))), "{answer:?}");
}
