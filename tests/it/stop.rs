//! How a server ends when it is asked to, and who is told.

mod races;
mod terminate;

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, poll};
use tokio::time::{Instant, sleep};
use undying::{
    CallError, CastError, Context, Crash, ExitReason, GenServer, Listener, Next, Outcome, Registry, Reply,
    Restart, ServerRef, ServerSpec, StateMut, Status, StopError, Terminated, WhereisError,
};

use crate::support::{Gate, RACES, inject, until};

const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order, as the server and its listener tell it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().expect("no panic").push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    fn count(&self, start: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(start)).count()
    }
}

/// One word for a reason.
fn word(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Normal => "normal".into(),
        ExitReason::Shutdown => "shutdown".into(),
        ExitReason::ShutdownWith(text) => format!("shutdown({text})"),
        ExitReason::Killed => "killed".into(),
        ExitReason::Crashed(report) => format!("crashed({})", report.message()),
        ExitReason::RestartLimit(_) => "limit".into(),
        other => panic!("no other reason is known: {other}"),
    }
}

/// Logs its incarnations and its terminates, with the incarnation, the reason and the state.
#[derive(Clone, Default)]
struct Mortal {
    log: Log,
    /// Whether `terminate` and `restarted` panic.
    dies_badly: bool,
    never_restarts: bool,
}

enum Call {
    Get(Reply<Vec<u64>>),
    StopItself(Reply<Result<(), StopError>>),
}

#[derive(Debug)]
enum Cast {
    Note(u64),
    Hold(Gate),
    Sleep(Duration),
    Stop(u64, ExitReason),
    /// Notes the number, then panics or returns an error.
    Panic(u64),
    Fail(u64),
    Crash,
}

impl GenServer for Mortal {
    type State = Vec<u64>;
    type Call = Call;
    type Cast = Cast;
    type Info = undying::Never;
    type Continue = undying::Never;

    async fn restarted(
        &mut self,
        why: &Restart,
        _: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        if self.never_restarts {
            return Err(Crash::msg("test: not again"));
        }
        self.log.add(format!("restarted {} {}", cx.incarnation(), word(why.reason())));
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        call: Call,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Get(reply) => reply.send(state.clone()),
            Call::StopItself(reply) => {
                let server = cx.server();
                reply.send(server.stop().await.map(|_| ()));
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
            Cast::Note(number) => state.push(number),
            Cast::Hold(gate) => gate.pass().await,
            Cast::Sleep(time) => sleep(time).await,
            Cast::Stop(number, reason) => {
                state.push(number);
                return Ok(Next::Stop(reason));
            }
            Cast::Panic(number) => {
                state.push(number);
                panic!("test: half-way");
            }
            Cast::Fail(number) => {
                state.push(number);
                return Err(Crash::msg("test: half-way"));
            }
            Cast::Crash => inject(),
        }
        Ok(Next::Wait)
    }

    async fn terminate(
        &mut self,
        reason: &ExitReason,
        mut state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) {
        self.log.add(format!("terminate {} {} {:?}", cx.incarnation(), word(reason), *state));
        // Nobody ever sees what terminate does to the state.
        state.push(99);
        if self.dies_badly {
            panic!("test: no good end");
        }
    }
}

impl Listener<Mortal> for Log {
    fn terminated(&self, end: &Terminated<'_, Mortal>) {
        self.add(format!("terminated {} {:?}", word(end.reason), end.state));
    }
}

fn mortal() -> (ServerSpec<Mortal>, Log) {
    let log = Log::default();
    let mortal = Mortal { log: log.clone(), ..Mortal::default() };
    (ServerSpec::new(mortal, Vec::new()).listener(log.clone()), log)
}

/// Keeps the server in a handler until the gate opens, so that messages can be queued.
async fn hold(server: &ServerRef<Mortal>) -> Gate {
    let gate = Gate::new();
    server.cast(Cast::Hold(gate.clone())).await.expect("alive");
    gate.arrived().await;
    gate
}

fn gone(registry: &Registry) -> bool {
    matches!(registry.whereis::<Mortal>("mortal"), Err(WhereisError::NotFound))
}

