//! Wakers that are not well-behaved: some panic when they are woken, some do things when they are dropped.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures::executor::block_on;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use undying::{CallError, ExitReason, Mailbox, ServerRef, ServerSpec};

use super::{Callers, keep, push, waiting};
use crate::{
    crash::script::{Job, Script, ask, asked, get, soon, start, tell, wait_at},
    support::{Gate, inject, quiet, until},
};

/// A waker that notes that it was woken, and then may panic.
struct Bell {
    rung: AtomicBool,
    cracked: bool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, SeqCst);
        if self.cracked {
            inject();
        }
    }
}

/// Somebody who has polled a future and polls it again only when woken.
struct Waiter<F: Future> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
}

impl<F: Future> Waiter<F> {
    /// Waits with a waker that panics.
    fn cracked(future: F) -> Self {
        Self::new(future, true)
    }

    /// Waits as anybody does.
    fn sound(future: F) -> Self {
        Self::new(future, false)
    }

    fn new(future: F, cracked: bool) -> Self {
        let bell = Bell { rung: AtomicBool::new(false), cracked };
        let mut waiter = Self { future: Box::pin(future), bell: Arc::new(bell) };
        assert!(waiter.poll().is_pending());
        waiter
    }

    fn poll(&mut self) -> Poll<F::Output> {
        poll_with(&Waker::from(self.bell.clone()), &mut self.future)
    }

    async fn result(mut self) -> F::Output {
        loop {
            until("its waker is woken", || self.bell.rung.swap(false, SeqCst)).await;
            if let Poll::Ready(result) = self.poll() {
                return result;
            }
        }
    }
}

/// A waker that does something when it is dropped for good.
struct LastWill(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl LastWill {
    fn waker(will: impl FnOnce() + Send + 'static) -> Waker {
        Waker::from(Arc::new(Self(Mutex::new(Some(Box::new(will))))))
    }
}

impl Wake for LastWill {
    fn wake(self: Arc<Self>) {}
}

impl Drop for LastWill {
    fn drop(&mut self) {
        if let Some(will) = self.0.get_mut().take() {
            will();
        }
    }
}

/// Does `act` with a runtime of each flavour on a thread of its own, so that a deadlock there is a failure and not the end
/// of the tests.
fn without_deadlock(act: fn(&Runtime)) {
    quiet();
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let (done, end) = mpsc::channel();
        thread::spawn(move || {
            let runtime = builder.enable_all().build().expect("a runtime");
            act(&runtime);
            drop(runtime);
            done.send(()).expect("the test waits for it");
        });
        let end = end.recv_timeout(Duration::from_secs(20));
        assert!(end.is_ok(), "it is a deadlock if it took too long, and a panic otherwise: {end:?}");
    }
}

/// A server whose room for one message is taken, and the gate it has been stopped at.
async fn full() -> (ServerRef<Script<Vec<u64>>>, Gate) {
    let spec = ServerSpec::new(Script::new(), Vec::new()).mailbox(Mailbox::bounded(1));
    let (server, gate) = (spec.start().await.expect("it starts"), Gate::new());
    tell(&server, wait_at(&gate)).await;
    soon(gate.arrived()).await;
    tell(&server, push(1)).await;
    (server, gate)
}

/// A cast that owns its handle, so that it can be kept in a waker.
fn sending(
    server: &ServerRef<Script<Vec<u64>>>,
    message: Job<Vec<u64>>,
) -> Pin<Box<dyn Future<Output = bool> + Send>> {
    let server = server.clone();
    Box::pin(async move { server.cast(message).await.is_ok() })
}

/// Polls `future` once for a task whose waker is `waker`.
fn poll_with<F: Future + Unpin>(waker: &Waker, future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls `future` once for nobody.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(Waker::noop(), future)
}

