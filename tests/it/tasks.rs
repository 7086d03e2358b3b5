//! Tasks of a server: each is told of once, by an info, however it ends, and none outlives its server.

mod crashes;
mod streams;

use std::{
    future::{Future, pending},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::oneshot, task::yield_now};
use undying::{Callback, CrashKind, ExitReason, Mailbox, Next, Preserve, ServerRef, ServerSpec, TaskRef};

use crate::{
    crash::script::{Job, Script, ask, get, inc, slow, soon, start, stop, tell},
    effects::{Alive, Log, One, act, held, tasks, within},
    support::{Gate, RACES, quiet, until},
};

/// How a task ended, in a word.
pub(crate) fn word<T: ToString>(result: &Result<T, ExitReason>) -> String {
    match result {
        Ok(value) => format!("ok {}", value.to_string()),
        Err(ExitReason::Killed) => "killed".into(),
        Err(ExitReason::Crashed(report)) => {
            assert_eq!((report.callback(), report.kind()), (Callback::Task, CrashKind::Panic));
            format!("crashed {}", report.message())
        }
        Err(other) => panic!("no end of a task: {other}"),
    }
}

/// An info that notes how a task ended.
pub(crate) fn result<T: ToString, S: Preserve>(
    log: &Log<String>,
) -> impl FnOnce(Result<T, ExitReason>) -> Job<S> + Send + 'static {
    let log = log.clone();
    move |result| log.job(word(&result))
}

/// Whether a task is to outlive the incarnation that spawned it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Free,
    Linked,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Free, Kind::Linked];

/// Spawns `future` in a callback of `server`, to be noted in `log`.
pub(crate) async fn spawn<T: Preserve>(
    server: &ServerRef<Script<T>>,
    kind: Kind,
    future: impl Future<Output: ToString + Send + 'static> + Send + 'static,
    log: &Log<String>,
) -> TaskRef {
    let map = result(log);
    within(server, move |cx| match kind {
        Kind::Free => cx.spawn(future, map),
        Kind::Linked => cx.spawn_linked(future, map),
    })
    .await
}

/// A task that never ends and is counted.
pub(crate) fn endless(one: One) -> BoxFuture<'static, u64> {
    Box::pin(async move {
        let _one = one;
        pending().await
    })
}

