//! What a listener costs the server it listens to.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use undying::{Event, ServerSpec};

use crate::{
    harness::{Lane, interleave, median},
    server::{Call, Counter},
    subject::Flavour,
    table::Table,
};

pub(crate) fn run(rounds: usize, table: &mut Table) {
    table.head("with a listener that is told of each change", "none");
    for flavour in Flavour::BOTH {
        let runtime = flavour.runtime();
        let casts = 20_000;
        let lanes = [lane(&runtime, listened_to, casts), lane(&runtime, plain, casts)];
        let [listened_to, plain] = interleave(rounds, lanes).map(median);
        table.ratio(&format!("W3 cast, 1 producer, {}", flavour.name()), listened_to, plain, 1.3);
    }
}

fn plain() -> ServerSpec<Counter> {
    ServerSpec::new(Counter, 0)
}

fn listened_to() -> ServerSpec<Counter> {
    plain().listener(|event: Event<'_, Counter>| {
        black_box(event);
    })
}

fn lane(runtime: &Runtime, spec: fn() -> ServerSpec<Counter>, count: usize) -> Lane<'_> {
    Lane::new(count, move || {
        let casts = async move {
            let server = spec().start().await.expect("it starts");
            let began = Instant::now();
            for _ in 0..count {
                server.cast(1).await.expect("it runs");
            }
            let sum = server.call(|reply| Call::Add(0, reply)).await.expect("an answer");
            let took = began.elapsed();
            assert_eq!(sum as usize, count);
            server.stop().await.expect("it stops");
            took
        };
        let took: Duration = runtime.block_on(async { tokio::spawn(casts).await.expect("it ends") });
        took
    })
}
