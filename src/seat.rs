//! The seat of a worker: where its future sits, for whoever has the turn to poll it.
//!
//! The worker's task owns the seat and polls what sits there, as any task polls its future. But a caller that finds the worker
//! asleep may take the turn itself (*poll stealing*): it polls the same future with the waker of the same task, so the
//! callback notices nothing, and the caller has its answer without two switches between tasks.
//!
//! Whoever takes a turn runs a user's callback in the middle of something else, and cannot go on before that returns or waits.
//! So the worker is on probation first: its callbacks have to show that they are short.
//!
//! Nobody ever waits for a turn (K8). A caller that does not get it wakes the task; a task that does not get it is woken when
//! the turn is over. The task remains the owner: when it is aborted, what sits here is dropped, by whoever has the turn if
//! somebody has. The supervisor waits for that as for the task itself (K4), and leaves it behind if it takes too long (K5).

mod probation;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use tokio::runtime::{self, Handle};

use self::probation::Probation;
use crate::{
    contain::{Payload, catch, drop_quietly, log},
    mailbox::Sleeper,
    sync::{AtomicUsize, Mutex, Ordering},
};

type Worker<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Seat<T> {
    /// Locked for as long as the future is polled: the turn. It is only ever tried.
    place: Mutex<Place<T>>,
    /// What whoever has the turn is left to do after it.
    left: AtomicUsize,
    /// The task's.
    waker: OnceLock<Waker>,
    /// Where the task runs: callbacks spawn tasks and arm timers there.
    home: Option<runtime::Id>,
}

struct Place<T> {
    worker: Option<Worker<T>>,
    /// How it ended, for its task.
    end: Option<Result<T, Payload>>,
    probation: Probation,
}

/// The task was woken while somebody else had the turn.
const CALLED: usize = 1;
/// The task is gone: nothing is polled here any more.
const GONE: usize = 2;
/// And what sat here is gone, too.
const VACANT: usize = 4;

impl<T: Send + 'static> Seat<T> {
    /// A seat for a worker of the runtime `home`.
    pub(crate) fn new(home: Option<runtime::Id>) -> Arc<Self> {
        Arc::new(Self {
            place: Mutex::new(Place { worker: None, end: None, probation: Probation::default() }),
            left: AtomicUsize::new(0),
            waker: OnceLock::new(),
            home,
        })
    }

    /// Whether this code runs where the task does.
    pub(crate) fn is_at_home(&self) -> bool {
        Handle::try_current().is_ok_and(|here| Some(here.id()) == self.home)
    }

    /// The body of the worker's task. The worker may own a handle to its seat: it leaves it with the task.
    pub(crate) fn occupy<F>(self: &Arc<Self>, worker: F) -> impl Future<Output = T> + Send + use<F, T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.place.lock().worker = Some(Box::pin(worker));
        let mut owner = Owner(self.clone());
        poll_fn(move |cx| owner.poll(cx))
    }

    /// Polls the worker in the place of its task, which is asleep; or wakes that, if somebody else is at it or if the worker is on
    /// probation. Tells whether the seat was vacated: the task was aborted meanwhile.
    #[must_use = "the supervisor waits for it"]
    pub(crate) fn steal(&self) -> bool {
        let (Some(waker), Some(mut place)) = (self.waker.get(), self.place.try_lock()) else {
            self.call();
            return false;
        };
        let Place { worker, probation, .. } = &mut *place;
        if !probation.is_over() {
            drop(place);
            self.call();
            return self.leave();
        }
        if let Some(worker) = worker {
            let poll = || catch(|| worker.as_mut().poll(&mut Context::from_waker(waker)));
            let polled = probation.spot_check(poll);
            if let Some(end) = polled.map_or_else(|panic| Some(Err(panic)), ended) {
                drop_quietly(place.worker.take());
                place.end = Some(end);
                self.left.fetch_or(CALLED, Ordering::AcqRel);
            }
        }
        drop(place);
        self.leave()
    }

    /// The turn is over.
    fn leave(&self) -> bool {
        let left = self.left.fetch_and(!CALLED, Ordering::AcqRel);
        if left & GONE != 0 {
            return self.vacate();
        }
        if left & CALLED != 0 {
            self.call();
        }
        false
    }

    /// Wakes the task.
    fn call(&self) {
        if let Some(waker) = self.waker.get() {
            if catch(|| waker.wake_by_ref()).is_err() {
                log!(error, "a waker panicked; contained");
            }
        }
    }

    /// Drops what sits here, if nobody has the turn. Whoever has it does so after it.
    fn vacate(&self) -> bool {
        let Some(mut place) = self.place.try_lock() else { return false };
        let (worker, end) = (place.worker.take(), place.end.take());
        drop(place);
        drop_quietly(worker);
        drop_quietly(end);
        self.left.fetch_or(VACANT, Ordering::AcqRel);
        true
    }

    /// Whether nothing sits here any more, nor ever will.
    pub(crate) fn is_vacant(&self) -> bool {
        self.left.load(Ordering::Acquire) & VACANT != 0
    }
}

fn ended<T>(polled: Poll<T>) -> Option<Result<T, Payload>> {
    match polled {
        Poll::Ready(end) => Some(Ok(end)),
        Poll::Pending => None,
    }
}

/// The task's hold on the seat.
struct Owner<T: Send + 'static>(Arc<Seat<T>>);

impl<T: Send + 'static> Owner<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let seat = &*self.0;
        seat.waker.get_or_init(|| cx.waker().clone());
        let mut place = match seat.place.try_lock() {
            Some(place) => place,
            None => {
                seat.left.fetch_or(CALLED, Ordering::AcqRel);
                // Whoever has the turn calls after it, unless it was over before it could know.
                let Some(place) = seat.place.try_lock() else { return Poll::Pending };
                seat.left.fetch_and(!CALLED, Ordering::AcqRel);
                place
            }
        };
        if let Some(end) = place.end.take() {
            return Poll::Ready(end.unwrap_or_else(|panic| panic.resume()));
        }
        let Place { worker: Some(worker), probation, .. } = &mut *place else { return Poll::Pending };
        let polled = probation.watch(|| worker.as_mut().poll(cx));
        if polled.is_ready() {
            place.worker = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Owner<T> {
    fn drop(&mut self) {
        self.0.left.fetch_or(GONE, Ordering::AcqRel);
        self.0.vacate();
    }
}

impl<T: Send + 'static> Sleeper for Arc<Seat<T>> {
    fn is(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }

    fn wake(self) {
        self.call();
    }
}

impl<T> fmt::Debug for Seat<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod models;
