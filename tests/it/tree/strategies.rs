//! Who else is restarted when a child dies, and whether it is itself.

use undying::{ExitReason, Next, RestartPolicy, ServerSpec, Status, Strategy, Supervisor, SupervisorRef};

use super::{
    Faults, Kid, Log, SECOND, answers, child, dies, fragile, ids, info, kid, noting, restarts, rise, settled,
    status, word,
};
use crate::{
    crash::script::{Script, add, ask, crash, get, look, serves, soon, stop},
    support::{RACES, until},
};

const ALL: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

/// Four children that note their starts and ends, already started and noted.
async fn family(strategy: Strategy, log: &Log) -> SupervisorRef {
    let tree = Supervisor::builder().strategy(strategy).max_restarts(100, 5 * SECOND);
    let sup = rise(["a", "b", "c", "d"].iter().fold(tree, |tree, id| tree.child(child(id, log)))).await;
    assert_eq!(log.take(), ["+a", "+b", "+c", "+d"]);
    sup
}

/// Kills each child in turn, and shows what that stops and starts, and whose state it takes.
async fn deaths(strategy: Strategy, cases: [(&str, &[&str]); 4]) {
    let log = Log::default();
    let sup = family(strategy, &log).await;
    for (victim, expected) in cases {
        let mut kept = Vec::new();
        for id in ids(&sup) {
            let server = kid(&sup, &id);
            kept.push((id, server.incarnation(), ask(&server, add).await));
        }
        let counted = restarts(&sup, victim);
        dies(&kid(&sup, victim)).await;
        settled(&sup).await;
        assert_eq!(log.take(), expected, "{victim} of {strategy:?}");
        assert_eq!(restarts(&sup, victim), counted + 1);
        for (id, incarnation, state) in kept {
            let (server, reborn) = (kid(&sup, &id), expected.contains(&&*format!("+{id}")));
            assert_eq!(server.incarnation(), incarnation + u64::from(reborn), "{id} when {victim} died");
            assert_eq!(ask(&server, get).await, if reborn { 0 } else { state }, "{id} when {victim} died");
        }
    }
    soon(sup.stop()).await.expect("it stops");
}

