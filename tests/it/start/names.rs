//! What a name means while its server starts, restarts and fails to start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::yield_now;
use undying::{Backoff, Registry, StartError, WhereisError};

use super::{Cast, Eager, Get, Init, Probe, Seen, probe};
use crate::support::{Gate, RACES, until};

both! {
    /// NR1: of racing starters exactly one wins, and the others are told which server that is.
    async fn one_of_the_racing_starters_wins() {
        for _ in 0..RACES {
            let (registry, seen) = (Registry::new(), Seen::default());
            let start = || probe(Init::Yield, &seen).name_in(&registry, "probe").start();
            let starters: Vec<_> = (0..4).map(|_| tokio::spawn(start())).collect();
            let (mut won, mut lost) = (Vec::new(), Vec::new());
            for starter in starters {
                match starter.await.expect("no panic") {
                    Ok(server) => won.push(server),
                    Err(StartError::AlreadyStarted(id)) => lost.push(id),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!((won.len(), lost.len(), seen.inits()), (1, 3, 1));
            assert!(lost.iter().all(|id| *id == won[0].id()));
            won[0].kill();
        }
    }

    /// NR1: a name is taken from the moment its server begins init.
    async fn a_name_is_taken_during_init() {
        let (registry, seen, gate) = (Registry::new(), Seen::default(), Gate::new());
        let first = probe(Init::Slow(gate.clone()), &seen).name_in(&registry, "probe");
        let first = tokio::spawn(first.start());
        gate.arrived().await;
        let second = probe(Init::Run, &seen).name_in(&registry, "probe").start().await;
        gate.open();
        let first = first.await.expect("no panic").expect("the name was free");
        assert!(matches!(second, Err(StartError::AlreadyStarted(id)) if id == first.id()));
        assert_eq!(seen.inits(), 1);
    }

    /// NR2: as soon as a failed start has returned, its name can be used again.
    async fn the_name_of_a_failed_start_is_free() {
        let registry = Registry::new();
        for round in 0..100 {
            let how = [Init::Fail, Init::Panic, Init::Ignore][round % 3].clone();
            let failed = probe(how, &Seen::default()).name_in(&registry, "probe").start().await;
            assert!(failed.is_err());
            assert!(matches!(registry.whereis::<Probe>("probe"), Err(WhereisError::NotFound)));
            let next = probe(Init::Run, &Seen::default()).name_in(&registry, "probe");
            next.start().await.expect("the name is free").stop().await.expect("stops");
        }
    }

    /// NR3: while its worker is killed again and again, a name always resolves to the same logical server.
    async fn a_name_resolves_throughout_restarts() {
        let registry = Registry::new();
        let server = probe(Init::Run, &Seen::default()).name_in(&registry, "probe");
        let server = server.max_restarts(u32::MAX, Duration::from_secs(1)).start().await.expect("starts");
        let done = Arc::new(AtomicBool::new(false));
        let looker = tokio::spawn({
            let (registry, done, id) = (registry.clone(), done.clone(), server.id());
            async move {
                while !done.load(SeqCst) {
                    let found = registry.whereis::<Probe>("probe").expect("always there");
                    assert_eq!(found.id(), id);
                    yield_now().await;
                }
            }
        });
        for incarnation in 2..2 + RACES as u64 {
            server.kill_worker();
            server.wait_incarnation(incarnation).await.expect("restarts");
        }
        done.store(true, SeqCst);
        looker.await.expect("found it every time");
    }

    /// NR8: a name looked up as another type of server is a typed error.
    async fn a_lookup_with_the_wrong_type_is_refused() {
        let registry = Registry::new();
        let _server = probe(Init::Run, &Seen::default()).name_in(&registry, "probe").start().await;
        assert!(matches!(registry.whereis::<Eager>("probe"), Err(WhereisError::TypeMismatch)));
    }

    /// NR10: messages sent to what a name resolves to reach the worker, also the next one.
    async fn messages_by_name_reach_the_worker() {
        let registry = Registry::new();
        let server = probe(Init::Run, &Seen::default()).name_in(&registry, "probe").start().await;
        assert_eq!(server.expect("starts").name(), Some("probe"));
        let by_name = || registry.whereis::<Probe>("probe").expect("running");
        by_name().cast(Cast::Add).await.expect("alive");
        by_name().cast(Cast::Crash).await.expect("alive");
        by_name().cast(Cast::Add).await.expect("alive");
        assert_eq!(by_name().call(Get).await.expect("served"), 2);
    }
}

/// NR3 NR1: a name stays taken while its server waits for its next incarnation.
#[tokio::test(start_paused = true)]
async fn a_name_is_taken_during_backoff() {
    let (registry, hour) = (Registry::new(), Duration::from_secs(3600));
    let spec = probe(Init::Run, &Seen::default()).name_in(&registry, "probe");
    let server = spec.backoff(Backoff::exponential(hour, hour)).start().await.expect("starts");
    server.cast(Cast::Crash).await.expect("alive");
    until("the message is taken", || server.mailbox_len() == 0).await;
    let second = probe(Init::Run, &Seen::default()).name_in(&registry, "probe").start().await;
    assert!(matches!(second, Err(StartError::AlreadyStarted(id)) if id == server.id()));
    assert_eq!(registry.whereis::<Probe>("probe").expect("still there").id(), server.id());
    assert_eq!(server.incarnation(), 1);
}
