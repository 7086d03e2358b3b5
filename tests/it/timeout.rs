//! Idle timeouts: `handle_timeout` runs once, when nothing came for that long.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use undying::{Context, GenServer, Next, Outcome, Reply, Restart, ServerRef, ServerSpec, StateMut};

use crate::support::{Gate, inject, quiet};

const SECOND: Duration = Duration::from_secs(1);

/// What the server goes on with after a message.
#[derive(Clone, Copy)]
enum Then {
    Wait,
    Timeout(Duration),
    Hibernate,
}

enum Call {
    Get(Reply<Vec<Duration>>),
    Then(Then, Reply<()>),
}

enum Cast {
    Then(Then),
    Hold(Gate),
    Crash,
}

/// Writes down, in its state, when its timeouts fired, counted from `begin`.
#[derive(Clone)]
struct Sleeper {
    begin: Instant,
    /// How long a restart takes.
    restart: Duration,
    /// What `init` and each timeout go on with.
    init: Then,
    again: Then,
}

impl From<Then> for Next<Sleeper> {
    fn from(then: Then) -> Self {
        match then {
            Then::Wait => Self::Wait,
            Then::Timeout(after) => Self::Timeout(after),
            Then::Hibernate => Self::Hibernate,
        }
    }
}

impl GenServer for Sleeper {
    type State = Vec<Duration>;
    type Call = Call;
    type Cast = Cast;
    type Info = Then;
    type Continue = Then;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(self.init.into())
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if !self.restart.is_zero() {
            sleep(self.restart).await;
        }
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        call: Call,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Get(reply) => {
                reply.send(state.clone());
                Ok(Next::Wait)
            }
            Call::Then(then, reply) => {
                reply.send(());
                Ok(then.into())
            }
        }
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Then(then) => Ok(then.into()),
            Cast::Hold(gate) => {
                gate.pass().await;
                Ok(Next::Wait)
            }
            Cast::Crash => inject(),
        }
    }

    async fn handle_info(
        &mut self,
        then: Then,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(Next::Continue(then))
    }

    async fn handle_continue(
        &mut self,
        then: Then,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(then.into())
    }

    async fn handle_timeout(
        &mut self,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        state.push(self.begin.elapsed());
        Ok(self.again.into())
    }
}

fn sleeper() -> Sleeper {
    quiet();
    Sleeper { begin: Instant::now(), restart: Duration::ZERO, init: Then::Wait, again: Then::Wait }
}

async fn start(sleeper: Sleeper) -> ServerRef<Sleeper> {
    let spec = ServerSpec::new(sleeper, Vec::new());
    spec.start().await.expect("starts")
}

async fn arm(server: &ServerRef<Sleeper>, after: Duration) {
    let then = Then::Timeout(after);
    server.call(|reply| Call::Then(then, reply)).await.expect("served");
}

/// TO1: an idle timeout fires once, on time, and not again by itself.
#[tokio::test(start_paused = true)]
async fn a_timeout_fires_once() {
    let server = start(sleeper()).await;
    arm(&server, SECOND).await;
    sleep(10 * SECOND).await;
    assert_eq!(*server.peek(), [SECOND]);
}

/// TO1: every callback can arm a timeout, and one that fired can arm the next.
#[tokio::test(start_paused = true)]
async fn every_callback_can_arm_a_timeout() {
    let after = Then::Timeout(2 * SECOND);
    let server = start(Sleeper { init: after, ..sleeper() }).await;
    sleep(3 * SECOND).await;
    server.cast(Cast::Then(after)).await.expect("alive");
    sleep(3 * SECOND).await;
    // Through a continue.
    server.send(after).await.expect("alive");
    sleep(3 * SECOND).await;
    assert_eq!(*server.peek(), [2, 5, 8].map(Duration::from_secs));

    let server = start(Sleeper { init: after, again: after, ..sleeper() }).await;
    sleep(7 * SECOND).await;
    assert_eq!(*server.peek(), [2, 4, 6].map(Duration::from_secs));
}

/// TO2: any message that comes first cancels an idle timeout: a call, a cast, an info, and one that crashes.
#[tokio::test(start_paused = true)]
async fn a_message_cancels_a_timeout() {
    for kind in 0..4 {
        let server = start(sleeper()).await;
        arm(&server, SECOND).await;
        sleep(SECOND / 2).await;
        match kind {
            0 => assert!(server.call(Call::Get).await.expect("served").is_empty()),
            1 => server.cast(Cast::Then(Then::Wait)).await.expect("alive"),
            2 => server.cast(Cast::Crash).await.expect("alive"),
            _ => server.send(Then::Wait).await.expect("alive"),
        }
        sleep(10 * SECOND).await;
        assert!(server.peek().is_empty(), "message {kind} did not cancel it");
    }
}

