//! W7: what it costs to keep a state, above the same callbacks on the same data in `self`, which is not kept.

mod data;
mod holders;

use std::{collections::HashMap, time::Duration};

use tokio::runtime::Runtime;
use undying::{GenServer, ServerRef, ServerSpec};

use self::{
    data::Data,
    holders::{InSelf, InState, Touch, touches},
};
use crate::{
    harness::{Lane, interleave},
    subject::Flavour,
    table::Table,
};

pub(crate) fn run(rounds: usize, table: &mut Table) {
    let mut row = Rows { runtime: Flavour::CurrentThread.runtime(), rounds, table };
    row.table.head("keeping a state, above the bare callback", "");
    row.of::<u64>("u64", 0, 10_000, Some(10.0));
    row.of::<Vec<u8>>("1 KiB", 1 << 10, 10_000, None);
    row.of::<Vec<u8>>("64 KiB", 64 << 10, 1_000, None);
    row.of::<Vec<u8>>("1 MiB", 1 << 20, 50, None);
    for (size, name, changes) in SIZES {
        row.of::<HashMap<u64, u64>>(&format!("HashMap of {name}"), size, changes, None);
    }
    for (size, name, _) in SIZES {
        row.of::<imbl::HashMap<u64, u64>>(&format!("imbl::HashMap of {name}"), size, 2_000, None);
    }
}

/// Entries, and how many changes of a `HashMap` of so many make a round: each copies all of it.
const SIZES: [(usize, &str, usize); 3] =
    [(1_000, "1 k", 2_000), (100_000, "100 k", 20), (1_000_000, "1 M", 2)];

struct Rows<'a> {
    runtime: Runtime,
    rounds: usize,
    table: &'a mut Table,
}

impl Rows<'_> {
    /// Measures `changes` changes, and reads, of a state of type `D`.
    fn of<D: Data>(&mut self, name: &str, size: usize, changes: usize, bar: Option<f64>) {
        let kept = ServerSpec::from_fn(InState::<D>::default, D::build(size));
        let kept = self.runtime.block_on(kept.start()).expect("it starts");
        let bare = ServerSpec::from_fn(move || InSelf(D::build(size)), ());
        let bare = self.runtime.block_on(bare.start()).expect("it starts");

        let lanes = [self.lane(&kept, Touch::Change, changes), self.lane(&bare, Touch::Change, changes)];
        let [changed, floor] = interleave(self.rounds, lanes);
        let (what, changed) = (format!("{name}, changed"), changed.above(&floor));
        match bar {
            Some(bar) => self.table.at_most(&what, changed, bar),
            None => self.table.note(&what, changed),
        }

        let reads = 10_000;
        let lanes = [self.lane(&kept, Touch::Read, reads), self.lane(&bare, Touch::Read, reads)];
        let [unchanged, floor] = interleave(self.rounds, lanes);
        self.table.at_most(&format!("{name}, unchanged"), unchanged.above(&floor), 2.0);
    }

    fn lane<S>(&self, server: &ServerRef<S>, touch: fn(u64) -> Touch, count: usize) -> Lane<'_>
    where
        S: GenServer<Call = undying::Reply<()>, Cast = Touch>,
    {
        let server = server.clone();
        Lane::new(count, move || {
            let touches = touches(server.clone(), touch, count);
            let took: Duration =
                self.runtime.block_on(async { tokio::spawn(touches).await.expect("it ends") });
            took
        })
    }
}
