//! A rumour goes round a thousand nodes: in a full mesh, a line, a grid and a random network.
//!
//! What it teaches:
//!
//! * a thousand servers are nothing special, and they find each other by name, in a registry of their own;
//! * gossip by casts and timers: who has heard the rumour tells one neighbour each round, until there is none left that may
//!   not know. Nobody waits for anybody, so everyone hears it;
//! * half-way all thousand workers are killed at once. What they know, their timers and their mail survive, and nothing
//!   happens;
//! * gossip by calls: a node answers once the neighbour it told has answered. Sooner or later one calls a node that waits
//!   for this very call, and all of them would wait for ever. The call that closes such a circle fails at once and names
//!   everyone in it. Elsewhere it would be a timeout, five seconds later, that names nobody.
//!
//! Run it with `cargo run --example gossip`. The clock is paused and jumps from round to round.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use undying::{
    CallError, Context, GenServer, Never, Next, Outcome, Registry, Reply, ServerRef, ServerSpec, StateMut,
    WhereisError,
};

const NODES: usize = 1000;
const ROUND: Duration = Duration::from_millis(10);

#[derive(Clone)]
struct Node {
    number: usize,
    network: Registry,
    heard: mpsc::UnboundedSender<usize>,
}

#[derive(Clone, Default)]
struct Memory {
    heard: bool,
    /// The neighbours that may not know yet.
    untold: Vec<usize>,
}

/// The rumour, by call: the answer is how the chain of calls ended.
struct Whisper(Reply<CallError>);

/// The rumour, by cast.
struct Rumour {
    from: usize,
}

/// The next round.
struct Round;

impl Node {
    fn find(&self, number: usize) -> Result<ServerRef<Self>, WhereisError> {
        self.network.whereis(&number.to_string())
    }
}

impl GenServer for Node {
    type State = Memory;
    type Call = Whisper;
    type Cast = Rumour;
    type Info = Round;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Whisper(reply): Whisper,
        memory: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let neighbour = self.find(memory.untold[0])?;
        let (Ok(end) | Err(end)) = neighbour.call(Whisper).await;
        reply.send(end);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        Rumour { from }: Rumour,
        mut memory: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        memory.untold.retain(|&neighbour| neighbour != from);
        if !memory.heard {
            memory.heard = true;
            self.heard.send(self.number)?;
            cx.send_after(ROUND, Round);
        }
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        Round: Round,
        mut memory: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        if let Some(neighbour) = memory.untold.pop() {
            self.find(neighbour)?.cast(Rumour { from: self.number }).await?;
            cx.send_after(ROUND, Round);
        }
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    fastrand::seed(7); // The same network, and the same story, each time.
    let full = (0..NODES).flat_map(|a| (0..a).map(move |b| (a, b)));
    let line = (1..NODES).map(|a| (a, a - 1));
    let grid = line.clone().filter(|(a, _)| a % 40 != 0).chain((40..NODES).map(|a| (a, a - 40)));
    let random = (1..NODES).flat_map(|a| [(a, fastrand::usize(..a)), (a, fastrand::usize(..a))]);

    let full = gossip("full", full).await?;
    let line = gossip("line", line).await?;
    let grid = gossip("grid", grid).await?;
    let random = gossip("random", random).await?;
    assert_eq!(line, NODES as u128 - 1, "one node a round");
    assert!(full < grid && random < grid && grid < line);
    Ok(())
}

/// Starts a node for each number, spreads the rumour from the first one, and gives the rounds it took to reach the last.
async fn gossip(topology: &str, edges: impl Iterator<Item = (usize, usize)>) -> Result<u128, Box<dyn Error>> {
    let mut memories = vec![Memory::default(); NODES];
    for (a, b) in edges {
        memories[a].untold.push(b);
        memories[b].untold.push(a);
    }
    let network = Registry::new();
    let (heard, mut news) = mpsc::unbounded_channel();
    let mut nodes = Vec::new();
    for (number, mut memory) in memories.into_iter().enumerate() {
        fastrand::shuffle(&mut memory.untold);
        let node = Node { number, network: network.clone(), heard: heard.clone() };
        nodes.push(ServerSpec::new(node, memory).name_in(&network, number.to_string()).start().await?);
    }
    let began = Instant::now();

    let CallError::Deadlock { cycle, .. } = nodes[0].call(Whisper).await? else {
        panic!("it goes in circles")
    };
    println!("{topology}: by calls, {} nodes would wait for each other: {}", cycle.len(), cycle.join(" → "));
    assert!(cycle.len() >= 2 && began.elapsed().is_zero(), "it is reported at once");

    nodes[0].cast(Rumour { from: 0 }).await?;
    for hearers in 1..=NODES {
        news.recv().await.expect("every node hears it");
        if hearers == NODES / 2 {
            nodes.iter().for_each(ServerRef::kill_worker);
        }
    }
    let rounds = began.elapsed().as_millis() / ROUND.as_millis();
    println!(
        "{topology}: by casts, all {NODES} have heard it after {rounds} rounds, each killed once midway"
    );
    assert!(nodes.iter().all(|node| node.peek().heard && node.incarnation() == 2));

    nodes.iter().for_each(ServerRef::kill);
    Ok(rounds)
}
