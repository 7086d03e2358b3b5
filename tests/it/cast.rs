//! Casts: they never wait for the server, and what is cast is handled in order or handed back.

use std::{pin::pin, time::Duration};

use futures::{FutureExt, poll};
use tokio::{sync::oneshot, task::yield_now, time::Instant};
use undying::{
    CallError, CastError, Context, ExitReason, GenServer, Mailbox, Next, Outcome, Reply, ServerRef,
    ServerSpec, StateMut, TrySendError,
};

use crate::support::{Gate, RACES};

/// Writes down the numbers it is cast and sent.
#[derive(Default)]
struct Clerk {
    /// Where `terminate` tells the reason it was given.
    ended: Option<oneshot::Sender<String>>,
}

enum Call {
    Get(Reply<Vec<u64>>),
    Note(u64, Reply<()>),
}

#[derive(Debug)]
enum Cast {
    Note(u64),
    Hold(Gate),
    Stop(ExitReason),
}

impl GenServer for Clerk {
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
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Note(number) => {
                // Here a kill can cut the callback, after it has changed its copy of the state.
                state.push(number);
                yield_now().await;
            }
            Cast::Hold(gate) => gate.pass().await,
            Cast::Stop(reason) => return Ok(Next::Stop(reason)),
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

    async fn terminate(&mut self, reason: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(reason.to_string());
        }
    }
}

fn clerk() -> ServerSpec<Clerk> {
    ServerSpec::from_fn(Clerk::default, Vec::new()).max_restarts(u32::MAX, Duration::from_secs(1))
}

/// A server kept in a handler until the gate opens.
async fn held(spec: ServerSpec<Clerk>) -> (ServerRef<Clerk>, Gate) {
    let (server, gate) = (spec.start().await.expect("starts"), Gate::new());
    server.cast(Cast::Hold(gate.clone())).await.expect("alive");
    gate.arrived().await;
    (server, gate)
}

async fn kill_worker(server: &ServerRef<Clerk>) {
    let next = server.incarnation() + 1;
    server.kill_worker();
    assert_eq!(server.wait_incarnation(next).await.expect("restarts"), next);
}

