//! What a callback knows of its server beside the state.

use std::{fmt, sync::Arc};

use crate::{gen_server::GenServer, logical::Logical, server_ref::ServerRef};

/// A callback's view of its own server.
pub struct Context<S: GenServer> {
    logical: Arc<Logical<S>>,
    incarnation: u64,
    pub(crate) version: u64,
}

impl<S: GenServer> Context<S> {
    pub(crate) fn new(logical: Arc<Logical<S>>, incarnation: u64, version: u64) -> Self {
        Self { logical, incarnation, version }
    }

    /// A handle to this server, for others. Calling it from here is [`CallError::CallingSelf`](crate::CallError::CallingSelf).
    ///
    /// In the server's own state keep it as a [`WeakServerRef`](crate::WeakServerRef): the final state can be read after the
    /// end, so a server whose state holds itself is never freed.
    pub fn server(&self) -> ServerRef<S> {
        ServerRef::new(self.logical.clone())
    }

    /// The number of this incarnation, from 1.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The version of the state this callback began with: how many commits have changed it.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn label(&self) -> impl fmt::Display {
        self.logical.label()
    }
}

impl<S: GenServer> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logical, incarnation, version } = self;
        f.debug_struct("Context")
            .field("server", &logical.id)
            .field("incarnation", incarnation)
            .field("version", version)
            .finish_non_exhaustive()
    }
}
