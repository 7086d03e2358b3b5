//! How a dynamic supervisor ends, and its children with it: all at once, each as its own `shutdown` has it.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{
    CallError, ChildError, DynamicSupervisor, DynamicSupervisorRef, ExitReason, Next, Registry, Reply,
    Shutdown, StartError, StopError, Supervisor,
};

use super::parts::{Life, SECOND, born, child, counter, mortal, nursery, reborn, started};
use crate::{
    crash::script::{Job, add, ask, inc, slow, soon, tell},
    effects::{Log, held, tasks},
    support::{RACES, quiet, until},
};

/// A server whose `terminate` takes so long.
fn slow_to_die(takes: Duration, log: &Log<&'static str>) -> Life {
    let log = log.clone();
    Life::new().dies(move |reason| {
        let log = log.clone();
        async move {
            assert!(matches!(reason, ExitReason::Shutdown), "{reason}");
            log.note("begin");
            sleep(takes).await;
            log.note("end");
        }
    })
}

/// A call that stops `parent` in the callback, and answers what came of it.
fn stop_within(parent: &DynamicSupervisorRef) -> impl FnOnce(Reply<Option<StopError>>) -> Job<u64> + use<> {
    let parent = parent.clone();
    move |reply| {
        slow(move |_, _| {
            Box::pin(async move {
                reply.send(parent.stop().await.err());
                Ok(Next::Wait)
            })
        })
    }
}

/// SH5: a hundred children that take a second each to end take a second together.
#[tokio::test(start_paused = true)]
async fn children_end_beside_each_other() {
    quiet();
    let (parent, log) = (nursery().await, Log::new());
    for _ in 0..100 {
        born(&parent, slow_to_die(SECOND, &log).spec()).await;
    }
    let begin = Instant::now();
    let reason = parent.stop().await.expect("it stops");
    assert!(matches!(reason, ExitReason::Normal), "{reason}");
    assert_eq!(begin.elapsed(), SECOND);
    let notes = log.notes();
    assert!(notes[..100].iter().all(|&note| note == "begin"), "all have begun before the first has ended");
    assert_eq!(notes.len(), 200);
}

/// SH3 SH5: each child has the time its `shutdown` gives it, and nobody waits longer than the slowest.
#[tokio::test(start_paused = true)]
async fn each_child_has_the_time_its_shutdown_gives_it() {
    quiet();
    let (parent, log) = (nursery().await, Log::new());
    let killed = born(&parent, slow_to_die(SECOND, &log).spec().shutdown(Shutdown::BrutalKill)).await;
    let endless = Life::new().dies(|_| pending()).spec().shutdown(Shutdown::Timeout(SECOND * 2));
    let late = born(&parent, endless).await;
    let patient = born(&parent, slow_to_die(SECOND * 60, &log).spec().shutdown(Shutdown::Infinity)).await;
    let busy = born(&parent, counter().shutdown(Shutdown::Timeout(SECOND))).await;
    let _gate = held(&busy).await;
    let begin = Instant::now();
    let ends = async {
        killed.stopped().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let reason = busy.stopped().await.reason;
        assert_eq!((begin.elapsed(), reason.to_string()), (SECOND, "killed".into()));
        let reason = late.stopped().await.reason;
        assert_eq!((begin.elapsed(), reason.to_string()), (SECOND * 2, "killed".into()));
        let reason = patient.stopped().await.reason;
        assert_eq!((begin.elapsed(), reason.to_string()), (SECOND * 60, "shutdown".into()));
    };
    let (stopped, ()) = tokio::join!(parent.stop(), ends);
    stopped.expect("it stops");
    assert_eq!(begin.elapsed(), SECOND * 60);
    assert_eq!(log.notes(), ["begin", "end"]);
}

