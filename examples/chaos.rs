//! A soak: clients count at servers that are struck hundreds of times a second, and every answer is checked.
//!
//! ```text
//! cargo run --release --features chaos --example chaos -- --seconds 60 --seed 7 --clients 16
//! ```
//!
//! Four tills stand below a supervisor. A monkey kills their workers and keepers, makes callbacks crash, and now and then
//! kills the task that restarts a till; somebody else kills the supervisor of all of them. The tills are preserved on
//! escalation, so that all of it is survived.
//!
//! What it teaches:
//!
//! * how to test a service of one's own: faults at random, a history around it, a model, and the checker;
//! * what to make of each answer: `Ok` is in for good, `Crashed` is surely not in, `Stopped` may be in or not;
//! * a long history is checked in rounds. At the end of each the clients rest and the totals are read; the next round begins
//!   with these, so that the rounds together are the whole history.
//!
//! It fails if an acknowledged update is lost, if a round has no explanation, or if there is no progress once all is calm.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinSet, spawn_blocking, yield_now},
    time::timeout,
};
use undying::{
    CallError, Callback, Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut,
    Supervisor, SupervisorRef,
    chaos::{
        Fault, Monkey,
        history::{Counter, CounterOp, History},
    },
};

const TILLS: usize = 4;
const ROUND: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(1);

/// A counter that is half done for a moment.
#[derive(Clone)]
struct Till;

impl GenServer for Till {
    type State = u64;
    type Call = (CounterOp, Reply<u64>);
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        (op, reply): Self::Call,
        mut total: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if let CounterOp::Add(by) = op {
            *total += by;
        }
        reply.send(*total);
        if *total % 8 == 0 {
            yield_now().await; // Where a kill cuts it: the answer is not sent then, and the addition not kept.
        }
        Ok(Next::Wait)
    }
}

struct Options {
    seconds: u64,
    seed: u64,
    clients: usize,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Self { seconds: 5, seed: fastrand::u64(..), clients: 8 };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().unwrap_or_default().parse::<u64>();
            match word.as_str() {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--clients" => options.clients = usize::try_from(number()?)?.max(1),
                other => {
                    return Err(format!("{other}? there are --seconds N, --seed N and --clients N").into());
                }
            }
        }
        Ok(options)
    }
}

