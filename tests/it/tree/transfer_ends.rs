//! Whose a child is after it was moved: who restarts it, and with whom it ends.

use undying::{DynamicSupervisor, ExitReason, Status, Supervisor};

use super::{
    homes::{Home, pairs},
    parts::{Counter, HOUR, SECOND, counter, mortal, reborn},
};
use crate::{
    crash::script::{add, ask, get, soon},
    effects::Log,
    support::until,
};

/// A supervisor of either kind with so many restarts.
async fn limited(is_static: bool, restarts: u32) -> Home {
    if is_static {
        let spec = Supervisor::builder().max_restarts(restarts, HOUR);
        Home::Static(soon(spec.start()).await.expect("it starts"))
    } else {
        let spec = DynamicSupervisor::builder().max_restarts(restarts, HOUR);
        Home::Dynamic(soon(spec.start()).await.expect("it starts"))
    }
}

both! {
    /// TR9: when the source stops, the child lives; when the destination stops, it ends with it.
    async fn a_moved_child_ends_with_its_new_supervisor() {
        for (from, to) in pairs().await {
            let log = Log::new();
            let server = from.bear("moved", mortal("moved", &log)).await;
            let left = from.bear("left behind", mortal("left behind", &log)).await;
            from.move_to("moved", server.id(), &to).await;
            from.stop().await;
            let shutdown = ExitReason::Shutdown;
            assert_eq!((log.notes(), left.is_alive()), (vec![format!("left behind {shutdown}")], false));
            assert_eq!(ask(&server, add).await, 1);
            to.stop().await;
            assert_eq!(log.notes().last(), Some(&format!("moved {shutdown}")));
            assert_eq!((server.status(), log.len()), (Status::Terminated, 2));
        }
    }

    /// TR9: when the source is killed or gives up, the moved child lives.
    async fn a_moved_child_survives_a_bad_end_of_its_old_supervisor() {
        for (from, to) in pairs().await {
            let server = from.child("moved").await;
            from.move_to("moved", server.id(), &to).await;
            from.kill();
            until("it is over", || !from.is_alive()).await;
            assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
        }
        let (to, limit) = (Home::dynamic().await, Supervisor::builder().max_restarts(0, HOUR));
        let from = soon(limit.child(counter().id("moved")).child(counter().id("dies")).start()).await;
        let from = from.expect("it starts");
        let [moved, dies] = ["moved", "dies"].map(|id| from.server::<Counter>(id).expect("it is there"));
        Home::Static(from.clone()).move_to("moved", moved.id(), &to).await;
        dies.kill();
        assert!(matches!(soon(from.stopped()).await, ExitReason::RestartLimit(_)));
        assert_eq!((ask(&moved, add).await, moved.incarnation()), (1, 1));
    }

    /// TR9 RI7: after the move it is the destination that restarts it, at its own expense.
    async fn a_moved_child_is_restarted_by_its_new_supervisor() {
        let budgets = [(true, true), (true, false), (false, true), (false, false)];
        for (from, to) in budgets.map(|(from, to)| (limited(from, 0), limited(to, 2))) {
            let (from, to) = (from.await, to.await);
            let server = from.child("moved").await;
            from.move_to("moved", server.id(), &to).await;
            for restarts in 1..=2 {
                ask(&server, add).await;
                reborn(&server).await;
                until("it is listed so", || to.info(server.id()).restarts == restarts).await;
                assert_eq!(ask(&server, get).await, 0);
            }
            // The source had no budget at all: it has not been charged.
            assert!(from.is_alive());
            server.kill();
            until("it was one too many", || !to.is_alive()).await;
            assert_eq!(soon(server.stopped()).await.reason.to_string(), "killed");
            assert_eq!((server.status(), from.len()), (Status::Terminated, 0));
        }
    }

    /// TR9: it is a dynamic child of its new supervisor: when that is restarted it is gone, and the source never has it again.
    async fn a_moved_child_does_not_outlive_a_restart_of_its_new_supervisor() {
        let root = Supervisor::builder()
            .max_restarts(u32::MAX, SECOND)
            .child(
                Supervisor::builder()
                    .id("from")
                    .max_restarts(0, HOUR)
                    .child(counter().id("moved"))
                    .child(counter().id("a")),
            )
            .child(Supervisor::builder().id("to").max_restarts(0, HOUR).child(counter().id("b")));
        let root = soon(root.start()).await.expect("it starts");
        let [from, to] = ["from", "to"].map(|id| root.supervisor(id).expect("it is there"));
        let moved = from.server::<Counter>("moved").expect("it is there");
        soon(from.transfer("moved", &to)).await.expect("it is moved");
        // The source is restarted: it starts what it has, and not what it gave away.
        reborn(&from.server::<Counter>("a").expect("it is there")).await;
        until("it is back", || from.count().active == 1).await;
        assert!(from.server::<Counter>("moved").is_none());
        assert_eq!((ask(&moved, add).await, moved.incarnation()), (1, 1));
        // So is the destination: it starts what it was described with.
        reborn(&to.server::<Counter>("b").expect("it is there")).await;
        until("it is back", || to.count().active == 1).await;
        soon(moved.stopped()).await;
        assert_eq!(moved.status(), Status::Terminated);
        assert_eq!((from.count().specs, to.count().specs), (1, 1));
    }
}
