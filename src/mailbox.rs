//! The mailbox: belongs to the logical server and outlives its workers.
//!
//! Senders append to the *inbox* under a lock that is held for nothing else. The worker takes the inbox away a segment at a
//! time and works through it as its *batch*, which lives with the logical server too (K6): a crash between two messages of
//! a batch loses none. Segments keep a flood from growing one allocation for ever.
//!
//! One order holds for everything a sender sends (G4): who finds the mailbox full stands in [`line`], and nobody overtakes
//! the line.

use std::{collections::VecDeque, fmt, mem, task::Waker};

use self::line::Line;
pub(crate) use self::line::{Place, Ticket};
use crate::{
    contain::{log, wake_quietly},
    exit::ExitReason,
    name::Label,
    sync::Mutex,
};

mod line;

/// How many messages a segment of the queue holds.
const SEGMENT: usize = 1024;

pub(crate) struct Mailbox<M, W = Waker> {
    owner: Label,
    /// How many messages may be queued; `None`: any number.
    capacity: Option<usize>,
    /// With how many of them this is logged.
    high_water: usize,
    inbox: Mutex<Inbox<M, W>>,
}

struct Inbox<M, W> {
    /// Full segments, oldest first.
    full: VecDeque<VecDeque<M>>,
    /// The segment being filled.
    filling: VecDeque<M>,
    /// Bounded only: how many messages are queued, with those of the batch and those that have been promised room.
    queued: usize,
    /// Bounded only: senders who wait for room.
    line: Line,
    /// Whether the high-water mark was reached, and the length has not fallen to half of it since.
    high: bool,
    worker: Option<W>,
    intake: Intake,
    /// How often it was opened again, and how the life before ended.
    life: u64,
    last_end: Option<ExitReason>,
}

/// Who waits for messages.
pub(crate) trait Sleeper: Clone {
    fn is(&self, other: &Self) -> bool;
    fn wake(self);
}

impl Sleeper for Waker {
    fn is(&self, other: &Self) -> bool {
        self.will_wake(other)
    }

    fn wake(self) {
        wake_quietly(Some(self));
    }
}

/// What a message that was put in leaves to be done.
#[must_use = "the worker is woken by `stir`"]
pub(crate) struct Stir<W> {
    /// The worker, if it is asleep.
    pub(crate) worker: Option<W>,
    /// The length, if it has reached the high-water mark.
    crossed: Option<usize>,
}

/// Who is to hear that nothing is taken in any more.
#[must_use = "they are woken by `settle`, outside every lock (K8)"]
pub(crate) struct Closed<W> {
    worker: Option<W>,
    line: Vec<Option<Waker>>,
}

impl<W> Default for Closed<W> {
    fn default() -> Self {
        Self { worker: None, line: Vec::new() }
    }
}

impl<W: Sleeper> Closed<W> {
    pub(crate) fn settle(self) {
        self.worker.into_iter().for_each(W::wake);
        self.line.into_iter().for_each(wake_quietly);
    }
}

/// Whether messages are taken in.
#[derive(Debug, Clone)]
pub(crate) enum Intake {
    Open,
    /// The server will end with this reason once what is queued is handled.
    Closing(ExitReason),
    /// The server has ended with this reason.
    Ended(ExitReason),
}

/// A message that was not taken.
pub(crate) enum Refused<M> {
    Full(M),
    Closed(Dismissed<M>),
}

impl<M> Refused<M> {
    pub(crate) fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Closed(Dismissed { message, .. }) => message,
        }
    }
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

impl<M, W: Sleeper> Mailbox<M, W> {
    pub(crate) fn new(owner: Label, capacity: Option<usize>, high_water: usize) -> Self {
        let inbox = Inbox {
            full: VecDeque::new(),
            filling: VecDeque::new(),
            queued: 0,
            line: Line::default(),
            high: false,
            worker: None,
            intake: Intake::Open,
            life: 0,
            last_end: None,
        };
        Self { owner, capacity, high_water, inbox: Mutex::new(inbox) }
    }

    /// Queues a message if there is room and nobody waits for it. The worker is yet to be woken.
    #[inline]
    pub(crate) fn offer(&self, message: M) -> Result<Stir<W>, Refused<M>> {
        self.push_if(message, |inbox, capacity| inbox.queued < capacity && inbox.line.is_empty())
    }

    /// Queues a message if there is room and nobody waits for it.
    #[inline]
    pub(crate) fn try_push(&self, message: M) -> Result<(), Refused<M>> {
        self.offer(message).map(|stir| self.stir(stir))
    }

    /// Queues a message whether there is room or not: for those who must not wait, because nobody else would make room.
    pub(crate) fn push_over(&self, message: M) -> Result<(), Dismissed<M>> {
        match self.push_if(message, |_, _| true) {
            Ok(stir) => {
                self.stir(stir);
                Ok(())
            }
            Err(Refused::Closed(dismissed)) => Err(dismissed),
            Err(Refused::Full(_)) => unreachable!("it may be over the capacity"),
        }
    }

