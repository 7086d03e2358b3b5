//! The smallest and the largest numbers that can be given for anything: each is defined, none overflows.

use std::{
    future::pending,
    slice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{task::yield_now, time::Instant};
use undying::{
    Backoff, CallError, CommitPolicy, Context, ExitReason, GenServer, Mailbox, Never, Next, Outcome,
    Overflow, Redelivery, Reply, Requests, ServerSpec, Shutdown, StartError, StateMut, Status, StopError,
    WhenFull, multi_call,
};

use crate::{
    crash::script::{
        Script, add, ask, crash, get, inc, look, serves, slow, soon, start, stop, tell, wait_at,
    },
    support::{Gate, inject, until},
};

const MAX: Duration = Duration::MAX;
const ZERO: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3_600);

fn spec() -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0)
}

/// Counts, crashes, is killed, and is stopped.
async fn lives(spec: ServerSpec<Script<u64>>) {
    let server = soon(spec.start()).await.expect("it starts");
    assert_eq!(ask(&server, add).await, 1);
    crash(&server).await;
    serves(&server, 2).await;
    assert_eq!(ask(&server, add).await, 2);
    server.kill_worker();
    serves(&server, 3).await;
    assert_eq!(ask(&server, add).await, 3);
    assert_eq!(*stop(&server).await.state, 3);
}

/// Whose copies can be run again.
#[derive(Clone)]
struct Stubborn;

impl GenServer for Stubborn {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = ();
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Reply<u64>,
        runs: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(*runs);
        Ok(Next::Wait)
    }

    async fn handle_cast(&mut self, (): (), _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        inject()
    }
}

/// Waits at a gate in its `init`.
#[derive(Clone)]
struct Late(Gate);

impl GenServer for Late {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.0.pass().await;
        Ok(Next::Wait)
    }
}

both! {
    /// The largest capacities are as good as none: nothing is laid out for them, and nothing overflows.
    async fn the_largest_capacities_are_no_limit() {
        for when_full in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            lives(spec().mailbox(Mailbox::bounded(usize::MAX).when_full(when_full))).await;
            lives(spec().mailbox(Mailbox::bounded(1).when_full(when_full).high_water(usize::MAX))).await;
        }
        for overflow in [Overflow::Coalesce, Overflow::DropOldest, Overflow::Block] {
            for capacity in [1, usize::MAX] {
                let heard = Arc::new(AtomicUsize::new(0));
                let hears = heard.clone();
                let listener = move |_: undying::Event<'_, Script<u64>>| {
                    hears.fetch_add(1, SeqCst);
                };
                lives(spec().listener_with(listener, capacity, overflow)).await;
                // It may have missed some, but neither the start nor the end.
                assert!((2..=9).contains(&heard.load(SeqCst)), "{overflow:?} {capacity}: {heard:?}");
            }
        }
        lives(spec().commit(CommitPolicy::Every(1))).await;
        lives(spec().max_zombies(0).max_restarts(2, Duration::from_nanos(u64::MAX))).await;
        // What was not committed is lost with the crash, so no `lives` here.
        let server = soon(spec().commit(CommitPolicy::Every(u64::MAX)).start()).await.expect("it starts");
        ask(&server, add).await;
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 0);
        ask(&server, add).await;
        assert_eq!(*stop(&server).await.state, 1);
    }

    /// RI1: with a budget of none the first crash is the end; with one without an end none is.
    async fn a_budget_of_none_ends_with_the_first_crash() {
        for within in [Duration::from_nanos(1), MAX] {
            let server = soon(spec().max_restarts(0, within).start()).await.expect("it starts");
            ask(&server, add).await;
            crash(&server).await;
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::RestartLimit(_)), "{}", exit.reason);
            assert_eq!(*exit.state, 1);
        }
        let server = soon(spec().max_restarts(u32::MAX, MAX).start()).await.expect("it starts");
        for _ in 0..2_000 {
            crash(&server).await;
        }
        assert_eq!(ask(&server, add).await, 1);
    }

    /// CR7 RI1: a message that may be run again without an end is, until the budget has one; nothing counts over.
    async fn a_message_may_be_run_again_without_an_end() {
        let spec = ServerSpec::new(Stubborn, 7).redelivery(Redelivery::Retry { max: u32::MAX });
        let server = soon(spec.max_restarts(300, MAX).start()).await.expect("it starts");
        soon(server.cast(())).await.expect("alive");
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::RestartLimit(_)), "{}", exit.reason);
        assert_eq!((*exit.state, server.incarnation()), (7, 301));
    }

    /// LM2: no incarnation at all is there at once, one that will never be is waited for until the end.
    async fn an_incarnation_that_will_never_be_ends_with_its_server() {
        let server = start(0_u64).await;
        assert_eq!(soon(server.wait_incarnation(0)).await.expect("alive"), 1);
        let waiting = tokio::spawn({
            let server = server.clone();
            async move { server.wait_incarnation(u64::MAX).await }
        });
        yield_now().await;
        server.kill();
        let reason = soon(waiting).await.expect("no panic").expect_err("it never came");
        assert!(matches!(reason, ExitReason::Killed), "{reason}");
    }

    /// IN4: an interval of a nanosecond, which nobody could keep up with, keeps neither mail nor the end of its server waiting; one
    /// of all the time there is never ticks.
    async fn intervals_may_be_as_short_or_long_as_they_like() {
        let server = start(0_u64).await;
        let arm = slow(|_, cx| {
            cx.send_interval(Duration::from_nanos(1), inc);
            cx.send_interval(MAX, || look(|_| panic!("test: never")));
            Box::pin(async { Ok(Next::Wait) })
        });
        tell(&server, arm).await;
        until("it ticks", || *server.peek() > 100).await;
        for _ in 0..100 {
            ask(&server, get).await;
        }
        assert_eq!(server.incarnation(), 1);
        // What has come due is part of its last work: of that there is more than anybody will wait for.
        assert!(matches!(soon(server.stop().timeout(Duration::from_millis(20))).await, Err(StopError::Timeout)));
        server.kill();
        assert!(*soon(server.stopped()).await.state > 100);
    }

    /// IN4: an instant that is long over is now.
    async fn a_timer_for_the_past_fires_at_once() {
        let server = start(0_u64).await;
        let past = Instant::now().checked_sub(HOUR).unwrap_or_else(Instant::now);
        let arm = slow(move |_, cx| {
            cx.send_at(past, inc());
            Box::pin(async { Ok(Next::Wait) })
        });
        tell(&server, arm).await;
        until("it fires", || *server.peek() == 1).await;
        stop(&server).await;
    }

    /// CA1 SP4: a call, a stop and a list of requests that may take no time at all, and such that may take all of it.
    async fn time_limits_may_be_none_or_all_there_is() {
        let server = soon(spec().call_timeout(ZERO).start()).await.expect("it starts");
        let gate = Gate::new();
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        assert!(matches!(soon(server.call(add)).await, Err(CallError::Timeout)));
        assert!(matches!(soon(server.call(add).timeout(Duration::from_nanos(1))).await, Err(CallError::Timeout)));
        let called = soon(multi_call(slice::from_ref(&server), get, ZERO)).await;
        assert!(matches!(&called.failed[..], [(_, CallError::Timeout)]), "{called:?}");
        assert!(matches!(soon(server.stop().timeout(ZERO)).await, Err(StopError::Timeout)));
        gate.open();
        soon(server.stopped()).await;

        let server = soon(spec().call_timeout(MAX).start()).await.expect("it starts");
        let mut requests = Requests::new();
        requests.add("long", server.call(add).timeout(MAX));
        assert_eq!(soon(requests.next()).await.expect("one").1.expect("answered"), 1);
        assert_eq!(soon(multi_call(slice::from_ref(&server), get, MAX)).await.replies.len(), 1);
        soon(server.stop().timeout(MAX)).await.expect("it stops");
    }

    /// SH3: an owner that gives no time kills a server that is busy, and one that gives all of it waits.
    async fn a_shutdown_may_take_no_time_or_all_there_is() {
        for shutdown in [Shutdown::Timeout(ZERO), Shutdown::Timeout(MAX), Shutdown::Infinity] {
            let server = soon(spec().shutdown(shutdown).start()).await.expect("it starts");
            let gate = Gate::new();
            tell(&server, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            drop(server.clone().into_guard());
            if shutdown == Shutdown::Timeout(ZERO) {
                assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Killed));
                continue;
            }
            assert!(soon(server.call(add)).await.is_err(), "it takes nothing any more");
            assert!(server.is_alive());
            gate.open();
            assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Shutdown));
        }
    }
}

