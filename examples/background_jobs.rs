//! Periodic work that stays on time under a flood of jobs, and what the flood does to the queue.
//!
//! What it teaches:
//!
//! * timers do not stand in the queue: an interval that is due is served before the next queued message. (A tick that a
//!   process of OTP sends to itself waits behind the flood.);
//! * a crash in the middle takes neither the interval nor the queue with it, only the job that crashed;
//! * without a bound the queue grows for as long as the jobs come faster than they are done, and so does the wait of each;
//! * in front of a bounded mailbox `cast` waits for room. That is back-pressure: the senders slow down to the pace of the
//!   server, and no job is lost.
//!
//! Run it with `cargo run --example background_jobs`. The clock is paused and jumps from timer to timer. The panic messages
//! in between come from Rust's default panic hook.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{Context, GenServer, Mailbox, Never, Next, Outcome, ServerSpec, StateMut};

const PERIOD: Duration = Duration::from_millis(200);
const JOBS: u32 = 2_000;
const BOUND: usize = 64;
const MILLISECOND: Duration = Duration::from_millis(1);

#[derive(Clone)]
struct Worker {
    began: Instant,
}

#[derive(Clone, Default)]
struct Log {
    done: u32,
    /// When the periodic work was done, and how many jobs were queued then.
    ticks: Vec<(Duration, usize)>,
}

struct Job(u32);

struct Tick;

impl GenServer for Worker {
    type State = Log;
    type Call = Never;
    type Cast = Job;
    type Info = Tick;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.send_interval(PERIOD, || Tick);
        Ok(Next::Wait)
    }

    /// Each job takes a millisecond.
    async fn handle_cast(
        &mut self,
        Job(number): Job,
        mut log: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        log.done += 1;
        sleep(MILLISECOND).await;
        assert!(number != JOBS / 2, "job {number} is bad");
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        Tick: Tick,
        mut log: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let (at, queued) = (self.began.elapsed(), cx.server().mailbox_len());
        println!("{:>5} ms {queued:>5} {}", at.as_millis(), "#".repeat(queued / 25));
        log.ticks.push((at, queued));
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("without back-pressure:");
    let (took, longest) = flood(Mailbox::unbounded()).await?;
    println!("the jobs came in {took:?}; up to {longest} were queued\n");
    assert!(longest > 1_000);

    println!("with back-pressure:");
    let (slowed, longest) = flood(Mailbox::bounded(BOUND)).await?;
    println!("the jobs came in {slowed:?}; up to {longest} were queued");
    assert!(longest <= BOUND && slowed > 3 * took);
    Ok(())
}

/// Sends four jobs a millisecond to a server that can do one. Gives the time that took the sender, and the length of the
/// queue at its longest.
async fn flood(mailbox: Mailbox) -> Result<(Duration, usize), Box<dyn Error>> {
    let began = Instant::now();
    let worker = ServerSpec::new(Worker { began }, Log::default()).mailbox(mailbox).start().await?;
    for number in 1..=JOBS {
        worker.cast(Job(number)).await?;
        if number % 4 == 0 {
            sleep(MILLISECOND).await;
        }
    }
    let took = began.elapsed();
    let log = worker.stop().await?.state; // What is queued is done first.

    assert_eq!(log.done, JOBS - 1, "no job is lost but the one that crashed");
    assert!(log.ticks.len() >= 9, "the periodic work was done {} times", log.ticks.len());
    for (&(at, _), due) in log.ticks.iter().zip((1..).map(|n| PERIOD * n)) {
        assert!(at >= due && at <= due + 2 * MILLISECOND, "never later than the job before it takes");
    }
    let longest = log.ticks.iter().map(|&(_, queued)| queued).max();
    Ok((took, longest.unwrap_or(0)))
}
