//! What is kept: exactly the states that successful callbacks left, whatever comes after them.

mod extras;
mod kinds;
mod poison;

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use undying::{Callback, CrashKind, ExitReason, Next, Reply, ServerSpec, StopError};

use crate::{
    crash::script::{
        Job, Script, add, ask, boom, counted, crash, get, inc, job, look, serves, set, slow, soon, start,
        statistics, stop, tell,
    },
    support::{Gate, inject, quiet, until},
};

/// Adds a word to a log.
fn say(word: &'static str) -> Job<Vec<&'static str>> {
    job(move |log: &mut Vec<&'static str>| {
        log.push(word);
        Ok(Next::Wait)
    })
}

/// Adds a word to a log, and then goes on as `next` says.
fn say_and(
    word: &'static str,
    next: impl FnOnce() -> Next<Script<Vec<&'static str>>> + Send + 'static,
) -> Job<Vec<&'static str>> {
    job(move |log: &mut Vec<&'static str>| {
        log.push(word);
        Ok(next())
    })
}

/// Shows that `state` is the same after a crash of a callback, after a kill, and at the end.
async fn survives<T: Clone + PartialEq + Debug + Send + Sync + 'static>(state: T) {
    let server = start(state.clone()).await;
    crash(&server).await;
    assert!(ask(&server, get).await == state, "after a crash");
    server.kill_worker();
    serves(&server, 3).await;
    assert!(ask(&server, get).await == state, "after a kill");
    tell(&server, set(state.clone())).await;
    crash(&server).await;
    assert!(ask(&server, get).await == state, "written and crashed");
    let exit = stop(&server).await;
    assert!(*exit.state == state, "at the end");
}

