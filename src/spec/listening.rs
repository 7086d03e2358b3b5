//! Who listens to a server.

use std::sync::Arc;

use super::ServerSpec;
use crate::{
    error::StartError,
    feed::Ear,
    gen_server::GenServer,
    listener::{Listener, Overflow},
    logical::CAPACITY,
    preserve::Snapshot,
};

impl<S: GenServer> ServerSpec<S> {
    /// Adds a listener, with a queue of 4,096 events and [`Overflow::Coalesce`]. Defaults to none; any number may be added.
    pub fn listener(self, listener: impl Listener<S>) -> Self {
        self.listener_with(listener, CAPACITY, Overflow::Coalesce)
    }

    /// Adds a listener with a queue of `capacity` events, and says what becomes of those for which it has no room. A change that
    /// is queued holds the state it tells of, so where states are large the capacity should be small. 0 is refused at
    /// [`start`](Self::start).
    pub fn listener_with(mut self, listener: impl Listener<S>, capacity: usize, overflow: Overflow) -> Self {
        self.listeners.push(Ear::new(Arc::new(listener), capacity, overflow));
        self
    }

    /// What counts as a change for those who listen or [watch](crate::ServerRef::watch): `changed` gets the state that they were told
    /// last and the one that was committed. Defaults to any commit of a callback that took `&mut` to the state. With
    /// `.changed_when(PartialEq::ne)` a callback that wrote what was there before is not told.
    ///
    /// It runs where the listener or watcher does, not in the worker. If it panics, that counts as a change.
    pub fn changed_when(
        mut self,
        changed: impl Fn(&Snapshot<S>, &Snapshot<S>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.hooks.closures().changed = Some(Box::new(changed));
        self
    }
}

/// Refuses listeners that could never be told anything.
pub(super) fn check<S: GenServer>(listeners: &[Ear<S>]) -> Result<(), StartError> {
    if listeners.iter().any(|ear| ear.capacity() == Some(0)) {
        return Err(StartError::Config(
            "a listener has a queue of 0 events: it could never be told any".into(),
        ));
    }
    Ok(())
}
