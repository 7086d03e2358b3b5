//! What an idle logical server takes of the heap, with its three tasks, beside a bare task on a channel; and what each part of it
//! takes.
//!
//! `cargo bench --bench memory` counts the bytes that are asked of the allocator, of 1,000, 100,000 and 1,000,000 servers;
//! `-- --quick` of 1,000 and 10,000.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]

mod counter;
mod heap;
mod parts;
mod raw;

use tokio::runtime::{Builder, Runtime};

/// The goal, in bytes a server.
const BAR: usize = 1_600;

fn main() {
    let traces = heap::watch();
    let quick = std::env::args().any(|arg| arg == "--quick");
    let sizes: &[usize] = if quick { &[1_000, 10_000] } else { &[1_000, 100_000, 1_000_000] };

    println!(
        "{:<26} {:>11} {:>11} {:>13} {:>9}",
        "bytes of each", "started", "served", "bare channel", "bar"
    );
    for &size in sizes {
        let [started, served] = servers(size);
        let raw = bare_channels(size);
        let verdict = if served <= BAR { "held" } else { "NOT held" };
        println!(
            "{:<26} {started:>11} {served:>11} {raw:>13} {BAR:>9}  {verdict}",
            format!("{size} idle servers")
        );
    }
    parts::print(&traces);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What each takes that has started, and that has then served a call.
fn servers(size: usize) -> [usize; 2] {
    runtime().block_on(async {
        let mut servers = Vec::with_capacity(size);
        let before = heap::live();
        for _ in 0..size {
            servers.push(counter::start().await);
        }
        let started = heap::live() - before;
        for server in &servers {
            assert_eq!(counter::call(server).await, 1);
        }
        let served = heap::live() - before;
        [started / size, served / size]
    })
}

fn bare_channels(size: usize) -> usize {
    runtime().block_on(async {
        let mut channels = Vec::with_capacity(size);
        let before = heap::live();
        for _ in 0..size {
            channels.push(raw::start());
        }
        for channel in &channels {
            assert_eq!(raw::call(channel).await, 1);
        }
        (heap::live() - before) / size
    })
}
