//! Who may end a tree, how often, and what is left when its handles are dropped.

use std::sync::{Arc, Weak};

use futures::future::join_all;
use undying::{
    CallError, ChildSpec, ExitReason, Next, Registry, Reply, RestartPolicy, ServerSpec, Shutdown, StopError,
    Strategy, Supervisor, SupervisorRef,
};

use super::super::{Log, SECOND, child, dies, kid, rise, word};
use crate::{
    crash::script::{Script, add, ask, asked, boom, inc, slow, soon, tell, wait_at},
    support::{Gate, RACES, until},
};

/// A tree of two floors that holds on to a token as long as anything of it is left.
async fn held(names: &Registry) -> (SupervisorRef, Weak<()>) {
    let token = Arc::new(());
    let trace = Arc::downgrade(&token);
    let script = || {
        let token = token.clone();
        Script::<u64>::new().on_terminate(move |_, _| drop(token.clone()))
    };
    let task_token = token.clone();
    let task = ChildSpec::task("task", move || {
        let token = task_token.clone();
        async move {
            std::future::pending::<()>().await;
            drop(token);
        }
    });
    let inner = Supervisor::builder()
        .id("inner")
        .child(ServerSpec::new(script(), 0).id("x").name_in(names, "x"))
        .child(task);
    let a = ServerSpec::new(script(), 0).id("a").name_in(names, "a");
    (rise(Supervisor::builder().child(a).child(inner)).await, trace)
}

