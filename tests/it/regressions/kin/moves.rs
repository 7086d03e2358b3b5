//! Transfers at the same moment as ends, stops, restarts and other transfers.

use tokio::{join, task::yield_now};
use undying::{Adopt, DynamicSupervisorRef, PartitionSupervisor, SupervisorRef, Tree};

use super::{child, counter, crowd, family, start, start_crowd};
use crate::{
    crash::script::{Script, add, ask, get, inc, soon, tell},
    support::{RACES, until},
};

/// How often there is a node with that id in the tree.
fn found(tree: &Tree, id: &str) -> usize {
    tree.nodes().filter(|node| node.id == id).count()
}

both! {
    /// TR8: two transfers of one child at once: one of them gets it, and it lives.
    async fn two_transfers_of_one_child_give_it_one_parent() {
        for _ in 0..RACES {
            let (from, one, other) =
                (start(family().child(counter("a"))).await, start_crowd().await, start(family()).await);
            let server = child(&from, "a");
            let moves = (
                tokio::spawn({ let (from, one) = (from.clone(), one.clone()); async move { from.transfer("a", &one).await } }),
                tokio::spawn({ let (from, other) = (from.clone(), other.clone()); async move { from.transfer("a", &other).await } }),
            );
            let (first, second) = soon(async { join!(moves.0, moves.1) }).await;
            let done = [first, second].into_iter().filter(|done| done.as_ref().is_ok_and(Result::is_ok)).count();
            assert_eq!(done, 1);
            assert_eq!([from.count().specs, one.count().specs + other.count().specs], [0, 1]);
            assert_eq!(ask(&server, add).await, 1);
            for stopped in [from.stop().await, one.stop().await, other.stop().await] {
                stopped.expect("it ran");
            }
            soon(server.stopped()).await;
        }
    }

    /// TR8: a server that is killed while it is transferred is restarted by whoever has it then, and is lost by nobody.
    async fn a_death_during_a_transfer_is_seen_by_one_parent() {
        for round in 0..RACES {
            let (from, to) = (start(family().child(counter("a"))).await, start(family()).await);
            let server = child(&from, "a");
            let moved = tokio::spawn({ let (from, to) = (from.clone(), to.clone()); async move { from.transfer("a", &to).await } });
            for _ in 0..round % 4 {
                yield_now().await;
            }
            server.kill();
            soon(moved).await.expect("no panic").expect("nothing is in the way");
            soon(server.wait_incarnation(2)).await.expect("it is restarted");
            until("its new parent knows", || to.count().active == 1).await;
            assert_eq!(from.count().specs, 0);
            server.kill();
            soon(server.wait_incarnation(3)).await.expect("its new parent restarts it");
            soon(to.stop()).await.expect("it ran");
            assert!(!server.is_alive());
            soon(from.stop()).await.expect("it ran");
        }
    }

    /// TR9: whichever comes first, the stop of the source or the transfer out of it, the server has a parent or is over.
    async fn a_stop_of_the_source_takes_the_child_or_leaves_it() {
        for round in 0..RACES {
            let (from, to) = (start(family().child(counter("a")).child(counter("b"))).await, start(family()).await);
            let server = child(&from, "a");
            let stop = tokio::spawn({ let from = from.clone(); async move { from.stop().await } });
            for _ in 0..round % 5 {
                yield_now().await;
            }
            let moved = soon(from.transfer("a", &to)).await;
            soon(stop).await.expect("no panic").expect("it ran");
            assert_eq!(to.count().active, usize::from(moved.is_ok()), "{moved:?}");
            assert_eq!(server.is_alive(), moved.is_ok());
            soon(to.stop()).await.expect("it ran");
            assert!(!server.is_alive(), "nobody is left behind");
        }
    }

    /// TR4 TR9: whichever comes first, the stop of the destination or the transfer into it, the server has a parent or is over.
    async fn a_stop_of_the_destination_takes_the_child_or_refuses_it() {
        for round in 0..RACES {
            let (from, to) = (start(family().child(counter("a"))).await, start_crowd().await);
            let server = child(&from, "a");
            let stop = tokio::spawn({ let to = to.clone(); async move { to.stop().await } });
            for _ in 0..round % 5 {
                yield_now().await;
            }
            let moved = soon(from.transfer("a", &to)).await;
            soon(stop).await.expect("no panic").expect("it ran");
            assert_eq!(server.is_alive(), moved.is_err(), "{moved:?}");
            assert_eq!(from.count().active, usize::from(moved.is_err()));
            soon(from.stop()).await.expect("it ran");
            assert!(!server.is_alive(), "nobody is left behind");
        }
    }

    /// Transfers in both directions lock nobody out, and lose nobody.
    async fn transfers_to_and_fro_lock_nobody_out() {
        let (one, other) = (start(family().child(counter("a"))).await, start(family().child(counter("b"))).await);
        let (a, b) = (child(&one, "a"), child(&other, "b"));
        let shuttle = |id: &'static str, from: SupervisorRef, to: SupervisorRef| tokio::spawn(async move {
            for round in 0..RACES {
                let (from, to) = if round % 2 == 0 { (&from, &to) } else { (&to, &from) };
                from.transfer(id, to).await.expect("nothing is in the way");
            }
        });
        let shuttles = (shuttle("a", one.clone(), other.clone()), shuttle("b", other.clone(), one.clone()));
        for _ in 0..RACES {
            tell(&a, inc()).await;
            tell(&b, inc()).await;
            let _ = (one.tree(), other.tree(), one.count(), other.children());
        }
        let (first, second) = soon(async { join!(shuttles.0, shuttles.1) }).await;
        first.and(second).expect("no panic");
        assert_eq!((ask(&a, get).await, ask(&b, get).await), (RACES as u64, RACES as u64));
        assert_eq!((one.count().active, other.count().active), (1, 1));
        soon(one.stop()).await.expect("it ran");
        soon(other.stop()).await.expect("it ran");
        assert!(!a.is_alive() && !b.is_alive());
    }

    /// Two supervisors that are transferred into each other at once: not both, or they would be under nobody.
    async fn no_circle_of_supervisors_comes_to_be() {
        for _ in 0..RACES {
            let root = start(family().child(family().id("one").child(counter("x"))).child(family().id("two").child(counter("y")))).await;
            let (one, two) = (root.supervisor("one").expect("there"), root.supervisor("two").expect("there"));
            let into = |id: &'static str, to: SupervisorRef| {
                let root = root.clone();
                tokio::spawn(async move { root.transfer(id, &to).await })
            };
            let (first, second) = (into("one", two.clone()), into("two", one.clone()));
            let (first, second) = soon(async { join!(first, second) }).await;
            let done = [first, second].into_iter().filter(|done| done.as_ref().is_ok_and(Result::is_ok)).count();
            assert_eq!(done, 1);
            let tree = root.tree();
            for id in ["one", "two", "x", "y"] {
                assert_eq!(found(&tree, id), 1, "{id} in\n{tree}");
            }
            soon(root.stop()).await.expect("it ran");
            assert!(!one.is_alive() && !two.is_alive());
        }
    }

    /// A supervisor is not moved below itself, however deep.
    async fn nobody_is_moved_below_itself() {
        let leaf = family().id("leaf");
        let root = start(family().child(family().id("top").child(family().id("mid").child(leaf)))).await;
        let top = root.supervisor("top").expect("there");
        let mid = top.supervisor("mid").expect("there");
        let leaf = mid.supervisor("leaf").expect("there");
        for to in [&top, &mid, &leaf] {
            soon(root.transfer("top", to)).await.expect_err("that would be a circle");
        }
        soon(mid.transfer("leaf", &top)).await.expect("up is no circle");
        assert_eq!(found(&root.tree(), "leaf"), 1);
        soon(root.stop()).await.expect("it ran");
        assert!(!leaf.is_alive());
    }

    /// A child that is moved to where it is already either stays there or is refused; it is not there twice, nor lost.
    async fn a_transfer_to_its_own_parent_loses_nobody() {
        let tree = start(family().child(counter("a")).child(counter("b"))).await;
        let server = child(&tree, "a");
        let _ = soon(tree.transfer("a", &tree)).await;
        assert_eq!((tree.count().specs, tree.count().active), (2, 2));
        let crowd = start_crowd().await;
        soon(tree.transfer("a", &crowd)).await.expect("nothing is in the way");
        let _ = soon(crowd.transfer(server.id(), &crowd)).await;
        assert_eq!((crowd.count().specs, crowd.count().active), (1, 1));
        assert_eq!(ask(&server, add).await, 1);
        soon(crowd.stop()).await.expect("it ran");
        assert!(!server.is_alive());
        soon(tree.stop()).await.expect("it ran");
    }

    /// Partitions that were moved away, or deleted, are missing, and nothing breaks for it.
    async fn partitions_without_one_of_them_route_on() {
        let partitions = PartitionSupervisor::new(3, |index| counter(&index.to_string())).id("parts");
        let (tree, other) = (start(family().child(partitions)).await, start_crowd().await);
        let parts = tree.partition_supervisor::<Script<u64>>("parts").expect("it is there");
        let servers: Vec<_> = (0..3).map(|index| parts.partition(index).expect("it is there")).collect();
        soon(parts.supervisor().transfer("1", &other)).await.expect("nothing is in the way");
        let again = tree.partition_supervisor::<Script<u64>>("parts").expect("it is there");
        for parts in [&parts, &again] {
            for key in 0..50 {
                let to = parts.route(&key);
                assert!(servers.iter().any(|server| server.id() == to.id()));
                assert_eq!(parts.route(&key).id(), to.id());
            }
            assert!(parts.partition(7).is_none());
        }
        let _ = soon(again.resize(1)).await;
        let _ = soon(again.resize(3)).await;
        (0..50).for_each(|key| drop(again.route(&key)));
        soon(tree.stop()).await.expect("it ran");
        assert_eq!(ask(&servers[1], add).await, 1);
        soon(other.stop()).await.expect("it ran");
    }

    /// A crowd that has room for one never has two, whoever comes from where.
    async fn a_full_crowd_takes_one_of_many_at_once() {
        for _ in 0..RACES / 10 {
            let crowd = crowd().max_children(1).start().await.expect("it starts");
            let tree = start(family().child(counter("a")).child(counter("b"))).await;
            let moved = |id: &'static str| {
                let (tree, crowd) = (tree.clone(), crowd.clone());
                tokio::spawn(async move { into(&tree, id, &crowd).await })
            };
            let begun = {
                let crowd = crowd.clone();
                tokio::spawn(async move { crowd.start_child(counter("c")).await.is_ok() })
            };
            let (a, b) = (moved("a"), moved("b"));
            let (a, b, begun) = soon(async { join!(a, b, begun) }).await;
            let taken = [a, b, begun].into_iter().filter(|taken| matches!(taken, Ok(true))).count();
            assert_eq!((taken, crowd.count().specs), (1, 1));
            until("the others are where they were", || tree.count().active + crowd.count().active >= 2).await;
            soon(crowd.stop()).await.expect("it ran");
            soon(tree.stop()).await.expect("it ran");
        }
    }
}

async fn into(from: &SupervisorRef, id: &str, to: &DynamicSupervisorRef) -> bool {
    fn adopts(_: &impl Adopt) {}
    adopts(to);
    from.transfer(id, to).await.is_ok()
}
