//! What clients of a service asked and were answered, and whether any sequential service could have answered that.
//!
//! A [`History`] records when each operation was invoked and when it returned. It is *linearizable* if each operation can be
//! given a moment between the two at which it took effect at once, so that the answers are those of the [`Model`]: a plain
//! sequential program. For clients that is all the difference there is between a server that crashes and one that does not:
//! an update that was lost, applied twice, seen too early or too late leaves no such moments.
//!
//! An operation without an answer (a timeout) may have taken effect at any time since its invocation, or never. One that surely
//! did not happen is left out.
//!
//! Linearizability is by Herlihy and Wing (*Linearizability: a correctness condition for concurrent objects*, 1990): an
//! operation precedes another one only if it returned before that was invoked, and pending operations may be completed or left
//! out. It is *local*: if each object by itself is linearizable all are together, so let each key have a history of its own. The
//! search is that of Wing and Gong (*Testing and verifying concurrent objects*, 1993), with the memory of configurations seen
//! that Lowe gave it (*Testing for linearizability*, 2017). The problem is NP-complete, so it can take long for a history with
//! many operations at a time; that of a [`Counter`] takes `O(n log n)`.
//!
//! # Examples
//!
//! ```
//! use undying::chaos::history::{Counter, CounterOp, History};
//!
//! let history = History::<Counter>::new();
//! let (anna, ben) = (history.client(), history.client());
//!
//! let adding = anna.invoke(CounterOp::Add(1));
//! let reading = ben.invoke(CounterOp::Get); // while the other one is at it
//! adding.returned(1);
//! reading.returned(0); // it came first
//! assert!(history.check(&Counter::default()).is_ok());
//!
//! ben.invoke(CounterOp::Get).returned(0);
//! let violation = history.check(&Counter::default()).unwrap_err(); // a stale read
//! println!("{violation}");
//! # assert_eq!(violation.culprits(), 2);
//! ```

mod counter;
mod model;
mod register;
mod search;
mod shrink;
mod violation;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::error::CallError;

pub use self::{
    counter::{Counter, CounterOp},
    model::{Contradiction, Model},
    register::{Register, RegisterOp, RegisterRet},
    violation::Violation,
};

/// What the clients of one object have done and seen. Clones are the same history.
///
/// Recording is cheap, and orders clients no more than they are ordered anyway: each has a buffer of its own, and all they
/// share is the counter of [stamps](Operation::invoked).
///
/// # Examples
///
/// ```
/// use undying::chaos::history::{Counter, CounterOp, History};
///
/// let history = History::<Counter>::new();
/// let client = history.client();
///
/// let pending = client.invoke(CounterOp::Add(2)); // before the service is asked
/// pending.returned(2); //                            and when it has answered
/// client.invoke(CounterOp::Add(3)).unknown(); //     nobody knows whether that was done
/// client.invoke(CounterOp::Add(4)).failed(); //      that was not
/// client.invoke(CounterOp::Get).returned(5); //      so the 3 was, and the 4 was not
///
/// assert_eq!(history.operations().len(), 4);
/// history.check(&Counter::default()).unwrap();
///
/// client.invoke(CounterOp::Get).returned(2); // too late for that
/// assert!(history.check(&Counter::default()).is_err());
/// ```
pub struct History<M: Model> {
    shared: Arc<Shared<M>>,
}

/// One who invokes operations: whatever works through them one after the other, such as a task or a thread.
///
/// If it invokes several at a time they are taken for concurrent, as they are.
pub struct Client<M: Model> {
    shared: Arc<Shared<M>>,
    log: Arc<Log<M>>,
    number: usize,
}

/// An operation that was invoked and has not returned. Dropped, it has an [unknown](Fate::Unknown) outcome, as it should when
/// the future that waits for the answer is dropped.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/counter.md")]
/// use undying::{ServerSpec, chaos::history::{Counter as Model, CounterOp, History}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// let history = History::<Model>::new();
/// let client = history.client();
/// let pending = client.invoke(CounterOp::Get); // first this, then the call
/// let answer = counter.call(|get| get).await;
/// pending.kept(&answer);
/// history.check(&Model::default())?;
/// # Ok(())
/// # }
/// ```
#[must_use = "an operation that is dropped may have happened or not"]
pub struct Pending<M: Model> {
    shared: Arc<Shared<M>>,
    log: Arc<Log<M>>,
    index: usize,
}

/// An operation as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation<Op, Ret> {
    /// Whose it was; clients are numbered from 0.
    pub client: usize,
    /// What was asked.
    pub op: Op,
    /// When it was invoked: a number that is smaller than that of everything that happened later.
    pub invoked: u64,
    /// What became of it.
    pub fate: Fate<Ret>,
}

/// What is known of the outcome of an operation.
///
/// # Examples
///
/// ```
/// use undying::chaos::history::{Counter, CounterOp, Fate, History};
///
/// let history = History::<Counter>::new();
/// let client = history.client();
/// client.invoke(CounterOp::Add(1)).returned(1);
/// drop(client.invoke(CounterOp::Add(1))); // its answer was not waited for
/// let [answered, dropped] = &history.operations()[..] else { panic!() };
/// assert!(matches!(answered.fate, Fate::Returned { answer: 1, .. }));
/// assert_eq!(dropped.fate, Fate::Unknown);
/// assert!(answered.invoked < dropped.invoked && answered.client == dropped.client);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "ok, fail and info are all there is")]
pub enum Fate<Ret> {
    /// It was answered.
    Returned {
        /// What.
        answer: Ret,
        /// When: a number of the same kind as [`Operation::invoked`].
        at: u64,
    },
    /// It surely did not happen.
    Failed,
    /// It happened at any time since it was invoked, or will happen, or never will.
    Unknown,
}