both! {
    /// SG1: one for one: a child that dies is restarted, and nobody else hears of it.
    async fn one_for_one_restarts_the_child_that_died() {
        deaths(Strategy::OneForOne, [("a", &["+a"]), ("b", &["+b"]), ("c", &["+c"]), ("d", &["+d"])]).await;
    }

    /// SG2 SH1: one for all: the others are stopped in reverse order, and all are started in order.
    async fn one_for_all_restarts_them_all() {
        let all = ["+a", "+b", "+c", "+d"];
        deaths(
            Strategy::OneForAll,
            [
                ("a", &[&["-d", "-c", "-b"][..], &all].concat()),
                ("b", &[&["-d", "-c", "-a"][..], &all].concat()),
                ("c", &[&["-d", "-b", "-a"][..], &all].concat()),
                ("d", &[&["-c", "-b", "-a"][..], &all].concat()),
            ],
        )
        .await;
    }

    /// SG3 SH1: rest for one: those after it are stopped in reverse order, and all from it on are started in order.
    async fn rest_for_one_restarts_what_comes_after() {
        deaths(
            Strategy::RestForOne,
            [
                ("a", &["-d", "-c", "-b", "+a", "+b", "+c", "+d"]),
                ("b", &["-d", "-c", "+b", "+c", "+d"]),
                ("c", &["-d", "+c", "+d"]),
                ("d", &["+d"]),
            ],
        )
        .await;
    }

    /// SG1 SG2 SG3: children that die together, also while they are being started again, all come back.
    async fn children_that_die_together_all_come_back() {
        for strategy in ALL {
            let log = Log::default();
            let tree = Supervisor::builder().strategy(strategy).max_restarts(u32::MAX, 5 * SECOND);
            let sup = rise(["a", "b", "c"].iter().fold(tree, |tree, id| tree.child(child(id, &log)))).await;
            let kids: Vec<Kid> = ids(&sup).iter().map(|id| kid(&sup, id)).collect();
            for round in 0..RACES {
                for n in 0..3 {
                    kids[(round + n) % 3].kill();
                }
                for server in &kids {
                    answers(server).await;
                }
            }
            settled(&sup).await;
            assert_eq!(ids(&sup), ["a", "b", "c"]);
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG4: one for all: a child that fails to start during the restart has those before it stopped again, and all are tried
    /// again.
    async fn one_for_all_tries_the_group_again() {
        let (log, faults) = (Log::default(), Faults::default());
        let sup = rise(
            Supervisor::builder()
                .strategy(Strategy::OneForAll)
                .child(child("a", &log))
                .child(child("b", &log))
                .child(ServerSpec::new(fragile("c", &log, &faults), 0).id("c"))
                .child(child("d", &log)),
        )
        .await;
        log.take();
        faults.set(2);
        dies(&kid(&sup, "a")).await;
        settled(&sup).await;
        assert_eq!(
            log.take(),
            [
                "-d", "-c", "-b", // a has died
                "+a", "+b", "!c", "-b", "-a", //
                "+a", "+b", "!c", "-b", "-a", //
                "+a", "+b", "+c", "+d",
            ]
        );
        // The death and the two failed attempts: one more is too many.
        kid(&sup, "d").kill();
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
    }

    /// SG4: rest for one: if a child fails to start during the restart, only it and those after it are tried again.
    async fn rest_for_one_tries_the_rest_again() {
        let (log, faults) = (Log::default(), Faults::default());
        let sup = rise(
            Supervisor::builder()
                .strategy(Strategy::RestForOne)
                .child(child("a", &log))
                .child(child("b", &log))
                .child(ServerSpec::new(fragile("c", &log, &faults), 0).id("c"))
                .child(child("d", &log)),
        )
        .await;
        log.take();
        faults.set(2);
        dies(&kid(&sup, "b")).await;
        settled(&sup).await;
        assert_eq!(log.take(), ["-d", "-c", "+b", "!c", "!c", "+c", "+d"]);
        kid(&sup, "d").kill();
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
    }

    /// SG4 RI3: a group that cannot be restarted is tried as often as the budget allows, and then all of it is stopped.
    async fn a_group_that_cannot_be_restarted_is_given_up() {
        let (log, faults) = (Log::default(), Faults::default());
        let sup = rise(
            Supervisor::builder()
                .strategy(Strategy::OneForAll)
                .max_restarts(2, 5 * SECOND)
                .child(child("a", &log))
                .child(ServerSpec::new(fragile("b", &log, &faults), 0).id("b")),
        )
        .await;
        log.take();
        faults.set(usize::MAX);
        let (a, b) = (kid(&sup, "a"), kid(&sup, "b"));
        a.kill();
        assert_eq!(word(&soon(sup.stopped()).await), "limit");
        // One attempt for the death, one for the attempt that failed; the third charge is one too many.
        assert_eq!(log.take(), ["-b", "+a", "!b", "-a", "+a", "!b", "-a"]);
        assert!(!a.is_alive() && !b.is_alive());
    }

    /// SG2 SG3: a restart of the group also starts those that were down.
    async fn a_restart_of_the_group_starts_those_that_were_down() {
        for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
            let log = Log::default();
            let sup = family(strategy, &log).await;
            // One that is done, and one that was told to go: both are down, and listed.
            stop(&kid(&sup, "c")).await;
            until("it is down", || status(&sup, "c") == Some(Status::Terminated)).await;
            soon(sup.terminate_child("d")).await.expect("a child");
            assert_eq!(log.take(), ["-c", "-d"]);
            dies(&kid(&sup, "a")).await;
            settled(&sup).await;
            assert_eq!(log.take(), ["-b", "+a", "+b", "+c", "+d"], "{strategy:?}");
            assert_eq!(ask(&kid(&sup, "c"), get).await, 0);
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG6: a temporary bystander is stopped with the others, and neither started again nor listed.
    async fn a_temporary_bystander_is_stopped_and_forgotten() {
        for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
            let log = Log::default();
            let sup = rise(
                Supervisor::builder()
                    .strategy(strategy)
                    .child(child("a", &log))
                    .child(child("guest", &log).restart(RestartPolicy::Temporary))
                    .child(child("c", &log)),
            )
            .await;
            log.take();
            let guest = kid(&sup, "guest");
            dies(&kid(&sup, "a")).await;
            settled(&sup).await;
            assert_eq!(log.take(), ["-c", "-guest", "+a", "+c"], "{strategy:?}");
            assert_eq!(ids(&sup), ["a", "c"]);
            assert!(!guest.is_alive());
            assert_eq!(word(&soon(guest.stopped()).await.reason), "shutdown");
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG6: rest for one leaves a temporary child alone that comes before the one that died.
    async fn a_temporary_child_before_the_dead_one_is_left_alone() {
        let log = Log::default();
        let sup = rise(
            Supervisor::builder()
                .strategy(Strategy::RestForOne)
                .child(child("guest", &log).restart(RestartPolicy::Temporary))
                .child(child("b", &log)),
        )
        .await;
        dies(&kid(&sup, "b")).await;
        assert_eq!(log.take(), ["+guest", "+b", "+b"]);
        assert_eq!(status(&sup, "guest"), Some(Status::Running));
    }

    /// SG5 SG6: the death of a temporary child concerns nobody else, whatever the strategy.
    async fn the_death_of_a_temporary_child_restarts_nobody() {
        for strategy in ALL {
            let log = Log::default();
            let sup = rise(
                Supervisor::builder()
                    .strategy(strategy)
                    .max_restarts(0, 5 * SECOND)
                    .child(child("guest", &log).restart(RestartPolicy::Temporary))
                    .child(child("b", &log)),
            )
            .await;
            log.take();
            kid(&sup, "guest").kill();
            until("it is forgotten", || ids(&sup) == ["b"]).await;
            assert_eq!(ask(&kid(&sup, "b"), add).await, 1);
            assert!(log.take().is_empty() && sup.is_alive());
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG10: whatever the strategy, a crash of a worker is not the death of its server: the state is kept, nobody else hears.
    async fn a_crash_of_a_worker_is_not_a_death() {
        for strategy in ALL {
            let log = Log::default();
            let sup = family(strategy, &log).await;
            for id in ids(&sup) {
                let server = kid(&sup, &id);
                assert_eq!(ask(&server, add).await, 1);
                crash(&server).await;
                serves(&server, 2).await;
                server.kill_worker();
                serves(&server, 3).await;
                assert_eq!(ask(&server, get).await, 1, "{id} of {strategy:?}");
                assert_eq!((status(&sup, &id), restarts(&sup, &id)), (Some(Status::Running), 0));
            }
            assert!(log.take().is_empty());
            soon(sup.stop()).await.expect("it stops");
        }
    }
}

/// A way for a child to end, the word for its reason, and whether that is abnormal.
type End = (&'static str, bool, fn(&Kid));

const ENDS: [End; 7] = [
    ("normal", false, |kid| request_stop(kid, ExitReason::Normal)),
    ("shutdown", false, |kid| request_stop(kid, ExitReason::Shutdown)),
    ("shutdown with", false, |kid| request_stop(kid, ExitReason::ShutdownWith("lunch".into()))),
    ("shutdown", false, |kid| {
        kid.try_cast(look(|_| Ok(Next::Stop(ExitReason::Shutdown)))).expect("room");
    }),
    ("crashed", true, |kid| request_stop(kid, ExitReason::error("test: fire"))),
    ("killed", true, Kid::kill),
    ("limit", true, Kid::kill_worker),
];

fn request_stop(server: &Kid, reason: ExitReason) {
    let server = server.clone();
    tokio::spawn(async move { server.stop_with(reason).await });
}

both! {
    /// SG5: a permanent child is restarted whatever its end, a transient one after an abnormal end, a temporary one never.
    async fn the_policy_decides_whether_a_child_is_restarted() {
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            for (reason, abnormal, end) in ENDS {
                let case = format!("{policy:?} after {reason}");
                let log = Log::default();
                let spec =
                    ServerSpec::new(noting("x", &log), 7).id("x").restart(policy).max_restarts(0, SECOND);
                let sup = rise(Supervisor::builder().child(spec).child(child("y", &log))).await;
                log.take();
                let server = kid(&sup, "x");
                let monitor = server.monitor();
                end(&server);
                assert_eq!(word(&soon(monitor).await.reason), reason, "{case}");
                match policy {
                    RestartPolicy::Permanent => serves(&server, 2).await,
                    RestartPolicy::Transient if abnormal => serves(&server, 2).await,
                    RestartPolicy::Transient => {
                        until("it is down", || status(&sup, "x") == Some(Status::Terminated)).await;
                    }
                    _ => until("it is forgotten", || info(&sup, "x").is_none()).await,
                }
                let again = server.is_alive();
                assert_eq!(again, server.incarnation() == 2, "{case}");
                assert_eq!(log.take().contains(&"+x".to_owned()), again, "{case}");
                if again {
                    settled(&sup).await;
                    assert_eq!(
                        (status(&sup, "x"), restarts(&sup, "x")),
                        (Some(Status::Running), 1),
                        "{case}"
                    );
                    assert_eq!(ask(&server, get).await, 7, "{case}");
                } else {
                    assert!(sup.server::<Script<u64>>("x").is_none_or(|x| !x.is_alive()), "{case}");
                }
                assert_eq!(kid(&sup, "y").incarnation(), 1, "{case}");
                soon(sup.stop()).await.expect("it stops");
            }
        }
    }
}
