//! Which server waits for which, as far as callbacks are concerned: how a deadlock is told at once.
//!
//! A call that is made inside a callback is noted with the server whose callback it is, for as long as it waits: an *edge* from
//! the caller to the called server. A call that would close a circle of edges could only ever time out; it fails instead,
//! and is not sent. Calls from outside of every callback are not noted and cost nothing.
//!
//! An edge counts while the callback runs that made it, and as long as the called server itself has to do something for it: once its callback has committed and left
//! the answer to be given later, anybody may give it, and nobody knows who. So there is no false alarm for it.
//!
//! Every edge stands in its server under a lock of its own. Two calls that close the same circle at the same moment each note
//! their edge before they look, so that at least one of them sees the circle. But a way that is read edge by edge may be put
//! together from edges that never stood at the same time. So a circle that was seen is looked at again: edges have numbers
//! that are never used twice, and if each of them is still there, all of them stood together in between. That verdict is
//! passed under one lock for all, so that of the calls in a circle exactly one fails.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, LazyLock},
};

use crate::{
    contain::{drop_each, drop_quietly},
    mailbox::Place,
    name::serial,
    peer::Peer,
    reply::AnySlot,
    scope::Callback,
    sync::Mutex,
};

/// A call, or a message that waits for room, that is made inside a callback.
pub(crate) struct Wait {
    number: u64,
    /// The incarnation whose callback waits.
    epoch: u64,
    target: Arc<dyn Peer>,
    on: On,
}

/// What is waited for.
pub(crate) enum On {
    Answer(Arc<dyn AnySlot>),
    Room(Arc<Place>),
}

impl On {
    /// Whether the other server has still to do something for it.
    fn is_outstanding(&self) -> bool {
        match self {
            Self::Answer(slot) => slot.is_in_hand(),
            Self::Room(place) => place.is_waiting(),
        }
    }
}

/// What the callbacks of one server wait for.
#[derive(Default)]
pub(crate) struct Waits(Mutex<Vec<Wait>>);

impl Waits {
    /// The servers that the callback of incarnation `epoch` waits for.
    pub(crate) fn of(&self, epoch: u64) -> Vec<(u64, Arc<dyn Peer>)> {
        let waits = self.0.lock();
        let counts = |wait: &&Wait| wait.epoch == epoch && wait.on.is_outstanding();
        waits.iter().filter(counts).map(|wait| (wait.number, wait.target.clone())).collect()
    }

    pub(crate) fn note(&self, wait: Wait) {
        self.0.lock().push(wait);
    }

    pub(crate) fn forget(&self, number: u64) {
        let mut waits = self.0.lock();
        let place = waits.iter().position(|wait| wait.number == number);
        let wait = place.map(|place| waits.swap_remove(place));
        drop(waits);
        drop_quietly(wait);
    }

    /// The callback of incarnation `epoch` is over: whatever it has left waiting, it does not wait for it.
    pub(crate) fn clear(&self, epoch: u64) {
        let mut waits = self.0.lock();
        let (over, others): (Vec<_>, Vec<_>) =
            mem::take(&mut *waits).into_iter().partition(|wait| wait.epoch == epoch);
        *waits = others;
        drop(waits);
        drop_each(over);
    }
}

/// An edge, for as long as it is held.
pub(crate) struct Waiting {
    server: Arc<dyn Peer>,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.server.forget_wait(self.number);
    }
}

/// Notes that `callback` waits for `target`, unless that would close a circle.
pub(crate) fn begin(callback: Callback, target: Arc<dyn Peer>, on: On) -> Result<Waiting, Circle> {
    static VERDICT: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    let Callback { server, epoch } = callback;
    let number = serial();
    server.note_wait(Wait { number, epoch, target: target.clone(), on });
    let waiting = Waiting { server, number };
    if Circle::through(&waiting.server, &target).is_none() {
        return Ok(waiting);
    }
    let _verdict = VERDICT.lock();
    while let Some(circle) = Circle::through(&waiting.server, &target) {
        if circle.stands() {
            // Within the verdict: whoever comes next finds no circle any more.
            drop(waiting);
            return Err(circle);
        }
    }
    Ok(waiting)
}

/// A way from a server back to itself.
pub(crate) struct Circle {
    /// Whose call would close it.
    caller: Arc<dyn Peer>,
    /// Each waits for the next, and the last one for the caller, by the wait of that number.
    others: Vec<(Arc<dyn Peer>, u64)>,
}

impl Circle {
    /// The servers by name.
    pub(crate) fn names(&self) -> Vec<String> {
        let others = self.others.iter().map(|(peer, _)| peer);
        [&self.caller].into_iter().chain(others).map(|peer| peer.label().to_string()).collect()
    }

    /// The way from `target` back to `server`, if there is one.
    fn through(server: &Arc<dyn Peer>, target: &Arc<dyn Peer>) -> Option<Self> {
        let next = target.waits_for();
        if next.is_empty() {
            return None;
        }
        let mut way = vec![(target.clone(), 0, next.into_iter())];
        let mut seen = HashSet::from([target.id()]);
        while let Some((_, through, next)) = way.last_mut() {
            let Some((number, peer)) = next.next() else {
                way.pop();
                continue;
            };
            *through = number;
            if peer.id() == server.id() {
                let others = way.into_iter().map(|(peer, through, _)| (peer, through)).collect();
                return Some(Self { caller: server.clone(), others });
            }
            if seen.insert(peer.id()) {
                let next = peer.waits_for().into_iter();
                way.push((peer, 0, next));
            }
        }
        None
    }

    /// Whether each of the waits still stands.
    fn stands(&self) -> bool {
        self.others
            .iter()
            .all(|(peer, number)| peer.waits_for().iter().any(|(standing, _)| standing == number))
    }
}
