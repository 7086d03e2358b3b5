//! Children that are started under a dynamic supervisor, listed, terminated and forgotten.

use std::{
    future::pending,
    sync::{Arc, Weak},
};

use undying::{
    CallError, ChildError, ChildKind, Crash, DynamicSupervisorRef, ExitReason, Mailbox, Next, Registry,
    RestartPolicy, ServerSpec, Shutdown, StartError, Status,
};

use super::parts::{
    Counter, Life, SECOND, born, child, counter, entry, is, mortal, nursery, reborn, servers,
};
use crate::{
    crash::script::{Script, add, ask, boom, get, inc, serves, set, soon, stop, tell},
    effects::{Log, tasks},
    support::{RACES, inject, quiet, until},
};

/// Nothing of `parent`'s is left.
fn is_empty(parent: &DynamicSupervisorRef) -> bool {
    let count = parent.count();
    parent.children().is_empty()
        && [count.specs, count.active, count.supervisors, count.workers].iter().all(|&n| n == 0)
}

both! {
    /// DY1: a child that starts is given to its starter and is listed.
    async fn a_child_that_starts_is_listed() {
        let parent = nursery().await;
        let server = born(&parent, counter().name_in(&Registry::new(), "first").id("one")).await;
        assert_eq!(ask(&server, add).await, 1);
        let listed = entry(parent.children(), server.id()).expect("it is listed");
        assert_eq!((listed.id.as_str(), listed.status), ("one", Status::Running));
        assert_eq!((listed.kind, listed.is_supervisor), (ChildKind::Server, false));
        assert_eq!((listed.restarts, listed.significant), (0, false));
        assert_eq!(listed.restart, RestartPolicy::Transient);
        // An id is no name: it may be there twice.
        let second = born(&parent, counter().id("one").restart(RestartPolicy::Permanent)).await;
        assert_ne!(second.id(), server.id());
        assert_eq!(ask(&second, get).await, 0);
        let listed = entry(parent.children(), second.id()).expect("it is listed");
        assert_eq!((listed.id.as_str(), listed.restart), ("one", RestartPolicy::Permanent));
        let mut both = [server.id(), second.id()];
        both.sort_unstable();
        assert_eq!(servers(&parent.children()), both);
    }

    /// DY1: a child without an id goes by its name, and without a name by its number: there are many of its type.
    async fn a_child_without_an_id_goes_by_its_name_or_number() {
        let parent = nursery().await;
        let named = born(&parent, counter().name_in(&Registry::new(), "named")).await;
        let (plain, life) = (child(&parent).await, born(&parent, Life::new().spec()).await);
        let id = |server| entry(parent.children(), server).expect("it is listed").id;
        assert_eq!(id(named.id()), "named");
        for number in [plain.id(), life.id()] {
            assert_eq!(id(number), number.to_string());
        }
    }

    /// DY1: a child whose `init` ignores, fails or panics is not kept, a hundred times, and the supervisor goes on.
    async fn a_child_that_does_not_start_is_not_kept() {
        let (parent, names) = (nursery().await, Registry::new());
        let other = child(&parent).await;
        let before = tasks();
        for _ in 0..100 {
            let spec = |script: Counter| ServerSpec::new(script, 0).name_in(&names, "stillborn");
            let ignored = soon(parent.start_child(spec(Script::new().on_init(|_| Ok(Next::Ignore))))).await;
            assert!(matches!(ignored, Err(ChildError::Start(StartError::Ignored))), "{ignored:?}");
            let failing = Script::new().on_init(|_| Err(Crash::msg("test: no")));
            let failed = soon(parent.start_child(spec(failing))).await;
            let Err(ChildError::Start(StartError::Init(report))) = failed else { panic!("{failed:?}") };
            assert_eq!(report.message(), "test: no");
            let panicked = soon(parent.start_child(spec(Script::new().on_init(|_| inject())))).await;
            assert!(matches!(panicked, Err(ChildError::Start(StartError::Init(_)))), "{panicked:?}");
            assert_eq!(servers(&parent.children()), [other.id()]);
            assert!(names.names().is_empty());
        }
        until("nothing of them is left", || tasks() == before).await;
        assert_eq!((parent.count().specs, parent.count().active), (1, 1));
        assert_eq!(ask(&other, add).await, 1);
        assert_eq!(ask(&child(&parent).await, add).await, 1);
    }

    /// DY1: a child whose name is taken does not start, and is told by whom.
    async fn a_child_whose_name_is_taken_does_not_start() {
        let (parent, names) = (nursery().await, Registry::new());
        let first = born(&parent, counter().name_in(&names, "only")).await;
        let second = soon(parent.start_child(counter().name_in(&names, "only"))).await;
        let Err(ChildError::Start(StartError::AlreadyStarted(holder))) = second else { panic!("{second:?}") };
        assert_eq!(holder, first.id());
        assert_eq!(servers(&parent.children()), [first.id()]);
    }

    /// DY1 ST11: a child that makes no sense is refused before any task is spawned. Nobody shuts a dynamic supervisor down
    /// because a child was significant.
    async fn a_child_that_makes_no_sense_is_refused() {
        let parent = nursery().await;
        let before = tasks();
        let specs = [
            counter().mailbox(Mailbox::bounded(0)),
            counter().significant(true),
            counter().significant(true).restart(RestartPolicy::Temporary),
            counter().significant(true).restart(RestartPolicy::Permanent),
        ];
        for spec in specs {
            let refused = soon(parent.start_child(spec)).await;
            assert!(matches!(refused, Err(ChildError::Start(StartError::Config(_)))), "{refused:?}");
        }
        assert_eq!(tasks(), before);
        assert!(is_empty(&parent));
    }

    /// DY3: a terminated child is stopped in good order and forgotten; there is nothing to terminate twice.
    async fn a_terminated_child_is_stopped_and_forgotten() {
        let (parent, log, names) = (nursery().await, Log::new(), Registry::new());
        let server = born(&parent, mortal("child", &log).name_in(&names, "child")).await;
        let other = child(&parent).await;
        let monitor = server.monitor();
        // What was queued before is handled first.
        for _ in 0..10 {
            tell(&server, inc()).await;
        }
        soon(parent.terminate_child(server.id())).await.expect("a child");
        assert_eq!((server.status(), *server.peek()), (Status::Terminated, 10));
        assert_eq!(log.notes(), [format!("child {}", ExitReason::Shutdown)]);
        assert!(matches!(soon(monitor).await.reason, ExitReason::Shutdown));
        assert!(names.names().is_empty());
        assert!(matches!(server.call(get).await, Err(CallError::NoProc)));
        assert_eq!(servers(&parent.children()), [other.id()]);
        for _ in 0..2 {
            let again = soon(parent.terminate_child(server.id())).await;
            assert!(matches!(again, Err(ChildError::NotFound)), "{again:?}");
        }
        assert_eq!(ask(&other, add).await, 1);
    }

    /// DY3: what is no child of this supervisor cannot be terminated by it.
    async fn only_a_child_can_be_terminated() {
        let (parent, elsewhere) = (nursery().await, nursery().await);
        let (stranger, orphan) = (child(&elsewhere).await, counter().start().await.expect("it starts"));
        for id in [stranger.id(), orphan.id(), parent.id(), elsewhere.id()] {
            let refused = soon(parent.terminate_child(id)).await;
            assert!(matches!(refused, Err(ChildError::NotFound)), "{refused:?}");
        }
        assert_eq!(ask(&stranger, add).await, 1);
        assert_eq!(ask(&orphan, add).await, 1);
        stop(&orphan).await;
    }

    /// DY3: of two who terminate a child one does it, and both return when it is over.
    async fn a_child_terminated_twice_at_once_is_terminated_once() {
        let parent = nursery().await;
        for _ in 0..RACES {
            let log = Log::new();
            let server = born(&parent, mortal("child", &log)).await;
            let mut terminated = 0;
            let racers: Vec<_> = (0..3)
                .map(|_| {
                    let (parent, server) = (parent.clone(), server.clone());
                    tokio::spawn(async move {
                        let result = parent.terminate_child(server.id()).await;
                        assert!(entry(parent.children(), server.id()).is_none());
                        result
                    })
                })
                .collect();
            for racer in racers {
                match soon(racer).await.expect("no panic") {
                    Ok(()) => terminated += 1,
                    Err(error) => assert!(matches!(error, ChildError::NotFound), "{error}"),
                }
            }
            assert!(terminated >= 1);
            assert_eq!((server.status(), log.len()), (Status::Terminated, 1));
        }
        assert!(is_empty(&parent));
    }

    /// DY3 SH3: a child is terminated as its `shutdown` has it: without `terminate` if that is brutal.
    async fn a_child_is_terminated_as_its_shutdown_has_it() {
        let (parent, log) = (nursery().await, Log::new());
        let server = born(&parent, mortal("child", &log).shutdown(Shutdown::BrutalKill)).await;
        soon(parent.terminate_child(server.id())).await.expect("a child");
        assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Killed));
        assert_eq!(log.len(), 0);
        assert!(is_empty(&parent));
    }

    /// SG5: a child that ends is restarted if it is permanent, or transient and its end abnormal; otherwise it is forgotten.
    async fn a_child_that_ends_is_restarted_or_forgotten() {
        let ends = [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::ShutdownWith("done".into()),
            ExitReason::error("test: badly"),
            ExitReason::Killed,
        ];
        let parent = nursery().await;
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            for end in &ends {
                let names = Registry::new();
                let server = born(&parent, counter().restart(policy).name_in(&names, "child")).await;
                ask(&server, add).await;
                match end {
                    ExitReason::Killed => server.kill(),
                    _ => drop(soon(server.stop_with(end.clone())).await.expect("a server")),
                }
                let again = match policy {
                    RestartPolicy::Permanent => true,
                    RestartPolicy::Transient => end.is_abnormal(),
                    _ => false,
                };
                if again {
                    serves(&server, 2).await;
                    until("it is listed so", || is(&parent, server.id(), Status::Running)).await;
                    assert_eq!(ask(&server, get).await, 0, "it starts afresh");
                    assert_eq!(entry(parent.children(), server.id()).map(|child| child.restarts), Some(1));
                    assert!(names.whereis::<Counter>("child").is_ok());
                    soon(parent.terminate_child(server.id())).await.expect("a child");
                }
                until("it is forgotten", || is_empty(&parent)).await;
                assert_eq!(server.status(), Status::Terminated, "{policy:?} {end}");
                assert!(names.names().is_empty());
            }
        }
    }

    /// RI7: a child that uses up its own budget is restarted by its parent, once for each time.
    async fn a_child_beyond_its_own_budget_is_restarted_by_its_parent() {
        let parent = nursery().await;
        let server = born(&parent, counter().max_restarts(1, SECOND * 60)).await;
        for life in 0..5 {
            ask(&server, add).await;
            for _ in 0..2 {
                tell(&server, boom()).await;
            }
            serves(&server, (life + 1) * 2 + 1).await;
            assert_eq!(ask(&server, get).await, 0);
            let listed = entry(parent.children(), server.id()).expect("it is listed");
            assert_eq!(listed.restarts, life + 1);
        }
    }

    /// SG1: a child's restart does not concern the others.
    async fn only_the_child_that_dies_is_restarted() {
        let parent = nursery().await;
        let children = [child(&parent).await, child(&parent).await, child(&parent).await];
        for server in &children {
            ask(server, add).await;
        }
        reborn(&children[1]).await;
        let [first, killed, last] = [&children[0], &children[1], &children[2]];
        assert_eq!((ask(first, get).await, ask(killed, get).await, ask(last, get).await), (1, 0, 1));
        assert_eq!((first.incarnation(), killed.incarnation(), last.incarnation()), (1, 2, 1));
    }
}

