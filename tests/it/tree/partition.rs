//! Servers of one kind that share the work by key.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::yield_now;
use undying::{
    CallError, ChildError, Crash, ExitReason, Next, PartitionSupervisor, PartitionSupervisorRef, Registry,
    ServerId, ServerRef, ServerSpec, StartError, Status, StopError, Supervisor,
};

use super::parts::{Counter, HOUR, SECOND, counter, entry, mortal, reborn};
use crate::{
    crash::script::{Script, add, ask, boom, get, inc, serves, soon, tell},
    effects::{Log, tasks},
    support::{RACES, until},
};

/// So many counters.
fn counters(n: usize) -> PartitionSupervisor<Counter> {
    PartitionSupervisor::new(n, |_| counter()).max_restarts(u32::MAX, SECOND)
}

async fn started(spec: PartitionSupervisor<Counter>) -> PartitionSupervisorRef<Counter> {
    soon(spec.start()).await.expect("it starts")
}

fn keys() -> impl Iterator<Item = String> {
    (0..1_000).map(|n| format!("key {n}"))
}

/// Where each key goes.
fn routes(partitions: &PartitionSupervisorRef<Counter>) -> HashMap<String, ServerId> {
    keys().map(|key| (key.clone(), partitions.route(&key).id())).collect()
}

/// The partition of that number, which there must be.
fn partition(of: &PartitionSupervisorRef<Counter>, index: usize) -> ServerRef<Counter> {
    of.partition(index).expect("a partition of that number")
}

async fn is_nobody(server: &ServerRef<Counter>) {
    let nobody = soon(server.call(get)).await;
    assert!(matches!(nobody, Err(CallError::NoProc)), "{nobody:?}");
}

