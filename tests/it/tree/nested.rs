//! Supervisors below supervisors: a whole subtree is one child.

use std::pin::pin;

use futures::poll;
use undying::{
    CallError, ChildSpec, ExitReason, Registry, RestartPolicy, ServerSpec, Status, StopError, Strategy,
    Supervisor, SupervisorRef,
};

use super::{
    Door, Faults, Kid, Log, SECOND, answers, child, dies, fragile, ids, kid, lives, restarts, rise, settled,
    status, word,
};
use crate::{
    crash::script::{Script, add, ask, crash, get, soon},
    support::{RACES, until},
};

/// `x` and `y` under `inner` beside `a` under the top; deaths of `inner` are forgiven three times.
async fn family(inner: Supervisor, log: &Log) -> (SupervisorRef, SupervisorRef) {
    let inner = inner.id("inner").child(child("x", log)).child(child("y", log));
    let top = Supervisor::builder().max_restarts(3, 600 * SECOND);
    let top = rise(top.child(child("a", log)).child(inner)).await;
    log.take();
    let inner = top.supervisor("inner").expect("a supervisor");
    (top, inner)
}

/// Waits until `inner` was restarted so often, and all below it runs.
async fn back(top: &SupervisorRef, n: u64) {
    until("the inner supervisor is back", || restarts(top, "inner") == n).await;
    settled(top).await;
    settled(&top.supervisor("inner").expect("a supervisor")).await;
}

/// Kills a child of `inner` more often than that forgives by default.
async fn overload(kid: &Kid) {
    for _ in 0..4 {
        let before = kid.incarnation();
        kid.kill();
        lives(kid, before + 1).await;
    }
}

