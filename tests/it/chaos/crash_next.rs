//! Callbacks that are made to crash: when their work is done, and before anything of it is kept or said.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use undying::{
    CallError, Callback, CommitPolicy, CrashKind, CrashReport, ExitReason, Next, Reply, ServerRef,
    ServerSpec, Status, Supervisor,
};

use super::SECOND;
use crate::{
    crash::script::{
        Job, Script, add, ask, get, inc, job, serves, slow, soon, start, statistics, stop, tell,
    },
    effects::{Log, within},
    support::until,
};

/// Shows that `report` is of a crash on purpose of that callback.
fn on_purpose(report: &CrashReport, callback: Callback) {
    assert_eq!(
        (report.callback(), report.kind(), report.message()),
        (callback, CrashKind::Panic, "crashed by chaos")
    );
}

/// Calls `server`, which crashes on purpose.
async fn in_vain(server: &ServerRef<Script<u64>>) {
    match soon(server.call(add)).await {
        Err(CallError::Crashed(report)) => on_purpose(&report, Callback::Call),
        other => panic!("{other:?}"),
    }
}

/// A job that adds one, and counts that it has run.
fn count(runs: &Arc<AtomicU64>) -> Job<u64> {
    let runs = runs.clone();
    job(move |state: &mut u64| {
        *state += 1;
        runs.fetch_add(1, SeqCst);
        Ok(Next::Wait)
    })
}

/// The last crash of `server`, once incarnation `n` serves.
async fn last_crash(server: &ServerRef<Script<u64>>, n: u64) -> CrashReport {
    serves(server, n).await;
    undying::AnyServerRef::from(server).last_crash().expect("a crash")
}

