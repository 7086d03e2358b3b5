//! What a supervisor counts, what the one death too many does, and what a restart by a parent begins with.

mod backoff;
mod kept;

use std::time::Duration;

use tokio::time::advance;
use undying::{
    ExitReason, Next, Registry, RestartPolicy, ServerSpec, Status, Strategy, Supervisor, SupervisorRef,
};

use super::{
    Faults, Kid, Log, SECOND, child, dies, fragile, ids, info, kid, noting, restarts, rise, settled, status,
    word,
};
use crate::{
    crash::script::{Script, add, ask, crash, job, serves, soon, stop, tell},
    support::{RACES, inject, until},
};

const WINDOW: Duration = Duration::from_secs(10);

/// A tree with one child, `x`, that is restarted so often within [`WINDOW`].
async fn limited(max: u32, policy: RestartPolicy, log: &Log) -> (SupervisorRef, Kid) {
    let tree = Supervisor::builder().max_restarts(max, WINDOW);
    let sup = rise(tree.child(child("x", log).restart(policy)).child(child("y", log))).await;
    log.take();
    let x = kid(&sup, "x");
    (sup, x)
}

/// The next death of `x` is one too many: it ends the supervisor.
async fn one_too_many(sup: &SupervisorRef, x: &Kid) {
    assert!(sup.is_alive());
    x.kill();
    assert_eq!(word(&soon(sup.stopped()).await), "limit");
    assert!(!x.is_alive() && !sup.is_alive() && sup.children().is_empty());
}

/// RI1: with a budget of N restarts a supervisor restarts N children, and ends with the next death.
#[tokio::test(start_paused = true)]
async fn the_death_beyond_the_budget_ends_the_supervisor() {
    for max in [0, 1, 3] {
        let log = Log::default();
        let (sup, x) = limited(max, RestartPolicy::Transient, &log).await;
        for n in 1..=u64::from(max) {
            dies(&x).await;
            assert_eq!((log.take(), restarts(&sup, "x")), (vec!["+x".into()], n));
        }
        one_too_many(&sup, &x).await;
        assert_eq!(log.take(), ["-y"]);
    }
}

/// RI1: what nothing was said about is restarted three times in 5 s, as in Elixir.
#[tokio::test(start_paused = true)]
async fn by_default_three_deaths_in_five_seconds_are_survived() {
    let log = Log::default();
    for pause in [SECOND, 2 * SECOND] {
        let sup = rise(Supervisor::builder().child(child("x", &log))).await;
        let x = kid(&sup, "x");
        for _ in 0..3 {
            dies(&x).await;
            advance(pause).await;
        }
        if pause == SECOND {
            one_too_many(&sup, &x).await;
        } else {
            dies(&x).await;
            assert!(sup.is_alive());
        }
    }
}

/// RI2: the window slides: deaths far enough apart never add up, and those on both sides of a multiple of it do.
#[tokio::test(start_paused = true)]
async fn the_window_of_a_supervisor_slides() {
    let log = Log::default();
    let (sup, x) = limited(1, RestartPolicy::Transient, &log).await;
    for _ in 0..50 {
        dies(&x).await;
        advance(WINDOW + SECOND / 1000).await;
    }
    assert_eq!(restarts(&sup, "x"), 50);
    advance(WINDOW * 8 / 10).await;
    dies(&x).await;
    advance(WINDOW * 4 / 10).await;
    one_too_many(&sup, &x).await;
}