    #[inline]
    fn push_if(
        &self,
        message: M,
        may: impl FnOnce(&Inbox<M, W>, usize) -> bool,
    ) -> Result<Stir<W>, Refused<M>> {
        let mut inbox = self.inbox.lock();
        if !matches!(inbox.intake, Intake::Open) {
            return Err(Refused::Closed(Dismissed { message, intake: inbox.intake.clone() }));
        }
        if let Some(capacity) = self.capacity {
            if !may(&inbox, capacity) {
                return Err(Refused::Full(message));
            }
            inbox.queued += 1;
        }
        Ok(self.append(&mut inbox, message))
    }

    /// Queues a message; if there is no room, in the place of the oldest that `may` go. The `batch` is older than the inbox. What
    /// is left to be done outside its lock comes back.
    pub(crate) fn push_out(
        &self,
        batch: &mut VecDeque<M>,
        message: M,
        may: impl Fn(&M) -> bool,
    ) -> Result<(Option<M>, Stir<W>), Dismissed<M>> {
        let mut inbox = self.inbox.lock();
        if !matches!(inbox.intake, Intake::Open) {
            return Err(Dismissed { message, intake: inbox.intake.clone() });
        }
        let mut oldest = None;
        if self.capacity.is_some_and(|capacity| inbox.queued >= capacity) {
            let Inbox { full, filling, .. } = &mut *inbox;
            oldest = [batch].into_iter().chain(full.iter_mut()).chain([filling]).find_map(|queue| {
                let place = queue.iter().position(&may)?;
                queue.remove(place)
            });
            while full.front().is_some_and(VecDeque::is_empty) {
                full.pop_front();
            }
        }
        if oldest.is_none() {
            inbox.queued += 1;
        }
        let stir = self.append(&mut inbox, message);
        Ok((oldest, stir))
    }

    /// Puts a message in.
    #[inline]
    fn append(&self, inbox: &mut Inbox<M, W>, message: M) -> Stir<W> {
        inbox.filling.push_back(message);
        if inbox.filling.len() == SEGMENT {
            let segment = mem::take(&mut inbox.filling);
            inbox.full.push_back(segment);
        }
        let length = inbox.length(self.capacity);
        let crossed = !inbox.high && length >= self.high_water;
        inbox.high |= crossed;
        Stir { worker: inbox.worker.take(), crossed: crossed.then_some(length) }
    }

    /// Tells who is to know of a message that was put in, outside every lock (K8).
    #[inline]
    pub(crate) fn stir(&self, Stir { worker, crossed }: Stir<W>) {
        if let Some(worker) = worker {
            worker.wake();
        }
        if let Some(length) = crossed {
            self.warn(length);
        }
    }

    #[cold]
    fn warn(&self, length: usize) {
        log!(warn, undying.server = %self.owner, queued = length, "the mailbox has reached its high-water mark");
    }

    /// Wakes the worker if it waits for messages: there is something else to look at.
    pub(crate) fn wake(&self) {
        let worker = self.inbox.lock().worker.take();
        worker.into_iter().for_each(W::wake);
    }

    /// Fills the empty `batch` with the oldest messages there are, or notes whom to wake when there are some.
    pub(crate) fn fetch(&self, batch: &mut VecDeque<M>, worker: &W) -> Fetched {
        debug_assert!(batch.is_empty(), "the worker fetches only when its batch is done");
        let mut inbox = self.inbox.lock();
        if !inbox.full.is_empty() {
            inbox.hand_out(batch);
        }
        if batch.is_empty() && !inbox.filling.is_empty() {
            mem::swap(batch, &mut inbox.filling);
        }
        if !batch.is_empty() {
            inbox.ebb(self.capacity, self.high_water);
            return Fetched::Messages;
        }
        if let Intake::Closing(reason) = &inbox.intake {
            return Fetched::Closed(reason.clone());
        }
        inbox.listen(worker);
        Fetched::Nothing
    }

    /// Notes whom to wake when there is something to look at, and takes nothing.
    pub(crate) fn listen(&self, worker: &W) {
        self.inbox.lock().listen(worker);
    }

    #[inline]
    pub(crate) const fn is_bounded(&self) -> bool {
        self.capacity.is_some()
    }

    /// A message has left the batch of a bounded mailbox: its place is promised to the first in line.
    pub(crate) fn make_room(&self) {
        let mut inbox = self.inbox.lock();
        // What a worker has taken just before another life began is not of this one.
        inbox.queued = inbox.queued.saturating_sub(1);
        inbox.ebb(self.capacity, self.high_water);
        let promised = inbox.promise(self.capacity);
        drop(inbox);
        promised.into_iter().for_each(wake_quietly);
    }

