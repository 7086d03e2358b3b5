//! Random graphs of calls: without a cycle nobody is ever refused, however many calls there are at a time; with one,
//! the call that closes it is refused at once.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};
use undying::{CallError, Next, Reply};

use super::{Server, labels};
use crate::{
    crash::script::{Job, ask, slow, soon, start},
    support::quiet,
};

/// Servers, and which of them each one calls when it is visited.
struct Graph {
    servers: Vec<Server>,
    edges: Vec<Vec<usize>>,
    /// Whether a server makes its calls all at once, or one after the other.
    at_once: bool,
}

impl Graph {
    async fn new(edges: Vec<Vec<usize>>, at_once: bool) -> Arc<Self> {
        let mut servers = Vec::new();
        for _ in &edges {
            servers.push(start(0).await);
        }
        Arc::new(Self { servers, edges, at_once })
    }
}

/// Between three and eight places, with up to three ways out of each, all of them upwards.
fn acyclic(random: &mut fastrand::Rng) -> Vec<Vec<usize>> {
    let places = random.usize(3..=8);
    let out = |from: usize, random: &mut fastrand::Rng| {
        let ways = random.usize(0..=3);
        random.choose_multiple(from + 1..places, ways)
    };
    (0..places).map(|from| out(from, random)).collect()
}

/// Between two and six places, with up to two ways out of each, and a cycle through the one that
/// comes with them.
fn cyclic(random: &mut fastrand::Rng) -> (Vec<Vec<usize>>, usize) {
    let places = random.usize(2..=6);
    let out = |from: usize, random: &mut fastrand::Rng| {
        let ways = random.usize(0..=2);
        random.choose_multiple((0..places).filter(|to| *to != from), ways)
    };
    let mut edges: Vec<_> = (0..places).map(|from| out(from, random)).collect();
    let mut ring: Vec<_> = (0..places).collect();
    random.shuffle(&mut ring);
    ring.truncate(random.usize(2..=places));
    for (n, &from) in ring.iter().enumerate() {
        let to = ring[(n + 1) % ring.len()];
        if !edges[from].contains(&to) {
            edges[from].push(to);
        }
    }
    (edges, ring[0])
}

/// How many servers a visit comes to, each as often as there are ways to it.
fn ways(edges: &[Vec<usize>], from: usize) -> u64 {
    1 + edges[from].iter().map(|&to| ways(edges, to)).sum::<u64>()
}

/// Calls every server that this one has an edge to, which do the same, and answers with the number of calls below.
fn visit(graph: &Arc<Graph>, at: usize, reply: Reply<Result<u64, CallError>>) -> Job<u64> {
    let graph = graph.clone();
    slow(move |mut visits, _| {
        Box::pin(async move {
            *visits += 1;
            let call = async |to: usize| {
                if to % 2 == 0 {
                    yield_now().await;
                }
                let call = graph.servers[to].call(|reply| visit(&graph, to, reply)).no_timeout();
                call.await.and_then(|answer| answer)
            };
            let answers = if graph.at_once {
                join_all(graph.edges[at].iter().map(|&to| call(to))).await
            } else {
                let mut answers = Vec::new();
                for &to in &graph.edges[at] {
                    answers.push(call(to).await);
                }
                answers
            };
            reply.send(answers.into_iter().sum::<Result<u64, _>>().map(|below| below + 1));
            Ok(Next::Wait)
        })
    })
}

/// Has so many walks at a time go through each of so many graphs without cycles: each comes to every server that it can come
/// to, over every way. Gives the number of calls.
async fn walk_acyclic_graphs(graphs: usize, walks_each: usize) -> u64 {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut calls = 0;
    for _ in 0..graphs {
        let graph = Graph::new(acyclic(&mut random), random.bool()).await;
        let mut walks = JoinSet::new();
        let mut expected = 0;
        for _ in 0..walks_each {
            let root = random.usize(..graph.edges.len());
            let (graph, ways) = (graph.clone(), ways(&graph.edges, root));
            expected += ways;
            walks.spawn(async move {
                let walk = graph.servers[root].call(|reply| visit(&graph, root, reply)).no_timeout();
                (walk.await.and_then(|answer| answer), ways)
            });
        }
        for walk in soon(walks.join_all()).await {
            assert!(matches!(walk, (Ok(came), ways) if came == ways), "{walk:?} in {:?}", graph.edges);
        }
        let visits: u64 = graph.servers.iter().map(|server| *server.peek()).sum();
        assert_eq!(visits, expected, "{:?}", graph.edges);
        calls += expected;
        graph.servers.iter().for_each(Server::kill);
    }
    calls
}

both! {
    /// No call of a graph without cycles is refused, however many walks through it there are at a time.
    async fn without_a_cycle_no_call_is_refused() {
        let calls = walk_acyclic_graphs(400, 32).await;
        assert!(calls > 15_000, "the walks met only {calls} servers");
    }
}

/// The same at length: `cargo test --test it -- --ignored --nocapture in_a_million`.
#[ignore = "takes more than a quarter of an hour without optimization"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_million_graphs_without_a_cycle_no_call_is_refused() {
    quiet();
    let calls = walk_acyclic_graphs(1_000_000, 8).await;
    eprintln!("{calls} calls");
}

/// A call that was refused: the servers that wait for each other, from the first that was called to the one that
/// called, and the cycle that was reported.
type Refused = (Vec<usize>, Result<Vec<String>, CallError>);

