//! Each goal of the crate as a ratio with its bar, measured against the bare Tokio channel a user could write by hand.
//!
//! `cargo bench --bench goals` runs what is compared in turn (A B A B …) in one process and takes medians; only the ratios mean
//! anything on another machine. `-- --quick` runs a tenth, `-- --queued` has the worker's task serve all calls.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

mod effort;
mod harness;
mod keeping;
mod listening;
mod messages;
mod on_purpose;
mod peeking;
mod queued;
mod raw;
mod server;
mod subject;
mod table;
mod workloads;

use self::{effort::rounds, on_purpose::be_quiet_about_it, table::Table};

fn main() {
    be_quiet_about_it();
    let rounds = rounds();
    let mut table = Table::default();
    messages::run(rounds, &mut table);
    peeking::run(rounds, &mut table);
    keeping::run(rounds, &mut table);
    listening::run(rounds, &mut table);
    queued::run(rounds, &mut table);
    table.sum_up();
}
