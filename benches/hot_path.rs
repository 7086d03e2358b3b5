//! What a call, a cast, a peek, a start and a crash cost, against the bare Tokio channel a user could write by hand: a task
//! on an `mpsc` channel with `oneshot` replies, no supervision, no state kept, no timeout.
//!
//! `cargo bench --bench hot_path` runs each pair interleaved (A B A B …) in one process and prints medians and their
//! ratio; only the ratio means anything on another machine. `-- --quick` runs a tenth of it.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

use std::{
    hint::black_box,
    panic::resume_unwind,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use undying::{Context, Event, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut};

const ROUNDS: usize = 11;

#[derive(Clone)]
struct Counter;

enum Call {
    Add(u64, Reply<u64>),
    Crash,
}

impl GenServer for Counter {
    type State = u64;
    type Call = Call;
    type Cast = u64;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut total: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Add(by, reply) => {
                *total += by;
                reply.send(*total);
            }
            // Without the panic hook, whose printing would drown everything else.
            Call::Crash => resume_unwind(Box::new("crash")),
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        by: u64,
        mut total: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *total += by;
        Ok(Next::Wait)
    }
}

/// As many crashes as the bench likes.
fn spec() -> ServerSpec<Counter> {
    ServerSpec::new(Counter, 0).max_restarts(u32::MAX, Duration::from_secs(1))
}

async fn counter() -> ServerRef<Counter> {
    spec().start().await.expect("it starts")
}

fn listened_to() -> ServerSpec<Counter> {
    spec().listener(|event: Event<'_, Counter>| {
        black_box(event);
    })
}

/// The bare channel.
#[derive(Clone)]
struct Raw {
    sender: mpsc::UnboundedSender<(u64, Option<oneshot::Sender<u64>>)>,
}

impl Raw {
    fn start() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, Option<oneshot::Sender<u64>>)>();
        tokio::spawn(async move {
            let mut total = 0;
            while let Some((by, reply)) = receiver.recv().await {
                total += by;
                if let Some(reply) = reply {
                    let _ = reply.send(total);
                }
            }
        });
        Self { sender }
    }

    async fn add(&self, by: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send((by, Some(reply)));
        answer.await.expect("the task runs")
    }
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let scale = |n: usize| if quick { n / 10 } else { n };
    println!("ns per operation, medians of {ROUNDS} interleaved rounds");
    println!("{:<34} {:>9} {:>9} {:>7}", "", "undying", "channel", "ratio");
    for (flavour, runtime) in [("CT", current_thread()), ("MT", multi_thread())] {
        let calls = scale(100_000);
        compare(
            &format!("call, 1 client, {flavour}"),
            &runtime,
            calls,
            calls_one(calls),
            raw_calls_one(calls),
        );
        compare(
            &format!("call, 64 clients, {flavour}"),
            &runtime,
            calls,
            calls_64(calls),
            raw_calls_64(calls),
        );
        let casts = scale(300_000);
        compare(
            &format!("cast, 1 producer, {flavour}"),
            &runtime,
            casts,
            casts_by(spec, 1, casts),
            raw_casts_by(1, casts),
        );
        compare(
            &format!("cast, 8 producers, {flavour}"),
            &runtime,
            casts,
            casts_by(spec, 8, casts),
            raw_casts_by(8, casts),
        );
        let starts = scale(20_000);
        compare(
            &format!("start + call + stop, {flavour}"),
            &runtime,
            starts,
            cycles(starts),
            raw_cycles(starts),
        );
        alone(&format!("peek, {flavour}"), &runtime, calls, peeks(calls));
        let crashes = scale(20_000);
        alone(&format!("crash to the next answer, {flavour}"), &runtime, crashes, crashes_to_served(crashes));
    }
    println!("{:<34} {:>9} {:>9} {:>7}", "", "listener", "none", "ratio");
    for (flavour, runtime) in [("CT", current_thread()), ("MT", multi_thread())] {
        let casts = scale(300_000);
        compare(
            &format!("cast, 1 producer, {flavour}"),
            &runtime,
            casts,
            casts_by(listened_to, 1, casts),
            casts_by(spec, 1, casts),
        );
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Runs `ours` and `theirs` in turn and prints the medians and their ratio.
fn compare<A, B>(what: &str, runtime: &Runtime, count: usize, ours: impl Fn() -> A, theirs: impl Fn() -> B)
where
    A: Future<Output = Duration> + Send + 'static,
    B: Future<Output = Duration> + Send + 'static,
{
    let (mut ours_took, mut theirs_took) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours_took.push(round(runtime, ours()));
        theirs_took.push(round(runtime, theirs()));
    }
    let (ours, theirs) = (per_operation(ours_took, count), per_operation(theirs_took, count));
    println!("{what:<34} {ours:>9.1} {theirs:>9.1} {:>7.2}", ours / theirs);
}

