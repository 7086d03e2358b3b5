//! Values, and the closures that look at them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Barrier, mpsc},
    thread,
};

use tokio::sync::oneshot;
use undying::KeyedRegistry;

use super::{Member, start};
use crate::{
    crash::script::soon,
    support::{Injected, inject, quiet},
};

/// The text of the panic of `act`.
fn panic_of<R>(act: impl FnOnce() -> R) -> String {
    quiet();
    let Err(payload) = catch_unwind(AssertUnwindSafe(act)) else { panic!("it went well") };
    assert!(!payload.is::<Injected>());
    payload.downcast_ref::<&str>().map(ToString::to_string).expect("a text")
}

both! {
    /// NR5: changes of a value by many at a time are all done, each on what the one before has left.
    async fn no_change_of_a_value_is_lost() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        registry.register("sum", &server, (0_u64, 0_u64)).expect("it is free");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        assert!(registry.update_value(&"sum", |(one, other)| {
                            *one += 1;
                            *other += 1;
                        }));
                        let equal = registry.value(&"sum", |(one, other)| one == other);
                        assert_eq!(equal, Some(true), "nobody sees half of a change");
                    }
                });
            }
        });
        assert_eq!(registry.unregister(&"sum"), Some((4_000, 4_000)));
    }

    /// NR5 K8: a closure may use the registry, and others use it meanwhile: only this one value is taken.
    async fn a_closure_may_use_the_registry() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        registry.register(1, &server, 10).expect("it is free");
        let (begun, ended) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                begun.wait();
                registry.register(2, &server, 20).expect("it is free");
                assert_eq!(registry.value(&2, |value| *value), Some(20));
                assert_eq!(registry.whereis::<Member>(&1).map(|found| found.id()), Ok(server.id()));
                ended.wait();
            });
            assert!(registry.update_value(&1, |value| {
                begun.wait();
                ended.wait();
                registry.register(3, &server, *value).expect("it is free");
                registry.join(3, &server);
                assert_eq!(registry.unregister(&2), Some(20));
                *value += 1;
            }));
        });
        assert_eq!(registry.value(&1, |value| (*value, registry.value(&3, |other| *other))), Some((11, Some(10))));
        assert_eq!(registry.value(&1, |value| registry.value(&1, |again| value == again)), Some(Some(true)));
        assert_eq!(registry.keys_of(&server), [1, 3]);
    }

    /// A closure that reaches for the very value it has would wait for itself: it panics and says so, and nothing else
    /// comes of it.
    async fn a_closure_cannot_wait_for_itself() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        registry.register(1, &server, 10).expect("it is free");
        let changes = || registry.update_value(&1, |_| _ = registry.value(&1, |_| ()));
        assert!(panic_of(changes).contains("updates a value"));
        let changes = || registry.update_value(&1, |_| _ = registry.update_value(&1, |_| ()));
        assert!(panic_of(changes).contains("updated it"));
        let changes = || registry.value(&1, |_| registry.update_value(&1, |_| ()));
        assert!(panic_of(changes).contains("updated it"));
        assert_eq!(registry.value(&1, |value| *value), Some(10));
        assert!(panic_of(|| registry.value(&1, |_| registry.unregister(&1))).contains("took its key away"));
        assert!(registry.keys().is_empty(), "as it was asked to");
    }

    /// NR5: the panic of a closure goes to who called it. The value is as the closure left it, and all goes on.
    async fn the_panic_of_a_closure_is_the_callers() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        registry.register(1, &server, 10).expect("it is free");
        let looks = || registry.value(&1, |_| inject());
        assert!(catch_unwind(AssertUnwindSafe(looks)).is_err_and(|payload| payload.is::<Injected>()));
        let changes = || {
            registry.update_value(&1, |value| {
                *value += 1;
                inject()
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(changes)).is_err_and(|payload| payload.is::<Injected>()));
        assert!(registry.update_value(&1, |value| *value *= 2));
        assert_eq!(registry.value(&1, |value| *value), Some(22));
        soon(server.stop()).await.expect("it stops");
        assert!(registry.keys().is_empty());
    }

    /// NR4: the end of a server does not wait for a closure that has one of its values; the key is free meanwhile.
    async fn the_end_of_a_server_waits_for_no_closure() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        registry.register(1, &server, 10).expect("it is free");
        let (begin, begun) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        let looking = registry.clone();
        let looking = thread::spawn(move || {
            looking.value(&1, |value| {
                begin.send(()).expect("it is waited for");
                ended.recv().expect("it is told");
                *value
            })
        });
        soon(begun).await.expect("it looks");
        soon(server.stop()).await.expect("it stops");
        let heir = start().await;
        registry.register(1, &heir, 20).expect("it is free");
        assert_eq!(registry.value(&1, |value| *value), Some(20));
        end.send(()).expect("it waits");
        assert_eq!(looking.join().expect("no panic"), Some(10));
    }
}