both! {
    /// A task's result comes as an info.
    async fn the_result_of_a_task_is_an_info() {
        for kind in KINDS {
            let (server, log) = (start(()).await, Log::new());
            let gate = Gate::new();
            let at = gate.clone();
            let task = async move {
                at.pass().await;
                7
            };
            spawn(&server, kind, task, &log).await;
            soon(gate.arrived()).await;
            // The server serves meanwhile.
            ask(&server, get).await;
            assert_eq!(log.len(), 0);
            gate.open();
            until("the result is there", || log.len() > 0).await;
            assert_eq!(log.notes(), ["ok 7"]);
            stop(&server).await;
            assert_eq!((log.len(), server.incarnation()), (1, 1));
        }
    }

    /// A task begins when its callback commits, and not before.
    async fn a_task_begins_with_the_commit() {
        for _ in 0..RACES {
            let (server, log) = (start(()).await, Log::new());
            let (notes, runs) = (log.clone(), log.clone());
            let spawns = slow(move |_, cx| {
                Box::pin(async move {
                    let task = async move { runs.note("task") };
                    cx.spawn(task, |_| act(|_| {}));
                    for _ in 0..10 {
                        yield_now().await;
                    }
                    notes.note("callback");
                    Ok(Next::Wait)
                })
            });
            tell(&server, spawns).await;
            until("it runs", || log.len() == 2).await;
            assert_eq!(log.notes(), ["callback", "task"]);
        }
    }

    /// The map of a result runs in the worker, not before that has time for it.
    async fn the_map_runs_in_the_worker() {
        let (server, log) = (start(0_u64).await, Log::new());
        let (go, gone) = oneshot::channel::<()>();
        let (baseline, notes) = (tasks(), log.clone());
        within(&server, move |cx| {
            cx.spawn(gone, move |result| {
                notes.note("map");
                result.expect("it ends well").expect("it was sent");
                inc()
            })
        })
        .await;
        let gate = held(&server).await;
        go.send(()).expect("it waits");
        until("it is done", || tasks() == baseline).await;
        assert_eq!(log.len(), 0, "the worker is busy");
        gate.open();
        until("its result is handled", || *server.peek() == 1).await;
        assert_eq!(log.notes(), ["map"]);
    }

    /// A task that panics is told of by its report.
    async fn the_panic_of_a_task_is_an_info() {
        for kind in KINDS {
            let (server, log) = (start(()).await, Log::new());
            let task = async {
                yield_now().await;
                if true {
                    panic!("test: of a task");
                }
                0
            };
            spawn(&server, kind, task, &log).await;
            until("it is told of", || log.len() > 0).await;
            assert_eq!(log.notes(), ["crashed test: of a task"]);
            ask(&server, get).await;
            assert_eq!((log.len(), server.incarnation()), (1, 1), "it is no crash of the server");
        }
    }

    /// A task that is aborted is told of as killed, once, and dropped.
    async fn an_aborted_task_is_told_of_as_killed() {
        for kind in KINDS {
            let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
            let task = spawn(&server, kind, endless(alive.one()), &log).await;
            let gate = held(&server).await;
            let twice = soon(async {
                let abort = || within(&server, move |cx| cx.abort(task));
                tokio::join!(abort(), abort(), async { gate.open() })
            });
            assert_eq!(twice.await, (true, false, ()), "the second finds it aborted, if not over");
            until("it is told of", || log.len() > 0).await;
            assert_eq!(log.notes(), ["killed"]);
            until("it is dropped", || alive.count() == 0).await;
            assert!(!within(&server, move |cx| cx.abort(task)).await, "it is over");
            ask(&server, get).await;
            assert_eq!(log.len(), 1);
        }
    }

    /// A task that was done before its abort keeps its result; it is told of once either way.
    async fn an_abort_that_races_the_end_of_a_task_is_told_of_once() {
        let server = start(()).await;
        for round in 0..RACES {
            let log = Log::new();
            let (go, gone) = oneshot::channel::<()>();
            let task = spawn(&server, Kind::Free, async move { gone.await.is_ok() }, &log).await;
            go.send(()).expect("it waits");
            for _ in 0..round % 4 {
                yield_now().await;
            }
            within(&server, move |cx| cx.abort(task)).await;
            until("it is told of", || log.len() > 0).await;
            ask(&server, get).await;
            assert!(matches!(&*log.notes(), [one] if one == "ok true" || one == "killed"), "{:?}", log.notes());
        }
    }

    /// A task that is aborted by the callback that spawned it never runs, and is told of all the same.
    async fn a_task_aborted_by_its_own_callback_never_runs() {
        let (server, log) = (start(()).await, Log::new());
        let (ran, map) = (log.clone(), result(&log));
        let aborted = within(&server, move |cx| {
            let task = async move {
                ran.note("it runs".into());
                0
            };
            let task = cx.spawn(task, map);
            [cx.abort(task), cx.abort(task)]
        });
        assert_eq!(aborted.await, [true, false]);
        until("it is told of", || log.len() > 0).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), ["killed"]);
    }

    /// A task is no part of a callback: it may call its own server, and stop it.
    async fn a_task_may_call_its_own_server() {
        let (server, log) = (start(7_u64).await, Log::new());
        let own = server.clone();
        let task = async move {
            let state = own.call(get).await.expect("not stuck");
            drop(own.stop().await);
            state
        };
        spawn(&server, Kind::Free, task, &log).await;
        soon(server.stopped()).await;
        assert_eq!(*server.peek(), 7);
    }

    /// What a task says of itself needs no room in a full mailbox.
    async fn a_result_needs_no_room_in_a_mailbox() {
        let spec = ServerSpec::new(Script::new(), ()).mailbox(Mailbox::bounded(1));
        let (server, log) = (spec.start().await.expect("it starts"), Log::new());
        let baseline = tasks();
        let done: Vec<_> = (0..10).map(|_| Gate::new()).collect();
        for gate in &done {
            let gate = gate.clone();
            spawn(&server, Kind::Free, async move { gate.pass().await; 1 }, &log).await;
        }
        let gate = held(&server).await;
        server.try_cast(log.job("queued".into())).expect("there is room for one");
        for gate in done {
            soon(gate.arrived()).await;
            gate.open();
        }
        until("they are done", || tasks() == baseline).await;
        gate.open();
        until("all are told of", || log.len() == 11).await;
        assert_eq!(log.notes().iter().filter(|note| *note == "ok 1").count(), 10);
    }

    /// A thousand tasks are told of once each.
    async fn many_tasks_are_told_of_once_each() {
        let (server, count) = (start(()).await, Arc::new(AtomicUsize::new(0)));
        let sums = count.clone();
        within(&server, move |cx| {
            for n in 0..1_000 {
                let sums = sums.clone();
                cx.spawn(async move { n }, move |result| {
                    act(move |_| { sums.fetch_add(result.expect("it ends well") + 1, SeqCst); })
                });
            }
        })
        .await;
        until("all are told of", || count.load(SeqCst) >= 500_500).await;
        ask(&server, get).await;
        assert_eq!(count.load(SeqCst), 500_500);
    }
}

/// K5: a task that never yields cannot be aborted. It keeps its thread, and nobody else: neither its server, nor the end of
/// that, nor its info from saying that it was aborted, once it lets go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_never_yields_keeps_nobody() {
    quiet();
    for ends in [false, true] {
        let spec = ServerSpec::new(Script::new(), ()).kill_grace(Duration::from_millis(20));
        let (server, log) = (spec.start().await.expect("it starts"), Log::new());
        let (open, wall) = mpsc::channel::<()>();
        let (begins, begun) = oneshot::channel();
        let blocks = async move {
            begins.send(()).expect("the test waits for it");
            // Returns when the test drops the other end.
            let _ = wall.recv();
            yield_now().await;
            0
        };
        let task = spawn(&server, Kind::Free, blocks, &log).await;
        soon(begun).await.expect("it has begun");
        assert!(within(&server, move |cx| cx.abort(task)).await);
        ask(&server, get).await;
        if ends {
            stop(&server).await;
            drop(open);
        } else {
            drop(open);
            until("it is told of", || log.len() > 0).await;
            stop(&server).await;
        }
        assert_eq!(log.notes(), if ends { vec![] } else { vec!["killed".to_owned()] });
    }
}