/// What is known of one till.
struct Book {
    till: ServerRef<Till>,
    /// Its total at the beginning of the round.
    total: u64,
    /// How many updates were acknowledged, and how many may be in.
    acknowledged: AtomicU64,
    in_doubt: AtomicU64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match soak().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("chaos: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn soak() -> Result<(), Box<dyn Error>> {
    let Options { seconds, seed, clients } = Options::read()?;
    let spec = |n: usize| {
        ServerSpec::new(Till, 0)
            .id(format!("till {n}"))
            .max_restarts(u32::MAX, WITHIN)
            .preserve_on_escalation(true)
    };
    let shop = (0..TILLS).fold(Supervisor::builder().id("shop"), |shop, n| shop.child(spec(n)));
    let town =
        Supervisor::builder().max_restarts(u32::MAX, WITHIN).child(shop.max_restarts(u32::MAX, WITHIN));
    let town = town.start().await?;
    let shop = town.supervisor("shop").ok_or("there is no shop")?;
    let book = |n: usize| {
        let till = shop.server(&format!("till {n}")).ok_or("there is no such till")?;
        let (acknowledged, in_doubt) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok::<_, &str>(Arc::new(Book { till, total: 0, acknowledged, in_doubt }))
    };
    let mut books = (0..TILLS).map(book).collect::<Result<Vec<_>, _>>()?;

    let struck = Arc::new(AtomicU64::new(0));
    let (all, count) = (shop.clone(), struck.clone());
    let monkey = Monkey::seeded(seed)
        .among(move || {
            count.fetch_add(1, Relaxed); // It asks once for each strike.
            all.servers()
        })
        .every(Duration::from_millis(1))
        .fault(Fault::KillWorker, 60)
        .fault(Fault::KillKeeper, 20)
        .fault(Fault::CrashNext(Callback::Call), 20)
        .fault(Fault::KillSupervisor, 1);
    let monkey = tokio::spawn(monkey.run_for(Duration::from_secs(seconds)));
    let collapses = tokio::spawn(collapse(shop.clone(), seed));

    println!("  second   operations   struck   restarts   in doubt   lost");
    let start = Instant::now();
    while !monkey.is_finished() {
        let began = Instant::now();
        let operations = round(&mut books, clients, Some(ROUND)).await?;
        let restarts: u64 = books.iter().map(|book| book.till.incarnation() - 1).sum();
        let in_doubt: u64 = books.iter().map(|book| book.in_doubt.load(Relaxed)).sum();
        let lost: u64 = books.iter().map(|book| book.lost()).sum();
        let rate = operations as f64 / began.elapsed().as_secs_f64();
        let (second, struck) = (start.elapsed().as_secs_f64(), struck.load(Relaxed));
        println!("{second:>8.1} {rate:>10.0}/s {struck:>8} {restarts:>10} {in_doubt:>10} {lost:>6}");
        if lost > 0 {
            break;
        }
    }
    let report = monkey.await?;
    collapses.abort();
    collapses.await.ok();

    // A round that ends by itself: each client waits for its answers.
    let calm = timeout(Duration::from_secs(10), round(&mut books, clients, None)).await;
    let operations = calm.map_err(|_| "no progress, although all is calm")??;
    let acknowledged: u64 = books.iter().map(|book| book.acknowledged.load(Relaxed)).sum();
    let total: u64 = books.iter().map(|book| book.total).sum();
    let lost: u64 = books.iter().map(|book| book.lost()).sum();
    println!("    calm {operations:>10}     answered\n\n{report}");
    println!("{acknowledged} updates acknowledged, {total} there, {lost} lost; every answer is explained");
    if lost > 0 {
        return Err(format!("{lost} acknowledged updates are lost; the seed was {seed}").into());
    }
    town.stop().await?;
    Ok(())
}

/// Lets clients work for so long, or until each has had a hundred answers; then checks what they were told.
async fn round(
    books: &mut [Arc<Book>],
    clients: usize,
    time: Option<Duration>,
) -> Result<usize, Box<dyn Error>> {
    let histories: Vec<History<Counter>> = books.iter().map(|_| History::new()).collect();
    let over = Arc::new(AtomicBool::new(false));
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let (books, over) = (books.to_vec(), over.clone());
        let recorders: Vec<_> = histories.iter().map(History::client).collect();
        working.spawn(async move {
            let mut left = if time.is_some() { u64::MAX } else { 100 };
            while left > 0 && !over.load(Relaxed) {
                let n = fastrand::usize(..books.len());
                let op = if fastrand::u8(..8) == 0 { CounterOp::Get } else { CounterOp::Add(1) };
                let pending = recorders[n].invoke(op);
                let answer = books[n].till.call(|reply| (op, reply)).await;
                pending.kept(&answer);
                books[n].note(op, &answer);
                match answer {
                    Ok(_) => left -= 1,
                    Err(error) if time.is_none() => {
                        return Err(format!("no answer although all is calm: {error}"));
                    }
                    Err(_) => yield_now().await,
                }
            }
            Ok(())
        });
    }
    if let Some(time) = time {
        tokio::time::sleep(time).await;
        over.store(true, Relaxed);
    }
    while let Some(client) = working.join_next().await {
        client??;
    }

    let mut operations = 0;
    for (book, history) in books.iter_mut().zip(histories) {
        let auditor = history.client();
        // The clients are done with it, and gave back their clones.
        let book = Arc::get_mut(book).ok_or("somebody still writes")?;
        let started = Counter::starting_at(book.total);
        book.total = loop {
            let pending = auditor.invoke(CounterOp::Get);
            let answer = book.till.call(|reply| (CounterOp::Get, reply)).await;
            pending.kept(&answer);
            match answer {
                Ok(total) => break total,
                Err(_) => yield_now().await,
            }
        };
        operations += history.operations().len();
        spawn_blocking(move || history.check(&started)).await??;
    }
    Ok(operations)
}

impl Book {
    fn note(&self, op: CounterOp, answer: &Result<u64, CallError>) {
        let CounterOp::Add(by) = op else { return };
        match answer {
            Ok(_) => self.acknowledged.fetch_add(by, Relaxed),
            Err(CallError::Crashed(_)) => 0,
            Err(error) if error.may_have_run() => self.in_doubt.fetch_add(by, Relaxed),
            Err(_) => 0,
        };
    }

    fn lost(&self) -> u64 {
        self.acknowledged.load(Relaxed).saturating_sub(self.total)
    }
}

/// Kills the supervisor of all tills about twice a second.
async fn collapse(shop: SupervisorRef, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        tokio::time::sleep(Duration::from_millis(rng.u64(..1000))).await;
        shop.kill_supervisor();
    }
}