both! {
    /// RI1: the deaths of all children are charged to one budget.
    async fn all_children_share_one_budget() {
        let log = Log::default();
        let (sup, x) = limited(2, RestartPolicy::Transient, &log).await;
        dies(&kid(&sup, "y")).await;
        dies(&x).await;
        let y = kid(&sup, "y");
        y.kill();
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
        assert_eq!(log.take(), ["+y", "+x", "-x"]);
    }

    /// RI7: however often the worker of a server crashes, it is only when the server gives up that its parent counts one.
    async fn an_escalation_is_one_death_for_the_parent() {
        let log = Log::default();
        let spec = child("x", &log).max_restarts(3, WINDOW);
        let sup = rise(Supervisor::builder().max_restarts(2, WINDOW).child(spec)).await;
        let x = kid(&sup, "x");
        for life in 1..=2 {
            let before = x.incarnation();
            for n in 1..=3 {
                crash(&x).await;
                serves(&x, before + n).await;
                assert_eq!(restarts(&sup, "x"), life - 1);
            }
            crash(&x).await;
            serves(&x, before + 4).await;
            settled(&sup).await;
            assert_eq!((status(&sup, "x"), restarts(&sup, "x")), (Some(Status::Running), life));
        }
        assert_eq!(log.take(), ["+x", "+x", "+x"]);
        for n in 1..=3 {
            crash(&x).await;
            serves(&x, 8 + 1 + n).await;
        }
        crash(&x).await;
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
    }

    /// RI7: a parent deals with an escalation as its policy for the child says.
    async fn an_escalation_is_dealt_with_by_the_policy() {
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            let log = Log::default();
            let spec = child("x", &log).max_restarts(0, WINDOW).restart(policy);
            let sup = rise(Supervisor::builder().max_restarts(1, WINDOW).child(spec)).await;
            let x = kid(&sup, "x");
            crash(&x).await;
            if policy == RestartPolicy::Temporary {
                until("it is forgotten", || info(&sup, "x").is_none()).await;
                assert!(!x.is_alive() && sup.is_alive());
            } else {
                serves(&x, 2).await;
                settled(&sup).await;
                assert_eq!(restarts(&sup, "x"), 1);
            }
        }
    }

    /// RI7: the supervisor that gives up says which crash was the last one, and stops the others in reverse order.
    async fn a_supervisor_that_gives_up_tells_of_the_last_crash() {
        let log = Log::default();
        let spec = child("x", &log).max_restarts(0, WINDOW);
        let tree = Supervisor::builder().max_restarts(1, WINDOW).child(child("a", &log)).child(spec);
        let sup = rise(tree.child(child("b", &log)).child(child("c", &log))).await;
        let x = kid(&sup, "x");
        log.take();
        for n in 1..=2 {
            tell(&x, job(move |_| panic!("test: crash {n}"))).await;
            if n == 1 {
                serves(&x, 2).await;
            }
        }
        match soon(sup.stopped()).await {
            ExitReason::RestartLimit(report) => assert_eq!(report.message(), "test: crash 2"),
            other => panic!("{other}"),
        }
        assert_eq!(log.take(), ["+x", "-c", "-b", "-a"]);
        assert_eq!(word(&soon(x.stopped()).await.reason), "limit");
    }

    /// RI3: a restart that fails is charged like the death before it: a budget of five is one start and five attempts.
    async fn restarts_that_fail_are_charged_to_the_supervisor() {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let (log, faults) = (Log::default(), Faults::default());
            let spec = ServerSpec::new(fragile("x", &log, &faults), 0).id("x");
            let tree = Supervisor::builder().strategy(strategy).max_restarts(5, WINDOW);
            let sup = rise(tree.child(spec)).await;
            faults.set(usize::MAX);
            let x = kid(&sup, "x");
            x.kill();
            assert_eq!(word(&soon(sup.stopped()).await), "limit");
            assert_eq!(log.take(), ["+x", "!x", "!x", "!x", "!x", "!x"], "{strategy:?}");
            assert!(!x.is_alive());
        }
    }

    /// RI3: a restart that fails and then does not is one restart more for the budget, and the child serves.
    async fn a_restart_that_fails_is_tried_again() {
        let (log, faults) = (Log::default(), Faults::default());
        let spec = ServerSpec::new(fragile("x", &log, &faults), 0).id("x");
        let sup = rise(Supervisor::builder().max_restarts(3, WINDOW).child(spec)).await;
        let x = kid(&sup, "x");
        faults.set(2);
        dies(&x).await;
        assert_eq!(ask(&x, add).await, 1);
        assert_eq!(log.take(), ["+x", "!x", "!x", "+x"]);
        one_too_many(&sup, &x).await;
    }

    /// ST4: a child that asks to be ignored when it is restarted is down, and that is no failure.
    async fn a_child_that_asks_to_be_ignored_when_restarted_is_down() {
        let (names, faults) = (Registry::new(), Faults::default());
        let shy = faults.clone();
        let script = Script::new().on_init(move |_| Ok(if shy.strike() { Next::Ignore } else { Next::Wait }));
        let tree = Supervisor::builder().max_restarts(1, WINDOW).strategy(Strategy::OneForAll);
        let tree = tree.child(ServerSpec::new(script, 0_u64).id("x").name_in(&names, "x"));
        let sup = rise(tree.child(child("y", &Log::default()))).await;
        let (x, y) = (kid(&sup, "x"), kid(&sup, "y"));
        faults.set(1);
        x.kill();
        serves(&y, 2).await;
        until("it is down", || status(&sup, "x") == Some(Status::Terminated)).await;
        assert!(!x.is_alive() && names.names().is_empty() && sup.is_alive());
        soon(sup.restart_child("x")).await.expect("it is down");
        assert_eq!(ask(&x, add).await, 1);
        assert_eq!(names.whereis::<Script<u64>>("x").expect("alive").id(), x.id());
    }

    /// RI3: a factory that panics is a restart that fails.
    async fn a_factory_that_panics_is_a_restart_that_fails() {
        let (log, faults) = (Log::default(), Faults::default());
        let (noted, broken) = (log.clone(), faults.clone());
        let factory = move || {
            if broken.strike() {
                noted.add("factory");
                inject();
            }
            noting("x", &noted)
        };
        let tree = Supervisor::builder().max_restarts(3, WINDOW);
        let sup = rise(tree.child(ServerSpec::from_fn(factory, 0).id("x"))).await;
        let x = kid(&sup, "x");
        faults.set(2);
        dies(&x).await;
        assert_eq!(log.take(), ["+x", "factory", "factory", "+x"]);
    }

    /// RI9: what is asked for is not charged: neither a restart by `restart_child` nor the end of a child that is done.
    async fn what_is_asked_for_is_not_charged() {
        let log = Log::default();
        let (sup, x) = limited(0, RestartPolicy::Transient, &log).await;
        for round in 0..RACES {
            if round % 2 == 0 {
                soon(sup.terminate_child("x")).await.expect("a child");
            } else {
                stop(&x).await;
                until("it is down", || status(&sup, "x") == Some(Status::Terminated)).await;
            }
            soon(sup.restart_child("x")).await.expect("it is down");
            assert_eq!(ask(&x, add).await, 1);
        }
        one_too_many(&sup, &x).await;
    }

    /// RI9: a normal end of a permanent child is charged.
    async fn the_normal_end_of_a_permanent_child_is_charged() {
        let log = Log::default();
        let (sup, x) = limited(2, RestartPolicy::Permanent, &log).await;
        for life in 2..=3 {
            stop(&x).await;
            serves(&x, life).await;
        }
        stop(&x).await;
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
        assert_eq!(log.take(), ["-x", "+x", "-x", "+x", "-x", "-y"]);
    }

    /// RI9: nor is the death of a temporary child charged, or that of a bystander.
    async fn the_end_of_a_temporary_child_is_not_charged() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().max_restarts(0, WINDOW).child(child("y", &log))).await;
        for _ in 0..20 {
            let guest = child("guest", &log).restart(RestartPolicy::Temporary);
            soon(sup.start_child(guest)).await.expect("it starts");
            kid(&sup, "guest").kill();
            until("it is forgotten", || ids(&sup) == ["y"]).await;
        }
        assert!(sup.is_alive());
    }

    /// RI6: after the end by the limit all names are free, and the tree can be started again.
    async fn names_are_free_after_the_limit() {
        let names = Registry::new();
        for _ in 0..20 {
            let log = Log::default();
            let children = ["a", "b"].map(|id| child(id, &log).name_in(&names, id));
            let tree = Supervisor::builder().max_restarts(0, WINDOW);
            let sup = rise(children.into_iter().fold(tree, Supervisor::child)).await;
            names.whereis::<Script<u64>>("b").expect("alive").kill();
            assert_eq!(word(&soon(sup.stopped()).await), "limit");
            assert!(names.names().is_empty());
        }
    }
}
