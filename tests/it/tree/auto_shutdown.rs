//! Children whose end is the end of their supervisor.

use undying::{
    AutoShutdown, ChildError, ChildSpec, ExitReason, RestartPolicy, ServerSpec, StartError, Status, Strategy,
    Supervisor, SupervisorRef,
};

use super::{Log, child, dies, ids, kid, rise, settled, status, word};
use crate::{
    crash::script::{Script, add, ask, soon, stop},
    support::until,
};

/// Two significant children, `a` and `b`, and one that is not, between them.
async fn family(auto_shutdown: AutoShutdown, policy: RestartPolicy, log: &Log) -> SupervisorRef {
    let significant = |id| child(id, log).significant(true).restart(policy);
    let tree = Supervisor::builder().auto_shutdown(auto_shutdown);
    let sup = rise(tree.child(significant("a")).child(child("x", log)).child(significant("b"))).await;
    log.take();
    sup
}

/// The supervisor ends by itself with the reason `Shutdown`.
async fn ends(sup: &SupervisorRef) {
    assert_eq!(word(&soon(sup.stopped()).await), "shutdown");
    assert!(!sup.is_alive() && sup.children().is_empty());
}

/// The supervisor has dealt with all that has happened so far, and it lives.
async fn lives(sup: &SupervisorRef) {
    assert_eq!(ask(&kid(sup, "x"), add).await, 1);
    soon(sup.terminate_child("x")).await.expect("it takes requests");
    soon(sup.restart_child("x")).await.expect("it takes requests");
    assert!(sup.is_alive());
}

async fn down(sup: &SupervisorRef, id: &str) {
    until("it is down", || status(sup, id).is_none_or(|status| status == Status::Terminated)).await;
}

