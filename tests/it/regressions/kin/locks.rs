//! K8: user code may look at the family it belongs to, wherever it runs.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use tokio::runtime::Builder;
use undying::{
    ChildSpec, Context, DynamicSupervisorRef, GenServer, Listener, Never, Next, Outcome, ServerSpec, Started,
    StateMut, SupervisorRef, Terminated,
};

use super::{counter, family, start, start_crowd};
use crate::{
    crash::script::soon,
    support::{quiet, until},
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

/// The family that is looked at, once it is known, and how often it was.
#[derive(Clone, Default)]
struct Eye(Arc<(OnceLock<SupervisorRef>, OnceLock<DynamicSupervisorRef>, AtomicUsize)>);

impl Eye {
    fn look(&self) {
        if let Some(tree) = self.0.0.get() {
            let _ = (tree.children(), tree.count(), tree.tree(), tree.is_alive(), tree.supervisor("x"));
            self.0.2.fetch_add(1, SeqCst);
        }
        if let Some(crowd) = self.0.1.get() {
            let _ = (crowd.children(), crowd.count(), crowd.tree(), crowd.is_alive());
            self.0.2.fetch_add(1, SeqCst);
        }
    }

    fn looks(&self) -> usize {
        self.0.2.load(SeqCst)
    }
}

/// Looks when it is cloned and when it is dropped.
struct Nosy(Eye);

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.0.look();
        Self(self.0.clone())
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.look();
    }
}

/// A server that looks whenever anything of it comes or goes; its state does, too, and so does its listener.
#[derive(Clone)]
struct Curious(Nosy);

impl GenServer for Curious {
    type State = Nosy;
    type Call = Never;
    type Cast = Nosy;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, state: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.0.0.look();
        state.0.look();
        Ok(Next::Wait)
    }
}

impl Listener<Curious> for Nosy {
    fn started(&self, _: &Started<'_, Curious>) {
        self.0.look();
    }

    fn terminated(&self, _: &Terminated<'_, Curious>) {
        self.0.look();
    }
}

fn curious(id: &str, eye: &Eye) -> ServerSpec<Curious> {
    let nosy = || Nosy(eye.clone());
    ServerSpec::new(Curious(nosy()), nosy()).id(id).listener(nosy())
}

/// What a child does and drops while it is started, restarted, stopped, deleted and refused looks at the supervisor in vain of nothing.
#[test]
fn a_child_may_look_at_its_supervisor_whenever_it_comes_or_goes() {
    does_not_get_stuck(|| async {
        let eye = Eye::default();
        let nosy = Nosy(eye.clone());
        let task = ChildSpec::task("task", move || {
            let nosy = nosy.clone();
            async move {
                nosy.0.look();
                std::future::pending::<()>().await;
            }
        });
        let tree = start(family().child(curious("a", &eye)).child(counter("b")).child(task)).await;
        eye.0.0.set(tree.clone()).expect("once");
        let server = tree.server::<Curious>("a").expect("it is there");
        for life in 2..5 {
            server.try_cast(Nosy(eye.clone())).expect("room");
            server.kill();
            soon(server.wait_incarnation(life)).await.expect("another life");
        }
        let before = eye.looks();
        soon(tree.terminate_child("a")).await.expect("it is there");
        soon(tree.restart_child("a")).await.expect("it is down");
        soon(tree.terminate_child("a")).await.expect("it is there");
        drop(server);
        soon(tree.delete_child("a")).await.expect("it is down");
        soon(tree.start_child(curious("b", &eye))).await.expect_err("the id is taken");
        soon(tree.start_child(curious("c", &eye))).await.expect("it starts");
        soon(tree.terminate_child("task")).await.expect("it is there");
        soon(tree.delete_child("task")).await.expect("it is down");
        soon(tree.stop()).await.expect("it ran");
        soon(tree.start_child(curious("d", &eye))).await.expect_err("it is over");
        until("its drops have looked", || eye.looks() > before + 10).await;
    });
}

/// The same of a dynamic supervisor, and of a transfer.
#[test]
fn a_child_may_look_at_its_dynamic_supervisor_whenever_it_comes_or_goes() {
    does_not_get_stuck(|| async {
        let eye = Eye::default();
        let (tree, crowd) = (start(family().child(curious("m", &eye))).await, start_crowd().await);
        eye.0.0.set(tree.clone()).expect("once");
        eye.0.1.set(crowd.clone()).expect("once");
        let server = soon(crowd.start_child(curious("a", &eye))).await.expect("it starts");
        server.kill();
        soon(server.wait_incarnation(2)).await.expect("another life");
        soon(tree.transfer("m", &crowd)).await.expect("nothing is in the way");
        soon(crowd.transfer(server.id(), &tree)).await.expect("nothing is in the way");
        let other = soon(crowd.start_child(curious("b", &eye))).await.expect("it starts");
        soon(crowd.terminate_child(other.id())).await.expect("it is there");
        drop((server, other));
        let before = eye.looks();
        soon(crowd.stop()).await.expect("it ran");
        soon(crowd.start_child(curious("c", &eye))).await.expect_err("it is over");
        soon(tree.stop()).await.expect("it ran");
        until("its drops have looked", || eye.looks() > before).await;
    });
}
