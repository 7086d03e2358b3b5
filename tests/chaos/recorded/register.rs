//! A register, whose worker and keeper are killed.

use fastrand::Rng;
use undying::{
    Dispatch,
    chaos::history::{Model, Register, RegisterOp, RegisterRet},
};

use super::{Checked, Ear, Round, kill_either};
use crate::{
    clients::crashed,
    soak::{Seed, Size, Soak},
    till::{Goods, Till},
};

struct Slot;

impl Goods for Slot {
    type Value = u64;
    type Op = RegisterOp<u64>;
    type Ret = RegisterRet<u64>;

    const LOOK: RegisterOp<u64> = RegisterOp::Read;

    /// Few values, so that some swaps succeed and a stale one is not told by its number alone.
    fn draw(rng: &mut Rng) -> RegisterOp<u64> {
        match rng.u8(..3) {
            0 => RegisterOp::Write(rng.u64(..8)),
            1 => RegisterOp::Read,
            _ => RegisterOp::CompareAndSet { expected: rng.u64(..8), new: rng.u64(..8) },
        }
    }

    fn only_looks(op: &RegisterOp<u64>) -> bool {
        *op == RegisterOp::Read
    }

    fn apply(value: &mut u64, op: &RegisterOp<u64>) -> RegisterRet<u64> {
        Register::default().apply(value, op)
    }
}

impl Checked for Slot {
    type Model = Register<u64>;

    fn model(value: u64) -> Register<u64> {
        Register::new(value)
    }

    fn recorded(op: &RegisterOp<u64>) -> RegisterOp<u64> {
        op.clone()
    }
}

async fn kills_of_worker_and_keeper(name: &str, dispatch: Dispatch) {
    let ear = Ear::new();
    let (spec, begun) = Till::<Slot>::spec(dispatch, None);
    let till = spec.listener(ear.too()).start().await.expect("it starts");
    let size = Size::of(
        Size { operations: 20_000, crashes: 1_000, round: 4_000 },
        Size { operations: 1_000_000, crashes: 100_000, round: 20_000 },
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
async fn a_register_is_linearizable_under_kills_of_worker_and_keeper() {
    kills_of_worker_and_keeper("register, direct", Dispatch::Direct).await;
}

/// G1 G2 G7 G10: one order explains every answer, where the worker's task runs the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queued_register_is_linearizable_under_kills_of_worker_and_keeper() {
    kills_of_worker_and_keeper("register, queued", Dispatch::Queued).await;
}
