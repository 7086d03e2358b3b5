//! Pictures of a tree: what each node says of itself, whatever it is and whatever happens to it.

use std::{future::pending, time::Duration};

use tokio::time::sleep;
use undying::{
    Backoff, ChildKind, ChildSpec, DynamicSupervisor, PartitionSupervisor, Registry, Status, Strategy,
    Supervisor, SupervisorRef, TreeNode,
};

use super::{
    parts::{Counter, HOUR, Life, SECOND, born, child, counter, entry, family, nursery, only_once, reborn},
    rise,
};
use crate::{
    crash::script::{add, ask, boom, inc, serves, soon, tell},
    effects::held,
    support::{RACES, quiet, until},
};

/// The child of `node` of that id.
fn below<'a>(node: &'a TreeNode, id: &str) -> &'a TreeNode {
    let mut found = node.children.iter().filter(|child| child.id == id);
    let child = found.next().unwrap_or_else(|| panic!("no {id} in {node:?}"));
    assert!(found.next().is_none(), "two of {id}");
    child
}

/// What a tree says of the child of that id of its root.
fn seen(root: &SupervisorRef, id: &str) -> TreeNode {
    below(root.tree().root(), id).clone()
}

both! {
    /// Every kind of node, with all that applies to it.
    async fn a_tree_shows_every_kind_of_node() {
        let names = Registry::new();
        let root = rise(
            Supervisor::builder()
                .id("root")
                .strategy(Strategy::RestForOne)
                .child(counter().id("server").name_in(&names, "its name"))
                .child(ChildSpec::task("task", pending::<()>))
                .child(
                    Supervisor::builder()
                        .id("inner")
                        .strategy(Strategy::OneForAll)
                        .child(counter().id("leaf")),
                )
                .child(DynamicSupervisor::builder().id("dynamic"))
                .child(PartitionSupervisor::new(3, |_| counter()).id("partitions")),
        )
        .await;
        let dynamic = root.dynamic_supervisor("dynamic").expect("it is there");
        let (first, second) = (child(&dynamic).await, child(&dynamic).await);
        let tree = root.tree();
        let node = tree.root();
        assert_eq!((node.id.as_str(), node.server, node.kind), ("root", root.id(), ChildKind::Supervisor));
        assert_eq!(
            (node.strategy, node.status, node.restarts),
            (Some(Strategy::RestForOne), Status::Running, 0)
        );
        let ids: Vec<_> = node.children.iter().map(|child| child.id.as_str()).collect();
        assert_eq!(ids, ["server", "task", "inner", "dynamic", "partitions"]);

        let server = below(node, "server");
        let handle = root.server::<Counter>("server").expect("it is there");
        assert_eq!((server.server, server.name.as_deref()), (handle.id(), Some("its name")));
        assert_eq!((server.kind, server.strategy, server.children.len()), (ChildKind::Server, None, 0));
        assert_eq!((server.incarnation, server.version, server.mailbox_len), (1, 0, 0));

        let task = below(node, "task");
        assert_eq!((task.kind, task.strategy, task.name.as_ref()), (ChildKind::Task, None, None));
        assert_eq!((task.status, task.children.len()), (Status::Running, 0));
        assert_eq!((task.incarnation, task.version, task.mailbox_len), (0, 0, 0));
        assert_eq!(Some(task.server), root.children().get(1).map(|listed| listed.server));

        let inner = below(node, "inner");
        assert_eq!((inner.kind, inner.strategy), (ChildKind::Supervisor, Some(Strategy::OneForAll)));
        assert_eq!((inner.children.len(), below(inner, "leaf").kind), (1, ChildKind::Server));

        let shown = below(node, "dynamic");
        assert_eq!((shown.kind, shown.strategy, shown.server), (ChildKind::Supervisor, None, dynamic.id()));
        let mut ids: Vec<_> = shown.children.iter().map(|child| child.server).collect();
        ids.sort_unstable();
        assert_eq!(ids, [first.id(), second.id()]);

        let partitions = below(node, "partitions");
        assert_eq!((partitions.kind, partitions.children.len()), (ChildKind::Supervisor, 3));
        assert!(partitions.children.iter().all(|child| child.kind == ChildKind::Server));
    }

    /// The tree of a part of the whole begins there.
    async fn a_tree_begins_with_who_was_asked() {
        let root = rise(
            Supervisor::builder()
                .child(Supervisor::builder().id("inner").child(DynamicSupervisor::builder().id("dynamic"))),
        )
        .await;
        let inner = root.supervisor("inner").expect("it is there");
        let dynamic = inner.dynamic_supervisor("dynamic").expect("it is there");
        let server = child(&dynamic).await;
        assert_eq!((inner.tree().root().id.as_str(), inner.tree().root().server), ("inner", inner.id()));
        let tree = dynamic.tree();
        assert_eq!((tree.root().server, tree.root().strategy), (dynamic.id(), None));
        assert_eq!((tree.root().children.len(), tree.root().children[0].server), (1, server.id()));
        assert_eq!(below(below(root.tree().root(), "inner"), "dynamic").children.len(), 1);
    }

    /// IS7: a server says where it is in its life, and what it has done and has to do.
    async fn a_server_says_where_it_is_in_its_life() {
        let root = family(["a"]).await;
        let server = root.server::<Counter>("a").expect("it is there");
        for _ in 0..3 {
            ask(&server, add).await;
        }
        let node = seen(&root, "a");
        assert_eq!((node.status, node.version, node.incarnation, node.restarts), (Status::Running, 3, 1, 0));

        tell(&server, boom()).await;
        serves(&server, 2).await;
        let node = seen(&root, "a");
        assert_eq!(
            (node.incarnation, node.version, node.restarts),
            (2, 3, 0),
            "its supervisor had nothing to do"
        );

        reborn(&server).await;
        until("it is listed so", || seen(&root, "a").restarts == 1).await;
        assert_eq!((seen(&root, "a").status, seen(&root, "a").incarnation), (Status::Running, 3));

        let gate = held(&server).await;
        for _ in 0..5 {
            tell(&server, inc()).await;
        }
        assert_eq!((seen(&root, "a").status, seen(&root, "a").mailbox_len), (Status::Running, 5));
        gate.open();
        ask(&server, add).await;
        assert_eq!(seen(&root, "a").mailbox_len, 0);

        soon(server.sys().suspend()).await.expect("it is suspended");
        assert_eq!(seen(&root, "a").status, Status::Suspended);
        soon(server.sys().resume()).await.expect("it is resumed");
        assert_eq!(seen(&root, "a").status, Status::Running);

        soon(root.terminate_child("a")).await.expect("a child");
        assert_eq!(seen(&root, "a").status, Status::Terminated);
        assert_eq!(root.tree().root().children.len(), 1);
        soon(root.delete_child("a")).await.expect("it is deleted");
        assert_eq!(root.tree().root().children.len(), 0);
    }

    /// A child that cannot be restarted is seen to be restarting, under a supervisor of either kind.
    async fn a_child_that_cannot_be_restarted_is_seen_restarting() {
        let (fixed, dynamic) = (family([]).await, nursery().await);
        let life = Life::new().born(only_once);
        soon(fixed.start_child(life.clone().spec().id("failing"))).await.expect("a child starts");
        let server = fixed.server::<Life>("failing").expect("it is there");
        let other = Life::new().born(only_once);
        let second = born(&dynamic, other.clone().spec()).await;
        server.kill();
        second.kill();
        until("both have been tried", || life.births() > 3 && other.births() > 3).await;
        for _ in 0..RACES {
            assert_eq!(seen(&fixed, "failing").status, Status::Restarting);
            assert_eq!(dynamic.tree().root().children[0].status, Status::Restarting);
        }
    }

    /// A task that is done stays in the picture of a static supervisor, as one that is down.
    async fn a_task_that_is_done_is_seen_terminated() {
        let root = family([]).await;
        soon(root.start_child(ChildSpec::task("done", || async {}))).await.expect("a child starts");
        until("it is done", || seen(&root, "done").status == Status::Terminated).await;
        assert_eq!(seen(&root, "done").kind, ChildKind::Task);
    }

    /// What is over has no tree below it.
    async fn the_tree_of_what_is_over_is_one_node() {
        let root =
            rise(Supervisor::builder().id("root").child(DynamicSupervisor::builder().id("dynamic"))).await;
        let dynamic = root.dynamic_supervisor("dynamic").expect("it is there");
        child(&dynamic).await;
        soon(root.stop()).await.expect("it stops");
        for (tree, id) in [(root.tree(), root.id()), (dynamic.tree(), dynamic.id())] {
            assert_eq!((tree.root().status, tree.root().server), (Status::Terminated, id));
            assert!(tree.root().children.is_empty());
            assert_eq!(tree.to_string().lines().count(), 1);
        }
    }

    /// CR14: a picture is taken at once, while a child is busy, in its `init`, or being stopped.
    async fn a_picture_waits_for_nobody() {
        let gate = crate::support::Gate::new();
        let at = gate.clone();
        let life = Life::new().born(move |_| {
            let gate = at.clone();
            async move {
                gate.pass().await;
                Ok(undying::Next::Wait)
            }
        });
        let root = family(["busy"]).await;
        let server = root.server::<Counter>("busy").expect("it is there");
        let busy = held(&server).await;
        let starts = tokio::spawn({
            let root = root.clone();
            async move { root.start_child(life.spec().id("slow")).await }
        });
        soon(gate.arrived()).await;
        let tree = root.tree();
        assert_eq!(below(tree.root(), "busy").status, Status::Running);
        // One that has not started yet may be in it, but not as one that runs.
        let slow = tree.root().children.iter().find(|child| child.id == "slow");
        assert!(slow.is_none_or(|slow| slow.status == Status::Starting), "{slow:?}");
        gate.open();
        soon(starts).await.expect("no panic").expect("it starts");
        assert_eq!(seen(&root, "slow").status, Status::Running);
        let stops = tokio::spawn({
            let root = root.clone();
            async move { root.stop().await }
        });
        // The last one is stopped first.
        until("it is stopping", || {
            let tree = root.tree();
            tree.root().children.iter().all(|child| child.id != "slow" || child.status == Status::Terminated)
        })
        .await;
        busy.open();
        soon(stops).await.expect("no panic").expect("it stops");
    }

    /// TR8: a picture taken during transfers shows a tree: nobody is in it twice.
    async fn a_picture_of_a_moving_child_is_a_tree() {
        let root = rise(
            Supervisor::builder()
                .child(Supervisor::builder().id("a").child(counter().id("moved")))
                .child(Supervisor::builder().id("b")),
        )
        .await;
        let [a, b] = ["a", "b"].map(|id| root.supervisor(id).expect("it is there"));
        let moves = tokio::spawn(async move {
            for _ in 0..RACES {
                a.transfer("moved", &b).await.expect("it is moved");
                b.transfer("moved", &a).await.expect("it is moved");
                tokio::task::yield_now().await;
            }
        });
        while !moves.is_finished() {
            let tree = root.tree();
            assert_eq!(tree.root().children.len(), 2);
            let all: usize = tree.root().children.iter().map(|inner| inner.children.len()).sum();
            // It is looked at one after the other: one that moves meanwhile may be missed, or seen at both places.
            assert!(all <= 2, "{tree}");
            tokio::task::yield_now().await;
        }
        soon(moves).await.expect("no panic");
        assert_eq!(below(root.tree().root(), "a").children.len(), 1);
    }
}

