//! One round after the other, until there were as many operations and crashes as are wanted.

use std::{
    env, fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use undying::{CallError, ServerRef};

use crate::{
    clients::{CLIENTS, Round, Scribe},
    nemesis::Nemesis,
    till::{Course, Goods, Order, Till},
};

/// Checks what the clients of one round were told.
pub(crate) trait Auditor<G: Goods>: Sized {
    type Scribe: Scribe<G>;

    fn scribe(&self) -> Self::Scribe;
    /// Whether all that was taken down is as promised, from the value at the beginning of the round to that at its end. Panics
    /// if not; otherwise says how many updates were acknowledged.
    fn audit(self, began: G::Value, ended: G::Value) -> u64;
}

/// How much is enough: per change, and where `UNDYING_PROOF` is `long`.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) operations: u64,
    pub(crate) crashes: u64,
    /// Operations of a round.
    pub(crate) round: u64,
}

impl Size {
    pub(crate) fn of(per_change: Self, long: Self) -> Self {
        if env::var("UNDYING_PROOF").is_ok_and(|proof| proof == "long") { long } else { per_change }
    }
}

/// A number that all draws come from. Where the test fails it is printed.
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn new() -> Self {
        let given = env::var("UNDYING_SEED").ok();
        Self(given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("UNDYING_SEED is a number")))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("again with UNDYING_SEED={}", self.0);
        }
    }
}

/// What was done, and that nothing was lost.
pub(crate) struct Report<'a> {
    pub(crate) name: &'a str,
    pub(crate) operations: u64,
    pub(crate) acknowledged: u64,
    pub(crate) crashes: u64,
    pub(crate) strikes: u64,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    pub(crate) took: Duration,
}

impl Report<'_> {
    /// That, and as much again as `other` says.
    #[cfg(feature = "chaos")]
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.crashes += other.crashes;
        self.strikes += other.strikes;
        self.rounds += other.rounds;
        self.took += other.took;
        self
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, operations, acknowledged, crashes, strikes, rounds, seed, took } = self;
        write!(
            f,
            "{name}: {operations} operations, {crashes} crashes, {strikes} strikes of the nemesis; {acknowledged} updates \
             acknowledged, 0 lost, 0 applied twice; {rounds} rounds checked; UNDYING_SEED={seed}, {took:.1?}"
        )
    }
}

/// A till, what to do to it, and what may be said of that.
pub(crate) struct Soak<'a, G: Goods> {
    pub(crate) name: &'a str,
    pub(crate) till: ServerRef<Till<G>>,
    pub(crate) size: Size,
    pub(crate) seed: u64,
    pub(crate) expected: fn(&CallError) -> bool,
    /// How many incarnations have begun.
    pub(crate) begun: Arc<AtomicU64>,
    /// How many of them may begin after the last strike.
    pub(crate) afterwards: u64,
}

impl<'a, G: Goods> Soak<'a, G>
where
    G::Value: Default,
{
    /// First faults, then calm. Each round has an auditor of its own.
    pub(crate) async fn run<A: Auditor<G>>(
        self,
        strike: impl FnMut(&mut Rng) + Send + 'static,
        auditor: impl Fn() -> A,
    ) -> Report<'a> {
        let Self { name, till, size, seed, expected, begun, afterwards } = self;
        let began = Instant::now();
        let mut report = Report {
            name,
            operations: 0,
            acknowledged: 0,
            crashes: 0,
            strikes: 0,
            rounds: 0,
            seed,
            took: Duration::ZERO,
        };
        let mut value = G::Value::default();
        let nemesis = Nemesis::begin(seed, strike);
        while report.operations < size.operations || report.crashes < size.crashes {
            let seed = seed.wrapping_add(report.rounds);
            let round = Round { seed, each: size.round / CLIENTS, crashes: true, expected };
            report.acknowledged += self::round(&till, round, auditor(), &mut value).await;
            report.rounds += 1;
            report.operations += round.each * CLIENTS;
            report.crashes = till.incarnation() - 1;
        }
        report.strikes = nemesis.end();

        // G10: faults have ceased. What was struck last may still be falling, and then nothing goes wrong any more.
        let last = begun.load(Relaxed) + afterwards;
        for expected in [expected, |_: &CallError| false] {
            let round = Round { seed, each: 100, crashes: false, expected };
            report.acknowledged += self::round(&till, round, auditor(), &mut value).await;
            report.operations += round.each * CLIENTS;
            report.rounds += 1;
        }
        let begun = begun.load(Relaxed);
        assert!(begun <= last, "{begun} incarnations and not {last} at most");
        report.crashes = till.incarnation() - 1;
        report.took = began.elapsed();
        report
    }
}

/// One round, at the end of which the clients rest and `value` is read. The next one begins with it.
async fn round<G: Goods, A: Auditor<G>>(
    till: &ServerRef<Till<G>>,
    round: Round,
    auditor: A,
    value: &mut G::Value,
) -> u64 {
    round.play(till, (0..CLIENTS).map(|_| auditor.scribe()).collect()).await;
    let mut scribe = auditor.scribe();
    loop {
        let open = scribe.asks(&G::LOOK);
        let answer = till.call(|reply| Order { op: G::LOOK, course: Course::Well, reply }).no_timeout().await;
        scribe.is_told(open, &answer);
        match answer {
            Ok(_) => break,
            Err(error) => assert!((round.expected)(&error), "{error}"),
        }
        tokio::task::yield_now().await;
    }
    drop(scribe);
    let ended = till.peek().value.clone();
    let began = mem::replace(value, ended.clone());
    tokio::task::block_in_place(|| auditor.audit(began, ended))
}
