//! Transfers that meet other transfers, deaths, terminations, stops and a stream of messages: afterwards the child is under
//! exactly one supervisor, or is over.

use futures::future::join_all;
use tokio::task::yield_now;
use undying::{ChildError, DynamicSupervisor, Status, Supervisor, SupervisorRef, TransferError, TreeNode};

use super::{
    homes::{Home, moves, only_home, pairs, pause},
    parts::{SECOND, born, counter, started},
};
use crate::{
    crash::script::{add, ask, get, inc, soon, tell},
    support::{RACES, until},
};

both! {
    /// TR6: of 8,000 casts during 20 transfers each is handled once.
    async fn no_cast_is_lost_during_transfers() {
        const SENDERS: u64 = 8;
        const CASTS: u64 = 1_000;
        let homes = [Home::fixed().await, Home::dynamic().await, Home::fixed().await];
        let server = homes[0].child("moved").await;
        let senders = (0..SENDERS).map(|_| {
            let server = server.clone();
            tokio::spawn(async move {
                for n in 0..CASTS {
                    tell(&server, inc()).await;
                    if n % 16 == 0 {
                        yield_now().await;
                    }
                }
            })
        });
        let senders: Vec<_> = senders.collect();
        for round in 0..20 {
            // Spread over the stream: each move meets a few hundred casts more.
            until("some more have come", || *server.peek() >= round * SENDERS * CASTS / 25).await;
            let (from, to) = (&homes[round as usize % 3], &homes[(round as usize + 1) % 3]);
            from.move_to("moved", server.id(), to).await;
        }
        for sent in soon(join_all(senders)).await {
            sent.expect("no panic");
        }
        assert_eq!(ask(&server, get).await, SENDERS * CASTS);
        assert_eq!(server.incarnation(), 1);
        assert!(homes[20 % 3].has(server.id()));
    }

    /// TR6 CR5: nor is one lost if the worker is killed again and again meanwhile.
    async fn no_acknowledged_call_is_lost_during_transfers_and_kills() {
        let homes = [Home::fixed().await, Home::dynamic().await];
        let spec = counter().max_restarts(u32::MAX, SECOND);
        let server = homes[0].bear("moved", spec).await;
        let mut acknowledged = 0;
        for round in 0..RACES {
            let moved = moves(&homes[round % 2], &server, &homes[(round + 1) % 2], round % 3);
            server.kill_worker();
            match soon(server.call(add)).await {
                Ok(sum) => {
                    acknowledged += 1;
                    assert_eq!(sum, acknowledged);
                }
                Err(error) => assert!(matches!(error, undying::CallError::Crashed(_)), "{error}"),
            }
            soon(moved).await.expect("no panic").expect("it is moved");
        }
        assert_eq!(ask(&server, get).await, acknowledged);
        assert!(
            only_home(&homes, &server).info(server.id()).restarts == 0,
            "no supervisor had to do with it"
        );
    }

    /// TR8: of two who move a child at once to different supervisors one does, and it is under that one.
    async fn two_transfers_at_once_end_under_one_supervisor() {
        for (from, one) in pairs().await {
            let other = match &one {
                Home::Static(_) => Home::dynamic().await,
                Home::Dynamic(_) => Home::fixed().await,
            };
            for round in 0..RACES {
                let server = from.child("moved").await;
                let races =
                    [moves(&from, &server, &one, round % 3), moves(&from, &server, &other, round / 3 % 3)];
                let mut won = Vec::new();
                for (race, to) in races.into_iter().zip([&one, &other]) {
                    match soon(race).await.expect("no panic") {
                        Ok(()) => won.push(to),
                        Err(error) => assert!(matches!(error, TransferError::NotFound), "{error}"),
                    }
                }
                let home = only_home([&from, &one, &other], &server);
                assert_eq!(won.len(), 1);
                assert!(won[0].has(server.id()));
                assert_eq!((ask(&server, add).await, from.len()), (1, 0));
                home.terminate("moved", server.id()).await;
                if let Home::Static(home) = home {
                    soon(home.delete_child("moved")).await.expect("it is deleted");
                }
                assert_eq!((one.len(), other.len()), (0, 0));
            }
        }
    }

    /// TR8: moved there and back by two at once, it is here or there.
    async fn there_and_back_at_once_ends_in_one_place() {
        for (here, there) in pairs().await {
            let server = here.child("moved").await;
            for round in 0..RACES {
                let races =
                    [moves(&here, &server, &there, round % 3), moves(&there, &server, &here, round % 4)];
                for race in races {
                    if let Err(error) = soon(race).await.expect("no panic") {
                        assert!(matches!(error, TransferError::NotFound), "{error}");
                    }
                }
                only_home([&here, &there], &server);
                assert_eq!(here.len() + there.len(), 1);
            }
            assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
        }
    }

    /// TR8: two who swap their only children meet a full destination or they do not; nobody is lost, nobody is one too many.
    async fn a_swap_between_full_supervisors_loses_nobody() {
        for round in 0..RACES {
            let full = || DynamicSupervisor::builder().max_children(1);
            let homes = [full(), full()].map(started);
            let [one, other] = homes;
            let (one, other) = (one.await, other.await);
            let (first, second) = (born(&one, counter()).await, born(&other, counter()).await);
            let (one, other) = (Home::Dynamic(one), Home::Dynamic(other));
            let races = [moves(&one, &first, &other, round % 3), moves(&other, &second, &one, round / 3 % 3)];
            for race in races {
                let error = soon(race).await.expect("no panic").expect_err("there is no room");
                assert!(matches!(error, TransferError::Refused(ChildError::MaxChildren)), "{error}");
            }
            assert!(one.has(first.id()) && other.has(second.id()));
            assert_eq!((one.len(), other.len()), (1, 1));
        }
    }

    /// TR8: a transfer that is given up half-way has been done or has not.
    async fn a_transfer_given_up_is_done_or_not() {
        let homes = [Home::fixed().await, Home::dynamic().await];
        let server = homes[0].child("moved").await;
        for round in 0..RACES {
            let from = only_home(&homes, &server).clone();
            let to = homes.iter().find(|home| !home.has(server.id())).expect("the other one").clone();
            let id = server.id();
            {
                let mut moved = std::pin::pin!(from.send("moved", id, &to));
                for _ in 0..round % 4 {
                    if futures::poll!(&mut moved).is_ready() {
                        break;
                    }
                    yield_now().await;
                }
            }
            only_home(&homes, &server);
            assert_eq!(homes[0].len() + homes[1].len(), 1);
        }
        assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
    }

    /// TR4 TR8: two supervisors put below each other at once: one is below the other, and no circle comes of it.
    async fn two_supervisors_put_below_each_other_make_no_circle() {
        for round in 0..RACES {
            let inner = |id| Supervisor::builder().id(id).child(counter());
            let root = soon(Supervisor::builder().child(inner("a")).child(inner("b")).start()).await;
            let root = root.expect("it starts");
            let [a, b] = ["a", "b"].map(|id| root.supervisor(id).expect("it is there"));
            let below = |id: &'static str, to: &SupervisorRef, later| {
                let (root, to) = (root.clone(), to.clone());
                tokio::spawn(async move {
                    pause(later).await;
                    root.transfer(id, &to).await
                })
            };
            let races = [below("a", &b, round % 3), below("b", &a, round / 3 % 3)];
            let mut moved = 0;
            for race in races {
                match soon(race).await.expect("no panic") {
                    Ok(()) => moved += 1,
                    Err(TransferError::Refused(_) | TransferError::NotFound) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!((moved, root.count().specs), (1, 1));
            let tree = root.tree();
            assert_eq!(size(tree.root()), 5, "{tree}");
            soon(root.stop()).await.expect("it stops");
            assert!(!a.is_alive() && !b.is_alive());
        }
    }

    /// TR8: many transfers of many children between many supervisors, some of which end: each child is under one or is over.
    async fn a_market_of_children_settles() {
        const CHILDREN: usize = 20;
        for round in 0..10 {
            let homes: Vec<_> = join_all((0..6).map(|n| async move {
                if n % 2 == 0 { Home::fixed().await } else { Home::dynamic().await }
            }))
            .await;
            let mut children = Vec::new();
            for n in 0..CHILDREN {
                let id = format!("child {n}");
                children.push((homes[n % 6].child(&id).await, id));
            }
            let traders = (0..8_u64).map(|trader| {
                let (homes, children) = (homes.clone(), children.clone());
                let mut random = fastrand::Rng::with_seed(round * 100 + trader);
                tokio::spawn(async move {
                    for _ in 0..100 {
                        let (server, id) = random.choice(&children).expect("some");
                        let (from, to) =
                            (random.choice(&homes).expect("some"), random.choice(&homes).expect("some"));
                        let _ = from.send(id, server.id(), to).await;
                        if random.u8(..) < 8 {
                            server.kill();
                        }
                        yield_now().await;
                    }
                })
            });
            let traders: Vec<_> = traders.collect();
            yield_now().await;
            homes[5].kill();
            for trader in soon(join_all(traders)).await {
                trader.expect("no panic");
            }
            until("the last one is over", || !homes[5].is_alive()).await;
            let mut alive = 0;
            for (server, id) in &children {
                until("it is at rest", || matches!(server.status(), Status::Running | Status::Terminated))
                    .await;
                if server.is_alive() {
                    assert!(only_home(&homes, server).info(server.id()).id == *id);
                    ask(server, add).await;
                    alive += 1;
                } else {
                    assert!(!homes.iter().any(|home| home.has(server.id())));
                }
            }
            assert_eq!(homes.iter().map(Home::len).sum::<usize>(), alive);
            for home in &homes[..5] {
                home.stop().await;
            }
            assert!(children.iter().all(|(server, _)| !server.is_alive()));
        }
    }
}

/// How many nodes there are at and below `node`.
fn size(node: &TreeNode) -> usize {
    1 + node.children.iter().map(size).sum::<usize>()
}
