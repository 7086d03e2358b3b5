//! Who takes part in which workload.

use tokio::runtime::Runtime;

use crate::{
    actix::Actix,
    harness::{Lane, interleave, interleave_all, median},
    kameo::{Kameo, SupervisedKameo},
    ractor::{Ractor, ReplacedRactor, SupervisedRactor},
    raw::{Raw, RawBounded},
    server::Server,
    subject::Flavour,
    workloads::{Workload, crashes_on},
    xtra::Xtra,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Raw,
    Undying,
    Kameo,
    SupervisedKameo,
    Ractor,
    SupervisedRactor,
    Xtra,
    Actix,
}

/// What an operation costs whom, in nanoseconds.
pub(crate) type Column = Vec<(Name, f64)>;

pub(crate) struct Contest<'a> {
    pub(crate) flavour: Flavour,
    pub(crate) runtime: &'a Runtime,
    pub(crate) rounds: usize,
}

impl Contest<'_> {
    /// Everybody, with unbounded mailboxes.
    pub(crate) fn of(&self, workload: Workload, count: usize) -> Column {
        let mut contestants = vec![
            (Name::Raw, workload.on::<Raw>(self.runtime, count)),
            (Name::Undying, workload.on::<Server>(self.runtime, count)),
            (Name::Kameo, workload.on::<Kameo>(self.runtime, count)),
            (Name::SupervisedKameo, workload.on::<SupervisedKameo>(self.runtime, count)),
            (Name::Ractor, workload.on::<Ractor>(self.runtime, count)),
            (Name::SupervisedRactor, workload.on::<SupervisedRactor>(self.runtime, count)),
            (Name::Xtra, workload.on::<Xtra>(self.runtime, count)),
        ];
        if let Flavour::CurrentThread = self.flavour {
            contestants.push((Name::Actix, workload.on::<Actix>(self.runtime, count)));
        }
        self.run(contestants)
    }

    /// All but ractor, whose mailboxes have no bound, with mailboxes of 1024.
    pub(crate) fn bounded(&self, workload: Workload, count: usize) -> Column {
        let mut contestants = vec![
            (Name::Raw, workload.on::<RawBounded>(self.runtime, count)),
            (Name::Undying, workload.on::<Server<1024>>(self.runtime, count)),
            (Name::Kameo, workload.on::<Kameo<1024>>(self.runtime, count)),
            (Name::SupervisedKameo, workload.on::<SupervisedKameo<1024>>(self.runtime, count)),
            (Name::Xtra, workload.on::<Xtra<1024>>(self.runtime, count)),
        ];
        if let Flavour::CurrentThread = self.flavour {
            contestants.push((Name::Actix, workload.on::<Actix<1024>>(self.runtime, count)));
        }
        self.run(contestants)
    }

    /// W6: those who are restarted after a panic.
    pub(crate) fn crashes(&self, count: usize) -> Column {
        let lanes = [
            crashes_on::<Server>(self.runtime, count),
            crashes_on::<SupervisedKameo>(self.runtime, count),
            crashes_on::<ReplacedRactor>(self.runtime, count),
        ];
        let names = [Name::Undying, Name::SupervisedKameo, Name::SupervisedRactor];
        names.into_iter().zip(interleave(self.rounds, lanes).map(median)).collect()
    }

    fn run(&self, contestants: Vec<(Name, Lane<'_>)>) -> Column {
        let (names, mut lanes): (Vec<_>, Vec<_>) = contestants.into_iter().unzip();
        let costs = interleave_all(self.rounds, &mut lanes).into_iter().map(median);
        names.into_iter().zip(costs).collect()
    }
}
