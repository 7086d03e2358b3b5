//! What servers of different types are to each other: watched, linked, waited for.

use std::sync::{Arc, Weak};

use crate::{
    exit::ExitReason,
    monitor::{Down, MonitorRef},
    name::{Label, ServerId},
    tree::Lineage,
    waits::Wait,
};

/// Who is told when a server is over. Called outside every lock.
pub(crate) type Watcher = Box<dyn FnOnce(Down) + Send>;

/// What one end of a link does when the other one is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// A link: it ends, too.
    Both,
    /// The other one is its owner: it ends, too, but not the other way round.
    Owner,
    /// It is the owner of the other one: nothing.
    Owned,
}

/// A logical server, whatever its type.
pub(crate) trait Peer: Send + Sync {
    fn id(&self) -> ServerId;

    fn name(&self) -> Option<Arc<str>>;

    fn label(&self) -> Label;

    fn lineage(&self) -> &Lineage;

    /// Has `watcher` told of the end, once. If that was before, it is for the caller to tell it.
    fn watch(&self, monitor: MonitorRef, watcher: Watcher) -> Option<(Watcher, Down)>;

    /// Forgets a watcher, if it was not told yet.
    fn unwatch(&self, monitor: MonitorRef);

    /// Ties it to `peer`. If it is over already, the reason comes back.
    fn tie(&self, to: ServerId, peer: Weak<dyn Peer>, tie: Tie) -> Result<(), ExitReason>;

    /// Unties it, and gives what the tie was.
    fn untie(&self, from: ServerId) -> Option<Tie>;

    /// A server it was tied to is over.
    fn peer_ended(&self, down: Down);

    /// What its callback waits for, by number.
    fn waits_for(&self) -> Vec<(u64, Arc<dyn Peer>)>;

    fn note_wait(&self, wait: Wait);

    fn forget_wait(&self, number: u64);

    fn clear_waits(&self, epoch: u64);
}

/// Links two servers. Each end is noted for itself: whichever of them ends in between finds, or is found by, the other one.
/// If one is over already, that counts as its end now: the other one is to be told.
pub(crate) fn link(one: &Arc<dyn Peer>, other: &Arc<dyn Peer>) -> Option<(Arc<dyn Peer>, Down)> {
    if let Err(reason) = one.tie(other.id(), Arc::downgrade(other), Tie::Both) {
        return Some((other.clone(), Down { id: one.id(), name: one.name(), reason }));
    }
    let reason = other.tie(one.id(), Arc::downgrade(one), Tie::Both).err()?;
    one.untie(other.id())?;
    Some((one.clone(), Down { id: other.id(), name: other.name(), reason }))
}

pub(crate) fn unlink(one: &dyn Peer, other: &dyn Peer) {
    one.untie(other.id());
    other.untie(one.id());
}

/// Makes `owner` the owner of a server that is about to start. If it is over, the reason comes back.
pub(crate) fn own(owner: &Arc<dyn Peer>, server: &Arc<dyn Peer>) -> Result<(), ExitReason> {
    server.tie(owner.id(), Arc::downgrade(owner), Tie::Owner)?;
    owner.tie(server.id(), Arc::downgrade(server), Tie::Owned)
}

/// Tells `server` that the one it may be tied to is over.
pub(crate) fn ended(server: &dyn Peer, peer: ServerId, down: Down) {
    if let Some(Tie::Both | Tie::Owner) = server.untie(peer) {
        server.peer_ended(down);
    }
}
