//! Jobs of several steps, servers under a supervisor: one is flaky, one always fails, one stumbles, one panics for ever.
//!
//! What it teaches:
//!
//! * `init` returns at once and the work goes on by [`Continue`](undying::Next::Continue), one step at a time: each step
//!   that is done is committed;
//! * a step that panics takes nothing with it but itself. The next incarnation goes on with that step, not with the first;
//! * there are two ways to fail. An error one can expect is data: the job tries again on a timer, and in the end stops in
//!   good order and says why. A panic is a bug: whether to try again is not for the job to say, but for its restart budget;
//! * a job is a temporary child: once it has ended its supervisor forgets it, and does not begin it anew. A job that cannot
//!   be done harms neither its neighbours nor the service;
//! * whoever waits for a job is told how it ended and how far it came. What ends the service, ends the jobs in good order.
//!
//! Run it with `cargo run --example job_processor`. The clock is paused and jumps from timer to timer.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, panic, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{
    Context, DynamicSupervisor, ExitReason, GenServer, Never, Next, Outcome, Restart, RestartPolicy,
    ServerSpec, StateMut, Supervisor,
};

const STEPS: usize = 3;
const MAX_RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Job(&'static str);

#[derive(Clone, Default)]
struct Progress {
    /// For each step that is done, the incarnation that did it.
    done_by: Vec<u64>,
    retries: u32,
}

/// Do the next step.
struct Run;

impl GenServer for Job {
    type State = Progress;
    type Call = Never;
    type Cast = Never;
    type Info = Run;
    type Continue = Run;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(Next::Continue(Run))
    }

    /// What crashed is not run again by itself. Here it is wanted.
    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(Next::Continue(Run))
    }

    async fn handle_info(&mut self, _: Run, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(Next::Continue(Run))
    }

    async fn handle_continue(
        &mut self,
        _: Run,
        mut progress: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match work(self.0, progress.done_by.len() + 1, progress.retries, cx.incarnation()) {
            Ok(()) => {
                progress.done_by.push(cx.incarnation());
                let done = progress.done_by.len() == STEPS;
                Ok(if done { Next::Stop(ExitReason::Normal) } else { Next::Continue(Run) })
            }
            Err(error) if progress.retries == MAX_RETRIES => {
                Ok(Next::Stop(ExitReason::ShutdownWith(error.into())))
            }
            Err(_) => {
                progress.retries += 1;
                cx.set_timer("retry", PAUSE, Run);
                Ok(Next::Wait)
            }
        }
    }
}

/// What the steps of the jobs do.
fn work(job: &str, step: usize, retries: u32, incarnation: u64) -> Result<(), &'static str> {
    match (job, step) {
        ("flaky", 2) if retries < 2 => Err("the line is busy"),
        ("hopeless", 3) => Err("no such file"),
        ("clumsy", 2) if incarnation == 1 => panic!("stumbled, on purpose"),
        ("doomed", 3) => panic!("there is a bug in step 3, on purpose"),
        _ => Ok(()),
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    hide_panics_on_purpose();
    let began = Instant::now();
    let jobs = DynamicSupervisor::builder().id("jobs").max_children(100);
    let service = Supervisor::builder().id("service").child(jobs).start().await?;
    let jobs = service.dynamic_supervisor("jobs").expect("it is a child");
    // How each job ends, after how many retries, and which incarnation did which step.
    let expected: [(&str, &str, u32, &[u64]); 5] = [
        ("good", "normal", 0, &[1, 1, 1]),
        ("flaky", "normal", 2, &[1, 1, 1]),
        ("hopeless", "shutdown: no such file", 3, &[1, 1]),
        ("clumsy", "normal", 0, &[1, 2, 2]),
        ("doomed", "restart limit reached: incarnation 3 panicked in handle_continue", 0, &[1, 1]),
    ];
    let mut started = Vec::new();
    for (name, ..) in expected {
        let spec = ServerSpec::new(Job(name), Progress::default())
            .id(name)
            .max_restarts(2, Duration::from_secs(60)) // Its own supervisor gives it two more chances,
            .restart(RestartPolicy::Temporary); //       and the one above none.
        started.push(jobs.start_child(spec).await?);
    }

    sleep(Duration::from_secs(7)).await;
    let waiting: Vec<_> = jobs.children().into_iter().map(|job| job.id).collect();
    println!(
        "After seven seconds two wait to try again, and the others are forgotten:\n\n{}\n",
        service.tree()
    );
    assert_eq!(waiting, ["flaky", "hopeless"]);

    for (job, (name, reason, retries, done_by)) in started.iter().zip(expected) {
        let exit = job.stopped().await;
        let progress = &exit.state;
        println!("{name:<8} {} steps, {} retries: {}", progress.done_by.len(), progress.retries, exit.reason);
        assert!(exit.reason.to_string().starts_with(reason), "{name}: {}", exit.reason);
        assert_eq!((progress.retries, &progress.done_by[..]), (retries, done_by), "{name}");
    }
    assert_eq!(began.elapsed().as_secs(), 15, "the hopeless one has waited three times");
    assert!(service.children().iter().all(|child| child.restarts == 0), "a doomed job has harmed nobody");
    service.stop().await?;
    Ok(())
}

/// The panics of the jobs are wanted, and each is told to whom it concerns. Any other panic is a bug, and shown.
fn hide_panics_on_purpose() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("on purpose") {
            default(info);
        }
    }));
}
