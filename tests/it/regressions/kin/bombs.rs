//! User code that panics where a supervisor runs or drops it: the child is concerned, and nobody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use undying::{
    ChildSpec, ExitReason, Listener, Next, RestartPolicy, ServerSpec, Shutdown, Supervisor, SupervisorRef,
    Terminated,
};

use super::{child, counter, crowd, family, start, start_crowd};
use crate::{
    crash::script::{Job, Script, add, ask, job, soon, tell},
    support::{inject, until},
};

/// Panics when it is dropped, unless something panics already.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if !thread::panicking() {
            inject();
        }
    }
}

impl Listener<Script<u64>> for Bomb {
    fn terminated(&self, _: &Terminated<'_, Script<u64>>) {
        inject();
    }
}

/// A server whose every part panics when it is dropped: what makes it, what listens to it, its hooks.
fn loaded(id: &str, blown: &Arc<AtomicUsize>) -> ServerSpec<Script<u64>> {
    let [factory, letters, format, trap] = [(); 4].map(|()| Bomb(blown.clone()));
    let make = move || {
        let _ = &factory;
        Script::new()
    };
    ServerSpec::from_fn(make, 0)
        .id(id)
        .listener(Bomb(blown.clone()))
        .dead_letters(move |_| {
            let _ = &letters;
        })
        .format_state(move |_| {
            let _ = &format;
            String::new()
        })
        .trap_exits(move |_| {
            let _ = &trap;
            job(|_| Ok(Next::Wait))
        })
}

/// A state that panics when it is cloned, once it is armed, and when it is dropped.
struct Fragile(Arc<(AtomicBool, AtomicUsize)>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        if self.0.0.load(SeqCst) {
            inject();
        }
        Self(self.0.clone())
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.1.fetch_add(1, SeqCst);
        if !thread::panicking() {
            inject();
        }
    }
}

/// A plain task that runs for good; what makes it and what it holds panic when they are dropped. Counts what it has begun to
/// hold: one that is stopped before its first turn holds nothing.
fn loaded_task(blown: &Arc<AtomicUsize>, held: &Arc<AtomicUsize>) -> ChildSpec {
    let (make, blown, begun) = (Bomb(blown.clone()), blown.clone(), held.clone());
    ChildSpec::task("task", move || {
        let _ = &make;
        begun.fetch_add(1, SeqCst);
        let held = Bomb(blown.clone());
        async move {
            let _held = held;
            std::future::pending::<()>().await;
        }
    })
}

/// The supervisor is in order: its other child answers, and what is asked of it is done.
async fn in_order(tree: &SupervisorRef) {
    assert!(tree.is_alive());
    assert!(ask(&child(tree, "well"), add).await > 0);
    soon(tree.start_child(counter("probe"))).await.expect("it takes orders");
    soon(tree.terminate_child("probe")).await.expect("it takes orders");
    soon(tree.delete_child("probe")).await.expect("it takes orders");
}

fn with_a_well_one() -> Supervisor {
    family().child(counter("well"))
}

