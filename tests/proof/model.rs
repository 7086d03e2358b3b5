//! Row 4: random steps, and after each of them everything that can be seen is what a short model says.
//!
//! What fails is shrunk. `UNDYING_SEED=<seed>` does the same cases again.

mod reference;
mod server;
mod steps;
mod subject;

use std::{cell::Cell, time::Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::runtime::Builder;
use undying::Dispatch;

use self::{
    reference::Reference,
    steps::{Case, case},
    subject::Subject,
};
use crate::size::{seed, size};

/// Does the steps of a case to a server and to the model.
async fn run(case: &Case, dispatch: Dispatch) -> Result<(), String> {
    let mut reference = Reference::new(case);
    let mut subject = Subject::start(case, dispatch).await;
    for (number, step) in case.steps.iter().enumerate() {
        let id = u32::try_from(number).expect("there are not so many") + 1;
        let expected = reference.take(id, *step);
        let seen = subject.take(id, *step).await;
        if seen != expected {
            return Err(format!("step {id}, {step:?}: {seen:?}, and not {expected:?}"));
        }
        subject
            .compare(&reference)
            .await
            .map_err(|difference| format!("after step {id}, {step:?}: {difference}"))?;
    }
    subject.end(&reference).await
}

fn a_server_does_what_the_model_says(dispatch: Dispatch) {
    let (cases, steps) = (size(500, 10_000), size(50, 200));
    let (began, seed) = (Instant::now(), seed());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let done = Cell::new(0);
    let outcome = TestRunner::new_with_rng(config, random).run(&case(steps), |case| {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        done.set(done.get() + case.steps.len());
        runtime.block_on(run(&case, dispatch)).map_err(TestCaseError::fail)
    });
    let done = done.get();
    if let Err(failure) = outcome {
        panic!("UNDYING_SEED={seed}: {dispatch:?}: {failure}");
    }
    eprintln!("model: {dispatch:?}: {cases} cases, {done} steps in {:.1?}, seed {seed}", began.elapsed());
}

/// G1 G2 G3 G4 G5 G9 G10: what callers hear and what is kept is what the model says, where callers run callbacks themselves.
#[test]
fn a_server_whose_callers_run_callbacks_does_what_the_model_says() {
    a_server_does_what_the_model_says(Dispatch::Direct);
}

/// G1 G2 G3 G4 G5 G9 G10: and where callbacks are queued.
#[test]
fn a_server_whose_callbacks_are_queued_does_what_the_model_says() {
    a_server_does_what_the_model_says(Dispatch::Queued);
}
