//! Those who ask, and write down what they are told.

use std::time::Duration;

use fastrand::Rng;
use tokio::{task::JoinSet, time::timeout};
use undying::{CallError, ServerRef};

use crate::till::{Course, Goods, Order, TORN, Till};

pub(crate) const CLIENTS: u64 = 8;

/// By then every operation has an answer, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes down what one client asks and is told.
pub(crate) trait Scribe<G: Goods>: Send + 'static {
    /// What was asked and not answered yet.
    type Open: Send;

    fn asks(&mut self, op: &G::Op) -> Self::Open;
    fn is_told(&mut self, open: Self::Open, answer: &Result<G::Ret, CallError>);
}

/// What clients do in one round.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) seed: u64,
    /// How many operations each of them does.
    pub(crate) each: u64,
    /// Whether callbacks crash by themselves.
    pub(crate) crashes: bool,
    /// Which errors are as promised; any other one fails the test.
    pub(crate) expected: fn(&CallError) -> bool,
}

impl Round {
    /// Has a client for each scribe, all at a time.
    pub(crate) async fn play<G: Goods, S: Scribe<G>>(self, till: &ServerRef<Till<G>>, scribes: Vec<S>) {
        let mut clients = JoinSet::new();
        for (number, scribe) in scribes.into_iter().enumerate() {
            let rng = Rng::with_seed(self.seed.wrapping_mul(CLIENTS).wrapping_add(number as u64));
            clients.spawn(self.client(till.clone(), scribe, rng));
        }
        timeout(PATIENCE, clients.join_all()).await.expect("every operation is answered");
    }

    async fn client<G: Goods, S: Scribe<G>>(self, till: ServerRef<Till<G>>, mut scribe: S, mut rng: Rng) {
        for _ in 0..self.each {
            if self.crashes && rng.u8(..8) == 0 {
                // So that there is something else in the mailbox, too.
                till.try_cast(Course::draw(&mut rng)).ok();
            }
            let (op, course, peeks) = (G::draw(&mut rng), Course::draw(&mut rng), rng.bool());
            let course = if self.crashes { course } else { Course::Well };
            let open = scribe.asks(&op);
            let answer = match G::only_looks(&op) && peeks {
                true => Ok(peek(&till, &op)),
                false => till.call(|reply| Order { op, course, reply }).no_timeout().await,
            };
            if let Err(error) = &answer {
                assert!(!is_torn(error), "{TORN}");
                assert!((self.expected)(error), "{error}");
                // A client of a server that is over does not spin.
                tokio::task::yield_now().await;
            }
            scribe.is_told(open, &answer);
        }
    }
}

/// What is kept, read past the worker: as good an answer as any.
fn peek<G: Goods>(till: &ServerRef<Till<G>>, op: &G::Op) -> G::Ret {
    let kept = till.peek();
    assert!(kept.value == kept.twin, "{TORN}");
    G::apply(&mut kept.value.clone(), op)
}

fn is_torn(error: &CallError) -> bool {
    matches!(error, CallError::Crashed(report) if report.message() == TORN)
}

/// A server that is not ended keeps its promise to the letter: a call is answered, or it crashed.
pub(crate) fn crashed(error: &CallError) -> bool {
    matches!(error, CallError::Crashed(_))
}