both! {
    /// SP1: a second stop finds nobody; an earlier handle still knows the reason.
    async fn a_second_stop_finds_nobody() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().child(child("a", &log))).await;
        let early = tokio::spawn({
            let sup = sup.clone();
            async move { sup.stopped().await }
        });
        assert_eq!(word(&soon(sup.stop()).await.expect("it stops")), "normal");
        for _ in 0..2 {
            let again = soon(sup.stop()).await;
            assert!(matches!(again, Err(StopError::NoProc)), "{again:?}");
        }
        assert_eq!(word(&soon(early).await.expect("joined")), "normal");
        assert_eq!(word(&soon(sup.stopped()).await), "normal");
    }

    /// SP13: of several stops at once all return, and each child terminates once.
    async fn stops_at_the_same_time_all_return() {
        for _ in 0..RACES {
            let log = Log::default();
            let sup = rise(Supervisor::builder().child(child("a", &log)).child(child("b", &log))).await;
            log.take();
            let stops = (0..4).map(|_| {
                let sup = sup.clone();
                tokio::spawn(async move { sup.stop().await })
            });
            let ends: Vec<_> =
                soon(join_all(stops)).await.into_iter().map(|end| end.expect("joined")).collect();
            assert!(ends.iter().any(Result::is_ok), "{ends:?}");
            for end in ends {
                assert!(matches!(end, Ok(ExitReason::Normal) | Err(StopError::NoProc)), "{end:?}");
            }
            assert_eq!(log.take(), ["-b", "-a"]);
        }
    }

    /// SP5: a callback cannot wait for the end of a supervisor above its server, which would wait for the callback.
    async fn a_callback_cannot_stop_what_is_above_it() {
        let log = Log::default();
        let inner = Supervisor::builder().id("inner").child(child("x", &log));
        let outer = rise(Supervisor::builder().child(inner).child(child("y", &log))).await;
        let inner = outer.supervisor("inner").expect("a child");
        let stop = |sup: &SupervisorRef| {
            let sup = sup.clone();
            move |reply: Reply<Result<(), StopError>>| {
                slow(move |_, _| {
                    Box::pin(async move {
                        reply.send(sup.stop().await.map(|_| ()));
                        Ok(Next::Wait)
                    })
                })
            }
        };
        for sup in [&inner, &outer] {
            let refused = ask(&kid(&inner, "x"), stop(sup)).await;
            assert!(matches!(refused, Err(StopError::CallingSelf)), "{refused:?}");
        }
        assert!(outer.is_alive() && inner.is_alive());
        assert_eq!(ask(&kid(&inner, "x"), add).await, 1);
        // What is not above it, it can.
        let stopped = ask(&kid(&outer, "y"), stop(&inner)).await;
        assert!(stopped.is_ok(), "{stopped:?}");
        assert!(!inner.is_alive() && outer.is_alive());
    }

    /// SH3 SP9: a kill ends all that is below at once, and nothing terminates.
    async fn a_kill_ends_everything_below_without_terminate() {
        for _ in 0..RACES {
            let (log, names) = (Log::default(), Registry::new());
            let inner = Supervisor::builder().id("inner").child(child("x", &log).name_in(&names, "x"));
            let outer = rise(
                Supervisor::builder()
                    .child(child("a", &log).shutdown(Shutdown::Infinity).restart(RestartPolicy::Permanent))
                    .child(inner),
            )
            .await;
            let (a, inner) = (kid(&outer, "a"), outer.supervisor("inner").expect("a child"));
            let (x, gate) = (kid(&inner, "x"), Gate::new());
            // One is in a callback that nobody lets go on.
            tell(&a, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            log.take();
            outer.kill();
            assert_eq!(word(&soon(outer.stopped()).await), "killed");
            assert_eq!(word(&soon(inner.stopped()).await), "killed");
            for server in [a, x] {
                assert_eq!(word(&soon(server.stopped()).await.reason), "killed");
            }
            assert!(log.take().is_empty() && names.names().is_empty());
            assert!(matches!(soon(outer.stop()).await, Err(StopError::NoProc)));
        }
    }

    /// SH8: dropping the handles of a tree stops nothing: its children are served and restarted as ever.
    async fn a_tree_outlives_its_handles() {
        let names = Registry::new();
        let (sup, trace) = held(&names).await;
        drop(sup);
        let x = names.whereis::<Script<u64>>("x").expect("alive");
        dies(&x).await;
        assert_eq!(ask(&x, add).await, 1);
        assert!(trace.strong_count() > 0);
    }

    /// SH8: the drop of a guard shuts the whole tree down, and nothing of it is left.
    async fn the_drop_of_a_guard_leaves_nothing() {
        let names = Registry::new();
        for _ in 0..RACES {
            let (sup, trace) = held(&names).await;
            let watched = sup.clone();
            let guard = sup.into_guard();
            assert!(guard.is_alive());
            assert_eq!(guard.children().len(), 2);
            drop(guard);
            assert_eq!(word(&soon(watched.stopped()).await), "shutdown");
            assert!(names.names().is_empty());
            drop(watched);
            until("nothing is held any more", || trace.strong_count() == 0).await;
        }
    }

    /// SH8: a guard that lets go of its tree leaves it running.
    async fn a_guard_can_let_go() {
        let names = Registry::new();
        let (sup, _) = held(&names).await;
        let sup = sup.into_guard().release();
        let x = names.whereis::<Script<u64>>("x").expect("alive");
        assert_eq!(ask(&x, add).await, 1);
        assert!(sup.is_alive());
    }

    /// SH8: after a stop and after a kill nothing of a tree is left, its tasks included.
    async fn nothing_of_a_tree_is_left_after_its_end() {
        let names = Registry::new();
        for round in 0..RACES {
            let (sup, trace) = held(&names).await;
            if round % 2 == 0 {
                soon(sup.stop()).await.expect("it stops");
            } else {
                sup.kill();
                soon(sup.stopped()).await;
            }
            assert!(names.names().is_empty());
            drop(sup);
            until("nothing is held any more", || trace.strong_count() == 0).await;
        }
    }

    /// SP13: a stop ends a tree whose children die all the time, too, and none comes back after it.
    async fn a_stop_ends_a_tree_in_the_middle_of_restarts() {
        let names = Registry::new();
        for _ in 0..RACES {
            let log = Log::default();
            let tree = Supervisor::builder()
                .strategy(Strategy::OneForAll)
                .max_restarts(u32::MAX, SECOND)
                .child(child("a", &log).name_in(&names, "a"))
                .child(child("b", &log).name_in(&names, "b"));
            let sup = rise(tree).await;
            let (a, b) = (kid(&sup, "a"), kid(&sup, "b"));
            let killer = tokio::spawn({
                let (a, b) = (a.clone(), b.clone());
                async move {
                    while a.is_alive() || b.is_alive() {
                        a.kill();
                        b.kill();
                        tokio::task::yield_now().await;
                    }
                }
            });
            tokio::task::yield_now().await;
            soon(sup.stop()).await.expect("it stops");
            assert!(!a.is_alive() && !b.is_alive() && names.names().is_empty());
            soon(killer).await.expect("done");
        }
    }

    /// K13: callers who wait when a tree is killed or stopped learn the reason, and none hangs.
    async fn whoever_waits_is_answered_at_the_end_of_a_tree() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().child(child("a", &log))).await;
        let (a, gate) = (kid(&sup, "a"), Gate::new());
        tell(&a, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        let queued = tokio::spawn({
            let a = a.clone();
            async move { a.call(asked(boom())).no_timeout().await }
        });
        until("it is queued", || a.mailbox_len() == 1).await;
        sup.kill();
        let end = soon(queued).await.expect("joined");
        assert!(matches!(end, Err(CallError::Stopped(ExitReason::Killed))), "{end:?}");
        assert!(a.try_cast(inc()).is_err());
    }
}
