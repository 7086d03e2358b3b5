//! The way back from a callback to its caller: one slot a call, in one allocation.
//!
//! A slot is shared by the caller, who waits at it, by the [`Reply`]s, which may answer it, and by the server's [`Claim`]:
//! as long as the server has the call in hand, a dropped `Reply` does not mean that no answer will come.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

mod slot;

pub(crate) use self::slot::AnySlot;
use self::slot::{Held, Slot};
use crate::{error::CallError, name::ServerId, scope, sync::thread_local};

/// The address a request is answered at.
///
/// The first answer wins; later ones are dropped. If the last clone is dropped unanswered, the caller gets
/// [`CallError::NoReply`].
///
/// Sent from inside a callback of the server that was called, an answer is *held until that callback commits*, and
/// forgotten if it crashes: nobody ever hears an answer whose state is not kept. Sent from anywhere else, another task or
/// another server, it goes at once. The sender does not have to know which.
///
/// A `Reply` is `Clone`, so it may live in the state and be answered by a later callback, also by one of a later
/// incarnation. A snapshot of the state that is still held counts as a clone: by a [`Kept`](crate::Kept), by an event that a
/// listener has not seen, by [`Poison::PreviousGood`](crate::Poison::PreviousGood). So does a worker that was left behind as
/// a zombie, until it comes to its end.
///
/// # Examples
///
/// ```
/// use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
///
/// struct Door;
///
/// enum Call {
///     /// Answered when somebody opens.
///     Wait(Reply<&'static str>),
///     Open(Reply<usize>),
/// }
///
/// impl GenServer for Door {
///     type State = Vec<Reply<&'static str>>;
///     type Call = Call;
///     type Cast = Never;
///     type Info = Never;
///     type Continue = Never;
///
///     async fn handle_call(&mut self, call: Call, mut waiting: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         match call {
///             Call::Wait(reply) => waiting.push(reply),
///             Call::Open(reply) => {
///                 reply.send(waiting.len());
///                 waiting.drain(..).for_each(|waiter| waiter.send("come in"));
///             }
///         }
///         Ok(Next::Wait)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let door = ServerSpec::new(Door, Vec::new()).start().await.unwrap();
/// let (guest, waiters) = tokio::join!(door.call(Call::Wait), door.call(Call::Open));
/// assert_eq!((guest.unwrap(), waiters.unwrap()), ("come in", 1));
/// # }
/// # impl Clone for Door { fn clone(&self) -> Self { Door } }
/// ```
#[must_use = "a `Reply` dropped unanswered gives the caller `NoReply`"]
pub struct Reply<T> {
    /// `None` once it was sent.
    slot: Option<Arc<Slot<T>>>,
}

impl<T: Send + 'static> Reply<T> {
    /// Answers the caller. Does nothing if it was answered before, or if the caller is gone.
    pub fn send(mut self, value: T) {
        let Some(slot) = self.slot.take() else { return };
        let dropped = match scope::epoch_inside(slot.server) {
            // K1: what is said inside a callback is heard only after its commit.
            Some(epoch) => match slot.hold(epoch, value) {
                Held::InPlaceOf(before) => {
                    scope::hold(slot);
                    before
                }
                Held::Not(value) => Some(value),
            },
            None => slot.answer_and_let_go(value),
        };
        drop(dropped);
    }
}

impl<T> Reply<T> {
    /// Whether an answer would reach nobody: the caller is gone (its future was dropped, its timeout has passed), or it has been
    /// answered. For a server that keeps replies in its state and has something to give to one of them. What this callback
    /// has sent itself, and not yet committed, does not count as an answer.
    pub fn is_closed(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| slot.is_closed())
    }

    /// Whether there is no answer yet and somebody waits for one.
    pub(crate) fn is_awaited(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.is_awaited())
    }
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        let _ = CLONED.try_with(|cloned| cloned.set(cloned.get().wrapping_add(1)));
        self.slot.iter().for_each(|slot| slot.join());
        Self { slot: self.slot.clone() }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.slot.as_ref().map(|slot| slot.server);
        f.debug_struct("Reply").field("server", &server).finish_non_exhaustive()
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.slot.iter().for_each(|slot| slot.let_go());
    }
}

thread_local! {
    static CLONED: Cell<usize> = const { Cell::new(0) };
}

/// How many `Reply`s this thread has cloned, modulo 2⁶⁴: tells whether a snapshot that was taken in between has any.
pub(crate) fn cloned_here() -> usize {
    CLONED.with(Cell::get)
}

/// The three ends of one call.
pub(crate) fn open<T: Send + 'static>(server: ServerId) -> (Reply<T>, Claim, Caller<T>) {
    let slot = Arc::new(Slot::new(server));
    (Reply { slot: Some(slot.clone()) }, Claim { slot: Some(slot.clone()) }, Caller { slot, done: false })
}

/// Where the caller waits.
pub(crate) struct Caller<T> {
    slot: Arc<Slot<T>>,
    /// Whether the answer was taken out.
    done: bool,
}

impl<T: Send + 'static> Caller<T> {
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<T, CallError>> {
        let polled = self.slot.wait(cx);
        self.done = polled.is_ready();
        polled
    }

    /// The slot, for a deadline.
    pub(crate) fn slot(&self) -> Arc<dyn AnySlot> {
        self.slot.clone()
    }
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        if !self.done {
            self.slot.leave();
        }
    }
}

/// The server's own hold on a call it has queued or in hand.
pub(crate) struct Claim {
    /// `None` once the server has nothing to do for the call any more.
    slot: Option<Arc<dyn AnySlot>>,
}

impl Claim {
    /// Answers with an error, unless an answer went out before.
    pub(crate) fn fail(self, error: CallError) {
        if let Some(slot) = &self.slot {
            slot.fail(error);
        }
    }

    /// The callback of `epoch` has committed. If what it has `held` is the answer to this call, releases that, and lets go.
    #[inline]
    pub(crate) fn release(&mut self, held: &Arc<dyn AnySlot>, epoch: u64) -> bool {
        let own = self.slot.take_if(|slot| Arc::ptr_eq(slot, held));
        own.iter().for_each(|slot| slot.release(epoch, true));
        own.is_some()
    }

    /// Lets go of the call after its callback has committed. If it is open still, this is the way to it.
    pub(crate) fn defer(mut self) -> Option<Weak<dyn AnySlot>> {
        let slot = self.slot.take()?;
        slot.settle().then(|| Arc::downgrade(&slot))
    }

    /// The server has nothing to do for it any more but to say so. Runs no user code.
    pub(crate) fn let_go(&self) {
        self.slot.iter().for_each(|slot| slot.out_of_hand());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.settle();
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
