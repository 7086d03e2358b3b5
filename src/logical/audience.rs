//! Who listens to a server, besides those that its spec names: whoever listens to all servers of its supervisors, or of the
//! registry in which it has its name. That is found out before its first life, and stays so.

use std::sync::Arc;

use super::Logical;
use crate::{
    any_listener::Everywhere, contain::catch, feed::Ear, gen_server::GenServer, listener::Overflow,
    probe::Probes, server_ref::ServerRef,
};

/// How many events are queued for a listener, unless its owner says otherwise.
pub(crate) const CAPACITY: usize = 4096;

impl<S: GenServer> Logical<S> {
    pub(super) fn gather_listeners(self: &Arc<Self>) {
        let mut everywhere = self.lineage.listeners();
        everywhere.extend(self.registry.iter().flat_map(|registry| registry.listeners()));
        let ear = |listener| Ear::new(Arc::new(Everywhere(listener)), CAPACITY, Overflow::Coalesce);
        let ears: Vec<_> = everywhere.into_iter().map(ear).collect();
        let listeners = self.cell.look(|record| {
            record.feed.add(ears);
            record.feed.listeners()
        });
        let server = ServerRef::new(self.clone());
        let probes = listeners.iter().filter_map(|listener| catch(|| listener.probe(&server)).ok().flatten());
        let probes = Probes::of(probes.collect());
        if let Some(probes) = probes {
            self.cell.look(|record| record.probes = Some(Arc::new(probes)));
        }
    }
}
