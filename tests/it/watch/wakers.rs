//! Wakers of watchers: whose they are, how often they are woken, and what they do.

use std::{
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use undying::{ServerRef, Watch};

use super::{next, sleeps, watched};
use crate::{
    crash::script::{Script, add, ask, crash, get, inc, soon, stop, tell},
    support::{RACES, inject},
};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Has `watch` wait with that waker.
fn wait_with(watch: &mut Watch<Script<u64>>, waker: &Waker) {
    let mut next = pin!(watch.next());
    assert!(next.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
}

/// Panics when it is woken, and when it is dropped.
struct Wild;

impl Wake for Wild {
    fn wake(self: Arc<Self>) {
        inject()
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            inject();
        }
    }
}

/// Looks at the server when it is woken, and when it is dropped.
struct Curious(ServerRef<Script<u64>>, Arc<Mutex<Vec<u64>>>);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.1.lock().push(*self.0.peek());
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        let _ = (self.0.status(), self.0.mailbox_len());
    }
}

both! {
    /// WA6: a waker is woken once for each wait, by the first change, and not by what is none.
    async fn a_waker_is_woken_once() {
        let (server, mut watch) = watched().await;
        let count = Arc::new(Count::default());
        wait_with(&mut watch, &count.clone().into());
        ask(&server, get).await;
        crash(&server).await;
        ask(&server, get).await;
        assert_eq!(count.0.load(SeqCst), 0);
        for n in 1..=10 {
            assert_eq!(ask(&server, add).await, n);
        }
        stop(&server).await;
        assert_eq!(count.0.load(SeqCst), 1);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    /// WA6: of several polls the last waker counts, and the ones before are let go.
    async fn the_last_waker_counts() {
        let (server, mut watch) = watched().await;
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        wait_with(&mut watch, &first.clone().into());
        wait_with(&mut watch, &last.clone().into());
        assert_eq!(Arc::strong_count(&first), 1);
        assert_eq!(ask(&server, add).await, 1);
        ask(&server, get).await;
        assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
    }

    /// WA10: a watcher that is dropped while it waits leaves no waker behind, two hundred times over.
    async fn a_dropped_watcher_leaves_no_waker() {
        let (server, _watch) = watched().await;
        let count = Arc::new(Count::default());
        let memory: Weak<Count> = Arc::downgrade(&count);
        let waker = Waker::from(count);
        for _ in 0..RACES {
            let mut watch = server.watch();
            assert_eq!(next(&mut watch).await, 0);
            wait_with(&mut watch, &waker);
        }
        drop(waker);
        assert!(memory.upgrade().is_none());
        assert_eq!(ask(&server, add).await, 1);
    }

    /// WA11 K8: a waker that panics, when it is woken and when it is dropped, harms neither the server nor the others.
    async fn a_waker_that_panics_harms_nobody() {
        let (server, mut wild) = watched().await;
        let mut watch = server.watch();
        assert_eq!(next(&mut watch).await, 0);
        for n in 1..=20 {
            // The server holds the only one there is: the first one is dropped by it, the second one woken.
            for _ in 0..2 {
                wait_with(&mut wild, &Waker::from(Arc::new(Wild)));
            }
            let other = tokio::spawn(async move { (next(&mut watch).await, watch) });
            tokio::task::yield_now().await;
            assert_eq!(ask(&server, add).await, n);
            let (seen, again) = soon(other).await.expect("joined");
            assert_eq!(seen, n);
            watch = again;
            assert_eq!(next(&mut wild).await, n);
        }
        assert_eq!(server.incarnation(), 1);
        let exit = stop(&server).await;
        assert!(!exit.reason.is_abnormal(), "{}", exit.reason);
    }

    /// WA11 K8: a waker may look at the server: no lock is held when it is woken or dropped.
    async fn a_waker_may_look_at_the_server() {
        let (server, mut watch) = watched().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        for n in 1..=20 {
            wait_with(&mut watch, &Arc::new(Curious(server.clone(), seen.clone())).into());
            wait_with(&mut watch, &Arc::new(Curious(server.clone(), seen.clone())).into());
            tell(&server, inc()).await;
            assert_eq!(ask(&server, get).await, n);
            assert_eq!(next(&mut watch).await, n);
        }
        wait_with(&mut watch, &Arc::new(Curious(server.clone(), seen.clone())).into());
        drop(watch);
        assert!(seen.lock().iter().copied().eq(1..=20), "{seen:?}");
    }

    /// WA6: one waker may be that of many watchers.
    async fn watchers_may_share_a_waker() {
        let (server, mut first) = watched().await;
        let mut second = server.watch();
        assert_eq!(next(&mut second).await, 0);
        let count = Arc::new(Count::default());
        wait_with(&mut first, &count.clone().into());
        wait_with(&mut second, &count.clone().into());
        assert_eq!(ask(&server, add).await, 1);
        ask(&server, get).await;
        assert_eq!(count.0.load(SeqCst), 2);
        assert!(!sleeps(&mut first) && !sleeps(&mut second));
    }
}

/// WA6: outside of any runtime a watcher is polled like anything else.
#[test]
fn a_watch_needs_no_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (server, mut watch) = runtime.block_on(watched());
    runtime.block_on(async { assert_eq!(ask(&server, add).await, 1) });
    let mut next = pin!(watch.next());
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(kept)) => assert_eq!(*kept, 1),
        other => panic!("{other:?}"),
    }
}
