//! Histories that no correct service has, each with the few operations that show it.

use super::{did, lost};
use crate::chaos::history::{
    Contradiction, Counter, CounterOp::*, Model, Operation, Register, RegisterOp::*, RegisterRet::*, search,
    shrink, verify,
};

type Counted = Operation<crate::chaos::history::CounterOp, u64>;

/// The counter without its short cut.
struct Slow;

impl Model for Slow {
    type State = u64;
    type Op = crate::chaos::history::CounterOp;
    type Ret = u64;

    fn init(&self) -> u64 {
        0
    }

    fn apply(&self, total: &mut u64, op: &Self::Op) -> u64 {
        Counter::default().apply(total, op)
    }
}

/// Both checkers say no and blame these.
fn blames(history: &[Counted], fast: &[usize], slow: &[usize]) {
    let said = Counter::default().verdict(history).expect("the short cut applies").expect_err("no order");
    assert_eq!(said.culprits, fast, "{said:?}");
    assert_eq!(blamed(&Slow, history), slow);
}

fn blamed<M: Model>(model: &M, history: &[Operation<M::Op, M::Ret>]) -> Vec<usize> {
    let blocked = search::search(model, history).expect_err("no order");
    shrink::shrink(model, history, blocked)
}

fn fine(history: &[Counted]) {
    assert_eq!(verify(&Counter::default(), history), Ok(()));
    assert_eq!(verify(&Slow, history), Ok(()));
}

#[test]
fn a_lost_update_is_two_that_answered_the_same() {
    let history =
        [did(0, Add(1), 1, 0, 1), did(1, Add(1), 2, 2, 5), did(2, Add(1), 2, 3, 4), did(0, Get, 2, 6, 7)];
    blames(&history, &[1, 2], &[1, 2]);
}

#[test]
fn a_stale_read_is_one_that_began_after_what_it_did_not_see() {
    let history = [did(0, Add(1), 1, 0, 1), did(1, Add(1), 2, 2, 3), did(2, Get, 1, 4, 5)];
    blames(&history, &[1, 2], &[1, 2]);
}

#[test]
fn an_update_applied_twice_is_a_total_that_nobody_had_asked_for_yet() {
    let history = [did(0, Add(1), 1, 0, 1), did(1, Add(1), 3, 2, 3)];
    blames(&history, &[1], &[1]);
    // The one at the same time says itself that it came later, and the unknown one did come later.
    let history =
        [did(0, Add(1), 1, 0, 1), did(1, Add(1), 3, 2, 5), did(2, Add(1), 4, 3, 7), lost(3, Add(1), 6)];
    blames(&history, &[1, 2], &[1, 2]);
}

#[test]
fn an_answer_before_its_cause_is_seen() {
    let history = [did(0, Get, 1, 0, 1), did(1, Add(1), 1, 2, 3)];
    blames(&history, &[0, 1], &[0]);
    let history = [did(0, Get, 1, 0, 1), lost(1, Add(1), 2)];
    blames(&history, &[0], &[0]);
}

#[test]
fn two_reordered_updates_are_seen() {
    let history = [did(0, Add(1), 2, 0, 1), did(1, Add(1), 1, 2, 3)];
    blames(&history, &[0, 1], &[0]);
    let history = [lost(2, Add(1), 0), did(0, Add(1), 3, 1, 2), lost(1, Add(1), 3), did(1, Add(1), 1, 4, 5)];
    blames(&history, &[1, 3], &[1]);
}

#[test]
fn a_read_in_the_middle_of_an_addition_is_seen() {
    let history = [did(0, Add(10), 10, 0, 3), did(1, Get, 4, 1, 2)];
    blames(&history, &[0, 1], &[1]);
}

#[test]
fn a_total_below_the_first_one_is_seen() {
    let from_five = Counter::starting_at(5);
    for answer in [0, 4] {
        assert_eq!(
            verify(&from_five, &[did(0, Get, answer, 0, 1)]).map_err(|error| error.culprits()),
            Err(1)
        );
    }
    assert_eq!(verify(&from_five, &[did(0, Get, 5, 0, 1)]), Ok(()));
    assert_eq!(verify(&from_five, &[did(0, Add(3), 7, 0, 1)]).map_err(|error| error.culprits()), Err(1));
}

#[test]
fn an_unknown_operation_may_happen_late_early_or_never() {
    fine(&[lost(0, Add(1), 0), did(1, Get, 0, 1, 2), did(1, Get, 1, 3, 4)]);
    fine(&[lost(0, Add(1), 0), did(1, Get, 1, 1, 2)]);
    fine(&[lost(0, Add(1), 0), did(1, Get, 0, 1, 2)]);
    blames(&[lost(0, Add(1), 0), did(1, Get, 1, 1, 2), did(1, Get, 0, 3, 4)], &[1, 2], &[1, 2]);
}

#[test]
fn an_unknown_operation_happens_once() {
    let history = [lost(0, Add(1), 0), did(1, Get, 2, 1, 2)];
    blames(&history, &[1], &[1]);
}

