//! What comes in: messages, notices, timers; and messages that come back because their callback crashed.

use std::{future::poll_fn, sync::Arc};

use tokio::time::Instant;

use super::Logical;
use crate::{
    contain::drop_quietly,
    dead_letter::{self, Again, DeadLetterReason},
    error::CallError,
    gen_server::GenServer,
    mailbox::{Dismissed, Refused, Ticket},
    notice::Notice,
    options::WhenFull,
    record::{Envelope, Left, Record},
    scope::{self, Place},
    timers::{Timer, TimerRef},
    waits::{self, On},
};

impl<S: GenServer> Logical<S> {
    /// Queues a message, and never waits.
    pub(crate) fn try_push(&self, envelope: Envelope<S>) -> Result<(), Refused<Envelope<S>>> {
        if self.options.mailbox.when_full == WhenFull::DropOldest && scope::is_inside(self.id) {
            return self.push_own(envelope).map_err(Refused::Closed);
        }
        let drop_oldest = self.options.mailbox.when_full == WhenFull::DropOldest && !dead_letter::is_told();
        let envelope = match self.mailbox.try_push(envelope) {
            Err(Refused::Full(envelope)) if drop_oldest => envelope,
            other => return other,
        };
        let push_out =
            |record: &mut Record<S>| self.mailbox.push_out(&mut record.batch, envelope, Envelope::is_mail);
        let (oldest, stir) = self.cell.look(push_out).map_err(Refused::Closed)?;
        self.mailbox.stir(stir);
        if let Some(oldest) = oldest {
            oldest.bury(self.hooks.dead_letters(), CallError::Full, || DeadLetterReason::Overflow);
        }
        Ok(())
    }

    /// Queues a message, and waits for room.
    #[inline]
    pub(crate) async fn post(self: &Arc<Self>, envelope: Envelope<S>) -> Result<(), Envelope<S>> {
        match self.put(envelope) {
            Ok(()) => Ok(()),
            Err(refused) => self.insist(refused).await,
        }
    }

    /// Queues a message, unless it has to wait for room.
    #[inline]
    fn put(&self, envelope: Envelope<S>) -> Result<(), Refused<Envelope<S>>> {
        if !self.mailbox.is_bounded() {
            return self.mailbox.try_push(envelope);
        }
        if scope::is_inside(self.id) {
            return self.push_own(envelope).map_err(Refused::Closed);
        }
        self.try_push(envelope)
    }

    /// Waits for room for a message that was refused for want of it; but not for a circle of full mailboxes, of which this one may
    /// be the only one: nobody in it would ever make room.
    async fn insist(self: &Arc<Self>, refused: Refused<Envelope<S>>) -> Result<(), Envelope<S>> {
        let mut ticket = match refused {
            Refused::Full(envelope) if self.options.mailbox.when_full == WhenFull::Wait => {
                Ticket::draw(&self.mailbox, envelope)
            }
            refused => return Err(refused.into_message()),
        };
        let waiting = match scope::place(self.id) {
            Place::Elsewhere(callback) => {
                Some(waits::begin(callback, self.clone(), On::Room(ticket.place())))
            }
            Place::Outside | Place::Inside => None,
        };
        let queued = match waiting {
            Some(Err(_)) => self.mailbox.push_over(ticket.leave()),
            Some(Ok(_)) | None => poll_fn(|cx| ticket.poll(cx)).await,
        };
        queued.map_err(|dismissed| dismissed.message)
    }

    /// Queues what a server sends itself, which neither waits nor gives way.
    fn push_own(&self, envelope: Envelope<S>) -> Result<(), Dismissed<Envelope<S>>> {
        self.mailbox.push_over(match self.options.mailbox.when_full {
            WhenFull::DropOldest => Envelope::Own(Box::new(envelope)),
            WhenFull::Wait | WhenFull::Refuse => envelope,
        })
    }

    /// Queues an item of a stream, which waits for room where others wait, but never gives up nor drives out what others have
    /// sent. Tells whether there is still a server to read it.
    pub(crate) async fn deliver(self: &Arc<Self>, item: Box<Notice<S::Info>>) -> bool {
        let envelope = Envelope::Notice(item);
        match self.options.mailbox.when_full {
            WhenFull::Wait => self.post(envelope).await.is_ok(),
            WhenFull::Refuse | WhenFull::DropOldest => self.mailbox.push_over(envelope).is_ok(),
        }
    }

    /// Queues a notice, which never waits.
    pub(crate) fn notify(&self, notice: Box<Notice<S::Info>>) {
        drop_quietly(self.mailbox.push_over(Envelope::Notice(notice)));
    }

    /// Arms a timer from outside.
    pub(crate) fn arm(&self, at: Option<Instant>, timer: Timer<S::Info>) -> TimerRef {
        let name = TimerRef::next();
        let unwanted = self.cell.look(|record| {
            if record.deferred.ended() {
                return Some(timer);
            }
            record.extras().timers.arm(name, at, timer)
        });
        drop_quietly(unwanted);
        self.mailbox.wake();
        name
    }

    /// Cancels a timer from outside. Tells whether it was armed.
    pub(crate) fn cancel(&self, timer: TimerRef) -> bool {
        let cancelled = self.cell.look(|record| record.extras.as_mut()?.timers.cancel(timer));
        let was_armed = cancelled.is_some();
        drop_quietly(cancelled);
        was_armed
    }

    /// Sees off what an incarnation has left: its caller is told `error` (K7).
    pub(crate) fn see_off(&self, left: Left<S>, error: CallError) {
        let Left { claim, parting, copy } = left;
        self.part(parting);
        let report = if let CallError::Crashed(report) = &error { Some(report.clone()) } else { None };
        claim.into_iter().for_each(|claim| claim.fail(error.clone()));
        match (copy, report) {
            (Some(message), Some(report)) => {
                message.bury(self.hooks.dead_letters(), || DeadLetterReason::Crashed(report));
            }
            (copy, _) => drop_quietly(copy),
        }
    }

    /// Has a message run before all that are queued, unless the server has seen those off already.
    pub(crate) fn run_again(&self, again: Again<S>) -> Option<Again<S>> {
        let late = self.cell.look(|record| {
            if record.deferred.ended() {
                return Some(again);
            }
            record.extras().again.push_back(again);
            None
        });
        self.mailbox.wake();
        late
    }
}
