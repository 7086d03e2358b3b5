//! Transfers in the moment of an end: of the child, of its old supervisor, of its new one. Nobody is lost, and nobody is left
//! behind without a supervisor.

use undying::{ChildError, Status, Strategy, Supervisor, TransferError};

use super::{
    homes::{Home, moves, only_home, pairs, pause},
    parts::{Counter, Life, SECOND, born, counter, nursery},
};
use crate::{
    crash::script::{add, ask, soon},
    effects::tasks,
    support::{RACES, until},
};

both! {
    /// TR8: killed in the moment of its transfer, it is restarted by one of the two, once, and is under that one.
    async fn a_child_killed_during_its_transfer_is_restarted_by_one() {
        for (from, to) in pairs().await {
            for round in 0..RACES {
                let life = Life::new();
                let server = from.bear("moved", life.clone().spec()).await;
                let moved = tokio::spawn({
                    let (from, to, id) = (from.clone(), to.clone(), server.id());
                    async move {
                        pause(round % 4).await;
                        from.send("moved", id, &to).await
                    }
                });
                pause(round / 4 % 4).await;
                server.kill();
                soon(moved).await.expect("no panic").expect("it waits for the restart, if it has to");
                soon(server.wait_incarnation(2)).await.expect("another life");
                let home = only_home([&from, &to], &server);
                until("it is listed so", || home.info(server.id()).status == Status::Running).await;
                assert_eq!((life.births(), home.info(server.id()).restarts), (2, 1));
                assert!(to.has(server.id()));
                to.terminate("moved", server.id()).await;
                if let Home::Static(to) = &to {
                    soon(to.delete_child("moved")).await.expect("it is deleted");
                }
            }
        }
    }

    /// TR8 SG2: its siblings die in the moment of its transfer, and it would be restarted with them: it is moved before or after.
    async fn a_child_restarted_with_its_siblings_is_moved_before_or_after() {
        for round in 0..RACES {
            let source = Supervisor::builder()
                .strategy(Strategy::OneForAll)
                .max_restarts(u32::MAX, SECOND)
                .child(counter().id("dies"))
                .child(counter().id("moved"))
                .child(counter().id("last"));
            let source = soon(source.start()).await.expect("it starts");
            let [dies, server, last] =
                ["dies", "moved", "last"].map(|id| source.server::<Counter>(id).expect("it is there"));
            let (from, to) = (Home::Static(source.clone()), Home::dynamic().await);
            let moved = moves(&from, &server, &to, round % 5);
            pause(round / 5 % 4).await;
            dies.kill();
            soon(moved).await.expect("no panic").expect("it waits for the restart, if it has to");
            for sibling in [&dies, &last] {
                soon(sibling.wait_incarnation(2)).await.expect("another life");
            }
            assert!(to.has(server.id()) && !from.has(server.id()));
            ask(&server, add).await;
            assert!(server.incarnation() <= 2, "the siblings died once");
            from.stop().await;
            ask(&server, add).await;
            to.stop().await;
        }
    }

    /// TR8: terminated in the moment of its transfer, it is over and nobody has it, or it is moved and lives.
    async fn a_child_terminated_during_its_transfer_is_moved_or_over() {
        for _ in 0..2 {
            let (from, to) = (nursery().await, Home::dynamic().await);
            for round in 0..RACES {
                let server = born(&from, counter()).await;
                let moved = moves(&Home::Dynamic(from.clone()), &server, &to, round % 4);
                pause(round / 4 % 4).await;
                let terminated = soon(from.terminate_child(server.id())).await;
                match (soon(moved).await.expect("no panic"), terminated) {
                    (Ok(()), Err(ChildError::NotFound)) => {
                        assert_eq!(ask(&server, add).await, 1);
                        to.terminate("moved", server.id()).await;
                    }
                    (Err(TransferError::NotFound), Ok(())) => {}
                    other => panic!("{other:?}"),
                }
                assert_eq!((server.status(), from.count().specs, to.len()), (Status::Terminated, 0, 0));
            }
        }
    }

    /// TR8 TR9: the source stops in the moment of the transfer: the child is moved and lives, or ends with the source.
    async fn a_source_stopped_during_the_transfer_takes_the_child_along_or_not() {
        let before = tasks();
        for kind in 0..4 {
            for round in 0..RACES {
                let [from, to] = [kind % 2, kind / 2].map(|kind| async move {
                    if kind == 0 { Home::fixed().await } else { Home::dynamic().await }
                });
                let (from, to) = (from.await, to.await);
                let server = from.child("moved").await;
                let moved = moves(&from, &server, &to, round % 4);
                pause(round / 4 % 4).await;
                if round % 2 == 0 {
                    drop(from.stop().await)
                } else {
                    from.kill()
                }
                match soon(moved).await.expect("no panic") {
                    Ok(()) => {
                        assert!(to.has(server.id()));
                        assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
                    }
                    Err(TransferError::NoProc | TransferError::NotFound) => {
                        soon(server.stopped()).await;
                        assert_eq!((server.status(), to.len()), (Status::Terminated, 0));
                    }
                    Err(other) => panic!("{other}"),
                }
                to.stop().await;
                assert_eq!(server.status(), Status::Terminated);
            }
        }
        until("no task is left", || tasks() == before).await;
    }

    /// TR8 TR9: the destination stops in the moment of the transfer: the child ends with it, or lives on under the source.
    async fn a_destination_stopped_during_the_transfer_takes_the_child_along_or_not() {
        let before = tasks();
        for kind in 0..4 {
            for round in 0..RACES {
                let [from, to] = [kind % 2, kind / 2].map(|kind| async move {
                    if kind == 0 { Home::fixed().await } else { Home::dynamic().await }
                });
                let (from, to) = (from.await, to.await);
                let server = from.child("moved").await;
                let moved = moves(&from, &server, &to, round % 4);
                pause(round / 4 % 4).await;
                if round % 2 == 0 {
                    drop(to.stop().await)
                } else {
                    to.kill()
                }
                match soon(moved).await.expect("no panic") {
                    Ok(()) => {
                        soon(server.stopped()).await;
                        assert_eq!((server.status(), from.len()), (Status::Terminated, 0));
                    }
                    Err(TransferError::Refused(ChildError::NoProc)) => {
                        assert!(from.has(server.id()));
                        assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
                    }
                    Err(other) => panic!("{other}"),
                }
                from.stop().await;
                assert_eq!(server.status(), Status::Terminated);
            }
        }
        until("no task is left", || tasks() == before).await;
    }
}