/// DY1 ST5: a child whose `init` takes too long is not kept.
#[tokio::test(start_paused = true)]
async fn a_child_that_starts_too_slowly_is_not_kept() {
    quiet();
    let parent = nursery().await;
    let begin = tokio::time::Instant::now();
    let spec = Life::new().born(|_| pending()).spec().init_timeout(SECOND);
    let slow = parent.start_child(spec).await;
    assert!(matches!(slow, Err(ChildError::Start(StartError::Timeout))), "{slow:?}");
    assert_eq!(begin.elapsed(), SECOND);
    assert!(is_empty(&parent));
    child(&parent).await;
}

/// An argument of a child, and what tells whether it is still held by anybody.
fn argument() -> (Arc<Vec<u8>>, Weak<Vec<u8>>) {
    let bytes = Arc::new(vec![0; 1 << 20]);
    let weak = Arc::downgrade(&bytes);
    (bytes, weak)
}

both! {
    /// DY8: of a temporary child's arguments the supervisor keeps nothing: once the child has let go of them they are gone.
    async fn a_temporary_childs_arguments_are_not_kept() {
        let parent = nursery().await;
        let (bytes, weak) = argument();
        let script: Script<Option<Arc<Vec<u8>>>> = Script::new();
        let spec = ServerSpec::new(script, Some(bytes)).restart(RestartPolicy::Temporary);
        let server = born(&parent, spec).await;
        assert!(weak.upgrade().is_some(), "the child has it");
        // The record may hold the snapshot before the last, too: its allocations are used again.
        for _ in 0..3 {
            tell(&server, set(None)).await;
        }
        assert!(ask(&server, get).await.is_none());
        until("it is gone", || weak.upgrade().is_none()).await;
        assert!(server.is_alive());
    }

    /// DY8: of a child that is forgotten nothing is kept, whatever its policy.
    async fn nothing_is_kept_of_a_forgotten_child() {
        let parent = nursery().await;
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            let (bytes, weak) = argument();
            let server = born(&parent, ServerSpec::new(Script::new(), bytes).restart(policy)).await;
            let (id, left) = (server.id(), server.downgrade());
            drop(server);
            assert!(weak.upgrade().is_some(), "the child has it");
            soon(parent.terminate_child(id)).await.expect("a child");
            until("it is gone", || weak.upgrade().is_none() && left.upgrade().is_none()).await;
        }
    }
}
