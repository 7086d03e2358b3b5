//! Names: which logical server answers to which.

use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, LazyLock, Weak},
};

use parking_lot::Mutex;

use crate::{
    error::{StartError, WhereisError},
    gen_server::GenServer,
    logical::Logical,
    name::ServerId,
    server_ref::ServerRef,
};

/// A set of names, each of one logical server. Cheap to clone; a clone is the same registry.
///
/// A name is taken before the server's `init` runs, stays taken across crashes and restarts, and is free before
/// [`stop`](ServerRef::stop) returns. The counterpart of Erlang's registered names and of Elixir's `Registry`.
///
/// # Examples
///
/// ```
/// use undying::{Registry, ServerSpec, StartError, WhereisError};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Clock;
/// # impl GenServer for Clock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let names = Registry::new();
/// let clock = ServerSpec::new(Clock, 0).name_in(&names, "clock").start().await.unwrap();
/// assert_eq!(names.whereis::<Clock>("clock").unwrap().id(), clock.id());
///
/// let second = ServerSpec::new(Clock, 0).name_in(&names, "clock").start().await;
/// assert!(matches!(second, Err(StartError::AlreadyStarted(id)) if id == clock.id()));
///
/// clock.stop().await.unwrap();
/// assert_eq!(names.whereis::<Clock>("clock").unwrap_err(), WhereisError::NotFound);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    names: Arc<Mutex<HashMap<Arc<str>, Named>>>,
}

struct Named {
    id: ServerId,
    server: Weak<dyn Any + Send + Sync>,
}

impl Registry {
    /// A registry of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one of the process, which [`ServerSpec::name`](crate::ServerSpec::name) uses.
    pub fn global() -> Self {
        static GLOBAL: LazyLock<Registry> = LazyLock::new(Registry::new);
        GLOBAL.clone()
    }

    /// The server of that name.
    ///
    /// # Errors
    ///
    /// [`WhereisError::NotFound`] if no living server has the name, [`WhereisError::TypeMismatch`] if it is of another type.
    pub fn whereis<S: GenServer>(&self, name: &str) -> Result<ServerRef<S>, WhereisError> {
        let server = self.names.lock().get(name).and_then(|named| named.server.upgrade());
        let server = server.ok_or(WhereisError::NotFound)?;
        let logical = server.downcast::<Logical<S>>().map_err(|_| WhereisError::TypeMismatch)?;
        let server = ServerRef::new(logical);
        if server.is_alive() { Ok(server) } else { Err(WhereisError::NotFound) }
    }

    /// All names that are taken, in no order.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().keys().map(ToString::to_string).collect()
    }

    /// Casts `message` to every server of type `S` that has one of these names, and tells how many got it. The others are
    /// skipped: names that nobody has, servers of another type, mailboxes without room. Never waits. The counterpart of
    /// `GenServer.abcast`.
    pub fn abcast<S: GenServer>(&self, names: impl IntoIterator<Item: AsRef<str>>, message: S::Cast) -> usize
    where
        S::Cast: Clone,
    {
        let servers = names.into_iter().filter_map(|name| self.whereis::<S>(name.as_ref()).ok());
        servers.filter(|server| server.try_cast(message.clone()).is_ok()).count()
    }

    /// Takes a name for a server that is being made.
    pub(crate) fn reserve(&self, name: &Arc<str>, id: ServerId) -> Result<Registration, StartError> {
        match self.names.lock().entry(name.clone()) {
            Entry::Occupied(taken) => Err(StartError::AlreadyStarted(taken.get().id)),
            Entry::Vacant(free) => {
                free.insert(Named { id, server: Weak::<()>::new() });
                Ok(Registration { registry: self.clone(), name: name.clone() })
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("names", &self.names.lock().len()).finish()
    }
}

/// A name that is taken; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Registry,
    name: Arc<str>,
}

impl Registration {
    /// Makes the name lead to its server.
    pub(crate) fn points_to<S: GenServer>(&self, logical: &Arc<Logical<S>>) {
        let server: Weak<Logical<S>> = Arc::downgrade(logical);
        if let Some(named) = self.registry.names.lock().get_mut(&self.name) {
            named.server = server;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let named = self.registry.names.lock().remove(&self.name);
        drop(named);
    }
}
