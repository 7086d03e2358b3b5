//! Servers whatever their type.

use std::{fmt, sync::Arc};

use crate::{
    exit::CrashReport,
    gen_server::GenServer,
    logical::Logical,
    name::ServerId,
    server_ref::{ServerRef, Status},
    sys::Statistics,
    tree::Child,
};

/// A logical server whatever its type: what can be seen and ordered without knowing its messages.
pub(crate) trait AnyServer: Child {
    fn name(&self) -> Option<&str>;
    fn type_name(&self) -> &'static str;
    fn incarnation(&self) -> u64;
    fn version(&self) -> u64;
    fn statistics(&self) -> Statistics;
    fn last_crash(&self) -> Option<CrashReport>;
    fn kill_worker(&self);
    fn suspend(&self);
    fn resume(&self);
    #[cfg(feature = "chaos")]
    fn inflict(&self, fault: crate::chaos::Fault);
}

/// A handle to a logical server whatever its type: for what looks at many servers, as a telemetry hook or a chaos test does.
/// Cheap to clone; valid as long as a [`ServerRef`] is.
///
/// It is made from a [`ServerRef`], or got from a supervisor ([`servers`](crate::SupervisorRef::servers)) or a
/// [`Registry`](crate::Registry::servers).
///
/// # Examples
///
/// ```
/// use undying::{AnyServerRef, ServerSpec};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Clock;
/// # impl GenServer for Clock { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let clock = ServerSpec::new(Clock, 0).name("clock").start().await.unwrap();
/// let any = AnyServerRef::from(&clock);
/// any.kill_worker();
/// clock.wait_incarnation(2).await.unwrap();
/// assert_eq!((any.name(), any.incarnation(), any.statistics().crashes), (Some("clock"), 2, 1));
/// assert_eq!(any.downcast::<Clock>().unwrap().id(), clock.id());
/// # clock.stop().await.unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct AnyServerRef {
    server: Arc<dyn AnyServer>,
}

impl AnyServerRef {
    pub(crate) fn new(server: Arc<dyn AnyServer>) -> Self {
        Self { server }
    }

    /// Its number.
    pub fn id(&self) -> ServerId {
        self.server.server()
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.server.name()
    }

    /// The name of its type, as [`std::any::type_name`] has it.
    pub fn type_name(&self) -> &'static str {
        self.server.type_name()
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        self.server.status()
    }

    /// Whether it is not over yet.
    pub fn is_alive(&self) -> bool {
        self.status() != Status::Terminated
    }

    /// The number of the last incarnation that began to serve: see [`ServerRef::incarnation`].
    pub fn incarnation(&self) -> u64 {
        self.server.incarnation()
    }

    /// The version of the state that is kept: see [`Kept::version`](crate::Kept::version).
    pub fn version(&self) -> u64 {
        self.server.version()
    }

    /// How many messages are queued.
    pub fn mailbox_len(&self) -> usize {
        self.statistics().mailbox_len
    }

    /// What it has counted; also when it is over.
    pub fn statistics(&self) -> Statistics {
        self.server.statistics()
    }

    /// The last abnormal end of one of its incarnations, if there was one.
    pub fn last_crash(&self) -> Option<CrashReport> {
        self.server.last_crash()
    }

    /// As [`ServerRef::kill_worker`].
    pub fn kill_worker(&self) {
        self.server.kill_worker();
    }

    /// Lets no callback begin from now on, as [`Sys::suspend`](crate::Sys::suspend) does, but does not wait for the one that
    /// runs. Does nothing to a server that is about to end.
    pub fn suspend(&self) {
        self.server.suspend();
    }

    /// Lets callbacks begin again, as [`Sys::resume`](crate::Sys::resume) does.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Does a fault to it on purpose.
    #[cfg(feature = "chaos")]
    pub fn inflict(&self, fault: crate::chaos::Fault) {
        self.server.inflict(fault);
    }

    /// What there is to see of it.
    #[cfg(feature = "observer")]
    pub(crate) fn view(&self) -> crate::tree::TreeNode {
        self.server.view()
    }

    /// The handle by its type, if that is `S`.
    pub fn downcast<S: GenServer>(&self) -> Option<ServerRef<S>> {
        let logical = self.server.clone().into_any().downcast::<Logical<S>>().ok()?;
        Some(ServerRef::new(logical))
    }
}

impl<S: GenServer> From<&ServerRef<S>> for AnyServerRef {
    fn from(server: &ServerRef<S>) -> Self {
        Self::new(server.logical.clone())
    }
}

impl<S: GenServer> From<ServerRef<S>> for AnyServerRef {
    fn from(server: ServerRef<S>) -> Self {
        Self::new(server.logical)
    }
}

impl fmt::Debug for AnyServerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyServerRef")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("type", &self.type_name())
            .finish()
    }
}
