//! A counter, whose worker and keeper are killed.

use undying::{
    Dispatch,
    chaos::history::{Counter, CounterOp},
};

use super::{Checked, Ear, Round, kill_either};
use crate::{
    clients::crashed,
    soak::{Seed, Size, Soak},
    till::{Count, CountOp, Till},
};

impl Checked for Count {
    type Model = Counter;

    fn model(total: u64) -> Counter {
        Counter::starting_at(total)
    }

    fn recorded(op: &CountOp) -> CounterOp {
        match op {
            CountOp::Add => CounterOp::Add(1),
            CountOp::Look => CounterOp::Get,
        }
    }
}

async fn kills_of_worker_and_keeper(name: &str, dispatch: Dispatch) {
    let ear = Ear::new();
    let (spec, begun) = Till::<Count>::spec(dispatch, None);
    let till = spec.listener(ear.too()).start().await.expect("it starts");
    let size = Size::of(
        Size { operations: 100_000, crashes: 5_000, round: 20_000 },
        Size { operations: 10_000_000, crashes: 1_000_000, round: 200_000 },
    );
    let (seed, victim) = (Seed::new(), till.clone());
    let soak = Soak { name, till: till.clone(), size, seed: seed.0, expected: crashed, begun, afterwards: 1 };
    let report = soak.run(move |rng| kill_either(&victim, rng), Round::new).await;
    let exit = till.stop().await.expect("it stops");
    ear.has_heard_all(&exit.state.value);
    eprintln!("{report}");
}

/// G1 G2 G7 G10: one order explains every answer, where callers run the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counter_is_linearizable_under_kills_of_worker_and_keeper() {
    kills_of_worker_and_keeper("counter, direct", Dispatch::Direct).await;
}

/// G1 G2 G7 G10: one order explains every answer, where the worker's task runs the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queued_counter_is_linearizable_under_kills_of_worker_and_keeper() {
    kills_of_worker_and_keeper("counter, queued", Dispatch::Queued).await;
}
