//! Replies: given later, from elsewhere, twice, never, and when they are released.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::poll;
use tokio::time::Instant;
use undying::{
    CallError, Context, ExitReason, GenServer, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut,
};

use crate::support::{Gate, RACES, inject, until};

/// Serves callers at the counter, or lets them wait: in `held` for this incarnation, in [`Queue`] for good.
#[derive(Clone)]
struct Teller {
    held: Option<Reply<u64>>,
    closing: Gate,
    closed: Arc<AtomicBool>,
}

/// The state: what survives.
#[derive(Clone, Default)]
struct Queue {
    count: u64,
    waiting: Option<Reply<u64>>,
}

enum Call {
    Add(Reply<u64>),
    Hold(Reply<u64>),
    Queue(Reply<u64>),
    Spawn(Gate, Reply<u64>),
    Twice(Reply<u64>),
    Pass(Gate, Reply<u64>),
    Forget(Reply<u64>),
    ForgetElsewhere(Reply<u64>),
    SendAndPanic(Reply<u64>),
    Close(Reply<u64>),
}

enum Cast {
    Answer(u64),
    AnswerAndPanic(u64),
    Crash,
}

impl GenServer for Teller {
    type State = Queue;
    type Call = Call;
    type Cast = Cast;
    type Info = undying::Never;
    type Continue = undying::Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Add(reply) => {
                state.count += 1;
                reply.send(state.count);
            }
            Call::Hold(reply) => self.held = Some(reply),
            Call::Queue(reply) => state.waiting = Some(reply),
            Call::Spawn(gate, reply) => {
                tokio::spawn(async move {
                    gate.pass().await;
                    reply.send(7);
                });
            }
            Call::Twice(reply) => {
                reply.clone().send(1);
                reply.clone().send(2);
                self.held = Some(reply);
            }
            Call::Pass(gate, reply) => {
                gate.pass().await;
                reply.send(3);
            }
            Call::Forget(_reply) => {}
            Call::ForgetElsewhere(reply) => {
                tokio::spawn(async move { drop(reply) });
            }
            Call::SendAndPanic(reply) => {
                state.count += 1;
                reply.send(state.count);
                inject()
            }
            Call::Close(reply) => {
                state.count += 1;
                reply.send(state.count);
                return Ok(Next::Stop(ExitReason::Normal));
            }
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        let (Cast::Answer(value) | Cast::AnswerAndPanic(value)) = cast else { inject() };
        for reply in [self.held.take(), state.waiting.take()].into_iter().flatten() {
            reply.send(value);
        }
        match cast {
            Cast::AnswerAndPanic(_) => inject(),
            _ => Ok(Next::Wait),
        }
    }

    async fn terminate(&mut self, reason: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        if matches!(reason, ExitReason::Normal) {
            self.closing.pass().await;
            self.closed.store(true, SeqCst);
        }
    }
}

/// A teller that closes without being waited for.
async fn teller() -> ServerRef<Teller> {
    let (spec, closing, _) = slow_teller();
    closing.open();
    spec.start().await.expect("starts")
}

fn slow_teller() -> (ServerSpec<Teller>, Gate, Arc<AtomicBool>) {
    let (closing, closed) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let teller = Teller { held: None, closing: closing.clone(), closed: closed.clone() };
    (ServerSpec::new(teller, Queue::default()), closing, closed)
}

