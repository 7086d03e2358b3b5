//! Whoever asks a supervisor for something may stop waiting at any moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use undying::{ExitReason, Registry, ServerSpec};

use super::{child, counter, crowd, family, holder, ids, poll_only, start, start_crowd};
use crate::{
    crash::script::{Script, add, ask, inc, slow, soon, tell, wait_at},
    support::{Gate, RACES, until},
};

both! {
    /// A start that is dropped at any of its steps leaves no child, no name, no task.
    async fn a_dropped_start_leaves_nothing() {
        let registry = Registry::new();
        for polls in 0..60 {
            let token = Arc::new(());
            let named = |id: &str| holder(id, &token).name_in(&registry, id);
            let nested = family().id("nested").child(named("c")).child(named("d"));
            let tree = family().child(named("a")).child(named("b")).child(nested).child(named("e"));
            if let Some(started) = poll_only(tree.start(), polls).await {
                drop(started.expect("nothing is in its way").into_guard());
            }
            until("nothing is left of it", || Arc::strong_count(&token) == 1).await;
            until("the names are free", || registry.names().is_empty()).await;
        }
    }

    /// A start of a child that is dropped is done or not; there is nothing in between, and the place it took is free again.
    async fn a_dropped_start_of_a_dynamic_child_gives_its_place_back() {
        let crowd = crowd().max_children(1).start().await.expect("it starts");
        for polls in 0..20 {
            let token = Arc::new(());
            match poll_only(crowd.start_child(holder("x", &token)), polls).await {
                Some(started) => {
                    let server = started.expect("there is room");
                    soon(crowd.terminate_child(server.id())).await.expect("it is there");
                }
                None => until("its place is free", || crowd.count().specs == 0).await,
            }
            until("it is gone", || Arc::strong_count(&token) == 1).await;
        }
    }

    /// An order whose caller has gone is carried out or not, and the next one finds the supervisor in order.
    async fn a_dropped_order_does_not_stall_a_supervisor() {
        let tree = start(family().child(counter("a")).child(counter("b"))).await;
        for round in 0..RACES {
            let polls = round % 5;
            match round % 4 {
                0 => drop(poll_only(tree.terminate_child("a"), polls).await),
                1 => drop(poll_only(tree.restart_child("a"), polls).await),
                2 => drop(poll_only(tree.start_child(counter("c")), polls).await),
                _ => {
                    drop(poll_only(tree.terminate_child("c"), polls).await);
                    drop(poll_only(tree.delete_child("c"), polls).await);
                }
            }
        }
        // Whatever was begun is done before this.
        soon(tree.terminate_child("a")).await.expect("it is listed");
        soon(tree.restart_child("a")).await.expect("it is down");
        assert_eq!(ask(&child(&tree, "a"), add).await, 1);
        assert_eq!(ids(&tree.children())[..2], ["a", "b"]);
        soon(tree.stop()).await.expect("it ran");
    }

    /// A stop goes on when nobody waits for it any more.
    async fn a_dropped_stop_stops_all_the_same() {
        for polls in 1..6 {
            let gate = Gate::new();
            let tree = start(family().child(counter("a")).child(counter("b"))).await;
            let server = child(&tree, "a");
            tell(&server, wait_at(&gate)).await;
            gate.arrived().await;
            assert!(poll_only(tree.stop(), polls).await.is_none(), "a child is busy");
            gate.open();
            assert!(matches!(soon(tree.stopped()).await, ExitReason::Normal));
            assert!(!server.is_alive());
        }
    }

    /// A transfer that is dropped has been done or not done; the server is under exactly one supervisor.
    async fn a_dropped_transfer_leaves_the_child_with_one_parent() {
        for polls in 0..10 {
            let (from, to) = (start(family().child(counter("a"))).await, start_crowd().await);
            let server = child(&from, "a");
            let _ = poll_only(from.transfer("a", &to), polls).await;
            until("it has one parent", || from.count().active + to.count().active == 1).await;
            assert_eq!(ask(&server, add).await, 1);
            soon(from.stop()).await.expect("it ran");
            soon(to.stop()).await.expect("it ran");
            soon(server.stopped()).await;
        }
    }

    /// A transfer that waits for the source, and is dropped, does nothing later.
    async fn a_transfer_that_is_given_up_while_it_waits_does_not_happen_later() {
        let gate = Gate::new();
        let held = gate.clone();
        let inits = Arc::new(AtomicUsize::new(0));
        let count = inits.clone();
        let script = Script::new().on_restarted(|_, _| Box::pin(async { Ok(undying::Next::Wait) })).on_init(move |_: &mut u64| {
            count.fetch_add(1, SeqCst);
            Ok(undying::Next::Wait)
        });
        let (from, to) = (start(family().child(ServerSpec::new(script, 0).id("a"))).await, start_crowd().await);
        let server = child(&from, "a");
        tell(&server, slow(move |_, _| Box::pin(async move {
            held.pass().await;
            Ok(undying::Next::Wait)
        }))).await;
        gate.arrived().await;
        // The source is busy stopping it.
        let stopping = tokio::spawn({
            let from = from.clone();
            async move { from.terminate_child("a").await }
        });
        until("its supervisor has told it", || server.try_cast(inc()).is_err()).await;
        let _ = poll_only(from.transfer("a", &to), 3).await;
        gate.open();
        soon(stopping).await.expect("no panic").expect("it is there");
        assert_eq!(to.count().specs, 0);
        soon(from.stop()).await.expect("it ran");
        assert!(!server.is_alive());
    }
}
