//! What a caller can count on: an answer, in time, in order, and from the right incarnation.

mod failures;
mod itself;

use std::{future::pending, pin::pin, time::Duration};

use futures::{executor::block_on, future::join_all, poll};
use tokio::{sync::oneshot, time::Instant};
use undying::{
    CallError, Context, Crash, ExitReason, GenServer, Next, Outcome, Reply, Restart, ServerRef, ServerSpec,
    StateMut,
};

use crate::support::{Gate, RACES, inject};

const SECOND: Duration = Duration::from_secs(1);

/// A counter with every way to answer late, wrongly or not at all; its restarts take `restart`.
#[derive(Clone, Default)]
struct Desk {
    restart: Duration,
}

enum Call {
    Get(Reply<u64>),
    Who(Reply<(u64, u64)>),
    Add(u64, Reply<u64>),
    Set(u64, Reply<()>),
    Sleep(Duration, Reply<&'static str>),
    Never(Gate, Reply<u64>),
    Forget(Reply<()>),
    Panic(Reply<()>),
    Fail(Reply<()>),
    Itself(Reply<Vec<Result<u64, CallError>>>),
}

enum Cast {
    Add(u64),
    Hold(Gate),
    Crash,
    Stop(ExitReason),
}

impl GenServer for Desk {
    type State = u64;
    type Call = Call;
    type Cast = Cast;
    type Info = u64;
    type Continue = undying::Never;

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if !self.restart.is_zero() {
            tokio::time::sleep(self.restart).await;
        }
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        call: Call,
        mut state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Get(reply) => reply.send(*state),
            Call::Who(reply) => reply.send((*state, cx.incarnation())),
            Call::Add(by, reply) => {
                *state += by;
                reply.send(*state);
            }
            Call::Set(to, reply) => {
                *state = to;
                reply.send(());
            }
            Call::Sleep(time, reply) => {
                tokio::time::sleep(time).await;
                reply.send("slept");
            }
            Call::Never(gate, reply) => {
                gate.pass().await;
                pending::<()>().await;
                drop(reply);
            }
            Call::Forget(reply) => drop(reply),
            Call::Panic(_reply) => panic!("test: no paper"),
            Call::Fail(_reply) => return Err(Crash::msg("test: no ink")),
            Call::Itself(reply) => {
                let server = cx.server();
                let alone = server.call(Call::Get).no_timeout().await;
                let (joined, ()) = tokio::join!(server.call(Call::Get), async {});
                reply.send(vec![alone, joined]);
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
            Cast::Add(by) => *state += by,
            Cast::Hold(gate) => gate.pass().await,
            Cast::Crash => inject(),
            Cast::Stop(reason) => return Ok(Next::Stop(reason)),
        }
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        by: u64,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *state = *state * 10 + by;
        Ok(Next::Wait)
    }
}

async fn desk() -> ServerRef<Desk> {
    ServerSpec::new(Desk::default(), 0).start().await.expect("starts")
}

/// A call that stays in its handler for ever; the server is in it when this returns.
async fn occupied(server: &ServerRef<Desk>) -> tokio::task::JoinHandle<Result<u64, CallError>> {
    let (gate, server) = (Gate::new(), server.clone());
    gate.open();
    let at = gate.clone();
    let never = async move { server.call(|reply| Call::Never(at, reply)).no_timeout().await };
    let never = tokio::spawn(never);
    gate.arrived().await;
    never
}

/// Keeps the server in a handler until the gate opens, so that messages can be queued.
async fn hold(server: &ServerRef<Desk>) -> Gate {
    let gate = Gate::new();
    server.cast(Cast::Hold(gate.clone())).await.expect("alive");
    gate.arrived().await;
    gate
}