/// RI10 CA12: a server whose back-off never ends answers what needs no worker, lets calls time out, and can be stopped and killed.
#[tokio::test(start_paused = true)]
async fn a_back_off_may_never_end() {
    for kill in [false, true] {
        let server = spec().backoff(Backoff::exponential(MAX, MAX)).start().await.expect("it starts");
        ask(&server, add).await;
        crash(&server).await;
        until("it waits", || server.status() == Status::Restarting).await;
        let begin = Instant::now();
        assert!(matches!(server.call(add).timeout(HOUR).await, Err(CallError::Timeout)));
        assert_eq!(begin.elapsed(), HOUR);
        server.cast(inc()).await.map_err(drop).expect("it is queued");
        let exit = if kill {
            server.kill();
            server.stopped().await
        } else {
            server.stop().await.expect("it stops")
        };
        // A stop handles first what was queued: the cast, and not the call that nobody waits for any more.
        assert!(matches!((kill, *exit.state), (true, 1) | (false, 2 | 3)), "{kill}: {}", *exit.state);
        assert_eq!(begin.elapsed(), HOUR, "nobody waits for the back-off");
    }
}

/// ST5: an `init` that may take no time is given up if it has to wait; all the time there is is enough for any.
#[tokio::test(start_paused = true)]
async fn an_init_may_have_no_time_or_all_there_is() {
    let begin = Instant::now();
    let late = ServerSpec::new(Late(Gate::new()), ()).init_timeout(ZERO).start().await;
    assert!(matches!(late, Err(StartError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), ZERO);
    let gate = Gate::new();
    let start = tokio::spawn(ServerSpec::new(Late(gate.clone()), ()).init_timeout(MAX).start());
    gate.arrived().await;
    tokio::time::sleep(HOUR * 24 * 365 * 10).await;
    gate.open();
    start.await.expect("no panic").expect("it starts");
}

/// CR9: a worker that is waiting, and not blocking, is no zombie, even if there is no time to wait for it and none is allowed.
#[tokio::test(start_paused = true)]
async fn a_killed_worker_that_yields_is_no_zombie_without_any_grace() {
    for busy in [false, true] {
        let spec = spec().kill_grace(ZERO).max_zombies(0);
        let server = spec.start().await.expect("it starts");
        ask(&server, add).await;
        if busy {
            let gate = Gate::new();
            let here = gate.clone();
            let waiting = slow(move |_, _| {
                Box::pin(async move {
                    here.pass().await;
                    pending().await
                })
            });
            tell(&server, waiting).await;
            gate.arrived().await;
            gate.open();
        }
        server.kill_worker();
        assert_eq!(server.wait_incarnation(2).await.expect("it goes on"), 2, "{busy}");
        assert_eq!(ask(&server, add).await, 2);
        stop(&server).await;
    }
}
