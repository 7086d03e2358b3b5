//! What another message costs, where so many are queued.

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
    table.head("another message where so many are queued", "channel");
    let mut costs = Vec::new();
    for depth in [2, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let times = 20_000_usize.div_ceil(depth);
        let lanes = [
            flood::<Server>(&runtime, depth, times),
            flood::<Server>(&runtime, 1, times),
            flood::<Raw>(&runtime, depth, times),
            flood::<Raw>(&runtime, 1, times),
        ];
        let [ours, our_first, raw, raw_first] = interleave(rounds.min(11), lanes).map(median);
        // The first one pays for the wake-up, and the call that waits for the last is not one of them.
        let others = (depth - 1) as f64;
        let (ours, raw) = ((ours - our_first) / others, (raw - raw_first) / others);
        table.note_ratio(&format!("{depth} queued, CT"), ours, raw);
        costs.push(ours);
    }
    table.flat("a message, of all these", &costs);
}

/// Queues `depth` casts while the server cannot run, then waits for the last of them; `times` over.
fn flood<S: Subject>(runtime: &Runtime, depth: usize, times: usize) -> Lane<'_> {
    Lane::new(times, move || {
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
