//! Not only servers are moved: tasks and whole supervisors are, too.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use undying::{
    ChildInfo, ChildKind, ChildSpec, DynamicSupervisor, ExitReason, PartitionSupervisor, Status, Strategy,
    Supervisor, SupervisorRef,
};

use super::{
    homes::Home,
    parts::{Counter, HOUR, SECOND, born, child, counter, family, mortal, reborn},
};
use crate::{
    crash::script::{add, ask, get, soon},
    effects::{Alive, Log},
    support::{Gate, inject, until},
};

/// Supervisors of both kinds to move something to.
async fn destinations() -> [Home; 2] {
    [Home::fixed().await, Home::dynamic().await]
}

/// A supervisor with a child `moved` of that description.
async fn with(spec: impl Into<ChildSpec>) -> SupervisorRef {
    let from = family([]).await;
    soon(from.start_child(spec)).await.expect("a child starts");
    from
}

/// Moves the child `moved` and says what was listed of it before; the same is listed then.
async fn moved(from: &SupervisorRef, to: &Home) -> ChildInfo {
    let listed = from.children().into_iter().find(|child| child.id == "moved").expect("it is listed");
    let (left, there) = (from.count().specs, to.len());
    Home::Static(from.clone()).move_to("moved", listed.server, to).await;
    assert_eq!((from.count().specs, to.len()), (left - 1, there + 1));
    assert_eq!(to.info(listed.server), listed);
    listed
}

