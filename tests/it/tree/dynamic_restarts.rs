//! Restarts of dynamic children: after a pause, in vain, and too often.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};
use undying::{
    Backoff, CallError, ChildError, Crash, CrashKind, DynamicSupervisor, ExitReason, Next, Outcome, Registry,
    RestartPolicy, Status, StopError, Supervisor,
};

use super::parts::{
    Counter, HOUR, Life, SECOND, born, child, counter, entry, is, mortal, nursery, only_once, reborn,
    servers, started,
};
use crate::{
    crash::script::{add, ask, get, inc, soon, tell},
    effects::Log,
    support::{Gate, RACES, quiet, until},
};

/// A pause that is always as long.
fn pause() -> Backoff {
    Backoff::exponential(SECOND, SECOND)
}

both! {
    /// DY4: a child whose restarts all fail is listed as restarting, at every moment, until it is terminated.
    async fn a_child_that_cannot_be_restarted_is_restarting_until_it_is_terminated() {
        let (parent, names) = (nursery().await, Registry::new());
        let life = Life::new().born(only_once);
        let spec = life.clone().spec().name_in(&names, "never again");
        let server = born(&parent, spec).await;
        let other = child(&parent).await;
        let monitor = server.monitor();
        server.kill();
        until("it has been tried", || life.births() > 10).await;
        assert!(matches!(soon(monitor).await.reason, ExitReason::Killed));
        for _ in 0..RACES {
            let listed = entry(parent.children(), server.id()).expect("it is listed");
            assert_eq!((listed.status, server.status()), (Status::Restarting, Status::Restarting));
            assert!(server.is_alive());
            let count = parent.count();
            assert_eq!((count.specs, count.active, count.workers), (2, 1, 2));
            assert_eq!(names.whereis::<Life>("never again").map(|found| found.id()).ok(), Some(server.id()));
            assert_eq!(ask(&other, get).await, 0);
        }
        // What is queued meanwhile waits for the next life, which does not come.
        let waiting = tokio::spawn({
            let server = server.clone();
            async move { server.call(|reply| reply).no_timeout().await }
        });
        until("it is queued", || server.mailbox_len() == 1).await;
        soon(parent.terminate_child(server.id())).await.expect("a child");
        let told = soon(waiting).await.expect("no panic");
        assert!(matches!(told, Err(CallError::Stopped(_))), "{told:?}");
        assert_eq!((server.status(), names.names().len()), (Status::Terminated, 0));
        assert_eq!(servers(&parent.children()), [other.id()]);
        let (tried, again) = (life.births(), soon(parent.terminate_child(server.id())).await);
        assert!(matches!(again, Err(ChildError::NotFound)), "{again:?}");
        assert_eq!(ask(&other, add).await, 1);
        assert_eq!(life.births(), tried, "nobody tries again");
    }

    /// DY4: a child can be terminated at any moment of its restarts.
    async fn a_child_may_be_terminated_at_any_moment_of_its_restarts() {
        let parent = nursery().await;
        for round in 0..RACES {
            let fails = round % 2 == 0;
            let life = Life::new().born(move |nth| async move {
                yield_now().await;
                if fails { only_once(nth).await } else { Ok(Next::Wait) }
            });
            let server = born(&parent, life.spec()).await;
            server.kill();
            for _ in 0..round % 20 {
                yield_now().await;
            }
            soon(parent.terminate_child(server.id())).await.expect("a child");
            assert_eq!((server.status(), parent.count().specs), (Status::Terminated, 0));
            let gone = soon(server.call(|reply| reply)).await;
            assert!(matches!(gone, Err(CallError::NoProc)), "{gone:?}");
        }
    }

    /// What was queued behind the end is told of it; what comes after it is served by the next life.
    async fn what_comes_between_two_lives_waits_for_the_second() {
        let parent = nursery().await;
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
        assert_eq!((server.status(), server.is_alive()), (Status::Restarting, true));
        let calls: Vec<_> = (0..10)
            .map(|_| {
                let server = server.clone();
                tokio::spawn(async move { server.call(|reply| reply).await })
            })
            .collect();
        until("they are queued", || server.mailbox_len() == 10).await;
        gate.open();
        for call in calls {
            assert_eq!(soon(call).await.expect("no panic").expect("it is served"), 2);
        }
        assert!(is(&parent, server.id(), Status::Running));
    }

    /// RI3: a restart that fails is charged like any other: with a budget of 5 `init` runs 1 + 5 times, then the supervisor
    /// ends with that reason, and all its children with it.
    async fn restarts_that_fail_are_charged() {
        let parent = started(DynamicSupervisor::builder().max_restarts(5, HOUR)).await;
        let (log, names) = (Log::new(), Registry::new());
        let bystander = born(&parent, mortal("bystander", &log).name_in(&names, "bystander")).await;
        let life = Life::new().born(only_once);
        let server = born(&parent, life.clone().spec().name_in(&names, "failing")).await;
        server.kill();
        let reason = soon(parent.stopped()).await;
        let ExitReason::RestartLimit(report) = &reason else { panic!("{reason}") };
        assert_eq!(report.message(), "test: not again");
        assert_eq!(life.births(), 6);
        assert_eq!(log.notes(), [format!("bystander {}", ExitReason::Shutdown)]);
        for status in [server.status(), bystander.status()] {
            assert_eq!(status, Status::Terminated);
        }
        assert!(names.names().is_empty());
        assert!(!parent.is_alive());
        assert_eq!((parent.children().len(), parent.count().specs), (0, 0));
        let late = soon(parent.start_child(counter())).await;
        assert!(matches!(late, Err(ChildError::NoProc)), "{late:?}");
        let late = soon(parent.terminate_child(server.id())).await;
        assert!(matches!(late, Err(ChildError::NoProc)), "{late:?}");
        assert!(matches!(soon(parent.stop()).await, Err(StopError::NoProc)));
    }

    /// RI1: with a budget of N the first N deaths are survived, whichever children they are of, and the next ends it.
    async fn the_budget_is_that_of_all_children_together() {
        for budget in [0_u32, 1, 3] {
            let parent = started(DynamicSupervisor::builder().max_restarts(budget, HOUR)).await;
            let children = [child(&parent).await, child(&parent).await];
            for death in 0..budget {
                let server = &children[death as usize % 2];
                reborn(server).await;
            }
            assert!(parent.is_alive());
            children[0].kill();
            let reason = soon(parent.stopped()).await;
            let ExitReason::RestartLimit(report) = &reason else { panic!("{reason}") };
            assert_eq!(report.kind(), CrashKind::Kill);
            for server in &children {
                soon(server.stopped()).await;
                assert_eq!(server.status(), Status::Terminated);
            }
        }
    }

    /// RI9: temporary children, orderly ends of transient ones and `terminate_child` cost nothing; an orderly end of a
    /// permanent child does.
    async fn only_restarts_are_charged() {
        let parent = started(DynamicSupervisor::builder().max_restarts(0, HOUR)).await;
        born(&parent, counter().restart(RestartPolicy::Temporary)).await.kill();
        soon(child(&parent).await.stop()).await.expect("a server");
        let permanent = || counter().restart(RestartPolicy::Permanent);
        let terminated = born(&parent, permanent()).await;
        soon(parent.terminate_child(terminated.id())).await.expect("a child");
        until("all are forgotten", || parent.count().specs == 0).await;
        assert!(parent.is_alive());
        soon(born(&parent, permanent()).await.stop()).await.expect("a server");
        let reason = soon(parent.stopped()).await;
        assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
    }

    /// DY9 RI7: a dynamic supervisor that its parent restarts has no children, its handle is valid, and the names of those
    /// it had are free.
    async fn a_restarted_dynamic_supervisor_has_no_children() {
        let names = Registry::new();
        let root = Supervisor::builder()
            .child(counter().id("static"))
            .child(DynamicSupervisor::builder().id("dynamic").max_restarts(0, HOUR));
        let root = soon(root.start()).await.expect("it starts");
        let parent = root.dynamic_supervisor("dynamic").expect("it is there");
        assert_eq!(root.dynamic_supervisor("static").map(|wrong| wrong.id()), None);
        let (first, second) = (
            born(&parent, counter().name_in(&names, "first")).await,
            born(&parent, counter().restart(RestartPolicy::Permanent).name_in(&names, "second")).await,
        );
        first.kill();
        until("it is restarted", || {
            entry(root.children(), parent.id())
                .is_some_and(|dynamic| (dynamic.restarts, dynamic.status) == (1, Status::Running))
        })
        .await;
        for server in [&first, &second] {
            soon(server.stopped()).await;
            assert_eq!(server.status(), Status::Terminated);
        }
        assert!(names.names().is_empty());
        assert_eq!((parent.count().specs, parent.is_alive()), (0, true));
        let again = born(&parent, counter().name_in(&names, "first")).await;
        assert_eq!(ask(&again, add).await, 1);
        assert_eq!(root.dynamic_supervisor("dynamic").expect("it is there").id(), parent.id());
        assert_eq!(
            entry(root.children(), root.server::<Counter>("static").expect("there").id())
                .map(|child| child.restarts),
            Some(0)
        );
    }

    /// RI8: the state of a child that its parent restarts is fresh, or the one it had if it is to be preserved.
    async fn a_restarted_child_is_fresh_unless_preserved() {
        let parent = nursery().await;
        for preserved in [false, true] {
            let server = born(&parent, counter().preserve_on_escalation(preserved)).await;
            for _ in 0..5 {
                tell(&server, inc()).await;
            }
            assert_eq!(ask(&server, get).await, 5);
            let version = server.peek().version();
            reborn(&server).await;
            assert_eq!(ask(&server, get).await, if preserved { 5 } else { 0 });
            assert!(server.peek().version() >= version, "versions do not go back");
        }
    }
}

