//! W7: what it costs to keep a state.
//!
//! What is compared is the same code, for where code lies in memory may cost as much as keeping does: callbacks that change an
//! element with callbacks of the same server that read it; callbacks that leave a large state alone with callbacks that leave a
//! small one alone.

mod data;
mod holder;

use std::collections::HashMap;

use tokio::runtime::Runtime;
use undying::{ServerRef, ServerSpec, collections::KeptMap};

use self::{
    data::Data,
    holder::{Holder, Touch, cast},
};
use crate::{
    harness::{Lane, interleave, median},
    subject::Flavour,
    table::Table,
};

pub(crate) fn run(rounds: usize, table: &mut Table) {
    let mut rows = Rows { runtime: Flavour::CurrentThread.runtime(), rounds, table };
    rows.table.head("keeping a state", "");
    let cost = rows.change::<u64>(1, 10_000);
    rows.table.at_most("u64, changed", cost, 10.0);
    for (size, name, changes) in
        [(1 << 10, "1 KiB", 10_000), (64 << 10, "64 KiB", 1_000), (1 << 20, "1 MiB", 50)]
    {
        rows.of::<Vec<u8>>(name, size, changes);
    }
    // Of a `HashMap` each change copies all.
    let sizes = [(10, "10", 10_000), (1_000, "1 k", 2_000), (100_000, "100 k", 20), (1_000_000, "1 M", 2)];
    let copied = sizes.map(|(size, name, changes)| {
        rows.of::<HashMap<u64, u64>>(&format!("HashMap of {name}"), size, changes)
    });
    for (size, name, _) in sizes {
        rows.of::<imbl::HashMap<u64, u64>>(&format!("imbl::HashMap of {name}"), size, 2_000);
    }
    let kept = sizes
        .map(|(size, name, _)| rows.of::<KeptMap<u64, u64>>(&format!("KeptMap of {name}"), size, 10_000));

    rows.table.head("a change of a KeptMap", "");
    rows.table.at_most("of 1 M", kept[3], 300.0);
    rows.table.ratio("of 1 M against of 1 k", kept[3], kept[1], 2.0);
    for ((_, name, _), (kept, copied)) in sizes.into_iter().zip(kept.into_iter().zip(copied)) {
        rows.table.ratio(&format!("of {name} against a HashMap's"), kept, copied, 1.0);
    }
}

struct Rows<'a> {
    runtime: Runtime,
    rounds: usize,
    table: &'a mut Table,
}

impl Rows<'_> {
    /// Prints a state's rows, and gives what a change costs.
    fn of<D: Data>(&mut self, name: &str, size: usize, changes: usize) -> f64 {
        let cost = self.change::<D>(size, changes);
        self.table.note(&format!("{name}, changed"), cost);
        self.unchanged::<D>(name, size);
        cost
    }

    /// What a change of one element costs above a look at it; elements all over the state.
    fn change<D: Data>(&self, size: usize, count: usize) -> f64 {
        let server = self.server::<D>(size);
        let lanes = [
            self.lane(&server, |number| Touch::Change(scatter(number)), count),
            self.lane(&server, |number| Touch::Read(scatter(number)), count),
        ];
        let [changed, unchanged] = interleave(self.rounds, lanes);
        above(changed, unchanged)
    }

    /// What a callback that changes nothing costs above the same callback where the state is small.
    fn unchanged<D: Data>(&mut self, name: &str, size: usize) {
        let (large, small) = (self.server::<D>(size), self.server::<D>(1));
        let glances = |server| self.lane(server, |_| Touch::Glance, 2_500);
        let lanes = [glances(&large), glances(&small)];
        let [large, small] = interleave(4 * self.rounds, lanes);
        self.table.at_most(&format!("{name}, unchanged"), above(large, small), 2.0);
    }

    fn server<D: Data>(&self, size: usize) -> ServerRef<Holder<D>> {
        let spec = ServerSpec::from_fn(Holder::default, D::build(size));
        self.runtime.block_on(spec.start()).expect("it starts")
    }

    fn lane<D: Data>(
        &self,
        server: &ServerRef<Holder<D>>,
        touch: fn(u64) -> Touch,
        count: usize,
    ) -> Lane<'_> {
        let server = server.clone();
        Lane::new(count, move || {
            let casts = cast(server.clone(), touch, count);
            self.runtime.block_on(async { tokio::spawn(casts).await.expect("it ends") })
        })
    }
}

/// What a round of the one costs above the round of the other that was run with it.
fn above(one: Vec<f64>, other: Vec<f64>) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| one - other).collect())
}

/// Neighbours in time are not neighbours in the state.
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}
