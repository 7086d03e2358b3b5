//! Crashes of those who wait, and of those who are waited for: nobody is refused for what is over.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use futures::poll;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use undying::{CallError, Crash, CrashKind, Next, Reply, ServerSpec};

use super::{
    innocent::{answered, calls_later, waits_for},
    several,
};
use crate::{
    crash::script::{Job, Script, add, ask, asked, boom, serves, slow, soon, start, tell, wait_at},
    support::{Gate, RACES, inject, quiet},
};

both! {
    /// Who was killed while it waited does not wait any more: whom it had called may call its successor.
    async fn a_killed_callback_does_not_wait_any_more() {
        for _ in 0..RACES {
            let [a, b] = several().await;
            let gate = Gate::new();
            let (calls_back, called_back) = calls_later(&gate, &a);
            tell(&a, waits_for(&b, calls_back)).await;
            soon(gate.arrived()).await;
            a.kill_worker();
            serves(&a, 2).await;
            gate.open();
            answered(soon(called_back).await, 1);
        }
    }

    /// From the kill on it does not wait any more, whether its successor is there yet or not.
    async fn who_is_being_killed_does_not_wait_any_more() {
        for _ in 0..RACES {
            let [a, b] = several().await;
            let gate = Gate::new();
            let (calls_back, called_back) = calls_later(&gate, &a);
            tell(&a, waits_for(&b, calls_back)).await;
            soon(gate.arrived()).await;
            a.kill_worker();
            gate.open();
            answered(soon(called_back).await, 1);
        }
    }

    /// Who crashed while it waited does not wait any more: whom it had called may call its successor.
    async fn a_crashed_callback_does_not_wait_any_more() {
        for fails in [false, true] {
            for _ in 0..RACES {
                let [a, b] = several().await;
                let (gate, crash) = (Gate::new(), Gate::new());
                let (calls_back, called_back) = calls_later(&gate, &a);
                let (other, crashes) = (b.clone(), crash.clone());
                let crashing: Job<u64> = slow(move |_, _| Box::pin(async move {
                    let mut call = other.call(asked(calls_back));
                    tokio::select! {
                        _ = &mut call => {}
                        () = crashes.pass() => {}
                    }
                    // The call is still there, and is dropped by the crash.
                    if fails { Err(Crash::msg("test: enough")) } else { inject() }
                }));
                tell(&a, crashing).await;
                soon(gate.arrived()).await;
                soon(crash.arrived()).await;
                crash.open();
                serves(&a, 2).await;
                gate.open();
                answered(soon(called_back).await, 1);
            }
        }
    }

    /// The successor of a server that crashed, or was killed, while it was waited for may call whoever waited: that
    /// one has its answer, even before it has had a turn to take it.
    async fn the_successor_of_who_was_waited_for_may_call_back() {
        for kill in [false, true] {
            for _ in 0..RACES {
                let a = start(0_u64).await;
                let (told, called_back) = oneshot::channel();
                let told = Arc::new(Mutex::new(Some(told)));
                let back = a.clone();
                let script = Script::new().on_restarted(move |_, _| {
                    let (back, told) = (back.clone(), told.clone());
                    Box::pin(async move {
                        let answer = back.call(add).await;
                        let told = told.lock().take();
                        told.expect("one restart").send(answer).expect("the test waits for it");
                        Ok(Next::Wait)
                    })
                });
                let b = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
                let (gate, other) = (Gate::new(), b.clone());
                let at = gate.clone();
                let call = tokio::spawn({
                    let a = a.clone();
                    let request = if kill { wait_at(&at) } else { boom() };
                    let asks = |reply: Reply<Result<(), CallError>>| slow(move |_, _| Box::pin(async move {
                        reply.send(other.call(asked(request)).await);
                        Ok(Next::Wait)
                    }));
                    async move { ask(&a, asks).await }
                });
                if kill {
                    soon(gate.arrived()).await;
                    b.kill_worker();
                }
                match soon(call).await.expect("joined") {
                    Err(CallError::Crashed(report)) => assert_eq!(report.kind() == CrashKind::Kill, kill),
                    other => panic!("{other:?}"),
                }
                answered(soon(called_back).await, 1);
            }
        }
    }
}

/// Of a killed callback that does not yield, the call is still there; but what it waits for does not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_zombie_does_not_wait() {
    quiet();
    let spec = || ServerSpec::new(Script::new(), 0_u64).kill_grace(Duration::from_millis(20));
    let [a, b] = [spec().start().await.expect("it starts"), spec().start().await.expect("it starts")];
    let gate = Gate::new();
    let (calls_back, called_back) = calls_later(&gate, &a);
    let (open, wall) = mpsc::channel::<()>();
    let other = b.clone();
    let blocking = slow(move |_, _| {
        Box::pin(async move {
            let mut call = Box::pin(other.call(asked(calls_back)));
            assert!(poll!(&mut call).is_pending());
            // Returns when the test drops the other end.
            let _ = wall.recv();
            Ok(Next::Wait)
        })
    });
    tell(&a, blocking).await;
    soon(gate.arrived()).await;
    a.kill_worker();
    serves(&a, 2).await;
    gate.open();
    answered(soon(called_back).await, 1);
    drop(open);
}
