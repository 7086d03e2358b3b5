//! Keys, values and wakers that panic, or that use the registry themselves. None of it runs while a lock is held that
//! anybody else needs, and none of it harms anybody else.

use std::{
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, channel},
    },
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use futures::FutureExt;
use tokio::runtime::Builder;
use undying::{KeyedRegistry, NameEvent, Registry};

use super::{ENDS, Member, Say, mortal, start};
use crate::{
    crash::script::soon,
    support::{inject, quiet},
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

/// What bombs do, and what became of them.
#[derive(Default)]
struct Fuse {
    hash: AtomicBool,
    eq: AtomicBool,
    clone: AtomicBool,
    drops: AtomicUsize,
    /// Those of them that came while a panic unwound, where they would have aborted the process.
    unwound: AtomicUsize,
}

/// A key and a value whose drop panics, and which does so otherwise, too, once that is lit.
struct Bomb(u8, Arc<Fuse>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.1.drops.fetch_add(1, SeqCst);
        if thread::panicking() {
            self.1.unwound.fetch_add(1, SeqCst);
        } else {
            inject();
        }
    }
}

fn touch(lit: &AtomicBool) {
    if lit.load(SeqCst) {
        inject();
    }
}

impl Hash for Bomb {
    fn hash<H: Hasher>(&self, state: &mut H) {
        touch(&self.1.hash);
        // All have the same hash, so that they have to be compared.
        0_u8.hash(state);
    }
}

impl PartialEq for Bomb {
    fn eq(&self, other: &Self) -> bool {
        touch(&self.1.eq);
        self.0 == other.0
    }
}

impl Eq for Bomb {}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        touch(&self.1.clone);
        Self(self.0, self.1.clone())
    }
}

/// A value that uses its registry when it is dropped.
struct Nosy(u8, KeyedRegistry<u8, Self>, Arc<AtomicUsize>);

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.1.whereis::<Member>(&self.0).is_err(), "it is not there any more");
        self.1.update_value(&200, |_| ());
        let _ = (self.1.keys().len(), self.1.groups(), self.1.watch());
        self.2.fetch_add(1, SeqCst);
    }
}

both! {
    /// NR4 K8: whatever ends a server, keys and values whose drop panics are dropped, each for itself and while nothing
    /// unwinds, and everything is gone. That no key is compared with another for it shows since that would panic, too.
    async fn the_end_of_a_server_survives_what_it_drops() {
        let (registry, fuse) = (KeyedRegistry::new(), Arc::new(Fuse::default()));
        let lasting = start().await;
        registry.register(99, &lasting, Bomb(99, fuse.clone())).expect("it is free");
        let keyed = KeyedRegistry::new();
        for (before, end) in ENDS.iter().enumerate() {
            let server = mortal().start().await.expect("it starts");
            for number in 0..5 {
                let bomb = Bomb(number, fuse.clone());
                registry.register(number, &server, Bomb(number, fuse.clone())).expect("it is free");
                keyed.register(bomb, &server, Bomb(number, fuse.clone())).expect("it is free");
                keyed.join(Bomb(number, fuse.clone()), &server);
            }
            fuse.eq.store(true, SeqCst);
            end(&server);
            soon(server.stopped()).await;
            assert!(keyed.keys().is_empty() && keyed.groups().is_empty());
            assert_eq!(registry.keys(), [99]);
            assert_eq!(fuse.drops.load(SeqCst), 20 * (before + 1));
            fuse.eq.store(false, SeqCst);
        }
        assert_eq!(fuse.unwound.load(SeqCst), 0);
        drop(registry);
        assert_eq!(fuse.drops.load(SeqCst), 20 * ENDS.len() + 1);
        soon(lasting.stop()).await.expect("it stops");
    }

    /// K8: a registry that goes with all that is in it drops that quietly, and so does one that refuses or gives up a key.
    async fn a_registry_drops_quietly() {
        let (fuse, server) = (Arc::new(Fuse::default()), start().await);
        let keyed = KeyedRegistry::new();
        for number in 0..5 {
            keyed.register(Bomb(number, fuse.clone()), &server, Bomb(number, fuse.clone())).expect("it is free");
            keyed.join(Bomb(number, fuse.clone()), &server);
        }
        assert_eq!(fuse.drops.load(SeqCst), 0);
        let twice = keyed.register(Bomb(0, fuse.clone()), &server, Bomb(0, fuse.clone()));
        assert!(twice.is_err());
        keyed.join(Bomb(0, fuse.clone()), &server);
        assert_eq!(fuse.drops.load(SeqCst), 3);
        let events = keyed.watch();
        let sought = std::mem::ManuallyDrop::new(Bomb(4, fuse.clone()));
        let taken = keyed.unregister(&sought).expect("it is there");
        assert_eq!(fuse.drops.load(SeqCst), 3, "the watcher is yet to be told of the key");
        drop(events);
        assert_eq!(fuse.drops.load(SeqCst), 4);
        std::mem::forget(taken);
        drop(keyed);
        assert_eq!((fuse.drops.load(SeqCst), fuse.unwound.load(SeqCst)), (4 + 8 + 5, 0));
    }

    /// K8: a key that panics where it is hashed, compared or copied harms only who asked: everything goes on as it was.
    async fn a_key_that_panics_harms_only_who_asked() {
        let (fuse, server) = (Arc::new(Fuse::default()), start().await);
        let keyed = KeyedRegistry::new();
        for number in 0..3 {
            keyed.register(Bomb(number, fuse.clone()), &server, number).expect("it is free");
            keyed.join(Bomb(number, fuse.clone()), &server);
        }
        let sought = std::mem::ManuallyDrop::new(Bomb(1, fuse.clone()));
        let asks: [&dyn Fn(); 9] = [
            &|| drop(keyed.register(Bomb(7, fuse.clone()), &server, 7)),
            &|| keyed.join(Bomb(7, fuse.clone()), &server),
            &|| drop(keyed.whereis::<Member>(&sought)),
            &|| _ = keyed.value(&sought, |value| *value),
            &|| _ = keyed.update_value(&sought, |value| *value = 100),
            &|| _ = keyed.unregister(&sought),
            &|| _ = keyed.leave(&sought, &server),
            &|| drop(keyed.members::<Member>(&sought)),
            &|| _ = keyed.broadcast::<Member>(&sought, Say::Note(1)),
        ];
        for lit in [&fuse.hash, &fuse.eq] {
            for (number, ask) in asks.iter().enumerate() {
                lit.store(true, SeqCst);
                assert!(catch_unwind(AssertUnwindSafe(ask)).is_err(), "{number}");
                lit.store(false, SeqCst);
                assert_eq!(keyed.value(&sought, |value| *value), Some(1), "{number}");
            }
        }
        fuse.clone.store(true, SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| keyed.keys())).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| keyed.groups())).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| keyed.keys_of(&server))).is_err());
        assert_eq!(format!("{keyed:?}"), "KeyedRegistry { names: 3, groups: 3 }");
        soon(server.stop()).await.expect("it stops");
        assert_eq!(format!("{keyed:?}"), "KeyedRegistry { names: 0, groups: 0 }");
    }
}

