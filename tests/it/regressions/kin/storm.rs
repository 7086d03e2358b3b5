//! Everything at once, at random: kills, stops, orders, transfers. Whatever happens, whoever lives has one parent that knows of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::task::yield_now;
use undying::{
    DynamicSupervisorRef, RestartPolicy, ServerId, ServerRef, ServerSpec, Status, Strategy, SupervisorRef,
    Tree,
};

use super::{crowd, family, holder, start};
use crate::{
    crash::script::{Script, add, inc, soon},
    support::until,
};

const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Two supervisors below a root, one beside it, and two crowds.
#[derive(Clone)]
struct World {
    root: SupervisorRef,
    trees: [SupervisorRef; 3],
    crowds: [DynamicSupervisorRef; 2],
    token: Arc<()>,
}

fn spec(id: &str, rng: &mut Rng, token: &Arc<()>) -> ServerSpec<Script<u64>> {
    let policies = [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary];
    let policy = policies[rng.usize(0..3)];
    holder(id, token).restart(policy).preserve_on_escalation(rng.bool())
}

impl World {
    async fn new(seed: u64) -> Self {
        let (mut rng, token) = (Rng::with_seed(seed), Arc::new(()));
        let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
        let mut group = |id: &str, ids: &[&str]| {
            let group = family().id(id).strategy(strategies[rng.usize(0..3)]);
            ids.iter().fold(group, |group, id| group.child(spec(id, &mut rng, &token)))
        };
        let (one, two, other) = (group("one", &IDS[..3]), group("two", &IDS[3..]), group("other", &[]));
        let root = start(family().id("root").child(one).child(two).child(crowd().id("pool"))).await;
        let trees = [
            root.supervisor("one").expect("it is there"),
            root.supervisor("two").expect("it is there"),
            start(other).await,
        ];
        let crowds = [
            root.dynamic_supervisor("pool").expect("it is there"),
            crowd().id("free").start().await.expect("it starts"),
        ];
        Self { root, trees, crowds, token }
    }

    /// Does something to somebody.
    async fn act(&self, rng: &mut Rng, known: &mut Vec<ServerRef<Script<u64>>>) {
        let (id, other) = (IDS[rng.usize(0..IDS.len())], rng.usize(0..3));
        let (tree, crowd) = (&self.trees[rng.usize(0..3)], &self.crowds[rng.usize(0..2)]);
        known.extend(tree.server(id));
        let someone = rng.choice(known.iter()).cloned();
        let anyone = someone.as_ref().map(|server| server.id());
        match (rng.u8(0..15), someone) {
            (0..3, Some(server)) => server.kill(),
            (3, Some(server)) => drop(server.stop().timeout(Duration::from_secs(30)).await),
            (4, Some(server)) => drop(server.try_cast(inc())),
            (5, Some(server)) => drop(server.call(add).timeout(Duration::from_millis(50)).await),
            (6, _) => drop(tree.terminate_child(id).await),
            (7, _) => drop(tree.restart_child(id).await),
            (8, _) => drop(tree.delete_child(id).await),
            (9, _) => drop(tree.start_child(spec(id, rng, &self.token)).await),
            (10, _) => known.extend(crowd.start_child(spec(id, rng, &self.token)).await),
            (11, Some(_)) => drop(crowd.terminate_child(anyone.expect("someone")).await),
            (12, _) => drop(tree.transfer(id, &self.trees[other]).await),
            (13, _) => drop(tree.transfer(id, crowd).await),
            (14, Some(_)) => drop(crowd.transfer(anyone.expect("someone"), &self.trees[other]).await),
            _ => yield_now().await,
        }
    }

    fn pictures(&self) -> Vec<Tree> {
        vec![self.root.tree(), self.trees[2].tree(), self.crowds[1].tree()]
    }

    /// How every child is seen by its parents.
    fn listed(&self) -> HashMap<ServerId, Vec<Status>> {
        let mut listed: HashMap<_, Vec<_>> = HashMap::new();
        for picture in self.pictures() {
            for node in picture.nodes() {
                listed.entry(node.server).or_default().push(node.status);
            }
        }
        listed
    }

    /// Whether the list and the servers say the same: nobody lives unlisted, or twice, and nobody waits any more.
    fn is_settled(&self, known: &[ServerRef<Script<u64>>]) -> bool {
        let listed = self.listed();
        known.iter().all(|server| {
            matches!(
                (server.status(), listed.get(&server.id()).map(Vec::as_slice)),
                (Status::Running, Some([Status::Running]))
                    | (Status::Terminated, None | Some([Status::Terminated]))
            )
        })
    }
}

async fn storm(seed: u64) {
    let world = World::new(seed).await;
    let hands: Vec<_> = (0..4)
        .map(|hand| {
            let world = world.clone();
            tokio::spawn(async move {
                let (mut rng, mut known) = (Rng::with_seed(seed * 4 + hand), Vec::new());
                for _ in 0..60 {
                    world.act(&mut rng, &mut known).await;
                }
                known
            })
        })
        .collect();
    let mut known = Vec::new();
    for hand in hands {
        known.extend(soon(hand).await.expect("no panic"));
    }
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !world.is_settled(&known) {
        if std::time::Instant::now() > patience {
            let listed = world.listed();
            for server in &known {
                eprintln!("{} {:?} {:?}", server.id(), server.status(), listed.get(&server.id()));
            }
            world.pictures().iter().for_each(|picture| eprintln!("{picture}\n"));
            panic!("not settled after the storm of seed {seed}");
        }
        yield_now().await;
    }
    for server in known.iter().filter(|server| server.is_alive()) {
        soon(server.call(add)).await.expect("whoever lives answers");
    }
    soon(world.root.stop()).await.expect("it ran");
    soon(world.trees[2].stop()).await.expect("it ran");
    soon(world.crowds[1].stop()).await.expect("it ran");
    assert!(known.iter().all(|server| !server.is_alive()), "nobody is left behind by seed {seed}");
    drop(known);
    let World { token, .. } = world;
    until("nothing is left", || Arc::strong_count(&token) == 1).await;
}

both! {
    /// TR8 TR9 SG2 SG3: after a storm every server that lives is in one list, as running, and every other one is over; after
    /// the stop of all nothing is left.
    async fn after_a_storm_everybody_has_one_parent() {
        for seed in 0..25 {
            storm(seed).await;
        }
    }
}
