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

/// Runs the lanes in turn, once to warm up and then `rounds` times. Gives what the rounds of each took, in nanoseconds an
/// operation.
pub(crate) fn interleave<const N: usize>(rounds: usize, mut lanes: [Lane<'_>; N]) -> [Vec<f64>; N] {
    let samples = interleave_all(rounds, &mut lanes);
    samples.try_into().expect("one list a lane")
}

/// As [`interleave`], of as many lanes as there are.
pub(crate) fn interleave_all(rounds: usize, lanes: &mut [Lane<'_>]) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::new(); lanes.len()];
    for round in 0..=rounds {
        for (lane, samples) in lanes.iter_mut().zip(&mut samples) {
            let took = (lane.run)();
            if round > 0 {
                samples.push(took.as_nanos() as f64 / lane.count as f64);
            }
        }
    }
    samples
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