both! {
    /// CS1: a cast to a server stuck in a handler returns at once, and is handled later.
    async fn a_cast_does_not_wait_for_the_server() {
        let (server, gate) = held(clerk()).await;
        for number in 0..100 {
            assert!(matches!(server.cast(Cast::Note(number)).now_or_never(), Some(Ok(()))));
            assert!(matches!(server.send(number).now_or_never(), Some(Ok(()))));
        }
        assert!(server.peek().is_empty());
        gate.open();
        let expected: Vec<_> = (0..100).flat_map(|number| [number, number]).collect();
        assert_eq!(server.call(Call::Get).await.expect("served"), expected);
    }

    /// CS2: a cast to a server that is over neither panics nor waits, and hands the message back.
    async fn a_cast_to_a_dead_server_comes_back() {
        let server = clerk().mailbox(Mailbox::bounded(1)).start().await.expect("starts");
        server.stop().await.expect("stops");
        // More often than there would be room: nothing is kept for nobody.
        for _ in 0..3 {
            let cast = server.cast(Cast::Note(7)).now_or_never();
            assert!(matches!(cast, Some(Err(CastError(Cast::Note(7))))), "{cast:?}");
            let send = server.send(7).now_or_never();
            assert!(matches!(send, Some(Err(CastError(7)))), "{send:?}");
            let cast = server.try_cast(Cast::Note(7));
            assert!(matches!(cast, Err(TrySendError::NoProc(Cast::Note(7)))), "{cast:?}");
            let send = server.try_send(7);
            assert!(matches!(send, Err(TrySendError::NoProc(7))), "{send:?}");
        }
    }

    /// CS3: each of 20 kills costs at most the one cast that was being handled; the others are counted, in order.
    async fn a_kill_costs_at_most_the_cast_in_flight() {
        const SENT: u64 = 100;
        for _ in 0..RACES {
            let server = clerk().start().await.expect("starts");
            let sender = tokio::spawn({
                let server = server.clone();
                async move {
                    for number in 0..SENT {
                        server.cast(Cast::Note(number)).await.expect("alive");
                        yield_now().await;
                    }
                }
            });
            for _ in 0..20 {
                kill_worker(&server).await;
            }
            sender.await.expect("all sent");
            let counted = server.call(Call::Get).await.expect("served");
            assert!(counted.len() as u64 >= SENT - 20, "{counted:?}");
            assert!(counted.is_sorted_by(|a, b| a < b), "{counted:?}");
            server.kill();
        }
    }

    /// CS3: kills of an idle worker cost no cast at all.
    async fn a_kill_of_an_idle_worker_costs_nothing() {
        let server = clerk().start().await.expect("starts");
        for number in 0..RACES as u64 {
            server.cast(Cast::Note(number)).await.expect("alive");
            let counted = server.call(Call::Get).await.expect("served");
            assert!(counted.iter().copied().eq(0..=number), "{counted:?}");
            kill_worker(&server).await;
        }
        assert!(server.peek().iter().copied().eq(0..RACES as u64));
    }

    /// CS4: when a cast handler stops, terminate runs with that reason and the server ends with it.
    async fn a_cast_handler_can_stop_the_server() {
        let (ended, told) = oneshot::channel();
        let ended = std::sync::Mutex::new(Some(ended));
        let make = move || Clerk { ended: ended.lock().expect("no panic").take() };
        let server = ServerSpec::from_fn(make, Vec::new()).start().await.expect("starts");
        server.cast(Cast::Stop(ExitReason::ShutdownWith("lunch".into()))).await.expect("alive");
        assert!(told.await.expect("terminate ran").contains("lunch"));
        let reason = server.stopped().await.reason;
        assert!(matches!(&reason, ExitReason::ShutdownWith(text) if &**text == "lunch"), "{reason}");
    }

    /// CS6: a full mailbox hands a tried cast back; casts and calls wait for room, and the order is kept.
    async fn a_full_mailbox_makes_casts_wait_in_order() {
        let (server, gate) = held(clerk().mailbox(Mailbox::bounded(2))).await;
        server.try_cast(Cast::Note(1)).expect("room");
        server.try_send(2).expect("room");
        let full = server.try_cast(Cast::Note(9));
        assert!(matches!(full, Err(TrySendError::Full(Cast::Note(9)))), "{full:?}");
        let full = server.try_send(9);
        assert!(matches!(full, Err(TrySendError::Full(9))), "{full:?}");
        let mut rest = pin!(async {
            server.cast(Cast::Note(3)).await.expect("alive");
            server.send(4).await.expect("alive");
            server.call(|reply| Call::Note(5, reply)).await.expect("served");
            server.call(Call::Get).await.expect("served")
        });
        assert!(poll!(&mut rest).is_pending());
        assert_eq!(server.mailbox_len(), 2);
        gate.open();
        assert_eq!(rest.await, [1, 2, 3, 4, 5]);
    }

    /// CS6: whoever waits for room keeps their place, however they are polled, and nobody overtakes them.
    async fn a_waiting_cast_keeps_its_place() {
        let (server, gate) = held(clerk().mailbox(Mailbox::bounded(1))).await;
        server.try_cast(Cast::Note(1)).expect("room");
        let (mut second, mut third) = (pin!(server.cast(Cast::Note(2))), pin!(server.send(3)));
        let mut fourth = pin!(server.call(|reply| Call::Note(4, reply)));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        assert!(poll!(&mut fourth).is_pending());
        gate.open();
        let (fourth, third, second) = tokio::join!(fourth, third, second);
        fourth.expect("served");
        third.expect("alive");
        second.expect("alive");
        assert_eq!(server.call(Call::Get).await.expect("served"), [1, 2, 3, 4]);
    }

    /// CS6: a cast given up while it waits for room is not handled, and its place goes to the next.
    async fn a_waiting_cast_can_be_given_up() {
        for _ in 0..RACES {
            let (server, gate) = held(clerk().mailbox(Mailbox::bounded(1))).await;
            server.try_cast(Cast::Note(1)).expect("room");
            let mut given_up = Box::pin(server.cast(Cast::Note(2)));
            let mut next = pin!(server.cast(Cast::Note(3)));
            assert!(poll!(&mut given_up).is_pending() && poll!(&mut next).is_pending());
            drop(given_up);
            gate.open();
            next.await.expect("alive");
            assert_eq!(server.call(Call::Get).await.expect("served"), [1, 3]);
            server.kill();
        }
    }

    /// CS2 CS6: a cast that waits for room comes back when the server ends.
    async fn a_waiting_cast_comes_back_when_the_server_ends() {
        let (server, _gate) = held(clerk().mailbox(Mailbox::bounded(1))).await;
        server.try_cast(Cast::Note(1)).expect("room");
        let mut waiting = pin!(server.cast(Cast::Note(2)));
        assert!(poll!(&mut waiting).is_pending());
        server.kill();
        let waiting = waiting.await;
        assert!(matches!(waiting, Err(CastError(Cast::Note(2)))), "{waiting:?}");
    }

    /// CS6: a full mailbox keeps what it has across crashes, and stays as small as it was.
    async fn a_full_mailbox_survives_a_crash() {
        let (server, _gate) = held(clerk().mailbox(Mailbox::bounded(2))).await;
        server.try_cast(Cast::Note(1)).expect("room");
        server.try_cast(Cast::Note(2)).expect("room");
        let mut third = pin!(server.cast(Cast::Note(3)));
        assert!(poll!(&mut third).is_pending());
        kill_worker(&server).await;
        third.await.expect("alive");
        assert_eq!(server.call(Call::Get).await.expect("served"), [1, 2, 3]);
    }
}

/// CS6: a call that finds the mailbox full waits for room inside its own time limit; given up, it never runs.
#[tokio::test(start_paused = true)]
async fn a_call_waits_for_room_inside_its_time_limit() {
    let (server, gate) = held(clerk().mailbox(Mailbox::bounded(1))).await;
    server.try_cast(Cast::Note(1)).expect("room");
    let begin = Instant::now();
    let late = server.call(|reply| Call::Note(2, reply)).timeout(Duration::from_secs(1)).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    gate.open();
    assert_eq!(server.call(Call::Get).await.expect("served"), [1]);
}