both! {
    /// DY10: the same key always meets the same partition, whatever its type and whoever asks, and the keys are spread over all.
    async fn a_key_always_meets_the_same_partition() {
        let partitions = started(counters(4)).await;
        assert_eq!(partitions.partitions(), 4);
        let routed = routes(&partitions);
        for _ in 0..10 {
            assert_eq!(routes(&partitions.clone()), routed);
        }
        let mut shares: HashMap<ServerId, usize> = HashMap::new();
        for server in routed.values() {
            *shares.entry(*server).or_default() += 1;
        }
        let ids: Vec<_> = (0..4).map(|index| partition(&partitions, index).id()).collect();
        assert!(ids.iter().all(|id| shares[id] > 100), "{shares:?}");
        assert_eq!(shares.len(), 4);
        for n in 0..100_u64 {
            let (by_number, by_pair) = (partitions.route(&n).id(), partitions.route(&(n, "x")).id());
            assert!(ids.contains(&by_number) && ids.contains(&by_pair));
            assert_eq!(partitions.route(&n).id(), by_number);
        }
        assert!(partitions.partition(4).is_none());
    }

    /// DY10: each partition is a server of its own, made for its number.
    async fn each_partition_is_made_for_its_number() {
        let made = PartitionSupervisor::new(3, |index| ServerSpec::new(Script::new(), 100 * index as u64));
        let partitions = started(made).await;
        for index in 0..3 {
            let server = partition(&partitions, index);
            assert_eq!(ask(&server, add).await, 100 * index as u64 + 1);
        }
        let total: u64 =
            [ask(&partition(&partitions, 0), get).await, ask(&partition(&partitions, 2), get).await]
                .iter()
                .sum();
        assert_eq!(total, 202);
        let supervisor = partitions.supervisor();
        assert_eq!((supervisor.count().specs, supervisor.count().active), (3, 3));
        let listed = entry(supervisor.children(), partition(&partitions, 1).id()).expect("it is listed");
        assert_eq!(listed.status, Status::Running);
    }

    /// DY10 CR8: a key meets the same partition after that has crashed, and after it was restarted by its supervisor.
    async fn a_key_meets_the_same_partition_after_its_death() {
        let partitions = started(counters(4)).await;
        let routed = routes(&partitions);
        let server = partitions.route("a key");
        let others: Vec<_> = (0..4)
            .map(|index| partition(&partitions, index))
            .filter(|other| other.id() != server.id())
            .collect();
        for other in &others {
            ask(other, add).await;
        }
        assert_eq!(ask(&server, add).await, 1);
        tell(&server, boom()).await;
        serves(&server, 2).await;
        assert_eq!(ask(&partitions.route("a key"), add).await, 2, "a crash keeps the state");
        reborn(&server).await;
        assert_eq!(ask(&partitions.route("a key"), get).await, 0, "a new life begins afresh");
        assert_eq!(routes(&partitions), routed);
        for other in &others {
            assert_eq!((ask(other, get).await, other.incarnation()), (1, 1));
        }
    }

    /// DY10: fewer partitions: those beyond are stopped in good order, and the keys meet those that are left.
    async fn fewer_partitions_share_all_keys() {
        let (log, names) = (Log::new(), Registry::new());
        let (noted, named) = (log.clone(), names.clone());
        let made = PartitionSupervisor::new(4, move |index| {
            mortal(["0", "1", "2", "3"][index], &noted).name_in(&named, index.to_string())
        });
        let partitions = started(made).await;
        let servers: Vec<_> = (0..4).map(|index| partition(&partitions, index)).collect();
        for server in &servers {
            ask(server, add).await;
        }
        soon(partitions.resize(2)).await.expect("it is within the bounds");
        assert_eq!((partitions.partitions(), partitions.supervisor().count().active), (2, 2));
        let mut notes = log.notes();
        notes.sort_unstable();
        let why = ExitReason::Shutdown;
        assert_eq!(notes, [format!("2 {why}"), format!("3 {why}")]);
        for gone in &servers[2..] {
            assert_eq!(gone.status(), Status::Terminated);
            is_nobody(gone).await;
        }
        assert_eq!(names.names().len(), 2);
        for key in keys() {
            let server = partitions.route(&key);
            assert!(server.id() == servers[0].id() || server.id() == servers[1].id());
        }
        for server in &servers[..2] {
            assert_eq!(ask(server, get).await, 1, "those that are left have not noticed");
        }
        assert!(partitions.partition(2).is_none());
    }

    /// DY10: as many as at first again: each key meets the partition of the number it met before, and those that were stopped
    /// begin afresh.
    async fn grown_again_the_keys_meet_the_partitions_they_met_before() {
        let partitions = started(counters(4)).await;
        let numbers = || {
            let ids: Vec<_> = (0..4).map(|index| partition(&partitions, index).id()).collect();
            keys()
                .map(|key| {
                    let server = partitions.route(&key).id();
                    ids.iter().position(|id| *id == server)
                })
                .collect::<Vec<_>>()
        };
        let before = numbers();
        for index in 0..4 {
            ask(&partition(&partitions, index), add).await;
        }
        for size in [1, 3, 0, 4] {
            soon(partitions.resize(size)).await.expect("it is within the bounds");
            assert_eq!((partitions.partitions(), partitions.supervisor().count().active), (size, size));
        }
        assert_eq!(numbers(), before);
        for index in 0..4 {
            assert_eq!(ask(&partition(&partitions, index), get).await, 0);
        }
    }

    /// DY10: more than there were at first is refused, and nothing changes.
    async fn more_partitions_than_at_first_are_refused() {
        let partitions = started(counters(3)).await;
        let routed = routes(&partitions);
        for size in [4, 5, usize::MAX] {
            let refused = soon(partitions.resize(size)).await;
            assert!(matches!(refused, Err(ChildError::MaxChildren)), "{refused:?}");
        }
        soon(partitions.resize(3)).await.expect("it is within the bounds");
        assert_eq!((partitions.partitions(), routes(&partitions)), (3, routed));
        let servers: Vec<_> = (0..3).map(|index| partition(&partitions, index)).collect();
        for server in &servers {
            assert_eq!((ask(server, add).await, server.incarnation()), (1, 1));
        }
    }

    /// DY10: without partitions a key meets nobody, and says so at once.
    async fn without_partitions_a_key_meets_nobody() {
        let partitions = started(counters(2)).await;
        soon(partitions.resize(0)).await.expect("it is within the bounds");
        assert_eq!(partitions.partitions(), 0);
        assert!(partitions.partition(0).is_none());
        for key in keys().take(10) {
            let server = partitions.route(&key);
            is_nobody(&server).await;
            assert_eq!((server.status(), server.is_alive()), (Status::Terminated, false));
            server.cast(inc()).await.expect_err("nobody takes it");
        }
        soon(partitions.resize(1)).await.expect("it is within the bounds");
        assert_eq!(ask(&partitions.route("any"), add).await, 1);
    }

    /// ST11: no partitions at first would be none for ever.
    async fn a_start_without_partitions_is_refused() {
        let before = tasks();
        let refused = soon(counters(0).start()).await;
        assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
        let refused = soon(counters(1).max_restarts(1, Duration::ZERO).start()).await;
        assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
        assert_eq!(tasks(), before);
    }

    /// ST2: a partition that does not start is the error of the start, and those before it are stopped.
    async fn a_partition_that_does_not_start_fails_the_start() {
        let before = tasks();
        let log = Log::new();
        let noted = log.clone();
        let made = PartitionSupervisor::new(4, move |index| match index {
            2 => ServerSpec::new(Script::new().on_init(|_| Err(Crash::msg("test: not the third"))), 0),
            _ => mortal("one before", &noted),
        });
        let failed = soon(made.start()).await;
        let Err(StartError::Init(report)) = failed else { panic!("{failed:?}") };
        assert_eq!(report.message(), "test: not the third");
        assert_eq!(log.len(), 2);
        until("nothing is left", || tasks() == before).await;
    }

    /// A resize whose partition does not start says so, and the others serve on.
    async fn a_resize_that_fails_harms_nobody() {
        let fails = Arc::new(AtomicBool::new(false));
        let told = fails.clone();
        let partitions = started(PartitionSupervisor::new(3, move |_| {
            let fails = told.clone();
            let init = move |_: &mut u64| match fails.load(SeqCst) {
                true => Err(Crash::msg("test: not now")),
                false => Ok(Next::Wait),
            };
            ServerSpec::new(Script::new().on_init(init), 0)
        }))
        .await;
        soon(partitions.resize(1)).await.expect("it is within the bounds");
        assert_eq!(ask(&partition(&partitions, 0), add).await, 1);
        fails.store(true, SeqCst);
        let failed = soon(partitions.resize(3)).await;
        assert!(matches!(failed, Err(ChildError::Start(StartError::Init(_)))), "{failed:?}");
        for key in keys() {
            assert_eq!(partitions.route(&key).status(), Status::Running, "no key meets what did not start");
        }
        fails.store(false, SeqCst);
        soon(partitions.resize(3)).await.expect("now it goes well");
        assert_eq!((partitions.partitions(), ask(&partition(&partitions, 0), get).await), (3, 1));
    }

    /// DY10: resizes that race each other and those who route: everybody meets a partition, and the last size holds.
    async fn resizes_race_each_other_and_those_who_route() {
        let partitions = started(counters(4)).await;
        for round in 0..RACES {
            let sizes = [1 + round % 4, 1 + (round / 4) % 4];
            let resizes: Vec<_> = sizes
                .map(|size| {
                    let partitions = partitions.clone();
                    tokio::spawn(async move { partitions.resize(size).await })
                })
                .into();
            for key in keys().take(20) {
                // It may be stopped at this moment, but it is always one of them.
                match soon(partitions.route(&key).call(get)).await {
                    Ok(0) | Err(CallError::NoProc | CallError::Stopped(_)) => {}
                    other => panic!("{other:?}"),
                }
                yield_now().await;
            }
            for resize in resizes {
                soon(resize).await.expect("no panic").expect("it is within the bounds");
            }
            let size = partitions.partitions();
            assert!(sizes.contains(&size), "{size} is neither of {sizes:?}");
            assert_eq!(partitions.supervisor().count().active, size);
            for key in keys().take(20) {
                assert_eq!(ask(&partitions.route(&key), get).await, 0);
            }
        }
    }

    /// SH1: a stop ends all partitions; then a key meets nobody, and nothing can be resized.
    async fn a_stop_ends_all_partitions() {
        let before = tasks();
        let partitions = started(counters(3)).await;
        let servers: Vec<_> = (0..3).map(|index| partition(&partitions, index)).collect();
        let reason = soon(partitions.stop()).await.expect("it stops");
        assert!(matches!(reason, ExitReason::Normal), "{reason}");
        assert!(matches!(soon(partitions.stopped()).await, ExitReason::Normal));
        assert!(matches!(soon(partitions.stop()).await, Err(StopError::NoProc)));
        for server in &servers {
            assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Shutdown));
        }
        is_nobody(&partitions.route("any key")).await;
        let late = soon(partitions.resize(1)).await;
        assert!(matches!(late, Err(ChildError::NoProc)), "{late:?}");
        until("nothing is left", || tasks() == before).await;
    }

    /// DY9: partitions under a static supervisor are found by their id, and are there again after a restart by it, behind the
    /// same handle.
    async fn partitions_are_there_again_after_a_restart() {
        let root = Supervisor::builder()
            .max_restarts(u32::MAX, SECOND)
            .child(PartitionSupervisor::new(3, |_| counter()).id("partitions").max_restarts(0, HOUR));
        let root = soon(root.start()).await.expect("it starts");
        let partitions = root.partition_supervisor::<Counter>("partitions").expect("they are there");
        assert!(root.partition_supervisor::<Counter>("others").is_none());
        assert!(root.partition_supervisor::<Script<()>>("partitions").is_none());
        let first = partitions.route("a key");
        ask(&first, add).await;
        first.kill();
        until("they are there again", || {
            entry(root.children(), partitions.supervisor().id())
                .is_some_and(|listed| (listed.restarts, listed.status) == (1, Status::Running))
        })
        .await;
        assert_eq!(partitions.partitions(), 3);
        assert_eq!(ask(&partitions.route("a key"), add).await, 1);
        let listed = entry(root.children(), partitions.supervisor().id()).expect("they are listed");
        assert!(listed.is_supervisor);
        soon(root.stop()).await.expect("it stops");
        is_nobody(&partitions.route("a key")).await;
    }
}