/// TO2: a message that arms the timeout anew replaces it.
#[tokio::test(start_paused = true)]
async fn a_timeout_can_be_armed_anew() {
    let server = start(sleeper()).await;
    arm(&server, SECOND).await;
    sleep(SECOND / 2).await;
    arm(&server, SECOND).await;
    sleep(10 * SECOND).await;
    assert_eq!(*server.peek(), [SECOND * 3 / 2]);
}

/// TO3: a message that is already queued comes before a timeout of zero, which is dropped.
#[tokio::test(start_paused = true)]
async fn a_queued_message_comes_before_a_timeout_of_zero() {
    let (server, gate) = (start(sleeper()).await, Gate::new());
    server.cast(Cast::Hold(gate.clone())).await.expect("alive");
    gate.arrived().await;
    server.cast(Cast::Then(Then::Timeout(Duration::ZERO))).await.expect("alive");
    server.cast(Cast::Then(Then::Wait)).await.expect("alive");
    gate.open();
    sleep(10 * SECOND).await;
    assert!(server.peek().is_empty());
}

/// TO3: with nothing queued, a timeout of zero fires at once.
#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_fires_when_idle() {
    let server = start(sleeper()).await;
    arm(&server, Duration::ZERO).await;
    sleep(SECOND).await;
    assert_eq!(*server.peek(), [Duration::ZERO]);
}

/// TO4: a look at the server from outside does not cancel its timeout.
#[tokio::test(start_paused = true)]
async fn introspection_does_not_cancel_a_timeout() {
    let server = start(sleeper()).await;
    arm(&server, SECOND).await;
    sleep(SECOND / 2).await;
    server.sys().statistics().await.expect("alive");
    assert!(server.peek().is_empty());
    sleep(10 * SECOND).await;
    assert_eq!(*server.peek(), [SECOND]);
}

/// TO5: after a kill of the idle worker, the timeout still fires at the time it was armed for, and once.
#[tokio::test(start_paused = true)]
async fn a_timeout_keeps_its_deadline_across_a_kill() {
    let server = start(sleeper()).await;
    arm(&server, 10 * SECOND).await;
    for incarnation in 2..5 {
        sleep(2 * SECOND).await;
        server.kill_worker();
        server.wait_incarnation(incarnation).await.expect("restarts");
    }
    sleep(60 * SECOND).await;
    assert_eq!(*server.peek(), [10 * SECOND]);
}

/// TO5: a deadline that passes during a restart is served right after it.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_passes_during_a_restart_fires_after_it() {
    let server = start(Sleeper { restart: 5 * SECOND, ..sleeper() }).await;
    arm(&server, 2 * SECOND).await;
    sleep(SECOND).await;
    server.kill_worker();
    server.wait_incarnation(2).await.expect("restarts");
    sleep(60 * SECOND).await;
    assert_eq!(*server.peek(), [6 * SECOND]);
}

/// TO5: a timeout that has fired does not fire again in the next incarnation.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_fired_is_not_repeated_after_a_kill() {
    let server = start(sleeper()).await;
    arm(&server, SECOND).await;
    sleep(2 * SECOND).await;
    server.kill_worker();
    server.wait_incarnation(2).await.expect("restarts");
    sleep(60 * SECOND).await;
    assert_eq!(*server.peek(), [SECOND]);
}

/// TO6: a server that hibernates is as before: it keeps its state, serves, and has no timeout.
#[tokio::test(start_paused = true)]
async fn a_hibernating_server_serves() {
    let server = start(sleeper()).await;
    arm(&server, SECOND).await;
    sleep(2 * SECOND).await;
    server.cast(Cast::Then(Then::Hibernate)).await.expect("alive");
    sleep(60 * SECOND).await;
    assert_eq!(server.call(Call::Get).await.expect("served"), [SECOND]);
    arm(&server, SECOND).await;
    sleep(SECOND * 2).await;
    assert_eq!(*server.peek(), [SECOND, 63 * SECOND]);
    assert_eq!(server.incarnation(), 1);
}

/// The longest timeout never fires, overflows nothing and is cancelled like any other.
#[tokio::test(start_paused = true)]
async fn the_longest_timeout_never_fires() {
    let server = start(sleeper()).await;
    arm(&server, Duration::MAX).await;
    sleep(1_000_000 * SECOND).await;
    server.kill_worker();
    server.wait_incarnation(2).await.expect("restarts");
    assert!(server.call(Call::Get).await.expect("served").is_empty());
    assert_eq!(server.incarnation(), 2);
}