both! {
    /// A refused, failed, terminated, deleted or restarted child may panic wherever it is dropped.
    async fn a_child_that_panics_when_it_is_dropped_harms_nobody_else() {
        let blown = Arc::new(AtomicUsize::new(0));
        let tree = start(with_a_well_one().child(loaded("a", &blown))).await;
        soon(tree.start_child(loaded("a", &blown))).await.expect_err("the id is taken");
        in_order(&tree).await;
        soon(tree.start_child(loaded("b", &blown).significant(true))).await.expect_err("nobody shuts down for it");
        in_order(&tree).await;

        soon(tree.start_child(loaded("b", &blown))).await.expect("it starts");
        let server = child(&tree, "b");
        server.kill();
        soon(server.wait_incarnation(2)).await.expect("another life");
        in_order(&tree).await;
        soon(tree.terminate_child("b")).await.expect("it is there");
        soon(tree.restart_child("b")).await.expect("it is down");
        soon(tree.terminate_child("b")).await.expect("it is there");
        drop(server);
        let before = blown.load(SeqCst);
        soon(tree.delete_child("b")).await.expect("it is down");
        until("all of it is dropped", || blown.load(SeqCst) >= before + 5).await;
        in_order(&tree).await;

        let gone = loaded("c", &blown).restart(RestartPolicy::Temporary);
        soon(tree.start_child(gone)).await.expect("it starts");
        child(&tree, "c").kill();
        until("it is forgotten", || tree.server::<Script<u64>>("c").is_none()).await;
        in_order(&tree).await;
        assert!(matches!(soon(tree.stop()).await, Ok(ExitReason::Normal)));
        soon(tree.start_child(loaded("d", &blown))).await.expect_err("it is over");
    }

    /// The same of a dynamic supervisor, and of a transfer.
    async fn a_dynamic_child_that_panics_when_it_is_dropped_harms_nobody_else() {
        let blown = Arc::new(AtomicUsize::new(0));
        let small = crowd().max_children(1).start().await.expect("it starts");
        let server = soon(small.start_child(loaded("a", &blown))).await.expect("it starts");
        soon(small.start_child(loaded("b", &blown))).await.expect_err("there is no room");
        server.kill();
        soon(server.wait_incarnation(2)).await.expect("another life");
        let tree = start(with_a_well_one()).await;
        soon(small.transfer(server.id(), &tree)).await.expect("nothing is in the way");
        soon(tree.transfer("a", &small)).await.expect("nothing is in the way");
        soon(small.terminate_child(server.id())).await.expect("it is there");
        drop(server);
        let other = soon(small.start_child(loaded("b", &blown))).await.expect("there is room again");
        assert_eq!(small.count().active, 1);
        soon(small.transfer(other.id(), &tree)).await.expect("nothing is in the way");
        in_order(&tree).await;
        drop(other);
        assert!(matches!(soon(small.stop()).await, Ok(ExitReason::Normal)));
        assert!(matches!(soon(tree.stop()).await, Ok(ExitReason::Normal)));
        let last = start_crowd().await;
        soon(last.start_child(loaded("c", &blown))).await.expect("it starts");
        last.kill();
        soon(last.stopped()).await;
    }

    /// A state that cannot be cloned when its server is to begin anew: the restart fails, and is paid for, until the supervisor gives up.
    async fn a_state_that_cannot_be_cloned_ends_in_the_limit() {
        let fragile = Arc::new((AtomicBool::new(false), AtomicUsize::new(0)));
        let spec = ServerSpec::new(Script::new(), Fragile(fragile.clone())).id("fragile");
        let tree = Supervisor::builder().max_restarts(3, Duration::from_secs(60)).child(counter("well")).child(spec);
        let tree = start(tree).await;
        let (well, server) = (child(&tree, "well"), tree.server::<Script<Fragile>>("fragile").expect("there"));
        let nothing: fn() -> Job<Fragile> = || job(|_: &mut Fragile| Ok(Next::Wait));
        tell(&server, nothing()).await;
        fragile.0.store(true, SeqCst);
        server.kill();
        let reason = soon(tree.stopped()).await;
        assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
        assert!(!server.is_alive() && !well.is_alive());
    }

    /// A factory that panics in a later life only: as any start that fails.
    async fn a_factory_that_panics_later_ends_in_the_limit() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let make = move || if count.fetch_add(1, SeqCst) > 0 { inject() } else { Script::new() };
        let spec = ServerSpec::from_fn(make, 0_u64).id("once");
        let tree = start(Supervisor::builder().max_restarts(2, Duration::from_secs(60)).child(spec)).await;
        let server = child(&tree, "once");
        server.kill();
        let reason = soon(tree.stopped()).await;
        assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
        assert_eq!(made.load(SeqCst), 3, "the first life and two restarts: a third would be one too many");
        assert!(!server.is_alive());
    }

    /// A task whose future panics when it is dropped is over all the same, whichever way its supervisor ends it.
    async fn a_task_that_panics_when_it_is_dropped_is_over_all_the_same() {
        for shutdown in [Shutdown::BrutalKill, Shutdown::Timeout(Duration::from_millis(5))] {
            let (blown, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let tree = start(with_a_well_one().child(loaded_task(&blown, &held).shutdown(shutdown))).await;
            soon(tree.terminate_child("task")).await.expect("it is there");
            assert_eq!(blown.load(SeqCst), held.load(SeqCst));
            soon(tree.restart_child("task")).await.expect("it is down");
            in_order(&tree).await;
            soon(tree.terminate_child("task")).await.expect("it is there");
            soon(tree.delete_child("task")).await.expect("it is down");
            assert!(blown.load(SeqCst) >= held.load(SeqCst));
            in_order(&tree).await;
            soon(tree.start_child(loaded_task(&blown, &held).shutdown(shutdown))).await.expect("it starts");
            assert!(matches!(soon(tree.stop()).await, Ok(ExitReason::Normal)));
        }
    }

    /// A task that panics at once, each time, in the making or in the running, ends in the limit.
    async fn a_task_that_panics_at_once_ends_in_the_limit() {
        for in_the_making in [false, true] {
            let runs = Arc::new(AtomicUsize::new(0));
            let count = runs.clone();
            let task = ChildSpec::task("task", move || {
                count.fetch_add(1, SeqCst);
                if in_the_making {
                    inject();
                }
                async { inject() }
            });
            let tree = start(Supervisor::builder().max_restarts(3, Duration::from_secs(60)).child(task)).await;
            let reason = soon(tree.stopped()).await;
            assert!(matches!(reason, ExitReason::RestartLimit(_)), "{reason}");
            assert_eq!(runs.load(SeqCst), 4);
        }
    }
}
