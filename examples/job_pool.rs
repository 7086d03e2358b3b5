//! A pool that runs a hundred jobs, eight at a time. Some of them crash, some crash again and again, and nothing is lost.
//!
//! What it teaches:
//!
//! * each job is a server under a `DynamicSupervisor`: started when there is room, forgotten when it is done;
//! * a full pool says so at once (`MaxChildren`). Whoever fills it tries again later: the backlog stays where it came from;
//! * a job works in steps. When it crashes, its next incarnation goes on with the step that crashed. When it crashes too
//!   often the pool restarts it, and with `preserve_on_escalation` it still goes on with that step;
//! * a bug that crashes each attempt would wear out the pool's budget, which is there for all jobs. So a job counts its
//!   crashes, in the state that survives them, and gives up by itself;
//! * a job ends when its result is acknowledged, and acknowledged is kept: whoever is killed on the way, the job or the one
//!   who collects the results, no result is missed.
//!
//! Run it with `cargo run --example job_pool`. The clock is paused and jumps from timer to timer.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::BTreeMap, error::Error, panic, time::Duration};

use tokio::time::sleep;
use undying::{
    ChildError, Context, DynamicSupervisor, ExitReason, GenServer, Never, Next, Outcome, Reply, Restart,
    ServerRef, ServerSpec, StateMut, Strategy, Supervisor,
};

const JOBS: u32 = 100;
const STEPS: u32 = 5;
const AT_A_TIME: usize = 8;
const BROKEN: u32 = 13;
const MAX_CRASHES: u32 = 4;
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Sums up number × step over its steps, a millisecond each.
#[derive(Clone)]
struct Job {
    number: u32,
    results: ServerRef<Results>,
}

#[derive(Clone, Default)]
struct Progress {
    step: u32,
    sum: u32,
    crashes: u32,
}

struct Step;

impl GenServer for Job {
    type State = Progress;
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Step;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(Next::Continue(Step))
    }

    /// Comes after each crash, whether the server itself or the pool has restarted it.
    async fn restarted(
        &mut self,
        _: &Restart,
        mut progress: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        progress.crashes += 1;
        Ok(Next::Continue(Step))
    }

    async fn handle_continue(
        &mut self,
        _: Step,
        mut progress: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if progress.step == STEPS || progress.crashes == MAX_CRASHES {
            let sum = (progress.step == STEPS).then_some(progress.sum);
            let report = Report { sum, crashes: progress.crashes };
            self.results.call(|kept| (self.number, report, kept)).await?;
            return Ok(Next::Stop(ExitReason::Normal));
        }
        progress.step += 1;
        sleep(MILLISECOND).await;
        let planned = planned_crashes(self.number, progress.step);
        assert!(progress.crashes >= planned, "job {} crashes on purpose", self.number);
        progress.sum += self.number * progress.step;
        Ok(Next::Continue(Step))
    }
}

/// How many crashes a job has behind it when it gets over a step: every fifth job stumbles once, every tenth once more.
fn planned_crashes(number: u32, step: u32) -> u32 {
    match step {
        2.. if number == BROKEN => u32::MAX,
        4.. if number % 10 == 0 => 2,
        3.. if number % 5 == 0 => 1,
        _ => 0,
    }
}

/// Collects what the jobs report.
#[derive(Clone)]
struct Results;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Report {
    sum: Option<u32>,
    crashes: u32,
}

impl GenServer for Results {
    type State = BTreeMap<u32, Report>;
    type Call = (u32, Report, Reply<()>);
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        (job, report, kept): Self::Call,
        mut results: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        let before = results.insert(job, report);
        assert_eq!(before, None, "a job reports once");
        kept.send(());
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    hide_panics_on_purpose();
    // Jobs without results are of no use, results without jobs are: so the jobs come after the results.
    let service = Supervisor::builder()
        .id("service")
        .strategy(Strategy::RestForOne)
        .child(ServerSpec::new(Results, BTreeMap::new()).id("results"))
        .child(DynamicSupervisor::builder().id("jobs").max_children(AT_A_TIME).max_restarts(20, MINUTE));
    let service = service.start().await?;
    let results = service.server::<Results>("results").expect("it is a child");
    let jobs = service.dynamic_supervisor("jobs").expect("it is a child");

    let mut refused = 0;
    for number in 1..=JOBS {
        let spec = || {
            ServerSpec::new(Job { number, results: results.clone() }, Progress::default())
                .id(format!("job {number}"))
                .max_restarts(1, MINUTE)
                .preserve_on_escalation(true)
        };
        while let Err(full) = jobs.start_child(spec()).await {
            assert!(matches!(full, ChildError::MaxChildren) && jobs.count().specs == AT_A_TIME);
            refused += 1;
            sleep(MILLISECOND).await;
        }
        if number % 20 == 0 {
            results.kill_worker(); // In the midst of it.
        }
        if number == 50 {
            println!("{}\n", service.tree());
        }
    }
    while jobs.count().specs > 0 {
        sleep(MILLISECOND).await;
    }

    let reports = results.peek();
    for number in 1..=JOBS {
        let (sum, crashes) = match planned_crashes(number, STEPS) {
            u32::MAX => (None, MAX_CRASHES),
            crashes => (Some(number * (1..=STEPS).sum::<u32>()), crashes),
        };
        assert_eq!(reports.get(&number), Some(&Report { sum, crashes }), "job {number}");
    }
    let crashes: u32 = reports.values().map(|report| report.crashes).sum();
    assert_eq!((reports.len(), crashes), (100, 10 + 10 * 2 + 4));
    assert!(refused > 0, "a hundred jobs and room for eight");
    assert!(results.incarnation() > 1 && service.children().iter().all(|child| child.restarts == 0));
    println!(
        "{} jobs, {crashes} crashes, the pool was full {refused} times, no result is missing",
        reports.len()
    );
    service.stop().await?;
    Ok(())
}

/// The panics of the jobs are wanted, and counted. Any other panic is a bug, and shown.
fn hide_panics_on_purpose() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("on purpose") {
            default(info);
        }
    }));
}
