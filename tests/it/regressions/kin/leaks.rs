//! Nothing of a child is left once nobody can start it again.

use std::sync::Arc;

use undying::{
    ChildSpec, Context, GenServer, Never, Next, Outcome, PartitionSupervisor, ServerSpec, StateMut,
};

use super::{child, counter, crowd, family, holder, start, start_crowd};
use crate::{
    crash::script::{Script, soon, stop},
    support::{inject, until},
};

/// Waits until nobody but the test holds `token`.
async fn free(what: &str, token: &Arc<()>) {
    until(what, || Arc::strong_count(token) == 1).await;
}

/// A server that does not want to start.
#[derive(Clone)]
struct Shy(#[expect(dead_code, reason = "it is only held")] Arc<()>);

impl GenServer for Shy {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(Next::Ignore)
    }
}

both! {
    /// The stop of a tree leaves nothing of its children, also of those that had many lives, are down, or never served.
    async fn a_stopped_tree_holds_nothing() {
        let token = Arc::new(());
        let shy = ServerSpec::new(Shy(token.clone()), ()).id("shy");
        let task = {
            let token = token.clone();
            ChildSpec::task("task", move || {
                let token = token.clone();
                async move {
                    std::future::pending::<()>().await;
                    drop(token);
                }
            })
        };
        let nested = family().id("nested").child(holder("deep", &token)).child(holder("deeper", &token));
        let tree = family().child(holder("a", &token)).child(shy).child(task).child(nested).child(holder("down", &token));
        let tree = start(tree).await;
        let server = child(&tree, "a");
        for life in 2..5 {
            server.kill();
            soon(server.wait_incarnation(life)).await.expect("another life");
        }
        soon(tree.terminate_child("down")).await.expect("it is there");
        drop(server);
        soon(tree.stop()).await.expect("it ran");
        free("the handle alone holds nothing", &token).await;
        assert!(tree.children().is_empty());
    }

    /// A supervisor whose handles are all gone runs on, and holds nothing once it is killed by its guard or its parent.
    async fn a_dropped_guard_leaves_nothing() {
        let token = Arc::new(());
        let guard = start(family().child(holder("a", &token)).child(family().id("n").child(holder("b", &token)))).await;
        drop(guard.into_guard());
        free("the guard has shut it down", &token).await;

        let guard = start_crowd().await;
        soon(guard.start_child(holder("a", &token))).await.expect("it starts");
        drop(guard.into_guard());
        free("the guard has shut it down", &token).await;
    }

    /// A start that fails half-way leaves nothing of those before, of the one that failed, and of those behind.
    async fn a_failed_start_leaves_nothing() {
        let token = Arc::new(());
        let bad = {
            let token = token.clone();
            ServerSpec::new(Script::new().on_init(move |_: &mut u64| { let _ = &token; inject() }), 0).id("bad")
        };
        let tree = family().child(holder("a", &token)).child(bad).child(holder("c", &token));
        soon(tree.start()).await.expect_err("its second child does not start");
        free("the failed start has gone", &token).await;
    }

    /// What a dynamic supervisor has forgotten it does not hold: ended, terminated, refused, failed, ignored.
    async fn a_crowd_holds_only_those_that_are_in_it() {
        let token = Arc::new(());
        let crowd = crowd().max_children(1).start().await.expect("it starts");
        let first = soon(crowd.start_child(holder("a", &token))).await.expect("room");
        soon(crowd.start_child(holder("b", &token))).await.expect_err("there is no room");
        stop(&first).await;
        drop(first);
        free("who ended by itself is forgotten", &token).await;

        let second = soon(crowd.start_child(holder("a", &token))).await.expect("room");
        soon(crowd.terminate_child(second.id())).await.expect("it is there");
        drop(second);
        free("who was terminated is forgotten", &token).await;

        soon(crowd.start_child(ServerSpec::new(Shy(token.clone()), ()))).await.expect_err("it is ignored");
        let held = token.clone();
        let bad = ServerSpec::new(Script::new().on_init(move |_: &mut u64| { let _ = &held; inject() }), 0);
        soon(crowd.start_child(bad)).await.expect_err("it fails");
        free("who did not start is forgotten", &token).await;
        assert_eq!(crowd.count().specs, 0);
    }

    /// A child of a static supervisor that was deleted, or whose start by hand failed, is held by nobody.
    async fn a_deleted_child_is_held_by_nobody() {
        let token = Arc::new(());
        let tree = start(family()).await;
        soon(tree.start_child(holder("a", &token))).await.expect("it starts");
        soon(tree.terminate_child("a")).await.expect("it is there");
        soon(tree.delete_child("a")).await.expect("it is down");
        free("it was deleted", &token).await;

        let held = token.clone();
        let bad = ServerSpec::new(Script::new().on_init(move |_: &mut u64| { let _ = &held; inject() }), 0).id("bad");
        soon(tree.start_child(bad)).await.expect_err("it fails");
        free("it did not start", &token).await;

        soon(tree.start_child(counter("x"))).await.expect("it starts");
        soon(tree.start_child(holder("x", &token))).await.expect_err("the id is taken");
        free("it was refused", &token).await;
        soon(tree.stop()).await.expect("it ran");
        soon(tree.start_child(holder("y", &token))).await.expect_err("it is over");
        free("nobody took it", &token).await;
    }

    /// A transferred child belongs to where it is: the source holds nothing of it, also for its next life; nor does the
    /// destination once it is stopped.
    async fn a_transferred_child_is_held_by_its_new_parent_only() {
        let token = Arc::new(());
        let (from, to) = (start(family().child(holder("a", &token))).await, start(family()).await);
        soon(from.transfer("a", &to)).await.expect("nothing is in the way");
        soon(to.stop()).await.expect("it ran");
        free("its only parent is over", &token).await;
        assert!(from.children().is_empty());
        soon(from.stop()).await.expect("it ran");
    }

    /// The partitions of a supervisor that is over are gone, and so is what makes them.
    async fn stopped_partitions_hold_nothing() {
        let token = Arc::new(());
        let held = token.clone();
        let partitions = PartitionSupervisor::new(3, move |index| holder(&index.to_string(), &held));
        let partitions = soon(partitions.start()).await.expect("it starts");
        soon(partitions.resize(1)).await.expect("fewer");
        soon(partitions.stop()).await.expect("it ran");
        drop(partitions);
        free("they were stopped", &token).await;
    }
}
