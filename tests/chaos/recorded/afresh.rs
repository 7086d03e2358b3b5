//! A counter below two supervisors, all of whose tasks are killed, and which keeps nothing from one life to the next.
//!
//! With the task that supervises a server its life ends (K14). Another life is promised to begin afresh: with the state of the
//! spec, and with `init`. Within a life the promises are those of every server: what it acknowledged is kept until its end, and
//! what crashed is not applied. That a life is over is promised to be for good: none of its updates is in a later one, and
//! nobody is answered by it once there is a later one. And no life ends unless something was killed.
//!
//! So each answer names the life it is of. The answers of one life are the history of one counter that begins at zero; those of a
//! life come after its `init`, and before those of the next one.

mod book;

use std::sync::Arc;

use fastrand::Rng;
use undying::Dispatch;

use self::book::Book;
use super::{
    Ear,
    tree::{STILL_FALLING, Town, crashed_or_ended, kill_any},
};
use crate::{
    soak::{Report, Seed, Size, Soak},
    till::{Birth, CountOp, Goods},
};

/// A total, and of which life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Life {
    number: u64,
    total: u64,
}

struct Mortal;

impl Goods for Mortal {
    type Value = Life;
    type Op = CountOp;
    type Ret = Life;

    const LOOK: CountOp = CountOp::Look;

    fn draw(rng: &mut Rng) -> CountOp {
        if rng.u8(..4) == 0 { CountOp::Look } else { CountOp::Add }
    }

    fn only_looks(op: &CountOp) -> bool {
        *op == CountOp::Look
    }

    fn apply(life: &mut Life, op: &CountOp) -> Life {
        life.total += u64::from(*op == CountOp::Add);
        *life
    }
}

/// One town, from its beginning to its end.
async fn town<'a>(name: &'a str, dispatch: Dispatch, seed: u64, operations: u64) -> Report<'a> {
    let book = Book::default();
    let register = book.clone();
    let birth: Birth<Mortal> = Arc::new(move |life| register.birth(life));
    let ear = Ear::new();
    let Town { town, shop, till, begun } = Town::start(dispatch, Some(birth), false, &ear).await;
    let size = Size { operations, crashes: 0, round: operations };
    let (expected, afterwards, victim) = (crashed_or_ended, STILL_FALLING, till.clone());
    let soak = Soak { name, till: till.clone(), size, seed, expected, begun, afterwards };
    let strike = move |rng: &mut Rng| kill_any(&victim, &shop, rng);
    let report = soak.run(strike, || book.clone()).await;
    let lives = book.lives();
    assert!(lives <= report.strikes + 1, "{lives} lives and {} strikes", report.strikes);
    town.stop().await.expect("it stops");
    ear.has_heard_all(&till.peek().value);
    report
}

async fn kills_of_all_tasks(name: &str, dispatch: Dispatch) {
    // Here a round is a town of its own.
    let size = Size::of(
        Size { operations: 40_000, crashes: 0, round: 20_000 },
        Size { operations: 1_000_000, crashes: 0, round: 50_000 },
    );
    let seed = Seed::new();
    let mut all: Option<Report<'_>> = None;
    while all.as_ref().is_none_or(|all| all.operations < size.operations) {
        let next = seed.0.wrapping_add(all.as_ref().map_or(0, |all| all.rounds));
        let report = town(name, dispatch, next, size.round).await;
        all = Some(match all {
            Some(all) => all.and(&report),
            None => report,
        });
    }
    eprintln!("{}", all.expect("at least one"));
}

/// G1 G2 G7 G10: one order explains every answer of each life, where callers run the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_life_begins_afresh_and_keeps_its_promises() {
    kills_of_all_tasks("afresh, direct", Dispatch::Direct).await;
}

/// G1 G2 G7 G10: one order explains every answer of each life, where the worker's task runs the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_queued_life_begins_afresh_and_keeps_its_promises() {
    kills_of_all_tasks("afresh, queued", Dispatch::Queued).await;
}
