//! Redelivery when something else goes wrong, too: ends, limits, time, races.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    time::Duration,
};

use futures::poll;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};
use undying::{CallError, Callback, Crash, CrashKind, DeadLetterReason, ExitReason, Next, Redelivery};

use super::clerk::{Ask, Memo, ask, crashed, log, spec, start};
use crate::{
    crash::script::soon,
    support::{Gate, RACES, quiet, until},
};

both! {
    /// CR7 RI4: if the restart limit ends the server before the last run, the caller and those behind are told at
    /// once, and none of them hangs.
    async fn the_restart_limit_ends_the_retries() {
        let (spec, mut letters) = spec(Redelivery::Retry { max: 100 });
        let server = spec.max_restarts(2, Duration::from_secs(60)).start().await.expect("it starts");
        let (hopeless, gate) = (Memo::hopeless(1), Gate::new());
        server.cast(Memo::held(0, &gate)).await.expect("a server");
        soon(gate.arrived()).await;
        let (first, behind) = (ask(&server, hopeless.clone()), ask(&server, Memo::good(2)));
        let mut calls = Box::pin(async { tokio::join!(first, behind) });
        assert!(poll!(&mut calls).is_pending());
        assert_eq!(server.mailbox_len(), 2);
        gate.open();
        let (first, behind) = soon(calls).await;
        assert!(matches!(first, Err(CallError::Crashed(_) | CallError::Stopped(_))), "{first:?}");
        assert!(matches!(behind, Err(CallError::Stopped(ExitReason::RestartLimit(_)))), "{behind:?}");
        assert_eq!(hopeless.runs(), 3);
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::RestartLimit(_)), "{}", exit.reason);
        assert_eq!(*exit.state, [0]);
        // Neither is lost without a trace.
        let mut dead = Vec::new();
        for _ in 0..2 {
            let (callback, number, why) = soon(letters.recv()).await.expect("a dead letter");
            assert_eq!(callback, Callback::Call);
            assert!(matches!(why, DeadLetterReason::Crashed(_) | DeadLetterReason::Ended(_)), "{why:?}");
            dead.push(number);
        }
        dead.sort_unstable();
        assert_eq!(dead, [1, 2]);
    }

    /// CR7 SP3: a stop waits until a message is done with, whether it goes well in the end or not, and then handles
    /// the rest.
    async fn a_stop_waits_for_the_retries() {
        let (server, mut letters) = start(Redelivery::Retry { max: 3 }).await;
        let gate = Gate::new();
        server.cast(Memo::held(1, &gate)).await.expect("a server");
        soon(gate.arrived()).await;
        for memo in [Memo::failing(2, 3), Memo::hopeless(3), Memo::good(4)] {
            server.cast(memo).await.expect("a server");
        }
        let mut stop = Box::pin(IntoFuture::into_future(server.stop()));
        assert!(poll!(&mut stop).is_pending());
        gate.open();
        let exit = soon(stop).await.expect("a server");
        assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
        assert_eq!(*exit.state, [1, 2, 4]);
        assert_eq!(crashed(&mut letters).await.1, 3);
        assert!(letters.try_recv().is_err());
    }

    /// CR7 SP9: a kill of the server ends the retries: whoever waits is told so.
    async fn a_kill_of_the_server_ends_the_retries() {
        for _ in 0..RACES {
            let (server, _letters) = start(Redelivery::Retry { max: u32::MAX }).await;
            let gate = Gate::new();
            let mut call = Box::pin(ask(&server, Memo::held(1, &gate)));
            assert!(poll!(&mut call).is_pending());
            soon(gate.arrived()).await;
            server.kill_worker();
            // The next run has begun.
            soon(gate.arrived()).await;
            server.kill();
            let lost = soon(call).await;
            assert!(matches!(lost, Err(CallError::Stopped(ExitReason::Killed))), "{lost:?}");
        }
    }

    /// CR7 RE1: a run that crashed has answered nobody; only the run that goes well answers, and once.
    async fn only_the_run_that_goes_well_answers() {
        let (server, _letters) = start(Redelivery::Retry { max: 2 }).await;
        // A call whose answer is sent before the crash.
        let answer = soon(server.call(|reply| {
            let early = reply.clone();
            let memo = Memo::new(7, move |log, run| {
                let early = early.clone();
                Box::pin(async move {
                    log.push(7);
                    early.send(vec![run]);
                    if run < 3 { Err(Crash::msg("test: after the answer")) } else { Ok(Next::Wait) }
                })
            });
            Ask(memo, reply)
        }))
        .await;
        assert_eq!(answer.expect("served"), [3]);
        assert_eq!(log(&server).await, [7]);
    }

    /// CR7: with kills at any moment, a call that was answered is applied once; one whose caller was told of a crash
    /// is not applied, and is a dead letter.
    async fn kills_at_any_moment_tell_callers_the_truth() {
        let (server, mut letters) = start(Redelivery::Retry { max: 1 }).await;
        let (mut applied, mut lost) = (Vec::new(), Vec::new());
        for n in 0..RACES as u64 {
            let call = tokio::spawn({
                let server = server.clone();
                let memo = Memo::new(n, move |log, _| Box::pin(async move {
                    log.push(n);
                    tokio::task::yield_now().await;
                    Ok(Next::Wait)
                }));
                async move { ask(&server, memo).await }
            });
            for _ in 0..n % 5 {
                tokio::task::yield_now().await;
            }
            server.kill_worker();
            for _ in 0..n % 3 {
                tokio::task::yield_now().await;
            }
            server.kill_worker();
            match soon(call).await.expect("joined") {
                Ok(_) => applied.push(n),
                Err(CallError::Crashed(_)) => lost.push(n),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(log(&server).await, applied);
        for n in lost {
            assert_eq!(crashed(&mut letters).await.1, n);
        }
        assert!(letters.try_recv().is_err());
    }

    /// CR7: with kills at any moment, a message is applied once or is a dead letter after all its runs, never both,
    /// and never twice.
    async fn kills_at_any_moment_apply_a_message_once_or_not_at_all() {
        let (server, mut letters) = start(Redelivery::Retry { max: 1 }).await;
        for n in 0..RACES as u64 {
            let memo = Memo::new(n, move |log, _| Box::pin(async move {
                log.push(n);
                tokio::task::yield_now().await;
                Ok(Next::Wait)
            }));
            server.cast(memo).await.expect("a server");
            tokio::task::yield_now().await;
            server.kill_worker();
            if n % 3 == 0 {
                tokio::task::yield_now().await;
                server.kill_worker();
            }
        }
        let applied = log(&server).await;
        let mut dead = Vec::new();
        while applied.len() + dead.len() < RACES {
            let (_, number, report) = crashed(&mut letters).await;
            assert_eq!(report.kind(), CrashKind::Kill);
            dead.push(number);
        }
        assert!(letters.try_recv().is_err());
        let mut all = [applied.clone(), dead.clone()].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..RACES as u64), "applied {applied:?}, dead {dead:?}");
        assert!(applied.is_sorted(), "{applied:?}");
    }
}

