//! What a service should do, as a sequential program.

use std::{fmt::Debug, hash::Hash};

use super::Operation;

/// What a service should do: a plain sequential program that answers one operation after the other.
///
/// # Examples
///
/// A lock that is taken and given back.
///
/// ```
/// use undying::chaos::history::{History, Model};
///
/// struct Lock;
///
/// #[derive(Debug, Clone, PartialEq)]
/// enum Op {
///     Take,
///     GiveBack,
/// }
///
/// impl Model for Lock {
///     type State = bool;
///     type Op = Op;
///     type Ret = bool;
///
///     fn init(&self) -> bool {
///         false
///     }
///
///     fn apply(&self, taken: &mut bool, op: &Op) -> bool {
///         let was = std::mem::replace(taken, *op == Op::Take);
///         was != *taken // whether it did anything
///     }
/// }
///
/// let history = History::<Lock>::new();
/// let (anna, ben) = (history.client(), history.client());
/// let taking = anna.invoke(Op::Take);
/// ben.invoke(Op::Take).returned(true);
/// taking.returned(false);
/// assert!(history.check(&Lock).is_ok());
///
/// anna.invoke(Op::Take).returned(true); // both of them have it
/// assert!(history.check(&Lock).is_err());
/// ```
pub trait Model {
    /// What the answers depend on.
    type State: Clone + Eq + Hash;
    /// What can be asked.
    type Op: Clone + PartialEq + Debug;
    /// What is answered.
    type Ret: Clone + PartialEq + Debug;

    /// The state before the first operation.
    fn init(&self) -> Self::State;

    /// Does `op` to `state`, and gives the answer. The same to equal ones always.
    fn apply(&self, state: &mut Self::State, op: &Self::Op) -> Self::Ret;

    /// The verdict on a history without a search, where a model knows one: the operations in the order of invocation, without
    /// those that failed. It has to be that of the search. Defaults to `None`: it knows none.
    fn verdict(&self, history: &[Operation<Self::Op, Self::Ret>]) -> Option<Result<(), Contradiction>> {
        let _ = history;
        None
    }
}

/// The operations that contradict each other, whatever the others in the history have done: those may have been answered
/// differently, later, or never, and there would still be no order.
///
/// # Examples
///
/// ```
/// use undying::chaos::history::{Contradiction, Fate, Operation};
///
/// /// Of a service that gives tickets: nobody may get one that somebody has.
/// fn no_number_twice(history: &[Operation<(), u64>]) -> Result<(), Contradiction> {
///     let number = |at: usize| match history[at].fate {
///         Fate::Returned { answer, .. } => Some(answer),
///         _ => None,
///     };
///     for (a, b) in (0..history.len()).flat_map(|b| (0..b).map(move |a| (a, b))) {
///         if number(a).is_some() && number(a) == number(b) {
///             return Err(Contradiction::between([a, b]).because("a number was given twice"));
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Their places in the history, in order.
    pub(super) culprits: Vec<usize>,
    pub(super) why: Option<String>,
}

impl Contradiction {
    /// Between those at these places of the history.
    pub fn between(places: impl IntoIterator<Item = usize>) -> Self {
        let mut culprits: Vec<usize> = places.into_iter().collect();
        culprits.sort_unstable();
        culprits.dedup();
        Self { culprits, why: None }
    }

    /// Says in words what they contradict each other about.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }
}
