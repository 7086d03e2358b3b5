//! Faults on purpose: the tasks of supervisors and of servers below them are killed.

use tokio::task::yield_now;
use undying::{ChildSpec, Registry, RestartPolicy, ServerSpec, Status, StopError, Strategy, Supervisor};

use super::{Kid, Log, SECOND, child, ids, kid, lives, restarts, rise, settled, status, word};
use crate::{
    crash::script::{Script, add, ask, soon},
    support::{RACES, until},
};

both! {
    /// SH8 K14: the death of a supervisor's task is its end, and that of everything below it: nothing is left behind.
    async fn the_death_of_a_supervisor_task_ends_everything_below() {
        let names = Registry::new();
        for _ in 0..RACES {
            let log = Log::default();
            let task = ChildSpec::task("task", std::future::pending);
            let inner =
                Supervisor::builder().id("inner").child(child("x", &log).name_in(&names, "x")).child(task);
            let tree = Supervisor::builder().child(child("a", &log).name_in(&names, "a")).child(inner);
            let sup = rise(tree.child(child("b", &log).restart(RestartPolicy::Permanent))).await;
            let inner = sup.supervisor("inner").expect("a supervisor");
            let kids = [kid(&sup, "a"), kid(&inner, "x"), kid(&sup, "b")];
            let ends = kids.each_ref().map(Kid::monitor);
            log.take();
            sup.kill_supervisor();
            assert_eq!(word(&soon(sup.stopped()).await), "killed");
            assert_eq!(word(&soon(inner.stopped()).await), "killed");
            for end in ends {
                assert_eq!(word(&soon(end).await.reason), "killed");
            }
            until("all is over", || kids.iter().all(|kid| !kid.is_alive())).await;
            assert!(names.names().is_empty() && sup.children().is_empty());
            assert!(log.take().is_empty(), "nothing terminates, and nothing comes back");
            assert!(matches!(soon(sup.stop()).await, Err(StopError::NoProc)));
        }
    }

    /// RI7 K14: to the supervisor above, that is an abnormal end like any other: all of it is started again.
    async fn a_supervisor_whose_task_dies_is_restarted() {
        let log = Log::default();
        let inner = Supervisor::builder().id("inner").child(child("x", &log)).child(child("y", &log));
        let top = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(inner)).await;
        let inner = top.supervisor("inner").expect("a supervisor");
        let (x, y) = (kid(&inner, "x"), kid(&inner, "y"));
        for n in 1..=20 {
            assert_eq!((ask(&x, add).await, ask(&y, add).await), (1, 1));
            inner.kill_supervisor();
            lives(&x, n + 1).await;
            lives(&y, n + 1).await;
            until("it is counted", || restarts(&top, "inner") == n).await;
            settled(&top).await;
            assert_eq!(ids(&inner), ["x", "y"]);
        }
    }

    /// K14 SG2: the death of the supervisor task of a server is the death of that child, whatever the strategy.
    async fn the_death_of_a_servers_own_supervisor_is_its_death() {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let names = Registry::new();
            let spec = |id: &str| {
                let preserved = ServerSpec::new(Script::new(), 0_u64).preserve_on_escalation(true);
                preserved.id(id).name_in(&names, id)
            };
            let tree = Supervisor::builder().strategy(strategy).max_restarts(u32::MAX, SECOND);
            let sup = rise(tree.child(spec("a")).child(spec("b"))).await;
            let (a, b) = (kid(&sup, "a"), kid(&sup, "b"));
            for n in 1..=20 {
                assert_eq!((ask(&a, add).await, ask(&b, add).await), (n, n));
                let end = a.monitor();
                a.chaos().kill_supervisor();
                assert_eq!(word(&soon(end).await.reason), "killed");
                lives(&a, n + 1).await;
                settled(&sup).await;
                let bystander = if strategy == Strategy::OneForOne { 1 } else { n + 1 };
                lives(&b, bystander).await;
                assert_eq!((a.incarnation(), b.incarnation(), restarts(&sup, "a")), (n + 1, bystander, n));
                assert_eq!(names.whereis::<Script<u64>>("a").expect("alive").id(), a.id());
            }
        }
    }

    /// K13: whatever tasks are killed below it, a tree is up again in the end, and each call is answered.
    async fn a_tree_comes_back_whatever_task_is_killed() {
        let log = Log::default();
        let floor = |id: &str, strategy| {
            let tree = Supervisor::builder().id(id).strategy(strategy).max_restarts(2, SECOND);
            tree.child(child("x", &log)).child(child("y", &log))
        };
        let tree = Supervisor::builder().max_restarts(u32::MAX, SECOND);
        let top =
            rise(tree.child(floor("all", Strategy::OneForAll)).child(floor("one", Strategy::OneForOne)))
                .await;
        let floors = ["all", "one"].map(|id| top.supervisor(id).expect("a supervisor"));
        let kids: Vec<Kid> = floors.iter().flat_map(|floor| [kid(floor, "x"), kid(floor, "y")]).collect();
        for round in 0..RACES {
            kids[round % 4].chaos().kill_keeper();
            kids[(round + 1) % 4].chaos().kill_supervisor();
            if round % 5 == 0 {
                floors[round / 5 % 2].kill_supervisor();
            }
            until("everybody lives", || kids.iter().all(|kid| kid.status() == Status::Running)).await;
        }
        for floor in ["all", "one"] {
            until("all of it is up", || status(&top, floor) == Some(Status::Running)).await;
        }
        for server in &kids {
            // The last of the kills may only be felt now.
            soon(async {
                while server.call(add).await.is_err() {
                    yield_now().await
                }
            })
            .await;
        }
        assert_eq!(word(&soon(top.stop()).await.expect("it stops")), "normal");
    }
}
