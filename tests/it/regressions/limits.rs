//! Limits: of queues, of the clock, of patience, and the budget of restarts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::poll;
use tokio::time::Instant;
use undying::{ExitReason, Next, Poison, ServerSpec};

use super::{Callers, keep, waiting};
use crate::{
    crash::script::{Script, add, ask, job, serves, soon, stop, tell},
    support::{inject, quiet, until},
};

/// The longest time from now that the clock can express.
fn rest_of_time() -> Duration {
    let (now, step) = (Instant::now(), Duration::from_nanos(1));
    let (mut fits, mut too_long) = (Duration::ZERO, Duration::MAX);
    while too_long - fits > step {
        let middle = fits + (too_long - fits) / 2;
        if now.checked_add(middle).is_some() {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    fits
}

/// G10: a time limit near the end of what the clock can express harms nobody: it never comes.
#[tokio::test(start_paused = true)]
async fn a_limit_near_the_end_of_time_harms_nobody() {
    quiet();
    let slacks = [0, 1, 500_000, 999_999, 1_000_000, 1_000_001, 10_000_000];
    for limit in slacks.map(|nanos| rest_of_time() - Duration::from_nanos(nanos)) {
        let spec = ServerSpec::new(Script::new(), Callers::new()).init_timeout(limit).kill_grace(limit);
        let server = spec.start().await.expect("it starts");
        let mut call = server.call(keep).timeout(limit);
        assert!(poll!(&mut call).is_pending());
        let idle = move |_: &mut Callers| Ok(Next::Timeout(limit));
        tell(&server, job(idle)).await;
        assert_eq!(ask(&server, waiting).await, 1);
        tell(&server, job(idle)).await;
        server.kill_worker();
        serves(&server, 2).await;
        assert_eq!(ask(&server, waiting).await, 1);
        assert!(poll!(&mut call).is_pending());
        soon(server.stop().timeout(limit)).await.expect("it stops");
        drop(call);
    }
}

both! {
    /// SV14 G1: that somebody kills a server over and over while it has nothing to do says nothing against its state.
    async fn kills_of_an_idle_server_are_no_poison() {
        for poison in [Poison::ResetToInitial, Poison::PreviousGood] {
            let spec = ServerSpec::new(Script::new(), 0_u64)
                .on_poison(poison)
                .max_restarts(1, Duration::from_secs(3_600));
            let server = spec.start().await.expect("it starts");
            for n in 1..=7 {
                assert_eq!(ask(&server, add).await, n);
            }
            server.kill_worker();
            serves(&server, 2).await;
            server.kill_worker();
            let reason = soon(server.wait_incarnation(3)).await.expect_err("one kill too many");
            assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
            assert_eq!(*server.peek(), 7, "{poison:?}");
        }
    }

    /// G10: a server whose every restart fails leaves the others on its runtime their turn.
    async fn a_server_that_fails_to_restart_lets_others_run() {
        /// So many attempts in a row are nobody else's turn.
        const TOO_MANY: u64 = 300_000;

        let (attempts, well) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let factory = {
            let (attempts, well) = (attempts.clone(), well.clone());
            move || {
                if !well.load(SeqCst) && attempts.fetch_add(1, SeqCst) < TOO_MANY {
                    inject();
                }
                Script::new()
            }
        };
        let spec = ServerSpec::from_fn(factory, 0_u64).max_restarts(u32::MAX, Duration::from_secs(1));
        let server = spec.start().await.expect("it starts");
        well.store(false, SeqCst);
        server.kill_worker();
        until("it has tried to restart", || attempts.load(SeqCst) > 1_000).await;
        well.store(true, SeqCst);
        assert_eq!(ask(&server, add).await, 1);
        assert!(attempts.load(SeqCst) < TOO_MANY, "nobody else had a turn");
        stop(&server).await;
    }
}

#[cfg(feature = "chaos")]
mod queue {
    use super::*;
    use crate::crash::{
        script::boom,
        tape::{Event, rest, tape},
    };

    /// From so many queued events on, only the newest of each of the five kinds is kept.
    const EVENTS: usize = 4096 + 5;

    /// A state that knows how many of it there are.
    #[derive(Clone)]
    struct Counted {
        value: u64,
        _copy: Arc<()>,
    }

    /// KF3 LI9 LI2: the queue of a keeper that stalls stays short whatever happens meanwhile, also when changes and crashes
    /// take turns; and the listener gets the newest of it, with the count of the changes that it did not see.
    #[tokio::test(start_paused = true)]
    async fn changes_and_crashes_in_turn_do_not_let_a_queue_grow() {
        const CHANGES: u64 = 4_000 + 5_000;

        quiet();
        let copies = Arc::new(());
        let (tape, mut events) = tape();
        let server = ServerSpec::new(Script::new(), Counted { value: 0, _copy: copies.clone() })
            .max_restarts(u32::MAX, Duration::from_secs(1))
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        assert!(matches!(events.recv().await, Some(Event::Started)));
        let stall = Duration::from_secs(10);
        server.chaos().stall_keeper(stall);
        for n in 1..=CHANGES {
            let change = job(|state: &mut Counted| {
                state.value += 1;
                Ok(Next::Wait)
            });
            server.cast(change).await.expect("a server");
            if n > 4_000 {
                server.cast(boom()).await.expect("a server");
            }
        }
        let copies = || Arc::strong_count(&copies) - 1;
        until("all is handled", || server.peek().value == CHANGES && server.mailbox_len() == 0).await;
        // Beside those of the events there are the one that is kept, the one the listener saw, the working copy, and the
        // one to be written into.
        assert!(copies() <= EVENTS + 4, "{} copies of the state are alive", copies());
        assert!(events.is_empty(), "the keeper is stalled");

        tokio::time::sleep(stall).await;
        stop(&server).await;
        drop(server);
        let (mut seen, mut changes, mut count) = (0, 0, 0);
        for event in rest(events).await {
            count += 1;
            if let Event::Changed { old, new, lagged, .. } = event {
                assert_eq!((old.value, new.value), (seen, seen + lagged + 1));
                seen = new.value;
                changes += lagged + 1;
            }
        }
        assert_eq!((seen, changes), (CHANGES, CHANGES));
        assert!(count <= EVENTS, "{count} events");
        assert_eq!(copies(), 0);
    }
}
