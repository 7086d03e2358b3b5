//! The line of those who wait for room in a bounded mailbox.
//!
//! Room is *promised* to the first in line, and the sender itself queues its message when it is polled next. So a sender that
//! goes before has sent nothing, and the room goes to the one behind it.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{Dismissed, Mailbox, Sleeper};
use crate::{contain::wake_quietly, sync::Mutex};

/// Most mailboxes never have one.
#[derive(Default)]
pub(super) struct Line(Option<Box<Waiting>>);

/// Those who wait, in order. Those who left are still in it, and counted.
#[derive(Default)]
struct Waiting {
    places: VecDeque<Arc<Place>>,
    left: usize,
}

/// A place in the line. Its fate changes only while the inbox is locked.
pub(crate) struct Place(Mutex<InLine>);

impl Place {
    /// Whether there is no room for its message yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.lock().fate == Fate::Waiting
    }
}

struct InLine {
    fate: Fate,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    /// There is room for the message, and nobody else may have it.
    Promised,
    /// The message is queued.
    Queued,
    /// The sender is gone, or has been sent away.
    Gone,
}

impl Line {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|waiting| waiting.places.len() == waiting.left)
    }

    fn stand(&mut self, place: Arc<Place>) {
        self.0.get_or_insert_default().places.push_back(place);
    }

    /// Promises room to the first in line, who is to be woken.
    pub(super) fn promise_next(&mut self) -> Option<Option<Waker>> {
        let Waiting { places, left } = self.0.as_deref_mut()?;
        while let Some(place) = places.pop_front() {
            let mut sender = place.0.lock();
            if sender.fate == Fate::Waiting {
                sender.fate = Fate::Promised;
                return Some(sender.waker.take());
            }
            *left -= 1;
        }
        None
    }

    /// Sends everybody away.
    pub(super) fn dismiss(&mut self) -> Vec<Option<Waker>> {
        let places = self.0.take().map(|waiting| waiting.places).unwrap_or_default();
        places.into_iter().map(|place| place.0.lock().waker.take()).collect()
    }

    /// One has left. Now and then the places of those who did are swept out.
    fn left(&mut self) {
        let Some(Waiting { places, left }) = self.0.as_deref_mut() else { return };
        *left += 1;
        if *left > places.len() / 2 {
            places.retain(|place| place.0.lock().fate == Fate::Waiting);
            *left = 0;
        }
    }
}

/// A sender's message and its place in the line.
pub(crate) struct Ticket<'a, M, W: Sleeper = Waker> {
    mailbox: &'a Mailbox<M, W>,
    place: Arc<Place>,
    message: Option<M>,
    /// The life of the mailbox in which it was drawn.
    life: u64,
}

impl<'a, M, W: Sleeper> Ticket<'a, M, W> {
    /// Stands in line.
    pub(crate) fn draw(mailbox: &'a Mailbox<M, W>, message: M) -> Self {
        let place = Arc::new(Place(Mutex::new(InLine { fate: Fate::Waiting, waker: None })));
        let mut inbox = mailbox.inbox.lock();
        inbox.line.stand(place.clone());
        // Room may have come since the message was refused.
        let promised = inbox.promise(mailbox.capacity);
        let life = inbox.life;
        drop(inbox);
        promised.into_iter().for_each(wake_quietly);
        Self { mailbox, place, message: Some(message), life }
    }

    /// Where it stands in the line.
    pub(crate) fn place(&self) -> Arc<Place> {
        self.place.clone()
    }

    /// Leaves the line with the message.
    pub(crate) fn leave(mut self) -> M {
        self.message.take().expect("it was not polled to its end")
    }

    /// Waits until the message is queued, or the mailbox takes nothing any more.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Dismissed<M>>> {
        // A sender's waker is not ours: it is cloned and dropped outside the locks (K8).
        let waker = cx.waker().clone();
        let mut inbox = self.mailbox.inbox.lock();
        let mut sender = self.place.0.lock();
        if let Some(intake) = inbox.dismisses(self.life) {
            let Some(message) = self.message.take() else { return Poll::Pending };
            return Poll::Ready(Err(Dismissed { message, intake }));
        }
        if sender.fate != Fate::Promised {
            let stale = sender.waker.replace(waker);
            drop((sender, inbox));
            drop(stale);
            return Poll::Pending;
        }
        sender.fate = Fate::Queued;
        let stir =
            self.mailbox.append(&mut inbox, self.message.take().expect("room is promised to a message"));
        drop((sender, inbox));
        self.mailbox.stir(stir);
        Poll::Ready(Ok(()))
    }
}

impl<M, W: Sleeper> fmt::Debug for Ticket<'_, M, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

impl<M, W: Sleeper> Drop for Ticket<'_, M, W> {
    /// Leaves the line; room that was promised goes to the next.
    fn drop(&mut self) {
        let mut inbox = self.mailbox.inbox.lock();
        let mut sender = self.place.0.lock();
        let fate = mem::replace(&mut sender.fate, Fate::Gone);
        let waker = sender.waker.take();
        drop(sender);
        let dismissed = inbox.dismisses(self.life).is_some();
        if fate == Fate::Waiting && !dismissed {
            inbox.line.left();
        }
        let of_this_life = inbox.life == self.life;
        drop(inbox);
        drop(waker);
        if fate == Fate::Promised && of_this_life {
            self.mailbox.make_room();
        }
    }
}
