//! Watching a state: what is there at once, then the newest whenever it has changed, to the end.

mod ends;
mod wakers;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::{FutureExt, StreamExt, poll};
use undying::{Kept, Next, ServerRef, ServerSpec, Watch};

use crate::{
    crash::script::{Script, add, ask, crash, get, inc, look, serves, set, soon, start, stop, tell},
    effects::held,
    support::{RACES, inject, until},
};

/// The next state that a watcher sees, which there must be.
async fn next(watch: &mut Watch<Script<u64>>) -> u64 {
    *soon(watch.next()).await.expect("a state")
}

/// Whether there is nothing to see now.
fn sleeps(watch: &mut Watch<Script<u64>>) -> bool {
    watch.next().now_or_never().is_none()
}

/// A counter from 0, and who watches it and has seen the 0.
async fn watched() -> (ServerRef<Script<u64>>, Watch<Script<u64>>) {
    let server = start(0).await;
    let mut watch = server.watch();
    assert_eq!(next(&mut watch).await, 0);
    (server, watch)
}

both! {
    /// WA1: the state that is there comes at once, then nothing until there is another.
    async fn the_present_state_comes_first() {
        let server = start(7_u64).await;
        let mut watch = server.watch();
        let kept: Kept<_> = watch.next().now_or_never().expect("at once").expect("a state");
        assert_eq!((*kept, kept.version(), kept.incarnation()), (7, 0, 1));
        assert!(sleeps(&mut watch));
        assert_eq!(ask(&server, add).await, 8);
        let kept = watch.next().now_or_never().expect("at once").expect("a state");
        assert_eq!((*kept, kept.version()), (8, 1));
        assert!(sleeps(&mut watch));
    }

    /// WA2: who has not looked for a while sees the newest state, and none of those before.
    async fn the_newest_wins() {
        let (server, mut watch) = watched().await;
        for n in 1..=100 {
            assert_eq!(ask(&server, add).await, n);
        }
        assert_eq!(next(&mut watch).await, 100);
        assert!(sleeps(&mut watch));
    }

    /// WA2: who looks after each change sees each, also as a stream.
    async fn who_keeps_up_sees_every_change() {
        let (server, mut watch) = watched().await;
        for n in 1..=100 {
            tell(&server, inc()).await;
            assert_eq!(soon(StreamExt::next(&mut watch)).await.map(|kept| *kept), Some(n));
        }
    }

    /// WA3: callbacks that only read, those that crash, and calls that are not for the state wake nobody.
    async fn only_commits_are_seen() {
        let (server, mut watch) = watched().await;
        ask(&server, get).await;
        tell(&server, look(|_| Ok(Next::Wait))).await;
        crash(&server).await;
        serves(&server, 2).await;
        server.kill_worker();
        serves(&server, 3).await;
        soon(server.sys().suspend()).await.expect("suspended");
        soon(server.sys().resume()).await.expect("resumed");
        assert!(sleeps(&mut watch));
        assert_eq!(ask(&server, add).await, 1);
        assert_eq!(next(&mut watch).await, 1);
    }

    /// WA3: a change that is none by `changed_when` is not seen; one that comes back to what was seen is none either.
    async fn what_is_no_change_is_not_seen() {
        let server = ServerSpec::new(Script::new(), 0_u64)
            .changed_when(|old, new| old / 10 != new / 10)
            .start()
            .await
            .expect("it starts");
        let mut watch = server.watch();
        assert_eq!(next(&mut watch).await, 0);
        for n in [3, 9, 0, 5] {
            tell(&server, set(n)).await;
        }
        ask(&server, get).await;
        assert_eq!(server.peek().version(), 4);
        assert!(sleeps(&mut watch));
        tell(&server, set(12)).await;
        assert_eq!(next(&mut watch).await, 12);
        // There and back while nobody looks.
        for n in [30, 15] {
            tell(&server, set(n)).await;
        }
        ask(&server, get).await;
        assert!(sleeps(&mut watch));
        tell(&server, set(25)).await;
        assert_eq!(next(&mut watch).await, 25);
    }

    /// WA3: a comparison that panics counts as a change, for a watcher, too.
    async fn a_comparison_that_panics_is_a_change() {
        let server = ServerSpec::new(Script::new(), 0_u64)
            .changed_when(|_, _| inject())
            .start()
            .await
            .expect("it starts");
        let mut watch = server.watch();
        assert_eq!(next(&mut watch).await, 0);
        tell(&server, set(0)).await;
        assert_eq!(next(&mut watch).await, 0);
        assert!(sleeps(&mut watch));
    }

    /// WA4: a hundred watchers each see the same, at their own pace; a new one begins with the present.
    async fn watchers_do_not_concern_each_other() {
        let server = start(0).await;
        let sum = Arc::new(AtomicUsize::new(0));
        let watchers: Vec<_> = (0..100)
            .map(|_| {
                let (mut watch, sum) = (server.watch(), sum.clone());
                tokio::spawn(async move {
                    let mut last = 0;
                    while let Some(kept) = watch.next().await {
                        assert!(*kept > last || *kept == 0, "{} after {last}", *kept);
                        last = *kept;
                        sum.fetch_add(1, SeqCst);
                    }
                    last
                })
            })
            .collect();
        until("all have begun", || sum.load(SeqCst) >= 100).await;
        for n in 1..=20 {
            assert_eq!(ask(&server, add).await, n);
        }
        let mut late = server.watch();
        assert_eq!(next(&mut late).await, 20);
        stop(&server).await;
        for watcher in watchers {
            assert_eq!(soon(watcher).await.expect("joined"), 20);
        }
    }

    /// WA4: a `next` that is given up skips nothing.
    async fn a_next_that_is_dropped_skips_nothing() {
        let (server, mut watch) = watched().await;
        for n in 1..=RACES as u64 {
            {
                let mut given_up = Box::pin(watch.next());
                assert!(poll!(&mut given_up).is_pending());
                if n % 2 == 0 {
                    assert_eq!(ask(&server, add).await, n);
                }
            }
            if n % 2 != 0 {
                assert_eq!(ask(&server, add).await, n);
            }
            assert_eq!(next(&mut watch).await, n);
        }
    }

    /// WA5: a server that is busy or suspended can be watched, and so can one that has crashed.
    async fn a_busy_server_can_be_watched() {
        let server = start(3_u64).await;
        let gate = held(&server).await;
        assert_eq!(next(&mut server.watch()).await, 3);
        gate.open();
        soon(server.sys().suspend()).await.expect("suspended");
        assert_eq!(next(&mut server.watch()).await, 3);
        soon(server.sys().replace(|state| *state = 4)).await.expect("replaced");
        assert_eq!(next(&mut server.watch()).await, 4);
    }

    /// WA6: a watcher that waits is woken by every commit that follows, however they race: none sleeps over the last one.
    async fn no_wake_up_is_lost() {
        for _ in 0..RACES {
            let (server, mut watch) = watched().await;
            let seen = tokio::spawn(async move {
                let mut last = 0;
                while last < 20 {
                    last = next(&mut watch).await;
                }
            });
            for _ in 0..20 {
                tell(&server, inc()).await;
            }
            soon(seen).await.expect("it saw the last one");
        }
    }
}
