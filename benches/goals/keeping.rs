//! W7: what it costs to keep a state.
//!
//! What is compared is the same code, for where code lies in memory may cost as much as keeping does: callbacks that change an
//! element with callbacks of the same server that read it; callbacks that leave a large state alone with callbacks that leave a
//! small one alone.

mod data;
mod holder;

use std::collections::HashMap;

use tokio::runtime::Runtime;
use undying::{ServerRef, ServerSpec};

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
    rows.changed::<u64>("u64", 1, 10_000, Some(10.0));
    for (size, name, changes) in
        [(1 << 10, "1 KiB", 10_000), (64 << 10, "64 KiB", 1_000), (1 << 20, "1 MiB", 50)]
    {
        rows.changed::<Vec<u8>>(name, size, changes, None);
        rows.unchanged::<Vec<u8>>(name, size);
    }
    // Each change copies all of it.
    let sizes = [(1_000, "1 k", 2_000), (100_000, "100 k", 20), (1_000_000, "1 M", 2)];
    for (size, name, changes) in sizes {
        let name = format!("HashMap of {name}");
        rows.changed::<HashMap<u64, u64>>(&name, size, changes, None);
        rows.unchanged::<HashMap<u64, u64>>(&name, size);
    }
    for (size, name, _) in sizes {
        let name = format!("imbl::HashMap of {name}");
        rows.changed::<imbl::HashMap<u64, u64>>(&name, size, 2_000, None);
        rows.unchanged::<imbl::HashMap<u64, u64>>(&name, size);
    }
}

struct Rows<'a> {
    runtime: Runtime,
    rounds: usize,
    table: &'a mut Table,
}

impl Rows<'_> {
    /// What a change of one element costs above a look at it; elements all over the state.
    fn changed<D: Data>(&mut self, name: &str, size: usize, changes: usize, bar: Option<f64>) {
        let server = self.server::<D>(size);
        let lanes = [
            self.lane(&server, |number| Touch::Change(scatter(number)), changes),
            self.lane(&server, |number| Touch::Read(scatter(number)), changes),
        ];
        let [changed, unchanged] = interleave(self.rounds, lanes);
        let (what, cost) = (format!("{name}, changed"), above(changed, unchanged));
        match bar {
            Some(bar) => self.table.at_most(&what, cost, bar),
            None => self.table.note(&what, cost),
        }
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
