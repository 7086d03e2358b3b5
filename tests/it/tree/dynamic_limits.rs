//! How many children a dynamic supervisor has, and how many it may have.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{runtime::Builder, task::yield_now};
use undying::{
    ChildCount, ChildError, Crash, DynamicSupervisor, DynamicSupervisorRef, Next, ServerSpec, Status,
    Supervisor,
};

use super::parts::{Life, SECOND, born, child, counter, family, is, nursery, servers, started};
use crate::{
    crash::script::{Script, add, ask, soon, stop},
    effects::Alive,
    support::{Gate, RACES, quiet, until},
};

/// A dynamic supervisor with room for so many.
async fn room_for(n: usize) -> DynamicSupervisorRef {
    started(DynamicSupervisor::builder().max_children(n).max_restarts(u32::MAX, SECOND)).await
}

/// There is no room.
async fn is_full(parent: &DynamicSupervisorRef) {
    let refused = soon(parent.start_child(counter())).await;
    assert!(matches!(refused, Err(ChildError::MaxChildren)), "{refused:?}");
}

fn numbers(count: ChildCount) -> [usize; 4] {
    [count.specs, count.active, count.supervisors, count.workers]
}

both! {
    /// DY2: one child more than there is room for is refused; those that end or are terminated make room.
    async fn there_is_room_for_so_many_children() {
        let parent = room_for(3).await;
        let children = [child(&parent).await, child(&parent).await, child(&parent).await];
        is_full(&parent).await;
        is_full(&parent).await;
        assert_eq!(numbers(parent.count()), [3, 3, 0, 3]);
        soon(parent.terminate_child(children[1].id())).await.expect("a child");
        let fourth = child(&parent).await;
        is_full(&parent).await;
        stop(&fourth).await;
        until("it is forgotten", || parent.count().specs == 2).await;
        child(&parent).await;
        is_full(&parent).await;
        for server in [&children[0], &children[2]] {
            assert_eq!(ask(server, add).await, 1);
        }
    }

    /// DY2: a child that is being restarted keeps its place.
    async fn a_restarting_child_keeps_its_place() {
        let parent = room_for(1).await;
        let gate = Gate::new();
        let at = gate.clone();
        let life = Life::new().born(move |nth| {
            let gate = at.clone();
            async move {
                if nth > 1 {
                    gate.pass().await;
                }
                Ok(Next::Wait)
            }
        });
        let server = born(&parent, life.spec()).await;
        server.kill();
        soon(gate.arrived()).await;
        assert!(is(&parent, server.id(), Status::Restarting));
        is_full(&parent).await;
        gate.open();
        assert_eq!(soon(server.call(|reply| reply)).await.expect("it serves"), 2);
        is_full(&parent).await;
        soon(parent.terminate_child(server.id())).await.expect("a child");
        child(&parent).await;
    }

    /// DY2: a child that is being started has its place already, and gives it back if it does not start.
    async fn a_start_in_progress_has_its_place() {
        let parent = room_for(1).await;
        for well in [false, true] {
            let gate = Gate::new();
            let at = gate.clone();
            let life = Life::new().born(move |_| {
                let gate = at.clone();
                async move {
                    gate.pass().await;
                    if well { Ok(Next::Wait) } else { Err(Crash::msg("test: no")) }
                }
            });
            let starter = tokio::spawn({
                let parent = parent.clone();
                async move { parent.start_child(life.spec()).await }
            });
            soon(gate.arrived()).await;
            is_full(&parent).await;
            gate.open();
            assert_eq!(soon(starter).await.expect("no panic").is_ok(), well);
        }
        is_full(&parent).await;
    }

    /// DY2: starts that fail, that are ignored and that are refused leave every place free.
    async fn starts_that_fail_give_their_places_back() {
        let parent = room_for(2).await;
        for _ in 0..RACES {
            let ignored = Script::new().on_init(|_: &mut u64| Ok(Next::Ignore));
            let failed = Script::new().on_init(|_: &mut u64| Err(Crash::msg("test: no")));
            let misfits =
                [ServerSpec::new(ignored, 0), ServerSpec::new(failed, 0), counter().significant(true)];
            for spec in misfits {
                let refused = soon(parent.start_child(spec)).await;
                assert!(matches!(refused, Err(ChildError::Start(_))), "{refused:?}");
            }
        }
        child(&parent).await;
        child(&parent).await;
        is_full(&parent).await;
    }

    /// DY2: of many that race for the places as many start as there are places, never one more.
    async fn racing_starters_share_the_places() {
        const PLACES: usize = 3;
        for round in 0..RACES {
            let parent = room_for(PLACES).await;
            let alive = Arc::new(Alive::default());
            let racers: Vec<_> = (0..4 * PLACES)
                .map(|racer| {
                    let (parent, alive) = (parent.clone(), alive.clone());
                    tokio::spawn(async move {
                        let life = Life::new().born(move |_| {
                            let one = alive.one();
                            assert!(alive.count() <= PLACES, "one too many is in its init");
                            async move {
                                for _ in 0..racer % 3 {
                                    yield_now().await;
                                }
                                drop(one);
                                Ok(Next::Wait)
                            }
                        });
                        for _ in 0..(racer + round) % 4 {
                            yield_now().await;
                        }
                        parent.start_child(life.spec()).await
                    })
                })
                .collect();
            let mut born = Vec::new();
            for racer in racers {
                match soon(racer).await.expect("no panic") {
                    Ok(server) => born.push(server.id()),
                    Err(error) => assert!(matches!(error, ChildError::MaxChildren), "{error}"),
                }
            }
            born.sort_unstable();
            assert_eq!((born.len(), servers(&parent.children())), (PLACES, born));
            assert_eq!(numbers(parent.count()), [PLACES, PLACES, 0, PLACES]);
            soon(parent.stop()).await.expect("it stops");
        }
    }

    /// DY5: two thousand children are counted exactly, also while some hundreds of them are being restarted.
    async fn thousands_of_children_are_counted_exactly() {
        const ALL: usize = 2_000;
        const KILLED: usize = 500;
        let parent = nursery().await;
        let gate = Gate::new();
        let at = gate.clone();
        let life = Life::new().born(move |nth| {
            let gate = at.clone();
            async move {
                if nth > ALL as u64 {
                    gate.pass().await;
                }
                Ok(Next::Wait)
            }
        });
        let children = join_all((0..ALL).map(|_| born(&parent, life.clone().spec()))).await;
        assert_eq!(numbers(parent.count()), [ALL, ALL, 0, ALL]);
        assert_eq!(servers(&parent.children()), {
            let mut ids: Vec<_> = children.iter().map(|server| server.id()).collect();
            ids.sort_unstable();
            ids
        });
        for server in &children[..KILLED] {
            server.kill();
        }
        until("they are gone", || parent.count().active == ALL - KILLED).await;
        assert_eq!(numbers(parent.count()), [ALL, ALL - KILLED, 0, ALL]);
        let restarting = |status| parent.children().iter().filter(|child| child.status == status).count();
        assert_eq!((restarting(Status::Restarting), restarting(Status::Running)), (KILLED, ALL - KILLED));
        for server in &children[KILLED..2 * KILLED] {
            soon(parent.terminate_child(server.id())).await.expect("a child");
        }
        assert_eq!(numbers(parent.count()), [ALL - KILLED, ALL - 2 * KILLED, 0, ALL - KILLED]);
        for _ in 0..KILLED {
            gate.open();
        }
        until("they are back", || parent.count().active == ALL - KILLED).await;
        for server in &children[..KILLED] {
            soon(server.call(|reply| reply)).await.expect("it serves");
        }
        soon(parent.stop()).await.expect("it stops");
        assert_eq!(numbers(parent.count()), [0; 4]);
    }

    /// DY5: a supervisor that is a dynamic child is counted as one.
    async fn a_supervisor_among_the_children_is_counted_as_one() {
        let parent = nursery().await;
        child(&parent).await;
        let outer = Supervisor::builder().child(Supervisor::builder().id("inner").child(counter()));
        let outer = soon(outer.start()).await.expect("it starts");
        soon(outer.transfer("inner", &parent)).await.expect("it is moved");
        assert_eq!(numbers(parent.count()), [2, 2, 1, 1]);
        assert_eq!(numbers(outer.count()), [0; 4]);
        assert_eq!(numbers(family(["a", "b"]).await.count()), [2, 2, 0, 2]);
    }
}

