//! One pass: the workload, step by step, with its kills.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
};

use tokio::runtime::{Builder, Handle};
use undying::{Dispatch, Registry, ServerRef};

use super::{
    account::Account,
    workload::{Book, NAME, work},
};

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    Worker,
    /// The whole, by order.
    Server,
    #[cfg(feature = "chaos")]
    Keeper,
    #[cfg(feature = "chaos")]
    Supervisor,
}

pub(super) const KILLS: &[Kill] = &[
    Kill::Worker,
    Kill::Server,
    #[cfg(feature = "chaos")]
    Kill::Keeper,
    #[cfg(feature = "chaos")]
    Kill::Supervisor,
];

impl Kill {
    fn strike(self, book: &ServerRef<Book>) {
        match self {
            Self::Worker => book.kill_worker(),
            Self::Server => book.kill(),
            #[cfg(feature = "chaos")]
            Self::Keeper => book.chaos().kill_keeper(),
            #[cfg(feature = "chaos")]
            Self::Supervisor => book.chaos().kill_supervisor(),
        }
    }

    /// Whether it costs a message at most, and not the server.
    pub(super) fn is_survived(self) -> bool {
        match self {
            Self::Worker => true,
            Self::Server => false,
            #[cfg(feature = "chaos")]
            Self::Keeper => true,
            #[cfg(feature = "chaos")]
            Self::Supervisor => false,
        }
    }
}

/// A kill at a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strike {
    pub(super) tick: usize,
    pub(super) kill: Kill,
}

/// No pass takes so many steps, unless something hangs.
const PATIENCE: usize = 20_000;

/// Does the workload with these kills, and checks what came of it. How many ticks there were, and the books.
///
/// A *tick* is one poll of the future that `block_on` has. That wakes itself each time, and the runtime polls it after each single
/// turn of a task (`event_interval(1)`): so there is exactly one tick between any two turns. Nothing else can come between two
/// turns on one thread, so a kill at each tick is a kill at each moment. The clock stands still unless the workload advances it.
pub(super) fn pass(dispatch: Dispatch, strikes: &[Strike]) -> (usize, Account) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .event_interval(1)
        .build()
        .expect("a runtime");
    let counts = Arc::new(AtomicBool::new(true));
    runtime.block_on(async {
        let names = Registry::new();
        let mut work = tokio::spawn(work(dispatch, names.clone(), counts.clone()));
        let (mut ticks, mut steps) = (0, 0);
        let mut struck = Vec::new();
        while !work.is_finished() || Handle::current().metrics().num_alive_tasks() > 0 {
            steps += 1;
            assert!(steps < PATIENCE, "{dispatch:?} {strikes:?}: it hangs");
            if counts.load(Relaxed) {
                ticks += 1;
                for strike in strikes.iter().filter(|strike| strike.tick == ticks) {
                    // Before it has its name, and after its end, there is nothing to kill.
                    if let Ok(book) = names.whereis(NAME) {
                        strike.kill.strike(&book);
                        struck.push(strike.kill);
                    }
                }
            }
            step().await;
        }
        let account = (&mut work).await.unwrap_or_else(|panic| panic!("{dispatch:?} {strikes:?}: {panic}"));
        account.balance(&struck, || format!("{dispatch:?} {strikes:?}"));
        assert!(names.names().is_empty(), "{dispatch:?} {strikes:?}: the name is free");
        (ticks, account)
    })
}

/// Lets the runtime do one turn of one task.
async fn step() {
    let mut first = true;
    poll_fn(|task| {
        if !std::mem::take(&mut first) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