both! {
    /// TR1 TR9: a task goes on where it was, and ends with the supervisor it was moved to.
    async fn a_task_goes_on() {
        for to in destinations().await {
            let (runs, alive, gate) =
                (Arc::new(AtomicUsize::new(0)), Arc::new(Alive::default()), Gate::new());
            let (counts, lives, at) = (runs.clone(), alive.clone(), gate.clone());
            let from = with(ChildSpec::task("moved", move || {
                counts.fetch_add(1, SeqCst);
                let (one, gate) = (lives.one(), at.clone());
                async move {
                    let _one = one;
                    gate.pass().await;
                    gate.pass().await;
                    pending().await
                }
            }))
            .await;
            soon(gate.arrived()).await;
            let task = moved(&from, &to).await;
            assert_eq!((task.kind, task.status), (ChildKind::Task, Status::Running));
            soon(from.stop()).await.expect("it stops");
            gate.open();
            // It goes on from where it was.
            soon(gate.arrived()).await;
            assert_eq!((runs.load(SeqCst), alive.count()), (1, 1));
            to.stop().await;
            until("it is gone", || alive.count() == 0).await;
            assert_eq!(runs.load(SeqCst), 1);
        }
    }

    /// TR9: a task that panics after the move is run again by its new supervisor; one that returns is done.
    async fn a_task_is_run_again_by_its_new_supervisor() {
        for to in destinations().await {
            let gate = Gate::new();
            let (at, runs) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
            let from = with(ChildSpec::task("moved", move || {
                let (gate, run) = (at.clone(), runs.fetch_add(1, SeqCst));
                async move {
                    gate.pass().await;
                    if run == 0 {
                        inject();
                    }
                }
            }))
            .await;
            soon(gate.arrived()).await;
            let task = moved(&from, &to).await;
            gate.open();
            soon(gate.arrived()).await;
            let again = to.info(task.server);
            assert_eq!((again.status, again.restarts, from.is_alive()), (Status::Running, 1, true));
            gate.open();
            match &to {
                Home::Static(to) => until("it is down", || to.count().active == 0).await,
                Home::Dynamic(to) => until("it is forgotten", || to.count().specs == 0).await,
            }
        }
    }

    /// TR1 TR2: a supervisor is moved with all that is below it; its handle is valid, nobody below notices.
    async fn a_supervisor_is_moved_with_all_below_it() {
        for to in destinations().await {
            let log = Log::new();
            let inner = Supervisor::builder()
                .id("moved")
                .strategy(Strategy::OneForAll)
                .max_restarts(u32::MAX, SECOND)
                .child(mortal("a", &log).id("a"))
                .child(Supervisor::builder().id("deeper").child(mortal("b", &log).id("b")));
            let from = with(inner).await;
            let inner = from.supervisor("moved").expect("it is there");
            let a = inner.server::<Counter>("a").expect("it is there");
            let deeper = inner.supervisor("deeper").expect("it is there");
            let b = deeper.server::<Counter>("b").expect("it is there");
            ask(&a, add).await;
            let listed = moved(&from, &to).await;
            assert_eq!((listed.kind, listed.is_supervisor), (ChildKind::Supervisor, true));
            assert_eq!(listed.server, inner.id());
            assert!(from.supervisor("moved").is_none());
            if let Home::Static(to) = &to {
                assert_eq!(to.supervisor("moved").expect("it is found").id(), inner.id());
            }
            soon(from.stop()).await.expect("it stops");
            assert_eq!((ask(&a, get).await, a.incarnation(), b.incarnation(), log.len()), (1, 1, 1, 0));
            // It still is a supervisor: its strategy holds.
            reborn(&a).await;
            until("all of it is restarted", || {
                (b.incarnation(), inner.count().active, deeper.count().active) == (2, 2, 1)
            })
            .await;
            let before = log.len();
            to.stop().await;
            assert!(!inner.is_alive() && !deeper.is_alive());
            let shutdown = ExitReason::Shutdown;
            assert_eq!(log.notes()[before..], [format!("b {shutdown}"), format!("a {shutdown}")]);
        }
    }

    /// TR9 RI7: a supervisor that gives up after the move is restarted by its new supervisor.
    async fn a_supervisor_is_restarted_by_its_new_supervisor() {
        for to in destinations().await {
            let inner = Supervisor::builder().id("moved").max_restarts(0, HOUR).child(counter().id("a"));
            let from = with(inner).await;
            let inner = from.supervisor("moved").expect("it is there");
            let listed = moved(&from, &to).await;
            let a = inner.server::<Counter>("a").expect("it is there");
            ask(&a, add).await;
            reborn(&a).await;
            until("it is listed so", || to.info(listed.server).restarts == 1).await;
            until("all is back", || inner.count().active == 1).await;
            assert!(from.is_alive() && inner.is_alive());
            assert_eq!(ask(&inner.server::<Counter>("a").expect("it is there"), add).await, 1);
        }
    }

    /// TR1 TR9: a dynamic supervisor keeps its children, and starts more, wherever it is.
    async fn a_dynamic_supervisor_keeps_its_children() {
        for to in destinations().await {
            let from = with(DynamicSupervisor::builder().id("moved").max_children(2)).await;
            let dynamic = from.dynamic_supervisor("moved").expect("it is there");
            let first = child(&dynamic).await;
            ask(&first, add).await;
            let listed = moved(&from, &to).await;
            assert_eq!((listed.kind, listed.server), (ChildKind::Supervisor, dynamic.id()));
            soon(from.stop()).await.expect("it stops");
            let second = born(&dynamic, counter()).await;
            assert_eq!((ask(&first, add).await, ask(&second, add).await, dynamic.count().specs), (2, 1, 2));
            to.stop().await;
            for server in [&first, &second] {
                assert_eq!((server.status(), dynamic.is_alive()), (Status::Terminated, false));
            }
        }
    }

    /// TR1 TR9: a partitioned supervisor goes on routing.
    async fn a_partitioned_supervisor_goes_on_routing() {
        for to in destinations().await {
            let from = with(PartitionSupervisor::new(4, |_| counter()).id("moved")).await;
            let partitions = from.partition_supervisor::<Counter>("moved").expect("it is there");
            let server = partitions.route("a key");
            ask(&server, add).await;
            moved(&from, &to).await;
            soon(from.stop()).await.expect("it stops");
            assert_eq!(ask(&partitions.route("a key"), add).await, 2);
            soon(partitions.resize(1)).await.expect("it is within the bounds");
            to.stop().await;
            assert_eq!((server.status(), partitions.route("a key").is_alive()), (Status::Terminated, false));
        }
    }

    /// TR1: a child is moved out of a supervisor into the one above it, and back.
    async fn a_child_is_moved_up_and_down() {
        let inner = Supervisor::builder().id("inner").child(counter().id("moved"));
        let dynamic = DynamicSupervisor::builder().id("dynamic");
        let outer = soon(Supervisor::builder().child(inner).child(dynamic).start()).await.expect("it starts");
        let inner = outer.supervisor("inner").expect("it is there");
        let dynamic = outer.dynamic_supervisor("dynamic").expect("it is there");
        let server = inner.server::<Counter>("moved").expect("it is there");
        let homes = [
            Home::Static(inner),
            Home::Static(outer.clone()),
            Home::Dynamic(dynamic),
            Home::Static(outer.clone()),
        ];
        for step in 0..8 {
            homes[step % 4].move_to("moved", server.id(), &homes[(step + 1) % 4]).await;
            assert_eq!(ask(&server, add).await, step as u64 + 1);
        }
        assert_eq!(server.incarnation(), 1);
        soon(outer.stop()).await.expect("it stops");
        assert_eq!(server.status(), Status::Terminated);
    }
}
