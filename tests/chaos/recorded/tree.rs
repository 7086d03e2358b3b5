//! A counter below two supervisors, all of whose tasks are killed.
//!
//! With the task that supervises a server its life ends (K14), and so it does with that of the supervisor above. Another life is
//! promised to begin with what the one before kept last, because the spec says `preserve_on_escalation`. So there is one history
//! over all lives, and it is linearizable. Different from a crash is what callers are told: whoever waits when a life ends gets
//! `Stopped`, and whoever comes while there is none may get `NoProc`; after `Stopped` the update is in or not, and nobody is told
//! which.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use fastrand::Rng;
use undying::{CallError, Dispatch, ServerRef, Supervisor, SupervisorRef, chaos::Fault};

use super::{Ear, Round};
use crate::{
    clients::crashed,
    soak::{Seed, Size, Soak},
    till::{Birth, Count, Goods, Till},
};

/// A till in a shop in a town. Only the town is spared.
pub(super) struct Town<G: Goods> {
    pub(super) town: SupervisorRef,
    pub(super) shop: SupervisorRef,
    pub(super) till: ServerRef<Till<G>>,
    /// How many incarnations of it have begun.
    pub(super) begun: Arc<AtomicU64>,
}

impl<G: Goods> Town<G>
where
    G::Value: Default,
{
    pub(super) async fn start(
        dispatch: Dispatch,
        birth: Option<Birth<G>>,
        preserve: bool,
        ear: &Ear<G>,
    ) -> Self {
        let (till, begun) = Till::<G>::spec(dispatch, birth);
        let till = till.listener(ear.too()).preserve_on_escalation(preserve);
        let never_gives_up = || Supervisor::builder().max_restarts(u32::MAX, Duration::from_secs(1));
        let shop = never_gives_up().id("shop").child(till.id("till"));
        let town = never_gives_up().child(shop).start().await.expect("it starts");
        let shop = town.supervisor("shop").expect("there is one");
        let till = shop.server::<Till<G>>("till").expect("there is one");
        Self { town, shop, till, begun }
    }
}

/// Kills whatever there is to kill.
pub(super) fn kill_any<G: Goods>(till: &ServerRef<Till<G>>, shop: &SupervisorRef, rng: &mut Rng) {
    match rng.u8(..10) {
        0 => shop.kill_supervisor(),
        1..4 => till.chaos().inflict(Fault::KillSupervisor),
        4..6 => till.chaos().inflict(Fault::KillKeeper),
        _ => till.chaos().inflict(Fault::KillWorker),
    }
}

/// What callers of a server that is given another life may be told.
pub(super) fn crashed_or_ended(error: &CallError) -> bool {
    crashed(error) || matches!(error, CallError::Stopped(_) | CallError::NoProc)
}

/// The worker, the server's supervisor, and the one above: all may have been killed at last.
pub(super) const STILL_FALLING: u64 = 3;

async fn kills_of_all_tasks(name: &str, dispatch: Dispatch) {
    let ear = Ear::new();
    let Town { town, shop, till, begun } = Town::<Count>::start(dispatch, None, true, &ear).await;
    let size = Size::of(
        Size { operations: 100_000, crashes: 5_000, round: 20_000 },
        Size { operations: 5_000_000, crashes: 300_000, round: 100_000 },
    );
    let (seed, victim) = (Seed::new(), till.clone());
    let (expected, afterwards) = (crashed_or_ended, STILL_FALLING);
    let soak = Soak { name, till: till.clone(), size, seed: seed.0, expected, begun, afterwards };
    let report = soak.run(move |rng| kill_any(&victim, &shop, rng), Round::new).await;
    town.stop().await.expect("it stops");
    ear.has_heard_all(&till.peek().value);
    eprintln!("{report}");
}

/// G1 G2 G7 G10: one order explains every answer of all lives, where callers run the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_preserved_counter_is_linearizable_over_all_lives() {
    kills_of_all_tasks("tree, direct", Dispatch::Direct).await;
}

/// G1 G2 G7 G10: one order explains every answer of all lives, where the worker's task runs the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queued_preserved_counter_is_linearizable_over_all_lives() {
    kills_of_all_tasks("tree, queued", Dispatch::Queued).await;
}
