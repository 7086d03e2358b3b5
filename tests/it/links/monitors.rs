//! Monitors of callbacks: one Down each, with the exact reason, whatever the end.

use std::time::Duration;

use undying::{Mailbox, Next, Registry, ServerSpec};

use super::{ABNORMAL_ENDS, NORMAL_ENDS, ended, monitor, mortal, start_mortal};
use crate::{
    crash::script::{Script, ask, crash, get, serves, slow, soon, start, stop, tell},
    effects::{Alive, FAILURES, Log, SECOND, act, held, in_vain, tasks, within},
    support::{Gate, RACES, until},
};

both! {
    /// LM1 IN2: however a server ends, each of its monitors hears of it once, with the reason and the name.
    async fn each_monitor_hears_of_the_end_once() {
        for (name, end) in NORMAL_ENDS.iter().chain(ABNORMAL_ENDS) {
            let registry = Registry::new();
            let target = mortal().name_in(&registry, "target").start().await.expect("the name is free");
            let (watchers, log) = ([start(()).await, start(()).await], Log::new());
            for watcher in [0, 0, 1] {
                let (target, log) = (target.clone(), log.clone());
                within(&watchers[watcher], move |cx| {
                    cx.monitor(&target, move |down| log.job((down.name.clone(), down.reason.to_string())))
                })
                .await;
            }
            let handle = target.monitor();
            end(&target);
            let down = soon(handle).await;
            let reason = soon(target.stopped()).await.reason.to_string();
            assert!(reason.starts_with(name), "{reason}");
            assert_eq!((down.name.as_deref(), down.reason.to_string()), (Some("target"), reason.clone()));
            until("all have heard", || log.len() >= 3).await;
            for watcher in &watchers {
                ask(watcher, get).await;
                assert_eq!(watcher.incarnation(), 1);
            }
            assert_eq!(log.notes(), vec![(Some("target".into()), reason); 3]);
        }
    }

    /// LM2: a monitor of a server that is over hears so at once, whatever the end was, and of whom.
    async fn a_monitor_of_a_dead_server_hears_so_at_once() {
        for end in NORMAL_ENDS.iter().chain(ABNORMAL_ENDS) {
            let (target, _) = ended(end).await;
            let (watcher, log) = (start(()).await, Log::new());
            monitor(&watcher, &target, &log).await;
            monitor(&watcher, &target, &log).await;
            until("it has heard", || log.len() >= 2).await;
            ask(&watcher, get).await;
            assert!(log.notes().iter().all(|reason| reason == "no such server"), "{:?}", log.notes());
        }
    }

    /// LM3: after a demonitor nobody hears of the end; to demonitor again, or too late, is to undo nothing.
    async fn a_demonitor_is_the_end_of_a_monitor() {
        let (target, watcher, log) = (start_mortal().await, start(()).await, Log::new());
        let gone = monitor(&watcher, &target, &log).await;
        let kept = monitor(&watcher, &target, &log).await;
        let own = target.clone();
        let of_one_callback = within(&watcher, move |cx| {
            let monitor = cx.monitor(&own, |_| unreachable!("it is undone"));
            [cx.demonitor(monitor), cx.demonitor(monitor)]
        });
        assert_eq!(of_one_callback.await, [true, false]);
        assert!(within(&watcher, move |cx| cx.demonitor(gone)).await);
        assert!(!within(&watcher, move |cx| cx.demonitor(gone)).await);
        stop(&target).await;
        until("the other has heard", || log.len() > 0).await;
        assert!(!within(&watcher, move |cx| cx.demonitor(kept)).await);
        assert_eq!((log.notes(), watcher.incarnation()), (vec!["normal".to_owned()], 1));
    }

    /// LM3: a Down that is queued already when its monitor is undone is not handled.
    async fn a_queued_down_is_undone_with_its_monitor() {
        for _ in 0..RACES {
            let (target, watcher) = (start_mortal().await, start(()).await);
            let (log, gate) = (Log::new(), Gate::new());
            let monitor = monitor(&watcher, &target, &log).await;
            let at = gate.clone();
            let undoes = slow(move |_, cx| {
                Box::pin(async move {
                    at.pass().await;
                    assert!(cx.demonitor(monitor), "the Down is not handled yet");
                    Ok(Next::Wait)
                })
            });
            tell(&watcher, undoes).await;
            soon(gate.arrived()).await;
            stop(&target).await;
            gate.open();
            ask(&watcher, get).await;
            ask(&watcher, get).await;
            assert_eq!((log.len(), watcher.incarnation()), (0, 1));
        }
    }

    /// LM2 LM3: that goes for the Down of a server that was over when it was monitored, too.
    async fn a_monitor_of_a_dead_server_can_be_undone() {
        let (target, _) = ended(&NORMAL_ENDS[0]).await;
        let (watcher, log) = (start(()).await, Log::new());
        let told = log.clone();
        let undone = within(&watcher, move |cx| {
            let monitor = cx.monitor(&target, move |_| told.job(()));
            cx.demonitor(monitor)
        });
        assert!(undone.await);
        ask(&watcher, get).await;
        ask(&watcher, get).await;
        assert_eq!(log.len(), 0);
    }

    /// LM4: crashes of the server are none of its monitors' business.
    async fn a_restart_is_no_down() {
        let (target, watcher, log) = (start(()).await, start(()).await, Log::new());
        monitor(&watcher, &target, &log).await;
        let mut handle = Box::pin(target.monitor());
        for incarnation in 2..52 {
            if incarnation % 2 == 0 {
                crash(&target).await;
            } else {
                target.kill_worker();
            }
            serves(&target, incarnation).await;
        }
        assert!(futures::poll!(&mut handle).is_pending());
        ask(&watcher, get).await;
        assert_eq!(log.len(), 0);
        stop(&target).await;
        assert_eq!(soon(handle).await.reason.to_string(), "normal");
        until("it has heard", || log.len() > 0).await;
        assert_eq!(log.notes(), ["normal"]);
    }

    /// K11: monitors belong to the logical server that asked for them: they survive its crashes.
    async fn a_monitor_survives_the_crashes_of_who_asked() {
        for failure in FAILURES {
            let (target, watcher, log) = (start_mortal().await, start(()).await, Log::new());
            monitor(&watcher, &target, &log).await;
            for _ in 0..3 {
                in_vain(&watcher, failure, |_| {}).await;
            }
            target.kill();
            until("it has heard", || log.len() > 0).await;
            ask(&watcher, get).await;
            assert_eq!((log.notes(), watcher.incarnation()), (vec!["killed".to_owned()], 4));
        }
    }

    /// LM1: a callback that crashes or is killed has monitored nothing, and undone no monitor.
    async fn a_callback_that_fails_has_monitored_nothing() {
        for failure in FAILURES {
            let (target, dead) = (start_mortal().await, ended(&NORMAL_ENDS[0]).await.0);
            let (watcher, log, alive) = (start(()).await, Log::new(), Alive::default());
            let kept = monitor(&watcher, &target, &log).await;
            let (asks, one, two) = (target.clone(), alive.one(), alive.one());
            let told = [log.clone(), log.clone()];
            in_vain(&watcher, failure, move |cx| {
                assert!(cx.demonitor(kept));
                let [first, second] = told;
                cx.monitor(&asks, move |_| { drop(one); first.job("in vain".into()) });
                cx.monitor(&dead, move |_| { drop(two); second.job("in vain".into()) });
            })
            .await;
            until("they are dropped", || alive.count() == 0).await;
            target.kill();
            until("it has heard", || log.len() > 0).await;
            ask(&watcher, get).await;
            assert_eq!(log.notes(), ["killed"], "{failure:?}");
        }
    }

    /// LM1: a Down needs no room in a full mailbox.
    async fn a_down_needs_no_room_in_a_mailbox() {
        let spec = ServerSpec::new(Script::new(), ()).mailbox(Mailbox::bounded(1));
        let (watcher, log) = (spec.start().await.expect("it starts"), Log::new());
        let targets = [start_mortal().await, start_mortal().await, start_mortal().await];
        for target in &targets {
            monitor(&watcher, target, &log).await;
        }
        let gate = held(&watcher).await;
        watcher.try_cast(log.job("queued".into())).expect("there is room for one");
        for target in &targets {
            stop(target).await;
        }
        gate.open();
        until("all are heard of", || log.len() == 4).await;
        let mut notes = log.notes();
        notes.sort_unstable();
        assert_eq!(notes, ["normal", "normal", "normal", "queued"]);
    }

    /// LM1: who monitors and ends leaves nothing behind at who lives on, nor does who has heard, or has undone it.
    async fn a_monitor_leaves_nothing_behind() {
        let (target, alive) = (start(()).await, Alive::default());
        let baseline = tasks();
        for round in 0..RACES {
            let watcher = start(()).await;
            for _ in 0..10 {
                let (asks, one) = (target.clone(), alive.one());
                let monitor = within(&watcher, move |cx| cx.monitor(&asks, move |_| act(move |_| drop(one)))).await;
                if round % 3 == 0 {
                    within(&watcher, move |cx| cx.demonitor(monitor)).await;
                }
            }
            let weak = watcher.downgrade();
            if round % 3 == 1 {
                watcher.kill();
                soon(watcher.stopped()).await;
            } else {
                stop(&watcher).await;
            }
            drop(watcher);
            until("nothing is left", || {
                alive.count() == 0 && tasks() == baseline && weak.upgrade().is_none()
            })
            .await;
        }
        assert_eq!(target.incarnation(), 1);
    }

    /// LM1: a server may monitor itself; nobody is there to hear of it.
    async fn a_server_may_monitor_itself() {
        let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
        let (notes, one) = (log.clone(), alive.one());
        within(&server, move |cx| {
            let own = cx.server();
            cx.monitor(&own, move |down| {
                drop(one);
                notes.job(down.reason.to_string())
            })
        })
        .await;
        crash(&server).await;
        stop(&server).await;
        let weak = server.downgrade();
        drop(server);
        until("nothing is left", || alive.count() == 0 && weak.upgrade().is_none()).await;
        assert_eq!(log.len(), 0);
    }
}

/// LM1: of a thousand servers that end at once, a thousand Downs come, also when the watcher is slow and crashes.
#[tokio::test(start_paused = true)]
async fn a_thousand_downs_come() {
    let (watcher, log) = (start(()).await, Log::new());
    let mut targets = Vec::new();
    for _ in 0..1_000 {
        let target = start_mortal().await;
        monitor(&watcher, &target, &log).await;
        targets.push(target);
    }
    let gate = held(&watcher).await;
    for target in &targets {
        target.kill();
    }
    tokio::time::sleep(SECOND).await;
    watcher.kill_worker();
    gate.open();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(log.notes(), vec!["killed"; 1_000]);
}
