//! How a child of a supervisor is described.

use std::{any::type_name, fmt, sync::Arc};

use super::{
    child::Child,
    children::{Care, Entry},
    task::TaskChild,
};
use crate::{
    error::StartError,
    gen_server::GenServer,
    options::Shutdown,
    plan::{AutoShutdown, RestartPolicy},
    spec::ServerSpec,
};

/// The description of a child: of a [`Supervisor`](crate::Supervisor), made of a [`ServerSpec`], of another supervisor, or by
/// [`task`](Self::task).
///
/// Where a server or a supervisor has said how it is to be looked after, that holds, unless it is said again here.
///
/// # Examples
///
/// ```
/// use undying::{ChildSpec, RestartPolicy, ServerSpec, Supervisor};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Cache;
/// # impl GenServer for Cache { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let shop = Supervisor::builder()
///     .child(ServerSpec::new(Cache, 0).id("cache"))
///     .child(ChildSpec::task("warm-up", || async { /* … */ }).restart(RestartPolicy::Temporary))
///     .start()
///     .await
///     .unwrap();
/// assert!(shop.server::<Cache>("cache").is_some());
/// # }
/// ```
#[must_use = "a child is started by the supervisor it is given to"]
pub struct ChildSpec {
    /// `None`: its number.
    id: Option<String>,
    care: Care,
    seed: Box<dyn Seed>,
}

/// What a child is made of.
pub(crate) trait Seed: Send {
    /// Refuses what makes no sense, before anything is started.
    fn check(&self, id: &str) -> Result<(), StartError>;

    /// Makes the child; nothing of it runs yet. One that is `retained` can have more than one life.
    fn plant(self: Box<Self>, id: &str, care: Care, retained: bool) -> Result<Arc<dyn Child>, StartError>;
}

impl ChildSpec {
    pub(crate) fn new(id: Option<String>, care: Care, seed: impl Seed + 'static) -> Self {
        Self { id, care, seed: Box::new(seed) }
    }

    /// A plain task: what `run` makes, each time it is started. It ends `Normal` when it is done, and `Crashed` when it
    /// panics.
    ///
    /// Its [`shutdown`](Self::shutdown) defaults to [`Shutdown::BrutalKill`], since a task does not know that it is to end: it is
    /// dropped at its next await. With [`Shutdown::Timeout`] it has so much time to come to its end by itself, with
    /// [`Shutdown::Infinity`] any.
    pub fn task<F, Fut>(id: impl Into<String>, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let care =
            Care { restart: RestartPolicy::default(), shutdown: Shutdown::BrutalKill, significant: false };
        Self::new(Some(id.into()), care, TaskChild::seed(run))
    }

    /// What it is called among the children of its supervisor.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Whether it is restarted when it ends. Defaults to what the server or supervisor has said, or else to
    /// [`RestartPolicy::Transient`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.care.restart = policy;
        self
    }

    /// How its supervisor ends it. Defaults to what the server or supervisor has said: else 5 s for a server, any time for a
    /// supervisor, none for a task.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.care.shutdown = shutdown;
        self
    }

    /// Whether its end by itself counts for the [`AutoShutdown`] of its supervisor. Defaults to no. Refused at the start with
    /// [`RestartPolicy::Permanent`], and under a supervisor with [`AutoShutdown::Never`].
    pub fn significant(mut self, yes: bool) -> Self {
        self.care.significant = yes;
        self
    }

    pub(crate) fn named(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn check(&self, auto_shutdown: AutoShutdown) -> Result<(), StartError> {
        let id = self.id.as_deref().unwrap_or("(no id)");
        self.care.check(id, auto_shutdown)?;
        self.seed.check(id)
    }

    /// Makes the child. One of the `founders` of a supervisor is started again with that.
    pub(crate) fn plant(self, founder: bool) -> Result<Entry, StartError> {
        let Self { id, care, seed } = self;
        let retained = founder || care.restart != RestartPolicy::Temporary;
        let child = seed.plant(id.as_deref().unwrap_or_default(), care, retained)?;
        let id = id.unwrap_or_else(|| child.server().to_string());
        Ok(Entry::new(id.into(), child, care, founder))
    }
}

impl<S: GenServer> From<ServerSpec<S>> for ChildSpec {
    fn from(spec: ServerSpec<S>) -> Self {
        let care = spec.care();
        let id = spec.child_id().unwrap_or_else(short_type_name::<S>);
        Self::new(Some(id), care, spec)
    }
}

impl<S: GenServer> Seed for ServerSpec<S> {
    fn check(&self, id: &str) -> Result<(), StartError> {
        Self::check(self).map_err(|error| within(id, error))
    }

    fn plant(self: Box<Self>, _id: &str, care: Care, retained: bool) -> Result<Arc<dyn Child>, StartError> {
        let server: Arc<dyn Child> = self.looked_after(care).plant(retained)?;
        Ok(server)
    }
}

/// The last part of a type's path: `Counter` of `shop::Counter`.
fn short_type_name<T>() -> String {
    let name = type_name::<T>();
    let path = name.split('<').next().unwrap_or(name);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

/// Says which child a configuration was refused for.
pub(crate) fn within(id: &str, error: StartError) -> StartError {
    match error {
        StartError::Config(what) => StartError::Config(format!("the child `{id}`: {what}")),
        other => other,
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, care, seed: _ } = self;
        f.debug_struct("ChildSpec").field("id", id).field("care", care).finish_non_exhaustive()
    }
}
