//! Transfers that do not happen: everything is as it was, and the child runs on under its supervisor.

use undying::{
    AutoShutdown, ChildError, DynamicSupervisor, Registry, StartError, Status, Supervisor, TransferError,
};

use super::{
    homes::{Home, is_looked_after, pairs},
    parts::{Counter, child, counter, family, nursery, started},
    rise,
};
use crate::{
    crash::script::{add, ask, soon},
    support::{RACES, until},
};

both! {
    /// TR4: a destination that is full refuses; the child notices nothing. So it is when there is room.
    async fn a_full_destination_refuses() {
        for from in [Home::fixed().await, Home::dynamic().await] {
            let full = started(DynamicSupervisor::builder().max_children(1)).await;
            let to = Home::Dynamic(full.clone());
            let (server, holder) = (from.child("moved").await, child(&full).await);
            ask(&server, add).await;
            let refused = from.send("moved", server.id(), &to).await;
            assert!(matches!(refused, Err(TransferError::Refused(ChildError::MaxChildren))), "{refused:?}");
            assert_eq!((from.len(), to.len()), (1, 1));
            assert_eq!((ask(&server, add).await, server.incarnation()), (2, 1));
            is_looked_after(&from, &server).await;
            soon(full.terminate_child(holder.id())).await.expect("a child");
            from.move_to("moved", server.id(), &to).await;
            // A child that came from elsewhere has a place like any other.
            let late = soon(full.start_child(counter())).await;
            assert!(matches!(late, Err(ChildError::MaxChildren)), "{late:?}");
            // And leaves one when it goes.
            to.move_to("moved", server.id(), &from).await;
            child(&full).await;
        }
    }

    /// TR4 TR5: a destination that is over refuses.
    async fn a_destination_that_is_over_refuses() {
        for (from, to) in pairs().await {
            let server = from.child("moved").await;
            to.stop().await;
            let refused = from.send("moved", server.id(), &to).await;
            assert!(matches!(refused, Err(TransferError::Refused(ChildError::NoProc))), "{refused:?}");
            is_looked_after(&from, &server).await;
        }
    }

    /// TR4 DY6: a static destination that has the id already refuses, whether that child runs or not.
    async fn an_id_that_is_taken_is_refused() {
        for from in [Home::fixed().await, Home::dynamic().await] {
            let there = family(["moved"]).await;
            let to = Home::Static(there.clone());
            let server = from.child("moved").await;
            let refused = from.send("moved", server.id(), &to).await;
            assert!(
                matches!(refused, Err(TransferError::Refused(ChildError::AlreadyStarted))),
                "{refused:?}"
            );
            soon(there.terminate_child("moved")).await.expect("a child");
            let refused = from.send("moved", server.id(), &to).await;
            assert!(
                matches!(refused, Err(TransferError::Refused(ChildError::AlreadyPresent))),
                "{refused:?}"
            );
            is_looked_after(&from, &server).await;
            soon(there.delete_child("moved")).await.expect("it is deleted");
            from.move_to("moved", server.id(), &to).await;
            assert_eq!(there.server::<Counter>("moved").expect("it is there").id(), server.id());
        }
    }

    /// TR4 SG9: a significant child goes only where somebody shuts down because of it.
    async fn a_significant_child_goes_only_where_it_matters() {
        let automatic = || Supervisor::builder().auto_shutdown(AutoShutdown::AnySignificant);
        let spec = || counter().id("moved").significant(true);
        let from = rise(automatic().child(spec())).await;
        let server = from.server::<Counter>("moved").expect("it is there");
        let home = Home::Static(from.clone());
        for to in [Home::fixed().await, Home::dynamic().await] {
            let refused = home.send("moved", server.id(), &to).await;
            assert!(
                matches!(refused, Err(TransferError::Refused(ChildError::Start(StartError::Config(_))))),
                "{refused:?}"
            );
            assert_eq!(to.len(), 0);
            assert_eq!((ask(&server, add).await > 0, server.incarnation()), (true, 1));
        }
        let to = rise(automatic()).await;
        home.move_to("moved", server.id(), &Home::Static(to.clone())).await;
        assert!(Home::Static(to.clone()).info(server.id()).significant);
        soon(server.stop()).await.expect("a server");
        assert_eq!(soon(to.stopped()).await.to_string(), "shutdown");
        assert!(from.is_alive(), "it does not matter to the source any more");
    }

    /// TR5: what is no child of the source cannot be given away by it.
    async fn only_a_child_can_be_given_away() {
        for (from, to) in pairs().await {
            let (own, other) = (from.child("own").await, to.child("other").await);
            let orphan = counter().start().await.expect("it starts");
            for (id, server) in [("other", other.id()), ("nobody", orphan.id())] {
                let refused = from.send(id, server, &to).await;
                assert!(matches!(refused, Err(TransferError::NotFound)), "{refused:?}");
            }
            assert_eq!((from.len(), to.len()), (1, 1));
            // Moved once, it is not the source's to give away any more.
            from.move_to("own", own.id(), &to).await;
            let again = from.send("own", own.id(), &to).await;
            assert!(matches!(again, Err(TransferError::NotFound)), "{again:?}");
            for server in [&own, &other, &orphan] {
                assert_eq!((ask(server, add).await, server.incarnation()), (1, 1));
            }
            orphan.kill();
        }
    }

    /// TR5: a child that has ended cannot be given away.
    async fn a_child_that_is_over_cannot_be_given_away() {
        for to in [Home::fixed().await, Home::dynamic().await] {
            let from = nursery().await;
            let server = child(&from).await;
            soon(server.stop()).await.expect("a server");
            until("it is forgotten", || from.count().specs == 0).await;
            let refused = Home::Dynamic(from).send("", server.id(), &to).await;
            assert!(matches!(refused, Err(TransferError::NotFound)), "{refused:?}");
            assert_eq!((to.len(), server.status()), (0, Status::Terminated));
        }
    }

    /// TR5: a source that is over has nothing to give away.
    async fn a_source_that_is_over_gives_nothing_away() {
        for (from, to) in pairs().await {
            let server = from.child("moved").await;
            from.stop().await;
            let refused = from.send("moved", server.id(), &to).await;
            assert!(matches!(refused, Err(TransferError::NoProc)), "{refused:?}");
            assert_eq!((to.len(), server.status()), (0, Status::Terminated));
        }
    }

    /// TR4: nobody can be put below itself.
    async fn nobody_is_moved_below_itself() {
        let innermost =
            || Supervisor::builder().id("innermost").child(DynamicSupervisor::builder().id("dynamic"));
        let inner = || Supervisor::builder().id("inner").child(innermost());
        let outer = rise(Supervisor::builder().child(inner())).await;
        let inner = outer.supervisor("inner").expect("it is there");
        let innermost = inner.supervisor("innermost").expect("it is there");
        let dynamic = innermost.dynamic_supervisor("dynamic").expect("it is there");
        let before = outer.tree().to_string().lines().count();
        for to in
            [Home::Static(inner.clone()), Home::Static(innermost.clone()), Home::Dynamic(dynamic.clone())]
        {
            let refused = Home::Static(outer.clone()).send("inner", inner.id(), &to).await;
            assert!(matches!(refused, Err(TransferError::Refused(_))), "{refused:?}");
        }
        assert_eq!(outer.tree().to_string().lines().count(), before);
        // Nobody's parent is hurt: it can still go elsewhere, and up.
        soon(inner.transfer("innermost", &outer)).await.expect("it is moved up");
        assert_eq!((outer.count().specs, inner.count().specs), (2, 0));
        assert_eq!(outer.supervisor("innermost").expect("it is there").id(), innermost.id());
        soon(outer.stop()).await.expect("it stops");
        assert!(!dynamic.is_alive());
    }

    /// TR5: given to whom it has already, a child stays where it is, once.
    async fn a_child_given_to_its_own_supervisor_stays() {
        for home in [Home::fixed().await, Home::dynamic().await] {
            let server = home.child("moved").await;
            // Whether that is an error is a matter of taste; that it does no harm is not.
            let _ = home.send("moved", server.id(), &home).await;
            assert_eq!((home.len(), ask(&server, add).await, server.incarnation()), (1, 1, 1));
            is_looked_after(&home, &server).await;
        }
    }

    /// TR4: of what is refused nothing is counted or kept, two hundred times.
    async fn refusals_leave_nothing_behind() {
        let (from, names) = (Home::dynamic().await, Registry::new());
        let full = started(DynamicSupervisor::builder().max_children(1)).await;
        let server = from.bear("moved", counter().name_in(&names, "moved")).await;
        let holder = child(&full).await;
        for _ in 0..RACES {
            let refused = from.send("moved", server.id(), &Home::Dynamic(full.clone())).await;
            assert!(matches!(refused, Err(TransferError::Refused(ChildError::MaxChildren))), "{refused:?}");
        }
        soon(full.terminate_child(holder.id())).await.expect("a child");
        from.move_to("moved", server.id(), &Home::Dynamic(full.clone())).await;
        assert_eq!((from.len(), full.count().specs), (0, 1));
        assert_eq!(names.whereis::<Counter>("moved").expect("it is found").id(), server.id());
    }

    /// TR5: a child that is down does not run, so there is nothing to move; it can be started again where it is listed.
    async fn a_child_that_is_down_is_nowhere_lost() {
        for to in [Home::fixed().await, Home::dynamic().await] {
            let from = family(["moved"]).await;
            let server = from.server::<Counter>("moved").expect("it is there");
            soon(from.terminate_child("moved")).await.expect("a child");
            let moved = Home::Static(from.clone()).send("moved", server.id(), &to).await;
            assert!(matches!(moved, Err(TransferError::NotFound)), "{moved:?}");
            assert_eq!((from.count().specs, to.len(), server.status()), (1, 0, Status::Terminated));
            soon(from.restart_child("moved")).await.expect("it is started again");
            assert_eq!(ask(&server, add).await, 1);
        }
    }
}
