//! Families whose runtime goes down, or whose own tasks die: nobody waits for them for ever.

use std::{sync::Arc, thread, time::Duration};

use futures::executor::block_on;
use tokio::runtime::{Builder, Runtime};
use undying::{CallError, ChildError, ExitReason, Registry};

use super::{child, counter, family, holder, start, start_crowd};
use crate::{
    crash::script::{add, ask, soon},
    support::{quiet, until},
};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Awaits on this thread what the death of another runtime has to bring about.
#[track_caller]
fn here<F: Future + Send + 'static>(what: F) -> F::Output
where
    F::Output: Send,
{
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || done.send(block_on(what)));
    let output = is_done.recv_timeout(Duration::from_secs(20)).expect("resolved, not hung");
    thread.join().expect("no panic").expect("it was received");
    output
}

/// G12 K14: of a tree whose runtime goes down, at whatever moment, everything ends: supervisors, servers, names, callers.
#[test]
fn a_runtime_that_goes_down_takes_its_trees_with_it() {
    quiet();
    for round in 0..40_u64 {
        let (registry, token, there) = (Registry::new(), Arc::new(()), runtime());
        let (tree, crowd, server, deep, dynamic) = there.block_on(async {
            let nested = family().id("nested").child(holder("deep", &token).name_in(&registry, "deep"));
            let tree = start(family().child(holder("a", &token).name_in(&registry, "a")).child(nested)).await;
            let crowd = start_crowd().await;
            let dynamic = soon(crowd.start_child(holder("d", &token))).await.expect("it starts");
            let deep = child(&tree.supervisor("nested").expect("there"), "deep");
            (tree.clone(), crowd, child(&tree, "a"), deep, dynamic)
        });
        match round % 4 {
            0 => server.kill(),
            1 => drop(there.spawn({
                let tree = tree.clone();
                async move { tree.stop().await }
            })),
            2 => drop(there.spawn({
                let (tree, crowd) = (tree.clone(), crowd.clone());
                async move { tree.transfer("a", &crowd).await }
            })),
            _ => dynamic.kill(),
        }
        thread::sleep(Duration::from_micros(round / 4 * 30));
        there.shutdown_background();
        for server in [server, deep, dynamic] {
            let ended = server.clone();
            here(async move { ended.stopped().await });
            // The runtime goes down in the background: until it has, another life may still serve.
            let patience = std::time::Instant::now() + Duration::from_secs(20);
            let call = || {
                let called = server.clone();
                here(async move { called.call(add).no_timeout().await })
            };
            while call().is_ok() {
                assert!(std::time::Instant::now() < patience, "it is served for ever");
            }
        }
        let (ended, gone) = (tree.clone(), crowd.clone());
        here(async move { ended.stopped().await });
        here(async move { gone.stopped().await });
        let asked = tree.clone();
        let refused = here(async move { asked.start_child(counter("late")).await });
        assert!(matches!(refused, Err(ChildError::NoProc)), "{refused:?}");
        let asked = crowd.clone();
        let refused = here(async move { asked.start_child(counter("late")).await.map(drop) });
        assert!(matches!(refused, Err(ChildError::NoProc)), "{refused:?}");
        assert!(tree.children().is_empty() && crowd.children().is_empty());
        let patience = std::time::Instant::now() + Duration::from_secs(20);
        while Arc::strong_count(&token) > 1 || !registry.names().is_empty() {
            assert!(
                std::time::Instant::now() < patience,
                "{} {:?}",
                Arc::strong_count(&token),
                registry.names()
            );
            thread::yield_now();
        }
    }
}

/// A server that waits for another life when the runtime goes down is over, and its callers hear so.
#[test]
fn a_server_between_two_lives_ends_with_its_runtime() {
    quiet();
    let there = runtime();
    let long = undying::Backoff::exponential(Duration::from_secs(3_600), Duration::from_secs(3_600));
    let server = there.block_on(async {
        let tree = start(family().backoff(long).child(counter("a"))).await;
        let server = child(&tree, "a");
        server.kill();
        until("it waits", || server.status() == undying::Status::Restarting).await;
        server
    });
    let waiting = thread::spawn({
        let server = server.clone();
        move || block_on(async { server.call(add).no_timeout().await })
    });
    thread::sleep(Duration::from_millis(20));
    there.shutdown_background();
    let ended = server.clone();
    here(async move { ended.stopped().await });
    assert!(matches!(waiting.join().expect("no panic"), Err(CallError::Stopped(_) | CallError::NoProc)));
    assert!(!server.is_alive());
}

/// A handle of a tree works from any thread and any runtime; what is started by it lives where the tree lives.
#[test]
fn children_that_are_started_from_elsewhere_live_where_their_supervisor_lives() {
    quiet();
    let (there, elsewhere) = (runtime(), runtime());
    let (tree, crowd) = there.block_on(async { (start(family()).await, start_crowd().await) });
    let (server, dynamic) = elsewhere.block_on(async {
        soon(tree.start_child(counter("a"))).await.expect("it starts");
        (child(&tree, "a"), soon(crowd.start_child(counter("d"))).await.expect("it starts"))
    });
    elsewhere.shutdown_background();
    there.block_on(async {
        for server in [&server, &dynamic] {
            assert_eq!(ask(server, add).await, 1);
            server.kill();
            soon(server.wait_incarnation(2)).await.expect("another life");
            assert_eq!(ask(server, add).await, 1);
        }
        assert!(matches!(soon(tree.stop()).await, Ok(ExitReason::Normal)));
        assert!(matches!(soon(crowd.stop()).await, Ok(ExitReason::Normal)));
    });
}
