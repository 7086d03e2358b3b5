//! Who is told that a life is over, although another one follows.

use std::pin::pin;

use futures::poll;
use tokio::sync::mpsc;
use undying::{
    Down, ExitReason, Next, Reply, RestartPolicy, ServerSpec, Status, Strategy, Supervisor, SupervisorRef,
};

use super::{
    super::{Kid, Log, SECOND, child, dies, kid, rise, word},
    Family, HOLDS,
};
use crate::{
    crash::{
        script::{Script, add, ask, get, inc, job, look, serves, slow, soon, start, stop, tell},
        tape::{Event, tape},
    },
    support::{Gate, inject},
};

/// A child, `x`, of a supervisor that forgives everything, and the supervisor.
async fn only(spec: ServerSpec<Script<u64>>) -> (SupervisorRef, Kid) {
    let sup = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(spec.id("x"))).await;
    let x = kid(&sup, "x");
    (sup, x)
}

/// Has `watcher` monitor `server`, and gives what it is told.
async fn watched(watcher: &Kid, server: &Kid) -> mpsc::UnboundedReceiver<Down> {
    let (tell_it, told) = mpsc::unbounded_channel();
    let server = server.clone();
    ask(watcher, move |reply: Reply<()>| {
        slow(move |_, cx| {
            cx.monitor(&server, move |down| {
                look(move |_| {
                    tell_it.send(down)?;
                    Ok(Next::Wait)
                })
            });
            reply.send(());
            Box::pin(async { Ok(Next::Wait) })
        })
    })
    .await;
    told
}