/// CR7 CA1: a caller waits for the retries within its own time limit, and not longer.
#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_the_retries_within_its_time_limit() {
    quiet();
    let (server, _letters) = start(Redelivery::Retry { max: 9 }).await;
    // Each run takes a second.
    let slow = |failures: u64| {
        Memo::new(1, move |log, run| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.push(run);
                if run <= failures { Err(Crash::msg("test: not yet")) } else { Ok(Next::Wait) }
            })
        })
    };
    let begin = Instant::now();
    assert_eq!(ask(&server, slow(3)).await.expect("served"), [4]);
    assert_eq!(begin.elapsed(), Duration::from_secs(4));
    let late = ask(&server, slow(8)).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), Duration::from_secs(4 + 5));
    // The message is still run until it goes well.
    assert_eq!(log(&server).await, [4, 9]);
    assert_eq!(begin.elapsed(), Duration::from_secs(4 + 9));
}

/// CR7 IN4: what a timer sends is a message like any other: it is run again, while the timer itself has fired once.
#[tokio::test(start_paused = true)]
async fn what_a_timer_sends_is_run_again() {
    quiet();
    let (server, mut letters) = start(Redelivery::Retry { max: 3 }).await;
    let (hopeless, good) = (Memo::hopeless(1), Memo::failing(2, 3));
    server.send_after(Duration::from_secs(1), hopeless.clone());
    server.send_after(Duration::from_secs(2), good.clone());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((hopeless.runs(), good.runs(), server.incarnation()), (4, 4, 1 + 4 + 3));
    assert_eq!(log(&server).await, [2]);
    let (callback, number, report) = crashed(&mut letters).await;
    assert_eq!((callback, number, report.callback()), (Callback::Info, 1, Callback::Info));
    assert!(letters.try_recv().is_err());
}

/// A memo whose next copy tells that it is being made, and waits until the sender goes.
fn copied_slowly(number: u64) -> (Memo, oneshot::Receiver<()>, mpsc::Sender<()>) {
    let (begins, begun) = oneshot::channel();
    let (open, wall) = mpsc::channel();
    (Memo { copies: Some(Arc::new(Mutex::new(Some((begins, wall))))), ..Memo::good(number) }, begun, open)
}

/// CR7 CR9: a worker killed while it copies a message for a next run: either the message is run and its caller
/// answered, or its caller is told of the crash and it is not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_was_told_of_a_crash_is_not_run_after_it() {
    quiet();
    let (spec, _letters) = spec(Redelivery::Retry { max: 3 });
    let server = spec.kill_grace(Duration::from_millis(20)).start().await.expect("it starts");
    let (memo, begun, open) = copied_slowly(1);
    let runs = memo.runs.clone();
    let call = tokio::spawn({
        let server = server.clone();
        async move { soon(server.call(|reply| Ask(memo, reply))).await }
    });
    // The worker is in the `clone` of the message, which does not yield.
    soon(begun).await.expect("it is copied");
    server.kill_worker();
    soon(server.wait_incarnation(2)).await.expect("restarts");
    drop(open);
    let outcome = soon(call).await.expect("joined");
    // The message is gone, or was run.
    soon(async {
        while Arc::strong_count(&runs) > 1 && runs.load(SeqCst) == 0 {
            log(&server).await;
        }
    })
    .await;
    let noted = log(&server).await;
    match outcome {
        Ok(answer) => assert_eq!((answer, noted), (vec![1], vec![1])),
        Err(CallError::Crashed(_)) => assert!(noted.is_empty(), "told of a crash, and run all the same"),
        Err(other) => panic!("{other}"),
    }
}

/// CR7 CR9: the same for a message that nobody waits for: it is run by the next incarnation, though nothing else comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_killed_before_it_was_run_is_run() {
    quiet();
    let (spec, _letters) = spec(Redelivery::Retry { max: 3 });
    let server = spec.kill_grace(Duration::from_millis(20)).start().await.expect("it starts");
    let (memo, begun, open) = copied_slowly(1);
    server.cast(memo).await.expect("a server");
    soon(begun).await.expect("it is copied");
    server.kill_worker();
    soon(server.wait_incarnation(2)).await.expect("restarts");
    // The next incarnation has nothing to do.
    assert!(log(&server).await.is_empty());
    drop(open);
    until("the message is run", || *server.peek() == [1]).await;
}