fn alone<A>(what: &str, runtime: &Runtime, count: usize, ours: impl Fn() -> A)
where
    A: Future<Output = Duration> + Send + 'static,
{
    let took = (0..ROUNDS).map(|_| round(runtime, ours())).collect();
    println!("{what:<34} {:>9.1} {:>9} {:>7}", per_operation(took, count), "", "");
}

/// Every client is a task of the runtime, as it would be in a service.
fn round(runtime: &Runtime, workload: impl Future<Output = Duration> + Send + 'static) -> Duration {
    runtime.block_on(async { tokio::spawn(workload).await.expect("the workload ends") })
}

fn per_operation(mut took: Vec<Duration>, count: usize) -> f64 {
    took.sort();
    took[took.len() / 2].as_nanos() as f64 / count as f64
}

fn calls_one(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let counter = counter().await;
        let began = Instant::now();
        for _ in 0..count {
            black_box(counter.call(|reply| Call::Add(1, reply)).await.expect("an answer"));
        }
        let took = began.elapsed();
        counter.stop().await.expect("it stops");
        took
    })
}

fn raw_calls_one(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let raw = Raw::start();
        let began = Instant::now();
        for _ in 0..count {
            black_box(raw.add(1).await);
        }
        began.elapsed()
    })
}

fn calls_64(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let counter = counter().await;
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for _ in 0..64 {
            let counter = counter.clone();
            clients.spawn(async move {
                for _ in 0..count / 64 {
                    black_box(counter.call(|reply| Call::Add(1, reply)).await.expect("an answer"));
                }
            });
        }
        clients.join_all().await;
        let took = began.elapsed();
        counter.stop().await.expect("it stops");
        took
    })
}

fn raw_calls_64(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let raw = Raw::start();
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for _ in 0..64 {
            let raw = raw.clone();
            clients.spawn(async move {
                for _ in 0..count / 64 {
                    black_box(raw.add(1).await);
                }
            });
        }
        clients.join_all().await;
        began.elapsed()
    })
}

fn casts_by(spec: fn() -> ServerSpec<Counter>, producers: usize, count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let counter = spec().start().await.expect("it starts");
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for _ in 0..producers {
            let counter = counter.clone();
            clients.spawn(async move {
                for _ in 0..count / producers {
                    counter.cast(1).await.expect("it runs");
                }
            });
        }
        clients.join_all().await;
        let total = counter.call(|reply| Call::Add(0, reply)).await.expect("an answer");
        let took = began.elapsed();
        assert_eq!(total as usize, count / producers * producers);
        counter.stop().await.expect("it stops");
        took
    })
}

fn raw_casts_by(producers: usize, count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let raw = Raw::start();
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for _ in 0..producers {
            let raw = raw.clone();
            clients.spawn(async move {
                for _ in 0..count / producers {
                    raw.sender.send((1, None)).expect("it runs");
                }
            });
        }
        clients.join_all().await;
        black_box(raw.add(0).await);
        began.elapsed()
    })
}

fn cycles(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let began = Instant::now();
        for _ in 0..count {
            let counter = counter().await;
            black_box(counter.call(|reply| Call::Add(1, reply)).await.expect("an answer"));
            counter.stop().await.expect("it stops");
        }
        began.elapsed()
    })
}

fn raw_cycles(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let began = Instant::now();
        for _ in 0..count {
            black_box(Raw::start().add(1).await);
        }
        began.elapsed()
    })
}

fn peeks(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let counter = counter().await;
        let began = Instant::now();
        for _ in 0..count {
            black_box(*counter.peek());
        }
        let took = began.elapsed();
        counter.stop().await.expect("it stops");
        took
    })
}

/// The time from asking for a crash to the next answer.
fn crashes_to_served(count: usize) -> impl Fn() -> BoxFuture {
    boxed(move || async move {
        let counter = counter().await;
        let began = Instant::now();
        for _ in 0..count {
            counter.call(|_: Reply<()>| Call::Crash).await.expect_err("it crashed");
            black_box(counter.call(|reply| Call::Add(1, reply)).await.expect("an answer"));
        }
        let took = began.elapsed();
        counter.stop().await.expect("it stops");
        took
    })
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = Duration> + Send>>;

fn boxed<F: Future<Output = Duration> + Send + 'static>(workload: impl Fn() -> F) -> impl Fn() -> BoxFuture {
    move || Box::pin(workload())
}
