//! Every operation is recorded, and every round has to be linearizable.

mod afresh;
mod counter;
mod register;
mod tree;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use fastrand::Rng;
use parking_lot::Mutex;
use undying::{
    CallError, Listener, ServerRef, Started, StateChanged,
    chaos::{
        Fault,
        history::{Client, Fate, History, Model, Pending},
    },
};

use crate::{
    clients::Scribe,
    soak::Auditor,
    till::{Goods, Till},
};

/// Goods whose history can be checked.
pub(crate) trait Checked: Goods {
    type Model: Model<Ret = Self::Ret>;

    /// What begins with `value`.
    fn model(value: Self::Value) -> Self::Model;
    fn recorded(op: &Self::Op) -> <Self::Model as Model>::Op;
}

/// The history of one round.
struct Round<G: Checked>(History<G::Model>);

impl<G: Checked> Round<G> {
    fn new() -> Self {
        Self(History::new())
    }
}

impl<G: Checked> Auditor<G> for Round<G>
where
    Client<G::Model>: Scribe<G>,
{
    type Scribe = Client<G::Model>;

    fn scribe(&self) -> Client<G::Model> {
        self.0.client()
    }

    fn audit(self, began: G::Value, _: G::Value) -> u64 {
        // The last one to be recorded has seen what there is at the end.
        self.0.check(&G::model(began)).expect("linearizable");
        acknowledged::<G>(&self.0)
    }
}

/// How many changes were acknowledged.
fn acknowledged<G: Checked>(history: &History<G::Model>) -> u64 {
    let look = G::recorded(&G::LOOK);
    let operations = history.operations().into_iter();
    operations.filter(|done| done.op != look && matches!(done.fate, Fate::Returned { .. })).count() as u64
}

impl<G: Checked> Scribe<G> for Client<G::Model>
where
    G::Model: Send + Sync + 'static,
    <G::Model as Model>::Op: Send,
    <G::Model as Model>::Ret: Send,
{
    type Open = Pending<G::Model>;

    fn asks(&mut self, op: &G::Op) -> Pending<G::Model> {
        self.invoke(G::recorded(op))
    }

    fn is_told(&mut self, open: Pending<G::Model>, answer: &Result<G::Ret, CallError>) {
        open.kept(answer);
    }
}

/// Kills the worker or the keeper.
fn kill_either<G: Goods>(till: &ServerRef<Till<G>>, rng: &mut Rng) {
    till.chaos().inflict(if rng.u8(..3) == 0 { Fault::KillKeeper } else { Fault::KillWorker });
}

/// Somebody who listens to a till, and whose keeper is killed.
struct Ear<G: Goods> {
    heard: Arc<Mutex<Option<G::Value>>>,
    /// Whether the value before a change was ever another one than that after the change before.
    broken: Arc<AtomicBool>,
}

impl<G: Goods> Ear<G> {
    fn new() -> Self {
        Self { heard: Arc::default(), broken: Arc::default() }
    }

    /// The same one.
    fn too(&self) -> Self {
        Self { heard: self.heard.clone(), broken: self.broken.clone() }
    }

    /// G7: it was told of an unbroken chain, up to the end.
    fn has_heard_all(&self, ended: &G::Value) {
        assert!(!self.broken.load(Relaxed), "a change is missing, or was told twice");
        assert!(self.heard.lock().as_ref() == Some(ended), "the last change is missing");
    }
}

impl<G: Goods> Listener<Till<G>> for Ear<G> {
    fn started(&self, started: &Started<'_, Till<G>>) {
        *self.heard.lock() = Some(started.state.value.clone());
    }

    fn state_changed(&self, change: &StateChanged<'_, Till<G>>) {
        let before = self.heard.lock().replace(change.new.value.clone());
        let whole = change.new.value == change.new.twin;
        if !whole || before.as_ref() != Some(&change.old.value) {
            self.broken.store(true, Relaxed);
        }
    }
}
