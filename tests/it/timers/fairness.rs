//! Timers and mail take turns: neither waits for ever for the other. And there can be very many timers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{task::yield_now, time::sleep};
use undying::{Context, Next, StateMut};

use crate::{
    crash::script::{Job, Script, ask, get, serves, slow, soon, start, statistics, stop, tell},
    effects::{Alive, Log, SECOND, act, held, tasks, within},
    support::until,
};

/// IN4: a timer that is due goes before the mail that is queued, but two of them do not while mail waits.
#[tokio::test(start_paused = true)]
async fn timers_and_mail_take_turns() {
    let (server, log) = (start(()).await, Log::new());
    for n in 1..=4 {
        server.send_after(n * SECOND, log.job(("timer", n)));
    }
    let gate = held(&server).await;
    for n in 1..=3 {
        tell(&server, log.job(("mail", n))).await;
    }
    sleep(SECOND * 7 / 2).await;
    gate.open();
    sleep(SECOND * 10).await;
    let turns = (1..=3).flat_map(|n| [("timer", n), ("mail", n)]);
    assert_eq!(log.notes(), turns.chain([("timer", 4)]).collect::<Vec<_>>());
}

/// IN4: ten thousand timers that are due at once hold a message up for one of them.
#[tokio::test(start_paused = true)]
async fn many_due_timers_do_not_starve_mail() {
    const TIMERS: usize = 10_000;

    let (server, log) = (start(()).await, Log::new());
    for _ in 0..TIMERS {
        server.send_after(SECOND, log.job("timer"));
    }
    let gate = held(&server).await;
    sleep(SECOND).await;
    for _ in 0..3 {
        tell(&server, log.job("mail")).await;
    }
    gate.open();
    until("all are handled", || log.len() == TIMERS + 3).await;
    assert_eq!(log.notes()[..7], ["timer", "mail", "timer", "mail", "timer", "mail", "timer"]);
}

/// Arms a timer that does the same.
fn again(count: Arc<AtomicU64>, cx: &mut Context<Script<()>>) {
    count.fetch_add(1, SeqCst);
    cx.send_after(Duration::ZERO, act(move |cx| again(count, cx)));
}

/// Casts a message to its own server that does the same, until `enough`.
fn flood(count: Arc<AtomicU64>, enough: Arc<AtomicU64>) -> Job<()> {
    slow(move |_: StateMut<'_, Script<()>>, cx| {
        Box::pin(async move {
            count.fetch_add(1, SeqCst);
            if enough.load(SeqCst) == 0 {
                cx.server().try_cast(flood(count, enough)).expect("room");
            }
            Ok(Next::Wait)
        })
    })
}

both! {
    /// IN4 K10: a timer that arms itself again for at once starves neither mail, nor orders, nor other tasks.
    async fn a_timer_that_is_always_due_starves_nobody() {
        let (server, count) = (start(()).await, Arc::new(AtomicU64::new(0)));
        let counts = count.clone();
        within(&server, move |cx| again(counts, cx)).await;
        for _ in 0..100 {
            ask(&server, get).await;
            yield_now().await;
        }
        statistics(&server).await;
        let before = count.load(SeqCst);
        until("it goes on", || count.load(SeqCst) > before + 100).await;
        server.kill();
        soon(server.stopped()).await;
        let last = count.load(SeqCst);
        until("nothing of it is left", || Arc::strong_count(&count) == 1).await;
        assert!(count.load(SeqCst) <= last + 1);
    }

    /// IN4 K10: a server that never runs out of mail still sees its timers, and on time.
    async fn a_flood_of_casts_does_not_starve_timers() {
        let (server, casts, enough) = (start(()).await, Arc::default(), Arc::new(AtomicU64::new(0)));
        for _ in 0..100 {
            tell(&server, flood(Arc::clone(&casts), enough.clone())).await;
        }
        let (after, ends) = (Duration::from_millis(50), enough.clone());
        within(&server, move |cx| {
            cx.send_after(after, act(move |_| ends.store(1, SeqCst)));
        })
        .await;
        until("the timer has ended it", || server.mailbox_len() == 0 && enough.load(SeqCst) == 1).await;
        let casts = casts.load(SeqCst);
        assert!(casts > 200, "{casts} casts are no flood");
        stop(&server).await;
    }
}

/// IN4 IN5: a hundred thousand timers fire once each, in order, across crashes, and cost no task.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_timers_cost_no_task() {
    const TIMERS: u64 = 100_000;
    /// Has no divisor in common with the number of timers, so that each place comes once.
    const STEP: u64 = 7_919;

    let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
    let baseline = tasks();
    // Ten of them at a time.
    let delay = |n: u64| Duration::from_millis(1 + n * STEP % TIMERS / 10);
    let info = |n: u64| {
        let (log, one) = (log.clone(), alive.one());
        act(move |_| {
            log.note(n);
            drop(one);
        })
    };
    let half: Vec<_> = (0..TIMERS / 2).map(|n| (delay(n), info(n))).collect();
    within(&server, move |cx| {
        for (after, info) in half {
            cx.send_after(after, info);
        }
    })
    .await;
    for n in TIMERS / 2..TIMERS {
        server.send_after(delay(n), info(n));
    }
    assert_eq!(alive.count(), TIMERS as usize);
    for kill in 0..10 {
        assert_eq!(tasks(), baseline);
        sleep(Duration::from_micros(1_000_500)).await;
        server.kill_worker();
        serves(&server, kill + 2).await;
    }
    let mut expected: Vec<_> = (0..TIMERS).map(|n| (delay(n), n)).collect();
    expected.sort_unstable();
    assert!(log.times() == expected, "{} have fired", log.len());
    assert_eq!((alive.count(), tasks()), (0, baseline));
}