type Log<M> = Mutex<Vec<Operation<<M as Model>::Op, <M as Model>::Ret>>>;

struct Shared<M: Model> {
    /// The next stamp.
    ///
    /// H1: A stamp is taken before the operation is sent, and after its answer has come. So what is recorded is never shorter
    /// than what was, and no operation is said to precede another one that it did not.
    ///
    /// H2: `Relaxed` is enough for that, and makes nobody wait for what another one wrote. Say `a` is stamped as returned before
    /// `b` is as invoked. Had the service done `b` before `a`, `b`'s stamp would happen before its sending, before its work,
    /// before that of `a`, before the answer of `a`, before `a`'s stamp; and of two changes of one atomic that which happens
    /// before has the smaller number.
    clock: AtomicU64,
    logs: Mutex<Vec<Arc<Log<M>>>>,
}

impl<M: Model> Shared<M> {
    fn stamp(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

impl<M: Model> History<M> {
    /// An empty history.
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared { clock: AtomicU64::new(0), logs: Mutex::new(Vec::new()) }) }
    }

    /// Another client.
    pub fn client(&self) -> Client<M> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut logs = self.shared.logs.lock();
        logs.push(log.clone());
        Client { shared: self.shared.clone(), log, number: logs.len() - 1 }
    }

    /// What has been recorded by now, in the order of invocation. Those that have not returned yet are
    /// [unknown](Fate::Unknown).
    pub fn operations(&self) -> Vec<Operation<M::Op, M::Ret>> {
        let logs = self.shared.logs.lock().clone();
        let mut operations: Vec<_> = logs.iter().flat_map(|log| log.lock().clone()).collect();
        operations.sort_unstable_by_key(|operation| operation.invoked);
        operations
    }

    /// Whether what has been recorded by now could have been answered by a service that does one operation after the other, as
    /// `model` does.
    ///
    /// It computes, and does not yield: check a large history where that may block, such as
    /// [`spawn_blocking`](tokio::task::spawn_blocking), or at the end of a test.
    ///
    /// # Errors
    ///
    /// [`Violation`] if not, with the few operations that contradict each other.
    pub fn check(&self, model: &M) -> Result<(), Violation> {
        let mut operations = self.operations();
        operations.retain(|operation| operation.fate != Fate::Failed);
        verify(model, &operations)
    }
}

/// The verdict on `operations`, which are in the order of invocation, without those that did not happen.
fn verify<M: Model>(model: &M, operations: &[Operation<M::Op, M::Ret>]) -> Result<(), Violation> {
    match model.verdict(operations) {
        Some(Ok(())) => Ok(()),
        Some(Err(contradiction)) => Err(Violation::of(operations, contradiction)),
        None => {
            let Err(blocked) = search::search(model, operations) else { return Ok(()) };
            let culprits = shrink::shrink(model, operations, blocked);
            Err(Violation::of(operations, Contradiction::between(culprits)))
        }
    }
}

impl<M: Model> Client<M> {
    /// Records that it is about to do `op`. Call this first, and then ask the service.
    pub fn invoke(&self, op: M::Op) -> Pending<M> {
        let mut log = self.log.lock();
        let index = log.len();
        // Room first: the allocator may take its time, and an operation should not seem longer for it.
        log.reserve(1);
        let invoked = self.shared.stamp();
        log.push(Operation { client: self.number, op, invoked, fate: Fate::Unknown });
        drop(log);
        Pending { shared: self.shared.clone(), log: self.log.clone(), index }
    }
}

impl<M: Model> Pending<M> {
    /// It was answered.
    pub fn returned(self, answer: M::Ret) {
        let at = self.shared.stamp();
        self.end(Fate::Returned { answer, at });
    }

    /// It surely did not happen, and never will.
    pub fn failed(self) {
        self.end(Fate::Failed);
    }

    /// Nobody knows whether it has happened, or will happen yet. The same as to drop it.
    pub fn unknown(self) {}

    /// The answer of a [`call`](crate::ServerRef::call) of any server: it [failed](Self::failed) unless it
    /// [may have run](CallError::may_have_run), and is [unknown](Self::unknown) if it may.
    ///
    /// A call that [`Crashed`](CallError::Crashed) is unknown by that, too: see [`kept`](Self::kept).
    pub fn answered(self, answer: &Result<M::Ret, CallError>) {
        match answer {
            Ok(answer) => self.returned(answer.clone()),
            Err(error) if error.may_have_run() => self.unknown(),
            Err(_) => self.failed(),
        }
    }

    /// As [`answered`](Self::answered), and [`Crashed`](CallError::Crashed) means that it failed: so it is if all it does, it does
    /// to the state, which is kept after [every callback](crate::CommitPolicy::EveryCallback) and not
    /// [delivered again](crate::Redelivery). This is the stricter test, and the faster one.
    pub fn kept(self, answer: &Result<M::Ret, CallError>) {
        match answer {
            Err(CallError::Crashed(_)) => self.failed(),
            answer => self.answered(answer),
        }
    }

    fn end(self, fate: Fate<M::Ret>) {
        self.log.lock()[self.index].fate = fate;
    }
}

impl<M: Model> Default for History<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Model> Clone for History<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<M: Model> fmt::Debug for History<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("clients", &self.shared.logs.lock().len()).finish_non_exhaustive()
    }
}

impl<M: Model> fmt::Debug for Client<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<M: Model> fmt::Debug for Pending<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("index", &self.index).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
