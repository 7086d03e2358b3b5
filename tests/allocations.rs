//! What the hot path allocates, exactly. A binary of its own, because it counts with a global allocator.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context as Task, Waker},
};

use allocation_counter::measure;
use tokio::runtime::{Builder, Runtime};
use undying::{
    Context, Event, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut, Watch,
};

/// Each operation is counted over so many.
const MANY: u64 = 1_000;
/// Casts sent at a time, so that they stay within one segment of the queue.
const BURST: u64 = 100;
/// What an idle server may take.
const IDLE_BYTES: i64 = 3_100;
/// How often a server that is started, called once and stopped may allocate.
const LIFE_ALLOCATIONS: u64 = 20;

#[derive(Clone)]
struct Counter;

enum Call {
    Add(u64, Reply<u64>),
    Get(Reply<u64>),
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
            Call::Get(reply) => reply.send(*total),
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

async fn add(counter: &ServerRef<Counter>, times: u64) {
    for _ in 0..times {
        counter.call(|reply| Call::Add(1, reply)).await.expect("an answer");
    }
}

async fn get(counter: &ServerRef<Counter>, times: u64) {
    for _ in 0..times {
        counter.call(Call::Get).await.expect("an answer");
    }
}

/// Casts, a burst at a time.
async fn cast(counter: &ServerRef<Counter>, times: u64) {
    for _ in 0..times / BURST {
        for _ in 0..BURST {
            counter.cast(1).await.expect("it runs");
        }
        while counter.mailbox_len() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn warm() -> (Runtime, ServerRef<Counter>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let counter = runtime.block_on(async {
        let counter = ServerSpec::new(Counter, 0).start().await.expect("it starts");
        add(&counter, MANY).await;
        cast(&counter, MANY).await;
        counter
    });
    (runtime, counter)
}

/// Checks that `run` allocates `each` time, give or take what the runtime allocates once to run anything.
#[track_caller]
fn assert_allocates(each: f64, runtime: &Runtime, run: impl Future<Output = ()>) {
    let counted = measure(|| runtime.block_on(run)).count_total as f64 / MANY as f64;
    assert!((counted - each).abs() < 0.005, "{counted} allocations each, not {each}");
}

#[test]
fn a_cast_a_commit_and_a_peek_allocate_nothing() {
    let (runtime, counter) = warm();
    assert_allocates(0.0, &runtime, cast(&counter, MANY));
    let peeks = async {
        for _ in 0..MANY {
            assert!(*counter.peek() > 0);
        }
    };
    assert_allocates(0.0, &runtime, peeks);
}

#[test]
fn a_call_allocates_its_reply_slot_whether_it_commits_or_not() {
    let (runtime, counter) = warm();
    assert_allocates(1.0, &runtime, add(&counter, MANY));
    assert_allocates(1.0, &runtime, get(&counter, MANY));
}

/// Has a watcher wait for the next state.
fn waits(watch: &mut Watch<Counter>) {
    assert!(pin!(watch.next()).poll(&mut Task::from_waker(Waker::noop())).is_pending());
}

#[test]
fn a_watcher_that_does_not_wait_costs_nothing() {
    let (runtime, counter) = warm();
    let mut watch = counter.watch();
    assert!(runtime.block_on(watch.next()).is_some());
    assert_allocates(0.0, &runtime, cast(&counter, MANY));
    assert_allocates(1.0, &runtime, add(&counter, MANY));
}

#[test]
fn a_watcher_that_is_gone_leaves_nothing() {
    let (runtime, counter) = warm();
    let look = async {
        for _ in 0..MANY {
            let mut watch = counter.watch();
            assert!(watch.next().await.is_some());
            waits(&mut watch);
        }
    };
    let left = measure(|| runtime.block_on(look)).count_current;
    // The place where watchers are kept stays, once there was one.
    assert!((0..=2).contains(&left), "{left} allocations are left of {MANY} watchers");
    assert_allocates(0.0, &runtime, cast(&counter, MANY));
}

#[test]
fn a_listener_that_keeps_up_costs_no_allocation_for_each_change() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let heard = Arc::new(AtomicU64::new(0));
    let count = heard.clone();
    let counter = runtime.block_on(async {
        let listener = move |event: Event<'_, Counter>| {
            if let Event::StateChanged(_) = event {
                count.fetch_add(1, Relaxed);
            }
        };
        let counter = ServerSpec::new(Counter, 0).listener(listener).start().await.expect("it starts");
        cast(&counter, MANY).await;
        counter
    });
    let counted = measure(|| runtime.block_on(cast(&counter, MANY))).count_total;
    // Each burst wakes the keeper once, and shares one snapshot with it.
    assert!(counted <= 5 * MANY / BURST, "{counted} allocations for {MANY} changes");
    runtime.block_on(async { counter.stop().await }).expect("it stops");
    assert_eq!(heard.load(Relaxed), 2 * MANY);
}

/// Starts a server that waits for its first message.
async fn idle() -> ServerRef<Counter> {
    let counter = ServerSpec::new(Counter, 0).start().await.expect("it starts");
    // Its tasks have had their turn, and wait.
    tokio::task::yield_now().await;
    counter
}

/// What a server takes that waits for its first message, its three tasks included: at most so much.
#[test]
fn an_idle_server_is_small() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    // What the runtime needs once.
    drop(runtime.block_on(idle()));
    let mut servers = Vec::with_capacity(MANY as usize);
    let taken = measure(|| {
        runtime.block_on(async {
            for _ in 0..MANY {
                servers.push(idle().await);
            }
        });
    });
    let (bytes, pieces) = (taken.bytes_current / MANY as i64, taken.count_current / MANY as i64);
    assert!(bytes <= IDLE_BYTES, "{bytes} bytes each, in {pieces} pieces");
}

/// A start, a call and a stop allocate at most so many times.
#[test]
fn a_short_life_allocates_little() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let lives = async {
        for _ in 0..MANY {
            let counter = idle().await;
            add(&counter, 1).await;
            counter.stop().await.expect("it stops");
        }
    };
    let counted = measure(|| runtime.block_on(lives));
    let each = counted.count_total / MANY;
    assert!(each <= LIFE_ALLOCATIONS, "{each} allocations each");
    assert!(counted.count_current < MANY as i64, "{} allocations are left", counted.count_current);
}
