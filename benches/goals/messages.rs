//! W1 to W6 against the bare channel.

use tokio::runtime::Runtime;

use crate::{
    harness::{interleave, median},
    raw::{Raw, RawBounded},
    server::{DISPATCH, Server},
    subject::{Flavour, Subject},
    table::Table,
    workloads::{Workload, crashes_on},
};

pub(crate) fn run(rounds: usize, table: &mut Table) {
    table.head(&format!("a server, its state kept, {:?}", *DISPATCH), "channel");
    for flavour in Flavour::BOTH {
        let runtime = flavour.runtime();
        let mut row = |what: &str, bar, [ours, floor]: [f64; 2]| {
            table.ratio(&format!("{what}, {}", flavour.name()), ours, floor, bar);
        };
        let compare_to_raw = |workload, count| compare::<Server, Raw>(rounds, &runtime, workload, count);
        row("W1 call, 1 client", 0.6, compare_to_raw(Workload::Calls(1), 5_000));
        if let Flavour::MultiThread = flavour {
            row("W1t call from a plain thread", 0.1, compare_to_raw(Workload::CallsFromAThread, 1_000));
        }
        row("W2 call, 64 clients", 0.95, compare_to_raw(Workload::Calls(64), 20_000));
        row("W3 cast, 1 producer", 0.6, compare_to_raw(Workload::Casts(1), 20_000));
        row("W4 cast, 8 producers", 0.6, compare_to_raw(Workload::Casts(8), 20_000));
        row(
            "W4b cast, 8 producers, bounded 1024",
            0.5,
            compare::<Server<1024>, RawBounded>(rounds, &runtime, Workload::Casts(8), 20_000),
        );
        row("W5 start + call + stop", 2.2, compare_to_raw(Workload::Lives, 500));
        let [crash] = interleave(rounds, [crashes_on::<Server>(&runtime, 500)]);
        table.at_most(&format!("W6 panic to the next answer, {}", flavour.name()), median(crash), 2_500.0);
    }
}

fn compare<A: Subject, B: Subject>(
    rounds: usize,
    runtime: &Runtime,
    workload: Workload,
    count: usize,
) -> [f64; 2] {
    let lanes = [workload.on::<A>(runtime, count), workload.on::<B>(runtime, count)];
    interleave(rounds, lanes).map(median)
}