/// RI10: a child is restarted after the pause, not before; it is restarting meanwhile.
#[tokio::test(start_paused = true)]
async fn a_child_is_restarted_after_a_pause() {
    quiet();
    let parent = started(DynamicSupervisor::builder().max_restarts(9, HOUR).backoff(pause())).await;
    let (server, other) = (child(&parent).await, child(&parent).await);
    let begin = Instant::now();
    server.kill();
    soon(server.stopped()).await;
    until("it is down", || is(&parent, server.id(), Status::Restarting)).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(ask(&other, add).await, 1);
    // Queued before the pause is over, served after it.
    assert_eq!(ask(&server, get).await, 0);
    assert_eq!(begin.elapsed(), SECOND);
    assert!(is(&parent, server.id(), Status::Running));
    assert_eq!((server.incarnation(), other.incarnation()), (2, 1));
}

/// RI3 DY4: the pauses between restarts that fail, and what ends them.
#[tokio::test(start_paused = true)]
async fn restarts_that_fail_are_tried_again_after_a_pause() {
    quiet();
    let parent = started(DynamicSupervisor::builder().max_restarts(9, HOUR).backoff(pause())).await;
    let life = Life::new().born(|nth| async move {
        if (2..=4).contains(&nth) { Err(Crash::msg("test: not yet")) } else { Ok(Next::Wait) }
    });
    let server = born(&parent, life.clone().spec()).await;
    let begin = Instant::now();
    server.kill();
    for failed in 1..=3 {
        until("it is down", || is(&parent, server.id(), Status::Restarting)).await;
        sleep(SECOND * failed + SECOND / 2 - begin.elapsed()).await;
        assert!(is(&parent, server.id(), Status::Restarting));
        assert_eq!(life.births(), u64::from(failed) + 1);
    }
    assert_eq!(soon(server.call(|reply| reply)).await.expect("it serves"), 5);
    assert_eq!(begin.elapsed(), SECOND * 4);
    assert_eq!(entry(parent.children(), server.id()).map(|child| child.status), Some(Status::Running));

    // Terminated, or its supervisor stopped, while it waits: at once.
    let waiting = born(&parent, counter()).await;
    for server in [child(&parent).await, child(&parent).await] {
        server.kill();
        until("it is down", || is(&parent, server.id(), Status::Restarting)).await;
        let begin = Instant::now();
        parent.terminate_child(server.id()).await.expect("a child");
        assert_eq!((begin.elapsed(), server.status()), (Duration::ZERO, Status::Terminated));
    }
    waiting.kill();
    until("it is down", || is(&parent, waiting.id(), Status::Restarting)).await;
    let begin = Instant::now();
    parent.stop().await.expect("it stops");
    assert_eq!((begin.elapsed(), waiting.status()), (Duration::ZERO, Status::Terminated));
}

