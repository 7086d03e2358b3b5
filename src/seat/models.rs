//! The seat under every schedule (loom) or very many (shuttle).

use std::sync::{
    Arc,
    atomic::{AtomicUsize as Count, Ordering::SeqCst},
};

use super::*;
use crate::sync::check::{block_on, holds, is_found_broken, spawn};

/// A mailbox for one message, and its sleeping worker.
#[derive(Default)]
struct Door {
    message: bool,
    worker: Option<Arc<Seat<u8>>>,
}

/// A worker that ends with the message.
fn worker(door: &Arc<Mutex<Door>>, seat: &Arc<Seat<u8>>) -> impl Future<Output = u8> + Send + use<> {
    let (door, seat) = (door.clone(), seat.clone());
    poll_fn(move |_| {
        let mut door = door.lock();
        if door.message {
            return Poll::Ready(7);
        }
        door.worker = Some(seat.clone());
        Poll::Pending
    })
}

/// Sends the message.
fn send(door: &Mutex<Door>) -> Option<Arc<Seat<u8>>> {
    let mut door = door.lock();
    door.message = true;
    door.worker.take()
}

/// K13: whoever runs it, the worker sees its message, and its task sees its end; also if the task is woken for something else
/// meanwhile.
#[test]
fn a_message_is_seen_and_an_end_is_heard() {
    holds(|| {
        let (door, seat) = (Arc::new(Mutex::new(Door::default())), Seat::new(None));
        let occupied = seat.occupy(worker(&door, &seat));
        let task = spawn(move || block_on(occupied));
        let caller = spawn(move || {
            if let Some(worker) = send(&door) {
                let _ = worker.steal();
            }
        });
        seat.call();
        assert_eq!(task.join().expect("the task ends"), 7);
        caller.join().expect("the caller ends");
        assert!(seat.is_vacant());
    });
}

/// A worker that counts how many run it at a time, and the drops of it.
struct Crowd {
    inside: Arc<Count>,
    dropped: Arc<Count>,
    /// Something else that both threads lock: a point at which the checker may switch.
    street: Arc<Mutex<()>>,
}

impl Future for Crowd {
    type Output = u8;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "two run it at a time");
        drop(self.street.lock());
        self.inside.fetch_sub(1, SeqCst);
        Poll::Pending
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        assert_eq!(self.inside.load(SeqCst), 0, "it is dropped while it runs");
        self.dropped.fetch_add(1, SeqCst);
    }
}

/// Aborts the task of a worker while a caller runs it, and tells how often the worker was dropped when both are done.
fn abort_while_stolen(steal: fn(&Seat<u8>) -> bool) -> usize {
    let (inside, dropped) = (Arc::new(Count::new(0)), Arc::new(Count::new(0)));
    let (seat, street) = (Seat::new(None), Arc::new(Mutex::new(())));
    let crowd = Crowd { inside, dropped: dropped.clone(), street: street.clone() };
    let mut task = Box::pin(seat.occupy(crowd));
    assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let caller = {
        let seat = seat.clone();
        spawn(move || steal(&seat))
    };
    drop(street.lock());
    drop(task);
    let told = seat.is_vacant();
    let vacated = caller.join().expect("the caller ends");
    assert!(told || vacated, "nobody would ever know that it is gone");
    dropped.load(SeqCst)
}

/// K4 K14: a worker whose task is aborted is dropped, once, and never while it runs; and the supervisor knows when.
#[test]
fn an_aborted_worker_is_dropped_by_whoever_has_the_turn() {
    holds(|| assert_eq!(abort_while_stolen(Seat::steal), 1));
}

/// A caller that does not look back when it leaves.
#[test]
fn a_worker_that_nobody_drops_is_found() {
    is_found_broken(|| {
        let dropped = abort_while_stolen(|seat| {
            let Some(mut place) = seat.place.try_lock() else { return false };
            let waker = Waker::noop();
            let polled =
                place.worker.as_mut().map(|worker| worker.as_mut().poll(&mut Context::from_waker(waker)));
            let _ = polled;
            true
        });
        assert_eq!(dropped, 1);
    });
}
