//! Random histories of several copies of one collection, beside a std collection each.

use std::{
    cell::Cell,
    fmt::Debug,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
};

use proptest::{prelude::*, test_runner::TestRunner};

use crate::support;

thread_local! {
    /// How many uses of [`Item`]s are left until one panics; 0 for none at all.
    static FUSE: Cell<u32> = const { Cell::new(0) };
    static CLONES: Cell<u64> = const { Cell::new(0) };
}

fn burn() {
    if FUSE.get() > 0 {
        FUSE.set(FUSE.get() - 1);
        if FUSE.get() == 0 && !std::thread::panicking() {
            support::inject();
        }
    }
}

/// How many [`Item`]s were cloned by `work`.
pub(crate) fn clones(work: impl FnOnce()) -> u64 {
    let before = CLONES.get();
    work();
    CLONES.get() - before
}

/// A key or value, every use of which may panic.
#[derive(Debug, PartialOrd, Ord)]
pub(crate) struct Item(pub(crate) u16);

impl Clone for Item {
    fn clone(&self) -> Self {
        burn();
        CLONES.set(CLONES.get() + 1);
        Self(self.0)
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Item {}

impl Hash for Item {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        burn();
        self.0.hash(hasher);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        burn();
    }
}

/// A collection under test, and the std collection that it is to be equal to.
pub(crate) trait Subject: Clone {
    type Change: Debug + Clone + 'static;
    type Model: PartialEq + Debug + Default;

    fn filled(len: u16) -> Self;
    fn any_change() -> BoxedStrategy<Self::Change>;
    fn change(&mut self, change: &Self::Change);
    fn change_model(model: &mut Self::Model, change: &Self::Change);
    /// What is in it. Checks that it agrees with itself.
    fn read(&self) -> Self::Model;
}

/// How many copies there are. The first is the working copy of a server, the next two its snapshots.
const COPIES: usize = 5;

#[derive(Clone, Debug)]
enum Step<C> {
    Change(usize, C),
    /// As a server does after a callback: into the two snapshots in turns.
    Commit,
    /// As a server does after a crash: the working copy is that of the last snapshot.
    Crash,
    Clone(usize, usize),
    CloneFrom(usize, usize),
    Swap(usize, usize),
}

/// Plays as many random histories as `PROPTEST_CASES` says, 256 by default. With `panics`, a use of an item panics in some of the steps.
pub(crate) fn play<S: Subject>(panics: bool) {
    support::quiet();
    let copy = || 0..COPIES;
    let step = prop_oneof![
        4 => S::any_change().prop_map(|change| Step::Change(0, change)),
        2 => (copy(), S::any_change()).prop_map(|(of, change)| Step::Change(of, change)),
        4 => Just(Step::Commit),
        1 => Just(Step::Crash),
        1 => (copy(), copy()).prop_map(|(from, to)| Step::Clone(from, to)),
        2 => (copy(), copy()).prop_map(|(from, to)| Step::CloneFrom(from, to)),
        1 => (copy(), copy()).prop_map(|(one, other)| Step::Swap(one, other)),
    ];
    let fuse = if panics {
        prop_oneof![1 => Just(0), 2 => 1..30_u32, 1 => 30..400_u32].boxed()
    } else {
        Just(0).boxed()
    };
    let steps = prop::collection::vec((step, fuse), 1..60);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let starts = prop_oneof![Just(0), Just(3), Just(70), Just(400)];
    TestRunner::new(config)
        .run(&(starts, steps), |(len, steps)| {
            history::<S>(len, &steps);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn history<S: Subject>(len: u16, steps: &[(Step<S::Change>, u32)]) {
    let mut copies: Vec<S> = vec![S::filled(len)];
    copies.resize(COPIES, copies[0].clone());
    let mut models: Vec<S::Model> = copies.iter().map(S::read).collect();
    let mut kept = 1;
    for (step, fuse) in steps {
        let (from, to) = match *step {
            Step::Commit => (0, 3 - kept),
            Step::Crash => (kept, 0),
            Step::Change(of, _) => (of, of),
            Step::Clone(from, to) | Step::CloneFrom(from, to) | Step::Swap(from, to) => (from, to),
        };
        if from == to && !matches!(step, Step::Change(..)) {
            continue;
        }
        FUSE.set(*fuse);
        let done = catch_unwind(AssertUnwindSafe(|| match step {
            Step::Change(of, change) => copies[*of].change(change),
            Step::Clone(..) | Step::Crash => {
                let copy = copies[from].clone();
                copies[to] = copy;
            }
            Step::Commit | Step::CloneFrom(..) => {
                let (source, slot) = two(&mut copies, from, to);
                slot.clone_from(source);
            }
            Step::Swap(..) => copies.swap(from, to),
        }));
        FUSE.set(0);
        match (done, step) {
            // Whatever it is now, a copy of it has to be the same.
            (Err(_), _) => models[to] = copies[to].read(),
            (Ok(()), Step::Change(of, change)) => S::change_model(&mut models[*of], change),
            (Ok(()), Step::Swap(..)) => models.swap(from, to),
            (Ok(()), _) => {
                models[to] = copies[from].read();
                kept = if matches!(step, Step::Commit) { to } else { kept };
            }
        }
        for (copy, model) in copies.iter().zip(&models) {
            assert_eq!(copy.read(), *model, "after {step:?}");
        }
    }
}

fn two<T>(items: &mut [T], from: usize, to: usize) -> (&T, &mut T) {
    let (low, high) = items.split_at_mut(from.max(to));
    if from < to { (&low[from], &mut high[0]) } else { (&high[0], &mut low[to]) }
}