both! {
    /// RI7: an inner supervisor that gives up is one death for the outer one, which restarts it with its children.
    async fn an_inner_supervisor_that_gives_up_is_restarted() {
        let log = Log::default();
        let (top, inner) = family(Supervisor::builder(), &log).await;
        let (a, x, y) = (kid(&top, "a"), kid(&inner, "x"), kid(&inner, "y"));
        for n in 1..=3 {
            overload(&x).await;
            back(&top, n).await;
            assert_eq!(log.take(), ["+x", "+x", "+x", "-y", "+x", "+y"]);
        }
        assert_eq!((a.incarnation(), x.incarnation(), y.incarnation()), (1, 13, 4));
        // The budget of the outer one is used up now.
        inner.kill();
        assert_eq!(word(&soon(top.stopped()).await), "limit");
        assert_eq!(log.take(), ["-a"]);
        assert!(!x.is_alive() && !inner.is_alive());
    }

    /// RI7: the crash that was one too many is told on every floor up to the top.
    async fn an_escalation_goes_up_to_the_top() {
        let log = Log::default();
        let inner = Supervisor::builder()
            .id("inner")
            .max_restarts(0, SECOND)
            .child(child("x", &log).max_restarts(0, SECOND));
        let middle = Supervisor::builder().id("middle").max_restarts(0, SECOND).child(inner);
        let top = rise(Supervisor::builder().max_restarts(0, SECOND).child(middle)).await;
        let middle = top.supervisor("middle").expect("a supervisor");
        let inner = middle.supervisor("inner").expect("a supervisor");
        let report = crash(&kid(&inner, "x")).await;
        for sup in [inner, middle, top] {
            match soon(sup.stopped()).await {
                ExitReason::RestartLimit(last) => assert_eq!(last.message(), report.message()),
                other => panic!("{other}"),
            }
        }
    }

    /// SG5: an inner supervisor is restarted as its policy says.
    async fn the_policy_of_an_inner_supervisor_is_kept() {
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            for abnormal in [true, false] {
                let log = Log::default();
                let (top, inner) = family(Supervisor::builder().restart(policy), &log).await;
                if abnormal {
                    inner.kill();
                } else {
                    assert_eq!(word(&soon(inner.stop()).await.expect("it stops")), "normal");
                }
                let stops = if abnormal { &[][..] } else { &["-y", "-x"] };
                match (policy, abnormal) {
                    (RestartPolicy::Permanent, _) | (RestartPolicy::Transient, true) => {
                        back(&top, 1).await;
                        assert_eq!(log.take(), [stops, &["+x", "+y"]].concat());
                        assert!(inner.is_alive());
                        assert_eq!(ids(&inner), ["x", "y"]);
                    }
                    (RestartPolicy::Transient, _) => {
                        until("it is down", || status(&top, "inner") == Some(Status::Terminated)).await;
                        assert!(!inner.is_alive() && inner.children().is_empty());
                        assert_eq!(log.take(), stops);
                        soon(top.restart_child("inner")).await.expect("it is down");
                        assert_eq!(ids(&inner), ["x", "y"]);
                    }
                    _ => {
                        until("it is forgotten", || ids(&top) == ["a"]).await;
                        assert!(!inner.is_alive() && top.supervisor("inner").is_none());
                    }
                }
            }
        }
    }

    /// DY9: a supervisor that was restarted has the children of its description; those that came later are gone for good.
    async fn what_came_later_is_gone_after_a_restart() {
        let (log, names) = (Log::default(), Registry::new());
        let (top, inner) = family(Supervisor::builder(), &log).await;
        soon(inner.start_child(child("late", &log).name_in(&names, "late"))).await.expect("it starts");
        let gone = child("later", &log).restart(RestartPolicy::Permanent);
        soon(inner.start_child(Supervisor::builder().id("subtree").child(gone))).await.expect("it starts");
        soon(inner.terminate_child("y")).await.expect("a child");
        soon(inner.delete_child("y")).await.expect("it is down");
        assert_eq!(ids(&inner), ["x", "late", "subtree"]);
        let (late, subtree) = (kid(&inner, "late"), inner.supervisor("subtree").expect("a supervisor"));
        let later = kid(&subtree, "later");
        log.take();
        inner.kill();
        back(&top, 1).await;
        assert_eq!(ids(&inner), ["x", "y"], "what was deleted is in the description, too");
        assert_eq!(log.take(), ["+x", "+y"]);
        assert!(!late.is_alive() && !later.is_alive() && !subtree.is_alive());
        assert!(names.names().is_empty() && inner.server::<Script<u64>>("late").is_none());
        assert!(matches!(soon(late.call(get)).await, Err(CallError::NoProc)));
        soon(inner.start_child(child("late", &log))).await.expect("the id is free");
    }

    /// RI8: handles of an inner supervisor, and of the servers below it, are good for every life of it.
    async fn handles_are_good_for_every_life_of_a_supervisor() {
        let names = Registry::new();
        let inner = Supervisor::builder()
            .id("inner")
            .child(ServerSpec::new(Script::new(), 0_u64).id("x").name_in(&names, "x"))
            .child(Supervisor::builder().id("deep").child(child("y", &Log::default())));
        let top = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(inner)).await;
        let inner = top.supervisor("inner").expect("a supervisor");
        let deep = inner.supervisor("deep").expect("a supervisor");
        let (x, y, id) = (kid(&inner, "x"), kid(&deep, "y"), inner.id());
        for n in 1..=20 {
            assert_eq!((ask(&x, add).await, ask(&y, add).await), (1, 1));
            inner.kill();
            lives(&x, n + 1).await;
            lives(&y, n + 1).await;
            back(&top, n).await;
            assert_eq!((inner.id(), inner.is_alive(), inner.count().specs), (id, true, 2));
            assert_eq!(top.supervisor("inner").expect("a supervisor").id(), id);
            assert_eq!(kid(&inner, "x").id(), x.id());
            assert_eq!(names.whereis::<Script<u64>>("x").expect("alive").id(), x.id());
            assert_eq!(ids(&deep), ["y"]);
        }
    }

    /// CA12 NR3: a name and the callers of a server wait out the restart of the supervisor above it.
    async fn callers_wait_for_the_supervisor_above() {
        let (names, door) = (Registry::new(), Door::new());
        door.gate.open();
        let inner = Supervisor::builder()
            .id("inner")
            .child(door.spec("door"))
            .child(ServerSpec::new(Script::new(), 0_u64).id("x").name_in(&names, "x"));
        let top = rise(Supervisor::builder().child(inner)).await;
        soon(door.gate.arrived()).await;
        let inner = top.supervisor("inner").expect("a supervisor");
        let x = kid(&inner, "x");
        let down = x.monitor();
        inner.kill();
        soon(door.gate.arrived()).await;
        assert_eq!(word(&soon(down).await.reason), "killed");
        assert_eq!((x.status(), x.is_alive()), (Status::Restarting, true));
        assert_eq!(status(&top, "inner"), Some(Status::Restarting));
        assert!(inner.is_alive());
        assert_eq!(names.whereis::<Script<u64>>("x").expect("alive").id(), x.id());
        let call = tokio::spawn({
            let x = x.clone();
            async move { x.call(add).no_timeout().await }
        });
        until("it is queued", || x.mailbox_len() == 1).await;
        door.gate.open();
        assert_eq!(soon(call).await.expect("joined").expect("served"), 1);
        assert_eq!(x.incarnation(), 2);
    }

    /// SG2: a subtree that is a bystander is stopped in its place, in its own reverse order, and started again.
    async fn a_subtree_is_a_bystander_like_any_other() {
        let log = Log::default();
        let inner = Supervisor::builder().id("inner").child(child("x", &log)).child(child("y", &log));
        let tree = Supervisor::builder().strategy(Strategy::OneForAll).child(child("a", &log)).child(inner);
        let top = rise(tree.child(child("b", &log))).await;
        let inner = top.supervisor("inner").expect("a supervisor");
        log.take();
        dies(&kid(&top, "b")).await;
        settled(&top).await;
        assert_eq!(log.take(), ["-y", "-x", "-a", "+a", "+x", "+y", "+b"]);
        assert_eq!((inner.is_alive(), ids(&inner)), (true, vec!["x".into(), "y".into()]));
        inner.kill();
        until("all are back", || kid(&top, "b").incarnation() == 3).await;
        settled(&top).await;
        assert_eq!(log.take(), ["-b", "-a", "+a", "+x", "+y", "+b"]);
    }

    /// RI3: a subtree that cannot start again is a restart that fails: what had come up of it is stopped, and it is tried again.
    async fn a_subtree_that_fails_to_start_again_is_tried_again() {
        let (log, faults) = (Log::default(), Faults::default());
        let inner = Supervisor::builder()
            .id("inner")
            .child(child("x", &log))
            .child(ServerSpec::new(fragile("y", &log, &faults), 0).id("y"));
        let top = rise(Supervisor::builder().max_restarts(3, 5 * SECOND).child(inner)).await;
        let inner = top.supervisor("inner").expect("a supervisor");
        log.take();
        faults.set(2);
        inner.kill();
        until("all of it is back", || inner.server::<Script<u64>>("y").is_some_and(|y| y.incarnation() > 1))
            .await;
        settled(&top).await;
        assert_eq!(log.take(), ["+x", "!y", "-x", "+x", "!y", "-x", "+x", "+y"]);
        faults.set(usize::MAX);
        inner.kill();
        assert_eq!(word(&soon(top.stopped()).await), "limit");
    }

    /// SP1: who waits for the end of an inner supervisor is told of that of this life.
    async fn each_life_of_a_supervisor_ends_once() {
        let log = Log::default();
        let (top, inner) = family(Supervisor::builder().restart(RestartPolicy::Permanent), &log).await;
        for n in 1..=3 {
            let mut stopped = pin!(inner.stopped());
            assert!(poll!(&mut stopped).is_pending());
            assert_eq!(word(&soon(inner.stop()).await.expect("it stops")), "normal");
            assert_eq!(word(&soon(stopped).await), "normal");
            back(&top, n).await;
            assert!(inner.is_alive());
        }
        soon(top.stop()).await.expect("it stops");
        assert!(matches!(soon(inner.stop()).await, Err(StopError::NoProc)));
        assert_eq!(word(&soon(inner.stopped()).await), "shutdown");
    }

    /// DY6: a subtree that is terminated can be started again, by the handle that is known, and be deleted.
    async fn a_subtree_can_be_terminated_restarted_and_deleted() {
        let log = Log::default();
        let (top, inner) = family(Supervisor::builder(), &log).await;
        let x = kid(&inner, "x");
        for n in 1..=3 {
            soon(top.terminate_child("inner")).await.expect("a child");
            assert_eq!((inner.is_alive(), x.is_alive()), (false, false));
            soon(top.restart_child("inner")).await.expect("it is down");
            assert_eq!((inner.is_alive(), x.incarnation()), (true, n + 1));
            assert_eq!(log.take(), ["-y", "-x", "+x", "+y"]);
        }
        soon(top.terminate_child("inner")).await.expect("a child");
        soon(top.delete_child("inner")).await.expect("it is down");
        assert_eq!(ids(&top), ["a"]);
    }

    /// RI7 K13: whatever dies below, all of the tree is up again in the end, and each call is answered.
    async fn a_tree_comes_back_whatever_dies() {
        let log = Log::default();
        let floor = |id: &str, strategy| {
            let tree = Supervisor::builder().id(id).strategy(strategy).max_restarts(2, SECOND);
            tree.child(child("x", &log)).child(child("y", &log))
        };
        let task = ChildSpec::task("task", std::future::pending);
        let top = rise(
            Supervisor::builder()
                .max_restarts(u32::MAX, SECOND)
                .child(floor("one", Strategy::OneForOne))
                .child(floor("all", Strategy::OneForAll).child(task))
                .child(floor("rest", Strategy::RestForOne)),
        )
        .await;
        let floors = ["one", "all", "rest"].map(|id| top.supervisor(id).expect("a supervisor"));
        let kids: Vec<Kid> = floors.iter().flat_map(|floor| [kid(floor, "x"), kid(floor, "y")]).collect();
        for round in 0..RACES {
            kids[round % 6].kill();
            kids[(round * 5 + 1) % 6].kill_worker();
            if round % 7 == 0 {
                floors[round % 3].kill();
            }
            answers(&kids[(round * 3 + 2) % 6]).await;
        }
        soon(async {
            while !std::iter::once(&top).chain(&floors).all(|sup| {
                let children = sup.children();
                !children.is_empty() && children.iter().all(|child| child.status == Status::Running)
            }) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for server in &kids {
            answers(server).await;
        }
        assert_eq!(word(&soon(top.stop()).await.expect("it stops")), "normal");
        assert!(kids.iter().all(|kid| !kid.is_alive()) && floors.iter().all(|floor| !floor.is_alive()));
    }
}
