//! The slot of one call: its answer, who waits for it, and how many could still give it, under one lock.

use std::{
    mem,
    task::{Context, Poll, Waker},
};

use crate::{
    contain::{drop_quietly, wake_quietly},
    error::CallError,
    name::ServerId,
    sync::Mutex,
};

/// A slot, whatever the type of its answer.
pub(crate) trait AnySlot: Send + Sync {
    /// The callback of `epoch` that holds an answer here has committed: gives it to the caller. `settles`: and the server has
    /// nothing else to do for the call.
    fn release(&self, epoch: u64, settles: bool);
    /// The callback of `epoch` that holds an answer here has crashed: there was none.
    fn forget(&self, epoch: u64);
    /// Answers with an error, unless an answer went out before.
    fn fail(&self, error: CallError);
    /// The server has nothing to do for the call any more. Tells whether somebody else may answer it yet.
    fn settle(&self) -> bool;
    /// The server has nothing to do for the call any more but to say so.
    fn out_of_hand(&self);
    /// Whether the server itself has still to do something for an answer.
    fn is_in_hand(&self) -> bool;
    /// Whether the caller has its answer, or is gone.
    fn is_settled(&self) -> bool;
}

pub(super) struct Slot<T> {
    pub(super) server: ServerId,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    answer: Answer<T>,
    waker: Option<Waker>,
    /// How many could still answer: the [`Reply`](super::Reply)s, and the server by its [`Claim`](super::Claim).
    hands: u32,
    /// Whether the server has still to do something for it.
    in_hand: bool,
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

pub(super) enum Held<T> {
    /// It is, in the place of what a fenced incarnation held, if that did.
    InPlaceOf(Option<T>),
    Not(T),
}

impl<T> Inner<T> {
    /// Gives the answer that counts, unless there is one. What must be dropped comes back, and who is to be woken: not under
    /// the lock (K8).
    fn give(&mut self, answer: Result<T, CallError>) -> (Option<T>, Option<Waker>) {
        if matches!(self.answer, Answer::Given(_) | Answer::Gone) {
            return (answer.ok(), None);
        }
        let before = match mem::replace(&mut self.answer, Answer::Given(answer)) {
            Answer::Held { value, .. } => Some(value),
            Answer::None | Answer::Given(_) | Answer::Gone => None,
        };
        (before, self.waker.take())
    }

    /// Nobody who could answer is left; what a callback holds may yet be released.
    fn orphaned(&mut self) -> Option<Waker> {
        if self.hands > 0 || !matches!(self.answer, Answer::None) {
            return None;
        }
        self.answer = Answer::Given(Err(CallError::NoReply));
        self.waker.take()
    }
}

impl<T> Slot<T> {
    /// With one `Reply` and one `Claim`.
    pub(super) fn new(server: ServerId) -> Self {
        let inner = Inner { answer: Answer::None, waker: None, hands: 2, in_hand: true };
        Self { server, inner: Mutex::new(inner) }
    }

    // ---- the reply

    /// One more could answer.
    pub(super) fn join(&self) {
        self.inner.lock().hands += 1;
    }

    /// One less could.
    pub(super) fn let_go(&self) {
        let mut inner = self.inner.lock();
        inner.hands -= 1;
        let waker = inner.orphaned();
        drop(inner);
        wake_quietly(waker);
    }

    /// Gives the answer that counts, unless there is one, and lets go. What must be dropped comes back.
    pub(super) fn answer_and_let_go(&self, value: T) -> Option<T> {
        let mut inner = self.inner.lock();
        inner.hands -= 1;
        let (dropped, waker) = inner.give(Ok(value));
        drop(inner);
        wake_quietly(waker);
        dropped
    }

    /// Holds an answer for a callback of `epoch`, and lets go.
    #[inline]
    pub(super) fn hold(&self, epoch: u64, value: T) -> Held<T> {
        let mut inner = self.inner.lock();
        inner.hands -= 1;
        match inner.answer {
            Answer::None => {}
            // What a fenced incarnation holds will never be released.
            Answer::Held { epoch: before, .. } if before < epoch => {}
            _ => return Held::Not(value),
        }
        match mem::replace(&mut inner.answer, Answer::Held { epoch, value }) {
            Answer::Held { value, .. } => Held::InPlaceOf(Some(value)),
            _ => Held::InPlaceOf(None),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.inner.lock().answer, Answer::Given(_) | Answer::Gone)
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.inner.lock().answer, Answer::None)
    }

    // ---- the caller

    /// Takes the answer, or leaves a waker for it.
    #[inline]
    pub(super) fn wait(&self, cx: &Context<'_>) -> Poll<Result<T, CallError>> {
        let mut fresh = None;
        loop {
            let mut inner = self.inner.lock();
            if let Answer::Given(_) = inner.answer {
                let Answer::Given(answer) = mem::replace(&mut inner.answer, Answer::Gone) else {
                    unreachable!("the answer was given a line ago, under the same lock")
                };
                return Poll::Ready(answer);
            }
            if inner.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if fresh.is_some() {
                let stale = mem::replace(&mut inner.waker, fresh);
                drop(inner);
                drop(stale);
                return Poll::Pending;
            }
            drop(inner);
            // A waker is not ours, so it is cloned and dropped outside the lock (K8).
            fresh = Some(cx.waker().clone());
        }
    }

    /// Nobody waits any more.
    pub(super) fn leave(&self) {
        let mut inner = self.inner.lock();
        let answer = mem::replace(&mut inner.answer, Answer::Gone);
        let waker = inner.waker.take();
        drop(inner);
        drop((answer, waker));
    }
}

impl<T: Send + 'static> AnySlot for Slot<T> {
    fn release(&self, epoch: u64, settles: bool) {
        let mut inner = self.inner.lock();
        let mut waker = None;
        if matches!(inner.answer, Answer::Held { epoch: by, .. } if by == epoch) {
            let Answer::Held { value, .. } = mem::replace(&mut inner.answer, Answer::None) else {
                unreachable!("it was held a line ago, under the same lock")
            };
            inner.answer = Answer::Given(Ok(value));
            waker = inner.waker.take();
        }
        if settles {
            inner.hands -= 1;
            inner.in_hand = false;
            waker = waker.or_else(|| inner.orphaned());
        }
        drop(inner);
        wake_quietly(waker);
    }

    fn forget(&self, epoch: u64) {
        let mut inner = self.inner.lock();
        let held = matches!(inner.answer, Answer::Held { epoch: by, .. } if by == epoch);
        let unsaid = held.then(|| mem::replace(&mut inner.answer, Answer::None));
        let waker = inner.orphaned();
        drop(inner);
        wake_quietly(waker);
        drop(unsaid);
    }

    fn fail(&self, error: CallError) {
        let (dropped, waker) = self.inner.lock().give(Err(error));
        wake_quietly(waker);
        drop_quietly(dropped);
    }

    fn settle(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.hands -= 1;
        inner.in_hand = false;
        let open = inner.hands > 0 && !matches!(inner.answer, Answer::Given(_) | Answer::Gone);
        let waker = inner.orphaned();
        drop(inner);
        wake_quietly(waker);
        open
    }

    fn out_of_hand(&self) {
        self.inner.lock().in_hand = false;
    }

    fn is_in_hand(&self) -> bool {
        let inner = self.inner.lock();
        inner.in_hand && matches!(inner.answer, Answer::None | Answer::Held { .. })
    }

    fn is_settled(&self) -> bool {
        self.is_closed()
    }
}
