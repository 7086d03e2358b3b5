//! When a callback commits, all that it asked for is done, and when it does not, none of it: whatever keeps it from that.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use futures::stream;
use tokio::{sync::oneshot, task::yield_now};
use undying::{CallError, Context, ExitReason, Next, Preserve, ServerRef, ServerSpec, StateMut};

use super::{Alive, Log, Plain, act, tasks};
use crate::{
    crash::script::{Script, add, ask, asked, counted, get, serves, slow, soon, start, stop, tell},
    support::{RACES, inject, quiet, until},
};

/// How much [`everything`] is.
const KINDS: usize = 5;

/// Asks for one of each thing, each of which comes to be noted in `log` at once.
fn everything<T: Preserve>(cx: &mut Context<Script<T>>, dead: &Plain, log: &Log<&'static str>) {
    let [task, linked, monitor] = [(); 3].map(|()| log.clone());
    cx.send_after(Duration::ZERO, log.job("timer"));
    cx.set_timer("key", Duration::ZERO, log.job("key"));
    cx.spawn(ready(()), move |_| task.job("task"));
    cx.spawn_linked(ready(()), move |result| linked.job(if result.is_ok() { "linked" } else { "aborted" }));
    cx.monitor(dead, move |_| monitor.job("monitor"));
}

/// A server that is over.
async fn dead() -> Plain {
    let server = start(()).await;
    stop(&server).await;
    server
}

/// A state that cannot be cloned, once, when it is told so.
struct Fragile(Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        if self.0.swap(false, SeqCst) {
            inject();
        }
        Self(self.0.clone())
    }
}

both! {
    /// Whenever a kill comes, of a callback that asks for much all is done or nothing.
    async fn all_of_a_callback_is_done_or_nothing() {
        let (server, dead) = (start(()).await, dead().await);
        for round in 0..RACES as u64 {
            let (log, dead) = (Log::new(), dead.clone());
            let notes = log.clone();
            let asks = slow(move |_, cx| {
                Box::pin(async move {
                    everything(cx, &dead, &notes);
                    yield_now().await;
                    everything(cx, &dead, &notes);
                    yield_now().await;
                    Ok(Next::Wait)
                })
            });
            server.try_cast(asks).expect("room");
            for _ in 0..round % 6 {
                yield_now().await;
            }
            server.kill_worker();
            serves(&server, round + 2).await;
            // Handled after the callback, if that was still queued.
            ask(&server, get).await;
            until("the rest has come, if there is any", || matches!(log.len(), 0 | 9)).await;
            ask(&server, get).await;
            // Of the key there is one.
            assert!(matches!(log.len(), 0 | 9), "in round {round}: {:?}", log.notes());
        }
    }

    /// CR12: a callback whose state cannot be kept has asked for nothing.
    async fn a_callback_whose_state_cannot_be_kept_has_asked_for_nothing() {
        let (server, dead) = (start(Fragile(Arc::default())).await, dead().await);
        let (log, other, alive) = (Log::new(), start(()).await, Alive::default());
        let (notes, linked, one) = (log.clone(), other.clone(), alive.one());
        let asks = slow(move |mut state: StateMut<'_, Script<Fragile>>, cx| {
            Box::pin(async move {
                everything(cx, &dead, &notes);
                cx.attach(stream::once(ready(one)), move |_| notes.job("stream"));
                cx.link(&linked);
                let taken: &mut Fragile = &mut state;
                taken.0.store(true, SeqCst);
                Ok(Next::Wait)
            })
        });
        let lost = soon(server.call(asked(asks))).await;
        assert!(matches!(lost, Err(CallError::Crashed(_))), "{lost:?}");
        serves(&server, 2).await;
        until("all is dropped", || alive.count() == 0).await;
        other.kill();
        soon(other.stopped()).await;
        tell(&server, act(|_| {})).await;
        soon(server.stop()).await.expect("it lives");
        assert_eq!(log.notes(), [""; 0]);
    }

    /// SP7: a callback that stops its incarnation for an abnormal reason is committed: what it asked for is the next one's.
    async fn what_an_abnormal_stop_asked_for_is_done() {
        let (server, dead) = (start(()).await, dead().await);
        let (log, asks) = (Log::new(), dead.clone());
        let notes = log.clone();
        tell(&server, slow(move |_, cx| {
            Box::pin(async move {
                everything(cx, &asks, &notes);
                Ok(Next::Stop(ExitReason::error("test: enough")))
            })
        }))
        .await;
        serves(&server, 2).await;
        until("all has come", || log.len() == KINDS).await;
        ask(&server, get).await;
        let mut notes = log.notes();
        notes.sort_unstable();
        // The linked task may have been done before its incarnation was over.
        let last = if notes[0] == "aborted" { notes.remove(0) } else { notes.remove(1) };
        assert!(["aborted", "linked"].contains(&last), "{last}");
        assert_eq!(notes, ["key", "monitor", "task", "timer"]);
    }

    /// A callback that ends its server asks for nothing that could come: none of it is left behind.
    async fn what_a_normal_stop_asked_for_is_left_nowhere() {
        let baseline = tasks();
        let dead = dead().await;
        for _ in 0..RACES {
            let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
            let (asks, notes, one) = (dead.clone(), log.clone(), alive.one());
            tell(&server, slow(move |_, cx| {
                Box::pin(async move {
                    everything(cx, &asks, &notes);
                    cx.attach(stream::pending::<()>(), move |_| {
                        let _one = &one;
                        notes.job("stream")
                    });
                    Ok(Next::Stop(ExitReason::Normal))
                })
            }))
            .await;
            soon(server.stopped()).await;
            until("nothing is left", || alive.count() == 0 && tasks() == baseline).await;
            assert_eq!(log.notes(), [""; 0]);
        }
    }
}

/// Blocks the thread of a callback of `server` after it has asked for everything, until what is returned is dropped.
async fn blocked(server: &ServerRef<Script<u64>>, dead: &Plain, log: &Log<&'static str>) -> mpsc::Sender<()> {
    let (dead, log) = (dead.clone(), log.clone());
    let (signal, told) = oneshot::channel();
    let (open, wall) = mpsc::channel::<()>();
    tell(
        server,
        act(move |cx| {
            everything(cx, &dead, &log);
            signal.send(()).expect("the test waits for it");
            // Returns when the test drops the other end.
            let _ = wall.recv();
            everything(cx, &dead, &log);
        }),
    )
    .await;
    soon(told).await.expect("told");
    open
}

/// K4 K5: an incarnation that was left behind can ask for what it likes: none of it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_zombie_asks_in_vain() {
    quiet();
    let dead = dead().await;
    let spec = ServerSpec::new(Script::new(), 0).kill_grace(Duration::from_millis(20));
    let (server, log) = (spec.start().await.expect("it starts"), Log::new());
    let open = blocked(&server, &dead, &log).await;
    server.kill_worker();
    serves(&server, 2).await;
    assert_eq!(ask(&server, add).await, 1);
    drop(open);
    counted(&server, |statistics| statistics.fenced > 0).await;
    assert_eq!(ask(&server, add).await, 2);
    stop(&server).await;
    assert_eq!(log.notes(), [""; 0]);
}
