//! The restart budget: how many crashes a server survives within which time, and what the one too many does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, advance};
use undying::{
    Backoff, CallError, Callback, CrashKind, ExitReason, Next, Registry, Reply, ServerRef, ServerSpec, Status,
};

use crate::{
    crash::{
        script::{Script, add, ask, asked, boom, crash, get, job, look, serves, soon, tell, wait_at},
        tape::{Event, rest, tape},
    },
    support::{Gate, inject, until},
};

const WINDOW: Duration = Duration::from_secs(10);

/// A server that survives `max` crashes within [`WINDOW`].
async fn limited(max: u32) -> ServerRef<Script<u64>> {
    ServerSpec::new(Script::new(), 0).max_restarts(max, WINDOW).start().await.expect("it starts")
}

/// Crashes `server` and waits until it serves again.
async fn survive(server: &ServerRef<Script<u64>>) {
    let before = server.incarnation();
    crash(server).await;
    serves(server, before + 1).await;
}

/// Crashes `server` and shows that this was one time too many.
async fn perish(server: &ServerRef<Script<u64>>) {
    crash(server).await;
    let exit = soon(server.stopped()).await;
    assert!(matches!(exit.reason, ExitReason::RestartLimit(_)), "{}", exit.reason);
    assert!(!server.is_alive());
    assert_eq!(server.status(), Status::Terminated);
}

/// RI1: with a budget of N crashes, N are survived and the next one ends the server.
#[tokio::test(start_paused = true)]
async fn the_crash_beyond_the_budget_ends_the_server() {
    for max in [0, 1, 3] {
        let server = limited(max).await;
        for n in 1..=u64::from(max) {
            survive(&server).await;
            assert_eq!(ask(&server, add).await, n);
        }
        perish(&server).await;
        let next = server.wait_incarnation(u64::from(max) + 2).await;
        assert!(matches!(next, Err(ExitReason::RestartLimit(_))), "{next:?}");
    }
}

/// RI1: an error and a kill of the worker are charged as a panic is.
#[tokio::test(start_paused = true)]
async fn errors_and_kills_are_charged_too() {
    let server = limited(2).await;
    let failed = look(|_: &u64| Err(undying::Crash::msg("test: given up")));
    tell(&server, failed).await;
    serves(&server, 2).await;
    server.kill_worker();
    serves(&server, 3).await;
    server.kill_worker();
    match server.stopped().await.reason {
        ExitReason::RestartLimit(report) => {
            assert_eq!(report.kind(), CrashKind::Kill);
            assert_eq!(report.callback(), Callback::Idle);
            assert_eq!(report.incarnation(), 3);
        }
        other => panic!("{other}"),
    }
}

/// RI2: crashes far enough apart never end the server, however many they are.
#[tokio::test(start_paused = true)]
async fn crashes_further_apart_than_the_window_are_forgiven() {
    let server = limited(1).await;
    for _ in 0..100 {
        survive(&server).await;
        advance(WINDOW + Duration::from_millis(1)).await;
    }
    assert_eq!(ask(&server, add).await, 1);
}

/// RI2: the window slides; crashes on both sides of a multiple of it are in one window.
#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    let server = limited(2).await;
    advance(Duration::from_secs(8)).await;
    survive(&server).await;
    advance(Duration::from_secs(1)).await;
    survive(&server).await;
    advance(Duration::from_secs(2)).await;
    perish(&server).await;
}

/// RI2: a crash exactly as old as the window counts, one a moment older does not.
#[tokio::test(start_paused = true)]
async fn a_crash_exactly_as_old_as_the_window_counts() {
    let server = limited(1).await;
    survive(&server).await;
    advance(WINDOW).await;
    perish(&server).await;

    let server = limited(1).await;
    survive(&server).await;
    advance(WINDOW + Duration::from_nanos(1)).await;
    survive(&server).await;
}

