//! K8: no lock of the crate is held while user code runs. Where one is, whoever looks at the server from there waits for
//! itself, for good.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use tokio::runtime::Builder;
use tracing::subscriber::with_default;
use undying::{Mailbox, Next, ServerRef, ServerSpec, SysEvent, WhenFull};

use super::{kit::OnWarning, push};
use crate::{
    crash::script::{Script, add, ask, get, slow, soon, start, tell},
    effects::held,
    support::{Gate, quiet, until},
};

/// Runs `body` on a runtime and a thread of its own, which are left behind if they are stuck.
#[track_caller]
fn does_not_get_stuck<F: Future<Output = ()>>(body: impl FnOnce() -> F + Send + 'static) {
    quiet();
    let (done, is_done) = channel();
    let thread = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(body());
        done.send(()).expect("the test waits for it");
    });
    match is_done.recv_timeout(Duration::from_secs(20)) {
        Err(RecvTimeoutError::Timeout) => panic!("stuck"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => thread.join().expect("no panic"),
    }
}

/// Looks at its server when it is dropped.
struct Nosy {
    server: ServerRef<Script<u64>>,
    looks: Arc<AtomicUsize>,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.server.is_alive());
        let _ = (self.server.mailbox_len(), self.server.peek());
        self.looks.fetch_add(1, SeqCst);
    }
}

/// K8 IS9: a debug hook is dropped outside of every lock, whoever was the last to hold it: the worker, between two
/// messages or in a commit, or whoever removes it.
#[test]
fn a_debug_hook_may_look_at_its_server_when_it_is_dropped() {
    does_not_get_stuck(|| async {
        for in_a_callback in [false, true] {
            let (server, looks) = (start(0_u64).await, Arc::new(AtomicUsize::new(0)));
            let nosy = Nosy { server: server.clone(), looks: looks.clone() };
            let hook = move |_: &SysEvent| {
                let _nosy = &nosy;
            };
            assert!(soon(server.sys().install("hook", hook)).await.expect("alive"));
            // The worker knows it from now on.
            ask(&server, add).await;
            let gate = if in_a_callback { Some(held(&server).await) } else { None };
            assert!(soon(server.sys().remove("hook")).await.expect("alive"));
            assert_eq!(looks.load(SeqCst), 0, "the worker holds it");
            gate.iter().for_each(Gate::open);
            ask(&server, add).await;
            until("it is dropped", || looks.load(SeqCst) == 1).await;
            assert_eq!((ask(&server, get).await, server.incarnation()), (2, 1));
        }
    });
}

/// K8 CS6: a subscriber may look at the server whose high-water mark it is told of, whatever becomes of
/// messages for which there is no room.
#[test]
fn a_subscriber_may_look_at_the_server_it_is_told_of() {
    for policy in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
        does_not_get_stuck(move || async move {
            let mailbox = Mailbox::bounded(2).when_full(policy).high_water(2);
            let spec = ServerSpec::new(Script::new(), Vec::new()).mailbox(mailbox);
            let server = spec.start().await.expect("it starts");
            let (seen, looks) = (server.clone(), Arc::new(AtomicUsize::new(0)));
            let count = looks.clone();
            let looking = OnWarning(move || {
                assert_eq!(seen.mailbox_len(), 2);
                count.fetch_add(1, SeqCst);
            });
            let gate = held(&server).await;
            with_default(looking, || {
                server.try_cast(push(1)).expect("there is room");
                server.try_cast(push(2)).expect("there is room");
            });
            assert_eq!(looks.load(SeqCst), 1, "{policy:?}");
            gate.open();
            until("all is handled", || server.mailbox_len() == 0).await;
            assert_eq!(ask(&server, get).await, [1, 2]);
        });
    }
}

/// K8 CS6: the same where the mark is reached by a message in whose favour nothing can give way: all that is queued is what
/// the server has sent itself.
#[test]
fn a_subscriber_may_look_at_a_server_that_is_over_its_capacity() {
    does_not_get_stuck(|| async {
        let mailbox = Mailbox::bounded(1).when_full(WhenFull::DropOldest).high_water(2);
        let spec = ServerSpec::new(Script::new(), Vec::new()).mailbox(mailbox);
        let (server, gate) = (spec.start().await.expect("it starts"), Gate::new());
        let at = gate.clone();
        let to_itself = slow(move |_, cx| {
            Box::pin(async move {
                cx.server().cast(push(1)).await.expect("alive");
                at.pass().await;
                Ok(Next::Wait)
            })
        });
        tell(&server, to_itself).await;
        soon(gate.arrived()).await;
        let (seen, looks) = (server.clone(), Arc::new(AtomicUsize::new(0)));
        let count = looks.clone();
        let looking = OnWarning(move || {
            assert_eq!(seen.mailbox_len(), 2);
            count.fetch_add(1, SeqCst);
        });
        with_default(looking, || server.try_cast(push(2)).expect("taken"));
        assert_eq!(looks.load(SeqCst), 1);
        gate.open();
        until("all is handled", || server.mailbox_len() == 0).await;
        assert_eq!(ask(&server, get).await, [1, 2]);
    });
}
