//! Promises that an earlier state of this crate broke. Each test takes the shortest way there is to break one of them
//! again.

mod answers;
mod drops;
mod ends;
mod limits;
mod line;
mod wakers;

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use undying::{Next, Reply};

use crate::crash::script::{Job, job, look};

/// A state of callers who wait.
type Callers = Vec<Reply<u64>>;

/// Lets the caller wait.
fn keep(reply: Reply<u64>) -> Job<Callers> {
    job(move |callers: &mut Callers| {
        callers.push(reply);
        Ok(Next::Wait)
    })
}

/// Answers with the number of those who wait.
fn waiting(reply: Reply<usize>) -> Job<Callers> {
    look(move |callers: &Callers| {
        reply.send(callers.len());
        Ok(Next::Wait)
    })
}

/// Polls `future` once for a task whose waker is `waker`.
fn poll_with<F: Future + Unpin>(waker: &Waker, future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

/// Polls `future` once for nobody.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(Waker::noop(), future)
}

/// A future that can be kept in a waker.
type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;