/// K8 NR4: values may use their registry where they are dropped: at the end of their server, when they are refused or taken
/// away, and with what a closure of another one does.
#[test]
fn values_may_use_the_registry_when_they_are_dropped() {
    does_not_get_stuck(|| async {
        let (registry, drops) = (KeyedRegistry::new(), Arc::new(AtomicUsize::new(0)));
        let nosy = |number| Nosy(number, registry.clone(), drops.clone());
        let lasting = start().await;
        registry.register(200, &lasting, Nosy(201, registry.clone(), drops.clone())).expect("it is free");
        for end in ENDS {
            let server = mortal().start().await.expect("it starts");
            for number in 0..3 {
                registry.register(number, &server, nosy(number)).expect("it is free");
            }
            drops.store(0, SeqCst);
            end(&server);
            soon(server.stopped()).await;
            assert_eq!(drops.load(SeqCst), 3);
            assert!(registry.register(1, &server, nosy(1)).is_err());
            assert_eq!(drops.load(SeqCst), 4);
        }
        registry.register(1, &lasting, nosy(1)).expect("it is free");
        registry.unregister(&1).expect("it is there");
        assert_eq!(drops.load(SeqCst), 5);
        // What it holds is the registry itself.
        std::mem::forget(registry.unregister(&200));
    });
}

/// A waker that uses the registry, and panics.
struct Loud(Registry, AtomicUsize);

impl Wake for Loud {
    fn wake(self: Arc<Self>) {
        assert_eq!((self.0.names().len(), self.0.groups().len()), (1, 0));
        self.1.fetch_add(1, SeqCst);
        inject();
    }
}

/// NR7 K8: whoever waits for an event is woken outside of every lock, and if its waker panics, that harms nobody.
#[test]
fn wakers_may_use_the_registry_and_panic() {
    does_not_get_stuck(|| async {
        let (names, server) = (Registry::new(), start().await);
        let (mut one, mut other) = (names.watch(), names.watch());
        let loud = Arc::new(Loud(names.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(loud.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(one.next().boxed().poll_unpin(&mut cx).is_pending());
        assert!(other.next().boxed().poll_unpin(&mut cx).is_pending());
        names.register("name", &server).expect("it is free");
        assert_eq!(loud.1.load(SeqCst), 2);
        for events in [&mut one, &mut other] {
            let event = soon(events.next()).await;
            assert_eq!(event, Some(NameEvent::Registered { name: "name".into(), id: server.id() }));
        }
    });
}
