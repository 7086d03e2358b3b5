//! A pool that runs a hundred jobs, eight at a time. Some of them crash, some crash too often, and nothing is lost.
//!
//! What it teaches:
//!
//! * each job is a server under a `DynamicSupervisor`: started when there is room, forgotten when it is done;
//! * a full pool says so at once (`MaxChildren`), and whoever fills it tries again later. The backlog stays where it is;
//! * a job works in steps. One that crashed goes on with the step that crashed. One that crashes too often comes to an end
//!   and is restarted by the pool; with `preserve_on_escalation` it still goes on with that step;
//! * a job ends when its result is acknowledged, and acknowledged is kept. Whoever crashes on the way, the job or the one
//!   who collects the results: none is missing, and none is counted twice.
//!
//! Run it with `cargo run --example job_pool`. The clock is paused and jumps from timer to timer.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::BTreeMap, error::Error, time::Duration};

use tokio::time::sleep;
use undying::{
    ChildError, Context, Crash, DynamicSupervisor, ExitReason, GenServer, Never, Next, Outcome, Reply,
    Restart, ServerRef, ServerSpec, StateMut, Strategy, Supervisor,
};

const JOBS: u64 = 100;
const AT_A_TIME: usize = 8;
const STEPS: u64 = 5;
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Adds its number once a step, a millisecond each. It stumbles as often as it is clumsy.
#[derive(Clone)]
struct Job {
    number: u64,
    clumsy: u64,
    results: ServerRef<Results>,
}

#[derive(Clone, Default)]
struct Progress {
    steps: u64,
    sum: u64,
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

    /// After a crash, whoever has restarted it.
    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(Next::Continue(Step))
    }

    async fn handle_continue(
        &mut self,
        _: Step,
        mut progress: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        if progress.steps == STEPS {
            let result = JobResult { sum: progress.sum, incarnation: cx.incarnation() };
            self.results.call(|kept| (self.number, result, kept)).await?;
            return Ok(Next::Stop(ExitReason::Normal));
        }
        progress.steps += 1;
        sleep(MILLISECOND).await;
        if progress.steps == 3 && cx.incarnation() <= self.clumsy {
            return Err(Crash::msg("stumbled"));
        }
        progress.sum += self.number;
        Ok(Next::Continue(Step))
    }
}

/// Collects the results.
#[derive(Clone)]
struct Results;

#[derive(Clone, Copy, Debug, PartialEq)]
struct JobResult {
    sum: u64,
    incarnation: u64,
}

impl GenServer for Results {
    type State = BTreeMap<u64, JobResult>;
    type Call = (u64, JobResult, Reply<()>);
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        (job, result, kept): Self::Call,
        mut results: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        assert_eq!(results.insert(job, result), None, "it comes once");
        kept.send(());
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    // Jobs are of no use without somebody who collects their results: so they come after it.
    let pool = DynamicSupervisor::builder().id("jobs").max_children(AT_A_TIME).max_restarts(20, MINUTE);
    let service = Supervisor::builder()
        .id("service")
        .strategy(Strategy::RestForOne)
        .child(ServerSpec::new(Results, BTreeMap::new()).id("results"))
        .child(pool);
    let service = service.start().await?;
    let results = service.server::<Results>("results").expect("it is a child");
    let pool = service.dynamic_supervisor("jobs").expect("it is a child");

    // Every fifth job stumbles once, and every tenth again and again: for that one its own budget is too small.
    let clumsy = |number| if number % 10 == 0 { 3 } else { u64::from(number % 5 == 0) };
    let mut refused = 0;
    for number in 1..=JOBS {
        let spec = || {
            let job = Job { number, clumsy: clumsy(number), results: results.clone() };
            ServerSpec::new(job, Progress::default())
                .id(format!("job-{number}"))
                .max_restarts(1, MINUTE)
                .preserve_on_escalation(true)
        };
        while let Err(full) = pool.start_child(spec()).await {
            assert!(matches!(full, ChildError::MaxChildren) && pool.count().specs == AT_A_TIME);
            refused += 1;
            sleep(MILLISECOND).await;
        }
        match number {
            50 => println!("{}\n", service.tree()),
            25 | 75 => results.kill_worker(),
            _ => {}
        }
    }
    while pool.count().specs > 0 {
        sleep(MILLISECOND).await;
    }

    let results = results.peek();
    for number in 1..=JOBS {
        let expected = JobResult { sum: number * STEPS, incarnation: clumsy(number) + 1 };
        assert_eq!(results.get(&number), Some(&expected), "job {number}");
    }
    assert_eq!((results.len(), results.incarnation()), (100, 3));
    assert!(refused > 0 && service.children().iter().all(|child| child.restarts == 0));
    println!("100 jobs done, 40 crashes; the pool was full {refused} times, and no result is missing");
    service.stop().await?;
    Ok(())
}
