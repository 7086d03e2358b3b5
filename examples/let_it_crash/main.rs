//! A ledger that crashes or is killed some two hundred times a second, and stays exact to the last coin.
//!
//! ```text
//! cargo run --example let_it_crash               the shipped sample
//! cargo run --example let_it_crash -- FILE       a file of yours
//! cargo run --example let_it_crash -- -          standard input
//! ```
//!
//! A line is `deposit WHO AMOUNT`, `withdraw WHO AMOUNT` or `transfer FROM TO AMOUNT`; what follows it is a remark,
//! empty lines and lines that begin with `#` are skipped. About one line in eight of the sample is bad on purpose:
//! not a transaction at all, not a number, an overdraft, an overflow. The ledger (`ledger.rs`) handles none of these
//! errors and crashes on each such line, often with the work half done. Meanwhile another task kills it from outside a
//! hundred times a second.
//!
//! What it teaches: the client needs no guesswork. Every answer of the ledger says exactly what happened to the line:
//!
//! * `Ok`: it is entered, for good;
//! * `Crashed` by a panic or an error: the line is bad and left no trace;
//! * `Crashed` by a kill: the line left no trace either, and is sent again. A kill between "entered" and "answered"
//!   is impossible, which makes this exact: a line is never lost, and never entered twice.
//!
//! The closing table is checked against a plain recomputation without servers (`recompute.rs`); the program fails if
//! anything differs. There is one client, because overdrafts depend on the order of the lines.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod client;
mod ledger;
mod recompute;
mod report;

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read},
    panic,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use undying::{ServerRef, ServerSpec};

use client::Client;
use ledger::{Book, Ledger};
use recompute::recompute;
use report::{Progress, Report};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/ledger.txt");

static KILLS: AtomicU64 = AtomicU64::new(0);
static HIDDEN_PANICS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(report) => {
            print!("\n{report}");
            if report.is_flawless() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("let_it_crash: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<Report, Box<dyn Error>> {
    let source = env::args().nth(1).unwrap_or_else(|| SAMPLE.to_owned());
    let lines = read_lines(&source).map_err(|error| format!("cannot read {source}: {error}"))?;
    hide_panics_of_the_ledger();

    let ledger = ServerSpec::new(Ledger, Book::default())
        // The budget is there to end a server that does nothing but crash. Here crashes are the plan: a hundred kills a
        // second, and one for each bad line, in a file of which every line may be bad. So it gets more restarts than a
        // machine can make in a second.
        .max_restarts(1_000_000, Duration::from_secs(1))
        .start()
        .await?;

    let began = Instant::now();
    let killer = tokio::spawn(kill_again_and_again(ledger.clone()));
    let mut client = Client::new(ledger.clone());
    let mut progress = Progress::new(lines.len());
    for line in &lines {
        client.enter(line).await?;
        progress.show(&client.tally, KILLS.load(Relaxed));
    }
    killer.abort();
    // An aborted task may still be at work; only its end makes the number of kills final.
    killer.await.ok();
    let took = began.elapsed();

    let exit = ledger.stop().await?;
    let expected = recompute(&lines);
    client.compare(exit.state.entries);
    Ok(Report {
        kills: KILLS.load(Relaxed),
        restarts: ledger.incarnation() - 1,
        hidden_panics: HIDDEN_PANICS.load(Relaxed),
        took,
        balances_agree: exit.state.balances == expected.balances,
        // Every entry is one commit, and nothing else is: so the version of the state counts the entries, too.
        entries_agree: [client.tally.applied, exit.state.entries, exit.state.version()]
            == [expected.entries; 3],
        tally: client.tally,
    })
}

async fn kill_again_and_again(ledger: ServerRef<Ledger>) {
    let mut every = interval(Duration::from_millis(10));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        every.tick().await;
        ledger.kill_worker();
        KILLS.fetch_add(1, Relaxed);
    }
}

/// Counts the panics of the ledger instead of printing them. There are hundreds, all wanted, and the client gets each
/// message in its answer anyway. Any other panic is a bug, and shown.
fn hide_panics_of_the_ledger() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|location| location.file());
        if place == Some(ledger::FILE) {
            HIDDEN_PANICS.fetch_add(1, Relaxed);
        } else {
            default(info);
        }
    }));
}

/// The lines that are neither empty nor comments, as bytes: whether they are text at all is for the ledger to find out.
fn read_lines(source: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut content = Vec::new();
    match source {
        "-" => io::stdin().read_to_end(&mut content)?,
        path => fs::File::open(path)?.read_to_end(&mut content)?,
    };
    let lines = content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(<[u8]>::to_vec).collect())
}
