//! Starts under a dynamic supervisor that take their time: beside each other, given up half-way, asked for by the children
//! themselves, and overtaken by the end of the supervisor.

use std::{pin::pin, sync::Arc, task::Poll};

use futures::{future::join_all, poll};
use tokio::task::yield_now;
use undying::{
    ChildError, DynamicSupervisorRef, ExitReason, Next, Registry, Reply, ServerId, Shutdown, StartError,
    Status,
};

use super::parts::{Counter, Life, SECOND, born, child, counter, entry, nursery, servers};
use crate::{
    crash::script::{Job, add, ask, slow, soon},
    effects::{Alive, tasks},
    support::{Gate, RACES, until},
};

/// A server whose `init` waits at `gate`, holding one of `alive`.
fn gated(gate: &Gate, alive: &Arc<Alive>) -> Life {
    let (gate, alive) = (gate.clone(), alive.clone());
    Life::new().born(move |_| {
        let (gate, one) = (gate.clone(), alive.one());
        async move {
            let _one = one;
            gate.pass().await;
            Ok(Next::Wait)
        }
    })
}

/// A call that has the server start a child under `parent`, in its callback.
fn start_another(parent: DynamicSupervisorRef) -> impl FnOnce(Reply<ServerId>) -> Job<u64> {
    move |reply| {
        slow(move |_, _| {
            Box::pin(async move {
                let server = parent.start_child(counter()).await.expect("a child starts");
                reply.send(server.id());
                Ok(Next::Wait)
            })
        })
    }
}

