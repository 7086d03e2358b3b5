//! Somebody who does faults at random.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::Fault;
use crate::{any::AnyServerRef, gen_server::GenServer, name::ServerId, server_ref::ServerRef};

/// Does faults to servers at random moments, and can do the same again.
///
/// Its draws depend on the seed alone: with the same seed, the same mix of faults and the same number of servers at each strike
/// it strikes the same ones (by their places in the order they were given in) with the same faults after the same pauses. What
/// the servers make of it depends on how their tasks are scheduled, too; to have that the same, run it on a current-thread
/// runtime with a paused clock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use undying::{Callback, ServerSpec, chaos::{Fault, Monkey}};
/// # use undying::{Context, GenServer, Never, Next, Outcome, Reply, StateMut};
/// # #[derive(Clone)] struct Counter;
/// # impl GenServer for Counter {
/// #     type State = u64; type Call = Reply<u64>; type Cast = Never; type Info = Never; type Continue = Never;
/// #     async fn handle_call(&mut self, next: Reply<u64>, mut n: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         *n += 1; next.send(*n); Ok(Next::Wait)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let counter = ServerSpec::new(Counter, 0).start().await.unwrap();
/// let monkey = Monkey::seeded(7)
///     .server(&counter)
///     .fault(Fault::KillWorker, 3)
///     .fault(Fault::CrashNext(Callback::Call), 1);
/// let monkey = tokio::spawn(monkey.run(20));
///
/// let mut total = 0;
/// while !monkey.is_finished() {
///     if let Ok(now) = counter.call(|next| next).await { // once more after a crash
///         assert_eq!(now, total + 1, "acknowledged means kept, crashed means not applied");
///         total = now;
///     }
/// }
/// let report = monkey.await.unwrap();
/// assert_eq!(report.faults.len(), 20, "{report}");
/// # }
/// ```
#[must_use = "it does nothing until it is run"]
pub struct Monkey {
    seed: u64,
    sources: Vec<Source>,
    every: Duration,
    mix: Vec<(Fault, u32)>,
}

/// Where to find servers. A closure, so that they may come and go.
type Source = Box<dyn Fn() -> Vec<AnyServerRef> + Send>;

/// What a [`Monkey`] has done.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/counter.md")]
/// use std::time::Duration;
/// use undying::{ServerSpec, chaos::{Fault, Monkey}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// let report = Monkey::seeded(7).server(&counter).every(Duration::from_millis(1)).run(3).await;
/// let first = &report.faults[0];
/// assert_eq!((report.seed, report.faults.len(), first.fault, first.id), (7, 3, Fault::KillWorker, counter.id()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonkeyReport {
    /// With this it does the same again.
    pub seed: u64,
    /// Whose worker, keeper or supervisor it has killed, in order.
    pub kills: Vec<String>,
    /// All it has done, in order; the kills too.
    pub faults: Vec<Strike>,
}

/// One fault that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Strike {
    /// How long after the beginning, in Tokio's time. It is the moment that was drawn: the same again with the same seed. Where
    /// the runtime is busy, or its clock is coarse, it is done somewhat later.
    pub after: Duration,
    /// Which server.
    pub id: ServerId,
    /// Its name, or its number where it has none.
    pub server: String,
    /// What was done to it.
    pub fault: Fault,
}

