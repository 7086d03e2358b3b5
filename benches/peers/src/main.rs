//! W1 to W6 for undying, a bare Tokio channel, kameo, ractor, actix and xtra, each used as its own documentation has it, side by
//! side: all that do a workload do it in turn (A B C A B C …) in one process, and what counts is the median.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml` prints the table, and the goals against the peers; with
//! `-- --quick` after a tenth of the rounds, with `-- --queued` with undying's calls all served by the worker's task.

mod actix;
mod contest;
#[path = "../../goals/effort.rs"]
mod effort;
#[path = "../../goals/harness.rs"]
mod harness;
mod kameo;
#[path = "../../goals/on_purpose.rs"]
mod on_purpose;
mod ractor;
#[path = "../../goals/raw.rs"]
mod raw;
#[path = "../../goals/server.rs"]
mod server;
#[path = "../../goals/subject.rs"]
mod subject;
mod table;
#[path = "../../goals/workloads.rs"]
mod workloads;
mod xtra;

use self::{
    contest::Contest, effort::rounds, on_purpose::be_quiet_about_it, subject::Flavour, table::Table,
    workloads::Workload,
};

fn main() {
    be_quiet_about_it();
    for flavour in Flavour::BOTH {
        let runtime = flavour.runtime();
        let contest = Contest { flavour, runtime: &runtime, rounds: rounds() };
        let mut table = Table::default();
        table.add("W1", contest.of(Workload::Calls(1), 2_000));
        if let Flavour::MultiThread = flavour {
            table.add("W1t", contest.of(Workload::CallsFromAThread, 500));
        }
        table.add("W2", contest.of(Workload::Calls(64), 10_000));
        table.add("W3", contest.of(Workload::Casts(1), 10_000));
        table.add("W4", contest.of(Workload::Casts(8), 10_000));
        table.add("W4b", contest.bounded(Workload::Casts(8), 10_000));
        table.add("W5", contest.of(Workload::Lives, 300));
        table.add("W6", contest.crashes(300));
        table.print(flavour);
    }
}
