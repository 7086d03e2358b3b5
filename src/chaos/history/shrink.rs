//! From a history that has no order to the few operations of it that contradict each other.
//!
//! To leave out an operation proves nothing: without the write, the read of what it wrote is a riddle. So the answers of the
//! others are *forgotten*. They may have happened at any time since they were invoked, or never, which allows every order that
//! there was before; if there is none even then, they have no part in the contradiction.

use super::{
    Fate, Model, Operation,
    search::{Blocked, Search, Verdict},
};

/// How many steps one attempt may take: one that takes longer has not succeeded.
const ATTEMPT: u64 = 4_000_000;
/// How many all of them may take together: some seconds.
const ALL: u64 = 12_000_000;

/// The places of those that contradict each other, as few as can be found in reasonable time: with any of them forgotten there
/// is an order, or it would take too long to see that there is none.
pub(super) fn shrink<M: Model>(
    model: &M,
    operations: &[Operation<M::Op, M::Ret>],
    blocked: Blocked,
) -> Vec<usize> {
    let mut suspects: Vec<(u64, usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        match operation.fate {
            Fate::Returned { at, .. } if operation.invoked < blocked.at => suspects.push((at, place)),
            _ => {}
        }
    }
    suspects.sort_unstable();
    // What was invoked after all of them had returned explains nothing.
    let over = suspects.last().map_or(0, |(at, _)| *at);
    let end = operations.partition_point(|operation| operation.invoked < over);
    let mut shrinking = Shrinking { model, operations: &operations[..end], left: ALL };
    let mut kept = shrinking.grow(suspects);
    let mut piece = kept.len().div_ceil(2);
    loop {
        let mut begin = 0;
        while begin < kept.len() && shrinking.left > 0 {
            let end = (begin + piece).min(kept.len());
            let fewer = [&kept[..begin], &kept[end..]].concat();
            match shrinking.attempt(&fewer) {
                Verdict::None(_) => kept = fewer,
                Verdict::Order(_) | Verdict::GivenUp => begin = end,
            }
        }
        if piece <= 1 {
            return kept;
        }
        piece = piece.div_ceil(2);
    }
}

struct Shrinking<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Op, M::Ret>],
    left: u64,
}

impl<M: Model> Shrinking<'_, M> {
    /// Looks for an order with the answers known of those that are `kept`, and of no others.
    fn attempt(&mut self, kept: &[usize]) -> Verdict {
        let known = |place: usize| kept.binary_search(&place).is_ok();
        let given = ATTEMPT.min(self.left);
        let mut steps = given;
        let verdict = Search::new(self.model, self.operations, &known).run(&mut steps);
        // To prepare it is work, too.
        self.left = self.left.saturating_sub(given - steps + self.operations.len() as u64);
        verdict
    }

    /// Some that contradict each other. Each order that there is with those it has says which others to take as well: those that
    /// it has at a wrong time, and some of those that it does without, the last ones first.
    /// `others` are those that there are to take, in the order of their return.
    fn grow(&mut self, mut others: Vec<(u64, usize)>) -> Vec<usize> {
        let all = others.len();
        let (mut kept, mut more) = (Vec::new(), 1);
        while kept.len() < all {
            kept.extend(others.split_off(others.len().saturating_sub(more)).iter().map(|(_, place)| *place));
            kept.sort_unstable();
            if kept.len() == all || self.left == 0 {
                break;
            }
            let used = match self.attempt(&kept) {
                Verdict::None(_) => return kept,
                Verdict::Order(used) => used,
                Verdict::GivenUp => Vec::new(),
            };
            others.retain(|(_, place)| {
                let is_used = used.contains(place);
                kept.extend(is_used.then_some(*place));
                !is_used
            });
            more *= 2;
        }
        kept.extend(others.iter().map(|(_, place)| *place));
        kept.sort_unstable();
        kept
    }
}