#[test]
fn operations_at_a_time_have_any_order() {
    fine(&[did(0, Add(1), 2, 0, 3), did(1, Add(1), 1, 1, 2)]);
    fine(&[did(0, Add(5), 5, 0, 3), did(1, Get, 0, 1, 2)]);
    fine(&[did(0, Add(5), 5, 0, 3), did(1, Get, 5, 1, 2)]);
    fine(&[]);
}

#[test]
fn where_totals_wrap_around_the_search_decides() {
    let history = [did(0, Add(u64::MAX), u64::MAX, 0, 1), did(0, Add(2), 1, 2, 3)];
    assert_eq!(Counter::default().verdict(&history), None);
    fine(&history);
    let wrong = [did(0, Add(u64::MAX), u64::MAX, 0, 1), did(0, Add(2), 2, 2, 3)];
    assert!(verify(&Counter::default(), &wrong).is_err());
}

#[test]
fn where_unknown_additions_fit_in_several_ways_the_search_decides() {
    let history = [lost(0, Add(2), 0), lost(1, Add(3), 1), did(2, Get, 5, 2, 3)];
    assert_eq!(Counter::default().verdict(&history), None);
    fine(&history);
    let wrong = [lost(0, Add(2), 0), lost(1, Add(3), 1), did(2, Get, 4, 2, 3)];
    assert_eq!(verify(&Counter::default(), &wrong).map_err(|error| error.culprits()), Err(1));
}

#[test]
fn a_register_that_forgets_a_write_is_seen() {
    let history = [
        did(0, Write("a"), Written, 0, 1),
        did(1, Write("b"), Written, 2, 3),
        did(2, Read, Value("b"), 4, 5),
        did(2, Read, Value("a"), 6, 7),
    ];
    // Either the write of `b` or the read of it, and then the read of `a`. Were the write of `a` forgotten, it could be late.
    assert_eq!(blamed(&Register::new(""), &history), [0, 2, 3]);
    assert_eq!(verify(&Register::new(""), &history[..3]), Ok(()));
}

#[test]
fn two_that_swap_the_same_value_are_seen() {
    let swap = |new| CompareAndSet { expected: 0, new };
    let history = [did(0, swap(1), Swapped(true), 0, 2), did(1, swap(2), Swapped(true), 1, 3)];
    assert_eq!(blamed(&Register::new(0), &history), [0, 1]);
    let history = [did(0, swap(1), Swapped(true), 0, 2), did(1, swap(2), Swapped(false), 1, 3)];
    assert_eq!(verify(&Register::new(0), &history), Ok(()));
}

#[test]
fn what_came_after_the_contradiction_is_not_blamed() {
    let mut history = vec![did(0, Write(1), Written, 0, 1), did(1, Read, Value(0), 2, 3)];
    history.extend((0..200).map(|n| did(2, Write(n), Written, 10 + 2 * n, 11 + 2 * n)));
    assert_eq!(blamed(&Register::new(0), &history), [0, 1]);
}

#[test]
fn what_came_before_the_contradiction_is_not_blamed() {
    let mut history: Vec<_> = (0..60).map(|n| did(2, Write(n), Written, 2 * n, 2 * n + 1)).collect();
    history.extend([did(0, Write(100), Written, 200, 201), did(1, Read, Value(77), 202, 203)]);
    assert_eq!(blamed(&Register::new(0), &history), [61]);
}

#[test]
fn the_picture_shows_clients_intervals_operations_and_answers() {
    let history =
        [did(0, Add(1), 1, 0, 1), did(1, Add(1), 2, 2, 5), did(12, Add(1), 2, 3, 9), lost(0, Add(1), 7)];
    let violation = verify(&Counter::default(), &history).expect_err("a lost update");
    assert_eq!((violation.culprits(), violation.others()), (2, 2));
    let picture = "\
not linearizable: no order explains these 2 answers, whatever the 2 other operations have done
both say that they brought it to 2

client 1  Add(1) → 2         ├─────┤
client 12  Add(1) → 2           ├────────┤
besides:
client 0  Add(1) → 1   ├──┤
client 0  Add(1)                      ├─────╌ ?";
    assert_eq!(violation.to_string(), picture);
    assert_eq!(format!("{violation:?}"), picture, "what `unwrap` shows");
}

#[test]
fn a_long_picture_is_cut() {
    let history: Vec<_> =
        (0..30).map(|n| did(n, Write("x".repeat(99)), Written::<String>, n as u64, 50 + n as u64)).collect();
    let picture = super::super::Violation::of(&history, Contradiction::between(0..30)).to_string();
    assert!(picture.contains("(14 earlier ones are not drawn)"), "{picture}");
    assert!(picture.lines().all(|line| line.chars().count() < 180), "{picture}");
    assert_eq!(picture.lines().filter(|line| line.starts_with("client")).count(), 16);
}
