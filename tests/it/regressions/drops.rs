//! What is dropped, when, and by whom. A panic in a `Drop` that runs while another panic unwinds aborts the process, so
//! the crate must not let anything of the user's be dropped then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use parking_lot::Mutex;
use undying::{ExitReason, Listener, Next, Poison, Reply, ServerRef, ServerSpec, Started, StateMut};

use crate::{
    crash::script::{Job, Script, add, ask, job, look, serves, slow, soon, start, stop, tell},
    support::{inject, until},
};

/// The value that cannot be cloned into a place.
const TORN: u64 = 99;

/// A state that counts how often one of its kind was dropped while a panic unwound.
struct Delicate {
    value: u64,
    /// Whether its `Drop` panics. It does not while unwinding, for the test is to fail and not to be aborted.
    bursts: bool,
    unwound: Arc<AtomicUsize>,
}

impl Delicate {
    /// One at 0, and the count.
    fn new(bursts: bool) -> (Self, Arc<AtomicUsize>) {
        let unwound = Arc::new(AtomicUsize::new(0));
        (Self { value: 0, bursts, unwound: unwound.clone() }, unwound)
    }
}

impl Clone for Delicate {
    fn clone(&self) -> Self {
        Self { value: self.value, bursts: self.bursts, unwound: self.unwound.clone() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.value = source.value;
        if self.value == TORN {
            inject();
        }
    }
}

impl Drop for Delicate {
    fn drop(&mut self) {
        if thread::panicking() {
            self.unwound.fetch_add(1, SeqCst);
        } else if self.bursts {
            inject();
        }
    }
}

/// Makes the value `n`.
fn set_to(n: u64) -> Job<Delicate> {
    job(move |state: &mut Delicate| {
        state.value = n;
        Ok(Next::Wait)
    })
}

/// Answers with the value.
fn value(reply: Reply<u64>) -> Job<Delicate> {
    look(move |state: &Delicate| {
        reply.send(state.value);
        Ok(Next::Wait)
    })
}

/// A listener that keeps the handle it is given.
struct Clinging {
    server: Mutex<Option<ServerRef<Script<u64>>>>,
    _token: Arc<()>,
}

impl Listener<Script<u64>> for Clinging {
    fn started(&self, event: &Started<'_, Script<u64>>) {
        *self.server.lock() = Some(event.server.clone());
    }
}

both! {
    /// K3 CR12: a snapshot that was half written when its `Clone` panicked is not dropped by that panic's unwinding.
    async fn a_torn_snapshot_is_not_dropped_while_unwinding() {
        let (state, unwound) = Delicate::new(false);
        let server = start(state).await;
        for n in [1, 2, 3, TORN] {
            tell(&server, set_to(n)).await;
        }
        assert_eq!(ask(&server, value).await, 3);
        assert_eq!((server.incarnation(), unwound.load(SeqCst)), (2, 0));
    }

    /// K3 CR11 G11: at the end of a server with more than one snapshot, the panic of one's `Drop` drops no other.
    async fn the_last_snapshots_are_not_dropped_while_unwinding() {
        for poison in [Poison::Stop, Poison::ResetToInitial, Poison::PreviousGood] {
            let (state, unwound) = Delicate::new(true);
            let spec = ServerSpec::new(Script::new(), state).on_poison(poison);
            let server = spec.start().await.expect("it starts");
            for n in 1..=3 {
                tell(&server, set_to(n)).await;
            }
            assert_eq!(ask(&server, value).await, 3);
            server.kill();
            let reason = soon(server.wait_incarnation(u64::MAX)).await.expect_err("it is over");
            assert!(matches!(reason, ExitReason::Killed), "{reason}");
            drop(server);
            until("all is dropped", || Arc::strong_count(&unwound) == 1).await;
            assert_eq!(unwound.load(SeqCst), 0, "{poison:?}");
        }
    }

    /// K3 K4 G6: of what a refused commit leaves, snapshot and continue, the panic of one's `Drop` does not drop the other.
    async fn what_a_refused_commit_leaves_is_not_dropped_while_unwinding() {
        let (state, unwound) = Delicate::new(true);
        let carried = state.clone();
        let server = start(state).await;
        let fenced = slow(move |mut state: StateMut<'_, Script<Delicate>>, cx| {
            Box::pin(async move {
                state.value = 77;
                cx.server().kill_worker();
                Ok(Next::Continue(job(move |state: &mut Delicate| {
                    *state = carried;
                    Ok(Next::Wait)
                })))
            })
        });
        tell(&server, fenced).await;
        serves(&server, 2).await;
        assert_eq!(ask(&server, value).await, 0);
        server.kill();
        soon(server.wait_incarnation(u64::MAX)).await.expect_err("it is over");
        drop(server);
        until("all is dropped", || Arc::strong_count(&unwound) == 1).await;
        assert_eq!(unwound.load(SeqCst), 0);
    }

    /// G11: a listener that keeps a handle to its server does not keep the server in memory when that is over.
    async fn a_listener_that_keeps_its_server_is_dropped_after_the_end() {
        for killed in [false, true] {
            let token = Arc::new(());
            let listener = Clinging { server: Mutex::new(None), _token: token.clone() };
            let spec = ServerSpec::new(Script::new(), 0_u64).listener(listener);
            let server = spec.start().await.expect("it starts");
            assert_eq!(ask(&server, add).await, 1);
            if killed {
                server.kill();
                soon(server.stopped()).await;
            } else {
                stop(&server).await;
            }
            drop(server);
            until("the listener is dropped", || Arc::strong_count(&token) == 1).await;
        }
    }
}