/// RI3: a restart that fails is charged like the crash before it: a budget of five is one `init` and five attempts.
#[tokio::test(start_paused = true)]
async fn restarts_that_fail_are_charged() {
    let (inits, attempts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (init, attempt) = (Arc::clone(&inits), Arc::clone(&attempts));
    let script = Script::new()
        .on_init(move |_: &mut u64| {
            init.fetch_add(1, Ordering::SeqCst);
            Ok(Next::Wait)
        })
        .on_restarted(move |_, _| {
            attempt.fetch_add(1, Ordering::SeqCst);
            inject()
        });
    let server = ServerSpec::new(script, 0).max_restarts(5, WINDOW).start().await.expect("it starts");
    perish(&server).await;
    assert_eq!(inits.load(Ordering::SeqCst), 1);
    assert_eq!(attempts.load(Ordering::SeqCst), 5);
}

/// RI10: back-off and window follow Tokio's clock, also a paused one.
#[tokio::test(start_paused = true)]
async fn backoff_follows_the_paused_clock() {
    let second = Duration::from_secs(1);
    let server = ServerSpec::new(Script::new(), 0)
        .max_restarts(4, Duration::from_secs(60))
        .backoff(Backoff::exponential(second, 4 * second))
        .start()
        .await
        .expect("it starts");
    // Doubling, drawn from the upper half, capped. The clock of Tokio has a grain of a millisecond.
    let grain = Duration::from_millis(1);
    for (shortest, longest) in [(1, 1), (1, 2), (2, 4), (2, 4)] {
        let before = Instant::now();
        survive(&server).await;
        let pause = before.elapsed();
        assert!(pause >= shortest * second, "{pause:?}");
        assert!(pause <= longest * second + grain, "{pause:?}");
    }
    advance(61 * second).await;
    let before = Instant::now();
    survive(&server).await;
    let pause = before.elapsed();
    assert!(pause >= second && pause <= second + grain, "the first of its window: {pause:?}");
}

/// RI10: a server in its back-off says so, keeps its queue, and a call's own timeout goes on.
#[tokio::test(start_paused = true)]
async fn a_server_in_backoff_keeps_its_queue() {
    let pause = Duration::from_secs(5);
    let server = ServerSpec::new(Script::new(), 0_u64)
        .backoff(Backoff::exponential(pause, pause))
        .start()
        .await
        .expect("it starts");
    crash(&server).await;
    let begun = Instant::now();
    let lost = server.call(add).timeout(Duration::from_secs(1)).await;
    assert!(matches!(lost, Err(CallError::Timeout)), "{lost:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    assert_eq!((server.status(), server.incarnation()), (Status::Restarting, 1));
    let served = server.call(get).timeout(Duration::from_secs(60)).await;
    let waited = begun.elapsed();
    assert!(waited >= pause && waited <= pause + Duration::from_millis(1), "{waited:?}");
    // A call given up while it was queued is no less queued: it may run, as its caller was told.
    assert!(matches!(served, Ok(0 | 1)), "{served:?}");
}

both! {
    /// RI4: at the end by the restart limit those who wait or are queued learn the reason, and later ones that nobody is there.
    async fn every_caller_is_answered_when_the_limit_ends_the_server() {
        let server = ServerSpec::new(Script::new(), Vec::new())
            .max_restarts(0, WINDOW)
            .start()
            .await
            .expect("it starts");
        let gate = Gate::new();
        // Kept in the state, answered never.
        let waiting = tokio::spawn({
            let server = server.clone();
            async move {
                server
                    .call(|reply: Reply<u64>| job(move |state: &mut Vec<Reply<u64>>| {
                        state.push(reply);
                        Ok(Next::Wait)
                    }))
                    .no_timeout()
                    .await
            }
        });
        soon(async {
            while server.peek().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        tell(&server, boom()).await;
        let queued: Vec<_> = (1..=10)
            .map(|_| {
                let server = server.clone();
                tokio::spawn(async move { server.call(asked(look(|_| Ok(Next::Wait)))).no_timeout().await })
            })
            .collect();
        until("all calls are queued", || server.mailbox_len() == 11).await;
        gate.open();
        let limit = |end: &CallError| matches!(end, CallError::Stopped(ExitReason::RestartLimit(_)));
        let end = soon(waiting).await.expect("joined").expect_err("over");
        assert!(limit(&end), "{end}");
        for call in queued {
            let end = soon(call).await.expect("joined").expect_err("over");
            assert!(limit(&end), "{end}");
        }
        soon(server.stopped()).await;
        let late = soon(server.call(asked(boom())).no_timeout()).await;
        assert!(matches!(late, Err(CallError::NoProc)), "{late:?}");
        assert!(server.cast(boom()).await.is_err());
    }

    /// RI5: the listener hears of the end once, with the last crash and the last committed state.
    async fn the_listener_hears_of_the_limit_once() {
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .max_restarts(1, WINDOW)
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        for n in 1..=2 {
            assert_eq!(ask(&server, add).await, n);
            let half = job(move |state| {
                *state = 99;
                panic!("test: crash {n}")
            });
            tell(&server, half).await;
        }
        soon(server.stopped()).await;
        drop(server);
        let events = rest(events).await;
        let crashes = events.iter().filter(|event| matches!(event, Event::Crashed { .. }));
        assert_eq!(crashes.count(), 2);
        let ends: Vec<_> = events
            .iter()
            .filter(|event| matches!(event, Event::Terminated { .. }))
            .collect();
        match ends[..] {
            [Event::Terminated { reason: ExitReason::RestartLimit(report), state: 2 }] => {
                assert_eq!(report.message(), "test: crash 2");
                assert_eq!(report.incarnation(), 2);
            }
            _ => panic!("{events:?}"),
        }
        assert!(matches!(events.last(), Some(Event::Terminated { .. })));
    }

    /// RI6: after the end the name is free, and a new server under it starts afresh.
    async fn the_name_is_free_after_the_limit() {
        let names = Registry::new();
        for _ in 0..20 {
            let server = ServerSpec::new(Script::new(), 5_u64)
                .name_in(&names, "phoenix")
                .max_restarts(0, WINDOW)
                .start()
                .await
                .expect("it starts");
            assert_eq!(ask(&server, add).await, 6);
            crash(&server).await;
            soon(server.stopped()).await;
            assert!(names.whereis::<Script<u64>>("phoenix").is_err());
            assert!(names.names().is_empty());
        }
    }
}
