//! How a call gets to the worker: by waking its task, or by running it on the spot.

use std::{cell::Cell, thread};

use super::Logical;
use crate::{
    gen_server::GenServer,
    job::WorkerSeat,
    mailbox::{Refused, Ticket},
    options::{Dispatch, WhenFull},
    record::Envelope,
    sync::{coop, thread_local},
};

/// A place in the line for room in a mailbox.
pub(crate) type Queue<'a, S> = Ticket<'a, Envelope<S>, WorkerSeat>;

thread_local! {
    /// How many workers this thread runs in the place of their tasks, one inside the other.
    static DEPTH: Cell<u8> = const { Cell::new(0) };
}

/// That many, and no more: their callbacks share one stack.
const MAX_DEPTH: u8 = 4;

impl<S: GenServer> Logical<S> {
    /// Queues a call, or stands in line for room: then the ticket queues it. Where the worker is asleep it may have been run
    /// when this returns.
    #[inline]
    pub(crate) fn push_call(&self, call: Envelope<S>) -> Result<Option<Queue<'_, S>>, Refused<Envelope<S>>> {
        let mut stir = match self.mailbox.offer(call) {
            Ok(stir) => stir,
            Err(Refused::Full(call)) if self.options.mailbox.when_full == WhenFull::Wait => {
                return Ok(Some(Ticket::draw(&self.mailbox, call)));
            }
            Err(Refused::Full(call)) => return self.try_push(call).map(|()| None),
            Err(closed) => return Err(closed),
        };
        stir.worker = stir.worker.and_then(|worker| self.run(worker));
        self.mailbox.stir(stir);
        Ok(None)
    }

    /// Runs the worker, which is asleep, in the place of its task; or gives it back to be woken.
    #[inline]
    fn run(&self, worker: WorkerSeat) -> Option<WorkerSeat> {
        if self.options.dispatch == Dispatch::Queued || !worker.is_at_home() {
            return Some(worker);
        }
        // Without budget the worker would stop in the middle, and would have to be woken all the same.
        if !coop::has_budget_remaining() {
            return Some(worker);
        }
        let depth = DEPTH.with(Cell::get);
        // K3: nothing of a user's runs while a panic unwinds.
        if depth == MAX_DEPTH || thread::panicking() {
            return Some(worker);
        }
        DEPTH.with(|here| here.set(depth + 1));
        let vacated = worker.steal();
        DEPTH.with(|here| here.set(depth));
        if vacated {
            // Its supervisor waits for it to be gone.
            self.wake_supervisor();
        }
        None
    }
}
