//! Clocks that jump by years, and clocks that are stopped and let go in the middle.

use std::time::Duration;

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::{Instant, advance, pause, resume, sleep};
use undying::{Backoff, CallError, ExitReason, Next, ServerRef, ServerSpec, Status};

use crate::{
    crash::script::{
        Job, Script, add, ask, asked, boom, crash, get, job, serves, slow, soon, start, stop, tell, wait_at,
    },
    support::{Gate, quiet, until},
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

type Diary = Vec<(u32, Duration)>;

/// Notes a number, and how long after `begin` that was.
fn note(number: u32, begin: Instant) -> Job<Diary> {
    job(move |diary: &mut Diary| {
        diary.push((number, begin.elapsed()));
        Ok(Next::Wait)
    })
}

/// Arms a timer for each number of `after`.
fn arm(after: &'static [(u32, Duration)], begin: Instant) -> Job<Diary> {
    slow(move |_, cx| {
        for &(number, after) in after {
            cx.send_after(after, note(number, begin));
        }
        Box::pin(async { Ok(Next::Wait) })
    })
}

/// IN4: timers of years fire once and on time, whether the clock goes there by itself or is put forward in one leap; those beyond
/// thirty years, as the clock has it, never do.
#[tokio::test(start_paused = true)]
async fn timers_may_take_years() {
    quiet();
    const AFTER: &[(u32, Duration)] = &[
        (1, DAY),
        (2, Duration::from_secs(2 * 365 * 24 * 3_600)),
        (3, Duration::from_secs(3 * 365 * 24 * 3_600)),
        (4, Duration::from_secs(29 * 365 * 24 * 3_600)),
        (5, Duration::from_secs(31 * 365 * 24 * 3_600)),
        (6, Duration::MAX),
    ];
    for leap in [false, true] {
        let server = start(Diary::new()).await;
        let begin = Instant::now();
        tell(&server, arm(AFTER, begin)).await;
        ask(&server, get).await;
        // A crash in between changes nothing about them.
        crash(&server).await;
        if leap {
            for years in [10, 10, 8, 2, 100] {
                advance(YEAR * years).await;
                ask(&server, get).await;
            }
        } else {
            sleep(YEAR * 130).await;
        }
        let diary = ask(&server, get).await;
        let numbers: Vec<_> = diary.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "{leap}");
        for ((number, at), (_, after)) in diary.iter().zip(AFTER) {
            assert!(at >= after, "{number} came at {at:?}");
            assert!(leap || *at <= *after + Duration::from_millis(1), "{number} came at {at:?}");
        }
        assert_eq!(ask(&server, get).await.len(), 4);
        stop(&server).await;
    }
}

