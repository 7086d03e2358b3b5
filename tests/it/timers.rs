//! Timers: each fires once, on time, also across crashes of its server, and none costs a task.

mod crashes;
mod ends;
mod fairness;
mod infos;
mod intervals;
mod keyed;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep},
};
use undying::{Mailbox, Next, ServerSpec};

use crate::{
    crash::script::{Script, ask, get, job, slow, soon, start, tell},
    effects::{Alive, Log, Plain, SECOND, act, held, within},
    support::{RACES, until},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A server that may have less room than it has timers.
async fn narrow() -> Plain {
    let spec = ServerSpec::new(Script::new(), ()).mailbox(Mailbox::bounded(1));
    spec.start().await.expect("it starts")
}

/// IN4: a timer fires once, when its time has passed and not before.
#[tokio::test(start_paused = true)]
async fn a_timer_fires_once_and_on_time() {
    let (server, log) = (start(()).await, Log::new());
    let info = log.job("callback");
    within(&server, move |cx| cx.send_after(2 * SECOND, info)).await;
    server.send_after(SECOND, log.job("handle"));
    sleep(Duration::from_millis(999)).await;
    assert_eq!(log.len(), 0);
    sleep(HOUR).await;
    assert_eq!(log.times(), [(SECOND, "handle"), (2 * SECOND, "callback")]);
}

/// IN4: the time of a timer counts from when it was asked for, however long the callback that asked goes on.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_timer_counts_from_when_it_was_asked_for() {
    let (server, log) = (start(()).await, Log::new());
    let notes = log.clone();
    let slowly = slow(move |_, cx| {
        Box::pin(async move {
            cx.send_after(5 * SECOND, notes.job("later"));
            cx.send_after(SECOND, notes.job("meanwhile"));
            sleep(2 * SECOND).await;
            Ok(Next::Wait)
        })
    });
    tell(&server, slowly).await;
    sleep(HOUR).await;
    assert_eq!(log.times(), [(2 * SECOND, "meanwhile"), (5 * SECOND, "later")]);
}

/// IN4: a timer for an instant fires then; for one that is over, at once.
#[tokio::test(start_paused = true)]
async fn a_timer_can_be_set_for_an_instant() {
    let (server, log) = (start(()).await, Log::new());
    let begin = Instant::now();
    sleep(SECOND).await;
    for (at, name) in [(5, "later"), (1, "now"), (0, "over")] {
        let (at, info) = (begin + at * SECOND, log.job(name));
        within(&server, move |cx| cx.send_at(at, info)).await;
    }
    sleep(HOUR).await;
    assert_eq!(log.times(), [(SECOND, "now"), (SECOND, "over"), (5 * SECOND, "later")]);
}

/// IN4: a timer that is cancelled before its time does not fire; to cancel it again is to cancel nothing.
#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_does_not_fire() {
    let (server, log) = (start(()).await, Log::new());
    for by_handle in [false, true] {
        let info = log.job(by_handle);
        let timer = within(&server, move |cx| cx.send_after(SECOND, info)).await;
        sleep(SECOND / 2).await;
        if by_handle {
            assert!(server.cancel(timer));
        } else {
            assert!(within(&server, move |cx| cx.cancel(timer)).await);
        }
        assert!(!server.cancel(timer));
        assert!(!within(&server, move |cx| cx.cancel(timer)).await);
        sleep(HOUR).await;
    }
    assert_eq!(log.len(), 0);
}

/// IN4: a timer that has fired cannot be cancelled, not even by the callback that it brings about.
#[tokio::test(start_paused = true)]
async fn a_timer_that_has_fired_cannot_be_cancelled() {
    let (server, log) = (start(()).await, Log::new());
    let (itself, mut told) = oneshot::channel();
    let heard = log.clone();
    let info = act(move |cx| heard.note(cx.cancel(told.try_recv().expect("told"))));
    let timer = server.send_after(SECOND, info);
    itself.send(timer).expect("not fired yet");
    sleep(2 * SECOND).await;
    assert_eq!(log.notes(), [false]);
    assert!(!server.cancel(timer));
    assert!(!within(&server, move |cx| cx.cancel(timer)).await);
}

