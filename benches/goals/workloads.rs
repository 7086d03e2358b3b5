//! W1 to W6: what is done to a subject. Only the thing itself is timed, not the start and the stop around it; the sums are
//! checked.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    harness::Lane,
    subject::{Subject, Undying},
};

/// What a client does to any subject.
#[derive(Clone, Copy)]
pub(crate) enum Workload {
    /// W1, W2: so many clients at a time, each with one call after the other.
    Calls(usize),
    /// W1t: the client is a plain thread, from which each call has to get into the runtime and back.
    CallsFromAThread,
    /// W3, W4: so many producers of casts at a time, until the last cast is handled.
    Casts(usize),
    /// W5: start, one call, stop, one after the other.
    Lives,
}

impl Workload {
    /// A lane of `count` operations on subjects of type `S`.
    pub(crate) fn on<S: Subject>(self, runtime: &Runtime, count: usize) -> Lane<'_> {
        Lane::new(count, move || match self {
            Self::Calls(1) => S::host(runtime, calls::<S>(count)),
            Self::Calls(clients) => S::host(runtime, calls_of::<S>(clients, count)),
            Self::CallsFromAThread => calls_from_a_thread::<S>(runtime, count),
            Self::Casts(producers) => S::host(runtime, casts_of::<S>(producers, count)),
            Self::Lives => S::host(runtime, lives::<S>(count)),
        })
    }
}

/// W6: from a request that panics to the next answer, one after the other.
pub(crate) fn crashes_on<S: Undying>(runtime: &Runtime, count: usize) -> Lane<'_> {
    Lane::new(count, move || S::host(runtime, crashes::<S>(count)))
}

async fn calls<S: Subject>(count: usize) -> Duration {
    let subject = S::start().await;
    let took = call_on(&subject, count).await;
    check(subject, count).await;
    took
}

fn calls_from_a_thread<S: Subject>(runtime: &Runtime, count: usize) -> Duration {
    let handle = runtime.handle();
    let subject = handle.block_on(S::start());
    let took = handle.block_on(call_on(&subject, count));
    handle.block_on(check(subject, count));
    took
}

async fn call_on<S: Subject>(subject: &S, count: usize) -> Duration {
    let began = Instant::now();
    for _ in 0..count {
        black_box(subject.add(1).await);
    }
    began.elapsed()
}

async fn calls_of<S: Subject>(clients: usize, count: usize) -> Duration {
    let subject = S::start().await;
    let took = at_once::<S, _>(clients, || {
        let subject = subject.clone();
        async move {
            for _ in 0..count / clients {
                black_box(subject.add(1).await);
            }
        }
    })
    .await;
    check(subject, count / clients * clients).await;
    took
}

async fn casts_of<S: Subject>(producers: usize, count: usize) -> Duration {
    let subject = S::start().await;
    let began = Instant::now();
    at_once::<S, _>(producers, || {
        let subject = subject.clone();
        async move {
            for _ in 0..count / producers {
                subject.cast(1).await;
            }
        }
    })
    .await;
    let all = (count / producers * producers) as u64;
    // The first answer is the sum, unless a call may overtake the casts of its sender, as in xtra.
    while subject.add(0).await < all {}
    let took = began.elapsed();
    assert_eq!(subject.add(0).await, all);
    subject.stop().await;
    took
}

async fn lives<S: Subject>(count: usize) -> Duration {
    let began = Instant::now();
    for _ in 0..count {
        let subject = S::start().await;
        assert_eq!(subject.add(1).await, 1);
        subject.stop().await;
    }
    began.elapsed()
}

async fn crashes<S: Undying>(count: usize) -> Duration {
    let subject = S::start().await;
    let began = Instant::now();
    for _ in 0..count {
        subject.crash().await;
        black_box(subject.add(1).await);
    }
    let took = began.elapsed();
    subject.stop().await;
    took
}

async fn at_once<S: Subject, C: Future<Output = ()> + Send + 'static>(
    clients: usize,
    client: impl Fn() -> C,
) -> Duration {
    let mut running = JoinSet::new();
    let began = Instant::now();
    for _ in 0..clients {
        S::spawn(&mut running, client());
    }
    running.join_all().await;
    began.elapsed()
}

async fn check<S: Subject>(subject: S, count: usize) {
    assert_eq!(subject.add(0).await as usize, count);
    subject.stop().await;
}
