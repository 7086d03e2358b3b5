//! The worker task of one incarnation, as its supervisor sees it.

use std::{
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
};

use crate::{
    job::{End, WorkerSeat},
    seat::Seat,
};

pub(super) struct Incarnation {
    task: JoinHandle<Box<End>>,
    /// How the task ended, if somebody was still polling in its place.
    joined: Option<Box<Result<Box<End>, JoinError>>>,
    seat: WorkerSeat,
}

impl Incarnation {
    pub(super) fn spawn<F>(worker: impl FnOnce(WorkerSeat) -> F) -> Self
    where
        F: Future<Output = Box<End>> + Send + 'static,
    {
        let seat = Seat::new(Some(Handle::current().id()));
        let task = tokio::spawn(seat.occupy(worker(seat.clone())));
        Self { task, joined: None, seat }
    }

    /// How it ended, once it is gone: its task, and whoever polls in the place of that.
    pub(super) fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<Box<End>, JoinError>> {
        let joined = match self.joined.take() {
            Some(joined) => *joined,
            None => ready!(Pin::new(&mut self.task).poll(task)),
        };
        // Whoever is at it tells the supervisor when it has left.
        if self.seat.is_vacant() {
            return Poll::Ready(joined);
        }
        self.joined = Some(Box::new(joined));
        Poll::Pending
    }

    pub(super) fn abort(&self) {
        self.task.abort();
    }

    pub(super) fn is_gone(&self) -> bool {
        (self.joined.is_some() || self.task.is_finished()) && self.seat.is_vacant()
    }
}
