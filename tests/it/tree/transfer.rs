//! A child is given to another supervisor while it runs: it notices nothing, and neither does who talks to it.

use std::{future::pending, sync::Arc, time::Duration};

use futures::poll;
use tokio::time::{Instant, sleep};
use undying::{Backoff, ExitReason, Next, Registry, RestartPolicy, ServerSpec, Shutdown, Status};

use super::{
    homes::{Home, pairs},
    parts::{Counter, HOUR, Life, SECOND, counter, family, mortal, reborn},
};
use crate::{
    crash::{
        script::{Script, add, ask, boom, get, inc, job, serves, soon, start, tell},
        tape::{Event, rest, tape},
    },
    effects::{Alive, Log, held, within},
    support::{quiet, until},
};

both! {
    /// TR1: one child less here, one more there, and the state is what it was, between every pair of supervisors.
    async fn a_child_is_moved_with_its_state() {
        for (from, to) in pairs().await {
            let (server, stays) = (from.child("moved").await, from.child("stays").await);
            let there = to.child("was there").await;
            for _ in 0..5 {
                ask(&server, add).await;
            }
            from.move_to("moved", server.id(), &to).await;
            assert_eq!((from.len(), to.len()), (1, 2));
            assert!(!from.has(server.id()) && to.has(server.id()));
            assert_eq!(ask(&server, add).await, 6);
            assert_eq!((server.incarnation(), server.status()), (1, Status::Running));
            assert_eq!(to.info(server.id()).status, Status::Running);
            assert_eq!((ask(&stays, add).await, ask(&there, add).await), (1, 1));
        }
    }

    /// TR1: in a static supervisor it is found by its id, comes last, and is terminated, restarted and deleted as if it had
    /// always been there.
    async fn a_child_is_at_home_in_its_new_supervisor() {
        for from in [Home::fixed().await, Home::dynamic().await] {
            let to = family(["first", "second"]).await;
            let server = from.child("moved").await;
            from.move_to("moved", server.id(), &Home::Static(to.clone())).await;
            if let Home::Static(from) = &from {
                assert!(from.server::<Counter>("moved").is_none());
            }
            let ids: Vec<_> = to.children().into_iter().map(|child| child.id).collect();
            assert_eq!(ids, ["first", "second", "moved"]);
            assert_eq!(to.server::<Counter>("moved").expect("it is found").id(), server.id());
            soon(to.terminate_child("moved")).await.expect("a child");
            assert_eq!(server.status(), Status::Terminated);
            soon(to.restart_child("moved")).await.expect("it is restarted");
            assert_eq!(ask(&server, add).await, 1);
            soon(to.terminate_child("moved")).await.expect("a child");
            soon(to.delete_child("moved")).await.expect("it is deleted");
            assert_eq!(to.count().specs, 2);
        }
    }

    /// TR2: handles, the name and monitors from before stay valid, queued messages are served, tasks and links go on.
    async fn what_was_there_before_stays_valid() {
        for (from, to) in pairs().await {
            let names = Registry::new();
            let server = from.bear("moved", counter().name_in(&names, "moved")).await;
            let (weak, watcher, linked) = (server.downgrade(), start(()).await, start(()).await);
            let (mut monitor, log, alive) = (server.monitor(), Log::new(), Arc::new(Alive::default()));
            let (watched, told) = (server.clone(), log.clone());
            within(&watcher, move |cx| cx.monitor(&watched, move |down| told.job(down.reason.to_string())))
                .await;
            let (link, one) = (linked.clone(), alive.one());
            within(&server, move |cx| {
                cx.link(&link);
                cx.spawn(
                    async move {
                        let _one = one;
                        pending::<()>().await
                    },
                    |_| inc(),
                );
            })
            .await;
            let gate = held(&server).await;
            for _ in 0..10 {
                tell(&server, inc()).await;
            }
            from.move_to("moved", server.id(), &to).await;
            assert_eq!(server.mailbox_len(), 10);
            gate.open();
            assert_eq!(ask(&server, add).await, 11);
            assert!(poll!(&mut monitor).is_pending());
            assert_eq!((alive.count(), log.len()), (1, 0));
            assert_eq!(ask(&names.whereis::<Counter>("moved").expect("it is found"), get).await, 11);
            assert_eq!(ask(&weak.upgrade().expect("it is there"), get).await, 11);
            // And they still hear of the end, when it comes.
            to.terminate("moved", server.id()).await;
            assert!(matches!(soon(monitor).await.reason, ExitReason::Shutdown));
            until("the watcher has heard", || log.notes() == [ExitReason::Shutdown.to_string()]).await;
            until("the task is gone", || alive.count() == 0).await;
            assert!(names.names().is_empty());
        }
    }

    /// TR3: listeners hear nothing of a move, and everything after it, in one unbroken chain.
    async fn a_listener_hears_one_story() {
        for (from, to) in pairs().await {
            let (tape, events) = tape();
            let server = from.bear("moved", counter().listener(tape)).await;
            for _ in 0..3 {
                ask(&server, add).await;
                from.move_to("moved", server.id(), &to).await;
                ask(&server, add).await;
                to.move_to("moved", server.id(), &from).await;
            }
            // Only now nobody keeps the listener for another life.
            from.stop().await;
            drop((server, from));
            let mut state = 0;
            let mut others = Vec::new();
            for event in rest(events).await {
                match event {
                    Event::Changed { old, new, version, .. } => {
                        assert_eq!((old, new, version), (state, state + 1, state + 1));
                        state = new;
                    }
                    other => others.push(format!("{other:?}")),
                }
            }
            assert_eq!(state, 6);
            assert_eq!(others.len(), 2, "{others:?}");
            assert!(others[0].starts_with("Started") && others[1].starts_with("Terminated"), "{others:?}");
        }
    }

    /// TR3: policies, the restart count and what is left of the server's own budget come along.
    async fn policies_and_counts_come_along() {
        for (from, to) in pairs().await {
            let spec = counter().restart(RestartPolicy::Permanent).max_restarts(2, HOUR);
            let server = from.bear("moved", spec).await;
            reborn(&server).await;
            until("it is listed so", || from.info(server.id()).status == Status::Running).await;
            let before = from.info(server.id());
            assert_eq!((before.restarts, before.restart), (1, RestartPolicy::Permanent));
            // One crash of two is spent here, one there, and the next one is too many.
            tell(&server, boom()).await;
            serves(&server, 3).await;
            from.move_to("moved", server.id(), &to).await;
            assert_eq!(to.info(server.id()), before);
            tell(&server, boom()).await;
            serves(&server, 4).await;
            assert_eq!(to.info(server.id()).restarts, 1, "no matter of the supervisor's");
            tell(&server, boom()).await;
            serves(&server, 5).await;
            until("it is listed so", || to.info(server.id()).restarts == 2).await;
            assert_eq!(server.sys().statistics().await.expect("it serves").crashes, 3);
            // It is permanent: a normal end is followed by another life.
            soon(server.stop()).await.expect("a server");
            serves(&server, 6).await;
        }
    }

    /// TR1: moved round a hundred times, it is where it was, and it is the same.
    async fn a_child_may_be_moved_many_times() {
        let homes = [Home::fixed().await, Home::dynamic().await, Home::fixed().await, Home::dynamic().await];
        let server = homes[0].child("moved").await;
        for round in 0..100 {
            let (from, to) = (&homes[round % 4], &homes[(round + 1) % 4]);
            from.move_to("moved", server.id(), to).await;
            assert_eq!(ask(&server, add).await, round as u64 + 1);
            assert_eq!(homes.iter().filter(|home| home.has(server.id())).count(), 1);
        }
        assert!(homes[0].has(server.id()));
        assert_eq!(server.incarnation(), 1);
    }

    /// TR3: its shutdown comes along: the destination ends it as the spec has it.
    async fn its_shutdown_comes_along() {
        for (from, to) in pairs().await {
            let log = Log::new();
            let spec = mortal("moved", &log).shutdown(Shutdown::BrutalKill);
            let server = from.bear("moved", spec).await;
            from.move_to("moved", server.id(), &to).await;
            to.stop().await;
            assert_eq!(soon(server.stopped()).await.reason.to_string(), "killed");
            assert_eq!(log.len(), 0);
        }
    }

    /// TR3: the state that is preserved across restarts by the source is preserved across those by the destination.
    async fn a_preserved_state_comes_along() {
        for (from, to) in pairs().await {
            let server = from.bear("moved", counter().preserve_on_escalation(true)).await;
            for _ in 0..3 {
                ask(&server, add).await;
            }
            from.move_to("moved", server.id(), &to).await;
            reborn(&server).await;
            assert_eq!(ask(&server, add).await, 4);
        }
    }
}

