//! Incarnations: whoever follows a server across its crashes misses none and sees none twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, poll};
use tokio::task::yield_now;
use undying::{Crash, Next, ServerSpec};

use super::mortal;
use crate::{
    crash::script::{Script, ask, crash, get, serves, soon, start, stop},
    effects::{FAILURES, SECOND, in_vain},
    support::RACES,
};

both! {
    /// LM4: each crash is followed by the number of the incarnation after it, whatever the crash.
    async fn each_crash_is_followed_by_a_number() {
        let server = start(()).await;
        let mut incarnations = server.incarnations();
        assert!(incarnations.next().now_or_never().is_none(), "the current one is not news");
        for (failure, number) in FAILURES.into_iter().cycle().take(30).zip(2..) {
            in_vain(&server, failure, |_| {}).await;
            assert_eq!(soon(incarnations.next()).await, Some(number));
            assert!(incarnations.next().now_or_never().is_none());
        }
        // It begins with who follows it.
        let mut late = server.incarnations();
        crash(&server).await;
        assert_eq!(soon(late.next()).await, Some(32));
        assert_eq!(soon(incarnations.next()).await, Some(32));
        stop(&server).await;
        assert_eq!(soon(late.next()).await, None);
        assert_eq!(soon(incarnations.next()).await, None);
        assert_eq!(soon(incarnations.next()).await, None, "the end stays the end");
    }

    /// LM4: who looks late sees all of them, each once and in order, and then the end.
    async fn who_looks_late_misses_nothing() {
        let server = start(()).await;
        let (late, mut later) = (server.incarnations(), server.incarnations());
        for number in 2..=50 {
            if number % 2 == 0 {
                crash(&server).await;
            } else {
                server.kill_worker();
            }
            serves(&server, number).await;
        }
        for number in 2..=50 {
            assert_eq!(soon(later.next()).await, Some(number));
        }
        stop(&server).await;
        drop(server);
        // As a stream.
        assert_eq!(soon(late.collect::<Vec<_>>()).await, (2..=50).collect::<Vec<_>>());
        assert_eq!(soon(later.next()).await, None);
    }

    /// LM4: a look that is given up loses nothing.
    async fn a_look_that_is_given_up_loses_nothing() {
        let server = start(()).await;
        let mut incarnations = server.incarnations();
        for number in 2..=RACES as u64 {
            {
                let mut given_up = Box::pin(incarnations.next());
                assert!(poll!(&mut given_up).is_pending());
                crash(&server).await;
                if number % 2 == 0 {
                    serves(&server, number).await;
                }
            }
            assert_eq!(soon(incarnations.next()).await, Some(number));
        }
    }

    /// LM4: incarnations that do not come to serve are incarnations, too.
    async fn failed_restarts_are_counted() {
        let attempts = Arc::new(AtomicU64::new(0));
        let counts = attempts.clone();
        let script = Script::new().on_restarted(move |_, _| {
            let counts = counts.clone();
            Box::pin(async move {
                if counts.fetch_add(1, SeqCst) < 3 {
                    return Err(Crash::msg("test: not yet"));
                }
                Ok(Next::Wait)
            })
        });
        let server = ServerSpec::new(script, ()).start().await.expect("it starts");
        let incarnations = server.incarnations();
        crash(&server).await;
        serves(&server, 5).await;
        ask(&server, get).await;
        server.kill();
        assert_eq!(soon(incarnations.collect::<Vec<_>>()).await, [2, 3, 4, 5]);
    }

    /// LM4: a server that ends by a crash has no further incarnation, and one that is over has none at all.
    async fn the_end_is_no_incarnation() {
        let server = mortal().start().await.expect("it starts");
        let mut incarnations = server.incarnations();
        server.kill_worker();
        assert_eq!(soon(incarnations.next()).await, None);
        assert_eq!(soon(server.incarnations().next()).await, None);
    }

    /// LM4: under kills that come as they like, each number comes once and in order, up to the last.
    async fn numbers_race_kills_in_order() {
        let spec = ServerSpec::new(Script::new(), ()).max_restarts(u32::MAX, Duration::from_secs(1));
        let server = spec.start().await.expect("it starts");
        let followers: Vec<_> = (0..4)
            .map(|_| {
                let incarnations = server.incarnations();
                tokio::spawn(incarnations.collect::<Vec<_>>())
            })
            .collect();
        for round in 0..RACES * 5 {
            server.kill_worker();
            for _ in 0..round % 7 {
                yield_now().await;
            }
        }
        ask(&server, get).await;
        let last = server.incarnation();
        stop(&server).await;
        for follower in followers {
            let numbers = soon(follower).await.expect("joined");
            assert_eq!(numbers, (2..=last).collect::<Vec<_>>());
        }
    }
}

/// LM4: the number of the next incarnation is there when the crash is dealt with, and not when that serves.
#[tokio::test(start_paused = true)]
async fn a_number_does_not_wait_for_a_slow_restart() {
    let script = Script::new().on_restarted(|_, _| {
        Box::pin(async {
            tokio::time::sleep(60 * SECOND).await;
            Ok(Next::Wait)
        })
    });
    let server = ServerSpec::new(script, ()).start().await.expect("it starts");
    let mut incarnations = server.incarnations();
    server.kill_worker();
    assert_eq!(soon(incarnations.next()).await, Some(2));
    assert_eq!(server.incarnation(), 1, "it does not serve yet");
}