both! {
    /// CH4: a call crashes when it has done its work; it is rolled back, its caller gets `Crashed`, and the next one is served.
    async fn a_call_crashes_after_its_work() {
        let server = start(5_u64).await;
        let runs = Arc::new(AtomicU64::new(0));
        server.chaos().crash_next(Callback::Call);
        let counted = runs.clone();
        let answer = soon(server.call(move |reply: Reply<u64>| {
            job(move |state: &mut u64| {
                *state += 1;
                counted.fetch_add(1, SeqCst);
                reply.send(*state);
                Ok(Next::Wait)
            })
        }));
        match answer.await {
            Err(error @ CallError::Crashed(_)) => assert!(error.may_have_run()),
            other => panic!("{other:?}"),
        }
        assert_eq!((runs.load(SeqCst), *server.peek(), server.peek().version()), (1, 5, 0));
        serves(&server, 2).await;
        assert_eq!((ask(&server, add).await, server.incarnation()), (6, 2));
    }

    /// CH4: it happens once for each time it was ordered, and to no other callback.
    async fn it_happens_once_each_and_to_that_callback_only() {
        let server = start(0_u64).await;
        for _ in 0..3 {
            server.chaos().crash_next(Callback::Call);
        }
        tell(&server, inc()).await;
        server.send(inc()).await.expect("a server");
        until("casts and infos are served", || *server.peek() == 2).await;
        for n in 2..=4 {
            in_vain(&server).await;
            serves(&server, n).await;
        }
        assert_eq!(ask(&server, add).await, 3);
        assert_eq!((server.incarnation(), statistics(&server).await.crashes), (4, 3));
    }

    /// CH4: a call that only reads crashes, too.
    async fn a_call_that_only_reads_crashes_too() {
        let server = start(1_u64).await;
        server.chaos().crash_next(Callback::Call);
        let answer = soon(server.call(get)).await;
        assert!(matches!(answer, Err(CallError::Crashed(_))), "{answer:?}");
        assert_eq!(ask(&server, get).await, 1);
    }

    /// CH4: casts, infos, continues and idle timeouts crash when they have run, and are not run again.
    async fn callbacks_without_a_caller_crash() {
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let script = Script::new().on_timeout(move |state: &mut u64| {
            *state += 1;
            counted.fetch_add(1, SeqCst);
            Ok(Next::Wait)
        });
        let server = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
        let callbacks = [Callback::Cast, Callback::Info, Callback::Continue, Callback::Timeout];
        for (n, callback) in (2..).zip(callbacks) {
            server.chaos().crash_next(callback);
            let follow = |next| slow(move |_, _| Box::pin(async move { Ok(next) }));
            match callback {
                Callback::Cast => tell(&server, count(&runs)).await,
                Callback::Info => server.send(count(&runs)).await.expect("a server"),
                Callback::Continue => tell(&server, follow(Next::Continue(count(&runs)))).await,
                _ => tell(&server, follow(Next::Timeout(Duration::ZERO))).await,
            }
            on_purpose(&last_crash(&server, n).await, callback);
            assert_eq!((runs.load(SeqCst), *server.peek()), (n - 1, 0), "{callback}");
        }
        assert_eq!(ask(&server, add).await, 1);
    }

    /// CH4: `restarted` crashes, and another incarnation takes its turn.
    async fn a_restart_crashes() {
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let script = Script::new().on_restarted(move |_, mut state| {
            counted.fetch_add(1, SeqCst);
            *state += 10;
            Box::pin(async { Ok(Next::Wait) })
        });
        let server = ServerSpec::new(script, 1_u64).start().await.expect("it starts");
        server.chaos().crash_next(Callback::Restarted);
        server.kill_worker();
        soon(server.wait_incarnation(3)).await.expect("an incarnation");
        assert_eq!((runs.load(SeqCst), ask(&server, get).await), (2, 11));
    }

    /// CH4: `terminate` crashes: that is the reason of the end, and the state is that of the last commit.
    async fn a_termination_crashes() {
        let server = start(0_u64).await;
        assert_eq!(ask(&server, add).await, 1);
        server.chaos().crash_next(Callback::Terminate);
        let exit = stop(&server).await;
        match &exit.reason {
            ExitReason::Crashed(report) => on_purpose(report, Callback::Terminate),
            other => panic!("{other}"),
        }
        assert_eq!(*exit.state, 1);
    }

    /// CH4: `init` crashes in another life, and its parent tries again.
    async fn a_later_init_crashes() {
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let script = Script::new().on_init(move |_| {
            counted.fetch_add(1, SeqCst);
            Ok(Next::Wait)
        });
        let top = Supervisor::builder()
            .max_restarts(10, SECOND)
            .child(ServerSpec::new(script, 0_u64).id("child"))
            .start()
            .await
            .expect("it starts");
        let server = top.server::<Script<u64>>("child").expect("a child");
        server.chaos().crash_next(Callback::Init);
        server.kill();
        until("it serves again", || server.incarnation() > 1 && server.status() == Status::Running).await;
        assert_eq!(runs.load(SeqCst), 3);
    }

    /// CH4 IS3: a change by `sys` is refused, and nothing has changed; the incarnation goes on.
    async fn a_replacement_is_refused() {
        let server = start(1_u64).await;
        server.chaos().crash_next(Callback::System);
        soon(server.sys().replace(|state| *state = 9)).await.expect_err("refused");
        assert_eq!((*server.peek(), server.incarnation()), (1, 1));
        soon(server.sys().replace(|state| *state = 9)).await.expect("replaced");
        assert_eq!(ask(&server, add).await, 10);
    }

    /// CH4: what the callback asked of its context is not done: no timer rings, no task runs, no reply to others is given.
    async fn what_it_asked_for_is_not_done() {
        let server = start(0_u64).await;
        let log = Log::new();
        let (waiting, asks) = tokio::sync::oneshot::channel();
        let parked = server.call(move |reply: Reply<u64>| {
            job(move |_: &mut u64| {
                let _ = waiting.send(reply);
                Ok(Next::Wait)
            })
        });
        let parked = parked.no_timeout().into_future();
        tokio::pin!(parked);
        assert!(futures::poll!(&mut parked).is_pending());
        let reply: Reply<u64> = soon(asks).await.expect("it is parked");
        server.chaos().crash_next(Callback::Cast);
        let told = log.clone();
        let greedy = slow(move |mut state: undying::StateMut<'_, Script<u64>>, cx: &mut undying::Context<Script<u64>>| {
            *state = 99;
            cx.send_after(Duration::ZERO, told.job("timer"));
            cx.set_timer("key", Duration::ZERO, told.job("key"));
            let (spawned, done) = (told.clone(), told.clone());
            cx.spawn(async move { spawned.note("task") }, move |_| done.job("done"));
            reply.send(99);
            Box::pin(async move { Ok(Next::Continue(told.job("continue"))) })
        });
        tell(&server, greedy).await;
        serves(&server, 2).await;
        for _ in 0..3 {
            within(&server, |_| ()).await;
        }
        assert!(log.notes().is_empty(), "{:?}", log.notes());
        // The last clone of the reply went with the callback, unanswered.
        let answer = soon(parked).await;
        assert!(matches!(answer, Err(CallError::NoReply | CallError::Crashed(_))), "{answer:?}");
        assert_eq!(ask(&server, get).await, 0);
    }

    /// CH4 SV12: with a looser commit policy, what was not committed goes with it.
    async fn what_was_not_committed_goes_with_it() {
        let server = ServerSpec::new(Script::new(), 0_u64)
            .commit(CommitPolicy::Every(3))
            .start()
            .await
            .expect("it starts");
        for n in 1..=5 {
            assert_eq!(ask(&server, add).await, n);
        }
        server.chaos().crash_next(Callback::Call);
        in_vain(&server).await;
        assert_eq!(ask(&server, add).await, 4);
    }

    /// CH4: an order waits for its callback, also across incarnations.
    async fn an_order_waits_for_its_callback() {
        let server = start(0_u64).await;
        server.chaos().crash_next(Callback::Call);
        for n in 2..=4 {
            server.kill_worker();
            serves(&server, n).await;
            tell(&server, inc()).await;
            until("it is handled", || *server.peek() == n - 1).await;
        }
        in_vain(&server).await;
        assert_eq!(ask(&server, get).await, 3);
    }
}