/// TR2: a timer from before fires once, when it is due; so does an idle deadline.
#[tokio::test(start_paused = true)]
async fn timers_from_before_fire() {
    quiet();
    for (from, to) in pairs().await {
        let idle = Script::new().on_timeout(|n| {
            *n += 100;
            Ok(Next::Wait)
        });
        let server = from.bear("moved", ServerSpec::new(idle, 0)).await;
        server.send_after(SECOND * 3, inc());
        within(&server, |cx| cx.set_timer("key", SECOND * 2, inc())).await;
        let begin = Instant::now();
        tell(&server, job(|_| Ok(Next::Timeout(SECOND)))).await;
        until("its deadline is kept", || server.mailbox_len() == 0).await;
        from.move_to("moved", server.id(), &to).await;
        sleep(SECOND * 3 / 2).await;
        assert_eq!(*server.peek(), 100);
        sleep(SECOND).await;
        assert_eq!(*server.peek(), 101);
        sleep(SECOND).await;
        assert_eq!(*server.peek(), 102);
        assert_eq!(begin.elapsed(), SECOND * 7 / 2);
        sleep(HOUR).await;
        assert_eq!((*server.peek(), server.incarnation()), (102, 1));
    }
}

/// TR3: a back-off of its worker goes on as it was; the move is done at once.
#[tokio::test(start_paused = true)]
async fn a_worker_in_its_back_off_is_moved_at_once() {
    quiet();
    for (from, to) in pairs().await {
        let backoff = Backoff::exponential(SECOND * 10, SECOND * 10);
        let server = from.bear("moved", counter().backoff(backoff)).await;
        let begin = Instant::now();
        tell(&server, boom()).await;
        until("it is down", || server.status() == Status::Restarting).await;
        sleep(SECOND * 4).await;
        from.move_to("moved", server.id(), &to).await;
        assert_eq!(begin.elapsed(), SECOND * 4);
        assert_eq!(to.info(server.id()).status, Status::Restarting);
        serves(&server, 2).await;
        assert_eq!(begin.elapsed(), SECOND * 10);
    }
}

/// TR7: a worker that is busy for longer than any time limit is moved at once, and its callback goes on.
#[tokio::test(start_paused = true)]
async fn a_busy_worker_is_moved_at_once() {
    quiet();
    for (from, to) in pairs().await {
        let server = from.child("moved").await;
        let gate = held(&server).await;
        let begin = Instant::now();
        from.move_to("moved", server.id(), &to).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        from.stop().await;
        sleep(HOUR).await;
        gate.open();
        assert_eq!((ask(&server, add).await, server.incarnation()), (1, 1));
        let life = Life::new();
        let other = to.bear("other", life.clone().spec()).await;
        assert_eq!((other.call(|reply| reply).await.ok(), life.births()), (Some(1), 1));
    }
}
