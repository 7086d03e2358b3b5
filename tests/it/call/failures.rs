//! Every call that cannot be answered is told so, at once, and why.

use std::{pin::pin, time::Duration};

use futures::{FutureExt, poll};
use tokio::{runtime::Builder, time::Instant};
use undying::{
    Backoff, CallError, Callback, CrashKind, ExitReason, Registry, ServerRef, ServerSpec, WhereisError,
};

use super::{Call, Cast, Desk, SECOND, desk, hold, occupied};
use crate::support::Gate;

/// A call that needs an answer without waiting for anything.
fn at_once(server: &ServerRef<Desk>) -> Result<u64, CallError> {
    server.call(Call::Get).now_or_never().expect("an answer at once")
}

both! {
    /// CA3: a call to a server that is over fails at once, whatever its time limit.
    async fn a_call_to_a_dead_server_fails_at_once() {
        let server = desk().await;
        server.stop().await.expect("stops");
        for limit in [Duration::ZERO, SECOND, Duration::MAX] {
            let answer = server.call(Call::Get).timeout(limit).now_or_never();
            assert!(matches!(answer, Some(Err(CallError::NoProc))), "{limit:?}: {answer:?}");
        }
        let answer = server.call(Call::Get).no_timeout().now_or_never();
        assert!(matches!(answer, Some(Err(CallError::NoProc))), "{answer:?}");
        assert!(matches!(at_once(&server), Err(CallError::NoProc)));
        let unknown = Registry::new().whereis::<Desk>("desk");
        assert!(matches!(unknown, Err(WhereisError::NotFound)), "{unknown:?}");
    }

    /// CA5: the caller of a handler that panics or returns an error is told what happened.
    async fn the_caller_of_a_crash_gets_the_report() {
        let server = desk().await;
        server.call(|reply| Call::Add(1, reply)).await.expect("served");
        let panicked = server.call(Call::Panic).no_timeout().await;
        let Err(CallError::Crashed(report)) = panicked else { panic!("{panicked:?}") };
        assert_eq!((report.message(), report.kind()), ("test: no paper", CrashKind::Panic));
        assert_eq!((report.callback(), report.incarnation()), (Callback::Call, 1));
        assert_eq!(report.version(), 1);
        let failed = server.call(Call::Fail).no_timeout().await;
        let Err(CallError::Crashed(report)) = failed else { panic!("{failed:?}") };
        assert_eq!((report.message(), report.kind()), ("test: no ink", CrashKind::Error));
        assert_eq!((report.callback(), report.incarnation()), (Callback::Call, 2));
    }

    /// CA7: a caller queued behind a normal stop is told so when the server ends.
    async fn a_caller_behind_a_stop_is_told() {
        let server = desk().await;
        let gate = hold(&server).await;
        server.cast(Cast::Stop(ExitReason::Normal)).await.expect("alive");
        let mut call = pin!(server.call(Call::Get).no_timeout());
        assert!(poll!(&mut call).is_pending());
        gate.open();
        let answer = call.await;
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Normal))), "{answer:?}");
    }

    /// CA8: an answer that never comes is a timeout, one that cannot come any more is not.
    async fn a_timeout_is_not_a_missing_reply() {
        let server = desk().await;
        let answer = server.call(Call::Forget).no_timeout().await;
        assert!(matches!(answer, Err(CallError::NoReply)), "{answer:?}");
        let never = server.call(|reply| Call::Never(Gate::new(), reply));
        let answer = never.timeout(Duration::from_millis(1)).await;
        assert!(matches!(answer, Err(CallError::Timeout)), "{answer:?}");
    }

    /// CA8: a kill of the worker is a crash, a kill of the server its end.
    async fn a_kill_of_the_worker_is_not_a_kill_of_the_server() {
        let server = desk().await;
        let call = occupied(&server).await;
        server.kill_worker();
        let answer = call.await.expect("no panic");
        let Err(CallError::Crashed(report)) = answer else { panic!("{answer:?}") };
        assert_eq!((report.kind(), report.callback()), (CrashKind::Kill, Callback::Call));

        let call = occupied(&server).await;
        let mut queued = pin!(server.call(Call::Get).no_timeout());
        assert!(poll!(&mut queued).is_pending());
        server.kill();
        for answer in [call.await.expect("no panic"), queued.await] {
            assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        }
        server.stopped().await;
        assert!(matches!(at_once(&server), Err(CallError::NoProc)));
    }

    /// CA8: the reason of a stop reaches the callers behind it; a shutdown is told from other stops.
    async fn a_stop_and_a_shutdown_are_told_apart() {
        for (reason, text) in [
            (ExitReason::Normal, "Normal"),
            (ExitReason::ShutdownWith("lunch".into()), "lunch"),
            (ExitReason::error("test: out of order"), "test: out of order"),
        ] {
            let server = desk().await;
            let gate = hold(&server).await;
            let mut stop = pin!(server.stop_with(reason).into_future());
            assert!(poll!(&mut stop).is_pending());
            let answer = at_once(&server);
            let Err(CallError::Stopped(reason)) = answer else { panic!("{answer:?}") };
            assert!(format!("{reason:?}").contains(text), "{reason:?}");
            gate.open();
            stop.await.expect("stops");
        }

        let server = desk().await;
        let gate = hold(&server).await;
        drop(server.clone().into_guard());
        let answer = at_once(&server);
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Shutdown))), "{answer:?}");
        gate.open();
        assert!(matches!(server.stopped().await.reason, ExitReason::Shutdown));
    }

    /// CA9: an error says whether the request may have run; it never says no when it has.
    async fn an_error_says_whether_the_request_may_have_run() {
        let server = desk().await;
        let answers = server.call(Call::Itself).await.expect("served");
        for answer in answers {
            let error = answer.expect_err("CallingSelf");
            assert!(!error.may_have_run(), "{error}");
        }
        let never = server.call(|reply| Call::Never(Gate::new(), reply));
        let timeout = never.timeout(Duration::from_millis(1)).await.expect_err("late");
        server.kill_worker();
        let crashed = server.call(Call::Panic).await.expect_err("crashed");
        let no_reply = server.call(Call::Forget).await.expect_err("forgotten");
        let call = occupied(&server).await;
        server.kill();
        let killed = call.await.expect("no panic").expect_err("killed");
        for error in [timeout, crashed, no_reply, killed] {
            assert!(error.may_have_run(), "{error}");
        }
        server.stopped().await;
        let error = at_once(&server).expect_err("NoProc");
        assert!(!error.may_have_run(), "{error}");
    }
}

