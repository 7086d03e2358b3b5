//! The mailbox: belongs to the logical server and outlives its workers.
//!
//! Senders append to the *inbox* under a lock that is held for nothing else. The worker takes the inbox away a segment at a
//! time and works through it as its *batch*, which lives with the logical server too (K6): a crash between two messages of
//! a batch loses none. Segments keep a flood from growing one allocation for ever.
//!
//! One order holds for everything a sender sends (G4): who finds the mailbox full stands in line, with the message, and
//! nobody overtakes the line.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{exit::ExitReason, sync::Mutex};

/// How many messages a segment of the queue holds.
const SEGMENT: usize = 1024;

pub(crate) struct Mailbox<M> {
    /// How many messages may be queued; `None`: any number.
    capacity: Option<usize>,
    inbox: Mutex<Inbox<M>>,
}

struct Inbox<M> {
    /// Full segments, oldest first.
    full: VecDeque<VecDeque<M>>,
    /// The segment being filled.
    filling: VecDeque<M>,
    /// Bounded only: how many messages are queued, those of the batch included.
    queued: usize,
    /// Bounded only: senders who wait for room, in order. Those who left are still in it, and counted.
    line: VecDeque<Arc<Place<M>>>,
    left: usize,
    worker: Option<Waker>,
    intake: Intake,
}

/// Whether messages are taken in.
#[derive(Debug, Clone)]
pub(crate) enum Intake {
    Open,
    /// The server will end with this reason once what is queued is handled.
    Closing(ExitReason),
    /// The server is over.
    Ended,
}

/// A message that was not taken.
pub(crate) enum Refused<M> {
    Full(M),
    Closed(Dismissed<M>),
}

/// A message that never will be taken, and why.
pub(crate) struct Dismissed<M> {
    pub(crate) message: M,
    pub(crate) intake: Intake,
}

/// What the worker finds.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The batch has messages.
    Messages,
    /// Nothing is queued; the worker will be woken.
    Nothing,
    /// Nothing is queued, and nothing will be.
    Closed(ExitReason),
}

impl<M> Mailbox<M> {
    pub(crate) fn new(capacity: Option<usize>) -> Self {
        let inbox = Inbox {
            full: VecDeque::new(),
            filling: VecDeque::new(),
            queued: 0,
            line: VecDeque::new(),
            left: 0,
            worker: None,
            intake: Intake::Open,
        };
        Self { capacity, inbox: Mutex::new(inbox) }
    }

    /// Queues a message if there is room and nobody waits for it.
    pub(crate) fn try_push(&self, message: M) -> Result<(), Refused<M>> {
        let mut inbox = self.inbox.lock();
        if !matches!(inbox.intake, Intake::Open) {
            return Err(Refused::Closed(Dismissed { message, intake: inbox.intake.clone() }));
        }
        if self.capacity.is_some_and(|capacity| !inbox.has_room(capacity)) {
            return Err(Refused::Full(message));
        }
        inbox.queued += 1;
        inbox.append(message);
        let worker = inbox.worker.take();
        drop(inbox);
        wake(worker);
        Ok(())
    }

