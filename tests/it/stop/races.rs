//! Ends that meet: several stops, a stop and a kill, a stop and a crash, a lookup and an end.

use std::{pin::pin, time::Duration};

use futures::poll;
use tokio::{task::yield_now, time::Instant};
use undying::{Backoff, ExitReason, Registry, ServerSpec, Status, StopError};

use super::{Cast, Log, Mortal, SECOND, gone, hold, mortal, word};
use crate::support::{RACES, quiet, until};

both! {
    /// SP13: of stops at the same time each returns, and the server ends once.
    async fn concurrent_stops_all_return() {
        for _ in 0..RACES {
            let (spec, log) = mortal();
            let server = spec.start().await.expect("starts");
            let stops: Vec<_> = (0..3)
                .map(|_| {
                    let server = server.clone();
                    tokio::spawn(async move { server.stop().await.map(|exit| word(&exit.reason)) })
                })
                .collect();
            let mut stopped = 0;
            for stop in stops {
                match stop.await.expect("no panic") {
                    Ok(reason) => {
                        assert_eq!(reason, "normal");
                        stopped += 1;
                    }
                    // It came too late.
                    Err(error) => assert!(matches!(error, StopError::NoProc), "{error}"),
                }
            }
            assert!(stopped > 0);
            until("the listener is told", || log.lines().len() >= 2).await;
            assert_eq!(log.lines(), ["terminate 1 normal []", "terminated normal []"]);
        }
    }

    /// SP13: a stop during a crash loop ends it.
    async fn a_stop_ends_a_crash_loop() {
        for round in 0..RACES {
            let log = Log::default();
            let mortal = Mortal { log: log.clone(), never_restarts: true, dies_badly: false };
            let spec = ServerSpec::new(mortal, Vec::new()).listener(log.clone());
            let spec = spec.max_restarts(u32::MAX, Duration::from_secs(1));
            let server = spec.start().await.expect("starts");
            server.cast(Cast::Crash).await.expect("alive");
            for _ in 0..round % 10 {
                yield_now().await;
            }
            let exit = server.stop().timeout(20 * SECOND).await.expect("stops");
            assert_eq!(word(&exit.reason), "normal");
            until("the listener is told", || log.count("terminated") > 0).await;
            assert_eq!(log.lines().last().map(String::as_str), Some("terminated normal []"));
            assert_eq!(log.count("terminated"), 1);
        }
    }

    /// NR4: once a server is over, killed by whatever, no lookup ever gives it, and its name can be used.
    async fn a_dead_server_is_never_found() {
        let registry = Registry::new();
        for _ in 0..RACES {
            let server = mortal().0.name_in(&registry, "mortal").start().await.expect("the name is free");
            let looker = tokio::spawn({
                let (server, registry) = (server.clone(), registry.clone());
                async move {
                    while let Ok(found) = registry.whereis::<Mortal>("mortal") {
                        assert_eq!(found.id(), server.id());
                        yield_now().await;
                    }
                    // Nothing was found: then it must be over, or at least on its way.
                    assert!(matches!(server.stopped().await.reason, ExitReason::Killed));
                }
            });
            yield_now().await;
            server.kill();
            server.stopped().await;
            assert!(gone(&registry) && !server.is_alive());
            looker.await.expect("found it until its end");
        }
    }

    /// A kill during a stop is the end at once, and the stop says so.
    async fn a_kill_cuts_a_stop_short() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        let _gate = hold(&server).await;
        let mut stop = pin!(server.stop().into_future());
        assert!(poll!(&mut stop).is_pending());
        server.kill();
        assert_eq!(word(&stop.await.expect("it is over").reason), "killed");
        until("the listener is told", || !log.lines().is_empty()).await;
        assert_eq!(log.lines(), ["terminated killed []"]);
    }

    /// The longest time limit of a stop overflows nothing, and that of zero takes no time but stays a request.
    async fn a_stop_may_have_no_time_at_all() {
        let server = mortal().0.start().await.expect("starts");
        let gate = hold(&server).await;
        let stop = server.stop().timeout(Duration::ZERO).await;
        assert!(matches!(stop, Err(StopError::Timeout)), "{stop:?}");
        gate.open();
        assert_eq!(word(&server.stopped().await.reason), "normal");

        let server = mortal().0.start().await.expect("starts");
        server.stop().timeout(Duration::MAX).await.expect("stops");
    }
}

#[cfg(feature = "chaos")]
both! {
    /// NR4: a server whose supervisor is killed is not found any more.
    async fn a_server_without_a_supervisor_is_never_found() {
        let registry = Registry::new();
        for _ in 0..RACES {
            let server = mortal().0.name_in(&registry, "mortal").start().await.expect("the name is free");
            server.chaos().kill_supervisor();
            assert_eq!(word(&server.stopped().await.reason), "killed");
            assert!(gone(&registry) && registry.names().is_empty());
        }
    }
}

/// SP13 SP3: a stop cuts a back-off short: what was queued is handled, and the server ends once.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_backoff() {
    quiet();
    let (spec, log) = mortal();
    let pause = Backoff::exponential(3600 * SECOND, 3600 * SECOND);
    let server = spec.backoff(pause).start().await.expect("starts");
    let begin = Instant::now();
    server.cast(Cast::Panic(1)).await.expect("alive");
    until("it is in its back-off", || server.status() == Status::Restarting).await;
    server.cast(Cast::Note(2)).await.expect("alive");
    let exit = server.stop().await.expect("stops");
    assert_eq!((word(&exit.reason).as_str(), exit.state.as_slice()), ("normal", &[2][..]));
    assert_eq!(begin.elapsed(), Duration::ZERO);
    until("the listener is told", || log.count("terminated") > 0).await;
    assert_eq!(
        log.lines(),
        [
            "terminate 1 crashed(test: half-way) []",
            "restarted 2 crashed(test: half-way)",
            "terminate 2 normal [2]",
            "terminated normal [2]",
        ]
    );
}