both! {
    /// SH6: what children have queued before the stop is handled; then all is over, names are free, nothing is left.
    async fn a_stop_ends_all_in_good_order() {
        let before = tasks();
        let (parent, log, names) = (nursery().await, Log::new(), Registry::new());
        let mut children = Vec::new();
        for name in ["a", "b", "c"] {
            let server = born(&parent, mortal(name, &log).name_in(&names, name)).await;
            for _ in 0..10 {
                tell(&server, inc()).await;
            }
            children.push(server);
        }
        assert!(parent.is_alive());
        let waiting = tokio::spawn({
            let parent = parent.clone();
            async move { parent.stopped().await }
        });
        let reason = soon(parent.stop()).await.expect("it stops");
        assert!(matches!(reason, ExitReason::Normal), "{reason}");
        assert!(matches!(soon(waiting).await.expect("no panic"), ExitReason::Normal));
        assert!(matches!(soon(parent.stopped()).await, ExitReason::Normal));
        assert!(!parent.is_alive() && names.names().is_empty());
        for server in &children {
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::Shutdown), "{}", exit.reason);
            assert_eq!(*exit.state, 10);
            assert!(matches!(soon(server.call(add)).await, Err(CallError::NoProc)));
        }
        let mut notes = log.notes();
        notes.sort_unstable();
        let shutdown = ExitReason::Shutdown;
        assert_eq!(notes, [format!("a {shutdown}"), format!("b {shutdown}"), format!("c {shutdown}")]);
        assert!(matches!(soon(parent.stop()).await, Err(StopError::NoProc)));
        until("no task is left", || tasks() == before).await;
    }

    /// SP13: of stops at the same time each returns, and children end once.
    async fn concurrent_stops_all_return() {
        for _ in 0..RACES {
            let (parent, log) = (nursery().await, Log::new());
            born(&parent, mortal("child", &log)).await;
            let stops: Vec<_> = (0..3)
                .map(|_| {
                    let parent = parent.clone();
                    tokio::spawn(async move { parent.stop().await })
                })
                .collect();
            let mut stopped = 0;
            for stop in stops {
                match soon(stop).await.expect("no panic") {
                    Ok(reason) => {
                        assert!(matches!(reason, ExitReason::Normal), "{reason}");
                        stopped += 1;
                    }
                    Err(error) => assert!(matches!(error, StopError::NoProc), "{error}"),
                }
            }
            assert!(stopped >= 1);
            assert_eq!(log.len(), 1);
        }
    }

    /// SP9: a kill ends all at once, without `terminate`.
    async fn a_kill_ends_all_at_once() {
        let before = tasks();
        for _ in 0..RACES {
            let (parent, log) = (nursery().await, Log::new());
            let children = [
                born(&parent, mortal("idle", &log)).await,
                born(&parent, mortal("busy", &log)).await,
                born(&parent, mortal("patient", &log).shutdown(Shutdown::Infinity)).await,
            ];
            let _gate = held(&children[1]).await;
            parent.kill();
            assert!(matches!(soon(parent.stopped()).await, ExitReason::Killed));
            for server in &children {
                let reason = soon(server.stopped()).await.reason;
                assert!(matches!(reason, ExitReason::Killed), "{reason}");
            }
            assert_eq!(log.len(), 0);
            assert!(parent.children().is_empty() && !parent.is_alive());
            let late = soon(parent.start_child(counter())).await;
            assert!(matches!(late, Err(ChildError::NoProc)), "{late:?}");
        }
        until("no task is left", || tasks() == before).await;
    }

    /// SP5: a callback that waits for the end of a supervisor above it could only ever wait: it is told.
    async fn a_child_cannot_wait_for_its_supervisors_end() {
        let root = Supervisor::builder().child(DynamicSupervisor::builder().id("dynamic"));
        let root = soon(root.start()).await.expect("it starts");
        let parent = root.dynamic_supervisor("dynamic").expect("it is there");
        let server = child(&parent).await;
        assert_eq!(ask(&server, stop_within(&parent)).await, Some(StopError::CallingSelf));
        assert!(parent.is_alive());
        // A supervisor beside it is another matter.
        let beside = nursery().await;
        assert_eq!(ask(&server, stop_within(&beside)).await, None);
        assert!(!beside.is_alive());
        assert_eq!(ask(&server, add).await, 1);
    }

    /// SH8: dropping the handles of a supervisor ends nothing; dropping its guard shuts all down in good order.
    async fn the_drop_of_a_guard_shuts_all_down() {
        let (parent, log) = (nursery().await, Log::new());
        let server = born(&parent, mortal("child", &log)).await;
        drop(parent.clone());
        assert_eq!(ask(&server, add).await, 1);
        let guard = parent.clone().into_guard();
        assert_eq!(ask(&server, add).await, 2);
        drop(guard);
        assert!(matches!(soon(parent.stopped()).await, ExitReason::Shutdown));
        assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Shutdown));
        assert_eq!(log.notes(), [format!("child {}", ExitReason::Shutdown)]);
        drop(parent.into_guard());
    }

    /// A supervisor nobody has a handle of lives on.
    async fn a_supervisor_without_handles_lives_on() {
        let parent = nursery().await;
        let server = child(&parent).await;
        drop(parent);
        for _ in 0..3 {
            reborn(&server).await;
            assert_eq!(ask(&server, add).await, 1);
        }
        server.stop_with(ExitReason::Shutdown).await.expect("a server");
    }

    /// SP1: a dynamic supervisor without children stops, too, and one that nobody ever used.
    async fn an_empty_supervisor_stops() {
        let before = tasks();
        let parent = started(DynamicSupervisor::builder().id("empty")).await;
        assert!(matches!(soon(parent.stop()).await, Ok(ExitReason::Normal)));
        until("no task is left", || tasks() == before).await;
    }
}

/// ST11: a window of no length is refused before anything starts.
#[tokio::test]
async fn a_window_of_no_length_is_refused() {
    quiet();
    let before = tasks();
    let refused = DynamicSupervisor::builder().max_restarts(1, Duration::ZERO).start().await;
    assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
    assert_eq!(tasks(), before);
}
