//! Names: which logical server answers to which.
//!
//! From the bottom up: [`key`] is a user's key, [`table`] is what stands in a registry, [`roll`] is a table under its lock,
//! and this module and [`keyed`] are the two kinds of registry that there are.

mod key;
mod keyed;
mod places;
mod roll;
mod table;
mod value;
mod watch;

use std::{
    fmt,
    sync::{Arc, LazyLock, Weak},
};

pub(crate) use self::places::Places;
use self::{key::Key, roll::Roll};
pub use self::{
    keyed::KeyedRegistry,
    watch::{NameEvent, NameEvents},
};
use crate::{
    any::AnyServerRef,
    any_listener::{AnyAudience, AnyListener},
    error::{StartError, WhereisError},
    gen_server::GenServer,
    logical::Logical,
    name::ServerId,
    server_ref::ServerRef,
    sync::RwLock,
};

/// A set of names, each of one logical server, and of groups of servers. Cheap to clone; a clone is the same registry.
///
/// A server has at most one name of its [spec](crate::ServerSpec::name), which is taken before its `init` runs, stays taken
/// across crashes and restarts, and is free before [`stop`](ServerRef::stop) returns. It can be given any number of names
/// besides, by [`register`](Self::register), and be in any number of [groups](Self::join): these end with it, before `stop`
/// returns, however it ends. All of it belongs to the logical server: no crash that it survives changes anything. Where a parent
/// starts it again, it keeps the name of its spec throughout, and what it was given besides ends with each life.
///
/// Of those who race for a name exactly one gets it. Lookups disturb neither each other nor the servers. The counterpart of
/// Erlang's registered names, of `pg`, and of Elixir's `Registry`; where names are to be something else than texts, or to
/// have values, use a [`KeyedRegistry`].
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
#[derive(Clone)]
pub struct Registry {
    roll: Arc<Roll<str, ()>>,
    /// Who listens to all servers that are started with a name in it.
    listeners: Arc<RwLock<AnyAudience>>,
}

impl Registry {
    /// A registry of its own.
    pub fn new() -> Self {
        Self { roll: Arc::new(Roll::new()), listeners: Arc::default() }
    }

    /// The one of the process, which [`ServerSpec::name`](crate::ServerSpec::name) uses.
    pub fn global() -> Self {
        static GLOBAL: LazyLock<Registry> = LazyLock::new(Registry::new);
        GLOBAL.clone()
    }

    // ---- names

    /// The server of that name.
    ///
    /// # Errors
    ///
    /// [`WhereisError::NotFound`] if no living server has the name, [`WhereisError::TypeMismatch`] if it is of another type.
    pub fn whereis<S: GenServer>(&self, name: &str) -> Result<ServerRef<S>, WhereisError> {
        self.roll.whereis(name)
    }

    /// All names that are taken, in no order.
    pub fn names(&self) -> Vec<String> {
        self.roll.names()
    }

    /// The servers that have a name, each once, in the order of their numbers.
    pub fn servers(&self) -> Vec<AnyServerRef> {
        self.roll.servers()
    }

    /// Gives a running server another name. It has it until it ends, or until it is [taken away](Self::unregister).
    ///
    /// It has it at once, also where a callback does this and crashes afterwards: only what is asked of a
    /// [`Context`](crate::Context) waits for the commit. The counterpart of `Process.register`, except that a server may have
    /// any number of names.
    ///
    /// # Errors
    ///
    /// [`StartError::AlreadyStarted`] with the server that has the name, which may be the same one;
    /// [`StartError::OwnerGone`] if the server is over, or as good as.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{GenServer, Never, Registry, ServerSpec, StartError};
    /// # #[derive(Clone)] struct Clock;
    /// # impl GenServer for Clock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let names = Registry::new();
    /// let old = ServerSpec::new(Clock, 0).start().await.unwrap();
    /// let new = ServerSpec::new(Clock, 0).start().await.unwrap();
    /// names.register("clock", &old).unwrap();
    /// let taken = names.register("clock", &new);
    /// assert!(matches!(taken, Err(StartError::AlreadyStarted(id)) if id == old.id()));
    ///
    /// old.stop().await.unwrap();
    /// names.register("clock", &new).unwrap();
    /// assert_eq!(names.whereis::<Clock>("clock").unwrap().id(), new.id());
    /// # }
    /// ```
    pub fn register<S: GenServer>(&self, name: &str, server: &ServerRef<S>) -> Result<(), StartError> {
        self.roll.register(name.into(), server, ())
    }

