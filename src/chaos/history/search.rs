//! Whether there is an order: the search of Wing and Gong, which remembers what it has seen, as Lowe's does.
//!
//! A *configuration* is a set of operations that have taken effect, and the state they have led to. From each the search goes on
//! with every operation that may be next: no other one that has not taken effect returned before it was invoked. It has found
//! an order once all that have returned have taken effect. Different from Lowe's:
//!
//! S1: Operations of unknown outcome are held apart, and equal ones are taken in the order of invocation: whatever the later
//!     one can do, the earlier one can. Those that change nothing are not taken at all.
//! S2: Configurations are looked at in the order of how many unknown ones have been taken, and within that depth first. So one
//!     in which the same answered ones have led to the same state with fewer unknown ones spent comes before, and this one can
//!     do nothing that that cannot: it is dropped.

use std::collections::HashMap;

use super::{Fate, Model, Operation};

/// Among how many kinds of unknown operations an equal one is looked for: to miss it costs time and nothing else.
const KINDS: usize = 256;

/// There is no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocked {
    /// When the operation returned that no order gets past: whatever was invoked later has no part in it.
    pub(super) at: u64,
}

/// Looks for an order of all `operations`, however long it takes. They are in the order of invocation.
pub(super) fn search<M: Model>(model: &M, operations: &[Operation<M::Op, M::Ret>]) -> Result<(), Blocked> {
    let mut steps = u64::MAX;
    match Search::new(model, operations, &|_| true).run(&mut steps) {
        Verdict::Order(_) => Ok(()),
        Verdict::None(blocked) => Err(blocked),
        Verdict::GivenUp => unreachable!("nobody lives to see the end of that many steps"),
    }
}

pub(super) enum Verdict {
    /// There is one, in which these unknown ones have taken effect.
    Order(Vec<usize>),
    None(Blocked),
    /// The steps were used up.
    GivenUp,
}

/// When, and the place in the history.
type Invocations = Vec<(u64, usize)>;

type Answered<'a, M> = (u64, &'a <M as Model>::Op, &'a <M as Model>::Ret, u64);

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    /// Invoked when, what, answered what, returned when: in the order of invocation.
    answered: Vec<Answered<'a, M>>,
    /// The unknown ones, each kind by itself: what, and when and where each of them was invoked.
    unknown: Vec<(&'a M::Op, Invocations)>,
}

/// A configuration but for the unknown operations: the answered ones that have taken effect and the state.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Position<State> {
    done: Done,
    state: State,
}

/// How many of each kind of unknown operation have been taken, without those of which none has.
type Spent = Vec<(usize, usize)>;

impl<'a, M: Model> Search<'a, M> {
    /// The answers of those at the places for which `known` says no do not count: they are unknown.
    pub(super) fn new(
        model: &'a M,
        operations: &'a [Operation<M::Op, M::Ret>],
        known: &dyn Fn(usize) -> bool,
    ) -> Self {
        let (mut answered, mut unknown) = (Vec::new(), Vec::<(&M::Op, Vec<_>)>::new());
        for (place, Operation { op, invoked, fate, .. }) in operations.iter().enumerate() {
            match fate {
                Fate::Returned { answer, at } if known(place) => answered.push((*invoked, op, answer, *at)),
                Fate::Failed => {}
                Fate::Returned { .. } | Fate::Unknown => {
                    match unknown.iter_mut().rev().take(KINDS).find(|(kind, _)| *kind == op) {
                        Some((_, kind)) => kind.push((*invoked, place)),
                        None => unknown.push((op, vec![(*invoked, place)])),
                    }
                }
            }
        }
        Self { model, answered, unknown }
    }

