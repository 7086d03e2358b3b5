//! Timers belong to the logical server: a crash neither loses them nor doubles them, and what a callback that crashed has
//! asked of them is not done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};
use undying::{Backoff, Next, ServerSpec};

use super::HOUR;
use crate::{
    crash::script::{Script, ask, crash, get, serves, slow, start},
    effects::{FAILURES, Log, Plain, SECOND, act, in_vain, within},
    support::{RACES, until},
};

/// IN5: a callback that crashes or is killed has armed nothing.
#[tokio::test(start_paused = true)]
async fn a_callback_that_fails_has_armed_nothing() {
    let (server, log) = (start(()).await, Log::new());
    for failure in FAILURES {
        let notes = log.clone();
        in_vain(&server, failure, move |cx| {
            cx.send_after(Duration::ZERO, notes.job(0));
            cx.send_after(SECOND, notes.job(1));
            cx.send_at(Instant::now(), notes.job(2));
            cx.set_timer("key", SECOND, notes.job(3));
            cx.send_interval(SECOND, move || notes.job(4));
        })
        .await;
        sleep(HOUR).await;
        assert_eq!(log.len(), 0, "{failure:?}: {:?}", log.notes());
        assert!(!within(&server, |cx| cx.clear_timer("key")).await);
    }
}

/// IN5: a cancel in a callback that crashes or is killed did not happen.
#[tokio::test(start_paused = true)]
async fn a_callback_that_fails_has_cancelled_nothing() {
    for failure in FAILURES {
        let (server, log) = (start(()).await, Log::new());
        let notes = log.clone();
        let [once, often] = within(&server, move |cx| {
            let once = cx.send_after(SECOND, notes.job("once"));
            cx.set_timer("cleared", SECOND, notes.job("cleared"));
            cx.set_timer("replaced", SECOND, notes.job("replaced"));
            [once, cx.send_interval(SECOND, move || notes.job("often"))]
        })
        .await;
        let notes = log.clone();
        in_vain(&server, failure, move |cx| {
            assert!(cx.cancel(once) && cx.cancel(often) && cx.clear_timer("cleared"));
            cx.set_timer("replaced", 2 * SECOND, notes.job("in vain"));
        })
        .await;
        sleep(SECOND * 3 / 2).await;
        assert_eq!(log.times(), ["once", "cleared", "replaced", "often"].map(|name| (SECOND, name)));
        assert!(server.cancel(often), "{failure:?}");
        sleep(HOUR).await;
        assert_eq!(log.len(), 4, "{failure:?}");
    }
}

/// IN5: what was pending when the worker crashed or was killed fires once, and on time.
#[tokio::test(start_paused = true)]
async fn pending_timers_survive_crashes() {
    for failure in FAILURES {
        let (server, log) = (start(()).await, Log::new());
        let notes = log.clone();
        let often = within(&server, move |cx| {
            cx.send_after(2 * SECOND, notes.job("once"));
            cx.set_timer("key", 2 * SECOND, notes.job("keyed"));
            cx.send_interval(2 * SECOND, move || notes.job("often"))
        })
        .await;
        server.send_after(2 * SECOND, log.job("handle"));
        for _ in 0..3 {
            in_vain(&server, failure, |_| {}).await;
            sleep(SECOND / 2).await;
        }
        sleep(SECOND * 3).await;
        let (two, four) = (2 * SECOND, 4 * SECOND);
        let names = ["once", "keyed", "often", "handle"];
        let expected: Vec<_> = names.map(|name| (two, name)).into_iter().chain([(four, "often")]).collect();
        assert_eq!(log.times(), expected, "{failure:?}");
        assert!(server.cancel(often));
        sleep(HOUR).await;
        assert_eq!(log.len(), expected.len());
    }
}

/// Timers, an interval among them, and what has to come of them within ten seconds.
async fn ten_seconds(server: &Plain, log: &Log<u32>) -> Vec<(Duration, u32)> {
    let notes = log.clone();
    within(server, move |cx| {
        for n in 0..10 {
            cx.send_after(n * SECOND + SECOND / 2, notes.job(n));
        }
        cx.send_interval(SECOND, move || notes.job(99));
    })
    .await;
    (0..10).flat_map(|n| [(n * SECOND + SECOND / 2, n), ((n + 1) * SECOND, 99)]).collect()
}

/// IN5: under a storm of kills each timer fires once and on time, and an interval stays one.
#[tokio::test(start_paused = true)]
async fn timers_survive_a_storm_of_kills() {
    let (server, log) = (start(()).await, Log::new());
    let expected = ten_seconds(&server, &log).await;
    // So that the last kill and the last tick do not meet: a kill may cut a tick that has begun, and nothing else.
    sleep(Duration::from_millis(5)).await;
    for kill in 0..500 {
        server.kill_worker();
        serves(&server, kill + 2).await;
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(5)).await;
    assert_eq!(log.times(), expected);
}

