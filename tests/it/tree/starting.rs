//! How a tree starts, and what is left of one that does not.

mod refusals;

use std::{
    pin::pin,
    sync::{Arc, Weak},
};

use futures::poll;
use undying::{
    ChildError, ChildKind, Next, Registry, RestartPolicy, ServerSpec, Shutdown, StartError, Status,
    Supervisor,
};

use super::{Door, Faults, Log, SECOND, child, fragile, ids, info, kid, rise, settled, status};
use crate::{
    crash::script::{Script, add, ask, get, soon},
    support::{RACES, inject, until},
};

/// A server that asks to be ignored as long as there are `faults`.
fn shy(log: &Log, faults: &Faults) -> ServerSpec<Script<u64>> {
    let (log, faults) = (log.clone(), faults.clone());
    let script = Script::new().on_init(move |_| {
        log.add("shy");
        Ok(if faults.strike() { Next::Ignore } else { Next::Wait })
    });
    ServerSpec::new(script, 0).id("shy")
}

both! {
    /// ST1: children start in order, each after the `init` of the one before; `start` resolves after the last.
    async fn each_child_starts_after_the_init_of_the_one_before() {
        let (log, door) = (Log::default(), Door::new());
        let tree =
            Supervisor::builder().child(child("a", &log)).child(door.spec("door")).child(child("c", &log));
        let start = tokio::spawn(tree.start());
        soon(door.gate.arrived()).await;
        assert_eq!(log.take(), ["+a"]);
        assert!(!start.is_finished());
        door.gate.open();
        let sup = soon(start).await.expect("joined").expect("it starts");
        assert_eq!(log.take(), ["+c"]);
        assert_eq!(ids(&sup), ["a", "door", "c"]);
        for id in ids(&sup) {
            let info = info(&sup, &id).expect("listed");
            assert_eq!((info.status, info.kind, info.restarts), (Status::Running, ChildKind::Server, 0));
            assert!(!info.is_supervisor && !info.significant);
            assert_eq!(info.restart, RestartPolicy::Transient);
        }
        assert_eq!(ask(&kid(&sup, "c"), add).await, 1);
    }

    /// ST1: an empty tree starts, lives and stops.
    async fn a_tree_without_children_starts() {
        let sup = rise(Supervisor::builder()).await;
        assert!(sup.is_alive() && sup.children().is_empty());
        assert_eq!(sup.count().specs, 0);
        soon(sup.stop()).await.expect("it stops");
    }

    /// ST2 ST3: a child that fails to start has those before it stopped in reverse order; its error is that of the start.
    async fn a_child_that_fails_takes_the_start_with_it() {
        let names = Registry::new();
        for round in 0..20 {
            let log = Log::default();
            let failing = Script::new().on_init(move |_| match round % 2 {
                0 => panic!("test: no luck"),
                _ => Err(undying::Crash::msg("test: no luck")),
            });
            let tree = Supervisor::builder()
                .child(child("a", &log).name_in(&names, "a"))
                .child(child("b", &log).name_in(&names, "b"))
                .child(ServerSpec::new(failing, 0).id("c").name_in(&names, "c"))
                .child(child("d", &log).name_in(&names, "d"));
            match soon(tree.start()).await {
                Err(StartError::Init(report)) => assert_eq!(report.message(), "test: no luck"),
                other => panic!("{other:?}"),
            }
            assert_eq!(log.take(), ["+a", "+b", "-b", "-a"]);
            assert!(names.names().is_empty());
        }
    }

    /// ST2: at the start a failing child is not tried again, whatever its policy.
    async fn a_failing_start_is_not_tried_again() {
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            let (log, faults) = (Log::default(), Faults::default());
            faults.set(1);
            let failing = ServerSpec::new(fragile("b", &log, &faults), 0).id("b").restart(policy);
            let refusal = soon(Supervisor::builder().child(child("a", &log)).child(failing).start()).await;
            assert!(matches!(refusal, Err(StartError::Init(_))), "{refusal:?}");
            assert_eq!(log.take(), ["+a", "!b", "-a"]);
        }
    }

    /// ST2: a failing child of an inner supervisor takes the whole start with it, and its error comes out on top.
    async fn a_child_that_fails_below_takes_the_whole_start_with_it() {
        let (log, faults) = (Log::default(), Faults::default());
        faults.set(1);
        let inner = Supervisor::builder()
            .id("inner")
            .child(child("b", &log))
            .child(ServerSpec::new(fragile("c", &log, &faults), 0).id("c"));
        let tree = Supervisor::builder().child(child("a", &log)).child(inner).child(child("d", &log));
        let refusal = soon(tree.start()).await;
        assert!(matches!(refusal, Err(StartError::Init(_))), "{refusal:?}");
        assert_eq!(log.take(), ["+a", "+b", "!c", "-b", "-a"]);
    }

    /// NR1 ST2: a child whose name is taken fails as a server on its own does, and the holder is left alone.
    async fn a_child_whose_name_is_taken_fails() {
        let (names, log) = (Registry::new(), Log::default());
        let holder = child("holder", &log).name_in(&names, "name").start().await.expect("it starts");
        let tree =
            Supervisor::builder().child(child("a", &log)).child(child("b", &log).name_in(&names, "name"));
        match soon(tree.start()).await {
            Err(StartError::AlreadyStarted(id)) => assert_eq!(id, holder.id()),
            other => panic!("{other:?}"),
        }
        assert_eq!(log.take(), ["+holder", "+a", "-a"]);
        assert_eq!(ask(&names.whereis::<Script<u64>>("name").expect("the holder"), add).await, 1);
    }

    /// ST4: a child that asks to be ignored is kept and does not run; the start goes on, and it can be started later.
    async fn an_ignored_child_is_kept_and_the_start_goes_on() {
        let (names, log, faults) = (Registry::new(), Log::default(), Faults::default());
        faults.set(1);
        let shy = shy(&log, &faults).name_in(&names, "shy");
        let sup =
            rise(Supervisor::builder().child(child("a", &log)).child(shy).child(child("c", &log))).await;
        assert_eq!(log.take(), ["+a", "shy", "+c"]);
        assert_eq!(status(&sup, "shy"), Some(Status::Terminated));
        let count = sup.count();
        assert_eq!((count.specs, count.active, count.workers), (3, 2, 3));
        assert!(names.names().is_empty());
        soon(sup.restart_child("shy")).await.expect("it starts");
        assert_eq!(status(&sup, "shy"), Some(Status::Running));
        assert_eq!(ask(&kid(&sup, "shy"), add).await, 1);
        assert!(names.whereis::<Script<u64>>("shy").is_ok());
    }

    /// ST4 SG6: of a temporary child that asks to be ignored nothing is kept, as in OTP.
    async fn an_ignored_temporary_child_is_forgotten() {
        let (log, faults) = (Log::default(), Faults::default());
        faults.set(1);
        let shy = shy(&log, &faults).restart(RestartPolicy::Temporary);
        let sup = rise(Supervisor::builder().child(shy).child(child("b", &log))).await;
        assert_eq!(ids(&sup), ["b"]);
    }

    /// ST10: a start that is dropped half-way ends what it has started; no name and no task remain.
    async fn a_dropped_start_ends_everything() {
        let names = Registry::new();
        for _ in 0..RACES {
            let (door, held) = (Door::new(), Arc::new(()));
            let trace: Weak<()> = Arc::downgrade(&held);
            let keeper = Script::new().on_init(move |_: &mut u64| {
                let _ = &held;
                Ok(Next::Wait)
            });
            let inner = Supervisor::builder()
                .id("inner")
                .child(ServerSpec::new(keeper, 0).id("a").name_in(&names, "a"))
                .child(door.spec("door").name_in(&names, "door"));
            let tree = Supervisor::builder()
                .child(ServerSpec::new(Script::<u64>::new(), 0).id("b").name_in(&names, "b"))
                .child(inner);
            {
                let mut start = pin!(tree.start());
                soon(async {
                    tokio::select! {
                        _ = &mut start => panic!("the door is shut"),
                        () = door.gate.arrived() => {}
                    }
                })
                .await;
                assert!(poll!(&mut start).is_pending());
                assert_eq!(names.names().len(), 3);
            }
            until("all names are free", || names.names().is_empty()).await;
            until("nothing is held any more", || trace.strong_count() == 0).await;
        }
    }

    /// ST6: trees that do not start leave nothing behind, however often that happens.
    async fn failed_starts_leave_nothing_behind() {
        let (names, held) = (Registry::new(), Arc::new(()));
        for round in 0..100 {
            let token = held.clone();
            let failing = Script::new().on_init(move |_: &mut u64| {
                let _ = &token;
                inject()
            });
            let inner = Supervisor::builder()
                .id("inner")
                .child(ServerSpec::new(Script::<u64>::new(), 0).id("a").name_in(&names, "a"))
                .child(ServerSpec::new(failing, 0).id("b").name_in(&names, "b"));
            let refusal = soon(Supervisor::builder().child(inner).start()).await;
            assert!(matches!(refusal, Err(StartError::Init(_))), "{round}: {refusal:?}");
            assert!(names.names().is_empty());
            until("nothing is held any more", || Arc::strong_count(&held) == 1).await;
        }
    }

    /// ST2: a tree that did not start can be started again under the same names, by the same description.
    async fn a_tree_that_did_not_start_can_be_started_again() {
        let (names, log, faults) = (Registry::new(), Log::default(), Faults::default());
        faults.set(3);
        let describe = || {
            Supervisor::builder()
                .child(child("a", &log).name_in(&names, "a"))
                .child(ServerSpec::new(fragile("b", &log, &faults), 0).id("b").name_in(&names, "b"))
        };
        for _ in 0..3 {
            assert!(soon(describe().start()).await.is_err());
        }
        let sup = rise(describe()).await;
        settled(&sup).await;
        assert_eq!(ask(&kid(&sup, "b"), get).await, 0);
    }
}

