//! The server of the mailbox tests, and what comes of its messages.

use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use undying::{
    Context, DeadLetter, DeadLetterReason, ExitReason, GenServer, Mailbox, Message, Next, Outcome, Reply,
    ServerRef, ServerSpec, StateMut,
};

use crate::{
    crash::script::soon,
    support::{Gate, inject},
};

/// Notes numbers.
#[derive(Clone)]
pub(super) struct Desk;

pub(super) enum Call {
    Get(Reply<Vec<u64>>),
    Note(u64, Reply<()>),
}

#[derive(Debug)]
pub(super) enum Cast {
    Note(u64),
    Hold(Gate),
    /// Casts and sends the numbers to itself, passes the gate, and does that once more.
    Own(Vec<u64>, Gate),
    /// Has a timer, the end of the other server, and the result of a task that passes the gate come to it.
    Expect(ServerRef<Desk>, Gate),
    Stop,
    Crash,
}

/// What comes of [`Cast::Expect`].
pub(super) const TIMER: u64 = 1_001;
pub(super) const DOWN: u64 = 1_002;
pub(super) const TASK: u64 = 1_003;

impl GenServer for Desk {
    type State = Vec<u64>;
    type Call = Call;
    type Cast = Cast;
    type Info = u64;
    type Continue = undying::Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Get(reply) => reply.send(state.clone()),
            Call::Note(number, reply) => {
                state.push(number);
                reply.send(());
            }
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Note(number) => state.push(number),
            Cast::Hold(gate) => gate.pass().await,
            Cast::Own(numbers, gate) => {
                let own = cx.server();
                let to_itself = async || {
                    for &number in &numbers {
                        // Not one of them waits.
                        own.cast(Cast::Note(number)).now_or_never().expect("at once").expect("alive");
                        own.send(number).now_or_never().expect("at once").expect("alive");
                    }
                };
                to_itself().await;
                gate.pass().await;
                to_itself().await;
            }
            Cast::Expect(other, gate) => {
                cx.send_after(Duration::ZERO, TIMER);
                cx.monitor(&other, |_| DOWN);
                cx.spawn(async move { gate.pass().await }, |_| TASK);
            }
            Cast::Stop => return Ok(Next::Stop(ExitReason::Normal)),
            Cast::Crash => inject(),
        }
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        number: u64,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        state.push(number);
        Ok(Next::Wait)
    }
}

/// A dead letter: what kind of message it was and its number, and why.
pub(super) type Letter = (String, DeadLetterReason);

pub(super) fn desk(mailbox: Mailbox) -> (ServerSpec<Desk>, UnboundedReceiver<Letter>) {
    let (post, letters) = unbounded_channel();
    let spec =
        ServerSpec::new(Desk, Vec::new()).mailbox(mailbox).max_restarts(u32::MAX, Duration::from_secs(1));
    let spec = spec.dead_letters(move |DeadLetter { message, why, .. }| {
        let message = match message {
            Message::Call(Call::Note(number, _)) => format!("call {number}"),
            Message::Cast(Cast::Note(number)) => format!("cast {number}"),
            Message::Info(number) => format!("info {number}"),
            _ => "another".to_owned(),
        };
        // The test may have read enough.
        let _ = post.send((message, why));
    });
    (spec, letters)
}

/// Keeps a server in a handler until the gate opens.
pub(super) async fn hold(server: &ServerRef<Desk>) -> Gate {
    let gate = Gate::new();
    soon(server.cast(Cast::Hold(gate.clone()))).await.expect("alive");
    soon(gate.arrived()).await;
    gate
}

/// A server kept in a handler until the gate opens.
pub(super) async fn held(mailbox: Mailbox) -> (ServerRef<Desk>, Gate, UnboundedReceiver<Letter>) {
    let (spec, letters) = desk(mailbox);
    let server = spec.start().await.expect("starts");
    let gate = hold(&server).await;
    (server, gate, letters)
}

pub(super) async fn noted(server: &ServerRef<Desk>) -> Vec<u64> {
    soon(server.call(Call::Get)).await.expect("served")
}

/// The next dead letter, which must have made room for another message.
pub(super) async fn dropped(letters: &mut UnboundedReceiver<Letter>) -> String {
    match soon(letters.recv()).await.expect("a dead letter") {
        (message, DeadLetterReason::Overflow) => message,
        other => panic!("{other:?}"),
    }
}

/// A future that is done at the first poll: it does not wait.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it does not wait")
}
