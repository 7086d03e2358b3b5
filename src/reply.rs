//! The way back from a callback to its caller: one slot a call, in one allocation.
//!
//! A slot is shared by the caller, who waits at it, by the [`Reply`]s, which may answer it, and by the server's [`Claim`]:
//! as long as the server has the call in hand, a dropped `Reply` does not mean that no answer will come.

use std::{
    cell::Cell,
    fmt, mem,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use crate::{
    contain::{drop_quietly, wake_quietly},
    error::CallError,
    name::ServerId,
    scope,
    sync::{AtomicUsize, Mutex, Ordering},
};

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
    slot: Arc<Slot<T>>,
}

impl<T: Send + 'static> Reply<T> {
    /// Answers the caller. Does nothing if it was answered before, or if the caller is gone.
    pub fn send(self, value: T) {
        let server = self.slot.server;
        let dropped = match scope::epoch_inside(server) {
            // K1: what is said inside a callback is heard only after its commit.
            Some(epoch) => match self.slot.hold(epoch, value) {
                Held::Now => {
                    scope::hold(self.slot.clone());
                    None
                }
                Held::InPlaceOf(answer) => {
                    scope::hold(self.slot.clone());
                    Some(answer)
                }
                Held::Not(value) => Some(value),
            },
            None => self.slot.answer(Ok(value)),
        };
        drop(dropped);
    }
}

impl<T> Reply<T> {
    /// Whether an answer would reach nobody: the caller is gone (its future was dropped, its timeout has passed), or it has been
    /// answered. For a server that keeps replies in its state and has something to give to one of them. What this callback
    /// has sent itself, and not yet committed, does not count as an answer.
    pub fn is_closed(&self) -> bool {
        matches!(self.slot.inner.lock().answer, Answer::Given(_) | Answer::Gone)
    }

    /// Whether there is no answer yet and somebody waits for one.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.slot.inner.lock().answer, Answer::None)
    }
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        let _ = CLONED.try_with(|cloned| cloned.set(cloned.get().wrapping_add(1)));
        self.slot.claims.fetch_add(1, Ordering::Relaxed);
        Self { slot: self.slot.clone() }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("server", &self.slot.server).finish_non_exhaustive()
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.slot.unclaim(1);
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
    let slot = Arc::new(Slot {
        server,
        claims: AtomicUsize::new(CLAIM + 1),
        inner: Mutex::new(Inner { answer: Answer::None, waker: None }),
    });
    (
        Reply { slot: slot.clone() },
        Claim { slot: slot.clone(), weight: CLAIM },
        Caller { slot, waits: false, done: false },
    )
}

/// Where the caller waits.
pub(crate) struct Caller<T> {
    slot: Arc<Slot<T>>,
    /// Whether the slot has a waker.
    waits: bool,
    /// Whether the answer was taken out.
    done: bool,
}

impl<T: Send + 'static> Caller<T> {
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<T, CallError>> {
        // A waker is not ours, so it is cloned and dropped outside the lock (K8); the first poll always needs one.
        let mut fresh = (!self.waits).then(|| cx.waker().clone());
        loop {
            let mut inner = self.slot.inner.lock();
            if let Answer::Given(_) = inner.answer {
                let Answer::Given(answer) = mem::replace(&mut inner.answer, Answer::Gone) else {
                    unreachable!("the answer was given a line ago, under the same lock")
                };
                drop(inner);
                self.done = true;
                return Poll::Ready(answer);
            }
            if inner.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(fresh) = fresh.take() {
                let stale = inner.waker.replace(fresh);
                drop(inner);
                drop(stale);
                self.waits = true;
                return Poll::Pending;
            }
            drop(inner);
            fresh = Some(cx.waker().clone());
        }
    }

    /// The slot, for a deadline.
    pub(crate) fn slot(&self) -> Arc<dyn AnySlot> {
        self.slot.clone()
    }
}

impl<T> Drop for Caller<T> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut inner = self.slot.inner.lock();
        let answer = mem::replace(&mut inner.answer, Answer::Gone);
        let waker = inner.waker.take();
        drop(inner);
        drop((answer, waker));
    }
}

/// The server's own hold on a call it has queued or in hand.
pub(crate) struct Claim {
    slot: Arc<dyn AnySlot>,
    /// What it counts as: [`CLAIM`], or one like a [`Reply`] once it is let go of.
    weight: usize,
}

impl Claim {
    /// Answers with an error, unless an answer went out before.
    pub(crate) fn fail(self, error: CallError) {
        self.slot.fail(error);
    }

    /// Lets go of the call after its callback has committed. If a `Reply` of it is still about, this is the way to it.
    pub(crate) fn defer(self) -> Option<Weak<dyn AnySlot>> {
        (self.slot.claims().load(Ordering::Acquire) > self.weight).then(|| Arc::downgrade(&self.slot))
    }

