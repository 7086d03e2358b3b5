//! The bell under every schedule (loom) or very many (shuttle).

use std::sync::Arc;

use super::*;
use crate::sync::check::{block_on, holds, spawn};

/// K13: who listens before looking misses no ring.
#[test]
fn a_ring_between_looking_and_waiting_is_heard() {
    holds(|| {
        let (bell, done) = (Arc::new(Bell::new()), Arc::new(Mutex::new(false)));
        let ringer = {
            let (bell, done) = (bell.clone(), done.clone());
            spawn(move || {
                *done.lock() = true;
                bell.ring();
            })
        };
        loop {
            let ring = bell.listen();
            if *done.lock() {
                break;
            }
            block_on(ring);
        }
        ringer.join().expect("the ringer ends");
    });
}
