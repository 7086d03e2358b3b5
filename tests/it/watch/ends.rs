//! Watching a server across its crashes and lives, and to its end.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use undying::{
    ExitReason, Next, Poison, RestartPolicy, ServerRef, ServerSpec, Status, Supervisor, SupervisorRef, Watch,
};

use super::{next, sleeps, watched};
use crate::{
    crash::script::{Script, add, ask, boom, crash, inc, job, serves, set, soon, start, stop, tell},
    support::{RACES, inject, until},
};

/// A child of that spec, under a supervisor that starts it again and again.
async fn child(spec: ServerSpec<Script<u64>>) -> (SupervisorRef, ServerRef<Script<u64>>) {
    let top = Supervisor::builder()
        .max_restarts(u32::MAX, Duration::from_secs(1))
        .child(spec.id("child").restart(RestartPolicy::Permanent))
        .start()
        .await
        .expect("it starts");
    let server = top.server("child").expect("a child");
    (top, server)
}

/// Shows that a watcher sees `last` and then the end, as often as it asks.
async fn ends(mut watch: Watch<Script<u64>>, last: u64) {
    assert_eq!(next(&mut watch).await, last);
    assert!(soon(watch.next()).await.is_none());
    assert!(soon(watch.next()).await.is_none());
}

both! {
    /// WA7: a watcher that waits goes on across panics, kills and keeper-less restarts.
    async fn crashes_do_not_end_a_watch() {
        let (server, mut watch) = watched().await;
        for n in 1..=50 {
            let seen = tokio::spawn(async move {
                let state = next(&mut watch).await;
                (state, watch)
            });
            if n % 2 == 0 {
                crash(&server).await;
            } else {
                server.kill_worker();
            }
            serves(&server, n + 1).await;
            assert_eq!(ask(&server, add).await, n);
            let (state, again) = soon(seen).await.expect("joined");
            assert_eq!(state, n);
            watch = again;
        }
    }

    /// WA8: after the last state comes the end, for whoever has seen it and for who has not, and who comes later.
    async fn the_end_comes_after_the_last_state() {
        let (server, mut seen) = watched().await;
        let unseen = server.watch();
        assert_eq!(ask(&server, add).await, 1);
        assert_eq!(next(&mut seen).await, 1);
        tell(&server, inc()).await;
        let behind = server.watch();
        stop(&server).await;
        ends(seen, 2).await;
        ends(unseen, 2).await;
        ends(behind, 2).await;
        ends(server.watch(), 2).await;
    }

    /// WA8: who waits when a server ends is woken: by a stop, a kill, the limit, an owner, and its last state first.
    async fn who_waits_is_told_of_the_end() {
        for way in 0..4 {
            let server = ServerSpec::new(Script::new(), 0_u64)
                .max_restarts(0, Duration::from_secs(60))
                .start()
                .await
                .expect("it starts");
            let mut watch = server.watch();
            assert_eq!(next(&mut watch).await, 0);
            let waiting = tokio::spawn(async move { watch.next().await.map(|kept| *kept) });
            match way {
                0 => drop(stop(&server).await),
                1 => server.kill(),
                2 => tell(&server, boom()).await,
                _ => drop(server.clone().into_guard()),
            }
            assert_eq!(soon(waiting).await.expect("joined"), None, "{way}");
            soon(server.stopped()).await;
        }
    }

    /// WA8: the last change and the end may come at once, and the change is seen.
    async fn the_last_change_is_seen_before_the_end() {
        for _ in 0..RACES {
            let (server, mut watch) = watched().await;
            let all = tokio::spawn(async move {
                let mut last = 0;
                while let Some(kept) = watch.next().await {
                    last = *kept;
                }
                last
            });
            let leave = job(|state: &mut u64| {
                *state = 9;
                Ok(Next::Stop(ExitReason::Normal))
            });
            tell(&server, leave).await;
            assert_eq!(soon(all).await.expect("joined"), 9);
        }
    }

    /// WA9: another life is seen, also where it begins with the state as it was given and `init` changes nothing.
    async fn another_life_is_seen() {
        let (_top, server) = child(ServerSpec::new(Script::new(), 5)).await;
        let mut watch = server.watch();
        assert_eq!(next(&mut watch).await, 5);
        assert_eq!(ask(&server, add).await, 6);
        assert_eq!(next(&mut watch).await, 6);
        let waiting = tokio::spawn(async move { (next(&mut watch).await, watch) });
        server.kill();
        let (state, mut watch) = soon(waiting).await.expect("joined");
        assert_eq!(state, 5);
        until("it serves", || server.status() == Status::Running).await;
        assert_eq!(ask(&server, add).await, 6);
        assert_eq!(next(&mut watch).await, 6);
    }

    /// WA9: another life with the state of the former is no change.
    async fn a_life_that_keeps_the_state_is_no_change() {
        let (top, server) = child(ServerSpec::new(Script::new(), 5).preserve_on_escalation(true)).await;
        let mut watch = server.watch();
        assert_eq!(next(&mut watch).await, 5);
        server.kill();
        serves(&server, 2).await;
        assert!(sleeps(&mut watch));
        assert_eq!(ask(&server, add).await, 6);
        assert_eq!(next(&mut watch).await, 6);
        soon(top.stop()).await.expect("it stops");
        assert!(soon(watch.next()).await.is_none());
    }

    /// WA9: a watcher of a server that is over sees the end, and the next life if there is one after all.
    async fn a_life_after_the_end_is_seen() {
        let (top, server) = child(ServerSpec::new(Script::new(), 5)).await;
        let mut watch = server.watch();
        assert_eq!(next(&mut watch).await, 5);
        soon(top.terminate_child("child")).await.expect("a child");
        assert!(soon(watch.next()).await.is_none());
        soon(top.restart_child("child")).await.expect("another life");
        assert_eq!(next(&mut watch).await, 5);
        assert!(sleeps(&mut watch));
    }

    /// WA9 SV14: a poisoned state that is healed is a change.
    async fn healing_is_seen() {
        let script = Script::new().on_restarted(|_, state| {
            if *state == 666 {
                inject();
            }
            Box::pin(async { Ok(Next::Wait) })
        });
        let server = ServerSpec::new(script, 1_u64)
            .max_restarts(2, Duration::from_secs(60))
            .on_poison(Poison::PreviousGood)
            .start()
            .await
            .expect("it starts");
        let mut watch = server.watch();
        tell(&server, set(5)).await;
        tell(&server, set(666)).await;
        until("it is poisoned", || *server.peek() == 666).await;
        assert_eq!(next(&mut watch).await, 666);
        crash(&server).await;
        assert_eq!(next(&mut watch).await, 5);
    }

    /// WA10: a watcher holds the server's memory, but does not keep it alive, and a dropped one holds nothing.
    async fn a_dropped_watcher_leaves_nothing() {
        let alive = Arc::new(());
        let server = start(alive.clone()).await;
        let memory = server.downgrade();
        let mut watch = server.watch();
        assert!(watch.next().now_or_never().is_some());
        assert!(watch.next().now_or_never().is_none());
        soon(server.stop()).await.expect("a server");
        drop(server);
        assert!(soon(watch.next()).await.is_none());
        assert!(memory.upgrade().is_some());
        drop(watch);
        until("the server is freed", || memory.upgrade().is_none()).await;
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

/// WA8: the end of the runtime is the end for who watches from outside of it.
#[test]
fn the_end_of_the_runtime_is_the_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut watch = runtime.block_on(async {
        let server = start(0_u64).await;
        assert_eq!(ask(&server, add).await, 1);
        server.watch()
    });
    drop(runtime);
    futures::executor::block_on(async {
        assert_eq!(watch.next().await.map(|kept| *kept), Some(1));
        assert!(watch.next().await.is_none());
    });
}