both! {
    /// CA1: a call returns what the handler replies.
    async fn a_call_returns_the_reply() {
        let server = desk().await;
        assert_eq!(server.call(|reply| Call::Add(3, reply)).await.expect("served"), 3);
        assert_eq!(server.call(Call::Get).await.expect("served"), 3);
    }

    /// CA6: callers queued behind a crashing message are answered by the next incarnation, from the kept state.
    async fn callers_behind_a_crash_are_served_by_the_next_incarnation() {
        for _ in 0..RACES {
            let server = desk().await;
            server.cast(Cast::Add(7)).await.expect("alive");
            let gate = hold(&server).await;
            server.cast(Cast::Crash).await.expect("alive");
            let mut calls = [(); 3].map(|()| Box::pin(server.call(Call::Who)));
            for call in &mut calls {
                assert!(poll!(call).is_pending());
            }
            gate.open();
            for call in calls {
                assert_eq!(call.await.expect("served"), (7, 2));
            }
            server.kill();
        }
    }

    /// CA10: when a call returns, all that the same sender had cast and sent before was applied, in order.
    async fn a_call_follows_what_its_sender_cast() {
        for _ in 0..RACES {
            let server = desk().await;
            for digit in 1..=4 {
                server.send(digit).await.expect("alive");
                server.cast(Cast::Add(5)).await.expect("alive");
            }
            // A digit appends itself, a cast adds 5: 1, 6, 62, 67, 673, 678, 6784, 6789.
            assert_eq!(server.call(Call::Get).await.expect("served"), 6789);
            server.kill();
        }
    }

    /// CA11: increments of many tasks at once are all counted, also with crashes in between.
    async fn concurrent_increments_are_all_counted() {
        let server = desk().await;
        for round in 1..=RACES as u64 {
            let clients = (0..20).map(|client| {
                let server = server.clone();
                tokio::spawn(async move {
                    for _ in 0..5 {
                        server.call(|reply| Call::Add(1, reply)).await.expect("served");
                    }
                    // Some still have increments to make.
                    if client % 10 == 0 && round % 2 == 0 {
                        server.cast(Cast::Crash).await.expect("alive");
                    }
                })
            });
            for client in join_all(clients).await {
                client.expect("all served");
            }
            assert_eq!(server.call(Call::Get).await.expect("served"), round * 100);
        }
        assert_eq!(server.call(Call::Who).await.expect("served").1, 1 + RACES as u64);
    }

    /// CA13: what was acknowledged is still there after a crash that was already queued.
    async fn an_acknowledged_call_survives_the_crash_behind_it() {
        for _ in 0..RACES {
            let server = desk().await;
            let gate = hold(&server).await;
            let mut set = pin!(server.call(|reply| Call::Set(1, reply)));
            assert!(poll!(&mut set).is_pending());
            server.cast(Cast::Crash).await.expect("alive");
            gate.open();
            set.await.expect("acknowledged");
            assert_eq!(server.call(Call::Who).await.expect("served"), (1, 2));
            server.kill();
        }
    }

    /// A call is not sent before it is polled, and one given up afterwards does not disturb the server.
    async fn a_call_can_be_given_up() {
        let server = desk().await;
        drop(server.call(|reply| Call::Add(1, reply)));
        let gate = hold(&server).await;
        let mut given_up = Box::pin(server.call(|reply| Call::Add(10, reply)));
        assert!(poll!(&mut given_up).is_pending());
        drop(given_up);
        gate.open();
        let (count, incarnation) = server.call(Call::Who).await.expect("served");
        // Given up while queued, it may or may not be run.
        assert!([0, 10].contains(&count) && incarnation == 1);
    }

    /// A thread without a runtime can call, and its time limit works.
    async fn a_plain_thread_can_call() {
        let server = desk().await;
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let served = block_on(server.call(|reply| Call::Add(3, reply)));
            let never = server.call(|reply| Call::Never(Gate::new(), reply));
            let late = block_on(never.timeout(Duration::from_millis(5)));
            let _ = tell.send((served, late));
        });
        let (served, late) = told.await.expect("the thread did not panic");
        assert_eq!(served.expect("served"), 3);
        assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    }
}

