//! Orders that meet a restart: none is forgotten, and nobody waits for a word that nobody will give.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::yield_now;
use undying::{
    Backoff, ChildError, ExitReason, Next, ServerRef, ServerSpec, Status, Strategy, SupervisorRef,
};

use super::{child, counter, crowd, family, holder, start, start_crowd};
use crate::{
    crash::script::{Script, add, ask, soon},
    support::{RACES, inject, until},
};

/// A server whose `init` panics while `broken`.
fn fragile(id: &str, broken: &Arc<AtomicBool>) -> ServerSpec<Script<u64>> {
    let broken = broken.clone();
    let script =
        Script::new().on_init(move |_: &mut u64| if broken.load(SeqCst) { inject() } else { Ok(Next::Wait) });
    ServerSpec::new(script, 0).id(id)
}

/// What a supervisor has is what runs, or what is about to.
async fn settles(tree: &SupervisorRef, servers: &[ServerRef<Script<u64>>]) {
    for server in servers {
        until("it runs or is over", || matches!(server.status(), Status::Running | Status::Terminated)).await;
    }
    let is_as_listed = |server: &ServerRef<Script<u64>>| {
        let listed = tree.children().into_iter().find(|info| info.server == server.id());
        listed.map_or_else(|| !server.is_alive(), |info| info.status == server.status())
    };
    // On another thread a server may serve a moment before its supervisor has noted that.
    until("the list says what there is", || servers.iter().all(is_as_listed)).await;
}