/// Walks on from the end of `path` over every way there is, and answers with the calls that failed.
fn walk(graph: &Arc<Graph>, path: Vec<usize>, reply: Reply<Vec<Refused>>) -> Job<u64> {
    let graph = graph.clone();
    slow(move |_, _| {
        Box::pin(async move {
            let at = path[path.len() - 1];
            let call = async |to: usize| {
                let path: Vec<_> = path.iter().copied().chain([to]).collect();
                let call = graph.servers[to].call(|reply| walk(&graph, path.clone(), reply));
                match call.await {
                    Ok(refused) => refused,
                    Err(CallError::Deadlock { cycle }) => vec![(path, Ok(cycle))],
                    Err(error) => vec![(path, Err(error))],
                }
            };
            if graph.at_once {
                let refused = join_all(graph.edges[at].iter().map(|&to| call(to))).await;
                reply.send(refused.concat());
            } else {
                let mut refused = Vec::new();
                for &to in &graph.edges[at] {
                    refused.extend(call(to).await);
                }
                reply.send(refused);
            }
            Ok(Next::Wait)
        })
    })
}

/// The walks that end at a server which waits already, in the order of a walk over one way at a time.
fn closed(edges: &[Vec<usize>], path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    for &to in &edges[path[path.len() - 1]] {
        let again = path.contains(&to);
        path.push(to);
        if again {
            found.push(path.clone());
        } else {
            closed(edges, path, found);
        }
        path.pop();
    }
}

/// With one walk at a time, exactly the calls to a server that waits on the way are refused, each with exactly the
/// servers between, and no time passes.
#[tokio::test(start_paused = true)]
async fn each_call_that_closes_a_cycle_is_refused_and_no_other() {
    quiet();
    let (seed, begin) = (fastrand::u64(..), Instant::now());
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..150 {
        let graph = Graph::new(cyclic(&mut random).0, false).await;
        for root in 0..graph.edges.len() {
            let refused = ask(&graph.servers[root], |reply| walk(&graph, vec![root], reply)).await;
            let mut expected = Vec::new();
            closed(&graph.edges, &mut vec![root], &mut expected);
            let ways: Vec<_> = refused.iter().map(|(way, _)| way.clone()).collect();
            assert_eq!(ways, expected, "{:?}", graph.edges);
            for (way, cycle) in refused {
                let cycle = cycle.unwrap_or_else(|error| panic!("{error} on {way:?} in {:?}", graph.edges));
                let [waiting @ .., caller, called] = &way[..] else { unreachable!("a call has two ends") };
                let first = waiting.iter().position(|place| place == called).expect("it is on the way");
                let order = [caller].into_iter().chain(&waiting[first..]).map(|&place| &graph.servers[place]);
                assert_eq!(cycle, labels(order), "{way:?} in {:?}", graph.edges);
            }
        }
        graph.servers.iter().for_each(Server::kill);
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

/// Has many walks at a time go through graphs with cycles. Every call is answered or refused, no call runs out of
/// time, and each cycle that is reported is one of the graph, from the caller on.
async fn walk_cyclic_graphs(graphs: usize, walks: usize) {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cycles = 0;
    for _ in 0..graphs {
        let (edges, on_cycle) = cyclic(&mut random);
        let graph = Graph::new(edges, random.bool()).await;
        let mut tasks = JoinSet::new();
        // One of the walks comes to the cycle for sure.
        let others: Vec<_> = (1..walks).map(|_| random.usize(..graph.edges.len())).collect();
        for root in [on_cycle].into_iter().chain(others) {
            let graph = graph.clone();
            tasks.spawn(async move {
                let call = graph.servers[root].call(|reply| walk(&graph, vec![root], reply));
                call.no_timeout().await.expect("from outside, no call is refused")
            });
        }
        let names = labels(&graph.servers);
        for (way, cycle) in soon(tasks.join_all()).await.concat() {
            let cycle = cycle.unwrap_or_else(|error| panic!("{error} on {way:?} in {:?}", graph.edges));
            let place =
                |name: &String| names.iter().position(|other| other == name).expect("one of the graph");
            let places: Vec<_> = cycle.iter().map(place).collect();
            let context = || format!("{places:?} on {way:?} in {:?}", graph.edges);
            assert_eq!(places[..2], [way[way.len() - 2], way[way.len() - 1]], "{}", context());
            assert_eq!(places.iter().collect::<HashSet<_>>().len(), places.len(), "{}", context());
            for (n, &from) in places.iter().enumerate() {
                let to = places[(n + 1) % places.len()];
                assert!(graph.edges[from].contains(&to), "{}", context());
            }
            cycles += 1;
        }
        graph.servers.iter().for_each(Server::kill);
    }
    assert!(cycles >= graphs, "the walks met only {cycles} cycles");
}

/// With many walks at a time, every call is answered or refused without any time passing, and each reported cycle is
/// real.
#[tokio::test(start_paused = true)]
async fn no_time_passes_in_random_graphs_with_cycles() {
    quiet();
    let begin = Instant::now();
    walk_cyclic_graphs(60, 8).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

/// The same with several threads, where a deadlock that is not told would run into a time limit of five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_runs_out_of_time_in_random_graphs_with_cycles() {
    quiet();
    walk_cyclic_graphs(60, 8).await;
}