both! {
    /// SV1: an increment queued directly before a crash is in the state, three hundred times out of three hundred.
    async fn what_was_queued_before_a_crash_is_kept() {
        for _ in 0..300 {
            let server = start(0_u64).await;
            tell(&server, inc()).await;
            tell(&server, boom()).await;
            assert_eq!(ask(&server, get).await, 1);
            assert_eq!(server.incarnation(), 2);
        }
    }

    /// SV2: twenty increments and a crash leave twenty.
    async fn twenty_increments_are_twenty_after_a_crash() {
        let server = start(0_u64).await;
        for _ in 0..20 {
            tell(&server, inc()).await;
        }
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 20);
        assert_eq!(server.peek().version(), 20);
    }

    /// SV3: every kind of callback that succeeds commits, and none that panics.
    async fn every_callback_that_succeeds_commits() {
        let script = Script::new()
            .on_init(|log: &mut Vec<&'static str>| {
                log.push("init");
                Ok(Next::Wait)
            })
            .on_restarted(|_, mut log| Box::pin(async move {
                log.push("restarted");
                Ok(Next::Wait)
            }))
            .on_timeout(|log| {
                log.push("timeout");
                Ok(Next::Wait)
            });
        let server = ServerSpec::new(script, Vec::new()).start().await.expect("it starts");
        let mut expected = vec!["init"];
        let lost = || say_and("lost", || inject());
        // Crashes it and shows that of all that was done only the crashing callback is not there.
        let check = async |expected: &mut Vec<&'static str>| {
            tell(&server, lost()).await;
            expected.push("restarted");
            assert_eq!(ask(&server, get).await, *expected);
        };
        check(&mut expected).await;

        ask(&server, |reply| job(move |log: &mut Vec<&'static str>| {
            log.push("call");
            reply.send(());
            Ok(Next::Wait)
        }))
        .await;
        expected.push("call");
        check(&mut expected).await;

        tell(&server, say("cast")).await;
        expected.push("cast");
        check(&mut expected).await;

        server.send(say("info")).await.expect("a server");
        expected.push("info");
        check(&mut expected).await;

        tell(&server, say_and("before", || Next::Continue(say("continue")))).await;
        expected.extend(["before", "continue"]);
        check(&mut expected).await;

        tell(&server, say_and("idle", || Next::Timeout(Duration::ZERO))).await;
        expected.extend(["idle", "timeout"]);
        until("the timeout has come", || server.peek().last() == Some(&"timeout")).await;
        check(&mut expected).await;

        let abnormal = || Next::Stop(ExitReason::error("test: had enough"));
        tell(&server, say_and("stop", abnormal)).await;
        expected.extend(["stop", "restarted"]);
        check(&mut expected).await;

        let exit = stop(&server).await;
        assert_eq!(*exit.state, expected);
        assert_eq!(exit.state.version(), expected.len() as u64);
    }

    /// SV3: a callback that panicked has not answered anyone either, not even callers of earlier ones.
    async fn a_callback_that_panics_answers_nobody() {
        let server = start(Vec::new()).await;
        let parked = tokio::spawn({
            let server = server.clone();
            let park = |reply: Reply<u64>| job(move |parked: &mut Vec<Reply<u64>>| {
                parked.push(reply);
                Ok(Next::Wait)
            });
            async move { server.call(park).no_timeout().await }
        });
        until("the call is parked", || !server.peek().is_empty()).await;
        let answer = |with: u64, next: fn() -> Next<Script<Vec<Reply<u64>>>>| job(move |parked: &mut Vec<Reply<u64>>| {
            parked.pop().expect("the parked call").send(with);
            Ok(next())
        });
        tell(&server, answer(1, || inject())).await;
        serves(&server, 2).await;
        assert!(!parked.is_finished());
        tell(&server, answer(2, || Next::Wait)).await;
        assert_eq!(soon(parked).await.expect("joined").expect("an answer"), 2);
    }

    /// SV4: a snapshot does not change, neither by later callbacks nor by one that is still running.
    async fn a_snapshot_is_isolated_from_the_live_state() {
        let server = start(vec![1]).await;
        let before = server.peek();
        let gate = Gate::new();
        let at = gate.clone();
        let slowly = slow(move |mut state: undying::StateMut<'_, Script<Vec<i32>>>, _| Box::pin(async move {
            state.push(2);
            at.pass().await;
            state.push(3);
            Ok(Next::Wait)
        }));
        tell(&server, slowly).await;
        soon(gate.arrived()).await;
        assert_eq!(*server.peek(), [1], "half a callback is not seen");
        gate.open();
        assert_eq!(ask(&server, get).await, [1, 2, 3]);
        let after = server.peek();
        tell(&server, set(Vec::new())).await;
        crash(&server).await;
        assert_eq!((&*before, before.version()), (&vec![1], 0));
        assert_eq!((&*after, after.version()), (&vec![1, 2, 3], 1));
        assert_eq!((server.peek().len(), server.peek().version()), (0, 2));
    }

    /// SV6: nothing, an empty map and ten thousand elements are what they were.
    async fn states_of_any_shape_survive() {
        survives(()).await;
        survives(HashMap::<String, u64>::new()).await;
        survives((0..10_000).collect::<Vec<u64>>()).await;
        survives((0..10_000).map(|n| (n, n.to_string())).collect::<HashMap<u64, String>>()).await;
        survives(Some(Ok::<_, String>(vec![None, Some("text".to_owned())]))).await;
    }

    /// SV7: `restarted` is told the state, the reason and the incarnation, and what it changes is kept.
    async fn the_restarted_hook_knows_why_and_its_changes_are_kept() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell_of = Arc::clone(&told);
        let script = Script::new().on_restarted(move |why, mut state| {
            tell_of.lock().push((why.reason().clone(), why.incarnation(), *state));
            *state += 100;
            Box::pin(async { Ok(Next::Wait) })
        });
        let server = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        tell(&server, look(|_| panic!("test: the reason"))).await;
        serves(&server, 2).await;
        assert_eq!(*server.peek(), 101);
        server.kill_worker();
        serves(&server, 3).await;
        assert_eq!(*server.peek(), 201);
        let abnormal = look(|_| Ok(Next::Stop(ExitReason::error("test: by its own will"))));
        tell(&server, abnormal).await;
        serves(&server, 4).await;
        assert_eq!(ask(&server, get).await, 301);
        assert_eq!(server.peek().version(), 4);
        let told = told.lock();
        match &told[..] {
            [(ExitReason::Crashed(first), 2, 1), (ExitReason::Killed, 3, 101), (ExitReason::Crashed(third), 4, 201)] => {
                assert_eq!(first.message(), "test: the reason");
                assert_eq!((first.callback(), first.incarnation()), (Callback::Cast, 1));
                assert_eq!(third.message(), "test: by its own will");
                assert_eq!(third.kind(), CrashKind::Error);
            }
            other => panic!("{other:?}"),
        }
    }

    /// SV7: a `restarted` hook that fails leaves no trace in the state, and the next attempt starts from the same one.
    async fn a_restarted_hook_that_fails_is_rolled_back() {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let script = Script::new().on_restarted(move |_, mut state| {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                *state += 100;
                if attempt < 3 {
                    inject();
                }
                Ok(Next::Wait)
            })
        });
        let server = ServerSpec::new(script, 7_u64).start().await.expect("it starts");
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 107);
        assert_eq!(attempts.load(Ordering::SeqCst), 4);
        assert_eq!(statistics(&server).await.crashes, 4);
    }

    /// SV13: whoever joins a server, before or after its end, gets the final reason and the final state.
    async fn a_stopped_server_hands_out_its_final_state() {
        let server = start(0_u64).await;
        let early = tokio::spawn({
            let server = server.clone();
            async move { server.stopped().await }
        });
        for _ in 0..20 {
            tell(&server, inc()).await;
        }
        let reason = ExitReason::ShutdownWith("enough".into());
        let by_stop = soon(server.stop_with(reason)).await.expect("a server");
        let early = soon(early).await.expect("joined");
        let late = soon(server.stopped()).await;
        for exit in [by_stop, early, late] {
            assert!(matches!(exit.reason, ExitReason::ShutdownWith(ref why) if &**why == "enough"), "{exit:?}");
            assert_eq!((*exit.state, exit.state.version()), (20, 20));
        }
        assert!(matches!(soon(server.stop()).await, Err(StopError::NoProc)));
        assert_eq!(*server.peek(), 20);
    }

    /// SV13: the final state is the last committed one: what a crashing callback or `terminate` did to it is not in it.
    async fn the_final_state_is_the_last_committed_one() {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ends);
        let script = Script::new().on_terminate(move |reason, state: &u64| {
            seen.lock().push((reason.is_abnormal(), *state));
        });
        let server = ServerSpec::new(script, 0_u64)
            .max_restarts(0, Duration::from_secs(60))
            .start()
            .await
            .expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        let half = job(|state| {
            *state = 99;
            inject()
        });
        tell(&server, half).await;
        let exit = soon(server.stopped()).await;
        assert_eq!((*exit.state, exit.state.version()), (1, 1));
        assert_eq!(*ends.lock(), [(true, 1)]);
    }
}

/// SV5: what a replaced incarnation would commit is refused and counted, also after its successor has committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stale_incarnation_cannot_commit() {
    quiet();
    let server = ServerSpec::new(Script::new(), 1_u64)
        .kill_grace(Duration::from_millis(20))
        .max_zombies(3)
        .start()
        .await
        .expect("it starts");
    for round in 1..=3 {
        let (signal, told) = oneshot::channel();
        let (open, wall) = mpsc::channel::<()>();
        let blocking = job(move |state| {
            *state = 99;
            signal.send(()).expect("the test waits for it");
            // Returns when the test drops the other end.
            let _ = wall.recv();
            Ok(Next::Wait)
        });
        tell(&server, blocking).await;
        soon(told).await.expect("told");
        assert_eq!(*server.peek(), round);
        server.kill_worker();
        serves(&server, round + 1).await;
        assert_eq!(ask(&server, add).await, round + 1);
        assert_eq!(statistics(&server).await.fenced, round - 1);
        drop(open);
        counted(&server, |statistics| statistics.fenced == round).await;
        assert_eq!((*server.peek(), server.peek().version()), (round + 1, round));
        assert_eq!(ask(&server, get).await, round + 1);
    }
}
