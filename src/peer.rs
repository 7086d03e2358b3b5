//! What servers of different types are to each other: watched, linked, waited for.

use std::sync::{Arc, Weak};

use crate::{
    contain::drop_quietly,
    exit::ExitReason,
    gen_server::GenServer,
    logical::Logical,
    monitor::{Down, MonitorRef},
    name::{Label, ServerId},
    notice::{Notice, Source},
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

impl<S: GenServer> Peer for Logical<S> {
    fn id(&self) -> ServerId {
        self.id
    }

    fn name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    fn label(&self) -> Label {
        Self::label(self)
    }

    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn watch(&self, monitor: MonitorRef, watcher: Watcher) -> Option<(Watcher, Down)> {
        self.cell.look(|record| {
            if Self::end_of(record).is_some() {
                let down = Down { id: self.id, name: self.name.clone(), reason: ExitReason::NoProc };
                return Some((watcher, down));
            }
            record.extras().watchers.insert(monitor, watcher);
            None
        })
    }

    fn unwatch(&self, monitor: MonitorRef) {
        drop_quietly(self.cell.look(|record| record.extras.as_mut()?.watchers.remove(&monitor)));
    }

    fn tie(&self, to: ServerId, peer: Weak<dyn Peer>, tie: Tie) -> Result<(), ExitReason> {
        self.cell.look(|record| {
            if let Some((reason, _)) = Self::end_of(record) {
                return Err(reason);
            }
            let ties = &mut record.extras().ties;
            let stronger = match ties.get(&to) {
                Some((_, before)) if *before != tie => Tie::Both,
                _ => tie,
            };
            ties.insert(to, (peer, stronger));
            Ok(())
        })
    }

    fn untie(&self, from: ServerId) -> Option<Tie> {
        let (peer, tie) = self.cell.look(|record| record.extras.as_mut()?.ties.remove(&from))?;
        drop(peer);
        Some(tie)
    }

    fn peer_ended(&self, down: Down) {
        if let Some(trap) = self.hooks.trap_exits() {
            self.notify(Notice::new(Source::Link, move || trap(down)));
        } else if down.reason.is_abnormal() {
            self.shut_down(down.reason);
        }
    }
    fn waits_for(&self) -> Vec<(u64, Arc<dyn Peer>)> {
        let epoch = self.cell.look_at(|_, epoch| epoch);
        self.waits.of(epoch)
    }

    fn note_wait(&self, wait: Wait) {
        self.waits.note(wait);
    }

    fn forget_wait(&self, number: u64) {
        self.waits.forget(number);
    }

    fn clear_waits(&self, epoch: u64) {
        self.waits.clear(epoch);
    }
}
