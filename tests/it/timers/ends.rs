//! What becomes of timers when their server ends: those that are due are part of its last work, the others never were.

use std::{pin::pin, time::Duration};

use futures::poll;
use tokio::time::sleep;
use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, ServerRef, ServerSpec, StateMut};

use super::HOUR;
use crate::{
    crash::script::{Script, boom, job, slow, soon, start, stop, tell},
    effects::{Alive, Log, Plain, SECOND, act, held, tasks, within},
    support::{RACES, inject, until},
};

/// The ways a server can end that does not end by itself.
type End = fn(&Plain);

const ENDS: &[(&str, End)] = &[
    ("stop", |server| {
        let server = server.clone();
        tokio::spawn(async move { server.stop().await });
    }),
    ("kill", ServerRef::kill),
    ("a stop of its own", |server| {
        server.try_cast(job(|()| Ok(Next::Stop(ExitReason::Normal)))).expect("room");
    }),
    ("a crash too many", |server| server.try_cast(boom()).expect("room")),
    ("the end of its guard", |server| drop(server.clone().into_guard())),
    #[cfg(feature = "chaos")]
    ("the death of its supervisor", |server| server.chaos().kill_supervisor()),
];

/// IN6: however a server ends, its pending timers do not fire, their messages are dropped, and no task is left.
#[tokio::test(start_paused = true)]
async fn pending_timers_end_with_their_server() {
    for (name, end) in ENDS {
        let (log, alive, baseline) = (Log::new(), Alive::default(), tasks());
        let spec = ServerSpec::new(Script::new(), ()).max_restarts(0, SECOND);
        let server = spec.start().await.expect("it starts");
        let info = || {
            let (log, one) = (log.clone(), alive.one());
            act(move |_| {
                log.note(());
                drop(one);
            })
        };
        let (infos, tick, one) = ([info(), info(), info()], log.clone(), alive.one());
        within(&server, move |cx| {
            let [once, at, keyed] = infos;
            cx.send_after(SECOND, once);
            cx.send_at(tokio::time::Instant::now() + SECOND, at);
            cx.set_timer("key", SECOND, keyed);
            cx.send_interval(SECOND, move || {
                let _one = &one;
                tick.job(())
            });
        })
        .await;
        server.send_after(SECOND, info());
        assert_eq!(alive.count(), 5);
        sleep(SECOND / 2).await;
        end(&server);
        soon(server.stopped()).await;
        // The handle is still there: the messages are not its to keep.
        until(&format!("nothing is left after {name}"), || alive.count() == 0 && tasks() == baseline).await;
        sleep(HOUR).await;
        assert_eq!(log.len(), 0, "after {name}");
    }
}

/// IN6: in an orderly stop what is due is handled, with what is queued, before `terminate`; what is not due never is.
#[tokio::test(start_paused = true)]
async fn an_orderly_stop_handles_what_is_due() {
    let log = Log::new();
    let last = log.clone();
    let script = Script::new().on_terminate(move |_, ()| last.note("terminate"));
    let server = ServerSpec::new(script, ()).start().await.expect("it starts");
    server.send_after(SECOND, log.job("due"));
    server.send_after(10 * SECOND, log.job("not due"));
    let gate = held(&server).await;
    tell(&server, log.job("queued")).await;
    let mut stopping = pin!(server.stop().into_future());
    assert!(poll!(&mut stopping).is_pending());
    sleep(2 * SECOND).await;
    gate.open();
    soon(stopping).await.expect("it was alive");
    sleep(HOUR).await;
    let mut notes = log.notes();
    assert_eq!(notes.pop(), Some("terminate"));
    notes.sort_unstable();
    assert_eq!(notes, ["due", "queued"]);
}

/// IN6: a timer that comes due while a stopping server is at its last message is still handled.
#[tokio::test(start_paused = true)]
async fn a_timer_that_comes_due_while_it_drains_is_handled() {
    let (server, log) = (start(()).await, Log::new());
    server.send_after(2 * SECOND, log.job("timer"));
    let note = log.clone();
    let slowly = slow(move |_, _| {
        Box::pin(async move {
            sleep(3 * SECOND).await;
            note.note("slow");
            Ok(Next::Wait)
        })
    });
    tell(&server, slowly).await;
    stop(&server).await;
    assert_eq!(log.notes(), ["slow", "timer"]);
}

/// Arms a timer for at once that does the same.
fn again(cx: &mut Context<Script<()>>) {
    cx.send_after(Duration::ZERO, act(again));
}

/// IN6 K10: an interval that its server cannot keep up with does not keep it from stopping: what comes due while due timers
/// are all that is left is not part of its work any more.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_interval_that_is_always_due() {
    let (server, log) = (start(()).await, Log::new());
    let notes = log.clone();
    within(&server, move |cx| {
        cx.send_interval(SECOND, move || {
            let notes = notes.clone();
            slow(move |_, _| {
                Box::pin(async move {
                    notes.note(());
                    sleep(2 * SECOND).await;
                    Ok(Next::Wait)
                })
            })
        });
    })
    .await;
    sleep(10 * SECOND + SECOND / 2).await;
    let exit = server.stop().timeout(100 * SECOND).await.expect("it stops");
    assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
    // The fifth was in hand, and at its end eleven were due.
    assert!((5..=11).contains(&log.len()), "{} ticks", log.len());
}

both! {
    /// IN6 K10: a timer that arms itself again for at once does not keep its server from stopping.
    async fn a_stop_ends_a_timer_that_is_always_due() {
        for _ in 0..RACES {
            let server = start(()).await;
            within(&server, again).await;
            stop(&server).await;
        }
    }

    /// IN6: an armed timer races the end of its server: it fires before or never, and its message is dropped.
    async fn a_timer_that_races_the_end_is_dropped() {
        for round in 0..RACES {
            let (server, alive) = (start(()).await, Alive::default());
            for n in 0..4 {
                let one = alive.one();
                server.send_after(Duration::from_micros(n * 500), act(move |_| drop(one)));
            }
            if round % 2 == 0 {
                server.kill();
            } else {
                let stopping = server.clone();
                tokio::spawn(async move { stopping.stop().await });
            }
            let one = alive.one();
            server.send_after(Duration::ZERO, act(move |_| drop(one)));
            soon(server.stopped()).await;
            until("nothing is kept", || alive.count() == 0).await;
        }
    }
}

/// Arms in its `init`, which fails, or in its `terminate`.
#[derive(Clone)]
struct Hasty {
    log: Log<&'static str>,
    fails: bool,
}

impl GenServer for Hasty {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = &'static str;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        if self.fails {
            cx.send_after(Duration::ZERO, "of an init that failed");
            inject();
        }
        cx.send_after(SECOND, "of init");
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        info: &'static str,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.log.note(info);
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, _: &ExitReason, _: StateMut<'_, Self>, cx: &mut Context<Self>) {
        cx.send_after(Duration::ZERO, "of terminate");
        sleep(SECOND).await;
    }
}

/// IN4 IN6: `init` can arm timers; one that fails has not, and in `terminate` it is too late.
#[tokio::test(start_paused = true)]
async fn timers_begin_with_the_server_and_end_with_it() {
    let log = Log::new();
    let hasty = |fails| ServerSpec::new(Hasty { log: log.clone(), fails }, ());
    let server = hasty(false).start().await.expect("it starts");
    sleep(2 * SECOND).await;
    server.stop().await.expect("it was alive");
    hasty(true).start().await.expect_err("it fails");
    sleep(HOUR).await;
    assert_eq!(log.notes(), ["of init"]);
}