/// IN4: a callback can cancel what it has armed itself.
#[tokio::test(start_paused = true)]
async fn a_callback_can_cancel_what_it_has_armed() {
    let (server, log) = (start(()).await, Log::new());
    let notes = log.clone();
    let cancelled = within(&server, move |cx| {
        let once = cx.send_after(Duration::ZERO, notes.job("once"));
        let at = cx.send_at(Instant::now(), notes.job("at"));
        let keyed = cx.set_timer("key", SECOND, notes.job("keyed"));
        let kept = cx.send_after(SECOND, notes.job("kept"));
        let often = cx.send_interval(SECOND, move || notes.job("often"));
        let all = [once, at, keyed, often].map(|timer| cx.cancel(timer));
        assert!(!cx.cancel(once) && !cx.clear_timer("key"), "it is cancelled already");
        (all, kept)
    })
    .await;
    assert_eq!(cancelled.0, [true; 4]);
    sleep(HOUR).await;
    assert_eq!(log.times(), [(SECOND, "kept")]);
}

/// IN4: what was due already when a callback cancelled it is not handled any more.
#[tokio::test(start_paused = true)]
async fn a_timer_that_is_due_can_still_be_cancelled() {
    let (server, log) = (start(()).await, Log::new());
    let timer = server.send_after(SECOND, log.job("timer"));
    let said = log.clone();
    let slowly = slow(move |_, cx| {
        Box::pin(async move {
            sleep(2 * SECOND).await;
            said.note(if cx.cancel(timer) { "cancelled" } else { "too late" });
            Ok(Next::Wait)
        })
    });
    tell(&server, slowly).await;
    sleep(HOUR).await;
    assert_eq!(log.notes(), ["cancelled"]);
}

/// IN4: timers fire in the order of their times, and those of the same instant in the order in which they were armed.
#[tokio::test(start_paused = true)]
async fn timers_fire_in_the_order_of_their_times() {
    let (server, log) = (start(()).await, Log::new());
    let begin = Instant::now();
    for (place, seconds) in [2, 1, 3, 1, 2, 1].into_iter().enumerate() {
        let (after, note) = (seconds * SECOND, (seconds, place));
        match place % 3 {
            0 => {
                server.send_after(after, log.job(note));
            }
            1 => {
                let info = log.job(note);
                within(&server, move |cx| cx.send_at(begin + after, info)).await;
            }
            _ => {
                let info = log.job(note);
                within(&server, move |cx| cx.set_timer(format!("{note:?}"), after, info)).await;
            }
        }
    }
    sleep(HOUR).await;
    assert_eq!(log.notes(), [(1, 1), (1, 3), (1, 5), (2, 0), (2, 4), (3, 2)]);
}

/// A timer whose time is longer than the clock's never fires and overflows nothing; it can be cancelled like any other.
#[tokio::test(start_paused = true)]
async fn the_longest_timers_never_fire() {
    let (server, log) = (start(()).await, Log::new());
    let notes = log.clone();
    let timers = within(&server, move |cx| {
        let after = cx.send_after(Duration::MAX, notes.job("after"));
        let keyed = cx.set_timer("key", Duration::MAX, notes.job("keyed"));
        let often = cx.send_interval(Duration::MAX, move || notes.job("often"));
        [after, keyed, often]
    })
    .await;
    let handle = server.send_after(Duration::MAX, log.job("handle"));
    server.send_after(HOUR, log.job("an hour"));
    sleep(1_000_000 * SECOND).await;
    server.kill_worker();
    server.wait_incarnation(2).await.expect("it restarts");
    assert_eq!(log.notes(), ["an hour"]);
    for timer in timers.into_iter().chain([handle]) {
        assert!(within(&server, move |cx| cx.cancel(timer)).await);
        assert!(!server.cancel(timer));
    }
    assert_eq!((log.len(), server.incarnation()), (1, 2));
}

/// A timer's message is a message: an idle timeout is over when it comes.
#[tokio::test(start_paused = true)]
async fn a_timer_ends_an_idle_timeout() {
    let log = Log::new();
    let heard = log.clone();
    let script = Script::new().on_timeout(move |()| {
        heard.note("idle");
        Ok(Next::Wait)
    });
    let server = ServerSpec::new(script, ()).start().await.expect("it starts");
    server.send_after(2 * SECOND, log.job("first"));
    tell(&server, job(|()| Ok(Next::Timeout(3 * SECOND)))).await;
    sleep(HOUR).await;
    assert_eq!(log.notes(), ["first"]);
    server.send_after(2 * SECOND, log.job("second"));
    tell(&server, job(|()| Ok(Next::Timeout(SECOND)))).await;
    sleep(HOUR).await;
    assert_eq!(log.notes(), ["first", "idle", "second"]);
}

