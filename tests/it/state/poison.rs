//! States that kill every incarnation which takes them over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use undying::{Callback, ExitReason, Next, Poison, ServerRef, ServerSpec};

use crate::{
    crash::script::{Script, add, ask, crash, get, serves, set, soon, stop, tell},
    support::inject,
};

/// The state no incarnation can live with.
const POISON: u64 = 666;

/// A server that survives four crashes; had so many in its life that it survived, then 5 in its state and then the poison,
/// with which it crashed. And the count of its attempts to restart with the poison.
async fn poisoned(poison: Poison, before: u64) -> (ServerRef<Script<u64>>, Arc<AtomicUsize>) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let script = Script::new().on_restarted(move |_, state| {
        if *state == POISON {
            counted.fetch_add(1, Ordering::SeqCst);
            inject();
        }
        Box::pin(async { Ok(Next::Wait) })
    });
    let server = ServerSpec::new(script, 1)
        .max_restarts(4, Duration::from_secs(60))
        .on_poison(poison)
        .start()
        .await
        .expect("it starts");
    for n in 1..=before {
        server.kill_worker();
        serves(&server, n + 1).await;
    }
    tell(&server, set(5)).await;
    tell(&server, set(POISON)).await;
    crash(&server).await;
    (server, attempts)
}

both! {
    /// SV14: by default a poisoned server ends at its restart limit, with the poison as its final state.
    async fn poison_ends_a_server_by_default() {
        let (server, attempts) = poisoned(Poison::Stop, 0).await;
        let exit = soon(server.stopped()).await;
        match exit.reason {
            ExitReason::RestartLimit(report) => assert_eq!(report.callback(), Callback::Restarted),
            other => panic!("{other}"),
        }
        assert_eq!(*exit.state, POISON);
        // The first of the four crashes survived was the one that came with the poison.
        assert_eq!(attempts.load(Ordering::SeqCst), 4);
    }

    /// SV14: with `ResetToInitial` a poisoned server goes back to the state it was started with and serves.
    async fn a_poisoned_server_can_go_back_to_its_initial_state() {
        let (server, attempts) = poisoned(Poison::ResetToInitial, 0).await;
        assert_eq!(ask(&server, add).await, 2);
        assert!(attempts.load(Ordering::SeqCst) > 0);
        assert!(server.is_alive());
        let exit = stop(&server).await;
        assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
        assert_eq!(*exit.state, 2);
    }

    /// SV14: with `PreviousGood` a poisoned server goes back to the state before the poison and serves.
    async fn a_poisoned_server_can_go_back_to_the_previous_state() {
        let (server, attempts) = poisoned(Poison::PreviousGood, 0).await;
        assert_eq!(ask(&server, add).await, 6);
        assert!(attempts.load(Ordering::SeqCst) > 0);
        let exit = stop(&server).await;
        assert_eq!(*exit.state, 6);
    }

    /// SV14: poison is poison also when crashes before it have used up part of the budget.
    async fn crashes_before_the_poison_do_not_hide_it() {
        for (poison, answer) in [(Poison::ResetToInitial, 2), (Poison::PreviousGood, 6)] {
            let (server, attempts) = poisoned(poison, 1).await;
            assert_eq!(ask(&server, add).await, answer);
            assert!(attempts.load(Ordering::SeqCst) > 0);
        }
    }

    /// SV14: a server that serves between its crashes is not poisoned: the limit ends it, whatever the policy.
    async fn crashing_messages_are_no_poison() {
        for poison in [Poison::Stop, Poison::ResetToInitial, Poison::PreviousGood] {
            let server = ServerSpec::new(Script::new(), 1_u64)
                .max_restarts(2, Duration::from_secs(60))
                .on_poison(poison)
                .start()
                .await
                .expect("it starts");
            assert_eq!(ask(&server, add).await, 2);
            for _ in 0..3 {
                assert_eq!(ask(&server, get).await, 2);
                crash(&server).await;
            }
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::RestartLimit(_)), "{}", exit.reason);
            assert_eq!(*exit.state, 2);
        }
    }
}