    /// The server has nothing to do for it any more but to say so. Runs no user code.
    pub(crate) fn let_go(&mut self) {
        let before = mem::replace(&mut self.weight, 1);
        self.slot.claims().fetch_sub(before - 1, Ordering::AcqRel);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.slot.give_up(self.weight);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

/// A slot, whatever the type of its answer.
pub(crate) trait AnySlot: Send + Sync {
    /// The callback of `epoch` that holds an answer here has committed: gives it to the caller.
    fn release(&self, epoch: u64);
    /// The callback of `epoch` that holds an answer here has crashed: there was none.
    fn forget(&self, epoch: u64);
    /// Answers with an error, unless an answer went out before.
    fn fail(&self, error: CallError);
    /// The [`Claim`] is going, which counted for so much.
    fn give_up(&self, weight: usize);
    /// How many [`Reply`]s there are, and [`CLAIM`] if there is the [`Claim`].
    fn claims(&self) -> &AtomicUsize;
    /// Whether the server itself has still to do something for an answer.
    fn is_in_hand(&self) -> bool;
}

/// What the server's own hold counts as, among the claims of a slot.
const CLAIM: usize = 1 << (usize::BITS - 1);

struct Slot<T> {
    server: ServerId,
    /// How many `Reply`s could still answer, and [`CLAIM`] if the server could.
    claims: AtomicUsize,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    answer: Answer<T>,
    waker: Option<Waker>,
}

enum Answer<T> {
    None,
    /// Sent inside a callback of this epoch that has not committed yet. Not an answer so far: whoever answers for good
    /// before it is released wins.
    Held {
        epoch: u64,
        value: T,
    },
    Given(Result<T, CallError>),
    /// Taken by the caller, or the caller is gone.
    Gone,
}

enum Held<T> {
    Now,
    InPlaceOf(T),
    Not(T),
}

impl<T> Slot<T> {
    /// Gives the answer that counts, unless there is one. What must be dropped comes back: not under the lock (K8).
    fn answer(&self, answer: Result<T, CallError>) -> Option<T> {
        let mut inner = self.inner.lock();
        if matches!(inner.answer, Answer::Given(_) | Answer::Gone) {
            return answer.ok();
        }
        let before = mem::replace(&mut inner.answer, Answer::Given(answer));
        let waker = inner.waker.take();
        drop(inner);
        wake_quietly(waker);
        match before {
            Answer::Held { value, .. } => Some(value),
            _ => None,
        }
    }

    fn hold(&self, epoch: u64, value: T) -> Held<T> {
        let mut inner = self.inner.lock();
        match inner.answer {
            Answer::None => {
                inner.answer = Answer::Held { epoch, value };
                Held::Now
            }
            // What a fenced incarnation holds will never be released.
            Answer::Held { epoch: before, .. } if before < epoch => {
                match mem::replace(&mut inner.answer, Answer::Held { epoch, value }) {
                    Answer::Held { value, .. } => Held::InPlaceOf(value),
                    _ => unreachable!("it was held a line ago, under the same lock"),
                }
            }
            _ => Held::Not(value),
        }
    }

    /// Takes the answer that `epoch` holds here and leaves `None`, or leaves `Given` if it is released.
    fn end_hold(&self, epoch: u64, release: bool) -> Option<T> {
        let mut inner = self.inner.lock();
        if !matches!(inner.answer, Answer::Held { epoch: by, .. } if by == epoch) {
            return None;
        }
        let Answer::Held { value, .. } = mem::replace(&mut inner.answer, Answer::None) else {
            unreachable!("it was held a line ago, under the same lock")
        };
        if !release {
            return Some(value);
        }
        inner.answer = Answer::Given(Ok(value));
        let waker = inner.waker.take();
        drop(inner);
        wake_quietly(waker);
        None
    }

    fn unclaim(&self, claim: usize) {
        if self.claims.fetch_sub(claim, Ordering::AcqRel) == claim {
            self.orphaned();
        }
    }

    /// Nobody is left who could answer; what a callback holds may yet be released.
    fn orphaned(&self) {
        let mut inner = self.inner.lock();
        if matches!(inner.answer, Answer::None) {
            inner.answer = Answer::Given(Err(CallError::NoReply));
            let waker = inner.waker.take();
            drop(inner);
            wake_quietly(waker);
        }
    }
}

impl<T: Send + 'static> AnySlot for Slot<T> {
    fn release(&self, epoch: u64) {
        self.end_hold(epoch, true);
    }

    fn forget(&self, epoch: u64) {
        let unsaid = self.end_hold(epoch, false);
        if self.claims.load(Ordering::Acquire) == 0 {
            self.orphaned();
        }
        drop(unsaid);
    }

    fn fail(&self, error: CallError) {
        drop_quietly(self.answer(Err(error)));
    }

    fn give_up(&self, weight: usize) {
        self.unclaim(weight);
    }

    fn claims(&self) -> &AtomicUsize {
        &self.claims
    }

    fn is_in_hand(&self) -> bool {
        let claimed = self.claims.load(Ordering::Acquire) >= CLAIM;
        claimed && matches!(self.inner.lock().answer, Answer::None | Answer::Held { .. })
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
