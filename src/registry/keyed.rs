//! Names of any type, with values.

use std::{fmt, hash::Hash, sync::Arc};

use super::{roll::Roll, value::Value, watch::NameEvents};
use crate::{
    error::{StartError, WhereisError},
    gen_server::GenServer,
    server_ref::ServerRef,
};

/// A registry whose names are keys of any hashable type, each with a value beside its server. Cheap to clone; a clone is the
/// same registry.
///
/// It is as [`Registry`](crate::Registry) is, except that servers are not started with such a name: they are
/// [registered](Self::register). Of those who race for a key exactly one gets it; keys, values and the places in groups
/// belong to the logical server, are left alone by the crashes that it survives, and are gone before its
/// [`stop`](ServerRef::stop) returns. Groups are called by keys, too, and have no values. The counterpart of Elixir's `Registry`.
///
/// # What is yours
///
/// * `K` is hashed and cloned outside every lock. Its `Eq` runs under the lock of the registry, in the calls that are
///   given a key; there it must not use the registry itself. No server takes that lock while it handles messages, and the
///   end of a server runs no `Eq`.
/// * Each value has a lock of its own, under which the closures of [`value`](Self::value) and
///   [`update_value`](Self::update_value) run. They may use the registry, but should not look at further values, which
///   others may hold that wait for this one.
/// * Keys and values are dropped outside the locks; where that panics, it is logged.
///
/// # Examples
///
/// ```
/// use undying::{KeyedRegistry, ServerSpec};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Room;
/// # impl GenServer for Room { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// enum Place {
///     Room { floor: u8, number: u16 },
///     Lobby,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let beds = KeyedRegistry::new();
/// let room = ServerSpec::new(Room, ()).start().await.unwrap();
/// let place = Place::Room { floor: 2, number: 14 };
/// beds.register(place.clone(), &room, 1).unwrap();
///
/// assert!(beds.update_value(&place, |beds| *beds += 1));
/// assert_eq!(beds.value(&place, |beds| *beds), Some(2));
/// assert_eq!(beds.whereis::<Room>(&place).unwrap().id(), room.id());
/// assert_eq!(beds.value(&Place::Lobby, |beds| *beds), None);
///
/// room.stop().await.unwrap();
/// assert_eq!(beds.unregister(&place), None);
/// # }
/// ```
pub struct KeyedRegistry<K, V = ()> {
    roll: Arc<Roll<K, Arc<Value<V>>>>,
}

impl<K, V> KeyedRegistry<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// An empty one.
    pub fn new() -> Self {
        Self { roll: Arc::new(Roll::new()) }
    }

    // ---- keys

    /// Gives a running server a key, with a value. It has it until it ends, or until it is [taken away](Self::unregister). It
    /// may have any number of keys.
    ///
    /// It has it at once, also where a callback does this and crashes afterwards: only what is asked of a
    /// [`Context`](crate::Context) waits for the commit. The counterpart of `Registry.register`.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] with the server that has the key, which may be the same one;
    /// [`StartError::OwnerGone`] if the server is over, or as good as. The key and the value are dropped.
    pub fn register<S: GenServer>(&self, key: K, server: &ServerRef<S>, value: V) -> Result<(), StartError> {
        self.roll.register(Arc::new(key), server, Arc::new(Value::new(value)))
    }

    /// The server that has the key.
    ///
    /// # Errors
    ///
    /// [`WhereisError::NotFound`] if no living server has it, [`WhereisError::TypeMismatch`] if it is of another type.
    pub fn whereis<S: GenServer>(&self, key: &K) -> Result<ServerRef<S>, WhereisError> {
        self.roll.whereis(key)
    }

    /// What `look` makes of the value that goes with the key; `None` if nobody has it.
    ///
    /// Others who want this very value wait meanwhile, so `look` should be short. If it panics, that goes to the caller, and
    /// nothing else comes of it. The counterpart of `Registry.values`.
    ///
    /// # Panics
    ///
    /// If it is called by a closure that is [updating](Self::update_value) this very value.
    #[track_caller]
    pub fn value<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.roll.value(key)?.read(look)
    }

    /// Changes the value that goes with the key. `false`: nobody has it.
    ///
    /// Others who want this very value wait meanwhile, so `change` should be short. If it panics, that goes to the caller, and
    /// what it has done to the value by then stays. Anybody may change a value, and not only its server, as with Elixir's
    /// `Registry.update_value`.
    ///
    /// # Panics
    ///
    /// If it is called by a closure that has this very value already.
    #[track_caller]
    pub fn update_value(&self, key: &K, change: impl FnOnce(&mut V)) -> bool {
        self.roll.value(key).is_some_and(|value| value.update(change))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> Vec<K> {
        self.roll.names()
    }

    /// The keys of a server, in the order in which it got them. The counterpart of `Registry.keys`.
    pub fn keys_of<S: GenServer>(&self, server: &ServerRef<S>) -> Vec<K> {
        self.roll.names_of(server.id())
    }

    /// Takes a key away from whoever has it, and gives its value. `None`: nobody has it.
    ///
    /// The key is free at once; a closure that has the value just now is waited for. The counterpart of `Registry.unregister`.
    ///
    /// # Panics
    ///
    /// If it is called by a closure that has this very value. The key is free all the same.
    #[track_caller]
    pub fn unregister(&self, key: &K) -> Option<V> {
        self.roll.unregister(key)?.take()
    }

    // ---- groups

    /// Puts a server into a group, where it stays until it ends or [leaves](Self::leave). One that is in it already stays where
    /// it is, and one that is over, or as good as, is not taken in. See [`Registry::join`](crate::Registry::join).
    pub fn join<S: GenServer>(&self, group: K, server: &ServerRef<S>) {
        self.roll.join(Arc::new(group), server);
    }

    /// Takes a server out of a group. `false`: it is not in it.
    pub fn leave<S: GenServer>(&self, group: &K, server: &ServerRef<S>) -> bool {
        self.roll.leave(group, server.id())
    }

    /// The members of a group that are of type `S`, in the order in which they joined.
    pub fn members<S: GenServer>(&self, group: &K) -> Vec<ServerRef<S>> {
        self.roll.members(group)
    }

    /// All groups that somebody is in, in no order.
    pub fn groups(&self) -> Vec<K> {
        self.roll.groups()
    }

    /// Casts `message` to every member of a group that is of type `S`, in the order in which they joined, and tells how many
    /// got it. Members without room in their mailbox are skipped. Never waits. The counterpart of `Registry.dispatch`.
    pub fn broadcast<S: GenServer>(&self, group: &K, message: S::Cast) -> usize
    where
        S::Cast: Clone,
    {
        self.roll.broadcast::<S>(group, message)
    }

    // ---- watching

    /// The changes from now on: keys that come and go, servers that join and leave. In exactly the order in which they
    /// happen. See [`Registry::watch`](crate::Registry::watch).
    pub fn watch(&self) -> NameEvents<K> {
        self.roll.watch()
    }
}

impl<K, V> Default for KeyedRegistry<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Clone for KeyedRegistry<K, V> {
    fn clone(&self) -> Self {
        Self { roll: self.roll.clone() }
    }
}

impl<K, V> fmt::Debug for KeyedRegistry<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.roll.debug("KeyedRegistry", f)
    }
}
