//! Two kinds of state for which other systems have an API of their own, and which need none here: a dictionary by type
//! (Erlang's process dictionary) and a table with references into it (a kept ETS table). They are parts of the state
//! like any other, so they come back together with it.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
};

use undying::{Crash, Next, Outcome};

use crate::{
    crash::script::{Job, Script, ask, get, job, serves, slow, soon, start, stop, tell},
    support::{Gate, inject},
};

/// A dictionary with one value of each type.
#[derive(Default)]
struct Extras(HashMap<TypeId, Box<dyn Extra>>);

/// A value of the dictionary: anything that can be cloned.
trait Extra: Any + Send + Sync {
    fn copy(&self) -> Box<dyn Extra>;
    fn any(&self) -> &dyn Any;
    fn any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Clone + Send + Sync + 'static> Extra for T {
    fn copy(&self) -> Box<dyn Extra> {
        Box::new(self.clone())
    }

    fn any(&self) -> &dyn Any {
        self
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Clone for Extras {
    fn clone(&self) -> Self {
        // Through the box: a box of an `Extra` must not be taken for one itself.
        Self(self.0.iter().map(|(key, value)| (*key, (**value).copy())).collect())
    }
}

impl Extras {
    fn put<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>()).and_then(|value| (**value).any().downcast_ref())
    }

    fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.get_mut(&TypeId::of::<T>()).and_then(|value| (**value).any_mut().downcast_mut())
    }

    fn remove<T: 'static>(&mut self) {
        self.0.remove(&TypeId::of::<T>());
    }
}

#[derive(Clone, Debug, PartialEq)]
struct User(String);

#[derive(Clone, Debug, PartialEq)]
struct Attempts(u32);

/// A key of any type and what is under it.
type Hits = HashMap<(&'static str, Option<char>), u64>;

/// A value that only the tests of what is not kept put.
#[derive(Clone, Debug, PartialEq)]
struct Unkept;

/// Changes, removes and adds values.
fn meddle(extras: &mut Extras) {
    extras.put(Unkept);
    extras.put(User("nobody".into()));
    extras.get_mut::<Attempts>().expect("put before").0 += 100;
    extras.remove::<Hits>();
}

/// Puts `value` into the dictionary.
fn put<T: Clone + Send + Sync + 'static>(value: T) -> Job<Extras> {
    job(move |extras: &mut Extras| {
        extras.put(value);
        Ok(Next::Wait)
    })
}

