//! The roll: a table under its lock, and the servers in it by their types.

use std::{
    fmt,
    hash::{Hash, RandomState},
    sync::{Arc, Weak},
};

use super::{
    key::{Key, Like},
    places::{Book, enter},
    table::{Aside, Holder, Table},
    watch::{NameEvents, Queue},
};
use crate::{
    any::{AnyServer, AnyServerRef},
    contain::{drop_quietly, wake_quietly},
    error::{StartError, WhereisError},
    gen_server::GenServer,
    logical::Logical,
    name::{ServerId, serial},
    server_ref::ServerRef,
    sync::RwLock,
};

/// Under both kinds of registry. Values drop quietly, which is the care of their type.
pub(super) struct Roll<Q: ?Sized, V> {
    number: u64,
    hasher: RandomState,
    /// No server takes this lock on its way from message to message: only where it gets or loses a place.
    table: RwLock<Table<Q, V>>,
}

impl<Q, V> Roll<Q, V>
where
    Q: Hash + Eq + Send + Sync + ?Sized + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { number: serial(), hasher: RandomState::new(), table: RwLock::new(Table::new()) }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Table<Q, V>, &mut Aside<Q, V>) -> R) -> R {
        let mut aside = Aside::nothing();
        let result = change(&mut self.table.write(), &mut aside);
        aside.settle();
        result
    }

    fn book(self: &Arc<Self>) -> Weak<dyn Book> {
        let this: Weak<Self> = Arc::downgrade(self);
        this
    }

    // ---- lookups

    /// The server of that name.
    pub(super) fn whereis<S: GenServer>(&self, name: &Q) -> Result<ServerRef<S>, WhereisError> {
        let name = Like::new(&self.hasher, name);
        let server = self.table.read().named(&name).and_then(|name| name.server.as_ref()?.upgrade());
        server.ok_or(WhereisError::NotFound).and_then(typed)
    }

    /// The servers that have a name, each once, in the order of their numbers.
    pub(super) fn servers(&self) -> Vec<AnyServerRef> {
        let mut servers: Vec<Arc<dyn AnyServer>> = {
            let table = self.table.read();
            table.names.values().filter_map(|name| name.server.as_ref()?.upgrade()).collect()
        };
        servers.sort_by_key(|server| server.server());
        servers.dedup_by_key(|server| server.server());
        servers.into_iter().map(AnyServerRef::new).filter(AnyServerRef::is_alive).collect()
    }

    /// What goes with a name.
    pub(super) fn value(&self, name: &Q) -> Option<V>
    where
        V: Clone,
    {
        let name = Like::new(&self.hasher, name);
        self.table.read().named(&name).map(|name| name.value.clone())
    }

    /// The members of a group that are of type `S`, in the order in which they joined.
    pub(super) fn members<S: GenServer>(&self, group: &Q) -> Vec<ServerRef<S>> {
        let group = Like::new(&self.hasher, group);
        let members: Vec<Arc<dyn AnyServer>> = self.table.read().members(&group).collect();
        members.into_iter().filter_map(|server| typed(server).ok()).collect()
    }

    /// Casts `message` to each of them that has room, and tells how many got it.
    pub(super) fn broadcast<S: GenServer>(&self, group: &Q, message: S::Cast) -> usize
    where
        S::Cast: Clone,
    {
        let members = self.members::<S>(group).into_iter();
        members.filter(|server| server.try_cast(message.clone()).is_ok()).count()
    }

    pub(super) fn names(&self) -> Vec<Q::Owned>
    where
        Q: ToOwned,
    {
        let names: Vec<_> = self.table.read().names.keys().cloned().collect();
        owned(&names)
    }

    pub(super) fn groups(&self) -> Vec<Q::Owned>
    where
        Q: ToOwned,
    {
        let groups: Vec<_> = self.table.read().groups.keys().cloned().collect();
        owned(&groups)
    }

    pub(super) fn names_of(&self, id: ServerId) -> Vec<Q::Owned>
    where
        Q: ToOwned,
    {
        let names = self.table.read().names_of(id);
        owned(&names)
    }

    // ---- names and groups

    pub(super) fn register<S: GenServer>(
        self: &Arc<Self>,
        name: Arc<Q>,
        server: &ServerRef<S>,
        value: V,
    ) -> Result<(), StartError> {
        let (name, mut value) = (Key::new(&self.hasher, name), Some(value));
        let (book, logical) = (self.book(), &server.logical);
        self.change(|table, aside| {
            let enter = || enter(logical, self.number, &book);
            table.register(&name, holder(logical), &mut value, enter, aside)
        })
    }

    pub(super) fn unregister(&self, name: &Q) -> Option<V> {
        let name = Like::new(&self.hasher, name);
        self.change(|table, aside| table.unregister(&name, aside))
    }

    pub(super) fn join<S: GenServer>(self: &Arc<Self>, group: Arc<Q>, server: &ServerRef<S>) {
        let group = Key::new(&self.hasher, group);
        let (book, logical) = (self.book(), &server.logical);
        self.change(|table, aside| {
            table.join(&group, holder(logical), || enter(logical, self.number, &book), aside);
        });
    }

    pub(super) fn leave(&self, group: &Q, id: ServerId) -> bool {
        let group = Like::new(&self.hasher, group);
        self.change(|table, aside| table.leave(&group, id, aside))
    }

    // ---- the names that servers are started with

    pub(super) fn lead<S: GenServer>(&self, name: &Key<Q>, logical: &Arc<Logical<S>>) {
        self.change(|table, aside| table.lead(name, holder(logical).server, aside));
    }

    pub(super) fn free(&self, name: &Key<Q>) {
        self.change(|table, aside| table.free(name, aside));
    }

    // ---- those who watch

    pub(super) fn watch(self: &Arc<Self>) -> NameEvents<Q> {
        let (queue, number) = (Arc::new(Queue::new()), serial());
        self.table.write().watchers.insert(number, queue.clone());
        NameEvents::of(queue, number, self.book())
    }
}

