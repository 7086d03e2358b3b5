//! Somebody who kills.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fastrand::Rng;

/// The longest pause between two strikes, in microseconds.
const PAUSE: u64 = 2_000;

/// A thread of its own, so that it strikes at any moment of a poll and not only between two.
pub(crate) struct Nemesis {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Nemesis {
    pub(crate) fn begin(seed: u64, mut strike: impl FnMut(&mut Rng) + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let strikes = move || {
            let (mut rng, mut strikes) = (Rng::with_seed(seed), 0);
            while !told.load(Relaxed) {
                thread::sleep(Duration::from_micros(rng.u64(..PAUSE)));
                strike(&mut rng);
                strikes += 1;
            }
            strikes
        };
        Self { over, thread: Some(thread::spawn(strikes)) }
    }

    /// Has it end, and gives the number of its strikes.
    pub(crate) fn end(mut self) -> u64 {
        self.over.store(true, Relaxed);
        let thread = self.thread.take().expect("it ends once");
        thread.join().expect("it does not panic")
    }
}

/// A test that fails leaves nobody behind who strikes on.
impl Drop for Nemesis {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}
