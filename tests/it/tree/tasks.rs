//! Plain tasks as children: a closure that makes a future, run again as its policy says.

mod ends;

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;
use undying::{ChildError, ChildKind, ChildSpec, ExitReason, RestartPolicy, Status, Strategy, Supervisor};

use super::{Log, SECOND, child, dies, ids, info, kid, restarts, rise, settled, status, word};
use crate::{
    crash::script::soon,
    support::{Gate, RACES, inject, until},
};

/// Notes `+id` when it runs, and `-id` when its future is dropped.
struct Trace(Log, String);

impl Trace {
    fn new(id: &str, log: &Log) -> Self {
        log.add(&format!("+{id}"));
        Self(log.clone(), format!("-{id}"))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.0.add(&self.1);
    }
}

/// A task that never ends by itself, and notes its starts and ends.
fn endless(id: &'static str, log: &Log) -> ChildSpec {
    let log = log.clone();
    ChildSpec::task(id, move || {
        let log = log.clone();
        async move {
            let _trace = Trace::new(id, &log);
            pending::<()>().await;
        }
    })
}

/// A task that waits at `gate`, and then panics or returns; its runs are counted.
fn gated(gate: &Gate, panics: bool, runs: &Arc<AtomicUsize>) -> ChildSpec {
    let (gate, runs) = (gate.clone(), runs.clone());
    ChildSpec::task("task", move || {
        let (gate, runs) = (gate.clone(), runs.clone());
        async move {
            runs.fetch_add(1, SeqCst);
            gate.pass().await;
            if panics {
                inject();
            }
        }
    })
}

