//! Payloads, states and snapshots that panic themselves.

use std::{
    future::pending,
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use undying::{CallError, Callback, Crash, CrashKind, Next, Reply, StateMut};

use super::script::{Job, Script, add, ask, asked, get, job, look, slow, soon, start};
use crate::support::inject;

/// A state whose `Drop` panics while `armed`.
#[derive(Clone)]
struct Prickly {
    value: u64,
    armed: bool,
}

impl Drop for Prickly {
    fn drop(&mut self) {
        // A second panic while unwinding would abort the process: the crate promises not to drop states then.
        assert!(!self.armed, "test: the state refuses to go");
    }
}

/// A payload whose `Drop` panics.
struct Heavy;

impl Drop for Heavy {
    fn drop(&mut self) {
        panic!("test: the payload refuses to go");
    }
}

/// A state whose `clone` panics once, when it is told to.
struct Shy {
    value: u64,
    refuse: Arc<AtomicBool>,
}

impl Clone for Shy {
    fn clone(&self) -> Self {
        if self.refuse.swap(false, Ordering::SeqCst) {
            inject();
        }
        Self { value: self.value, refuse: Arc::clone(&self.refuse) }
    }
}

/// Makes a job that crashes.
type Make = fn() -> Job<u64>;

both! {
    /// CR10: a payload that is no string, or whose `Drop` panics, or that came from no `panic!`, is a crash like any.
    async fn any_panic_payload_is_survived_and_reported() {
        let payloads: [(Make, &str); 5] = [
            (|| look(|_| panic_any(7_u8)), "opaque payload"),
            (|| look(|_| panic_any(Heavy)), "opaque payload"),
            (|| look(|_| inject()), "opaque payload"),
            (|| look(|_| panic!("test: a literal")), "test: a literal"),
            (|| look(|_| panic!("test: {}", "formatted")), "test: formatted"),
        ];
        let server = start(0_u64).await;
        for (round, (payload, message)) in (1..).zip(payloads) {
            assert_eq!(ask(&server, add).await, round);
            match soon(server.call(asked(payload()))).await {
                Err(CallError::Crashed(report)) => assert_eq!(report.message(), message),
                other => panic!("{other:?}"),
            }
            assert_eq!(ask(&server, get).await, round);
            assert_eq!(server.incarnation(), round + 1);
        }
    }

    /// CR11: a state whose `Drop` panics is discarded all the same, after a panic, an error and a kill.
    async fn a_state_that_panics_in_drop_does_not_stop_the_restart() {
        let server = start(Prickly { value: 1, armed: false }).await;
        let read = |reply: Reply<u64>| look(move |state: &Prickly| {
            reply.send(state.value);
            Ok(Next::Wait)
        });
        let ways: [fn() -> Job<Prickly>; 3] = [
            || job(|state: &mut Prickly| {
                (state.value, state.armed) = (9, true);
                inject()
            }),
            || job(|state: &mut Prickly| {
                (state.value, state.armed) = (9, true);
                Err(Crash::msg("test: given up"))
            }),
            || slow(|mut state: StateMut<'_, Script<Prickly>>, cx| Box::pin(async move {
                (state.value, state.armed) = (9, true);
                cx.server().kill_worker();
                pending().await
            })),
        ];
        for (round, fatal) in (1..).zip(ways) {
            let lost = soon(server.call(asked(fatal()))).await;
            assert!(matches!(lost, Err(CallError::Crashed(_))), "{lost:?}");
            assert_eq!(ask(&server, read).await, 1);
            assert_eq!(server.incarnation(), round + 1);
        }
    }

    /// CR12: a snapshot that panics after the handler succeeded is a crash of that handler.
    async fn a_panicking_clone_is_a_crash_of_its_callback() {
        let refuse = Arc::new(AtomicBool::new(false));
        let server = start(Shy { value: 0, refuse: Arc::clone(&refuse) }).await;
        let write = |value| move |reply: Reply<u64>| job(move |state: &mut Shy| {
            state.value = value;
            reply.send(value);
            Ok(Next::Wait)
        });
        assert_eq!(ask(&server, write(1)).await, 1);
        refuse.store(true, Ordering::SeqCst);
        match soon(server.call(write(2))).await {
            Err(CallError::Crashed(report)) => {
                assert_eq!((report.callback(), report.kind()), (Callback::Call, CrashKind::Panic));
                assert_eq!(report.version(), 1);
            }
            other => panic!("{other:?}"),
        }
        assert!(!refuse.load(Ordering::SeqCst), "it was the clone that panicked");
        let read = |reply: Reply<u64>| look(move |state: &Shy| {
            reply.send(state.value);
            Ok(Next::Wait)
        });
        assert_eq!(ask(&server, read).await, 1);
        assert_eq!((server.incarnation(), server.peek().version()), (2, 1));
    }
}
