//! Lanes that are run in turn (A B A B …): what disturbs the machine meanwhile disturbs all of them alike.

use std::time::Duration;

/// One of the things that are compared: a run of `count` operations, and the time that it took.
pub(crate) struct Lane<'a> {
    count: usize,
    run: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(count: usize, run: impl FnMut() -> Duration + 'a) -> Self {
        Self { count, run: Box::new(run) }
    }
}

/// What the rounds of one lane took, in nanoseconds an operation.
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// What an operation costs more than the same operation of another lane.
    pub(crate) fn above(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(one, other)| one - other).collect())
    }
}

/// Runs the lanes in turn, once to warm up and then `rounds` times.
pub(crate) fn interleave<const N: usize>(rounds: usize, mut lanes: [Lane<'_>; N]) -> [Samples; N] {
    let mut samples = [const { Samples(Vec::new()) }; N];
    for round in 0..=rounds {
        for (lane, samples) in lanes.iter_mut().zip(&mut samples) {
            let took = (lane.run)();
            if round > 0 {
                samples.0.push(took.as_nanos() as f64 / lane.count as f64);
            }
        }
    }
    samples
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
