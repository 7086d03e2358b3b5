//! What a supervisor says, and does, while it is busy with something that takes long.

use std::time::Duration;

use tokio::time::Instant;
use undying::{
    Backoff, CallError, ChildError, ExitReason, Next, Registry, ServerSpec, Shutdown, Status, Supervisor,
};

use super::super::{Door, Faults, Log, SECOND, child, dies, fragile, ids, kid, rise, settled, status};
use crate::{
    crash::script::{add, ask, get, inc, slow, soon, tell, wait_at},
    support::{Gate, RACES, until},
};

both! {
    /// CR14: while a child takes long to start again, the supervisor tells of it and of the others.
    async fn a_supervisor_answers_during_a_slow_restart() {
        let (log, door) = (Log::default(), Door::new());
        door.gate.open();
        let sup = rise(Supervisor::builder().child(child("a", &log)).child(door.spec("door"))).await;
        soon(door.gate.arrived()).await;
        let server = sup.server::<Door>("door").expect("a child");
        server.kill();
        soon(door.gate.arrived()).await;
        assert_eq!(ids(&sup), ["a", "door"]);
        assert_eq!(status(&sup, "a"), Some(Status::Running));
        assert_eq!(status(&sup, "door"), Some(Status::Restarting));
        let count = sup.count();
        assert_eq!((count.specs, count.active, count.workers, count.supervisors), (2, 1, 2, 0));
        assert!(sup.is_alive());
        assert_eq!(ask(&kid(&sup, "a"), add).await, 1);
        door.gate.open();
        settled(&sup).await;
        assert_eq!(sup.count().active, 2);
    }

    /// CR14: likewise while a child takes long to stop, and while a late one takes long to start.
    async fn a_supervisor_answers_while_a_child_stops_or_starts() {
        let (log, gate, door) = (Log::default(), Gate::new(), Door::new());
        let sup = rise(Supervisor::builder().child(child("a", &log)).child(child("b", &log))).await;
        let b = kid(&sup, "b");
        tell(&b, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        let asking = sup.clone();
        let stopping = tokio::spawn(async move { asking.terminate_child("b").await });
        until("b is told to stop", || b.try_cast(inc()).is_err()).await;
        assert_eq!(ids(&sup), ["a", "b"]);
        assert_eq!(status(&sup, "a"), Some(Status::Running));
        gate.open();
        soon(stopping).await.expect("joined").expect("a child");
        assert_eq!(status(&sup, "b"), Some(Status::Terminated));

        let (asking, spec) = (sup.clone(), door.spec("door"));
        let starting = tokio::spawn(async move { asking.start_child(spec).await });
        soon(door.gate.arrived()).await;
        assert_eq!(status(&sup, "a"), Some(Status::Running));
        assert_ne!(status(&sup, "door"), Some(Status::Running));
        assert!(sup.count().active == 1 && !starting.is_finished());
        door.gate.open();
        soon(starting).await.expect("joined").expect("it starts");
        assert_eq!(status(&sup, "door"), Some(Status::Running));
    }

    /// DY6: requests are served in the order in which they came, each after the one before.
    async fn requests_are_served_in_order() {
        let (log, door) = (Log::default(), Door::new());
        let sup = rise(Supervisor::builder().child(child("a", &log))).await;
        log.take();
        let (asking, spec) = (sup.clone(), door.spec("door"));
        let slow_one = tokio::spawn(async move { asking.start_child(spec).await });
        soon(door.gate.arrived()).await;
        let requests: Vec<_> = (0..5)
            .map(|n| {
                let (id, sup, log) = (format!("late{n}"), sup.clone(), log.clone());
                async move { sup.start_child(child(&id, &log)).await }
            })
            .collect();
        let all = tokio::spawn(futures::future::join_all(requests));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(log.take().is_empty());
        door.gate.open();
        assert!(soon(slow_one).await.expect("joined").is_ok());
        assert!(soon(all).await.expect("joined").iter().all(Result::is_ok));
        assert_eq!(ids(&sup), ["a", "door", "late0", "late1", "late2", "late3", "late4"]);
        assert_eq!(log.take(), ["+late0", "+late1", "+late2", "+late3", "+late4"]);
    }

    /// K13: a request that is waiting when the supervisor ends learns that nobody is there, and starts nothing.
    async fn a_waiting_request_learns_of_the_end() {
        for round in 0..RACES {
            let (log, door, names) = (Log::default(), Door::new(), Registry::new());
            let sup = rise(Supervisor::builder().child(child("a", &log))).await;
            let (asking, spec) = (sup.clone(), door.spec("door").name_in(&names, "door"));
            let starting = tokio::spawn(async move { asking.start_child(spec).await });
            soon(door.gate.arrived()).await;
            let (asking, spec) = (sup.clone(), child("late", &log).name_in(&names, "late"));
            let waiting = tokio::spawn(async move { asking.start_child(spec).await });
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            sup.kill();
            soon(sup.stopped()).await;
            for request in [starting, waiting] {
                let refusal = soon(request).await.expect("joined");
                assert!(refusal.is_err(), "{refusal:?}");
            }
            assert!(names.names().is_empty());
            assert!(!log.take().contains(&"+late".into()));
        }
    }

    /// DY6: of many who start a child of one id at the same time, one does, and the others learn that it is there.
    async fn of_many_starts_of_one_id_one_wins() {
        let log = Log::default();
        let sup = rise(Supervisor::builder()).await;
        for _ in 0..RACES {
            let starts = (0..5).map(|_| {
                let (sup, spec) = (sup.clone(), child("x", &log));
                tokio::spawn(async move { sup.start_child(spec).await })
            });
            let starts = soon(futures::future::join_all(starts)).await;
            let won = starts.iter().filter(|start| matches!(start, Ok(Ok(())))).count();
            let lost =
                starts.iter().filter(|start| matches!(start, Ok(Err(ChildError::AlreadyStarted)))).count();
            assert_eq!((won, lost), (1, 4));
            soon(sup.terminate_child("x")).await.expect("a child");
            soon(sup.delete_child("x")).await.expect("it is down");
            assert_eq!(log.take(), ["+x", "-x"]);
        }
    }

    /// DY6: whenever a child dies, a request to stop it is carried out: it does not come back.
    async fn a_child_that_dies_while_it_is_terminated_does_not_come_back() {
        for round in 0..RACES {
            let log = Log::default();
            let sup = rise(Supervisor::builder().child(child("x", &log))).await;
            let x = kid(&sup, "x");
            let killer = tokio::spawn({
                let x = x.clone();
                async move {
                    for _ in 0..round % 8 {
                        tokio::task::yield_now().await;
                    }
                    x.kill();
                }
            });
            soon(sup.terminate_child("x")).await.expect("a child");
            soon(killer).await.expect("killed");
            assert_eq!((status(&sup, "x"), x.is_alive()), (Some(Status::Terminated), false), "round {round}");
            let lost = soon(x.call(get)).await;
            assert!(matches!(lost, Err(CallError::NoProc)), "{lost:?}");
            soon(sup.restart_child("x")).await.expect("it is down");
            assert_eq!(ask(&x, add).await, 1);
            soon(sup.stop()).await.expect("it stops");
        }
    }
}

fn in_ten_seconds() -> Backoff {
    Backoff::exponential(10 * SECOND, 10 * SECOND)
}

/// DY6 CR14: a child in its back-off is listed as restarting; it can be neither started, restarted nor deleted.
#[tokio::test(start_paused = true)]
async fn a_child_in_its_backoff_is_restarting() {
    let log = Log::default();
    let sup = rise(Supervisor::builder().backoff(in_ten_seconds()).child(child("x", &log))).await;
    let x = kid(&sup, "x");
    x.kill();
    let begun = Instant::now();
    assert!(matches!(sup.start_child(child("x", &log)).await, Err(ChildError::AlreadyStarted)));
    assert!(matches!(sup.restart_child("x").await, Err(ChildError::Running)));
    assert!(matches!(sup.delete_child("x").await, Err(ChildError::Running)));
    assert_eq!((status(&sup, "x"), x.status()), (Some(Status::Restarting), Status::Restarting));
    let count = sup.count();
    assert_eq!((count.specs, count.active, count.workers), (1, 0, 1));
    // Nor does it keep others from being started.
    sup.start_child(child("y", &log)).await.expect("it starts");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    soon(x.wait_incarnation(2)).await.expect("it is restarted");
    assert!(begun.elapsed() >= 10 * SECOND);
}

/// DY4: a child in its back-off can be terminated: it is down at once, its callers are told, and it does not come back.
#[tokio::test(start_paused = true)]
async fn a_child_in_its_backoff_can_be_terminated() {
    let (log, names) = (Log::default(), Registry::new());
    let spec = child("x", &log).name_in(&names, "x");
    let sup = rise(Supervisor::builder().backoff(in_ten_seconds()).child(spec)).await;
    let x = kid(&sup, "x");
    let end = x.monitor();
    x.kill();
    end.await;
    until("it is restarting", || status(&sup, "x") == Some(Status::Restarting)).await;
    let caller = x.clone();
    let waiting = tokio::spawn(async move { caller.call(add).no_timeout().await });
    until("it is queued", || x.mailbox_len() == 1).await;
    let begun = Instant::now();
    sup.terminate_child("x").await.expect("a child");
    let end = waiting.await.expect("joined");
    assert!(matches!(end, Err(CallError::Stopped(_))), "{end:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((status(&sup, "x"), x.is_alive()), (Some(Status::Terminated), false));
    assert!(names.names().is_empty());
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(log.take(), ["+x"]);
    sup.restart_child("x").await.expect("it is down");
    assert_eq!(ask(&x, add).await, 1);
}

/// DY4: so can one whose restarts fail over and over.
#[tokio::test(start_paused = true)]
async fn a_child_whose_restarts_fail_can_be_terminated() {
    let (log, faults) = (Log::default(), Faults::default());
    let spec = ServerSpec::new(fragile("x", &log, &faults), 0).id("x");
    let tree = Supervisor::builder().max_restarts(u32::MAX, SECOND).backoff(in_ten_seconds());
    let sup = rise(tree.child(spec)).await;
    faults.set(usize::MAX);
    let x = kid(&sup, "x");
    x.kill();
    tokio::time::sleep(35 * SECOND).await;
    assert_eq!(
        (status(&sup, "x"), x.status(), x.is_alive()),
        (Some(Status::Restarting), Status::Restarting, true)
    );
    assert_eq!(log.take(), ["+x", "!x", "!x", "!x"]);
    sup.terminate_child("x").await.expect("a child");
    tokio::time::sleep(35 * SECOND).await;
    assert_eq!((status(&sup, "x"), log.take().len()), (Some(Status::Terminated), 0));
}

/// DY6: a callback that asks for the end of its own server is cut when the time of its server is over.
#[tokio::test(start_paused = true)]
async fn a_callback_that_terminates_its_own_server_is_cut() {
    let log = Log::default();
    let spec = child("x", &log).shutdown(Shutdown::Timeout(7 * SECOND));
    let sup = rise(Supervisor::builder().child(spec)).await;
    let (x, above, begun) = (kid(&sup, "x"), sup.clone(), Instant::now());
    let suicide = slow(move |_, _| {
        Box::pin(async move {
            above.terminate_child("x").await?;
            Ok(Next::Wait)
        })
    });
    x.cast(suicide).await.expect("alive");
    assert!(matches!(x.stopped().await.reason, ExitReason::Killed));
    assert_eq!((begun.elapsed(), x.is_alive()), (7 * SECOND, false));
    until("it is down", || status(&sup, "x") == Some(Status::Terminated)).await;
    sup.restart_child("x").await.expect("it is down");
    dies(&x).await;
    assert_eq!(ask(&x, get).await, 0);
}