both! {
    /// A stop that was answered with `Normal` is the end: a transient child does not come back after it, whatever its supervisor
    /// was about to do.
    async fn who_was_stopped_while_it_waited_stays_away() {
        for round in 0..2 * RACES {
            let tree = start(family().child(counter("a"))).await;
            let server = child(&tree, "a");
            server.kill();
            for _ in 0..round % 12 {
                yield_now().await;
            }
            let stopped = soon(server.stop()).await;
            if stopped.is_ok_and(|exit| matches!(exit.reason, ExitReason::Normal)) {
                until("the end is known", || tree.count().active == 0).await;
                // Whatever was begun before the stop is done after this.
                soon(tree.start_child(counter("later"))).await.expect("it starts");
                assert!(!server.is_alive(), "it was stopped");
                assert_eq!(tree.children()[0].status, Status::Terminated);
            }
            soon(tree.stop()).await.expect("it ran");
            assert!(!server.is_alive());
        }
    }

    /// A child that is terminated while its dynamic supervisor restarts it is over when that is answered.
    async fn who_is_terminated_while_it_is_restarted_is_over() {
        let crowd = start_crowd().await;
        for round in 0..2 * RACES {
            let server = soon(crowd.start_child(counter("a"))).await.expect("it starts");
            server.kill();
            for _ in 0..round % 12 {
                yield_now().await;
            }
            let done = soon(crowd.terminate_child(server.id())).await;
            assert!(done.is_ok(), "{done:?}");
            assert!(!server.is_alive(), "it was terminated");
            assert_eq!(crowd.count().specs, 0);
        }
        soon(crowd.stop()).await.expect("it ran");
    }

    /// The same while a pool of children is killed, terminated and stopped all at once.
    async fn kills_and_terminations_of_many_end_with_nobody() {
        for round in 0..RACES / 4 {
            let crowd = start_crowd().await;
            let mut servers = Vec::new();
            for _ in 0..6 {
                servers.push(soon(crowd.start_child(counter("x"))).await.expect("it starts"));
            }
            let workers: Vec<_> = servers.iter().cloned().enumerate().map(|(n, server)| {
                let crowd = crowd.clone();
                tokio::spawn(async move {
                    for _ in 0..3 {
                        server.kill();
                        for _ in 0..(n + round) % 5 {
                            yield_now().await;
                        }
                    }
                    if n % 2 == 0 {
                        let _ = crowd.terminate_child(server.id()).await;
                    }
                })
            }).collect();
            for _ in 0..round % 9 {
                yield_now().await;
            }
            soon(crowd.stop()).await.expect("it ran");
            for worker in workers {
                soon(worker).await.expect("no panic");
            }
            assert!(servers.iter().all(|server| !server.is_alive()), "a crowd that is over has nobody");
        }
    }

    /// A child that somebody terminates before it has begun, since it was seen in the list, does not begin after that.
    async fn who_is_terminated_before_it_begins_does_not_begin() {
        let crowd = start_crowd().await;
        let over = Arc::new(AtomicBool::new(false));
        let hunter = {
            let (crowd, over) = (crowd.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(SeqCst) {
                    for prey in crowd.children() {
                        let _ = crowd.terminate_child(prey.server).await;
                    }
                    yield_now().await;
                }
            })
        };
        let mut started = Vec::new();
        for _ in 0..5 * RACES {
            started.extend(soon(crowd.start_child(counter("prey"))).await);
        }
        over.store(true, SeqCst);
        soon(hunter).await.expect("no panic");
        soon(crowd.stop()).await.expect("it ran");
        assert_eq!(started.iter().filter(|server| server.is_alive()).count(), 0, "nobody is left behind");
    }

    /// A child that is started while its dynamic supervisor is stopped was started before that, and is stopped, or was not.
    async fn a_start_during_a_stop_leaves_nobody_behind() {
        for round in 0..RACES {
            let crowd = start_crowd().await;
            let started = {
                let crowd = crowd.clone();
                tokio::spawn(async move { crowd.start_child(counter("a")).await })
            };
            for _ in 0..round % 6 {
                yield_now().await;
            }
            soon(crowd.stop()).await.expect("it ran");
            match soon(started).await.expect("no panic") {
                Ok(server) => assert!(!server.is_alive(), "nobody is left behind"),
                Err(error) => assert!(matches!(error, ChildError::NoProc | ChildError::Start(_)), "{error:?}"),
            }
            assert!(crowd.children().is_empty());
        }
    }

    /// The same of a static supervisor.
    async fn an_ordered_start_during_a_stop_leaves_nobody_behind() {
        for round in 0..RACES {
            let tree = start(family().child(counter("first"))).await;
            let held = Arc::new(());
            let started = {
                let (tree, spec) = (tree.clone(), holder("a", &held));
                tokio::spawn(async move { tree.start_child(spec).await })
            };
            for _ in 0..round % 6 {
                yield_now().await;
            }
            soon(tree.stop()).await.expect("it ran");
            if let Err(error) = soon(started).await.expect("no panic") {
                assert!(matches!(error, ChildError::NoProc | ChildError::Start(_)), "{error:?}");
            }
            until("nothing of it is left", || Arc::strong_count(&held) == 1).await;
        }
    }

    /// Two stops at once: both return when it is over, one of them as the one that did it.
    async fn two_stops_at_once_both_return() {
        for _ in 0..RACES {
            let tree = start(family().child(counter("a"))).await;
            let server = child(&tree, "a");
            let other = tokio::spawn({ let tree = tree.clone(); async move { tree.stop().await } });
            let one = soon(tree.stop()).await;
            assert!(!server.is_alive());
            let other = soon(other).await.expect("no panic");
            assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        }
    }

    /// Those that were stopped for a restart that was called off run again or are over: nobody waits for ever, whoever is listed.
    async fn a_restart_that_is_called_off_leaves_nobody_waiting() {
        for way in 0..4 {
            let broken = Arc::new(AtomicBool::new(false));
            let gate = Backoff::exponential(Duration::from_millis(200), Duration::from_secs(3_600));
            let tree = family().strategy(Strategy::RestForOne).backoff(gate);
            let tree = start(tree.child(fragile("a", &broken)).child(counter("b")).child(counter("c"))).await;
            let servers = ["a", "b", "c"].map(|id| child(&tree, id));
            broken.store(true, SeqCst);
            servers[0].kill();
            // Its first restart has failed: the others were stopped for it.
            until("the group is down", || !matches!(servers[1].status(), Status::Running)).await;
            until("it waits for the next attempt", || servers[0].status() != Status::Starting && tree.count().active == 0).await;
            match way {
                0 => soon(tree.terminate_child("a")).await.expect("it is there"),
                1 => {
                    let crowd = crowd().start().await.expect("it starts");
                    let moved = soon(tree.transfer("a", &crowd)).await;
                    soon(crowd.stop()).await.expect("it ran");
                    if moved.is_err() {
                        // It is as it was.
                        soon(tree.terminate_child("a")).await.expect("it is there");
                    }
                }
                2 => {
                    soon(tree.terminate_child("b")).await.expect("it is there");
                    soon(tree.terminate_child("a")).await.expect("it is there");
                }
                _ => {
                    let _ = soon(tree.delete_child("b")).await;
                    soon(tree.terminate_child("a")).await.expect("it is there");
                }
            }
            settles(&tree, &servers).await;
            broken.store(false, SeqCst);
            for id in ["b", "c"] {
                if tree.children().iter().any(|info| info.id == id && info.status == Status::Terminated) {
                    soon(tree.restart_child(id)).await.expect("it is down");
                }
            }
            for (id, server) in [("b", &servers[1]), ("c", &servers[2])] {
                if tree.children().iter().any(|info| info.id == id) {
                    assert_eq!(ask(server, add).await, 1);
                }
            }
            soon(tree.stop()).await.expect("it ran");
            assert!(servers.iter().all(|server| !server.is_alive()));
        }
    }
}
