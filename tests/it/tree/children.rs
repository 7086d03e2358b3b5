//! What a handle of a static supervisor can do with its children, and what it cannot.

mod busy;

use std::sync::Arc;

use undying::{
    CallError, ChildError, ChildKind, ChildSpec, ExitReason, Next, Registry, RestartPolicy, ServerSpec,
    StartError, Status, Supervisor, SupervisorRef, WhereisError,
};

use super::{
    Door, Faults, Log, SECOND, answers, child, dies, fragile, ids, info, kid, noting, rise, status, word,
};
use crate::{
    crash::script::{Script, add, ask, boom, get, look, slow, soon, stop},
    support::{inject, until},
};

/// Three children that note what they do, already started and noted.
async fn family(log: &Log) -> SupervisorRef {
    let children = ["a", "b", "c"].iter().map(|id| child(id, log));
    let sup = rise(children.fold(Supervisor::builder(), Supervisor::child)).await;
    log.take();
    sup
}

/// Whether a refusal is the one that was expected.
macro_rules! refused {
    ($what:expr, $why:pat) => {
        let refusal = soon($what).await;
        assert!(matches!(refusal, Err($why)), "{refusal:?}");
    };
}

both! {
    /// DY6: a child that is started later is the last: in the list, and the first to be stopped.
    async fn a_child_that_is_started_later_is_the_last() {
        let log = Log::default();
        let sup = family(&log).await;
        soon(sup.start_child(child("late", &log))).await.expect("it starts");
        assert_eq!(ids(&sup), ["a", "b", "c", "late"]);
        assert_eq!(ask(&kid(&sup, "late"), add).await, 1);
        soon(sup.stop()).await.expect("it stops");
        assert_eq!(log.take(), ["+late", "-late", "-c", "-b", "-a"]);
    }

    /// DY6: an id that is there is refused: it is taken by a child that runs, or by one that is down.
    async fn an_id_is_taken_by_a_child_that_runs_or_is_down() {
        let log = Log::default();
        let sup = family(&log).await;
        refused!(sup.start_child(child("b", &log)), ChildError::AlreadyStarted);
        refused!(sup.start_child(ChildSpec::task("b", || async {})), ChildError::AlreadyStarted);
        soon(sup.terminate_child("b")).await.expect("a child");
        refused!(sup.start_child(child("b", &log)), ChildError::AlreadyPresent);
        refused!(sup.start_child(Supervisor::builder().id("b")), ChildError::AlreadyPresent);
        stop(&kid(&sup, "a")).await;
        until("it is down", || status(&sup, "a") == Some(Status::Terminated)).await;
        refused!(sup.start_child(child("a", &log)), ChildError::AlreadyPresent);
        assert_eq!(log.take(), ["-b", "-a"]);
        soon(sup.delete_child("b")).await.expect("it is down");
        soon(sup.start_child(child("b", &log))).await.expect("the id is free");
        assert_eq!(ids(&sup), ["a", "c", "b"]);
    }

    /// DY6: a child that runs can neither be deleted nor restarted.
    async fn a_running_child_can_neither_be_deleted_nor_restarted() {
        let log = Log::default();
        let sup = family(&log).await;
        refused!(sup.delete_child("b"), ChildError::Running);
        refused!(sup.restart_child("b"), ChildError::Running);
        assert_eq!((kid(&sup, "b").incarnation(), log.take().len()), (1, 0));
    }

    /// DY6: of an id that nobody has, every request says so.
    async fn an_unknown_child_is_not_found() {
        let sup = family(&Log::default()).await;
        for id in ["x", "", "A", "a "] {
            refused!(sup.terminate_child(id), ChildError::NotFound);
            refused!(sup.restart_child(id), ChildError::NotFound);
            refused!(sup.delete_child(id), ChildError::NotFound);
            assert!(sup.server::<Script<u64>>(id).is_none());
            assert!(sup.supervisor(id).is_none());
        }
    }

    /// DY6: a handle is found by its id and of its own type only.
    async fn a_child_is_found_by_its_own_type_only() {
        let log = Log::default();
        let sup = family(&log).await;
        soon(sup.start_child(Supervisor::builder().id("inner"))).await.expect("it starts");
        soon(sup.start_child(ChildSpec::task("task", std::future::pending))).await.expect("it starts");
        assert!(sup.server::<Script<u64>>("a").is_some() && sup.supervisor("inner").is_some());
        assert!(sup.server::<Script<u8>>("a").is_none() && sup.server::<Door>("a").is_none());
        assert!(sup.supervisor("a").is_none() && sup.server::<Script<u64>>("inner").is_none());
        assert!(sup.dynamic_supervisor("a").is_none() && sup.dynamic_supervisor("inner").is_none());
        assert!(sup.partition_supervisor::<Script<u64>>("a").is_none());
        assert!(sup.supervisor("task").is_none() && sup.server::<Script<u64>>("task").is_none());
        let inner = sup.supervisor("inner").expect("a supervisor");
        for (id, kind, server) in [
            ("a", ChildKind::Server, Some(kid(&sup, "a").id())),
            ("inner", ChildKind::Supervisor, Some(inner.id())),
            ("task", ChildKind::Task, None),
        ] {
            let info = info(&sup, id).expect("listed");
            assert_eq!((info.kind, info.is_supervisor), (kind, kind == ChildKind::Supervisor), "{id}");
            assert!(server.is_none_or(|server| server == info.server), "{id}");
        }
        let count = sup.count();
        assert_eq!((count.specs, count.active, count.supervisors, count.workers), (5, 5, 1, 4));
    }

    /// DY6: a terminated child is over for all who know it, and stays in its place in the list.
    async fn a_terminated_child_is_over_and_listed() {
        let (log, names) = (Log::default(), Registry::new());
        let tree = Supervisor::builder().child(child("a", &log)).child(child("b", &log).name_in(&names, "b"));
        let sup = rise(tree.child(child("c", &log))).await;
        let (b, down) = (kid(&sup, "b"), kid(&sup, "b").monitor());
        log.take();
        soon(sup.terminate_child("b")).await.expect("a child");
        assert_eq!(log.take(), ["-b"]);
        assert_eq!(
            (b.is_alive(), b.status(), status(&sup, "b")),
            (false, Status::Terminated, Some(Status::Terminated))
        );
        assert_eq!(word(&soon(down).await.reason), "shutdown");
        assert!(matches!(soon(b.call(get)).await, Err(CallError::NoProc)));
        assert_eq!(names.whereis::<Script<u64>>("b").expect_err("no such name"), WhereisError::NotFound);
        assert!(names.names().is_empty());
        assert_eq!(ids(&sup), ["a", "b", "c"]);
        assert_eq!((sup.count().specs, sup.count().active), (3, 2));
        // On one that is down it is done already, as in OTP.
        soon(sup.terminate_child("b")).await.expect("a child");
        assert!(log.take().is_empty());
    }

    /// DY6: of a temporary child nothing is kept when it is terminated.
    async fn a_terminated_temporary_child_is_forgotten() {
        let log = Log::default();
        let guest = child("guest", &log).restart(RestartPolicy::Temporary);
        let sup = rise(Supervisor::builder().child(child("a", &log)).child(guest)).await;
        soon(sup.terminate_child("guest")).await.expect("a child");
        assert_eq!(ids(&sup), ["a"]);
        refused!(sup.terminate_child("guest"), ChildError::NotFound);
        refused!(sup.restart_child("guest"), ChildError::NotFound);
        soon(sup.start_child(child("guest", &log))).await.expect("the id is free");
        assert_eq!(log.take(), ["+a", "+guest", "-guest", "+guest"]);
    }

    /// DY6 RI8: a child that is restarted after it was terminated is the same server, with a fresh state and its name.
    async fn a_restarted_child_is_the_same_server() {
        let (log, names) = (Log::default(), Registry::new());
        let b = ServerSpec::new(noting("b", &log), 40).id("b").name_in(&names, "b");
        let sup = rise(Supervisor::builder().child(child("a", &log)).child(b).child(child("c", &log))).await;
        let (b, id) = (kid(&sup, "b"), kid(&sup, "b").id());
        for life in 1..=5 {
            assert_eq!(ask(&b, add).await, 41);
            assert_eq!(b.incarnation(), life);
            soon(sup.terminate_child("b")).await.expect("a child");
            assert!(!b.is_alive());
            soon(sup.restart_child("b")).await.expect("it is down");
            assert_eq!((b.status(), status(&sup, "b")), (Status::Running, Some(Status::Running)));
            assert_eq!((b.id(), kid(&sup, "b").id()), (id, id));
            assert_eq!(names.whereis::<Script<u64>>("b").expect("alive").id(), id);
        }
        assert_eq!(ids(&sup), ["a", "b", "c"]);
    }

    /// DY6 SG5: a transient child that was done can be restarted, and one that died after that is restarted by itself.
    async fn a_child_that_was_done_can_be_restarted() {
        let log = Log::default();
        let sup = family(&log).await;
        let b = kid(&sup, "b");
        stop(&b).await;
        until("it is down", || status(&sup, "b") == Some(Status::Terminated)).await;
        soon(sup.restart_child("b")).await.expect("it is down");
        assert_eq!(ask(&b, add).await, 1);
        dies(&b).await;
        assert_eq!(log.take(), ["-b", "+b", "+b"]);
    }

    /// DY6: a child that is down and fails to start again says why, and stays down until it can.
    async fn a_child_that_cannot_be_restarted_stays_down() {
        let (log, names, faults) = (Log::default(), Registry::new(), Faults::default());
        let spec = ServerSpec::new(fragile("x", &log, &faults), 0).id("x").name_in(&names, "x");
        let sup = rise(Supervisor::builder().max_restarts(0, SECOND).child(spec)).await;
        let x = kid(&sup, "x");
        soon(sup.terminate_child("x")).await.expect("a child");
        faults.set(2);
        for _ in 0..2 {
            refused!(sup.restart_child("x"), ChildError::Start(StartError::Init(_)));
            assert_eq!((status(&sup, "x"), x.is_alive()), (Some(Status::Terminated), false));
            assert!(names.names().is_empty());
        }
        // Somebody else has come to the name.
        let holder = child("holder", &log).name_in(&names, "x").start().await.expect("it starts");
        match soon(sup.restart_child("x")).await {
            Err(ChildError::Start(StartError::AlreadyStarted(id))) => assert_eq!(id, holder.id()),
            other => panic!("{other:?}"),
        }
        stop(&holder).await;
        soon(sup.restart_child("x")).await.expect("nothing is wrong any more");
        assert_eq!(ask(&x, add).await, 1);
        assert_eq!(names.whereis::<Script<u64>>("x").expect("alive").id(), x.id());
    }

    /// DY6 ST2: a child that fails to start is not kept; it says why, and the others are left alone.
    async fn a_child_that_fails_to_start_is_not_kept() {
        let (log, faults) = (Log::default(), Faults::default());
        let sup = family(&log).await;
        faults.set(20);
        let spec = || ServerSpec::new(fragile("x", &log, &faults), 0).id("x");
        for _ in 0..10 {
            refused!(sup.start_child(spec()), ChildError::Start(StartError::Init(_)));
            let tree = Supervisor::builder().id("x").child(child("y", &log)).child(spec());
            refused!(sup.start_child(tree), ChildError::Start(StartError::Init(_)));
            assert_eq!(ids(&sup), ["a", "b", "c"]);
            assert_eq!(log.take(), ["!x", "+y", "!x", "-y"]);
        }
        soon(sup.start_child(spec())).await.expect("the id is free");
        assert!(ids(&sup).iter().all(|id| kid(&sup, id).incarnation() == 1));
    }

    /// DY6 ST4: a child that asks to be ignored is kept and does not run, as at the start of the tree.
    async fn a_late_child_that_asks_to_be_ignored_is_kept() {
        let log = Log::default();
        let sup = family(&log).await;
        let shy = Script::<u64>::new().on_init(|_| Ok(Next::Ignore));
        soon(sup.start_child(ServerSpec::new(shy, 0).id("shy"))).await.expect("that is no error");
        assert_eq!(status(&sup, "shy"), Some(Status::Terminated));
        refused!(sup.start_child(child("shy", &log)), ChildError::AlreadyPresent);
        soon(sup.delete_child("shy")).await.expect("it is down");
        assert_eq!(ids(&sup), ["a", "b", "c"]);
    }

    /// DY6: a deleted child leaves nothing: neither its id nor what it held.
    async fn a_deleted_child_leaves_nothing() {
        let log = Log::default();
        let sup = family(&log).await;
        let token = Arc::new(());
        let held = token.clone();
        let script = Script::<u64>::new().on_terminate(move |_, _| drop(held.clone()));
        soon(sup.start_child(ServerSpec::new(script, 0).id("x"))).await.expect("it starts");
        soon(sup.terminate_child("x")).await.expect("a child");
        assert!(Arc::strong_count(&token) > 1, "it may be restarted");
        soon(sup.delete_child("x")).await.expect("it is down");
        until("nothing is held any more", || Arc::strong_count(&token) == 1).await;
        assert!(sup.server::<Script<u64>>("x").is_none());
        refused!(sup.delete_child("x"), ChildError::NotFound);
    }

    /// K13: after the end of a supervisor every request says so, and its lists are empty.
    async fn after_the_end_there_is_nobody() {
        let log = Log::default();
        let sup = family(&log).await;
        soon(sup.stop()).await.expect("it stops");
        refused!(sup.start_child(child("x", &log)), ChildError::NoProc);
        refused!(sup.terminate_child("a"), ChildError::NoProc);
        refused!(sup.restart_child("a"), ChildError::NoProc);
        refused!(sup.delete_child("a"), ChildError::NoProc);
        assert!(sup.children().is_empty());
        let count = sup.count();
        assert_eq!((count.specs, count.active, count.supervisors, count.workers), (0, 0, 0, 0));
        assert_eq!(log.take(), ["-c", "-b", "-a"]);
    }

    /// DY6: a callback may ask the supervisor above it for another child, or to stop one.
    async fn a_callback_may_ask_its_own_supervisor() {
        let log = Log::default();
        let sup = family(&log).await;
        let (above, spec) = (sup.clone(), child("late", &log));
        let started = ask(&kid(&sup, "a"), move |reply| {
            slow(move |_, _| {
                Box::pin(async move {
                    above.terminate_child("b").await?;
                    reply.send(above.start_child(spec).await);
                    Ok(Next::Wait)
                })
            })
        })
        .await;
        assert!(started.is_ok(), "{started:?}");
        assert_eq!(ids(&sup), ["a", "b", "c", "late"]);
        assert_eq!(log.take(), ["-b", "+late"]);
    }

    /// NR9: nothing that is sent to a server, or asked of a supervisor, ends the supervisor.
    async fn nothing_that_is_sent_ends_a_supervisor() {
        let (log, names) = (Log::default(), Registry::new());
        let tree = Supervisor::builder().max_restarts(u32::MAX, SECOND);
        let sup = rise(tree.child(child("a", &log).name_in(&names, "a"))).await;
        let a = names.whereis::<Script<u64>>("a").expect("alive");
        for round in 0..50 {
            let _ = a.try_cast(boom());
            let _ = a.try_send(boom());
            let _ = a.try_cast(look(|_| Ok(Next::Stop(ExitReason::error("test: fire")))));
            let _ = soon(a.sys().replace(|_| inject())).await;
            let _ = soon(a.stop_with(ExitReason::error("test: fire"))).await;
            a.kill_worker();
            a.kill();
            let _ = soon(sup.start_child(child("a", &log))).await;
            let _ = soon(sup.delete_child("a")).await;
            let _ = soon(sup.terminate_child("nobody")).await;
            let broken = ServerSpec::from_fn(|| -> Script<u64> { inject() }, 0).id("broken");
            refused!(sup.start_child(broken), ChildError::Start(StartError::Init(_)));
            let bomb = ChildSpec::task("bomb", || async { inject() });
            soon(sup.start_child(bomb.restart(RestartPolicy::Temporary))).await.expect("a task starts");
            until("it is forgotten", || ids(&sup) == ["a"]).await;
            answers(&a).await;
            assert!(sup.is_alive(), "round {round}");
        }
        assert_eq!(names.whereis::<Script<u64>>("a").expect("alive").id(), a.id());
        assert_eq!(word(&soon(sup.stop()).await.expect("it stops")), "normal");
    }
}
