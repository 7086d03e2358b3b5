//! Keys of any type, with values.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    hash::{Hash, Hasher},
    sync::Arc,
};

use undying::{KeyedRegistry, ServerRef, StartError, WhereisError};

use super::{ENDS, Member, Stranger, mortal, start};
use crate::crash::script::soon;

/// Registers each of `keys` with its place as the value, and looks all of it up again.
async fn finds<K: Hash + Eq + Clone + Debug + Send + Sync + 'static>(keys: Vec<K>) {
    let (registry, server) = (KeyedRegistry::new(), start().await);
    for (place, key) in keys.iter().enumerate() {
        registry.register(key.clone(), &server, place).expect("it is free");
    }
    for (place, key) in keys.iter().enumerate() {
        assert_eq!(registry.whereis::<Member>(key).expect("it is there").id(), server.id(), "{key:?}");
        assert_eq!(registry.value(key, |value| *value), Some(place), "{key:?}");
        assert!(registry.update_value(key, |value| *value += 100), "{key:?}");
    }
    assert_eq!(registry.keys_of(&server), keys);
    assert_eq!(registry.keys().len(), keys.len());
    assert!(registry.keys().iter().all(|key| keys.contains(key)));
    for (place, key) in keys.iter().enumerate() {
        assert_eq!(registry.unregister(key), Some(100 + place), "{key:?}");
        assert_eq!(registry.unregister(key), None, "{key:?}");
    }
    assert!(registry.keys().is_empty() && registry.keys_of(&server).is_empty());
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Lobby,
    Room { floor: u8, number: u16 },
}

/// A key all of whose kind have one hash.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Same(u32);

impl Hash for Same {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0_u8.hash(state);
    }
}

both! {
    /// NR5: keys of any hashable type lead to their servers and have values.
    async fn keys_are_of_any_hashable_type() {
        finds((0..100_u64).collect()).await;
        finds(vec![Place::Lobby, Place::Room { floor: 1, number: 1 }, Place::Room { floor: 1, number: 2 }]).await;
        finds(vec![("a".to_owned(), vec![1_u8]), ("a".to_owned(), vec![]), (String::new(), vec![])]).await;
        finds(vec![()]).await;
        finds(vec![None, Some(Arc::new(1)), Some(Arc::new(2))]).await;
        finds((0..100).map(Same).collect()).await;
    }

    /// NR5: a key that somebody has is not given again: who asks is told the holder, and the value stays the holder's.
    async fn a_key_that_is_taken_is_not_given() {
        let (registry, holder, other) = (KeyedRegistry::new(), start().await, start().await);
        registry.register("key", &holder, "first").expect("it is free");
        for server in [&other, &holder] {
            let refused = registry.register("key", server, "second");
            assert!(matches!(refused, Err(StartError::AlreadyStarted(id)) if id == holder.id()), "{refused:?}");
        }
        assert_eq!(registry.value(&"key", |value| *value), Some("first"));
        assert!(registry.keys_of(&other).is_empty());
        assert_eq!(registry.unregister(&"key"), Some("first"));
        registry.register("key", &other, "second").expect("it is free");
        assert_eq!(registry.value(&"key", |value| *value), Some("second"));
    }

    /// NR5 NR8: what nobody has is told as such, and so is a server of another type.
    async fn what_is_not_there_is_told() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        assert_eq!(registry.whereis::<Member>(&1).expect_err("nobody's"), WhereisError::NotFound);
        assert_eq!(registry.value(&1, |()| ()), None);
        assert!(!registry.update_value(&1, |()| panic!("there is nothing to change")));
        assert_eq!(registry.unregister(&1), None);
        assert!(registry.members::<Member>(&1).is_empty());
        registry.register(1, &server, ()).expect("it is free");
        assert_eq!(registry.whereis::<Stranger>(&1).expect_err("a member"), WhereisError::TypeMismatch);
        assert_eq!(format!("{registry:?}"), "KeyedRegistry { names: 1, groups: 0 }");
    }

    /// NR5: the keys of a server are those it has, in the order in which it got them; those of others are not among them.
    async fn the_keys_of_a_server_are_in_order() {
        let (registry, server, other) = (KeyedRegistry::new(), start().await, start().await);
        for key in [5, 3, 9, 1] {
            registry.register(key, &server, ()).expect("it is free");
            registry.register(10 + key, &other, ()).expect("it is free");
        }
        registry.unregister(&3).expect("it is there");
        registry.register(3, &server, ()).expect("it is free");
        assert_eq!(registry.keys_of(&server), [5, 9, 1, 3]);
        assert_eq!(registry.keys_of(&other), [15, 13, 19, 11]);
        let all: BTreeSet<_> = registry.keys().into_iter().collect();
        assert_eq!(all, [1, 3, 5, 9, 11, 13, 15, 19].into());
    }

    /// NR3 NR5: keys and values survive crashes.
    async fn keys_and_values_survive_crashes() {
        let (registry, server) = (KeyedRegistry::new(), start().await);
        registry.register("key", &server, 1).expect("it is free");
        for incarnation in 2..5 {
            server.kill_worker();
            assert!(registry.update_value(&"key", |value| *value *= 3));
            soon(server.wait_incarnation(incarnation)).await.expect("it goes on");
        }
        assert_eq!(registry.unregister(&"key"), Some(27));
    }

    /// NR4 NR5: however a server ends, before its end is told its keys are free and its values dropped; it gets none any
    /// more.
    async fn no_end_leaves_a_key_or_a_value_behind() {
        let (registry, token) = (KeyedRegistry::new(), Arc::new(()));
        for end in ENDS {
            let server = mortal().start().await.expect("it starts");
            for key in 0..10 {
                registry.register(key, &server, token.clone()).expect("it is free");
            }
            registry.join(0, &server);
            assert_eq!(Arc::strong_count(&token), 11);
            end(&server);
            soon(server.stopped()).await;
            assert_eq!(Arc::strong_count(&token), 1);
            assert!(registry.keys().is_empty() && registry.keys_of(&server).is_empty());
            assert_eq!(registry.value(&0, |_| ()), None);
            let late = registry.register(0, &server, token.clone());
            assert!(matches!(late, Err(StartError::OwnerGone)), "{late:?}");
            assert_eq!(Arc::strong_count(&token), 1);
        }
    }

    /// A registry that nobody has any more keeps no value, whatever servers had keys in it.
    async fn the_values_of_a_registry_go_with_it() {
        let (registry, token, server) = (KeyedRegistry::new(), Arc::new(()), start().await);
        let clone: KeyedRegistry<_, _> = registry.clone();
        registry.register("key", &server, token.clone()).expect("it is free");
        drop(registry);
        assert!(clone.value(&"key", |_| ()).is_some(), "a clone is the same registry");
        drop(clone);
        assert_eq!(Arc::strong_count(&token), 1);
        soon(server.stop()).await.expect("it stops");
    }
}

/// Registries and what watches them can be shared and sent.
#[test]
fn registries_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<undying::Registry>();
    shared::<KeyedRegistry<String, Vec<u8>>>();
    shared::<undying::NameEvents>();
    shared::<undying::NameEvents<(u8, String)>>();
    shared::<ServerRef<Member>>();
}