/// Timers wait outside the mailbox: they take no room in it, and need none to fire.
#[tokio::test(start_paused = true)]
async fn timers_need_no_room_in_a_mailbox() {
    let (server, log) = (narrow().await, Log::new());
    let notes = log.clone();
    within(&server, move |cx| {
        for n in 0..10 {
            cx.send_after(SECOND, notes.job(n));
        }
    })
    .await;
    assert_eq!(server.mailbox_len(), 0);
    let gate = held(&server).await;
    server.try_cast(log.job(10)).expect("there is room for one");
    let full = server.try_cast(log.job(11));
    assert!(full.is_err(), "there is none for two");
    sleep(2 * SECOND).await;
    gate.open();
    sleep(HOUR).await;
    let mut notes = log.notes();
    notes.sort_unstable();
    assert_eq!(notes, (0..=10).collect::<Vec<_>>());
}

/// A timer may be armed for a server from inside its own callbacks by a handle, and for a server that is over, where it does
/// nothing.
#[tokio::test(start_paused = true)]
async fn a_handle_can_be_used_anywhere() {
    let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
    let info = log.job("own");
    let armed = within(&server, move |cx| {
        let itself = cx.server();
        let cancelled = itself.send_after(SECOND, act(|_| unreachable!("it is cancelled")));
        itself.send_after(SECOND, info);
        itself.cancel(cancelled)
    });
    assert!(armed.await);
    sleep(2 * SECOND).await;
    assert_eq!(log.notes(), ["own"]);
    server.kill();
    server.stopped().await;
    let (late, one) = (log.clone(), alive.one());
    let timer = server.send_after(
        SECOND,
        act(move |_| {
            late.note("late");
            drop(one);
        }),
    );
    assert_eq!(alive.count(), 0, "the message is not kept");
    assert!(!server.cancel(timer));
    sleep(HOUR).await;
    assert_eq!(log.len(), 1);
}

both! {
    /// IN4: a thread that knows no runtime can arm timers and cancel them.
    async fn a_thread_can_arm_timers() {
        let (server, log) = (start(()).await, Log::new());
        let after = Duration::from_millis(20);
        let armed = thread::spawn({
            let (server, log) = (server.clone(), log.clone());
            move || {
                let cancelled = server.send_after(after, log.job("cancelled"));
                server.send_after(after, log.job("timer"));
                server.cancel(cancelled)
            }
        });
        assert!(armed.join().expect("no panic"));
        until("it has fired", || log.len() > 0).await;
        // A timer that is armed later fires later: the cancelled one has had its time.
        server.send_after(after, log.job("last"));
        until("that has fired", || log.len() > 1).await;
        let times = log.times();
        assert!(times[0].0 >= after && times[1].0 >= 2 * after, "{times:?}");
        assert_eq!(log.notes(), ["timer", "last"]);
    }

    /// IN4: a cancel races a timer that is due: it fires, or it is cancelled, and whoever cancels knows which.
    async fn a_timer_is_cancelled_or_fires() {
        let server = start(()).await;
        for round in 0..5 * RACES {
            let fired = Arc::new(AtomicBool::new(false));
            let fires = fired.clone();
            let timer = server.send_after(Duration::ZERO, act(move |_| fires.store(true, SeqCst)));
            for _ in 0..round % 5 {
                yield_now().await;
            }
            let cancelled = server.cancel(timer);
            // Answered after whatever was due before.
            ask(&server, get).await;
            assert_eq!(fired.load(SeqCst), !cancelled, "in round {round}");
            assert!(!server.cancel(timer));
        }
    }

    /// A timer of no time at all fires at once, but never inside the callback that arms it.
    async fn a_timer_of_zero_fires_after_its_callback() {
        for _ in 0..RACES {
            let (server, log) = (start(()).await, Log::new());
            let notes = log.clone();
            let arms = slow(move |_, cx| {
                Box::pin(async move {
                    cx.send_after(Duration::ZERO, notes.job("timer"));
                    yield_now().await;
                    notes.note("callback");
                    Ok(Next::Wait)
                })
            });
            tell(&server, arms).await;
            soon(async {
                while log.len() < 2 {
                    yield_now().await;
                }
            })
            .await;
            assert_eq!(log.notes(), ["callback", "timer"]);
        }
    }
}