/// Starts `n` children, terminates every second of them, the youngest and the oldest by turns, and the rest with their
/// supervisor. Says how long that took.
async fn life_of(n: usize) -> Duration {
    let begin = Instant::now();
    let parent = started(DynamicSupervisor::builder()).await;
    let mut ids = VecDeque::with_capacity(n);
    for _ in 0..n {
        ids.push_back(child(&parent).await.id());
    }
    assert_eq!((parent.count().specs, parent.children().len()), (n, n));
    for _ in 0..n / 4 {
        for id in [ids.pop_front(), ids.pop_back()].into_iter().flatten() {
            soon(parent.terminate_child(id)).await.expect("a child");
        }
    }
    assert_eq!(parent.count().specs, n / 2);
    soon(parent.stop()).await.expect("it stops");
    begin.elapsed()
}

/// DY7: ten times as many children take about ten times as long. Anything quadratic would take a hundred times as long.
#[test]
fn ten_times_as_many_children_take_about_ten_times_as_long() {
    quiet();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The best of some: others use the machine, too, and they only ever make it slower.
    let best = |n, of| (0..of).map(|_| runtime.block_on(life_of(n))).min().expect("some");
    let (few, many) = (best(1_000, 3), best(10_000, 2));
    assert!(many < few * 40, "1,000 took {few:?}, 10,000 took {many:?}");
}

/// DY7: a hundred thousand children are started and stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten seconds and more in a debug build"]
async fn a_hundred_thousand_children_are_started_and_stopped() {
    quiet();
    soon(life_of(100_000)).await;
}