    /// Takes a name away that was given by [`register`](Self::register). `false`: nobody has it, or it is the name that a
    /// server was started with, which it keeps for life.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/quiet.md")]
    /// use undying::{Registry, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let names = Registry::new();
    /// let till = ServerSpec::new(Quiet, 0).name_in(&names, "till").start().await?;
    /// names.register("register", &till)?;
    /// assert!(names.unregister("register"));
    /// assert!(!names.unregister("till")); // that of its spec, which is for life
    /// assert_eq!(names.names(), ["till"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unregister(&self, name: &str) -> bool {
        self.roll.unregister(name).is_some()
    }

    /// Casts `message` to every server of type `S` that has one of these names, and tells how many got it. The others are
    /// skipped: names that nobody has, servers of another type, mailboxes without room. Never waits. The counterpart of
    /// `GenServer.abcast`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/counter.md")]
    /// use undying::{Registry, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let names = Registry::new();
    /// for name in ["left", "right"] {
    ///     ServerSpec::new(Counter, 0).name_in(&names, name).start().await?;
    /// }
    /// assert_eq!(names.abcast::<Counter>(["left", "right", "nobody"], 5), 2);
    /// assert_eq!(names.whereis::<Counter>("left")?.call(|get| get).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn abcast<S: GenServer>(&self, names: impl IntoIterator<Item: AsRef<str>>, message: S::Cast) -> usize
    where
        S::Cast: Clone,
    {
        let servers = names.into_iter().filter_map(|name| self.whereis::<S>(name.as_ref()).ok());
        servers.filter(|server| server.try_cast(message.clone()).is_ok()).count()
    }

    // ---- groups

    /// Puts a server into a group, where it stays until it ends or [leaves](Self::leave). One that is in it already stays where
    /// it is, and one that is over, or as good as, is not taken in.
    ///
    /// A group is there as long as somebody is in it; groups and names are called what they are independently of each other.
    /// The counterpart of `pg:join`, and of a `Registry` with duplicate keys.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{Context, GenServer, Never, Next, Outcome, Registry, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Reader;
    /// # impl GenServer for Reader {
    /// #     type State = Vec<&'static str>; type Call = Never; type Cast = &'static str; type Info = Never; type Continue = Never;
    /// #     async fn handle_cast(&mut self, news: &'static str, mut read: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    /// #         read.push(news); Ok(Next::Wait)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let names = Registry::new();
    /// let mut readers = Vec::new();
    /// for _ in 0..3 {
    ///     let reader = ServerSpec::new(Reader, vec![]).start().await.unwrap();
    ///     names.join("weather", &reader);
    ///     readers.push(reader);
    /// }
    /// readers[0].stop().await.unwrap();
    /// assert_eq!(names.broadcast::<Reader>("weather", "rain"), 2);
    /// assert_eq!(readers[2].stop().await.unwrap().state[..], ["rain"]);
    /// # }
    /// ```
    pub fn join<S: GenServer>(&self, group: &str, server: &ServerRef<S>) {
        self.roll.join(group.into(), server);
    }

    /// Takes a server out of a group. `false`: it is not in it.
    pub fn leave<S: GenServer>(&self, group: &str, server: &ServerRef<S>) -> bool {
        self.roll.leave(group, server.id())
    }

    /// The members of a group that are of type `S`, in the order in which they joined.
    pub fn members<S: GenServer>(&self, group: &str) -> Vec<ServerRef<S>> {
        self.roll.members(group)
    }

    /// All groups that somebody is in, in no order.
    pub fn groups(&self) -> Vec<String> {
        self.roll.groups()
    }

    /// Casts `message` to every member of a group that is of type `S`, in the order in which they joined, and tells how many
    /// got it. Members without room in their mailbox are skipped. Never waits. The counterpart of `Registry.dispatch`.
    pub fn broadcast<S: GenServer>(&self, group: &str, message: S::Cast) -> usize
    where
        S::Cast: Clone,
    {
        self.roll.broadcast::<S>(group, message)
    }

    // ---- watching

    /// The changes from now on: names that come and go, servers that join and leave. In exactly the order in which they
    /// happen.
    ///
    /// Who wants to know what there was before asks for it afterwards, and finds no gap between the two. A name of a spec is
    /// told once it leads to its server, which is before `init` runs.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/quiet.md")]
    /// use undying::{NameEvent, Registry, ServerSpec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let names = Registry::new();
    /// let mut events = names.watch();
    /// let till = ServerSpec::new(Quiet, 0).name_in(&names, "till").start().await?;
    /// assert_eq!(events.next().await, Some(NameEvent::Registered { name: "till".into(), id: till.id() }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> NameEvents {
        self.roll.watch()
    }

    /// Adds a listener to all servers that are started with a name in this registry from now on, for as long as they are there.
    /// There is no way to take it away again.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("docs/samples/quiet.md")]
    /// use undying::{Registry, ServerSpec, telemetry::TracingListener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let names = Registry::new();
    /// names.listener(TracingListener::default());
    /// let till = ServerSpec::new(Quiet, 0).name_in(&names, "till").start().await?; // its start is logged
    /// # till.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn listener(&self, listener: impl AnyListener) {
        self.listeners.write().add(listener);
    }

    pub(crate) fn listeners(&self) -> Vec<Arc<dyn AnyListener>> {
        self.listeners.read().all().collect()
    }

    // ---- the names that servers are started with

    /// Takes a name for a server that is being made.
    pub(crate) fn reserve(&self, name: &Arc<str>, id: ServerId) -> Result<Registration, StartError> {
        let name = self.roll.reserve(name.clone(), id)?;
        Ok(Registration { roll: Arc::downgrade(&self.roll), name })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.roll.debug("Registry", f)
    }
}

/// A name that is taken; free again when this is dropped, which must not be while a record is locked.
#[derive(Debug)]
pub(crate) struct Registration {
    roll: Weak<Roll<str, ()>>,
    name: Key<str>,
}

impl Registration {
    /// Makes the name lead to its server.
    pub(crate) fn points_to<S: GenServer>(&self, logical: &Arc<Logical<S>>) {
        if let Some(roll) = self.roll.upgrade() {
            roll.lead(&self.name, logical);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(roll) = self.roll.upgrade() {
            roll.free(&self.name);
        }
    }
}