both! {
    /// K13 G10: a waker that panics when its call times out harms neither the server nor the timeouts of others.
    async fn a_panicking_waker_at_a_timeout_harms_nobody_else() {
        let server = start(Callers::new()).await;
        let limit = Duration::from_millis(1);
        let before = Waiter::sound(server.call(keep).timeout(limit));
        let cracked = Waiter::cracked(server.call(keep).timeout(limit));
        let after = Waiter::sound(server.call(keep).timeout(limit));
        let later = Waiter::sound(server.call(keep).timeout(20 * limit));
        for waiter in [before, cracked, after, later] {
            let answer = waiter.result().await;
            assert!(matches!(answer, Err(CallError::Timeout)), "{answer:?}");
        }
        assert_eq!(ask(&server, waiting).await, 4);
        assert_eq!(server.incarnation(), 1);
    }

    /// K13 G9: a waker that panics when its caller is told of the end leaves no other caller without an answer, wherever
    /// their calls are.
    async fn a_panicking_waker_at_the_end_leaves_nobody_unanswered() {
        let server = start(Callers::new()).await;
        let call = || server.call(keep).no_timeout();
        let kept = [Waiter::sound(call()), Waiter::cracked(call()), Waiter::sound(call())];
        assert_eq!(ask(&server, waiting).await, 3);
        let gate = Gate::new();
        let in_hand = Waiter::cracked(server.call(asked(wait_at(&gate))).no_timeout());
        soon(gate.arrived()).await;
        let queued = [Waiter::sound(call()), Waiter::cracked(call()), Waiter::sound(call())];
        server.kill();
        let answer = in_hand.result().await;
        assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        for waiter in kept.into_iter().chain(queued) {
            let answer = waiter.result().await;
            assert!(matches!(answer, Err(CallError::Stopped(ExitReason::Killed))), "{answer:?}");
        }
        assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Killed));
    }

    /// K13 G3: a waker that panics when there is room for its message costs neither the worker nor a message.
    async fn a_panicking_waker_in_the_line_for_room_costs_no_message() {
        let (server, gate) = full().await;
        let cracked = Waiter::cracked(server.cast(push(2)));
        let sound = Waiter::sound(server.cast(push(3)));
        gate.open();
        cracked.result().await.expect("a server");
        sound.result().await.expect("a server");
        assert_eq!(ask(&server, get).await, [1, 2, 3]);
        assert_eq!(server.incarnation(), 1);
    }

    /// K13: a waker that panics when the line for room is sent away does not keep the others in it.
    async fn a_panicking_waker_in_the_line_for_room_keeps_nobody_in_it() {
        let (server, _gate) = full().await;
        let line = [
            Waiter::sound(server.cast(push(2))),
            Waiter::cracked(server.cast(push(3))),
            Waiter::sound(server.cast(push(4))),
        ];
        let call = Waiter::sound(server.call(get).no_timeout());
        server.kill();
        for waiter in line {
            assert!(waiter.result().await.is_err(), "the server is over");
        }
        assert!(call.result().await.is_err(), "the server is over");
    }

    /// K13: a waker that panics when the server serves again, or is over, keeps that from nobody else, however many wait.
    async fn a_panicking_waker_keeps_no_news_from_others() {
        let server = start(Callers::new()).await;
        let waiters = |n: u64| {
            // More than a runtime wakes in one go.
            let each = |at| Waiter::new(server.wait_incarnation(n), at % 50 == 1);
            (0..200).map(each).collect::<Vec<_>>()
        };
        let (next, never) = (waiters(2), waiters(u64::MAX));
        let ends: Vec<_> = (0..200).map(|at| Waiter::new(server.stopped(), at % 50 == 1)).collect();
        server.kill_worker();
        for waiter in next {
            assert_eq!(waiter.result().await.expect("it restarts"), 2);
        }
        server.kill();
        for waiter in never {
            assert!(matches!(waiter.result().await, Err(ExitReason::Killed)));
        }
        for waiter in ends {
            assert!(matches!(waiter.result().await.reason, ExitReason::Killed));
        }
    }
}

/// K8: the waker of a caller is dropped under no lock: it may answer the very call it is dropped by.
#[test]
fn a_waker_of_a_caller_may_answer_while_it_is_dropped() {
    without_deadlock(|runtime| {
        let server = runtime.block_on(start(Callers::new()));
        let mut copy = None;
        let call = server.call(|reply| {
            copy = Some(reply.clone());
            keep(reply)
        });
        let mut call = call.no_timeout();
        let copy = copy.expect("the request is made at once");
        let waker = LastWill::waker(move || copy.send(5));
        assert!(poll_with(&waker, &mut call).is_pending());
        drop(waker);
        // Another waker takes its place.
        assert_eq!(block_on(call).expect("answered by the waker"), 5);
    });
}

/// K8: the waker of a sender in line is dropped under no lock: it may own another sender, who leaves the line.
#[test]
fn a_waker_of_a_sender_may_leave_the_line_while_it_is_dropped() {
    without_deadlock(|runtime| {
        let (server, gate) = runtime.block_on(full());
        let [mut first, mut owned, mut last] = [2, 3, 4].map(|n| sending(&server, push(n)));
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut owned).is_pending());
        let waker = LastWill::waker(move || drop(owned));
        assert!(poll_with(&waker, &mut last).is_pending());
        drop(waker);
        // One of three has left; when the second goes, the line is swept.
        drop(first);
        assert!(poll_once(&mut last).is_pending());
        drop(last);
        gate.open();
        assert_eq!(runtime.block_on(ask(&server, get)), [1]);
    });
}

/// K8: the waker of a sender who left the line is dropped under no lock: it may look at the mailbox.
#[test]
fn a_waker_of_a_sender_who_left_may_look_at_the_mailbox() {
    without_deadlock(|runtime| {
        let (server, gate) = runtime.block_on(full());
        let [mut first, mut second, mut last] = [2, 3, 4].map(|n| sending(&server, push(n)));
        let looker = server.clone();
        let waker = LastWill::waker(move || assert_eq!(looker.mailbox_len(), 1));
        assert!(poll_with(&waker, &mut first).is_pending());
        drop(waker);
        assert!(poll_once(&mut second).is_pending());
        assert!(poll_once(&mut last).is_pending());
        drop(first);
        drop(second);
        drop(last);
        gate.open();
        assert_eq!(runtime.block_on(ask(&server, get)), [1]);
    });
}