both! {
    /// SV8: of a dictionary by type the values of successful callbacks are back after a crash, and what the crashing
    /// callback put, changed and removed is not.
    async fn a_dictionary_by_type_is_rolled_back_with_the_state() {
        let server = start(Extras::default()).await;
        let hits = Hits::from([(("front", None), 1), (("back", Some('b')), 2)]);
        tell(&server, put(User("ada".into()))).await;
        server.send(put(hits.clone())).await.expect("a server");
        ask(&server, |reply| job(move |extras: &mut Extras| {
            extras.put(Attempts(1));
            reply.send(());
            Ok(Next::Wait)
        }))
        .await;

        let gate = Gate::new();
        let at = gate.clone();
        tell(&server, job(|extras: &mut Extras| {
            meddle(extras);
            inject()
        }))
        .await;
        tell(&server, job(|extras: &mut Extras| {
            meddle(extras);
            Err(Crash::msg("test: half done"))
        }))
        .await;
        serves(&server, 3).await;
        tell(&server, slow(move |mut extras: undying::StateMut<'_, Script<Extras>>, _| Box::pin(async move {
            meddle(&mut extras);
            at.pass().await;
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        server.kill_worker();
        serves(&server, 4).await;

        // In the working copy of the next incarnation, and in what is kept.
        let seen = ask(&server, |reply| job(move |extras: &mut Extras| {
            extras.get_mut::<Attempts>().expect("put before").0 += 1;
            reply.send(extras.clone());
            Ok(Next::Wait)
        }))
        .await;
        for extras in [&seen, &*stop(&server).await.state] {
            assert_eq!(extras.get::<User>(), Some(&User("ada".into())));
            assert_eq!(extras.get::<Attempts>(), Some(&Attempts(2)));
            assert_eq!(extras.get::<Hits>(), Some(&hits));
            assert_eq!(extras.get::<Unkept>(), None);
        }
    }
}

/// A table of rows, and references into it by place: they mean something only as long as both are of the same moment.
#[derive(Clone, Default)]
struct Ledger {
    rows: Vec<Option<Row>>,
    free: Vec<usize>,
    by_name: HashMap<u8, usize>,
    richest: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: u8,
    amount: u64,
}

impl Ledger {
    /// Books `amount` for `name`. `crash` says after which of the steps it crashes; the table is torn in between.
    fn book(&mut self, name: u8, amount: u64, crash: usize) -> Outcome<Script<Self>> {
        let step = |n: usize| {
            if n == crash {
                inject()
            }
        };
        step(1);
        let place = match self.by_name.get(&name) {
            Some(&place) => place,
            None => self.free.pop().unwrap_or_else(|| {
                self.rows.push(None);
                self.rows.len() - 1
            }),
        };
        step(2);
        let row = self.rows[place].get_or_insert(Row { name, amount: 0 });
        row.amount += amount;
        step(3);
        self.by_name.insert(name, place);
        step(4);
        self.crown();
        step(5);
        Ok(Next::Wait)
    }

    /// Takes `name` out. `crash` as above.
    fn strike(&mut self, name: u8, crash: usize) -> Outcome<Script<Self>> {
        let step = |n: usize| {
            if n == crash {
                inject()
            }
        };
        let Some(&place) = self.by_name.get(&name) else { return Ok(Next::Wait) };
        step(1);
        self.rows[place] = None;
        step(2);
        self.free.push(place);
        step(3);
        self.by_name.remove(&name);
        step(4);
        self.crown();
        step(5);
        Ok(Next::Wait)
    }

    fn crown(&mut self) {
        let rows = self.rows.iter().enumerate();
        let rows = rows.filter_map(|(place, row)| row.as_ref().map(|row| (row.amount, place)));
        self.richest = rows.max().map(|(_, place)| place);
    }

    /// Panics unless every reference leads to the row it was made for, and no row is without one.
    fn check(&self) {
        for (name, &place) in &self.by_name {
            assert_eq!(self.rows[place].as_ref().map(|row| row.name), Some(*name));
        }
        let (taken, free): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.is_some());
        assert_eq!((taken.len(), free.len()), (self.by_name.len(), self.free.len()));
        assert!(self.free.iter().all(|&place| self.rows[place].is_none()));
        let most = taken.iter().flat_map(|row| row.as_ref()).map(|row| row.amount).max();
        let richest = self.richest.map(|place| self.rows[place].as_ref().expect("a row").amount);
        assert_eq!(richest, most);
    }

    fn amounts(&self) -> HashMap<u8, u64> {
        self.by_name
            .iter()
            .map(|(name, &place)| (*name, self.rows[place].as_ref().expect("a row").amount))
            .collect()
    }
}

both! {
    /// SV10: a table that is kept by copy is rolled back together with the references into it, wherever the callback
    /// that changes both crashes: each still leads to its row.
    async fn a_table_and_the_references_into_it_are_rolled_back_together() {
        const STEPS: usize = 300;

        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let server = start(Ledger::default()).await;
        let mut model = HashMap::<u8, u64>::new();
        let mut crashes = 0;
        for _ in 0..STEPS {
            let (name, amount, crash) = (random.u8(..12), random.u64(1..100), random.usize(1..12));
            let books = random.u8(..3) > 0;
            // A strike of what is not there does nothing, and does not crash either.
            let crashes_now = crash <= 5 && (books || model.contains_key(&name));
            let act = move |ledger: &mut Ledger| match books {
                true => ledger.book(name, amount, crash),
                false => ledger.strike(name, crash),
            };
            tell(&server, job(act)).await;
            if crashes_now {
                crashes += 1;
                serves(&server, crashes + 1).await;
            } else if books {
                *model.entry(name).or_default() += amount;
            } else {
                model.remove(&name);
            }
            let ledger = ask(&server, get).await;
            ledger.check();
            server.peek().check();
            assert_eq!(ledger.amounts(), model);
        }
        assert!(crashes > 0, "nothing was rolled back");
        let exit = stop(&server).await;
        exit.state.check();
        assert_eq!(exit.state.amounts(), model);
    }
}