/// ST5: a child whose `init` takes too long fails the start with that; one that is to be killed is not waited for.
#[tokio::test(start_paused = true)]
async fn a_child_whose_init_takes_too_long_fails_the_start() {
    let (names, log, door) = (Registry::new(), Log::default(), Door::new());
    let slow = door.spec("slow").init_timeout(3 * SECOND).shutdown(Shutdown::Infinity);
    let begun = tokio::time::Instant::now();
    let refusal = Supervisor::builder()
        .child(child("a", &log).name_in(&names, "a"))
        .child(slow.name_in(&names, "slow"))
        .start()
        .await;
    assert!(matches!(refusal, Err(StartError::Timeout)), "{refusal:?}");
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(log.take(), ["+a", "-a"]);
    assert!(names.names().is_empty());
}

/// ST5: `start_child` fails likewise, keeps nothing, and the supervisor takes the next request.
#[tokio::test(start_paused = true)]
async fn a_late_child_whose_init_takes_too_long_is_not_kept() {
    let (log, door) = (Log::default(), Door::new());
    let sup = rise(Supervisor::builder().child(child("a", &log))).await;
    let slow = sup.start_child(door.spec("slow").init_timeout(3 * SECOND)).await;
    assert!(matches!(slow, Err(ChildError::Start(StartError::Timeout))), "{slow:?}");
    assert_eq!(ids(&sup), ["a"]);
    sup.start_child(child("slow", &log)).await.expect("the id is free");
}
