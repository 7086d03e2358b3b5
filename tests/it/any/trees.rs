//! Who listens to all servers of a supervisor: at any depth, those that come later, and those that go elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use undying::{
    AnyEvent, AnyEventKind, DynamicSupervisor, PartitionSupervisor, Probe, Ran, ServerRef, ServerSpec,
    Status, Supervisor, SupervisorRef,
};

use super::{AnyListener, AnyServerRef, Notes};
use crate::{
    crash::{
        script::{Script, add, ask, crash, serves, soon, start},
        tape::{rest, tape},
    },
    support::{inject, until},
};

/// A counter from 0 of that id.
fn count(id: &str) -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0).id(id)
}

fn kid(parent: &SupervisorRef, id: &str) -> ServerRef<Script<u64>> {
    parent.server(id).expect("a child")
}

/// Kills `server`, and waits for the life that its parent gives it.
async fn reborn(server: &ServerRef<Script<u64>>) {
    let next = server.incarnation() + 1;
    server.kill();
    soon(server.wait_incarnation(next)).await.expect("another life");
    until("it serves", || server.status() == Status::Running).await;
}

/// What is told of a counter that has served one call, crashed once and was shut down.
const LIFE: [&str; 5] = ["started 0", "0 to 1 v1", "crashed in ", "restarted 2", "terminated "];

/// Shows that these notes are of such a life, once.
fn one_life(notes: &[String]) {
    assert_eq!(notes.len(), LIFE.len(), "{notes:?}");
    assert!(notes.iter().zip(LIFE).all(|(note, begin)| note.starts_with(begin)), "{notes:?}");
}

/// Has `server` live the life that [`LIFE`] tells of, but for its end.
async fn live(server: &ServerRef<Script<u64>>) {
    assert_eq!(ask(server, add).await, 1);
    crash(server).await;
    serves(server, 2).await;
}

