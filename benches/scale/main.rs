//! Whether a server, a message, a name and a child cost the same when there are a thousand of them and when there are a million.
//!
//! `cargo bench --bench scale` prints what each costs, at each size, and whether that is flat: the dearest at most twice the
//! cheapest. It draws the curves into `target/tmp/scale.svg`. `-- --quick` ends at 10,000.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

mod counter;
mod curve;
mod plot;
#[path = "../memory/raw.rs"]
mod raw;
mod workloads;

use self::{curve::Curve, workloads as w};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let up_to = |full: usize| if quick { 10_000 } else { full };
    let curves = [
        Curve::measure("a server starts", up_to(100_000), w::starts),
        Curve::measure("a server is called", up_to(100_000), w::calls),
        Curve::measure("a server that crashed with all others serves again", up_to(1_000_000), w::crashes),
        Curve::measure("a queued message", up_to(1_000_000), w::queued),
        Curve::measure("a name is registered and looked up", up_to(100_000), w::names),
        Curve::measure("a child of one supervisor starts", up_to(100_000), w::children),
        Curve::measure("a child that was killed with all others is restarted", up_to(100_000), w::restarts),
    ];
    let flat = curves.iter().filter(|curve| curve.is_flat()).count();
    println!("\n{flat} of {} are flat", curves.len());

    let bare =
        Curve::measure("for comparison: a bare task on a channel is called", up_to(100_000), w::bare_calls);
    println!("\nthe curves are in {}", plot::draw(&[&curves[..], &[bare]].concat()));
}