both! {
    /// RE1: a reply can be kept and given by a later callback.
    async fn a_later_callback_can_reply() {
        let server = teller().await;
        let mut call = pin!(server.call(Call::Hold));
        assert!(poll!(&mut call).is_pending());
        assert_eq!(server.call(Call::Add).await.expect("served meanwhile"), 1);
        assert!(poll!(&mut call).is_pending());
        server.cast(Cast::Answer(5)).await.expect("alive");
        assert_eq!(call.await.expect("replied"), 5);
    }

    /// RE1: a reply can be given by another task, whatever the server does meanwhile.
    async fn another_task_can_reply() {
        let (server, gate, busy) = (teller().await, Gate::new(), Gate::new());
        let mut call = pin!(server.call(|reply| Call::Spawn(gate.clone(), reply)));
        assert!(poll!(&mut call).is_pending());
        gate.arrived().await;
        let mut other = pin!(server.call(|reply| Call::Pass(busy.clone(), reply)));
        assert!(poll!(&mut other).is_pending());
        busy.arrived().await;
        gate.open();
        assert_eq!(call.await.expect("replied"), 7);
        busy.open();
        assert_eq!(other.await.expect("replied"), 3);
    }

    /// RE2: the first reply counts; later ones, also from another callback, are ignored.
    async fn the_first_reply_counts() {
        let server = teller().await;
        assert_eq!(server.call(Call::Twice).await.expect("replied"), 1);
        server.cast(Cast::Answer(3)).await.expect("alive");
        assert_eq!(server.call(Call::Add).await.expect("alive"), 1);
        assert_eq!(server.incarnation(), 1);
    }

    /// RE2: a reply to a caller that is gone is ignored.
    async fn a_reply_to_nobody_is_ignored() {
        let (server, gate) = (teller().await, Gate::new());
        let mut call = Box::pin(server.call(|reply| Call::Pass(gate.clone(), reply)));
        assert!(poll!(&mut call).is_pending());
        gate.arrived().await;
        drop(call);
        gate.open();
        let mut kept = Box::pin(server.call(Call::Hold));
        assert!(poll!(&mut kept).is_pending());
        drop(kept);
        server.cast(Cast::Answer(3)).await.expect("alive");
        assert_eq!(server.call(Call::Add).await.expect("alive"), 1);
        assert_eq!(server.incarnation(), 1);
    }

    /// RE4: a reply given with a stop is released when terminate is done, and the caller does get it.
    async fn a_reply_with_a_stop_waits_for_terminate() {
        let (spec, closing, closed) = slow_teller();
        let server = spec.start().await.expect("starts");
        let mut call = pin!(server.call(Call::Close).no_timeout());
        assert!(poll!(&mut call).is_pending());
        closing.arrived().await;
        assert!(poll!(&mut call).is_pending());
        closing.open();
        assert_eq!(call.await.expect("replied"), 1);
        assert!(closed.load(SeqCst));
        assert_eq!(server.stopped().await.state.count, 1);
    }

    /// RE5: a reply kept in the state survives a crash: the next incarnation can still give it.
    async fn a_kept_reply_survives_a_crash() {
        for _ in 0..RACES {
            let server = teller().await;
            let mut call = pin!(server.call(Call::Queue));
            assert!(poll!(&mut call).is_pending());
            server.cast(Cast::Crash).await.expect("alive");
            server.wait_incarnation(2).await.expect("restarts");
            assert!(poll!(&mut call).is_pending());
            server.cast(Cast::Answer(5)).await.expect("alive");
            assert_eq!(call.await.expect("replied"), 5);
            server.kill();
        }
    }

    /// RE5 RE6: what a crashing callback replied to an earlier caller is forgotten: that caller is still to be answered.
    async fn a_kept_reply_given_by_a_crashing_callback_is_forgotten() {
        for _ in 0..RACES {
            let server = teller().await;
            let mut call = pin!(server.call(Call::Queue));
            assert!(poll!(&mut call).is_pending());
            server.cast(Cast::AnswerAndPanic(5)).await.expect("alive");
            server.cast(Cast::Answer(6)).await.expect("alive");
            assert_eq!(call.await.expect("replied"), 6);
            assert_eq!(server.incarnation(), 2);
            server.kill();
        }
    }

    /// RE5: when a server ends, the callers whose replies its state keeps are told so, also by a kill.
    async fn a_kept_reply_ends_with_the_server() {
        let server = teller().await;
        let mut call = pin!(server.call(Call::Queue).no_timeout());
        assert!(poll!(&mut call).is_pending());
        let exit = server.stop().await.expect("stops");
        let answer = call.await;
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Normal))), "{answer:?}");
        // Whoever still looks at the final state holds the reply, and the caller has not waited for that.
        assert!(exit.state.waiting.is_some());

        let server = teller().await;
        let mut call = pin!(server.call(Call::Queue).no_timeout());
        assert!(poll!(&mut call).is_pending());
        until("it is queued", || server.peek().waiting.is_some()).await;
        server.kill();
        let answer = call.await;
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
    }

    /// RE5: a reply that only a crashed incarnation had is an answer, too.
    async fn a_reply_that_is_lost_in_a_crash_is_told() {
        let server = teller().await;
        let mut call = pin!(server.call(Call::Hold).no_timeout());
        assert!(poll!(&mut call).is_pending());
        server.cast(Cast::Crash).await.expect("alive");
        let answer = call.await;
        assert!(matches!(answer, Err(CallError::NoReply | CallError::Crashed(_))), "{answer:?}");
    }

    /// RE6: when the caller sees the reply, the state it was computed with is committed, and a kill does not undo it.
    async fn a_reply_comes_after_the_commit() {
        let server = teller().await;
        for expected in 1..=RACES as u64 {
            assert_eq!(server.call(Call::Add).await.expect("served"), expected);
            let kept = server.peek();
            assert_eq!((kept.count, kept.version()), (expected, expected));
            let next = server.incarnation() + 1;
            server.kill_worker();
            server.wait_incarnation(next).await.expect("restarts");
        }
        assert_eq!(server.peek().count, RACES as u64);
    }

    /// RE6: a reply sent by a callback that crashes afterwards is forgotten, like all it did.
    async fn the_reply_of_a_crashing_callback_is_forgotten() {
        let server = teller().await;
        let answer = server.call(Call::SendAndPanic).await;
        assert!(matches!(answer, Err(CallError::Crashed(_))), "{answer:?}");
        assert_eq!(server.call(Call::Add).await.expect("served"), 1);
    }
}

/// RE3: a reply dropped unanswered, by the handler or elsewhere, is told to the caller promptly; the server lives.
#[tokio::test(start_paused = true)]
async fn a_dropped_reply_is_told_promptly() {
    let (server, begin) = (teller().await, Instant::now());
    for make in [Call::Forget, Call::ForgetElsewhere] {
        let answer = server.call(make).await;
        assert!(matches!(answer, Err(CallError::NoReply)), "{answer:?}");
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(server.incarnation(), 1);
}
