//! What a message costs, from one queued message to a million.

use std::time::Instant;

use tokio::runtime::Runtime;

use crate::{
    harness::{Lane, interleave, median},
    raw::Raw,
    server::Server,
    subject::{Flavour, Subject},
    table::Table,
};

pub(crate) fn run(rounds: usize, table: &mut Table) {
    let runtime = Flavour::CurrentThread.runtime();
    table.head("a message among so many that are queued", "channel");
    let mut costs = Vec::new();
    for depth in [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let times = 20_000_usize.div_ceil(depth);
        let lanes = [
            flood::<Server>(&runtime, depth, times),
            flood::<Server>(&runtime, 0, times),
            flood::<Raw>(&runtime, depth, times),
            flood::<Raw>(&runtime, 0, times),
        ];
        let [ours, our_call, raw, raw_call] = interleave(rounds.min(11), lanes).map(median);
        // The call that waits for the last of them is not one of them.
        let (ours, raw) = (ours - our_call / depth as f64, raw - raw_call / depth as f64);
        table.note_ratio(&format!("{depth} queued, CT"), ours, raw);
        costs.push(ours);
    }
    table.flat("a message, of all these", &costs);
}

/// Queues `depth` casts while the server cannot run, then waits for the last of them; `times` over.
fn flood<S: Subject>(runtime: &Runtime, depth: usize, times: usize) -> Lane<'_> {
    Lane::new(depth.max(1) * times, move || {
        let casts = async move {
            let subject = S::start().await;
            let began = Instant::now();
            for _ in 0..times {
                for _ in 0..depth {
                    subject.cast(1).await;
                }
                subject.add(0).await;
            }
            let took = began.elapsed();
            assert_eq!(subject.add(0).await as usize, depth * times);
            subject.stop().await;
            took
        };
        S::host(runtime, casts)
    })
}
