//! Eight clients against a nemesis: each acknowledged update is there, each refused one is not, to the last one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::{JoinSet, yield_now};
use undying::{CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut};

const CLIENTS: usize = 8;
const UPDATES: u64 = 1_000;

#[derive(Clone)]
struct Tally;

struct Count {
    client: usize,
    reply: Reply<u64>,
}

impl GenServer for Tally {
    /// How many updates of each client are in, and of all together.
    type State = ([u64; CLIENTS], u64);
    type Call = Count;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    /// Has a moment at which it is half done.
    async fn handle_call(
        &mut self,
        Count { client, reply }: Count,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        state.0[client] += 1;
        reply.send(state.0[client]);
        yield_now().await;
        assert_eq!(state.0.iter().sum::<u64>(), state.1 + 1, "nobody ever sees the half of it");
        state.1 += 1;
        Ok(Next::Wait)
    }
}

/// Sends each update until it is acknowledged. `Crashed` has to mean that it is not in, so it is safe to send it again.
async fn client(tally: ServerRef<Tally>, client: usize) -> u64 {
    let mut crashed = 0;
    for update in 1..=UPDATES {
        loop {
            match tally.call(|reply| Count { client, reply }).no_timeout().await {
                Ok(count) => {
                    assert_eq!(
                        count, update,
                        "fewer: an acknowledged one is lost; more: a crashed one is in"
                    );
                    break;
                }
                Err(CallError::Crashed(_)) => crashed += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    crashed
}

/// Faults as fast as they can be made to matter: a new incarnation is let come to work, then hit.
async fn nemesis(tally: ServerRef<Tally>, calm: Arc<AtomicBool>, fault: fn(&ServerRef<Tally>)) -> u64 {
    let mut faults = 0;
    while !calm.load(Ordering::Relaxed) {
        fault(&tally);
        faults += 1;
        for _ in 0..fastrand::u32(1..40) {
            yield_now().await;
        }
    }
    faults
}

async fn soak(fault: fn(&ServerRef<Tally>)) {
    let spec = ServerSpec::new(Tally, ([0; CLIENTS], 0)).max_restarts(u32::MAX, Duration::from_secs(1));
    let tally = spec.start().await.expect("it starts");
    let calm = Arc::new(AtomicBool::new(false));
    let nemesis = tokio::spawn(nemesis(tally.clone(), calm.clone(), fault));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(tally.clone(), number));
    }
    let crashed: u64 = clients.join_all().await.into_iter().sum();
    calm.store(true, Ordering::Relaxed);
    let faults = nemesis.await.expect("the nemesis ends");
    assert!(faults > 100, "{faults} faults, {crashed} calls crashed");
    let exit = tally.stop().await.expect("it stops");
    assert_eq!(*exit.state, ([UPDATES; CLIENTS], UPDATES * CLIENTS as u64));
    assert_eq!(exit.state.version(), UPDATES * CLIENTS as u64, "each was committed once");
}

both! {
    /// G1 G2: under kills of the worker no acknowledged update is lost and no crashed one applied.
    async fn no_update_is_lost_or_doubled_under_kills_of_the_worker() {
        soak(ServerRef::kill_worker).await;
    }
}

#[cfg(feature = "chaos")]
both! {
    /// KF6: the same with the keeper and the worker killed by turns.
    async fn no_update_is_lost_or_doubled_under_kills_of_worker_and_keeper() {
        soak(|tally| {
            if fastrand::bool() {
                tally.chaos().kill_worker();
            } else {
                tally.chaos().kill_keeper();
            }
        })
        .await;
    }
}
