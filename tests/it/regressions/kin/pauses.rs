//! Between the end of a child and its next life.

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use undying::{Backoff, CallError, ExitReason, Next, ServerRef, ServerSpec, Status, StopError};

use super::{child, counter, family, start};
use crate::{
    crash::script::{Script, add, ask, inc, job, soon, tell},
    support::{RACES, until},
};

/// As long as a test may take: whoever waits it out has not been stopped.
const LONG: Backoff = Backoff::exponential(Duration::from_secs(3_600), Duration::from_secs(3_600));

both! {
    /// Whoever asks for the end while the server waits for its next life gets it, at once, whatever it is that asks.
    async fn an_end_during_a_back_off_is_not_waited_for() {
        for way in 0..5 {
            let tree = start(family().backoff(LONG).child(counter("a")).child(counter("b"))).await;
            let (server, sibling) = (child(&tree, "a"), child(&tree, "b"));
            server.kill();
            until("it waits", || tree.count().active == 1).await;
            match way {
                0 => drop(soon(server.stop()).await.expect("it is not over")),
                1 => soon(tree.terminate_child("a")).await.expect("it is there"),
                2 => drop(soon(tree.stop()).await.expect("it ran")),
                3 => tree.kill(),
                _ => drop(tree.clone().into_guard()),
            }
            soon(server.stopped()).await;
            until("it is over", || !server.is_alive()).await;
            assert!(matches!(soon(server.call(add)).await, Err(CallError::NoProc)));
            if way >= 2 {
                soon(sibling.stopped()).await;
            }
            assert_eq!(sibling.is_alive(), way < 2, "way {way}");
            if way < 2 {
                soon(tree.stop()).await.expect("it ran");
            }
        }
    }

    /// A stop is never lost, whenever it comes: the server ends by it, or had ended, and both say which.
    async fn a_stop_at_any_moment_of_a_restart_is_heard() {
        for round in 0..2 * RACES {
            let tree = start(family().child(counter("a"))).await;
            let server = child(&tree, "a");
            server.kill();
            for _ in 0..round % 12 {
                tokio::task::yield_now().await;
            }
            match soon(server.stop()).await {
                Ok(exit) => assert!(matches!(exit.reason, ExitReason::Normal | ExitReason::Killed), "{exit:?}"),
                Err(error) => assert_eq!(error, StopError::NoProc),
            }
            soon(tree.stop()).await.expect("it ran");
        }
    }

    /// A kill is one end: whoever comes after it, as early as may be, is in the next life, and is not killed with it.
    async fn a_kill_is_one_end() {
        let tree = start(family().child(counter("a"))).await;
        let server = child(&tree, "a");
        for kills in 1..=20 * RACES as u64 {
            server.kill();
            soon(server.wait_incarnation(kills + 1)).await.expect("another life");
            assert!(server.incarnation() == kills + 1 && tree.children()[0].restarts <= kills, "after {kills} kills");
        }
        soon(tree.stop()).await.expect("it ran");
    }

    /// What is cast while the server is up or waits for its next life is taken: nothing says that it is over.
    async fn casts_are_taken_throughout_a_restart() {
        let tree = start(family().child(counter("a"))).await;
        let server = child(&tree, "a");
        let over = Arc::new(AtomicBool::new(false));
        let killer = {
            let (server, over) = (server.clone(), over.clone());
            tokio::spawn(async move {
                for life in 2..2 + RACES as u64 {
                    server.kill();
                    soon(server.wait_incarnation(life)).await.expect("another life");
                }
                over.store(true, SeqCst);
            })
        };
        while !over.load(SeqCst) {
            // A kill closes the mailbox before the end is known; from the end on it is open.
            if server.status() == Status::Restarting {
                let _ = server.try_cast(inc());
            }
            tokio::task::yield_now().await;
        }
        soon(killer).await.expect("no panic");
        ask(&server, add).await;
        soon(tree.stop()).await.expect("it ran");
    }
}

/// A state whose drop, once it is armed, tells that it is there and waits until it may go on.
#[derive(Clone, Default)]
struct Slow(Option<Arc<Trap>>);

struct Trap {
    armed: AtomicBool,
    here: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        let Some(trap) = &self.0 else { return };
        if trap.armed.swap(false, SeqCst) {
            trap.here.lock().send(()).expect("the test listens");
            trap.go.lock().recv_timeout(Duration::from_secs(20)).expect("the test goes on");
        }
    }
}

/// A stop that comes while the crate drops the state of an earlier life is heard, and so is a cast.
#[test]
fn an_order_that_comes_while_an_old_state_is_dropped_is_heard() {
    let (here, is_here) = channel();
    let (go, may_go) = channel();
    let trap =
        Arc::new(Trap { armed: AtomicBool::new(false), here: Mutex::new(here), go: Mutex::new(may_go) });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (tree, server): (_, ServerRef<Script<Slow>>) = runtime.block_on(async {
        let spec = ServerSpec::new(Script::new(), Slow::default()).id("a");
        let tree = start(family().child(spec)).await;
        let server = tree.server("a").expect("it is there");
        // The state of this life is the one that is dropped at the end of the next one.
        let armed = trap.clone();
        tell(
            &server,
            job(move |state: &mut Slow| {
                *state = Slow(Some(armed));
                Ok(Next::Wait)
            }),
        )
        .await;
        (tree, server)
    });
    runtime.block_on(async {
        soon(server.sys().statistics()).await.expect("it has handled that");
        server.kill();
        soon(server.wait_incarnation(2)).await.expect("another life");
    });
    trap.armed.store(true, SeqCst);
    server.kill();
    if is_here.recv_timeout(Duration::from_secs(2)).is_err() {
        // It was dropped before: there is no such moment.
        runtime.block_on(soon(tree.stop())).expect("it ran");
        return;
    }
    let restarting = server.status() == Status::Restarting;
    let cast = server.try_cast(job(|_| Ok(Next::Wait))).is_ok();
    let stopping = thread::spawn({
        move || {
            futures::executor::block_on(server.stop().timeout(Duration::from_secs(10)).into_future())
                .map(|exit| exit.reason)
        }
    });
    thread::sleep(Duration::from_millis(50));
    go.send(()).expect("it waits");
    let stopped = stopping.join().expect("no panic");
    assert!(!matches!(stopped, Err(StopError::Timeout)), "{stopped:?}");
    assert!(cast || !restarting, "a server that waits for its next life takes casts");
    runtime.block_on(soon(tree.stop())).expect("it ran");
}
