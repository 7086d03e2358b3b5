//! A parent that has seen the end of a child hears nothing more of that life: what the end leaves to be done takes nobody by
//! surprise, however long it takes.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use futures::poll;
use parking_lot::Mutex;
use tokio::task::yield_now;
use undying::{RestartPolicy, Status, Supervisor};

use super::{
    parts::{Counter, SECOND, counter},
    rise,
};
use crate::{
    crash::script::{add, ask, soon},
    support::{quiet, until},
};

/// Blocks its thread in its drop until it is let go.
struct Slow {
    dropping: Arc<AtomicBool>,
    go: Mutex<Receiver<()>>,
}

impl Slow {
    fn new() -> (Self, Arc<AtomicBool>, Sender<()>) {
        let (let_go, go) = channel();
        let dropping = Arc::new(AtomicBool::new(false));
        (Self { dropping: dropping.clone(), go: Mutex::new(go) }, dropping, let_go)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.dropping.store(true, SeqCst);
        // A test that fails lets go of it, too.
        let _ = self.go.lock().recv_timeout(Duration::from_secs(20));
    }
}

/// SH2: a child that is terminated, and whose last remains take their time to go, is restarted as soon as `terminate_child` has
/// returned, and lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_end_of_one_life_is_not_taken_for_that_of_the_next() {
    quiet();
    for policy in [RestartPolicy::Transient, RestartPolicy::Permanent] {
        let spec = Supervisor::builder().max_restarts(u32::MAX, SECOND);
        let sup = rise(spec.child(counter().id("a").restart(policy))).await;
        let server = sup.server::<Counter>("a").expect("it is there");
        let (slow, dropping, let_go) = Slow::new();
        let holds = move |_: &_| assert!(!slow.dropping.load(SeqCst), "it is not being dropped");
        assert!(soon(server.sys().install("slow", holds)).await.expect("a server"));
        let terminates = tokio::spawn({
            let sup = sup.clone();
            async move { sup.terminate_child("a").await }
        });
        until("its last remains are going", || dropping.load(SeqCst)).await;
        // Something that wakes the supervisor meanwhile, and time to make a mistake.
        let mut starts = pin!(sup.start_child(counter().id("b")));
        assert!(poll!(&mut starts).is_pending());
        let begin = Instant::now();
        while !terminates.is_finished() && begin.elapsed() < Duration::from_millis(100) {
            yield_now().await;
        }
        let early = terminates.is_finished();
        if !early {
            let_go.send(()).expect("it waits");
        }
        soon(terminates).await.expect("no panic").expect("a child");
        soon(sup.restart_child("a")).await.expect("it is down, so it can be started");
        assert_eq!(ask(&server, add).await, 1);
        if early {
            let_go.send(()).expect("it waits");
        }
        soon(starts).await.expect("it starts");
        // An order is done after all that was heard before it.
        soon(sup.start_child(counter().id("c"))).await.expect("it starts");
        assert_eq!(ask(&server, add).await, 2);
        let listed = sup.children().into_iter().find(|child| child.id == "a").expect("it is listed");
        assert_eq!((listed.status, listed.restarts), (Status::Running, 0));
        soon(sup.terminate_child("a")).await.expect("a child");
        soon(sup.delete_child("a")).await.expect("it is down, so it can be deleted");
    }
}
