//! The worker is killed and crashes by itself, and the totals that clients were told are all there are.

use std::{mem, sync::Arc};

use parking_lot::Mutex;
use undying::{CallError, Dispatch};

use crate::{
    clients::{Scribe, crashed},
    soak::{Auditor, Seed, Size, Soak},
    till::{Count, CountOp, Till},
};

/// The totals that were brought about, as those were told who did.
#[derive(Default)]
struct Totals(Arc<Mutex<Vec<u64>>>);

/// Those of one client.
struct Page {
    all: Arc<Mutex<Vec<u64>>>,
    mine: Vec<u64>,
    last: u64,
}

impl Auditor<Count> for Totals {
    type Scribe = Page;

    fn scribe(&self) -> Page {
        Page { all: self.0.clone(), mine: Vec::new(), last: 0 }
    }

    /// Each addition was acknowledged, or crashed: so each total from the first to the last one was told to one client.
    fn audit(self, began: u64, ended: u64) -> u64 {
        let mut told = mem::take(&mut *self.0.lock());
        told.sort_unstable();
        if let Some(twice) = told.windows(2).find(|pair| pair[0] == pair[1]) {
            panic!("two were told that they brought it to {}: one of the updates is lost", twice[0]);
        }
        if let Some((told, was)) = told.iter().zip(began + 1..).find(|(told, was)| **told != *was) {
            panic!(
                "nobody was told of {was}, and somebody of {told}: something was applied that crashed, or twice"
            );
        }
        assert_eq!(began + told.len() as u64, ended, "what is kept is what was acknowledged");
        told.len() as u64
    }
}

impl Scribe<Count> for Page {
    type Open = CountOp;

    fn asks(&mut self, op: &CountOp) -> CountOp {
        *op
    }

    fn is_told(&mut self, op: CountOp, answer: &Result<u64, CallError>) {
        let Ok(total) = answer else { return };
        let adds = u64::from(op == CountOp::Add);
        assert!(*total >= self.last + adds, "it was at {} before it was at {total}", self.last);
        self.last = *total;
        if op == CountOp::Add {
            self.mine.push(*total);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.all.lock().append(&mut self.mine);
    }
}

async fn kills_of_the_worker(name: &str, dispatch: Dispatch) {
    let (spec, begun) = Till::<Count>::spec(dispatch, None);
    let till = spec.start().await.expect("it starts");
    let size = Size::of(
        Size { operations: 100_000, crashes: 5_000, round: 10_000 },
        Size { operations: 5_000_000, crashes: 500_000, round: 200_000 },
    );
    let (seed, victim) = (Seed::new(), till.clone());
    let soak = Soak { name, till: till.clone(), size, seed: seed.0, expected: crashed, begun, afterwards: 1 };
    let report = soak.run(move |_| victim.kill_worker(), Totals::default).await;
    eprintln!("{report}");
    till.stop().await.expect("it stops");
}

/// G1 G2 G10: each total is told to one client, where callers run the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_update_counts_once_under_kills_of_the_worker() {
    kills_of_the_worker("kills, direct", Dispatch::Direct).await;
}

/// G1 G2 G10: each total is told to one client, where the worker's task runs the callbacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_queued_update_counts_once_under_kills_of_the_worker() {
    kills_of_the_worker("kills, queued", Dispatch::Queued).await;
}

/// The auditor itself: what clients of a dishonest server are told is found out.
mod totals {
    use super::*;

    fn audit(pages: &[&[u64]], ended: u64) -> u64 {
        let totals = Totals::default();
        for told in pages {
            let mut page = totals.scribe();
            told.iter().for_each(|total| page.is_told(CountOp::Add, &Ok(*total)));
        }
        totals.audit(10, ended)
    }

    #[test]
    fn an_honest_round_is_fine() {
        assert_eq!(audit(&[&[11, 13], &[12]], 13), 3);
    }

    #[test]
    #[should_panic(expected = "one of the updates is lost")]
    fn a_total_that_two_were_told_is_found() {
        audit(&[&[11, 12], &[12]], 12);
    }

    #[test]
    #[should_panic(expected = "applied that crashed, or twice")]
    fn a_total_that_nobody_was_told_is_found() {
        audit(&[&[11], &[13]], 13);
    }

    #[test]
    #[should_panic(expected = "what is kept is what was acknowledged")]
    fn an_update_at_the_end_that_is_lost_is_found() {
        audit(&[&[11], &[12]], 11);
    }

    #[test]
    #[should_panic(expected = "it was at 12 before it was at 11")]
    fn a_total_that_goes_back_is_found() {
        audit(&[&[12, 11]], 12);
    }
}