    /// Searches for so many steps, and takes those it has made off `steps`.
    pub(super) fn run(&self, steps: &mut u64) -> Verdict {
        let mut blocked = Blocked { at: 0 };
        let first = Position { done: Done::default(), state: self.model.init() };
        let mut seen: HashMap<Position<M::State>, Vec<Spent>> = HashMap::new();
        let mut is_new = |position: &Position<M::State>, spent: &Spent| {
            let worse = |less: &Spent| less.iter().all(|(kind, n)| taken(spent, *kind) >= *n);
            match seen.get_mut(position) {
                Some(before) if before.iter().any(worse) => return false,
                Some(before) => before.push(spent.clone()),
                None => drop(seen.insert(position.clone(), vec![spent.clone()])),
            }
            true
        };
        // The configurations to be looked at, by how many unknown operations were spent on them.
        let mut levels = vec![vec![(first, Spent::new())]];
        let mut level = 0;
        while level < levels.len() {
            let Some((position, spent)) = levels[level].pop() else {
                level += 1;
                continue;
            };
            let Some(bound) = self.bound(&position.done) else { return Verdict::Order(self.places(&spent)) };
            blocked.at = blocked.at.max(bound);
            for (kind, (op, invoked)) in self.unknown.iter().enumerate() {
                *steps = steps.saturating_sub(1);
                if invoked.get(taken(&spent, kind)).is_none_or(|(invoked, _)| *invoked > bound) {
                    continue;
                }
                let mut state = position.state.clone();
                self.model.apply(&mut state, op);
                if state == position.state {
                    continue;
                }
                let next = Position { done: position.done.clone(), state };
                let spent = with_one_more(&spent, kind);
                if is_new(&next, &spent) {
                    levels.resize_with(levels.len().max(level + 2), Vec::new);
                    levels[level + 1].push((next, spent));
                }
            }
            // What was invoked first is looked at first, so it is pushed last.
            for n in self.next(&position.done, bound).into_iter().rev() {
                *steps = steps.saturating_sub(1);
                let (_, op, answer, _) = self.answered[n];
                let mut state = position.state.clone();
                if self.model.apply(&mut state, op) == *answer {
                    let next = Position { done: position.done.with(n), state };
                    if is_new(&next, &spent) {
                        levels[level].push((next, spent.clone()));
                    }
                }
            }
            if *steps == 0 {
                return Verdict::GivenUp;
            }
        }
        Verdict::None(blocked)
    }

    fn places(&self, spent: &Spent) -> Vec<usize> {
        let of_kind =
            |(kind, n): &(usize, usize)| self.unknown[*kind].1[..*n].iter().map(|(_, place)| *place);
        spent.iter().flat_map(of_kind).collect()
    }

    /// When the first of those that have not taken effect returned.
    fn bound(&self, done: &Done) -> Option<u64> {
        let mut bound = None;
        for n in done.missing(self.answered.len()) {
            let (invoked, _, _, returned) = self.answered[n];
            if bound.is_some_and(|bound| invoked > bound) {
                break; // Nor did anybody behind it return sooner.
            }
            bound = Some(bound.map_or(returned, |bound: u64| bound.min(returned)));
        }
        bound
    }

    /// Those that may be next.
    fn next(&self, done: &Done, bound: u64) -> Vec<usize> {
        done.missing(self.answered.len()).take_while(|&n| self.answered[n].0 < bound).collect()
    }
}

fn taken(spent: &Spent, kind: usize) -> usize {
    spent.iter().find(|(other, _)| *other == kind).map_or(0, |(_, n)| *n)
}

fn with_one_more(spent: &Spent, kind: usize) -> Spent {
    let mut spent = spent.clone();
    match spent.iter_mut().find(|(other, _)| *other == kind) {
        Some((_, n)) => *n += 1,
        None => spent.push((kind, 1)),
    }
    spent
}

/// A set of operations, most of which are the first ones: all before `from`, and those of the bits behind it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Done {
    /// In words of 64 bits.
    from: usize,
    /// The first one has a zero, and the last one has a one, so that equal sets look alike.
    bits: Vec<u64>,
}

impl Done {
    fn with(&self, n: usize) -> Self {
        let (word, bit) = (n / 64 - self.from, 1 << (n % 64));
        let mut bits = self.bits.clone();
        bits.resize(bits.len().max(word + 1), 0);
        bits[word] |= bit;
        let full = bits.iter().take_while(|bits| **bits == u64::MAX).count();
        bits.drain(..full);
        Self { from: self.from + full, bits }
    }

    /// Those of the first `len` that are not in it.
    fn missing(&self, len: usize) -> impl Iterator<Item = usize> + '_ {
        let is_in =
            |n: usize| self.bits.get(n / 64 - self.from).is_some_and(|bits| bits & (1 << (n % 64)) != 0);
        (self.from * 64..len).filter(move |n| !is_in(*n))
    }
}