impl<Q: Hash + Eq + Send + Sync + ?Sized + 'static> Roll<Q, ()> {
    /// Takes a name for a server that is being made, and gives the key that it stands under.
    pub(super) fn reserve(&self, name: Arc<Q>, id: ServerId) -> Result<Key<Q>, StartError> {
        let name = Key::new(&self.hasher, name);
        self.change(|table, _| table.reserve(&name, id))?;
        Ok(name)
    }
}

impl<Q, V> Book for Roll<Q, V>
where
    Q: Hash + Eq + Send + Sync + ?Sized + 'static,
    V: Send + Sync + 'static,
{
    fn strike(&self, server: ServerId) {
        self.change(|table, aside| table.strike(server, aside));
    }

    fn unwatch(&self, number: u64) {
        let queue = self.table.write().watchers.remove(&number);
        drop(queue);
    }
}

impl<Q: ?Sized, V> Drop for Roll<Q, V> {
    fn drop(&mut self) {
        for watcher in self.table.get_mut().watchers.values() {
            wake_quietly(watcher.close());
        }
    }
}

impl<Q: ?Sized, V> Roll<Q, V> {
    /// How many names and groups there are, under the name of the registry.
    pub(super) fn debug(&self, registry: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.read();
        let (names, groups) = (table.names.len(), table.groups.len());
        drop(table);
        f.debug_struct(registry).field("names", &names).field("groups", &groups).finish()
    }
}

impl<Q: ?Sized, V> fmt::Debug for Roll<Q, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.debug("Roll", f)
    }
}

fn holder<S: GenServer>(logical: &Arc<Logical<S>>) -> Holder {
    let server: Weak<Logical<S>> = Arc::downgrade(logical);
    Holder { id: logical.id, server }
}

/// The server, if it is of type `S` and not over. This may be the last handle to one that is: what that holds is users', and is
/// dropped quietly.
fn typed<S: GenServer>(server: Arc<dyn AnyServer>) -> Result<ServerRef<S>, WhereisError> {
    let server = match server.into_any().downcast::<Logical<S>>() {
        Ok(logical) => ServerRef::new(logical),
        Err(stranger) => {
            drop_quietly(stranger);
            return Err(WhereisError::TypeMismatch);
        }
    };
    if server.is_alive() {
        return Ok(server);
    }
    drop_quietly(server);
    Err(WhereisError::NotFound)
}

/// Copies of keys, which are a user's to make.
fn owned<Q: ToOwned + ?Sized>(keys: &[Key<Q>]) -> Vec<Q::Owned> {
    keys.iter().map(|key| key.as_key().to_owned()).collect()
}
