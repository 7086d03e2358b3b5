//! The fence under every schedule (loom) or very many (shuttle).

use std::sync::Arc;

use super::*;
use crate::sync::check::{holds, is_found_broken, spawn};

/// What a worker does at the end of a callback, against a supervisor that fences it meanwhile. What the fence saw has to be
/// what is kept for good.
fn commit_against_fence(commit: fn(&Cell<u64>, u64) -> bool) {
    let cell = Arc::new(Cell::new(0));
    let epoch = cell.open_if(|_| true).expect("it may");
    let worker = {
        let cell = cell.clone();
        spawn(move || commit(&cell, epoch))
    };
    let seen = cell.fence(|kept, _| *kept).expect("it was alive");
    let committed = worker.join().expect("the worker ends");
    assert_eq!(cell.look(|kept| *kept), seen, "K4: nothing is committed behind the fence");
    assert_eq!(committed, seen == 1, "a commit that was granted is there");
}

/// K4 SV5: a commit and a fence never overlap.
#[test]
fn nothing_is_committed_behind_the_fence() {
    holds(|| commit_against_fence(|cell, epoch| cell.commit(epoch, |kept| *kept = 1).is_ok()));
}

/// The bug of every lock service without fencing: look first, write later.
#[test]
fn a_check_before_the_write_is_found() {
    is_found_broken(|| {
        commit_against_fence(|cell, epoch| {
            let alive = cell.enter(epoch, |_| ()).is_ok();
            if alive {
                cell.look(|kept| *kept = 1);
            }
            alive
        });
    });
}

/// K4: two kills at once end one life, and its successor is not hit by the second.
#[test]
fn two_kills_end_one_life() {
    holds(|| {
        let cell = Arc::new(Cell::new(0));
        cell.open_if(|_| true).expect("it may");
        let other = {
            let cell = cell.clone();
            spawn(move || cell.fence(|kept, _| *kept += 1).is_some())
        };
        let mine = cell.fence(|kept, _| *kept += 1).is_some();
        let theirs = other.join().expect("the other one ends");
        assert!(mine != theirs, "one of them ended it");
        assert_eq!(cell.open_if(|_| true).expect("it may"), 2);
        assert_eq!(cell.look(|kept| *kept), 1);
    });
}

/// K4: a stale incarnation is refused whatever its successor is doing.
#[test]
fn a_stale_incarnation_is_refused_for_good() {
    holds(|| {
        let cell = Arc::new(Cell::new(0));
        let stale = cell.open_if(|_| true).expect("it may");
        cell.fence(|_, _| ());
        let fresh = cell.open_if(|_| true).expect("it may");
        let zombie = {
            let cell = cell.clone();
            spawn(move || cell.commit(stale, |kept| *kept = 99))
        };
        cell.commit(fresh, |kept| *kept = 1).expect("it is alive");
        assert_eq!(zombie.join().expect("the zombie ends"), Err(Fenced));
        assert_eq!(cell.look(|kept| *kept), 1);
        assert_eq!(cell.audit(|_, refused| refused), 1);
    });
}