/// CA5 CA7: the caller of a crash waits neither for its time limit nor for the restart, one behind a stop for nothing.
#[tokio::test(start_paused = true)]
async fn a_crash_is_told_promptly() {
    let begin = Instant::now();
    let pause = Backoff::exponential(60 * SECOND, 60 * SECOND);
    let spec = ServerSpec::new(Desk::default(), 0).backoff(pause);
    let server = spec.start().await.expect("starts");
    let answer = server.call(Call::Fail).await;
    assert!(matches!(answer, Err(CallError::Crashed(_))), "{answer:?}");

    let server = desk().await;
    let gate = hold(&server).await;
    server.cast(Cast::Stop(ExitReason::Normal)).await.expect("alive");
    let mut call = pin!(server.call(Call::Get));
    assert!(poll!(&mut call).is_pending());
    gate.open();
    let answer = call.await;
    assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Normal))), "{answer:?}");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

/// CA8 G12: a runtime that goes away kills its servers, and callers on another one are told so, with and without a time
/// limit, whether their call was in hand or queued; later calls fail at once.
#[test]
fn callers_outlive_the_runtime_of_the_server() {
    let theirs = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let theirs = theirs.expect("a runtime");
    let ours = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = theirs.block_on(desk());
    ours.block_on(async {
        let begin = Instant::now();
        let in_flight = occupied(&server).await;
        let (mut patient, mut limited) =
            (pin!(server.call(Call::Get).no_timeout()), pin!(server.call(Call::Get).timeout(60 * SECOND)));
        assert!(poll!(&mut patient).is_pending() && poll!(&mut limited).is_pending());
        theirs.shutdown_background();
        for answer in [in_flight.await.expect("no panic"), patient.await, limited.await] {
            assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        }
        server.stopped().await;
        assert!(matches!(at_once(&server), Err(CallError::NoProc)));
        assert!(begin.elapsed() < 30 * SECOND);
    });
}