both! {
    /// AN5: a listener of a supervisor hears of every server below it, at any depth and in any kind of supervisor, and of no other.
    async fn every_server_below_is_heard_of() {
        let notes = Notes::default();
        let inner = Supervisor::builder()
            .id("inner")
            .child(count("b"))
            .child(Supervisor::builder().id("innermost").child(count("c")));
        let parts = PartitionSupervisor::new(2, |_| ServerSpec::new(Script::new(), 0_u64)).id("parts");
        let top = Supervisor::builder()
            .listener(notes.clone())
            .child(count("a"))
            .child(inner)
            .child(DynamicSupervisor::builder().id("dynamic"))
            .child(parts)
            .start()
            .await
            .expect("it starts");
        let stranger = start(0_u64).await;
        let dynamic = top.dynamic_supervisor("dynamic").expect("a supervisor");
        soon(dynamic.start_child(count("d"))).await.expect("a child");
        let servers: Vec<ServerRef<Script<u64>>> =
            top.servers().iter().map(|any| any.downcast().expect("a counter")).collect();
        assert_eq!(servers.len(), 6);
        for server in &servers {
            live(server).await;
        }
        live(&stranger).await;
        soon(top.stop()).await.expect("it stops");
        for server in &servers {
            one_life(&notes.of(server.id()));
        }
        assert_eq!(notes.len(), servers.len() * LIFE.len());
    }

    /// AN5: children that are started later are heard of, too, in a static and in a dynamic supervisor.
    async fn later_children_are_heard_of() {
        let notes = Notes::default();
        let top = Supervisor::builder().listener(notes.clone()).start().await.expect("it starts");
        soon(top.start_child(count("late"))).await.expect("a child");
        let late = kid(&top, "late");
        live(&late).await;
        let wild = DynamicSupervisor::builder().listener(notes.clone()).start().await.expect("it starts");
        let later = soon(wild.start_child(count("later"))).await.expect("a child");
        live(&later).await;
        soon(top.stop()).await.expect("it stops");
        soon(wild.stop()).await.expect("it stops");
        one_life(&notes.of(late.id()));
        one_life(&notes.of(later.id()));
    }

    /// AN5: who listens at two levels hears twice, and a listener of the server itself hears as well.
    async fn who_listens_at_two_levels_hears_twice() {
        let (notes, (tape, events)) = (Notes::default(), tape());
        let inner = Supervisor::builder().id("inner").listener(notes.clone()).child(count("x").listener(tape));
        let top = Supervisor::builder().listener(notes.clone()).child(inner).start().await.expect("it starts");
        let x = kid(&top.supervisor("inner").expect("a supervisor"), "x");
        live(&x).await;
        soon(top.stop()).await.expect("it stops");
        let heard = notes.of(x.id());
        assert_eq!(heard.len(), 2 * LIFE.len(), "{heard:?}");
        for begin in LIFE {
            assert_eq!(heard.iter().filter(|note| note.starts_with(begin)).count(), 2, "{heard:?}");
        }
        drop((x, top));
        assert_eq!(rest(events).await.len(), LIFE.len());
    }

    /// AN6: another life of a server is told by the same listener, once, as often as its parent gives it one.
    async fn other_lives_are_told_once() {
        let notes = Notes::default();
        let top = Supervisor::builder()
            .max_restarts(u32::MAX, crate::tree::SECOND)
            .listener(notes.clone())
            .child(count("x"))
            .start()
            .await
            .expect("it starts");
        let x = kid(&top, "x");
        for _ in 0..20 {
            assert_eq!(ask(&x, add).await, 1);
            reborn(&x).await;
        }
        soon(top.terminate_child("x")).await.expect("a child");
        soon(top.restart_child("x")).await.expect("another life");
        soon(top.stop()).await.expect("it stops");
        let heard = notes.of(x.id());
        let count = |begin: &str| heard.iter().filter(|note| note.starts_with(begin)).count();
        assert_eq!((count("started"), count("0 to 1"), count("terminated")), (22, 20, 22), "{heard:?}");
        assert_eq!(heard.len(), 64, "{heard:?}");
        for life in heard.split_inclusive(|note| note.starts_with("terminated")) {
            assert!(life[0].starts_with("started"), "{life:?}");
        }
    }

    /// AN6: an inner supervisor that is restarted with its children doubles nobody's ears.
    async fn a_restarted_supervisor_doubles_nothing() {
        let notes = Notes::default();
        let inner = Supervisor::builder().id("inner").listener(notes.clone()).child(count("x")).child(count("y"));
        let top = Supervisor::builder()
            .max_restarts(u32::MAX, crate::tree::SECOND)
            .child(inner)
            .start()
            .await
            .expect("it starts");
        let inner = top.supervisor("inner").expect("a supervisor");
        let (x, y) = (kid(&inner, "x"), kid(&inner, "y"));
        for n in 1..=10 {
            inner.kill();
            for server in [&x, &y] {
                soon(server.wait_incarnation(n + 1)).await.expect("another life");
                until("it serves", || server.status() == Status::Running).await;
            }
        }
        soon(top.stop()).await.expect("it stops");
        for server in [&x, &y] {
            let heard = notes.of(server.id());
            assert_eq!(heard.len(), 22, "{heard:?}");
            for life in heard.chunks(2) {
                assert!(life[0].starts_with("started") && life[1].starts_with("terminated"), "{heard:?}");
            }
        }
    }

    /// AN7 TR3: a server that is transferred keeps the listeners it was born with, and gets none of its new parents.
    async fn a_transferred_server_keeps_its_listeners() {
        let (old, new) = (Notes::default(), Notes::default());
        let permanent = |notes: &Notes| {
            Supervisor::builder().max_restarts(u32::MAX, crate::tree::SECOND).listener(notes.clone())
        };
        let from = permanent(&old).child(count("x")).start().await.expect("it starts");
        let to = permanent(&new).child(count("y")).start().await.expect("it starts");
        let (x, y) = (kid(&from, "x"), kid(&to, "y"));
        assert_eq!(ask(&x, add).await, 1);
        soon(from.transfer("x", &to)).await.expect("it is moved");
        assert_eq!(ask(&x, add).await, 2);
        // Its new parent restarts it.
        reborn(&x).await;
        assert_eq!(ask(&x, add).await, 1);
        soon(from.stop()).await.expect("it stops");
        soon(to.stop()).await.expect("it stops");
        let heard = old.of(x.id());
        let begins = ["started 0", "0 to 1", "1 to 2", "terminated", "started 0", "0 to 1", "terminated"];
        assert_eq!(heard.len(), begins.len(), "{heard:?}");
        assert!(heard.iter().zip(begins).all(|(note, begin)| note.starts_with(begin)), "{heard:?}");
        assert!(new.of(x.id()).is_empty());
        assert_eq!((new.of(y.id()).len(), old.of(y.id()).len()), (2, 0));
    }

    /// AN8 LI5: a listener of a tree that panics harms no server, and is told of what follows.
    async fn a_panicking_listener_of_a_tree_harms_nobody() {
        let (panics, notes) = (Arc::new(AtomicUsize::new(0)), Notes::default());
        let counted = panics.clone();
        let top = Supervisor::builder()
            .listener(move |_: &AnyEvent<'_>| {
                counted.fetch_add(1, SeqCst);
                inject()
            })
            .listener(notes.clone())
            .child(count("x"))
            .start()
            .await
            .expect("it starts");
        let x = kid(&top, "x");
        live(&x).await;
        soon(top.stop()).await.expect("it stops");
        one_life(&notes.of(x.id()));
        assert_eq!(panics.load(SeqCst), LIFE.len());
    }

    /// AN8: a closure is a listener of a tree; it may order its servers about, and look at their states by type.
    async fn a_closure_listens_to_a_tree() {
        let crashes = Arc::new(AtomicUsize::new(0));
        let counted = crashes.clone();
        let top = Supervisor::builder()
            .listener(move |event: &AnyEvent<'_>| {
                assert!(event.state::<String>().is_none() && event.old::<String>().is_none());
                if let (AnyEventKind::StateChanged { .. }, Some(1)) = (&event.kind, event.state::<u64>()) {
                    assert_eq!(event.old::<u64>(), Some(&0));
                    event.server.kill_worker();
                }
                if let AnyEventKind::Crashed { .. } = event.kind {
                    counted.fetch_add(1, SeqCst);
                }
            })
            .child(count("x"))
            .start()
            .await
            .expect("it starts");
        let x = kid(&top, "x");
        assert_eq!(ask(&x, add).await, 1);
        serves(&x, 2).await;
        assert_eq!(ask(&x, add).await, 2);
        soon(top.stop()).await.expect("it stops");
        assert_eq!(crashes.load(SeqCst), 1);
    }

    /// AN9: the probe of a tree's listener is asked for once for each server, and told of its callbacks.
    async fn a_trees_listener_may_probe() {
        #[derive(Clone, Default)]
        struct Probing(Arc<AtomicUsize>, Arc<AtomicUsize>);
        impl AnyListener for Probing {
            fn event(&self, _: &AnyEvent<'_>) {}
            fn probe(&self, server: &AnyServerRef) -> Option<Probe> {
                assert_eq!(server.incarnation(), 0, "before its first life");
                self.0.fetch_add(1, SeqCst);
                let runs = self.1.clone();
                Some(Box::new(move |_: &Ran| {
                    runs.fetch_add(1, SeqCst);
                }))
            }
        }
        let probing = Probing::default();
        let top = Supervisor::builder()
            .max_restarts(u32::MAX, crate::tree::SECOND)
            .listener(probing.clone())
            .child(count("x"))
            .child(count("y"))
            .start()
            .await
            .expect("it starts");
        let x = kid(&top, "x");
        assert_eq!(ask(&x, add).await, 1);
        reborn(&x).await;
        assert_eq!(ask(&x, add).await, 1);
        assert_eq!(probing.0.load(SeqCst), 2);
        // `init` of each, the calls, and `init` of the other life.
        until("all were told", || probing.1.load(SeqCst) == 5).await;
    }

    /// AN10: what listens to a tree is let go with it and its servers.
    async fn what_listens_is_let_go() {
        let mark = Arc::new(());
        let held = mark.clone();
        let top = Supervisor::builder()
            .listener(move |_: &AnyEvent<'_>| {
                let _ = &held;
            })
            .child(count("x"))
            .start()
            .await
            .expect("it starts");
        let x = kid(&top, "x");
        soon(top.stop()).await.expect("it stops");
        drop((x, top));
        until("nobody holds the listener", || Arc::strong_count(&mark) == 1).await;
    }
}