both! {
    /// SG7: with any: the end of one significant child is the end of the supervisor, which stops the others in reverse order.
    async fn any_significant_end_is_the_end() {
        let log = Log::default();
        let sup = family(AutoShutdown::AnySignificant, RestartPolicy::Transient, &log).await;
        stop(&kid(&sup, "a")).await;
        ends(&sup).await;
        assert_eq!(log.take(), ["-a", "-b", "-x"]);
    }

    /// SG7: with any: an abnormal end counts, too, if it is not followed by a restart.
    async fn the_death_of_a_temporary_significant_child_is_the_end() {
        let log = Log::default();
        let sup = family(AutoShutdown::AnySignificant, RestartPolicy::Temporary, &log).await;
        kid(&sup, "b").kill();
        ends(&sup).await;
        assert_eq!(log.take(), ["-x", "-a"]);
    }

    /// SG7: a significant child that is restarted has not ended.
    async fn a_restart_of_a_significant_child_is_no_end() {
        for auto_shutdown in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            let log = Log::default();
            let sup = family(auto_shutdown, RestartPolicy::Transient, &log).await;
            dies(&kid(&sup, "a")).await;
            dies(&kid(&sup, "b")).await;
            lives(&sup).await;
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG7: with all: the supervisor ends with the last significant child, not before.
    async fn the_last_significant_end_is_the_end() {
        for policy in [RestartPolicy::Transient, RestartPolicy::Temporary] {
            let log = Log::default();
            let sup = family(AutoShutdown::AllSignificant, policy, &log).await;
            let b = kid(&sup, "b");
            stop(&kid(&sup, "a")).await;
            down(&sup, "a").await;
            lives(&sup).await;
            log.take();
            stop(&b).await;
            ends(&sup).await;
            assert_eq!(log.take(), ["-b", "-x"]);
        }
    }

    /// SG7: the end of a child that is not significant concerns nobody.
    async fn an_insignificant_end_is_no_end() {
        for auto_shutdown in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            let log = Log::default();
            let sup = family(auto_shutdown, RestartPolicy::Transient, &log).await;
            stop(&kid(&sup, "x")).await;
            down(&sup, "x").await;
            soon(sup.restart_child("x")).await.expect("it takes requests");
            lives(&sup).await;
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG7: a significant child that is told to go by `terminate_child` does not take its supervisor with it.
    async fn a_terminated_child_does_not_end_its_supervisor() {
        for (auto_shutdown, policy) in [
            (AutoShutdown::AnySignificant, RestartPolicy::Transient),
            (AutoShutdown::AnySignificant, RestartPolicy::Temporary),
            (AutoShutdown::AllSignificant, RestartPolicy::Transient),
        ] {
            let log = Log::default();
            let sup = family(auto_shutdown, policy, &log).await;
            for id in ["a", "b"] {
                soon(sup.terminate_child(id)).await.expect("a child");
            }
            lives(&sup).await;
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG7: with all: one that was told to go is not waited for: the end of the last one that ran is the end.
    async fn a_terminated_child_is_not_waited_for() {
        let log = Log::default();
        let sup = family(AutoShutdown::AllSignificant, RestartPolicy::Transient, &log).await;
        soon(sup.terminate_child("a")).await.expect("a child");
        stop(&kid(&sup, "b")).await;
        ends(&sup).await;
    }

    /// SG7: a significant child that is stopped because another one has died does not take its supervisor with it.
    async fn a_significant_bystander_does_not_end_its_supervisor() {
        for (strategy, policy) in [
            (Strategy::OneForAll, RestartPolicy::Transient),
            (Strategy::OneForAll, RestartPolicy::Temporary),
            (Strategy::RestForOne, RestartPolicy::Transient),
            (Strategy::RestForOne, RestartPolicy::Temporary),
        ] {
            let log = Log::default();
            let sup = rise(
                Supervisor::builder()
                    .strategy(strategy)
                    .auto_shutdown(AutoShutdown::AnySignificant)
                    .child(child("x", &log))
                    .child(child("a", &log).significant(true).restart(policy)),
            )
            .await;
            dies(&kid(&sup, "x")).await;
            settled(&sup).await;
            assert_eq!(ids(&sup).len(), if policy == RestartPolicy::Temporary { 1 } else { 2 });
            lives(&sup).await;
            soon(sup.stop()).await.expect("it stops");
        }
    }

    /// SG7: a significant child that starts later, and a significant task, count like any other.
    async fn a_significant_child_that_came_later_counts() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().auto_shutdown(AutoShutdown::AnySignificant)).await;
        soon(sup.start_child(child("late", &log).significant(true))).await.expect("it starts");
        stop(&kid(&sup, "late")).await;
        ends(&sup).await;

        let task = ChildSpec::task("task", || async {}).significant(true);
        let sup = rise(Supervisor::builder().auto_shutdown(AutoShutdown::AllSignificant).child(task)).await;
        ends(&sup).await;
    }

    /// SG8: an inner supervisor that ends by itself ends the outer one only if it is significant there.
    async fn an_inner_supervisor_ends_the_outer_one_if_it_is_significant() {
        for significant in [true, false] {
            let log = Log::default();
            let inner = Supervisor::builder()
                .id("inner")
                .auto_shutdown(AutoShutdown::AnySignificant)
                .significant(significant)
                .child(child("a", &log).significant(true))
                .child(child("b", &log));
            let outer = rise(
                Supervisor::builder()
                    .auto_shutdown(AutoShutdown::AnySignificant)
                    .child(child("x", &log))
                    .child(inner),
            )
            .await;
            log.take();
            let inner = outer.supervisor("inner").expect("a supervisor");
            stop(&kid(&inner, "a")).await;
            ends(&inner).await;
            if significant {
                ends(&outer).await;
                assert_eq!(log.take(), ["-a", "-b", "-x"]);
            } else {
                // Its end was a shutdown, after which a transient child is not restarted.
                down(&outer, "inner").await;
                assert_eq!(ids(&outer), ["x", "inner"]);
                lives(&outer).await;
                soon(outer.stop()).await.expect("it stops");
            }
        }
    }

    /// SG9: a significant child where no auto-shutdown is wanted, or one that is permanent, is refused before anything starts.
    async fn a_significant_child_that_makes_no_sense_is_refused() {
        let log = Log::default();
        let (never, any, all) =
            (AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant);
        let permanent = RestartPolicy::Permanent;
        let odd_ones = [
            (never, RestartPolicy::Transient),
            (never, RestartPolicy::Temporary),
            (never, permanent),
            (any, permanent),
            (all, permanent),
        ];
        for (auto_shutdown, policy) in odd_ones {
            let server = || ChildSpec::from(child("odd", &log).significant(true).restart(policy));
            let below = || {
                let tree = Supervisor::builder().id("odd").significant(true).restart(policy);
                ChildSpec::from(tree.child(child("y", &log)))
            };
            let task = || ChildSpec::task("odd", || async {}).significant(true).restart(policy);
            for odd in [server(), below(), task()] {
                let tree = Supervisor::builder().auto_shutdown(auto_shutdown).child(child("x", &log));
                // The same a floor deeper.
                let nested = Supervisor::builder().child(child("x", &log)).child(tree.id("inner").child(odd));
                refused(soon(nested.start()).await);
            }
            for odd in [server(), below(), task()] {
                let tree = Supervisor::builder().auto_shutdown(auto_shutdown).child(child("x", &log));
                refused(soon(tree.child(odd).start()).await);
            }
            assert!(log.take().is_empty());
            let sup = rise(Supervisor::builder().auto_shutdown(auto_shutdown).child(child("x", &log))).await;
            for odd in [server(), below(), task()] {
                let refusal = soon(sup.start_child(odd)).await;
                let Err(ChildError::Start(StartError::Config(text))) = refusal else { panic!("{refusal:?}") };
                assert!(text.contains("odd"), "{text}");
            }
            assert_eq!(ids(&sup), ["x"]);
            soon(sup.stop()).await.expect("it stops");
            assert_eq!(log.take(), ["+x", "-x"]);
        }
    }

    /// SG9 ST11: a server on its own cannot be significant and permanent, either.
    async fn a_significant_permanent_server_is_refused() {
        let spec =
            ServerSpec::new(Script::<u64>::new(), 0).significant(true).restart(RestartPolicy::Permanent);
        let refusal = soon(spec.start()).await;
        assert!(matches!(refusal, Err(StartError::Config(_))), "{refusal:?}");
    }

    /// SG7: with never, which is the default, a supervisor outlives all its children.
    async fn by_default_a_supervisor_outlives_its_children() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().child(child("x", &log)).child(child("y", &log))).await;
        for id in ["x", "y"] {
            kid(&sup, id).stop_with(ExitReason::Shutdown).await.expect("it stops");
            down(&sup, id).await;
        }
        soon(sup.restart_child("x")).await.expect("it takes requests");
        lives(&sup).await;
    }
}

fn refused(start: Result<SupervisorRef, StartError>) {
    match start {
        Err(StartError::Config(text)) => assert!(text.contains("odd"), "{text}"),
        other => panic!("{other:?}"),
    }
}
