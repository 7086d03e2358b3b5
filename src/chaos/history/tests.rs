//! The checkers against each other, against an oracle that tries every order, and on histories forged by hand.

mod forged;
mod large;
mod random;

use super::{Fate, Model, Operation};

type Op<M> = Operation<<M as Model>::Op, <M as Model>::Ret>;

/// An operation that was answered.
fn did<Op, Ret>(client: usize, op: Op, answer: Ret, invoked: u64, at: u64) -> Operation<Op, Ret> {
    Operation { client, op, invoked, fate: Fate::Returned { answer, at } }
}

/// An operation of which nobody knows what became of it.
fn lost<Op, Ret>(client: usize, op: Op, invoked: u64) -> Operation<Op, Ret> {
    Operation { client, op, invoked, fate: Fate::Unknown }
}

/// Whether there is an order, by trying all of them. What it has in common with the checkers is the definition.
fn naive<M: Model>(model: &M, operations: &[Op<M>]) -> bool {
    fn go<M: Model>(model: &M, all: &[Op<M>], order: &mut Vec<usize>, state: &M::State) -> bool {
        let left: Vec<usize> = (0..all.len()).filter(|n| !order.contains(n)).collect();
        if left.iter().all(|n| matches!(all[*n].fate, Fate::Unknown)) && in_time(all, order) {
            return true;
        }
        left.into_iter().any(|n| {
            let mut state = state.clone();
            let says = model.apply(&mut state, &all[n].op);
            let fits = match &all[n].fate {
                Fate::Returned { answer, .. } => *answer == says,
                _ => true,
            };
            order.push(n);
            let found = fits && go(model, all, order, &state);
            order.pop();
            found
        })
    }
    fn in_time<Op, Ret>(all: &[Operation<Op, Ret>], order: &[usize]) -> bool {
        order.iter().enumerate().all(|(n, first)| {
            order[n..].iter().all(|then| match all[*then].fate {
                Fate::Returned { at, .. } => at > all[*first].invoked,
                _ => true,
            })
        })
    }
    go(model, operations, &mut Vec::new(), &model.init())
}

/// The same history, with what is known of the others forgotten.
fn only<Op: Clone, Ret: Clone>(history: &[Operation<Op, Ret>], places: &[usize]) -> Vec<Operation<Op, Ret>> {
    let mut history = history.to_vec();
    for (place, operation) in history.iter_mut().enumerate() {
        if !places.contains(&place) {
            operation.fate = Fate::Unknown;
        }
    }
    history
}