both! {
    /// SP1 NR4: when stop returns, the server is dead, its name is free, and another stop finds nothing.
    async fn after_stop_nothing_is_left() {
        let registry = Registry::new();
        for _ in 0..RACES {
            let spec = mortal().0.name_in(&registry, "mortal");
            let server = spec.start().await.expect("the name is free again");
            let exit = server.stop().await.expect("stops");
            assert!(matches!(exit.reason, ExitReason::Normal));
            assert!(!server.is_alive() && server.status() == Status::Terminated);
            assert!(gone(&registry) && registry.names().is_empty());
            let again = server.stop().await;
            assert!(matches!(again, Err(StopError::NoProc)), "{again:?}");
            // An earlier handle still knows how it ended.
            assert!(matches!(server.stopped().await.reason, ExitReason::Normal));
        }
    }

    /// SP2: terminate, the listener and whoever asks see the reason of the stop.
    async fn everybody_sees_the_reason_of_a_stop() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        let reason = ExitReason::ShutdownWith("lunch".into());
        let exit = server.stop_with(reason).await.expect("stops");
        assert_eq!(word(&exit.reason), "shutdown(lunch)");
        assert_eq!(word(&server.stopped().await.reason), "shutdown(lunch)");
        until("the listener is told", || log.lines().len() >= 2).await;
        assert_eq!(log.lines(), ["terminate 1 shutdown(lunch) []", "terminated shutdown(lunch) []"]);
    }

    /// SP2: a stop with an abnormal reason is an end as well, not a crash.
    async fn a_stop_with_an_abnormal_reason_ends_the_server() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        let exit = server.stop_with(ExitReason::error("test: fire")).await.expect("stops");
        assert!(exit.reason.is_abnormal() && !server.is_alive());
        assert_eq!(log.count("terminate 1 crashed(test: fire)"), 1);
        assert_eq!((log.count("restarted"), server.incarnation()), (0, 1));
    }

    /// SP3: what was queued before a stop is handled first, then terminate runs.
    async fn what_was_queued_before_a_stop_is_handled_first() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        let gate = hold(&server).await;
        for number in 1..=3 {
            server.cast(Cast::Note(number)).await.expect("alive");
        }
        let mut stop = pin!(server.stop().into_future());
        assert!(poll!(&mut stop).is_pending());
        gate.open();
        assert_eq!(*stop.await.expect("stops").state, [1, 2, 3]);
        assert_eq!(log.lines()[0], "terminate 1 normal [1, 2, 3]");
    }

    /// SP3: what comes after a stop was requested is refused at once.
    async fn what_comes_after_a_stop_is_refused() {
        let server = mortal().0.start().await.expect("starts");
        let gate = hold(&server).await;
        let mut stop = pin!(server.stop_with(ExitReason::Shutdown).into_future());
        assert!(poll!(&mut stop).is_pending());
        let call = server.call(Call::Get).now_or_never();
        assert!(matches!(call, Some(Err(CallError::Stopped(ExitReason::Shutdown)))), "{call:?}");
        let cast = server.cast(Cast::Note(7)).now_or_never();
        assert!(matches!(cast, Some(Err(CastError(Cast::Note(7))))), "{cast:?}");
        gate.open();
        assert!(stop.await.expect("stops").state.is_empty());
    }

    /// SP5: a handler that stops its own server is refused at once; the server lives on.
    async fn a_handler_cannot_stop_its_own_server() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        let refused = server.call(Call::StopItself).await.expect("not stuck");
        assert!(matches!(refused, Err(StopError::CallingSelf)), "{refused:?}");
        assert!(server.call(Call::Get).await.expect("alive").is_empty());
        assert!(log.lines().is_empty());
    }

    /// SP6: a handler that stops with a normal reason or a shutdown ends the server; it is not restarted.
    async fn a_normal_stop_is_the_end() {
        for reason in [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::ShutdownWith("lunch".into()),
        ] {
            let (spec, log) = mortal();
            let server = spec.start().await.expect("starts");
            let expected = word(&reason);
            server.cast(Cast::Stop(4, reason)).await.expect("alive");
            let exit = server.stopped().await;
            assert_eq!((word(&exit.reason), exit.state.as_slice()), (expected.clone(), &[4][..]));
            assert_eq!((log.count("restarted"), server.incarnation()), (0, 1));
            assert_eq!(log.lines()[0], format!("terminate 1 {expected} [4]"));
        }
    }

    /// SP7: a handler that stops with an abnormal reason is restarted, with the state it stopped with.
    async fn an_abnormal_stop_restarts_with_the_new_state() {
        for _ in 0..RACES {
            let (spec, log) = mortal();
            let server = spec.start().await.expect("starts");
            let stop = Cast::Stop(4, ExitReason::error("test: fire"));
            server.cast(stop).await.expect("alive");
            assert_eq!(server.call(Call::Get).await.expect("served"), [4]);
            assert_eq!(
                log.lines(),
                ["terminate 1 crashed(test: fire) [4]", "restarted 2 crashed(test: fire)"]
            );
            server.kill();
        }
    }
}

/// SP4: a stop that gives up waiting stays requested: the server ends after the handler it is in.
#[tokio::test(start_paused = true)]
async fn a_stop_that_gave_up_stays_requested() {
    let server = mortal().0.start().await.expect("starts");
    let begin = Instant::now();
    server.cast(Cast::Sleep(10 * SECOND)).await.expect("alive");
    until("the handler runs", || server.mailbox_len() == 0).await;
    let stop = server.stop().timeout(SECOND).await;
    assert!(matches!(stop, Err(StopError::Timeout)), "{stop:?}");
    assert_eq!(begin.elapsed(), SECOND);
    assert!(server.is_alive());
    assert_eq!(word(&server.stopped().await.reason), "normal");
    assert_eq!(begin.elapsed(), 10 * SECOND);
}

/// SP12: a stop waits for a long handler to the end, and for nothing else.
#[tokio::test(start_paused = true)]
async fn a_stop_takes_as_long_as_the_handler() {
    let (spec, log) = mortal();
    let server = spec.start().await.expect("starts");
    let begin = Instant::now();
    server.cast(Cast::Sleep(600 * SECOND)).await.expect("alive");
    server.cast(Cast::Note(1)).await.expect("alive");
    assert_eq!(*server.stop().await.expect("stops").state, [1]);
    assert_eq!(begin.elapsed(), 600 * SECOND);
    assert_eq!(log.lines()[0], "terminate 1 normal [1]");
}