/// RI2: deaths further apart than the window never add up.
#[tokio::test(start_paused = true)]
async fn deaths_far_apart_do_not_add_up() {
    quiet();
    let parent = started(DynamicSupervisor::builder().max_restarts(1, SECOND * 10)).await;
    let server = child(&parent).await;
    for _ in 0..20 {
        reborn(&server).await;
        sleep(SECOND * 10 + SECOND / 1000).await;
    }
    reborn(&server).await;
    sleep(SECOND * 5).await;
    server.kill();
    let reason = soon(parent.stopped()).await;
    assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
}

/// A flag that a birth waits for, for restarts that go on for a while.
async fn unless(fails: Arc<AtomicBool>) -> Outcome<Life> {
    if fails.load(SeqCst) { Err(Crash::msg("test: still not")) } else { Ok(Next::Wait) }
}

/// RI10: many children in a pause come back each in its own time, and nobody waits for another.
#[tokio::test(start_paused = true)]
async fn pauses_run_beside_each_other() {
    quiet();
    let parent = started(DynamicSupervisor::builder().max_restarts(u32::MAX, HOUR).backoff(pause())).await;
    let fails = Arc::new(AtomicBool::new(false));
    let told = fails.clone();
    let life = Life::new().born(move |_| unless(told.clone()));
    let mut children = Vec::new();
    for _ in 0..50 {
        children.push(born(&parent, life.clone().spec()).await);
    }
    let begin = Instant::now();
    for server in &children {
        server.kill();
    }
    for server in &children {
        server.wait_incarnation(2).await.expect("another life");
    }
    assert_eq!(begin.elapsed(), SECOND);
    // One that fails again and again does not hold the others up.
    fails.store(true, SeqCst);
    children[0].kill();
    until("it is down", || is(&parent, children[0].id(), Status::Restarting)).await;
    sleep(SECOND * 30).await;
    let begin = Instant::now();
    let well = child(&parent).await;
    well.kill();
    well.wait_incarnation(2).await.expect("another life");
    assert!(begin.elapsed() <= SECOND, "{:?}", begin.elapsed());
    fails.store(false, SeqCst);
    children[0].wait_incarnation(3).await.expect("another life");
}