    /// Takes nothing in any more: what is queued will be handled, then the server ends with `reason`. The first reason
    /// stands. Whoever is in line gets the message back.
    pub(crate) fn close(&self, reason: ExitReason) -> Closed<W> {
        let mut inbox = self.inbox.lock();
        if !matches!(inbox.intake, Intake::Open) {
            return Closed::default();
        }
        inbox.intake = Intake::Closing(reason);
        Closed { worker: inbox.worker.take(), line: inbox.line.dismiss() }
    }

    /// The server is over: takes nothing in any more, and gives back what is queued beside the batch.
    pub(crate) fn end(&self, reason: ExitReason) -> (Vec<VecDeque<M>>, Closed<W>) {
        self.inbox.lock().end(reason)
    }

    /// The server is over, and takes messages in for another life: gives back what is queued beside the batch. Whoever is in
    /// line is sent away.
    pub(crate) fn turn_over(&self, reason: ExitReason) -> (Vec<VecDeque<M>>, Closed<W>) {
        let mut inbox = self.inbox.lock();
        let ended = inbox.end(reason);
        inbox.open();
        ended
    }

    /// Takes messages in again, for another life.
    pub(crate) fn reopen(&self) {
        self.inbox.lock().open();
    }

    /// How many messages are queued beside the batch.
    pub(crate) fn len(&self) -> usize {
        let inbox = self.inbox.lock();
        inbox.full.iter().map(VecDeque::len).sum::<usize>() + inbox.filling.len()
    }

    /// The reason the server will end with once what is queued is handled, if it was told to.
    pub(crate) fn closing(&self) -> Option<ExitReason> {
        match &self.inbox.lock().intake {
            Intake::Closing(reason) => Some(reason.clone()),
            Intake::Open | Intake::Ended(_) => None,
        }
    }

    pub(crate) fn shrink(&self) {
        self.inbox.lock().filling.shrink_to_fit();
    }
}

#[cfg(test)]
impl<M> Mailbox<M> {
    fn of(capacity: Option<usize>) -> Self {
        Self::new(Label { id: crate::name::ServerId::next(), name: None }, capacity, usize::MAX)
    }

    /// Queues a message, or stands in line for room.
    fn push(&self, message: M) -> Result<Option<Ticket<'_, M, Waker>>, Dismissed<M>> {
        match self.try_push(message) {
            Ok(()) => Ok(None),
            Err(Refused::Full(message)) => Ok(Some(Ticket::draw(self, message))),
            Err(Refused::Closed(dismissed)) => Err(dismissed),
        }
    }
}

impl<M, W> fmt::Debug for Mailbox<M, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl<M, W: Sleeper> Inbox<M, W> {
    /// Whether whoever came in that `life` is sent away, and why.
    fn dismisses(&self, life: u64) -> Option<Intake> {
        match &self.intake {
            Intake::Open if self.life == life => None,
            Intake::Open => Some(Intake::Ended(self.last_end.clone().unwrap_or(ExitReason::Killed))),
            closed => Some(closed.clone()),
        }
    }

    fn end(&mut self, reason: ExitReason) -> (Vec<VecDeque<M>>, Closed<W>) {
        self.intake = Intake::Ended(reason);
        let filling = mem::take(&mut self.filling);
        let queued = mem::take(&mut self.full).into_iter().chain([filling]);
        let queued = queued.filter(|segment| !segment.is_empty()).collect();
        (queued, Closed { worker: self.worker.take(), line: self.line.dismiss() })
    }

    /// Another life begins.
    fn open(&mut self) {
        if let Intake::Closing(reason) | Intake::Ended(reason) = mem::replace(&mut self.intake, Intake::Open)
        {
            self.last_end = Some(reason);
        }
        self.life += 1;
        (self.queued, self.high) = (0, false);
    }

    /// How many messages are queued. Of a mailbox without bounds nobody counts those of the batch.
    fn length(&self, capacity: Option<usize>) -> usize {
        if capacity.is_some() { self.queued } else { self.full.len() * SEGMENT + self.filling.len() }
    }

    /// Hands out the oldest segment. One may have been emptied in the middle, where messages gave way to others.
    fn hand_out(&mut self, batch: &mut VecDeque<M>) {
        while batch.is_empty() {
            let Some(oldest) = self.full.pop_front() else { break };
            *batch = oldest;
        }
    }

    /// Messages have left: below half of the high-water mark it may be reached anew.
    fn ebb(&mut self, capacity: Option<usize>, high_water: usize) {
        self.high &= self.length(capacity) > high_water / 2;
    }

    fn listen(&mut self, worker: &W) {
        if !self.worker.as_ref().is_some_and(|known| known.is(worker)) {
            self.worker = Some(worker.clone());
        }
    }

    /// Promises what room there is to the first in line, who are to be woken.
    fn promise(&mut self, capacity: Option<usize>) -> Vec<Option<Waker>> {
        let mut promised = Vec::new();
        while capacity.is_none_or(|capacity| self.queued < capacity) {
            let Some(waker) = self.line.promise_next() else { break };
            self.queued += 1;
            promised.push(waker);
        }
        promised
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, any(loom, shuttle)))]
mod models;
