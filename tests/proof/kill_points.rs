//! Row 3: a fixed workload, killed at every moment at which it can be killed.
//!
//! A first pass counts the *ticks* of the workload; then there is a pass for each tick and each part that can die, and, long, one for
//! each pair of those. After each pass the books have to balance: see [`account`].

mod account;
mod stepper;
mod workload;

use std::time::Instant;

use undying::Dispatch;

use self::stepper::{KILLS, Strike, pass};
use crate::size::is_long;

/// Without a kill everything is acknowledged: what the other passes are measured against.
fn undisturbed(dispatch: Dispatch) -> usize {
    let (ticks, account) = pass(dispatch, &[]);
    account.assert_complete();
    ticks
}

/// One pass for each part and each tick, until the workload is over before that tick comes.
fn all_single(dispatch: Dispatch) -> usize {
    let mut passes = 0;
    for &kill in KILLS {
        for tick in 1.. {
            let (ticks, _) = pass(dispatch, &[Strike { tick, kill }]);
            passes += 1;
            if ticks < tick {
                break;
            }
        }
    }
    passes
}

/// One pass for each two parts and each two ticks, the second no earlier than the first.
fn all_pairs(dispatch: Dispatch) -> usize {
    let mut passes = 0;
    for &kill in KILLS {
        for tick in 1.. {
            let first = Strike { tick, kill };
            let (ticks, _) = pass(dispatch, &[first]);
            if ticks < tick {
                break;
            }
            for &kill in KILLS {
                for tick in tick.. {
                    let (ticks, _) = pass(dispatch, &[first, Strike { tick, kill }]);
                    passes += 1;
                    if ticks < tick {
                        break;
                    }
                }
            }
        }
    }
    passes
}

fn no_kill_does_harm(dispatch: Dispatch) {
    let began = Instant::now();
    let ticks = undisturbed(dispatch);
    let single = all_single(dispatch);
    eprintln!(
        "kill_points: {dispatch:?}: {ticks} ticks, {} parts: {single} passes in {:.1?}",
        KILLS.len(),
        began.elapsed()
    );
    if is_long() {
        let pairs = all_pairs(dispatch);
        eprintln!("kill_points: {dispatch:?}: {pairs} pairs in {:.1?}", began.elapsed());
    }
}

/// G1 G2 G3 G4 G7 G8 G10 G11: at no tick does a kill lose or double anything, where callers run callbacks themselves.
#[test]
fn no_kill_does_harm_where_callers_run_callbacks() {
    no_kill_does_harm(Dispatch::Direct);
}

/// G1 G2 G3 G4 G7 G8 G10 G11: nor where they are queued.
#[test]
fn no_kill_does_harm_where_callbacks_are_queued() {
    no_kill_does_harm(Dispatch::Queued);
}
