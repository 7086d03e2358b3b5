//! The logical server as other servers see it, whatever its type: watched, linked, waited for.

use std::sync::{Arc, Weak};

use super::Logical;
use crate::{
    contain::drop_quietly,
    exit::ExitReason,
    gen_server::GenServer,
    monitor::{Down, MonitorRef},
    name::{Label, ServerId},
    notice::{Notice, Source},
    peer::{Peer, Tie, Watcher},
    tree::Lineage,
    waits::Wait,
};

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
