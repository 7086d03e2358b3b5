//! Histories as long as those of a soak.

use std::time::{Duration, Instant};

use super::{did, lost};
use crate::chaos::history::{
    Counter, CounterOp::*, Operation, Register, RegisterOp::*, RegisterRet::*, verify,
};

const LONG: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
const SHORT: u64 = if cfg!(debug_assertions) { 2_000 } else { 100_000 };

/// Eight at a time, each of which takes effect when it is answered, every ninth of unknown outcome.
fn counted(n: u64) -> Vec<Operation<crate::chaos::history::CounterOp, u64>> {
    let (mut total, mut history) = (0, Vec::new());
    for k in 0..n {
        let (client, invoked) = ((k % 8) as usize, 20 * k);
        history.push(if k % 9 == 4 {
            total += k % 2;
            lost(client, Add(1), invoked)
        } else {
            total += u64::from(k % 3 > 0);
            did(client, if k % 3 > 0 { Add(1) } else { Get }, total, invoked, 20 * (k + 7) + 1)
        });
    }
    history
}

#[test]
fn a_million_operations_of_a_counter_are_checked_in_about_a_second() {
    let mut history = counted(LONG);
    let began = Instant::now();
    assert_eq!(verify(&Counter::default(), &history), Ok(()));
    let good = began.elapsed();

    let answer = history.iter_mut().rev().find_map(|operation| match &mut operation.fate {
        crate::chaos::history::Fate::Returned { answer, .. } if operation.op == Add(1) => Some(answer),
        _ => None,
    });
    *answer.expect("the last one that adds") -= 30;
    let began = Instant::now();
    let violation = verify(&Counter::default(), &history).expect_err("an update is lost");
    assert_eq!(violation.culprits(), 2, "{violation}");
    let bad = began.elapsed();
    // Ten times what it takes: it is not the speed of the machine that is tested.
    assert!(good.max(bad) < Duration::from_secs(10), "{good:?} {bad:?}");
}

/// What is written is read, four at a time.
fn written(
    n: u64,
) -> Vec<Operation<crate::chaos::history::RegisterOp<u64>, crate::chaos::history::RegisterRet<u64>>> {
    let course = |k: u64| {
        let value = k / 2;
        let (op, answer) = if k % 2 == 0 { (Write(value), Written) } else { (Read, Value(value)) };
        did((k % 4) as usize, op, answer, 20 * k, 20 * (k + 3) + 1)
    };
    (0..n).map(course).collect()
}

#[test]
fn the_search_goes_straight_through_a_long_history_of_a_register() {
    assert_eq!(verify(&Register::new(0), &written(SHORT)), Ok(()));
}

#[test]
fn a_stale_read_is_told_from_hundreds_of_writes_between() {
    let mut history = written(600);
    history.push(did(9, Read, Value(0), 20_000, 20_001));
    let violation = verify(&Register::new(7), &history).expect_err("that was long ago");
    assert!(violation.culprits() <= 4, "{violation}");
}