both! {
    /// SG5: a permanent task is run again whatever its end, a transient one after a panic, a temporary one never.
    async fn the_policy_decides_whether_a_task_is_run_again() {
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            for panics in [true, false] {
                let (gate, runs) = (Gate::new(), Arc::default());
                let task = gated(&gate, panics, &runs).restart(policy);
                let sup = rise(Supervisor::builder().child(child("a", &Log::default())).child(task)).await;
                soon(gate.arrived()).await;
                assert_eq!((status(&sup, "task"), runs.load(SeqCst)), (Some(Status::Running), 1));
                gate.open();
                let case = format!("{policy:?}, panics: {panics}");
                let again =
                    policy == RestartPolicy::Permanent || (policy == RestartPolicy::Transient && panics);
                match policy {
                    _ if again => {
                        soon(gate.arrived()).await;
                        settled(&sup).await;
                        assert_eq!((restarts(&sup, "task"), runs.load(SeqCst)), (1, 2), "{case}");
                    }
                    RestartPolicy::Transient => {
                        until("it is down", || status(&sup, "task") == Some(Status::Terminated)).await;
                        assert_eq!((sup.count().specs, sup.count().active), (2, 1));
                    }
                    _ => until("it is forgotten", || ids(&sup) == ["a"]).await,
                }
                assert_eq!(kid(&sup, "a").incarnation(), 1, "{case}");
                soon(sup.stop()).await.expect("it stops");
                assert_eq!(runs.load(SeqCst), 1 + usize::from(again), "{case}");
            }
        }
    }

    /// SG5: transient is what a task is, unless something else is said.
    async fn a_task_is_transient_by_default() {
        let sup = rise(Supervisor::builder().child(ChildSpec::task("task", || async {}))).await;
        until("it is done", || status(&sup, "task") == Some(Status::Terminated)).await;
        let info = info(&sup, "task").expect("listed");
        assert_eq!((info.kind, info.restart, info.restarts), (ChildKind::Task, RestartPolicy::Transient, 0));
        assert!(!info.is_supervisor && !info.significant);
        assert_eq!((sup.count().workers, sup.count().supervisors), (1, 0));
    }

    /// ST1: nobody waits for a task at the start: it runs beside the rest.
    async fn a_start_does_not_wait_for_a_task() {
        let log = Log::default();
        let sup =
            rise(Supervisor::builder().child(endless("t", &log)).child(child("a", &Log::default()))).await;
        until("it runs", || !log.take().is_empty()).await;
        assert_eq!(status(&sup, "t"), Some(Status::Running));
    }

    /// RI7: the panic of a task is charged; one too many ends the supervisor with what the task had to say.
    async fn panics_of_a_task_are_charged() {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let task = ChildSpec::task("task", move || {
            let n = count.fetch_add(1, SeqCst) + 1;
            async move { panic!("test: panic {n}") }
        });
        let sup = rise(Supervisor::builder().max_restarts(4, 600 * SECOND).child(task)).await;
        match soon(sup.stopped()).await {
            ExitReason::RestartLimit(report) => assert_eq!(report.message(), "test: panic 5"),
            other => panic!("{other}"),
        }
        assert_eq!(runs.load(SeqCst), 5);
    }

    /// RI9: the normal end of a permanent task is charged, too, so that one that has nothing to do does not spin.
    async fn a_permanent_task_that_returns_at_once_ends_its_supervisor() {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let task = ChildSpec::task("task", move || {
            count.fetch_add(1, SeqCst);
            async {}
        });
        let sup = rise(Supervisor::builder().child(task.restart(RestartPolicy::Permanent))).await;
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
        assert_eq!(runs.load(SeqCst), 4);
    }

    /// SG1 SG2 SG3: a task takes part in every strategy: its panic restarts others, and theirs restart it.
    async fn a_task_takes_part_in_every_strategy() {
        for (strategy, expected) in [
            (Strategy::OneForOne, &["+b"][..]),
            (Strategy::OneForAll, &["-t", "-a", "+a", "+b", "+t"]),
            (Strategy::RestForOne, &["-t", "+b", "+t"]),
        ] {
            let log = Log::default();
            let tree = Supervisor::builder().strategy(strategy);
            let tree = tree.child(child("a", &log)).child(child("b", &log)).child(endless("t", &log));
            let sup = rise(tree).await;
            let mut seen = Vec::new();
            until("the task runs", || {
                seen.extend(log.take());
                seen.len() == 3
            })
            .await;
            dies(&kid(&sup, "b")).await;
            settled(&sup).await;
            let mut seen = Vec::new();
            until("all are back", || {
                seen.extend(log.take());
                seen.len() >= expected.len()
            })
            .await;
            assert_eq!(seen, expected, "{strategy:?}");
            soon(sup.stop()).await.expect("it stops");
        }
        let (log, trigger) = (Log::default(), Arc::new(Notify::new()));
        let waits = trigger.clone();
        let task = ChildSpec::task("t", move || {
            let trigger = waits.clone();
            async move {
                trigger.notified().await;
                inject();
            }
        });
        let tree = Supervisor::builder().strategy(Strategy::OneForAll);
        let sup = rise(tree.child(child("a", &log)).child(task).child(child("b", &log))).await;
        trigger.notify_one();
        until("the others are back", || ["a", "b"].iter().all(|id| kid(&sup, id).incarnation() == 2)).await;
        assert_eq!(log.take(), ["+a", "+b", "-b", "-a", "+a", "+b"]);
        assert_eq!(restarts(&sup, "t"), 1);
    }

    /// DY6: a task can be terminated, restarted and deleted like any child.
    async fn a_task_can_be_terminated_restarted_and_deleted() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().max_restarts(0, SECOND)).await;
        soon(sup.start_child(endless("t", &log))).await.expect("it starts");
        until("it runs", || log.take() == ["+t"]).await;
        for _ in 0..RACES {
            assert!(matches!(soon(sup.restart_child("t")).await, Err(ChildError::Running)));
            assert!(matches!(soon(sup.delete_child("t")).await, Err(ChildError::Running)));
            assert!(matches!(
                soon(sup.start_child(endless("t", &log))).await,
                Err(ChildError::AlreadyStarted)
            ));
            soon(sup.terminate_child("t")).await.expect("a child");
            assert_eq!(log.take(), ["-t"]);
            assert_eq!(status(&sup, "t"), Some(Status::Terminated));
            assert!(matches!(
                soon(sup.start_child(endless("t", &log))).await,
                Err(ChildError::AlreadyPresent)
            ));
            soon(sup.restart_child("t")).await.expect("it is down");
            until("it runs", || log.take() == ["+t"]).await;
        }
        soon(sup.terminate_child("t")).await.expect("a child");
        soon(sup.delete_child("t")).await.expect("it is down");
        assert!(ids(&sup).is_empty());
    }
}