/// CA1 CA12: the time limit of a call may be years, while its server is busy and while it waits to be restarted.
#[tokio::test(start_paused = true)]
async fn calls_may_wait_for_years() {
    quiet();
    let (begin, gate) = (Instant::now(), Gate::new());
    let server = start(0_u64).await;
    tell(&server, wait_at(&gate)).await;
    gate.arrived().await;
    assert!(matches!(server.call(add).timeout(YEAR * 25).await, Err(CallError::Timeout)));
    assert_eq!(begin.elapsed(), YEAR * 25);
    gate.open();
    // G5: the time is over for who waits, not for what was sent.
    assert_eq!(ask(&server, get).await, 1);

    let slow = ServerSpec::new(Script::new(), 0_u64).backoff(Backoff::exponential(YEAR, YEAR));
    let server = slow.start().await.expect("it starts");
    crash(&server).await;
    let begin = Instant::now();
    assert_eq!(server.call(add).timeout(YEAR * 2).await.expect("served in the end"), 1);
    assert!((YEAR..YEAR + Duration::from_millis(2)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

/// RI2: crashes a century apart are never one too many; two at the same instant of a century later are.
#[tokio::test(start_paused = true)]
async fn a_budget_outlives_the_centuries() {
    quiet();
    let spec = ServerSpec::new(Script::new(), 0_u64).max_restarts(1, YEAR);
    let server = spec.start().await.expect("it starts");
    for n in 1..=5 {
        crash(&server).await;
        assert_eq!(ask(&server, add).await, n);
        advance(YEAR * 100).await;
    }
    crash(&server).await;
    serves(&server, 7).await;
    // As old as the window: it still counts.
    advance(YEAR).await;
    crash(&server).await;
    let reason = soon(server.stopped()).await.reason;
    assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
}

/// TO1 TO5: an idle timeout of years comes once, after a crash as well.
#[tokio::test(start_paused = true)]
async fn an_idle_timeout_may_take_years() {
    quiet();
    for leap in [false, true] {
        let begin = Instant::now();
        let fired = Arc::new(Mutex::new(Vec::new()));
        let fires = fired.clone();
        let script = Script::new().on_timeout(move |_: &mut u64| {
            fires.lock().push(begin.elapsed());
            Ok(Next::Wait)
        });
        let server = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
        tell(&server, job(|_| Ok(Next::Timeout(YEAR * 3)))).await;
        soon(server.sys().state()).await.expect("alive");
        server.kill_worker();
        serves(&server, 2).await;
        if leap {
            advance(YEAR * 3).await;
            until("it fires", || !fired.lock().is_empty()).await;
        } else {
            sleep(YEAR * 9).await;
        }
        let fired = fired.lock().clone();
        assert_eq!(fired.len(), 1);
        assert!((YEAR * 3..YEAR * 3 + Duration::from_millis(2)).contains(&fired[0]), "{fired:?}");
    }
}

/// IN4: an interval makes up for every tick of years that were leapt over, in order, while mail and the end take their turns.
#[tokio::test(start_paused = true)]
async fn an_interval_makes_up_for_years() {
    quiet();
    let server: ServerRef<Script<u64>> = start(0).await;
    let ticks = slow(|_, cx| {
        cx.send_interval(HOUR, crate::crash::script::inc);
        Box::pin(async { Ok(Next::Wait) })
    });
    tell(&server, ticks).await;
    ask(&server, get).await;
    advance(YEAR * 10).await;
    assert!(ask(&server, get).await < 10, "a call does not wait for all of them");
    let due = 10 * 365 * 24;
    until("all were made up for", || *server.peek() == due).await;
    crash(&server).await;
    advance(HOUR).await;
    until("it goes on", || *server.peek() == due + 1).await;
    advance(YEAR * 20).await;
    // What is due is part of its last work only as long as nothing else than ticks is left.
    soon(server.stop()).await.expect("it stops");
}

/// The clock may be stopped, put forward and let go in the middle of everything: calls, timers, idle timeouts, pauses before a
/// restart come once, when their time has come by that clock.
#[tokio::test(flavor = "current_thread")]
async fn the_clock_may_be_stopped_in_the_middle() {
    quiet();
    for _ in 0..3 {
        let idle = Arc::new(Mutex::new(0));
        let idles = idle.clone();
        let script = Script::new().on_timeout(move |_: &mut u64| {
            *idles.lock() += 1;
            Ok(Next::Wait)
        });
        let drowsy = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
        tell(&drowsy, job(|_| Ok(Next::Timeout(HOUR)))).await;
        let (busy, diary) = (start(0_u64).await, start(Diary::new()).await);
        let gate = Gate::new();
        tell(&busy, wait_at(&gate)).await;
        gate.arrived().await;
        let calling = tokio::spawn({
            let busy = busy.clone();
            async move { busy.call(add).timeout(HOUR).await }
        });
        let begin = Instant::now();
        const AFTER: &[(u32, Duration)] = &[(1, HOUR), (2, Duration::from_secs(7_200))];
        tell(&diary, arm(AFTER, begin)).await;
        ask(&diary, get).await;
        let pausing = ServerSpec::new(Script::new(), 0_u64).backoff(Backoff::exponential(HOUR, HOUR));
        let pausing = pausing.start().await.expect("it starts");
        assert!(pausing.call(asked(boom())).await.is_err());
        until("it waits", || pausing.status() == Status::Restarting).await;
        assert_eq!((*idle.lock(), diary.peek().len(), calling.is_finished()), (0, 0, false));

        pause();
        advance(HOUR + Duration::from_secs(1)).await;
        assert!(matches!(calling.await.expect("no panic"), Err(CallError::Timeout)));
        until("the hour has come for all", || {
            *idle.lock() == 1 && diary.peek().len() == 1 && pausing.status() == Status::Running
        })
        .await;
        resume();

        // By the clock of the machine again.
        assert!(matches!(busy.call(add).timeout(Duration::from_millis(2)).await, Err(CallError::Timeout)));
        gate.open();
        assert_eq!(ask(&pausing, add).await, 1);
        pause();
        advance(HOUR).await;
        until("the second hour, too", || diary.peek().len() == 2).await;
        resume();
        // G5: both calls are run once there is time, and tell nobody.
        assert_eq!(ask(&busy, get).await, 2);
        assert_eq!(*idle.lock(), 1);
        stop(&drowsy).await;
        stop(&diary).await;
    }
}