/// CA1: a call gives up at exactly its time limit: 5 s unless the spec or the call says otherwise.
#[tokio::test(start_paused = true)]
async fn a_call_gives_up_at_its_deadline() {
    let begin = Instant::now();
    let server = desk().await;
    let _never = occupied(&server).await;
    let late = server.call(Call::Get).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), 5 * SECOND);
    let late = server.call(Call::Get).timeout(Duration::from_millis(1700)).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), Duration::from_millis(6700));

    let begin = Instant::now();
    let spec = ServerSpec::new(Desk::default(), 0).call_timeout(2 * SECOND);
    let server = spec.start().await.expect("starts");
    let late = server.call(|reply| Call::Never(Gate::new(), reply)).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), 2 * SECOND);
}

/// CA1: without a time limit, or with the longest one, a call waits as long as it takes.
#[tokio::test(start_paused = true)]
async fn a_call_can_wait_for_hours() {
    let (server, begin, hour) = (desk().await, Instant::now(), 3600 * SECOND);
    let slow = server.call(|reply| Call::Sleep(hour, reply)).no_timeout();
    assert_eq!(slow.await.expect("served"), "slept");
    let slow = server.call(|reply| Call::Sleep(hour, reply)).timeout(Duration::MAX);
    assert_eq!(slow.await.expect("served"), "slept");
    assert_eq!(begin.elapsed(), 2 * hour);
}

/// A call with a time limit of zero takes no time, and the server is not disturbed.
#[tokio::test(start_paused = true)]
async fn a_call_may_have_no_time_at_all() {
    let (server, begin) = (desk().await, Instant::now());
    let never = server.call(|reply| Call::Sleep(SECOND, reply)).timeout(Duration::ZERO).await;
    assert!(matches!(never, Err(CallError::Timeout)), "{never:?}");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(server.call(Call::Who).await.expect("served"), (0, 1));
}

/// CA2: a reply that comes too late is dropped: server and caller go on, and the next call gets its own reply.
#[tokio::test(start_paused = true)]
async fn a_late_reply_reaches_nobody() {
    let server = desk().await;
    let late = server.call(|reply| Call::Sleep(10 * SECOND, reply)).timeout(SECOND).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    let mine = server.call(|reply| Call::Add(4, reply)).no_timeout().await;
    assert_eq!(mine.expect("served"), 4);
    assert_eq!(server.call(Call::Who).await.expect("served"), (4, 1));
}

/// CA12: a call during a restart waits for it, and is served then; its time limit holds meanwhile.
#[tokio::test(start_paused = true)]
async fn a_call_during_a_restart_waits() {
    let spec = ServerSpec::new(Desk { restart: 3 * SECOND }, 5);
    let server = spec.start().await.expect("starts");
    let begin = Instant::now();
    server.cast(Cast::Crash).await.expect("alive");
    let late = server.call(Call::Who).timeout(SECOND).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), SECOND);
    assert_eq!(server.call(Call::Who).await.expect("served"), (5, 2));
    assert_eq!(begin.elapsed(), 3 * SECOND);
}

/// CA12: a call during a back-off waits for its end, and is served then; its time limit holds meanwhile.
#[tokio::test(start_paused = true)]
async fn a_call_during_a_backoff_waits() {
    let pause = undying::Backoff::exponential(60 * SECOND, 60 * SECOND);
    let spec = ServerSpec::new(Desk::default(), 5).backoff(pause);
    let server = spec.start().await.expect("starts");
    let begin = Instant::now();
    server.cast(Cast::Crash).await.expect("alive");
    let late = server.call(Call::Who).timeout(SECOND).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), SECOND);
    assert_eq!(server.call(Call::Who).no_timeout().await.expect("served"), (5, 2));
    assert_eq!(begin.elapsed(), 60 * SECOND);
}
