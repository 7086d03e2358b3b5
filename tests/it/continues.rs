//! Continues: what a callback goes on with comes before anything that was queued.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures::poll;
use tokio::task::yield_now;
use undying::{
    CallError, Context, ExitReason, GenServer, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut,
};

use crate::support::{Gate, RACES, inject};

/// One step of a chain of continues.
enum Step {
    Note(&'static str),
    Pass(Gate),
    Panic,
    Stop(ExitReason),
}

enum Message {
    /// Notes that it ran and goes on with the steps, one continue each.
    Then(Vec<Step>),
    Note(&'static str),
    Hold(Gate),
}

enum Call {
    Get(Reply<Vec<&'static str>>),
    Then(Vec<Step>, Reply<usize>),
    /// Ends the worker that handles it, and goes on with a continue all the same.
    Die(Reply<usize>),
}

/// Writes down, in its state, what ran.
#[derive(Clone, Default)]
struct Chain {
    /// How many continues began, whatever became of them: shared by all incarnations and never rolled back.
    begun: Arc<AtomicUsize>,
}

impl Chain {
    async fn handle(&mut self, message: Message, mut state: StateMut<'_, Self>) -> Outcome<Self> {
        match message {
            Message::Then(steps) => {
                state.push("trigger");
                return Ok(Next::Continue(steps));
            }
            Message::Note(text) => state.push(text),
            Message::Hold(gate) => gate.pass().await,
        }
        Ok(Next::Wait)
    }
}

impl GenServer for Chain {
    type State = Vec<&'static str>;
    type Call = Call;
    type Cast = Message;
    type Info = Message;
    type Continue = Vec<Step>;

    async fn handle_call(
        &mut self,
        call: Call,
        mut state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Get(reply) => {
                reply.send(state.clone());
                Ok(Next::Wait)
            }
            Call::Then(steps, reply) => {
                state.push("trigger");
                reply.send(state.len());
                Ok(Next::Continue(steps))
            }
            Call::Die(reply) => {
                reply.send(state.len());
                cx.server().kill_worker();
                Ok(Next::Continue(Vec::new()))
            }
        }
    }

    async fn handle_cast(
        &mut self,
        message: Message,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.handle(message, state).await
    }

    async fn handle_info(
        &mut self,
        message: Message,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.handle(message, state).await
    }

