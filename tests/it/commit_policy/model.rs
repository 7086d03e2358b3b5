//! Random runs against a model of what is kept.

use std::time::Duration;

use undying::{CommitPolicy, ExitReason, Next, ServerRef, ServerSpec};

use super::{End, add_and_commit, commit, kept, working};
use crate::crash::script::{Script, add, ask, get, job, serves, soon, stop, tell};

/// How many runs there are of each policy, and how many steps to a run.
const RUNS: usize = 12;
const STEPS: usize = 80;

/// What can happen to a server.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Read,
    Ask,
    AskAndAdd,
    Replace,
    /// A replacement that panics.
    Spoil,
    /// Adds one, and once more in a continue.
    AddTwice,
    /// Adds one and stops with an abnormal reason.
    Leave,
    End(End),
}

impl Step {
    fn any(random: &mut fastrand::Rng, policy: CommitPolicy) -> Self {
        match random.u8(..20) {
            10..12 if policy != CommitPolicy::Explicit => Self::Add,
            0..8 => Self::Add,
            8..10 => Self::Read,
            10 => Self::Ask,
            11 => Self::AskAndAdd,
            12 => Self::Replace,
            13 => Self::Spoil,
            14 => Self::AddTwice,
            15 => Self::Leave,
            n => Self::End(super::ENDS[usize::from(n) - 16]),
        }
    }

    async fn take(self, server: &ServerRef<Script<u64>>) {
        match self {
            Self::Add => {
                ask(server, add).await;
            }
            Self::Read => {
                ask(server, get).await;
            }
            Self::Ask => ask(server, commit).await,
            Self::AskAndAdd => {
                ask(server, add_and_commit).await;
            }
            Self::Replace => soon(server.sys().replace(|state| *state += 7)).await.expect("a server"),
            Self::Spoil => {
                let spoil = |state: &mut u64| {
                    *state += 1_000;
                    crate::support::inject()
                };
                soon(server.sys().replace(spoil)).await.expect_err("it panicked");
            }
            Self::AddTwice => {
                tell(
                    server,
                    job(|state| {
                        *state += 1;
                        Ok(Next::Continue(job(|state| {
                            *state += 1;
                            Ok(Next::Wait)
                        })))
                    }),
                )
                .await;
                ask(server, get).await;
            }
            Self::Leave => {
                let next = server.incarnation() + 1;
                tell(
                    server,
                    job(|state| {
                        *state += 1;
                        Ok(Next::Stop(ExitReason::error("test: off")))
                    }),
                )
                .await;
                serves(server, next).await;
            }
            Self::End(end) => end.strike(server).await,
        }
    }
}

/// What a server has to be like.
struct Model {
    policy: CommitPolicy,
    working: u64,
    kept: u64,
    version: u64,
    /// How many callbacks have changed the state since the last commit.
    since: u64,
}

impl Model {
    fn callback(&mut self, adds: u64, asks: bool) {
        self.working += adds;
        self.since += u64::from(adds > 0);
        let due = match self.policy {
            CommitPolicy::Every(n) => self.since >= n,
            CommitPolicy::Explicit => asks,
            _ => true,
        };
        if due {
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.version += u64::from(self.since > 0);
        (self.kept, self.since) = (self.working, 0);
    }

    /// The next incarnation starts from what is kept, and its `restarted` adds a hundred.
    fn restart(&mut self) {
        (self.working, self.since) = (self.kept + 100, 1);
        self.commit();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Add => self.callback(1, false),
            Step::Read | Step::Spoil => {}
            Step::Ask => self.callback(0, true),
            Step::AskAndAdd => self.callback(1, true),
            Step::Replace => {
                self.working += 7;
                self.since += 1;
                self.commit();
            }
            Step::AddTwice => {
                self.callback(1, false);
                self.callback(1, false);
            }
            Step::Leave => {
                self.working += 1;
                self.since += 1;
                self.commit();
                self.restart();
            }
            Step::End(_) => self.restart(),
        }
    }
}

async fn run(policy: CommitPolicy, random: &mut fastrand::Rng) {
    let script = Script::new().on_restarted(|_, mut state| {
        Box::pin(async move {
            *state += 100;
            Ok(Next::Wait)
        })
    });
    let spec = ServerSpec::new(script, 0).commit(policy).max_restarts(u32::MAX, Duration::from_secs(1));
    let server = spec.start().await.expect("it starts");
    let mut model = Model { policy, working: 0, kept: 0, version: 0, since: 0 };
    let mut steps = Vec::new();
    for _ in 0..random.usize(1..=STEPS) {
        let step = Step::any(random, policy);
        steps.push(step);
        step.take(&server).await;
        model.take(step);
        assert_eq!(working(&server).await, model.working, "{policy:?} {steps:?}");
        assert_eq!(kept(&server), (model.kept, model.version), "{policy:?} {steps:?}");
    }
    let exit = if random.bool() {
        model.commit();
        stop(&server).await
    } else {
        server.kill();
        soon(server.stopped()).await
    };
    assert_eq!((*exit.state, exit.state.version()), (model.kept, model.version), "{policy:?} {steps:?}");
}

both! {
    /// SV12: over random runs, what is kept, its version, and what the next callback sees are at each step what a
    /// model of the policy says.
    async fn what_is_kept_is_what_the_model_keeps() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..RUNS {
            let n = random.u64(1..6);
            for policy in [CommitPolicy::EveryCallback, CommitPolicy::Every(n), CommitPolicy::Explicit] {
                run(policy, &mut random).await;
            }
        }
    }
}
