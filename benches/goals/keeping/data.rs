//! States of all sizes, of which a callback changes or reads one element.

use std::collections::HashMap;

use undying::{Preserve, collections::KeptMap};

pub(super) trait Data: Preserve {
    fn build(size: usize) -> Self;

    /// Changes the element that the number `at` falls on.
    fn change(&mut self, at: u64);

    fn read(&self, at: u64) -> u64;
}

impl Data for u64 {
    fn build(_: usize) -> Self {
        0
    }

    fn change(&mut self, at: u64) {
        *self += at;
    }

    fn read(&self, at: u64) -> u64 {
        *self ^ at
    }
}

impl Data for Vec<u8> {
    fn build(size: usize) -> Self {
        vec![0; size]
    }

    fn change(&mut self, at: u64) {
        let at = at as usize % self.len();
        self[at] = self[at].wrapping_add(1);
    }

    fn read(&self, at: u64) -> u64 {
        self[at as usize % self.len()].into()
    }
}

impl Data for HashMap<u64, u64> {
    fn build(size: usize) -> Self {
        (0..size as u64).map(|key| (key, 0)).collect()
    }

    fn change(&mut self, at: u64) {
        let at = at % self.len() as u64;
        *self.get_mut(&at).expect("it is there") += 1;
    }

    fn read(&self, at: u64) -> u64 {
        self[&(at % self.len() as u64)]
    }
}

impl Data for KeptMap<u64, u64> {
    fn build(size: usize) -> Self {
        (0..size as u64).map(|key| (key, 0)).collect()
    }

    fn change(&mut self, at: u64) {
        let at = at % self.len() as u64;
        *self.get_mut(&at).expect("it is there") += 1;
    }

    fn read(&self, at: u64) -> u64 {
        self[&(at % self.len() as u64)]
    }
}

impl Data for imbl::HashMap<u64, u64> {
    fn build(size: usize) -> Self {
        (0..size as u64).map(|key| (key, 0)).collect()
    }

    fn change(&mut self, at: u64) {
        let at = at % self.len() as u64;
        *self.get_mut(&at).expect("it is there") += 1;
    }

    fn read(&self, at: u64) -> u64 {
        self[&(at % self.len() as u64)]
    }
}