both! {
    /// LM1: each monitor tells of the end of the life in which it was set, once, with its reason, and not of a later one.
    async fn each_monitor_tells_of_one_life() {
        let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
        for life in 1..=20 {
            let monitors = [x.monitor(), x.monitor()];
            if life % 2 == 0 {
                x.kill();
            } else {
                let error = ExitReason::error(format!("test: end of life {life}"));
                soon(x.stop_with(error)).await.expect("it stops");
            }
            for monitor in monitors {
                let down = soon(monitor).await;
                assert_eq!(down.id, x.id());
                match (life % 2, down.reason) {
                    (0, ExitReason::Killed) => {}
                    (1, ExitReason::Crashed(report)) => {
                        assert_eq!(report.message(), format!("test: end of life {life}"));
                    }
                    (_, other) => panic!("{other}"),
                }
            }
            serves(&x, life + 1).await;
        }
    }

    /// LM1 IN2: so does a monitor that another server has set; it has to be set again for the next life.
    async fn a_server_that_monitors_is_told_of_one_life() {
        let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
        let watcher = start(0).await;
        for life in 2..=6 {
            let mut told = watched(&watcher, &x).await;
            dies(&x).await;
            assert_eq!(word(&soon(told.recv()).await.expect("told").reason), "killed");
            dies(&x).await;
            // The closure is used up, and gone.
            assert!(soon(told.recv()).await.is_none());
            assert_eq!(x.incarnation(), 2 * life - 1);
        }
    }

    /// LM1: the monitors that a life has set are over with it.
    async fn the_monitors_of_a_life_end_with_it() {
        let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
        let target = start(0_u64).await;
        let mut told = watched(&x, &target).await;
        dies(&x).await;
        stop(&target).await;
        assert!(soon(told.recv()).await.is_none(), "nobody is told");
        assert_eq!(ask(&x, get).await, 0);
    }

    /// LM2: between two lives a monitor can be set: it tells of the end of the next one.
    async fn a_monitor_of_the_gap_tells_of_the_next_life() {
        for hold in HOLDS {
            let family = Family::of(hold, ServerSpec::new(Script::new(), 0_u64)).await;
            family.prepare().await;
            family.fall().await;
            let mut monitor = pin!(family.victim.monitor());
            assert!(poll!(&mut monitor).is_pending());
            family.mend();
            serves(&family.victim, 2).await;
            assert!(poll!(&mut monitor).is_pending());
            soon(family.sup.stop()).await.expect("it stops");
            assert_eq!(word(&soon(monitor).await.reason), "shutdown");
        }
    }

    /// SV13: who waits for the end is told of that of this life, with its state; so is who asks for it.
    async fn the_end_of_a_life_is_told_with_its_state() {
        let (sup, x) = only(ServerSpec::new(Script::new(), 0_u64).restart(RestartPolicy::Permanent)).await;
        for life in 1..=20 {
            for n in 1..=life {
                assert_eq!(ask(&x, add).await, n);
            }
            let mut stopped = pin!(x.stopped());
            assert!(poll!(&mut stopped).is_pending());
            let exit = stop(&x).await;
            assert_eq!((word(&exit.reason), *exit.state), ("normal", life));
            let exit = soon(stopped).await;
            assert_eq!((word(&exit.reason), *exit.state), ("normal", life));
            serves(&x, life + 1).await;
        }
        soon(sup.stop()).await.expect("it stops");
    }

    /// LI6: a listener hears of the start and of the end of each life, in order; one listener goes through all of them.
    async fn a_listener_hears_of_every_life() {
        let (tape, mut events) = tape();
        let (sup, x) = only(ServerSpec::new(Script::new(), 0_u64).listener(tape)).await;
        for life in 1..=20 {
            assert_eq!(ask(&x, add).await, 1);
            x.kill();
            serves(&x, life + 1).await;
        }
        soon(sup.stop()).await.expect("it stops");
        drop((sup, x));
        let mut last = 0;
        for life in 1..=21 {
            let killed = life <= 20;
            assert!(matches!(soon(events.recv()).await, Some(Event::Started)), "life {life}");
            if killed {
                match soon(events.recv()).await {
                    Some(Event::Changed { old: 0, new: 1, version, lagged: 0, .. }) => {
                        assert!(version > last, "life {life}");
                        last = version;
                    }
                    other => panic!("life {life}: {other:?}"),
                }
            }
            match soon(events.recv()).await {
                Some(Event::Terminated { reason: ExitReason::Killed, state: 1 }) if killed => {}
                Some(Event::Terminated { reason: ExitReason::Shutdown, state: 0 }) if !killed => {}
                other => panic!("life {life}: {other:?}"),
            }
        }
        assert!(soon(events.recv()).await.is_none(), "nothing comes after the last end");
    }

    /// LI6 LI7: crashes of workers are told as ever, between the start and the end of their life.
    async fn a_listener_tells_crashes_from_ends() {
        let (tape, mut events) = tape();
        let spec = ServerSpec::new(Script::new(), 0_u64).max_restarts(1, SECOND).listener(tape);
        let (_sup, x) = only(spec).await;
        for life in 0..5 {
            for crash in 1..=2 {
                tell(&x, look(|_| inject())).await;
                serves(&x, 2 * life + crash + 1).await;
            }
        }
        for life in 0..5 {
            assert!(matches!(soon(events.recv()).await, Some(Event::Started)));
            assert!(matches!(soon(events.recv()).await, Some(Event::Crashed { .. })));
            match soon(events.recv()).await {
                Some(Event::Restarted { incarnation }) => assert_eq!(incarnation, 2 * life + 2),
                other => panic!("{other:?}"),
            }
            assert!(matches!(soon(events.recv()).await, Some(Event::Crashed { .. })));
            match soon(events.recv()).await {
                Some(Event::Terminated { reason: ExitReason::RestartLimit(report), .. }) => {
                    assert_eq!(report.incarnation(), 2 * life + 2);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// LM7: a link is one of a life: its abnormal end ends the linked server, and the next life is not linked.
    async fn a_link_ends_with_the_life() {
        let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
        let link = |to: &Kid| {
            let to = to.clone();
            move |reply: Reply<()>| {
                slow(move |_, cx| {
                    cx.link(&to);
                    reply.send(());
                    Box::pin(async { Ok(Next::Wait) })
                })
            }
        };
        let peer = start(0).await;
        ask(&x, link(&peer)).await;
        dies(&x).await;
        assert_eq!(word(&soon(peer.stopped()).await.reason), "killed");

        // The other way round: the end of the peer is an abnormal end of the child, which its parent restarts.
        let peer = start(0).await;
        ask(&x, link(&peer)).await;
        let before = x.incarnation();
        peer.kill();
        serves(&x, before + 1).await;

        let peer = start(0).await;
        ask(&x, link(&peer)).await;
        stop(&x).await;
        assert_eq!(ask(&peer, add).await, 1);
    }

    /// IN6: what a life had in store for itself, timers and tasks, does not reach the next one.
    async fn nothing_that_a_life_had_begun_reaches_the_next() {
        let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
        let gate = Gate::new();
        let there = gate.clone();
        ask(&x, move |reply: Reply<()>| {
            slow(move |_, cx| {
                cx.spawn(async move { there.pass().await }, |_| inc());
                reply.send(());
                Box::pin(async { Ok(Next::Wait) })
            })
        })
        .await;
        soon(gate.arrived()).await;
        dies(&x).await;
        gate.open();
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&x, get).await, 0);
    }

    /// IS5: a life that was suspended ends like any other, and the next one serves.
    async fn a_suspended_server_dies_and_comes_back() {
        let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
        soon(x.sys().suspend()).await.expect("alive");
        assert_eq!(x.status(), Status::Suspended);
        dies(&x).await;
        soon(x.sys().resume()).await.expect("alive");
        assert_eq!(ask(&x, add).await, 1);
    }

    /// SG2: a bystander's life ends with `Shutdown`, and that is what those who watch it are told.
    async fn the_life_of_a_bystander_ends_with_shutdown() {
        let log = Log::default();
        let tree = Supervisor::builder().strategy(Strategy::OneForAll);
        let sup = rise(tree.child(child("a", &log)).child(child("b", &log))).await;
        let b = kid(&sup, "b");
        let (monitor, mut stopped) = (b.monitor(), pin!(b.stopped()));
        assert!(poll!(&mut stopped).is_pending());
        dies(&kid(&sup, "a")).await;
        serves(&b, 2).await;
        assert_eq!(word(&soon(monitor).await.reason), "shutdown");
        assert_eq!(word(&soon(stopped).await.reason), "shutdown");
    }
}

/// IN6: a timer of a life does not fire in the next one; one that is armed in the gap or after it does.
#[tokio::test(start_paused = true)]
async fn a_timer_fires_in_its_own_life_only() {
    let (_sup, x) = only(ServerSpec::new(Script::new(), 0_u64)).await;
    x.send_after(10 * SECOND, inc());
    ask(&x, |reply: Reply<()>| {
        slow(move |_, cx| {
            cx.send_interval(SECOND, inc);
            cx.set_timer("key", 5 * SECOND, job(|_| Ok(Next::Stop(ExitReason::Normal))));
            reply.send(());
            Box::pin(async { Ok(Next::Wait) })
        })
    })
    .await;
    dies(&x).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((*x.peek(), x.is_alive()), (0, true));
    x.send_after(SECOND, inc());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(*x.peek(), 1);
}