/// KF2 IN5: timers are not the keeper's alone: they survive it, with and without the worker.
#[cfg(feature = "chaos")]
#[tokio::test(start_paused = true)]
async fn timers_survive_kills_of_the_keeper() {
    let (server, log) = (start(()).await, Log::new());
    let expected = ten_seconds(&server, &log).await;
    sleep(Duration::from_millis(5)).await;
    for kill in 0..100 {
        server.chaos().kill_keeper();
        if kill % 2 == 0 {
            server.chaos().kill_worker();
            serves(&server, kill / 2 + 2).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(log.times(), expected);
}

/// IN5: what comes due during a restart fires right after it; no tick of an interval is left out, and none comes twice.
#[tokio::test(start_paused = true)]
async fn timers_that_come_due_during_a_restart_fire_after_it() {
    let pause = Backoff::exponential(10 * SECOND, 10 * SECOND);
    let spec = ServerSpec::new(Script::new(), ()).backoff(pause);
    let server = spec.start().await.expect("it starts");
    let log = Log::new();
    let notes = log.clone();
    within(&server, move |cx| {
        cx.send_after(3 * SECOND, notes.job("once"));
        cx.send_interval(2 * SECOND, move || notes.job("often"));
    })
    .await;
    sleep(SECOND).await;
    crash(&server).await;
    assert_eq!(server.incarnation(), 1, "it is in its back-off");
    sleep(HOUR).await;
    let times = log.times();
    let back = times[0].0;
    assert!(back > 3 * SECOND, "{back:?}");
    let late = times.iter().take_while(|(at, _)| *at == back).count();
    let due = (back.as_secs() / 2) as usize;
    assert_eq!(late, due + 1, "{times:?}");
    let expected = ["often", "once"].into_iter().chain(std::iter::repeat("often"));
    assert!(log.notes().into_iter().eq(expected.take(times.len())), "{times:?}");
    for (n, (at, _)) in times.iter().enumerate().skip(late) {
        assert_eq!(*at, n as u32 * 2 * SECOND);
    }
}

/// IN5: a timer whose own callback crashes has fired; an interval goes on with its next tick.
#[tokio::test(start_paused = true)]
async fn a_timer_whose_callback_crashes_has_fired() {
    let (server, log) = (start(()).await, Log::new());
    let notes = log.clone();
    within(&server, move |cx| {
        cx.send_after(SECOND / 2, notes.boom("once"));
        cx.set_timer("key", SECOND / 2, notes.boom("keyed"));
        cx.send_interval(SECOND, move || notes.boom("often"));
    })
    .await;
    sleep(SECOND * 7 / 2).await;
    let half = SECOND / 2;
    let expected = [(half, "once"), (half, "keyed")];
    let ticks = [1, 2, 3].map(|n| (n * SECOND, "often"));
    assert_eq!(log.times(), [&expected[..], &ticks].concat());
    assert_eq!(server.incarnation(), 6);
}

both! {
    /// IN5: whenever a kill comes, a timer fires once.
    async fn a_timer_that_races_a_kill_fires_once() {
        let server = start(()).await;
        for round in 0..RACES {
            let fired = Arc::new(AtomicUsize::new(0));
            let count = || {
                let fired = fired.clone();
                act(move |_| {
                    fired.fetch_add(1, SeqCst);
                })
            };
            let infos = [count(), count()];
            within(&server, move |cx| {
                let [now, soon] = infos;
                cx.send_after(Duration::ZERO, now);
                cx.send_after(Duration::from_millis(1), soon);
            })
            .await;
            let before = server.incarnation();
            server.send_after(Duration::ZERO, count());
            for _ in 0..round % 5 {
                yield_now().await;
            }
            server.kill_worker();
            serves(&server, before + 1).await;
            until("the last has fired", || fired.load(SeqCst) >= 3).await;
            ask(&server, get).await;
            assert_eq!(fired.load(SeqCst), 3, "in round {round}");
        }
    }

    /// IN5: a callback that is killed has armed nothing, whenever the kill comes; one that is committed has.
    async fn a_kill_undoes_all_that_a_callback_armed_or_nothing() {
        let server = start(()).await;
        for round in 0..RACES {
            let log = Log::new();
            let notes = log.clone();
            let arms = slow(move |_, cx| {
                Box::pin(async move {
                    cx.send_after(Duration::ZERO, notes.job(1));
                    yield_now().await;
                    cx.send_after(Duration::ZERO, notes.job(2));
                    Ok(Next::Wait)
                })
            });
            let before = server.incarnation();
            server.try_cast(arms).expect("room");
            for _ in 0..round % 5 {
                yield_now().await;
            }
            server.kill_worker();
            serves(&server, before + 1).await;
            // Answered after the callback and its timers, if there are any: they were due before.
            ask(&server, get).await;
            ask(&server, get).await;
            assert!(matches!(log.notes()[..], [] | [1, 2]), "in round {round}: {:?}", log.notes());
        }
    }
}
