//! For how long a transfer waits: not at all, unless the child's own supervisor is starting, stopping or restarting that very
//! child; and never longer than 5 s.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{
    Backoff, Crash, DynamicSupervisor, Next, RestartPolicy, Shutdown, Status, Strategy, Supervisor,
    TransferError,
};

use super::{
    homes::{Home, is_looked_after, pairs},
    parts::{Counter, Life, SECOND, born, counter, family, nursery, started},
    rise,
};
use crate::{
    crash::script::{add, ask, soon},
    support::{Gate, quiet, until},
};

/// TR7: supervisors that are busy with other children, for as long as it takes, are no reason to wait.
#[tokio::test(start_paused = true)]
async fn supervisors_busy_with_others_are_not_waited_for() {
    quiet();
    for (from, to) in pairs().await {
        let server = from.child("moved").await;
        let gate = Gate::new();
        let starts = [&from, &to].map(|home| {
            let (home, gate) = (home.clone(), gate.clone());
            let life = Life::new().born(move |_| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    Ok(Next::Wait)
                }
            });
            tokio::spawn(async move { home.bear("slow", life.spec()).await })
        });
        gate.arrived().await;
        gate.arrived().await;
        let begin = Instant::now();
        from.move_to("moved", server.id(), &to).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert!(to.has(server.id()) && !from.has(server.id()));
        assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
        gate.open();
        gate.open();
        for start in starts {
            start.await.expect("it starts");
        }
        assert_eq!((from.len(), to.len()), (1, 2));
    }
}

/// TR8: a child that its supervisor is still starting is waited for, and moved when it serves.
#[tokio::test(start_paused = true)]
async fn a_start_is_waited_for() {
    quiet();
    for to in [Home::fixed().await, Home::dynamic().await] {
        let (from, gate) = (family([]).await, Gate::new());
        let at = gate.clone();
        let life = Life::new().born(move |_| {
            let gate = at.clone();
            async move {
                gate.pass().await;
                Ok(Next::Wait)
            }
        });
        let starts = tokio::spawn({
            let (from, spec) = (from.clone(), life.clone().spec().id("moved"));
            async move { from.start_child(spec).await }
        });
        gate.arrived().await;
        let opens = async {
            sleep(SECOND * 2).await;
            gate.open();
        };
        let begin = Instant::now();
        let moved = async {
            match &to {
                Home::Static(to) => from.transfer("moved", to).await,
                Home::Dynamic(to) => from.transfer("moved", to).await,
            }
        };
        let (moved, ()) = tokio::join!(moved, opens);
        moved.expect("it is moved");
        assert_eq!((begin.elapsed(), from.count().specs, to.len()), (SECOND * 2, 0, 1));
        starts.await.expect("no panic").expect("it has started");
        assert_eq!((to.children()[0].status, life.births()), (Status::Running, 1));
    }
}

/// TR7 TR8: a child that its supervisor restarts, one after the other, is waited for, 5 s at most; then nothing has changed. A
/// dynamic supervisor waits for no restart itself, so nobody has to wait for it either.
#[tokio::test(start_paused = true)]
async fn a_restart_is_waited_for_where_the_supervisor_waits_for_it() {
    quiet();
    for (from, to) in pairs().await {
        let gate = Gate::new();
        let at = gate.clone();
        let life = Life::new().born(move |nth| {
            let gate = at.clone();
            async move {
                if nth > 1 {
                    gate.pass().await;
                }
                Ok(Next::Wait)
            }
        });
        let server = from.bear("moved", life.clone().spec()).await;
        server.kill();
        gate.arrived().await;
        let begin = Instant::now();
        if let Home::Static(_) = &from {
            let waited = from.send("moved", server.id(), &to).await;
            assert!(matches!(waited, Err(TransferError::Timeout)), "{waited:?}");
            assert_eq!(begin.elapsed(), SECOND * 5);
            assert!(from.has(server.id()) && !to.has(server.id()));
            assert_eq!(from.info(server.id()).status, Status::Restarting);
            // In time, it is moved as soon as it serves.
            let opens = async {
                sleep(SECOND * 3).await;
                gate.open();
            };
            let (moved, ()) = tokio::join!(from.send("moved", server.id(), &to), opens);
            moved.expect("it is moved");
            assert_eq!(begin.elapsed(), SECOND * 8);
        } else {
            from.move_to("moved", server.id(), &to).await;
            assert_eq!(begin.elapsed(), Duration::ZERO);
            assert_eq!(to.info(server.id()).status, Status::Restarting);
            gate.open();
        }
        assert!(to.has(server.id()) && !from.has(server.id()));
        assert_eq!((soon(server.call(|reply| reply)).await.ok(), life.births()), (Some(2), 2));
        let listed = to.info(server.id());
        assert_eq!((listed.status, listed.restarts), (Status::Running, 1));
        gate.open();
        is_looked_after(&to, &server).await;
    }
}

