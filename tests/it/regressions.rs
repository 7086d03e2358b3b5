//! Promises that an earlier state of this crate broke. Each test takes the shortest way there is to break one of them
//! again.

mod afar;
mod answers;
mod deadlocks;
mod drops;
mod effects;
mod ends;
mod kin;
mod kit;
mod leftovers;
mod limits;
mod line;
mod locks;
mod mailboxes;
mod redelivery;
mod storms;
mod wakers;

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

/// Adds `n` to the state.
fn push(n: u64) -> Job<Vec<u64>> {
    job(move |all: &mut Vec<u64>| {
        all.push(n);
        Ok(Next::Wait)
    })
}