both! {
    /// DY1: a slow `init` keeps nobody waiting: others are started, listed, restarted and terminated meanwhile.
    async fn a_slow_start_keeps_nobody_waiting() {
        let (parent, gate, alive) = (nursery().await, Gate::new(), Arc::new(Alive::default()));
        let mut slow = pin!(parent.start_child(gated(&gate, &alive).spec()));
        assert!(poll!(&mut slow).is_pending());
        soon(gate.arrived()).await;
        let (first, second) = (child(&parent).await, child(&parent).await);
        first.kill();
        soon(first.wait_incarnation(2)).await.expect("another life");
        assert_eq!(ask(&first, add).await, 1);
        soon(parent.terminate_child(second.id())).await.expect("a child");
        assert!(poll!(&mut slow).is_pending());
        gate.open();
        let server = soon(slow).await.expect("it starts");
        let mut both = [first.id(), server.id()];
        both.sort_unstable();
        assert_eq!(servers(&parent.children()), both);
    }

    /// DY1: a hundred slow starts are all in their `init` at the same time.
    async fn starts_run_beside_each_other() {
        const STARTS: usize = 100;
        let (parent, gate, alive) = (nursery().await, Gate::new(), Arc::new(Alive::default()));
        let starts = join_all((0..STARTS).map(|_| parent.start_child(gated(&gate, &alive).spec())));
        let all_in = async {
            for _ in 0..STARTS {
                gate.arrived().await;
            }
            assert_eq!(alive.count(), STARTS);
            for _ in 0..STARTS {
                gate.open();
            }
        };
        let (started, ()) = soon(async { tokio::join!(starts, all_in) }).await;
        let mut ids: Vec<_> = started.into_iter().map(|server| server.expect("it starts").id()).collect();
        ids.sort_unstable();
        assert_eq!(servers(&parent.children()), ids);
    }

    /// ST10: a start that is given up half-way leaves nothing: no `init`, no name, no child, no task.
    async fn a_start_given_up_leaves_nothing() {
        let (parent, names) = (nursery().await, Registry::new());
        child(&parent).await;
        let before = (tasks(), servers(&parent.children()));
        for _ in 0..RACES {
            let (gate, alive) = (Gate::new(), Arc::new(Alive::default()));
            let spec = gated(&gate, &alive).spec().name_in(&names, "given up");
            let mut start = Box::pin(parent.start_child(spec));
            assert!(poll!(&mut start).is_pending());
            soon(gate.arrived()).await;
            drop(start);
            until("its init is gone", || alive.count() == 0).await;
            until("its name is free", || names.names().is_empty()).await;
            until("it is forgotten", || parent.count().specs == 1).await;
        }
        until("its tasks are gone", || tasks() == before.0).await;
        assert_eq!(servers(&parent.children()), before.1);
    }

    /// ST10: wherever a start is given up, either it had not begun, or nothing of it is left, or it was done.
    async fn a_start_may_be_given_up_anywhere() {
        let (parent, names) = (nursery().await, Registry::new());
        for round in 0..RACES {
            let life = Life::new().born(|_| async {
                for _ in 0..3 {
                    yield_now().await;
                }
                Ok(Next::Wait)
            });
            let mut start = Box::pin(parent.start_child(life.spec().name_in(&names, "given up")));
            let mut server = None;
            for _ in 0..round % 12 {
                if let Poll::Ready(started) = poll!(&mut start) {
                    server = Some(started.expect("it starts"));
                    break;
                }
                yield_now().await;
            }
            drop(start);
            if let Some(server) = server {
                soon(parent.terminate_child(server.id())).await.expect("a child");
            }
            until("its name is free", || names.names().is_empty()).await;
            until("it is forgotten", || parent.count().specs == 0 && parent.children().is_empty()).await;
        }
        // Nobody was restarted that was given up.
        child(&parent).await;
        assert_eq!(parent.count().specs, 1);
    }

    /// ST10: a start that was never polled never began.
    async fn a_start_never_polled_does_nothing() {
        let (parent, before) = (nursery().await, tasks());
        for _ in 0..RACES {
            drop(parent.start_child(counter()));
        }
        assert_eq!((tasks(), parent.count().specs), (before, 0));
    }

    /// DY1: a child can start others under its own supervisor, from a callback and from its `init`.
    async fn a_child_can_start_another() {
        let parent = nursery().await;
        let first = child(&parent).await;
        let second = ask(&first, start_another(parent.clone())).await;
        let mut both = [first.id(), second];
        both.sort_unstable();
        assert_eq!(servers(&parent.children()), both);
        let own = parent.clone();
        let life = Life::new().born(move |_| {
            let own = own.clone();
            async move {
                own.start_child(counter()).await.expect("a child starts");
                Ok(Next::Wait)
            }
        });
        born(&parent, life.spec()).await;
        assert_eq!(parent.count().specs, 4);
    }

    /// DY3: a callback can terminate a sibling, and one that asks for its own termination gets it.
    async fn a_child_can_terminate_another_and_itself() {
        let parent = nursery().await;
        let (first, second) = (child(&parent).await, child(&parent).await);
        let terminates = |id: ServerId| {
            let parent = parent.clone();
            move |reply: Reply<()>| -> Job<u64> {
                slow(move |_, _| {
                    Box::pin(async move {
                        parent.terminate_child(id).await.expect("a child");
                        reply.send(());
                        Ok(Next::Wait)
                    })
                })
            }
        };
        ask(&first, terminates(second.id())).await;
        assert_eq!(servers(&parent.children()), [first.id()]);
        let itself = counter().shutdown(Shutdown::Timeout(SECOND / 10));
        let server = born(&parent, itself).await;
        // Its own callback is in the way of its end until its time is over.
        soon(server.call(terminates(server.id()))).await.expect_err("nobody is there to answer");
        until("it is forgotten", || servers(&parent.children()) == [first.id()]).await;
        assert_eq!(server.status(), Status::Terminated);
    }

    /// SH4: a supervisor that is stopped stops what is being started, and whoever starts it is told.
    async fn a_stop_overtakes_a_start() {
        for _ in 0..RACES {
            let (parent, gate, alive) = (nursery().await, Gate::new(), Arc::new(Alive::default()));
            let before = tasks();
            let mut start = Box::pin(parent.start_child(gated(&gate, &alive).spec()));
            assert!(poll!(&mut start).is_pending());
            soon(gate.arrived()).await;
            parent.kill();
            let told = soon(&mut start).await;
            assert!(matches!(told, Err(ChildError::NoProc | ChildError::Start(_))), "{told:?}");
            assert!(matches!(soon(parent.stopped()).await, ExitReason::Killed));
            until("its init is gone", || alive.count() == 0).await;
            until("nothing is left", || tasks() < before).await;
        }
    }

    /// SH8: a start that races the end of its supervisor is refused, or the child ends with the supervisor: no orphan.
    async fn no_start_outlives_its_supervisor() {
        for round in 0..RACES {
            let names = Registry::new();
            let parent = nursery().await;
            let starters: Vec<_> = (0..4_usize)
                .map(|number| {
                    let (parent, names) = (parent.clone(), names.clone());
                    tokio::spawn(async move {
                        for _ in 0..(round + number) % 8 {
                            yield_now().await;
                        }
                        parent.start_child(counter().name_in(&names, number.to_string())).await
                    })
                })
                .collect();
            for _ in 0..round % 5 {
                yield_now().await;
            }
            let reason = if round % 2 == 0 {
                soon(parent.stop()).await.expect("it stops")
            } else {
                parent.kill();
                soon(parent.stopped()).await
            };
            for starter in starters {
                match soon(starter).await.expect("no panic") {
                    Ok(server) => {
                        let why = soon(server.stopped()).await.reason;
                        assert!(matches!(why, ExitReason::Shutdown | ExitReason::Killed), "{reason}: {why}");
                    }
                    Err(ChildError::NoProc | ChildError::Start(StartError::Init(_))) => {}
                    Err(other) => panic!("{reason}: {other}"),
                }
            }
            until("every name is free", || names.names().is_empty()).await;
            assert_eq!(parent.count().specs, 0);
        }
    }

    /// NR1: of many who start a child of the same name under several supervisors one wins.
    async fn a_name_is_won_once_across_supervisors() {
        let parents = [nursery().await, nursery().await];
        for _ in 0..RACES {
            let names = Registry::new();
            let starts = (0..6).map(|number| {
                let (parent, names) = (parents[number % 2].clone(), names.clone());
                tokio::spawn(async move { parent.start_child(counter().name_in(&names, "one")).await })
            });
            let started = soon(join_all(starts.collect::<Vec<_>>())).await;
            let winners: Vec<_> =
                started.into_iter().filter_map(|start| start.expect("no panic").ok()).collect();
            assert_eq!(winners.len(), 1);
            assert_eq!(names.whereis::<Counter>("one").expect("it is there").id(), winners[0].id());
            let holders = parents.iter().filter(|parent| entry(parent.children(), winners[0].id()).is_some());
            assert_eq!(holders.count(), 1);
            for parent in &parents {
                // Exactly one of them has it.
                let _ = soon(parent.terminate_child(winners[0].id())).await;
                assert_eq!(parent.count().specs, 0);
            }
        }
    }
}
