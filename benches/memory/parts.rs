//! What the heap of one server is made of: each allocation that stays, by the type or function of the crate that it is for.

use std::collections::BTreeMap;

use crate::{counter, heap::Traces, runtime};

const SERVERS: usize = 100;

pub(crate) fn print(traces: &Traces) {
    let runtime = runtime();
    let servers = runtime.block_on(async {
        // What is allocated once, for all of them, is not a part of any.
        let mut servers = vec![counter::start().await];
        servers.reserve(SERVERS);
        counter::call(&servers[0]).await;
        traces.begin();
        for _ in 0..SERVERS {
            let server = counter::start().await;
            counter::call(&server).await;
            servers.push(server);
        }
        servers
    });
    let mut parts = BTreeMap::<_, usize>::new();
    for (size, trace) in traces.end() {
        *parts.entry((maker(&trace), size)).or_default() += 1;
    }
    drop(servers);

    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|&((_, size), count)| std::cmp::Reverse(size * count));
    println!("\nof which, after a call, by the type or function that it is for");
    for ((maker, size), count) in parts {
        let (each, count) = (size * count / SERVERS, count as f64 / SERVERS as f64);
        println!("{each:>6} bytes = {count:>5.2} × {size:>5}   {maker}");
    }
}

/// The innermost function on the way to an allocation whose name, or type, is one of the crate.
fn maker(trace: &str) -> String {
    let functions = trace.lines().filter_map(|line| line.trim().split_once(": "));
    for (_, function) in functions {
        if let Some(at) = function.find("undying::") {
            let path = &function[at..];
            let end = path.find(|c: char| !c.is_alphanumeric() && !"_:{}#".contains(c)).unwrap_or(path.len());
            let kind = if function.contains("task::core::Cell<") { "the task of " } else { "" };
            return format!("{kind}{}", &path[..end]);
        }
    }
    "outside the crate".into()
}
