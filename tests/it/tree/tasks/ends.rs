//! How tasks are ended by their supervisor, and tasks that end badly.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{Backoff, ChildSpec, ExitReason, RestartPolicy, Shutdown, Status, Strategy, Supervisor};

use super::{
    super::{Faults, Log, SECOND, child, dies, ids, kid, rise, settled, status, word},
    Trace, endless,
};
use crate::{
    crash::script::{add, ask, soon},
    support::{RACES, inject, until},
};

/// A task that takes `time`, noting its start and that it was dropped, and in between `done` if it came to its end.
fn taking(time: Duration, log: &Log) -> ChildSpec {
    let log = log.clone();
    ChildSpec::task("t", move || {
        let log = log.clone();
        async move {
            let _trace = Trace::new("t", &log);
            sleep(time).await;
            log.add("done");
        }
    })
}

/// SH3: a task is aborted at once by default; it is given its time, and no more; or it is waited for.
#[tokio::test(start_paused = true)]
async fn a_task_is_ended_as_its_shutdown_says() {
    let (given, long) = (Shutdown::Timeout(3 * SECOND), 600 * SECOND);
    for (shutdown, takes, elapsed, lines) in [
        (None, long, Duration::ZERO, &["+t", "-t"][..]),
        (Some(Shutdown::BrutalKill), long, Duration::ZERO, &["+t", "-t"]),
        (Some(given), long, 3 * SECOND, &["+t", "-t"]),
        (Some(given), 2 * SECOND, 2 * SECOND, &["+t", "done", "-t"]),
        (Some(Shutdown::Infinity), long, long, &["+t", "done", "-t"]),
    ] {
        for terminate in [true, false] {
            let log = Log::default();
            let task = taking(takes, &log);
            let task = if let Some(shutdown) = shutdown { task.shutdown(shutdown) } else { task };
            let sup = rise(Supervisor::builder().child(task.restart(RestartPolicy::Permanent))).await;
            // One turn, so that it runs; no time passes.
            tokio::task::yield_now().await;
            let begun = Instant::now();
            if terminate {
                sup.terminate_child("t").await.expect("a child");
                assert_eq!(status(&sup, "t"), Some(Status::Terminated));
            } else {
                assert_eq!(word(&sup.stop().await.expect("it stops")), "normal");
            }
            assert_eq!(begun.elapsed(), elapsed, "{shutdown:?}");
            assert_eq!(log.take(), lines, "{shutdown:?}");
        }
    }
}

/// SH1: a task has its place in the order in which children are stopped.
#[tokio::test(start_paused = true)]
async fn a_task_is_stopped_in_its_place() {
    let log = Log::default();
    let task = taking(2 * SECOND, &log).shutdown(Shutdown::Infinity);
    let sup = rise(Supervisor::builder().child(child("a", &log)).child(task).child(child("b", &log))).await;
    tokio::task::yield_now().await;
    log.take();
    sup.stop().await.expect("it stops");
    assert_eq!(log.take(), ["-b", "done", "-t", "-a"]);
}

/// RI10: a task that panics is run again after the pause, and is restarting meanwhile.
#[tokio::test(start_paused = true)]
async fn a_task_waits_for_its_backoff() {
    let log = Log::default();
    let noted = log.clone();
    let task = ChildSpec::task("t", move || {
        noted.add("run");
        async { inject() }
    });
    let backoff = Backoff::exponential(5 * SECOND, 5 * SECOND);
    let sup = rise(Supervisor::builder().max_restarts(99, SECOND).backoff(backoff).child(task)).await;
    sleep(2 * SECOND).await;
    assert_eq!((log.take().len(), status(&sup, "t")), (1, Some(Status::Restarting)));
    assert_eq!(sup.count().active, 0);
    sleep(20 * SECOND).await;
    assert_eq!(log.take().len(), 4);
    sup.terminate_child("t").await.expect("a child");
    sleep(20 * SECOND).await;
    assert_eq!((log.take().len(), status(&sup, "t")), (0, Some(Status::Terminated)));
}

/// A payload, or what a future holds, whose own drop panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            inject();
        }
    }
}

both! {
    /// SH8: when a tree is over, so are its tasks: none goes on, and none was left behind.
    async fn no_task_outlives_its_tree() {
        for round in 0..RACES {
            let log = Log::default();
            let inner = Supervisor::builder().id("inner").child(endless("deep", &log));
            let sup = rise(Supervisor::builder().child(endless("t", &log)).child(inner)).await;
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            match round % 3 {
                0 => drop(soon(sup.stop()).await.expect("it stops")),
                1 => sup.kill(),
                _ => drop(sup.clone().into_guard()),
            }
            soon(sup.stopped()).await;
            let seen = log.take();
            let count = |sign| seen.iter().filter(|line| line.starts_with(sign)).count();
            assert_eq!(count('+'), count('-'), "round {round}: {seen:?}");
        }
    }

    /// NR9 CR10: neither a panic whose payload panics when it is dropped nor a future that does ends a supervisor.
    async fn a_task_that_panics_badly_ends_only_itself() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().child(child("a", &log))).await;
        for _ in 0..RACES {
            let payload = ChildSpec::task("payload", || async { std::panic::panic_any(Bomb) });
            let future = ChildSpec::task("future", || async {
                let _bomb = Bomb;
                pending::<()>().await;
            });
            soon(sup.start_child(payload.restart(RestartPolicy::Temporary))).await.expect("it starts");
            soon(sup.start_child(future.restart(RestartPolicy::Temporary))).await.expect("it starts");
            tokio::task::yield_now().await;
            soon(sup.terminate_child("future")).await.expect("a child");
            until("both are forgotten", || ids(&sup) == ["a"]).await;
        }
        assert!(ask(&kid(&sup, "a"), add).await == 1 && sup.is_alive());
    }

    /// NR9: a closure that panics before it has made its future is a task that panics.
    async fn a_closure_that_panics_is_a_task_that_panics() {
        let faults = Faults::default();
        let (broken, log) = (faults.clone(), Log::default());
        let noted = log.clone();
        let task = ChildSpec::task("t", move || {
            if broken.strike() {
                inject();
            }
            let log = noted.clone();
            async move {
                let _trace = Trace::new("t", &log);
                pending::<()>().await;
            }
        });
        let tree = Supervisor::builder().strategy(Strategy::OneForAll).max_restarts(3, 600 * SECOND);
        let sup = rise(tree.child(task).child(child("a", &Log::default()))).await;
        faults.set(2);
        dies(&kid(&sup, "a")).await;
        until("it runs again", || !faults.left() && status(&sup, "t") == Some(Status::Running)).await;
        settled(&sup).await;
        until("its last run goes on", || log.take().last().is_some_and(|line| line == "+t")).await;
        assert!(sup.is_alive());
    }

    /// SG5: the panic of a temporary task is nobody's reason but its own.
    async fn the_panic_of_a_temporary_task_is_its_own() {
        let task = ChildSpec::task("t", || async { inject() }).restart(RestartPolicy::Temporary);
        let sup = rise(Supervisor::builder().child(task)).await;
        until("it is forgotten", || ids(&sup).is_empty()).await;
        assert!(matches!(soon(sup.stop()).await, Ok(ExitReason::Normal)));
    }
}
