//! What is asked of the worker itself, between two callbacks (K9, K10): the requests of [`Sys`](crate::Sys) that need it.

use std::time::Duration;

use crate::{
    exit::Crash,
    gen_server::GenServer,
    job::Factory,
    preserve::Kept,
    reply::{Claim, Reply},
};

pub(crate) struct Request<S: GenServer> {
    pub(crate) wish: Wish<S>,
    pub(crate) claim: Claim,
}

pub(crate) enum Wish<S: GenServer> {
    /// The state as it is now.
    State(Reply<Kept<S>>),
    /// No callback runs any more.
    Pause(Reply<()>),
    Replace {
        change: Box<Change<S>>,
        /// What makes the servers of all later incarnations, and of this one from now on.
        factory: Option<Factory<S>>,
        reply: Reply<()>,
    },
    /// A fault on purpose: the thread is blocked for so long.
    #[cfg_attr(not(feature = "chaos"), expect(dead_code, reason = "nobody asks for it without that feature"))]
    Block(Duration),
}

pub(crate) type Change<S> = dyn FnOnce(&mut <S as GenServer>::State) -> Result<(), Crash> + Send;

impl<S: GenServer> Wish<S> {
    /// Whether somebody still waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Self::State(reply) => reply.is_awaited(),
            Self::Pause(reply) => reply.is_awaited(),
            Self::Replace { reply, .. } => reply.is_awaited(),
            Self::Block(_) => true,
        }
    }
}