    /// Queues a message, or puts it in the line of those who wait for room: then the ticket tells when it is queued.
    pub(crate) fn push(&self, message: M) -> Result<Option<Ticket<'_, M>>, Dismissed<M>> {
        match self.try_push(message) {
            Ok(()) => Ok(None),
            Err(Refused::Full(message)) => self.stand_in_line(message).map(Some),
            Err(Refused::Closed(dismissed)) => Err(dismissed),
        }
    }

    fn stand_in_line(&self, message: M) -> Result<Ticket<'_, M>, Dismissed<M>> {
        let mut inbox = self.inbox.lock();
        if !matches!(inbox.intake, Intake::Open) {
            return Err(Dismissed { message, intake: inbox.intake.clone() });
        }
        let place = Arc::new(Place {
            inner: Mutex::new(InLine { message: Some(message), fate: Fate::Waiting, waker: None }),
        });
        inbox.line.push_back(place.clone());
        // Room may have come between the two locks.
        let admitted = inbox.admit(self.capacity);
        let worker = if admitted.is_empty() { None } else { inbox.worker.take() };
        drop(inbox);
        wake(worker);
        admitted.into_iter().for_each(wake);
        Ok(Ticket { mailbox: self, place })
    }

    /// Fills the empty `batch` with the oldest messages there are, or leaves a waker for when there are some.
    pub(crate) fn fetch(&self, batch: &mut VecDeque<M>, cx: &Context<'_>) -> Fetched {
        debug_assert!(batch.is_empty(), "the worker fetches only when its batch is done");
        let mut inbox = self.inbox.lock();
        if let Some(oldest) = inbox.full.pop_front() {
            *batch = oldest;
            return Fetched::Messages;
        }
        if !inbox.filling.is_empty() {
            mem::swap(batch, &mut inbox.filling);
            return Fetched::Messages;
        }
        if let Intake::Closing(reason) = &inbox.intake {
            return Fetched::Closed(reason.clone());
        }
        if !inbox.worker.as_ref().is_some_and(|worker| worker.will_wake(cx.waker())) {
            inbox.worker = Some(cx.waker().clone());
        }
        Fetched::Nothing
    }

    /// One message has left the batch: in a bounded mailbox the first in line takes its place.
    pub(crate) fn taken(&self) {
        if self.capacity.is_none() {
            return;
        }
        let mut inbox = self.inbox.lock();
        inbox.queued -= 1;
        let admitted = inbox.admit(self.capacity);
        drop(inbox);
        admitted.into_iter().for_each(wake);
    }

    /// Takes nothing in any more: what is queued will be handled, then the server ends with `reason`. The first reason
    /// stands. Whoever is in line gets the message back.
    pub(crate) fn close(&self, reason: ExitReason) {
        let mut inbox = self.inbox.lock();
        if !matches!(inbox.intake, Intake::Open) {
            return;
        }
        inbox.intake = Intake::Closing(reason);
        let worker = inbox.worker.take();
        let line = inbox.dismiss();
        drop(inbox);
        wake(worker);
        line.into_iter().for_each(wake);
    }

    /// The server is over: takes nothing in any more, and gives back what is queued beside the batch.
    pub(crate) fn end(&self) -> Vec<VecDeque<M>> {
        let mut inbox = self.inbox.lock();
        inbox.intake = Intake::Ended;
        let filling = mem::take(&mut inbox.filling);
        let queued = mem::take(&mut inbox.full).into_iter().chain([filling]).collect();
        let worker = inbox.worker.take();
        let line = inbox.dismiss();
        drop((inbox, worker));
        line.into_iter().for_each(wake);
        queued
    }

    /// How many messages are queued beside the batch.
    pub(crate) fn len(&self) -> usize {
        let inbox = self.inbox.lock();
        inbox.full.len() * SEGMENT + inbox.filling.len()
    }

    /// The reason the server will end with once what is queued is handled, if it was told to.
    pub(crate) fn closing(&self) -> Option<ExitReason> {
        match &self.inbox.lock().intake {
            Intake::Closing(reason) => Some(reason.clone()),
            Intake::Open | Intake::Ended => None,
        }
    }

    pub(crate) fn shrink(&self) {
        self.inbox.lock().filling.shrink_to_fit();
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl<M> Inbox<M> {
    fn has_room(&self, capacity: usize) -> bool {
        self.queued < capacity && self.line.len() == self.left
    }

    fn append(&mut self, message: M) {
        self.filling.push_back(message);
        if self.filling.len() == SEGMENT {
            self.full.push_back(mem::take(&mut self.filling));
        }
    }

    /// Queues the messages of the first in line while there is room; their senders are to be woken.
    fn admit(&mut self, capacity: Option<usize>) -> Vec<Option<Waker>> {
        let mut admitted = Vec::new();
        while capacity.is_none_or(|capacity| self.queued < capacity) {
            let Some(place) = self.line.pop_front() else { break };
            let mut sender = place.inner.lock();
            match sender.message.take() {
                Some(message) => {
                    sender.fate = Fate::Admitted;
                    admitted.push(sender.waker.take());
                    self.queued += 1;
                    self.append(message);
                }
                None => self.left -= 1,
            }
        }
        admitted
    }

    /// Sends everybody in line away, with their messages.
    fn dismiss(&mut self) -> Vec<Option<Waker>> {
        self.left = 0;
        let dismiss = |place: Arc<Place<M>>| {
            let mut sender = place.inner.lock();
            sender.fate = Fate::Dismissed(self.intake.clone());
            sender.waker.take()
        };
        self.line.drain(..).map(dismiss).collect()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A place in the line. Locked only while the inbox is, or alone.
struct Place<M> {
    inner: Mutex<InLine<M>>,
}

struct InLine<M> {
    /// Until it is queued, or its sender left.
    message: Option<M>,
    fate: Fate,
    waker: Option<Waker>,
}

enum Fate {
    Waiting,
    Admitted,
    Dismissed(Intake),
}

/// A sender's place in the line. Dropped before the message is queued, it takes the message out of the line.
pub(crate) struct Ticket<'a, M> {
    mailbox: &'a Mailbox<M>,
    place: Arc<Place<M>>,
}

impl<M> Ticket<'_, M> {
    /// Waits until the message is queued, or the mailbox takes nothing any more.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<(), Dismissed<M>>> {
        // A sender's waker is not ours: it is cloned and dropped outside the lock (K8).
        let waker = cx.waker().clone();
        let mut sender = self.place.inner.lock();
        match &sender.fate {
            Fate::Admitted => Poll::Ready(Ok(())),
            Fate::Dismissed(intake) => {
                let intake = intake.clone();
                let message = sender.message.take().expect("a dismissed message stays with its sender");
                Poll::Ready(Err(Dismissed { message, intake }))
            }
            Fate::Waiting => {
                let stale = sender.waker.replace(waker);
                drop(sender);
                drop(stale);
                Poll::Pending
            }
        }
    }
}

impl<M> Drop for Ticket<'_, M> {
    fn drop(&mut self) {
        let mut inbox = self.mailbox.inbox.lock();
        let mut sender = self.place.inner.lock();
        let (message, waker) = (sender.message.take(), sender.waker.take());
        let leaves = message.is_some() && matches!(sender.fate, Fate::Waiting);
        drop(sender);
        if leaves {
            inbox.left += 1;
            if inbox.left > inbox.line.len() / 2 {
                inbox.line.retain(|place| place.inner.lock().message.is_some());
                inbox.left = 0;
            }
        }
        drop(inbox);
        drop((message, waker));
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, any(loom, shuttle)))]
mod models;