    async fn handle_continue(
        &mut self,
        mut steps: Vec<Step>,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.begun.fetch_add(1, SeqCst);
        if steps.is_empty() {
            return Ok(Next::Wait);
        }
        match steps.remove(0) {
            Step::Note(text) => {
                state.push(text);
                yield_now().await;
            }
            Step::Pass(gate) => gate.pass().await,
            Step::Panic => {
                state.push("torn");
                inject()
            }
            Step::Stop(reason) => {
                state.push("stopping");
                return Ok(Next::Stop(reason));
            }
        }
        if steps.is_empty() {
            return Ok(Next::Wait);
        }
        Ok(Next::Continue(steps))
    }
}

async fn chain() -> ServerRef<Chain> {
    ServerSpec::new(Chain::default(), Vec::new()).start().await.expect("starts")
}

/// A server kept in a handler until the gate opens.
async fn held() -> (ServerRef<Chain>, Gate) {
    let (server, gate) = (chain().await, Gate::new());
    server.cast(Message::Hold(gate.clone())).await.expect("alive");
    gate.arrived().await;
    (server, gate)
}

async fn log(server: &ServerRef<Chain>) -> Vec<&'static str> {
    server.call(Call::Get).await.expect("served")
}

both! {
    /// CO1: the continue of a call runs before what is queued.
    async fn the_continue_of_a_call_runs_first() {
        let (server, gate) = held().await;
        let mut call = pin!(server.call(|reply| Call::Then(vec![Step::Note("next")], reply)));
        assert!(poll!(&mut call).is_pending());
        server.cast(Message::Note("queued")).await.expect("alive");
        gate.open();
        assert_eq!(call.await.expect("served"), 1);
        assert_eq!(log(&server).await, ["trigger", "next", "queued"]);
    }

    /// CO1: the continue of a cast runs before what is queued.
    async fn the_continue_of_a_cast_runs_first() {
        let (server, gate) = held().await;
        server.cast(Message::Then(vec![Step::Note("next")])).await.expect("alive");
        server.cast(Message::Note("queued")).await.expect("alive");
        gate.open();
        assert_eq!(log(&server).await, ["trigger", "next", "queued"]);
    }

    /// CO1: the continue of an info runs before what is queued.
    async fn the_continue_of_an_info_runs_first() {
        let (server, gate) = held().await;
        server.send(Message::Then(vec![Step::Note("next")])).await.expect("alive");
        server.send(Message::Note("queued")).await.expect("alive");
        gate.open();
        assert_eq!(log(&server).await, ["trigger", "next", "queued"]);
    }

    /// CO2: all of a chain of continues runs before what is queued.
    async fn a_chain_of_continues_runs_first() {
        let (server, gate) = held().await;
        let steps = ["one", "two", "three"].map(Step::Note).into();
        server.cast(Message::Then(steps)).await.expect("alive");
        server.cast(Message::Note("queued")).await.expect("alive");
        gate.open();
        assert_eq!(log(&server).await, ["trigger", "one", "two", "three", "queued"]);
    }

    /// CO3: a caller has its reply while the continue still runs.
    async fn a_reply_does_not_wait_for_the_continue() {
        let (server, gate) = (chain().await, Gate::new());
        let call = server.call(|reply| Call::Then(vec![Step::Pass(gate.clone())], reply));
        assert_eq!(call.await.expect("the gate is still closed"), 1);
        gate.arrived().await;
        gate.open();
        assert_eq!(log(&server).await, ["trigger"]);
    }

    /// CO4: when the continue of a call panics, the caller has its reply and the state is what the call committed.
    async fn a_crashing_continue_leaves_what_the_call_committed() {
        for _ in 0..RACES {
            let server = chain().await;
            let call = server.call(|reply| Call::Then(vec![Step::Panic], reply));
            assert_eq!(call.await.expect("replied before the panic"), 1);
            server.wait_incarnation(2).await.expect("restarts");
            assert_eq!(log(&server).await, ["trigger"]);
            server.kill();
        }
    }

    /// CO5: a continue can stop the server, with its reason and its state.
    async fn a_continue_can_stop_the_server() {
        let server = chain().await;
        let reason = ExitReason::ShutdownWith("done".into());
        server.cast(Message::Then(vec![Step::Stop(reason)])).await.expect("alive");
        let exit = server.stopped().await;
        assert!(matches!(&exit.reason, ExitReason::ShutdownWith(text) if &**text == "done"));
        assert_eq!(*exit.state, ["trigger", "stopping"]);
    }

    /// CO6: a continue that crashed is not run again.
    async fn a_crashing_continue_is_not_retried() {
        let spec = Chain::default();
        let begun = spec.begun.clone();
        let server = ServerSpec::new(spec, Vec::new()).start().await.expect("starts");
        server.cast(Message::Then(vec![Step::Panic])).await.expect("alive");
        server.cast(Message::Note("queued")).await.expect("alive");
        assert_eq!(log(&server).await, ["trigger", "queued"]);
        assert_eq!((begun.load(SeqCst), server.incarnation()), (1, 2));
    }

    /// CO6: whenever a kill comes, a continue begins exactly once for each callback that was committed.
    async fn a_committed_continue_begins_exactly_once() {
        for round in 0..RACES {
            let spec = Chain::default();
            let begun = spec.begun.clone();
            let server = ServerSpec::new(spec, Vec::new()).start().await.expect("starts");
            let killer = tokio::spawn({
                let server = server.clone();
                async move {
                    for _ in 0..round % 4 {
                        yield_now().await;
                    }
                    server.kill_worker();
                }
            });
            let steps = vec![Step::Note("next")];
            let committed = match server.call(|reply| Call::Then(steps, reply)).await {
                Ok(length) => length,
                Err(CallError::Crashed(_)) => 0,
                Err(other) => panic!("{other}"),
            };
            killer.await.expect("killed");
            server.wait_incarnation(2).await.expect("restarts");
            let log = log(&server).await;
            assert_eq!(begun.load(SeqCst), committed, "round {round}: {log:?}");
            // The continue itself may have been cut by the kill, the callback before it may not.
            let whole: [&[&str]; 3] = [&[], &["trigger"], &["trigger", "next"]];
            let allowed = if committed == 0 { &whole[..1] } else { &whole[1..] };
            assert!(allowed.contains(&log.as_slice()), "round {round}: {log:?}");
            server.kill();
        }
    }

    /// CO6: a kill from inside a callback either undoes it, or leaves its continue to be run once.
    async fn a_kill_from_inside_a_callback_loses_no_continue() {
        for _ in 0..RACES {
            let spec = Chain::default();
            let begun = spec.begun.clone();
            let server = ServerSpec::new(spec, Vec::new()).start().await.expect("starts");
            let committed = match server.call(Call::Die).await {
                Ok(_) => 1,
                Err(CallError::Crashed(_)) => 0,
                Err(other) => panic!("{other}"),
            };
            server.wait_incarnation(2).await.expect("restarts");
            assert!(log(&server).await.is_empty());
            assert_eq!(begun.load(SeqCst), committed);
            server.kill();
        }
    }
}