/// How long a life lasts: a crash of the worker does not end it, a restart by the supervisor begins another.
#[tokio::test(start_paused = true)]
async fn a_node_says_how_long_its_life_lasts() {
    quiet();
    let root = family(["a", "b"]).await;
    let task = ChildSpec::task("task", pending::<()>);
    root.start_child(task).await.expect("a child starts");
    let ages = || {
        let tree = root.tree();
        let nodes =
            [tree.root(), below(tree.root(), "a"), below(tree.root(), "b"), below(tree.root(), "task")];
        nodes.map(|node| node.uptime.as_secs())
    };
    assert_eq!(ages(), [0; 4]);
    sleep(SECOND * 10).await;
    assert_eq!(ages(), [10; 4]);
    let [a, b] = ["a", "b"].map(|id| root.server::<Counter>(id).expect("it is there"));
    tell(&a, boom()).await;
    serves(&a, 2).await;
    reborn(&b).await;
    sleep(SECOND * 3).await;
    assert_eq!(ages(), [13, 13, 3, 13]);
}

/// What a child says in a pause before its restart: of its worker, and of its supervisor.
#[tokio::test(start_paused = true)]
async fn a_child_in_a_pause_is_seen_restarting() {
    quiet();
    let pause = Backoff::exponential(HOUR, HOUR);
    let root = rise(
        Supervisor::builder()
            .backoff(pause)
            .child(counter().id("worker").backoff(pause))
            .child(counter().id("whole")),
    )
    .await;
    let [worker, whole] = ["worker", "whole"].map(|id| root.server::<Counter>(id).expect("it is there"));
    tell(&worker, boom()).await;
    whole.kill();
    until("both are down", || [&worker, &whole].iter().all(|server| server.status() == Status::Restarting))
        .await;
    tell(&whole, inc()).await;
    for id in ["worker", "whole"] {
        let node = seen(&root, id);
        assert_eq!((node.status, node.restarts), (Status::Restarting, 0));
    }
    assert_eq!(seen(&root, "whole").mailbox_len, 1);
    assert_eq!(entry(root.children(), whole.id()).map(|listed| listed.status), Some(Status::Restarting));
    sleep(HOUR + Duration::from_secs(1)).await;
    assert_eq!((seen(&root, "worker").status, seen(&root, "worker").restarts), (Status::Running, 0));
    assert_eq!((seen(&root, "whole").status, seen(&root, "whole").restarts), (Status::Running, 1));
    assert_eq!(*whole.peek(), 1);
}
