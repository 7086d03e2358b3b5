//! A runtime that ends takes its supervisors and their children with it, whatever their restart policies say: whoever waits for
//! one of them is told, from wherever, and the runtime itself is not held up.

use std::{sync::mpsc, thread, time::Duration};

use futures::executor::block_on;
use tokio::runtime::{Builder, Runtime};
use undying::{
    ChildError, ChildSpec, DynamicSupervisor, ExitReason, PartitionSupervisor, Registry, RestartPolicy,
    Status, StopError, Supervisor, TransferError,
};

use super::{
    homes::Home,
    parts::{Counter, SECOND, child, counter, family},
};
use crate::{
    crash::script::soon,
    support::{RACES, quiet},
};

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(20);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}

/// Ends the runtime, and sees to it that this comes to an end itself.
fn end(runtime: Runtime) {
    let (ended, over) = mpsc::channel();
    thread::spawn(move || {
        drop(runtime);
        ended.send(()).expect("somebody waits");
    });
    over.recv_timeout(PATIENCE).expect("the runtime is held up by its servers");
}

/// Runs `wait` beside the end of its runtime, and gives what came of it.
fn told<T: Send + 'static>(wait: impl Future<Output = T> + Send + 'static) -> mpsc::Receiver<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(block_on(wait)));
    told
}

/// K14: supervisors of both kinds, with children that are always restarted, end with their runtime, and at once.
#[test]
fn the_end_of_a_runtime_ends_supervisors_and_children() {
    quiet();
    for round in 0..RACES as u64 {
        let (runtime, names) = (runtime(2), Registry::new());
        let (home, servers) = runtime.block_on(async {
            let home = if round % 2 == 0 { Home::fixed().await } else { Home::dynamic().await };
            let mut servers = Vec::new();
            for id in ["a", "b", "c", "d"] {
                let spec = counter().restart(RestartPolicy::Permanent).name_in(&names, id);
                servers.push(home.bear(id, spec).await);
            }
            (home, servers)
        });
        let waiting = home.clone();
        let reason = told(async move {
            match waiting {
                Home::Static(parent) => parent.stopped().await,
                Home::Dynamic(parent) => parent.stopped().await,
            }
        });
        let ends: Vec<_> = servers
            .iter()
            .cloned()
            .map(|server| told(async move { server.stopped().await.reason }))
            .collect();
        thread::sleep(Duration::from_micros(round * 5));
        end(runtime);
        let reason = reason.recv_timeout(PATIENCE).expect("it is told");
        assert!(matches!(reason, ExitReason::Killed), "{reason}");
        for (server, end) in servers.iter().zip(ends) {
            let reason = end.recv_timeout(PATIENCE).expect("it is told");
            assert!(matches!(reason, ExitReason::Killed), "{reason}");
            assert_eq!(server.status(), Status::Terminated);
        }
        assert!(names.names().is_empty() && home.children().is_empty() && !home.is_alive());
    }
}

/// K14: a whole tree, with supervisors below supervisors, ends with its runtime, also while servers are dying in it.
#[test]
fn the_end_of_a_runtime_ends_a_tree() {
    quiet();
    for round in 0..RACES as u64 {
        let runtime = runtime(1 + round as usize % 2);
        let root = runtime.block_on(async {
            let unlimited = || Supervisor::builder().max_restarts(u32::MAX, SECOND);
            let root = unlimited()
                .child(unlimited().id("inner").child(counter().id("dies")).child(counter().id("other")))
                .child(DynamicSupervisor::builder().id("dynamic").max_restarts(u32::MAX, SECOND))
                .child(PartitionSupervisor::new(3, |_| counter()).max_restarts(u32::MAX, SECOND))
                .child(ChildSpec::task("task", std::future::pending::<()>).restart(RestartPolicy::Permanent));
            let root = soon(root.start()).await.expect("it starts");
            let dies = root
                .supervisor("inner")
                .and_then(|inner| inner.server::<Counter>("dies"))
                .expect("it is there");
            let second = child(&root.dynamic_supervisor("dynamic").expect("it is there")).await;
            tokio::spawn(async move {
                loop {
                    dies.kill();
                    second.kill();
                    tokio::task::yield_now().await;
                }
            });
            root
        });
        let waiting = root.clone();
        let reason = told(async move { waiting.stopped().await });
        thread::sleep(Duration::from_micros(round * 10));
        end(runtime);
        let reason = reason.recv_timeout(PATIENCE).expect("it is told");
        assert!(matches!(reason, ExitReason::Killed), "{reason}");
        assert!(!root.is_alive() && root.children().is_empty());
    }
}

/// K13: what is asked of a supervisor whose runtime has ended is answered.
#[test]
fn a_supervisor_without_a_runtime_answers() {
    quiet();
    let runtime = runtime(2);
    let (parent, fixed) = runtime.block_on(async { (Home::dynamic().await, family(["a"]).await) });
    end(runtime);
    let Home::Dynamic(parent) = parent else { unreachable!("it is dynamic") };
    let elsewhere = Builder::new_current_thread().enable_all().build().expect("a runtime");
    elsewhere.block_on(async {
        assert!(matches!(soon(parent.stop()).await, Err(StopError::NoProc)));
        assert!(matches!(soon(fixed.stop()).await, Err(StopError::NoProc)));
        let refused = soon(parent.start_child(counter())).await;
        assert!(matches!(refused, Err(ChildError::NoProc)), "{refused:?}");
        let refused = [
            soon(fixed.start_child(counter().id("b"))).await,
            soon(fixed.terminate_child("a")).await,
            soon(fixed.restart_child("a")).await,
            soon(fixed.delete_child("a")).await,
            soon(parent.terminate_child(parent.id())).await,
        ];
        assert!(refused.iter().all(|refused| matches!(refused, Err(ChildError::NoProc))), "{refused:?}");
        let refused = soon(fixed.transfer("a", &parent)).await;
        assert!(matches!(refused, Err(TransferError::NoProc)), "{refused:?}");
        assert_eq!((fixed.tree().root().status, fixed.count().specs), (Status::Terminated, 0));
        fixed.kill();
        drop(fixed.into_guard());
    });
}
