//! Intervals: one message a tick, also for the ticks that came due while the server was busy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};
use undying::{CallError, Callback, CrashKind, Next, TimerRef};

use super::HOUR;
use crate::{
    crash::script::{asked, slow, soon, start},
    effects::{Log, Plain, SECOND, act, held, within},
    support::inject,
};

/// An interval of one second whose ticks are numbered from 1.
async fn ticks(server: &Plain, log: &Log<u64>) -> TimerRef {
    let log = log.clone();
    let numbers = AtomicU64::new(1);
    within(server, move |cx| cx.send_interval(SECOND, move || log.job(numbers.fetch_add(1, SeqCst)))).await
}

/// What comes of [`ticks`] on time.
fn on_time(numbers: impl IntoIterator<Item = u64>) -> Vec<(Duration, u64)> {
    numbers.into_iter().map(|n| (Duration::from_secs(n), n)).collect()
}

/// IN4: an interval ticks on time, the first time after one period, until it is cancelled.
#[tokio::test(start_paused = true)]
async fn an_interval_ticks_until_it_is_cancelled() {
    for by_handle in [false, true] {
        let (server, log) = (start(()).await, Log::new());
        let timer = ticks(&server, &log).await;
        sleep(5 * SECOND + SECOND / 2).await;
        if by_handle {
            assert!(server.cancel(timer));
        } else {
            assert!(within(&server, move |cx| cx.cancel(timer)).await);
        }
        sleep(HOUR).await;
        assert_eq!(log.times(), on_time(1..=5));
        assert!(!server.cancel(timer));
    }
}

/// IN4: the ticks that came due while the server was busy are made up for, one message each, and the next comes on time.
#[tokio::test(start_paused = true)]
async fn ticks_missed_while_busy_are_made_up_for() {
    let (server, log) = (start(()).await, Log::new());
    let timer = ticks(&server, &log).await;
    let gate = held(&server).await;
    let busy = 7 * SECOND / 2;
    sleep(busy).await;
    assert_eq!(log.len(), 0);
    gate.open();
    sleep(2 * SECOND).await;
    assert!(server.cancel(timer));
    assert_eq!(log.times(), [vec![(busy, 1), (busy, 2), (busy, 3)], on_time(4..=5)].concat());
}

/// IN4: callbacks that take longer than the period delay the ticks that they meet, and no others.
#[tokio::test(start_paused = true)]
async fn an_interval_does_not_drift() {
    let (server, log) = (start(()).await, Log::new());
    let (notes, numbers) = (log.clone(), AtomicU64::new(1));
    within(&server, move |cx| {
        cx.send_interval(2 * SECOND, move || {
            let (notes, number) = (notes.clone(), numbers.fetch_add(1, SeqCst));
            slow(move |_, _| {
                Box::pin(async move {
                    notes.note(number);
                    if number % 2 == 1 {
                        sleep(3 * SECOND).await;
                    }
                    Ok(Next::Wait)
                })
            })
        });
    })
    .await;
    sleep(1_000 * SECOND + SECOND / 2).await;
    let delayed = |n: u64| if n % 2 == 0 { 1 } else { 0 };
    let expected: Vec<_> = (1..=499).map(|n| (Duration::from_secs(2 * n + delayed(n)), n)).collect();
    assert_eq!(log.times(), expected);
}

/// IN4: ticks that are due already when a tick cancels its interval do not come any more.
#[tokio::test(start_paused = true)]
async fn a_tick_can_cancel_its_interval() {
    let (server, log) = (start(()).await, Log::new());
    let (itself, told) = oneshot::channel::<TimerRef>();
    let (told, notes) = (Arc::new(parking_lot::Mutex::new(told)), log.clone());
    let timer = within(&server, move |cx| {
        cx.send_interval(SECOND, move || {
            let (told, notes) = (told.clone(), notes.clone());
            act(move |cx| {
                let timer = told.lock().try_recv().expect("this is the first tick and the last");
                notes.note(cx.cancel(timer));
            })
        })
    })
    .await;
    itself.send(timer).expect("no tick yet");
    let gate = held(&server).await;
    sleep(10 * SECOND).await;
    gate.open();
    sleep(HOUR).await;
    assert_eq!(log.times(), [(10 * SECOND, true)]);
    assert_eq!(server.incarnation(), 1);
}

/// IN4 IN5: an interval whose message cannot be made crashes the server and goes on with its next tick.
#[tokio::test(start_paused = true)]
async fn an_interval_whose_message_cannot_be_made_goes_on() {
    let (server, log) = (start(()).await, Log::new());
    let (notes, numbers) = (log.clone(), AtomicU64::new(1));
    within(&server, move |cx| {
        cx.send_interval(SECOND, move || match numbers.fetch_add(1, SeqCst) {
            2 | 3 => inject(),
            number => notes.job(number),
        });
    })
    .await;
    sleep(5 * SECOND + SECOND / 2).await;
    assert_eq!(log.times(), on_time([1, 4, 5]));
    assert_eq!(server.incarnation(), 3);
}

both! {
    /// A period of zero is refused: the callback that asks for it panics, and nothing is armed.
    async fn an_interval_of_zero_is_refused() {
        let server = start(()).await;
        let refused = act(|cx| {
            cx.send_after(Duration::ZERO, act(|_| unreachable!("what asked for it has crashed")));
            cx.send_interval(Duration::ZERO, || act(|_| {}));
        });
        match soon(server.call(asked(refused))).await {
            Err(CallError::Crashed(report)) => {
                assert_eq!((report.kind(), report.callback()), (CrashKind::Panic, Callback::Call));
                assert!(report.message().contains("zero"), "{report}");
            }
            other => panic!("{other:?}"),
        }
    }
}