impl Monkey {
    /// One whose draws are those of `seed`. Take a random number to begin with; it is printed to standard error when the monkey
    /// runs.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, sources: Vec::new(), every: Duration::from_millis(1), mix: Vec::new() }
    }

    /// Strikes this one, too. Defaults to none: there has to be one, or somewhere to find [some](Self::among).
    pub fn server<S: GenServer>(self, server: &ServerRef<S>) -> Self {
        let server = AnyServerRef::from(server);
        self.among(move || vec![server.clone()])
    }

    /// Strikes these, too: asked before each strike, so that they may come and go. Meant for
    /// [`servers`](crate::SupervisorRef::servers) of a supervisor or a [registry](crate::Registry::servers). Those that are over
    /// are left alone; those that are just starting are not, and a kill in `init` is a failed start.
    pub fn among(mut self, servers: impl Fn() -> Vec<AnyServerRef> + Send + 'static) -> Self {
        self.sources.push(Box::new(servers));
        self
    }

    /// The mean pause between two strikes: each is drawn from none to twice that, and the clock does not wait for the strikes.
    /// Defaults to 1 ms, which is also as fine as Tokio's clock is: shorter ones make for several strikes at a time.
    pub fn every(mut self, mean: Duration) -> Self {
        self.every = mean;
        self
    }

    /// Adds a fault to the mix, which is drawn `weight` times as often as one of weight 1. Defaults to [`Fault::KillWorker`] only,
    /// which has to be added, too, if there is to be anything else besides it.
    pub fn fault(mut self, fault: Fault, weight: u32) -> Self {
        self.mix.push((fault, weight));
        self
    }

    /// Does so many faults. While there is no server alive it waits for one.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it does no more faults; what it has done is told to nobody.
    ///
    /// # Panics
    ///
    /// If it was given nowhere to find servers; and outside a Tokio runtime.
    pub async fn run(self, faults: usize) -> MonkeyReport {
        self.strike(faults, None).await
    }

    /// Does faults for so long, in Tokio's time.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it does no more faults; what it has done is told to nobody.
    ///
    /// # Panics
    ///
    /// If it was given nowhere to find servers; and outside a Tokio runtime.
    pub async fn run_for(self, time: Duration) -> MonkeyReport {
        self.strike(usize::MAX, Some(time)).await
    }

    async fn strike(mut self, faults: usize, time: Option<Duration>) -> MonkeyReport {
        assert!(!self.sources.is_empty(), "a monkey needs servers: tell it which by `server` or `among`");
        if self.mix.iter().all(|(_, weight)| *weight == 0) {
            self.mix = vec![(Fault::KillWorker, 1)];
        }
        eprintln!("chaos: Monkey::seeded({})", self.seed);
        let mut report = MonkeyReport { seed: self.seed, kills: Vec::new(), faults: Vec::new() };
        let mut rng = Rng::with_seed(self.seed);
        let (began, mut after) = (Instant::now(), Duration::ZERO);
        while report.faults.len() < faults {
            let pause = Duration::try_from_secs_f64(self.every.as_secs_f64() * rng.f64() * 2.0);
            after = after.saturating_add(pause.unwrap_or(Duration::MAX));
            let over = time.filter(|time| after > *time);
            sleep(over.unwrap_or(after).saturating_sub(began.elapsed())).await;
            if over.is_some() {
                break;
            }
            let servers = self.servers();
            // The same draws whether there is somebody or not.
            let (fault, place) = (self.draw(&mut rng), rng.f64());
            if let Some(server) = servers.get((place * servers.len() as f64) as usize) {
                server.inflict(fault);
                report.note(after, server, fault);
            }
            // A pause of nothing does not yield, and the struck shall be able to stand up.
            tokio::task::yield_now().await;
        }
        report
    }

    fn servers(&self) -> Vec<AnyServerRef> {
        let all = self.sources.iter().flat_map(|source| source());
        all.filter(AnyServerRef::is_alive).collect()
    }

    fn draw(&self, rng: &mut Rng) -> Fault {
        let all: u64 = self.mix.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut drawn = rng.u64(..all);
        for (fault, weight) in &self.mix {
            match drawn.checked_sub(u64::from(*weight)) {
                Some(left) => drawn = left,
                None => return *fault,
            }
        }
        unreachable!("less than the sum of all weights was drawn")
    }
}

impl MonkeyReport {
    fn note(&mut self, after: Duration, server: &AnyServerRef, fault: Fault) {
        let label = server.name().map_or_else(|| server.id().to_string(), ToOwned::to_owned);
        if matches!(fault, Fault::KillWorker | Fault::KillKeeper | Fault::KillSupervisor) {
            self.kills.push(label.clone());
        }
        self.faults.push(Strike { after, id: server.id(), server: label, fault });
    }
}

/// How much of what was done to how many, and how to do it again.
impl fmt::Display for MonkeyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: BTreeSet<ServerId> = self.faults.iter().map(|strike| strike.id).collect();
        let last = self.faults.last().map_or(Duration::ZERO, |strike| strike.after);
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for strike in &self.faults {
            *kinds.entry(strike.fault.to_string()).or_default() += 1;
        }
        write!(
            f,
            "{} faults on {} servers within {last:.1?}, again with Monkey::seeded({})",
            self.faults.len(),
            servers.len(),
            self.seed
        )?;
        kinds.iter().try_for_each(|(fault, n)| write!(f, "\n{n:>8} × {fault}"))
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?}: {} of {}", self.after, self.fault, self.server)
    }
}

impl fmt::Debug for Monkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monkey")
            .field("seed", &self.seed)
            .field("every", &self.every)
            .field("mix", &self.mix)
            .finish_non_exhaustive()
    }
}