/// TR7 TR8: a child that waits to be restarted is not moved before it is: its supervisor has promised it a restart.
#[tokio::test(start_paused = true)]
async fn a_pause_before_a_restart_is_waited_for() {
    quiet();
    for to in [Home::fixed().await, Home::dynamic().await] {
        for (pause, waits, moved) in [(SECOND * 3, SECOND * 3, true), (SECOND * 60, SECOND * 6, false)] {
            let pause = Backoff::exponential(pause, pause);
            let fixed = rise(Supervisor::builder().backoff(pause)).await;
            let dynamic = started(DynamicSupervisor::builder().backoff(pause)).await;
            for from in [Home::Static(fixed), Home::Dynamic(dynamic)] {
                let server = from.child("moved").await;
                server.kill();
                until("it is down", || from.info(server.id()).status == Status::Restarting).await;
                // Its supervisor has heard of it. Before that, the end would be for the other one to deal with.
                let begin = Instant::now();
                sleep(SECOND).await;
                let result = from.send("moved", server.id(), &to).await;
                assert_eq!((result.is_ok(), begin.elapsed()), (moved, waits), "{result:?}");
                assert_eq!((from.has(server.id()), to.has(server.id())), (!moved, moved));
                // Here or there, it comes back.
                assert_eq!(server.wait_incarnation(2).await.expect("a life"), 2);
                assert_eq!(ask(&server, add).await, 1);
                assert_eq!(server.incarnation(), 2);
                if moved {
                    to.terminate("moved", server.id()).await;
                    if let Home::Static(to) = &to {
                        to.delete_child("moved").await.expect("it is deleted");
                    }
                } else {
                    assert!(matches!(result, Err(TransferError::Timeout)), "{result:?}");
                }
            }
        }
    }
}

/// TR7 TR8: a child that is being terminated is waited for, 5 s at most, and once it is gone there is nothing to move.
#[tokio::test(start_paused = true)]
async fn a_termination_is_waited_for() {
    quiet();
    for to in [Home::fixed().await, Home::dynamic().await] {
        for (takes, error) in [(SECOND * 3, "not found"), (SECOND * 8, "timeout")] {
            let from = nursery().await;
            let life = Life::new().dies(move |_| sleep(takes));
            let spec = life.spec().restart(RestartPolicy::Temporary).shutdown(Shutdown::Infinity);
            let server = born(&from, spec).await;
            let home = Home::Dynamic(from.clone());
            let begin = Instant::now();
            let (terminated, moved) =
                tokio::join!(from.terminate_child(server.id()), home.send("moved", server.id(), &to));
            terminated.expect("a child");
            match moved {
                Err(TransferError::NotFound) => assert_eq!(error, "not found"),
                Err(TransferError::Timeout) => assert_eq!(error, "timeout"),
                other => panic!("{other:?}"),
            }
            assert_eq!((begin.elapsed(), to.len(), from.count().specs), (takes, 0, 0));
        }
    }
}

/// A source that is stopping gives nothing away, and a transfer does not wait for it for ever.
#[tokio::test(start_paused = true)]
async fn a_source_that_never_stops_is_not_waited_for() {
    quiet();
    for (from, to) in pairs().await {
        let life = Life::new().dies(|_| pending());
        let server = from.bear("moved", life.spec().shutdown(Shutdown::Infinity)).await;
        let stop = tokio::spawn({
            let from = from.clone();
            async move { from.stop().await }
        });
        sleep(SECOND).await;
        let begin = Instant::now();
        let refused = from.send("moved", server.id(), &to).await;
        assert!(
            matches!(refused, Err(TransferError::NoProc | TransferError::NotFound | TransferError::Timeout)),
            "{refused:?}"
        );
        assert!(begin.elapsed() <= SECOND * 5 && to.len() == 0);
        server.kill();
        stop.await.expect("it stops");
        assert_eq!(server.status(), Status::Terminated);
    }
}

/// TR8 SG4: a child that was stopped because of a sibling whose restart has failed is about to be restarted: it waits with its
/// siblings, and so does its transfer. Wherever it is afterwards, it serves.
#[tokio::test(start_paused = true)]
async fn a_child_that_waits_with_its_siblings_is_not_lost() {
    quiet();
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for to in [Home::fixed().await, Home::dynamic().await] {
            let life = Life::new().born(|nth| async move {
                if nth == 2 { Err(Crash::msg("test: not yet")) } else { Ok(Next::Wait) }
            });
            let pause = Backoff::exponential(SECOND * 60, SECOND * 60);
            let spec = Supervisor::builder().strategy(strategy).backoff(pause);
            let from = rise(spec.child(life.clone().spec().id("fails")).child(counter().id("moved"))).await;
            let fails = from.server::<Life>("fails").expect("it is there");
            let server = from.server::<Counter>("moved").expect("it is there");
            let home = Home::Static(from.clone());
            fails.kill();
            sleep(SECOND * 61).await;
            assert_eq!(life.births(), 2, "the first attempt has failed");
            assert_eq!(home.info(server.id()).status, Status::Restarting);
            let begin = Instant::now();
            let moved = home.send("moved", server.id(), &to).await;
            assert!(matches!(moved, Ok(()) | Err(TransferError::Timeout)), "{moved:?}");
            assert!(begin.elapsed() <= SECOND * 5);
            assert_eq!((to.has(server.id()), home.has(server.id())), (moved.is_ok(), moved.is_err()));
            sleep(SECOND * 120).await;
            assert_eq!((ask(&server, add).await, server.incarnation()), (1, 2));
            assert_eq!((life.births(), fails.status()), (3, Status::Running));
            let home = if moved.is_ok() { &to } else { &home };
            assert_eq!(home.info(server.id()).status, Status::Running);
        }
    }
}
