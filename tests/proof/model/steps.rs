//! The steps there are.

use proptest::{collection::vec, option, prelude::*};

/// A server, and what is done to it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// Of its mailbox; `None`: it has no bound.
    pub(super) capacity: Option<usize>,
    /// Its supervisor gives it another life also after an end in good order.
    pub(super) is_permanent: bool,
    /// Its state survives its lives.
    pub(super) is_preserved: bool,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// With a timeout in milliseconds, if it has one.
    Call(Op, Option<u64>),
    Cast(Op),
    Send(Op),
    /// Lets a callback go on that [holds](Op::Hold).
    Release,
    KillWorker,
    Kill,
    Stop,
    /// Keeps a snapshot, which never changes.
    Peek,
    /// Drops one of the calls that are pending.
    DropCall(usize),
    /// Drops the handle, for one that the supervisor has.
    DropHandle,
    /// So many milliseconds pass.
    Advance(u64),
    /// Gives it to the other supervisor.
    Transfer,
}

/// What a message asks for. All but a look enter its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Look,
    /// Waits, in the middle of the callback, to be released.
    Hold,
    Panic,
    Fail,
    /// The state it leaves panics when it is cloned.
    FailToClone,
    /// Leaves its answer to another.
    Defer,
    /// Answers all that were deferred.
    Answer,
    /// Arms a timer of so many milliseconds.
    Arm(u64),
    /// Enters twice: once in a continue.
    Chain,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Add),
        1 => Just(Op::Look),
        3 => Just(Op::Hold),
        1 => Just(Op::Panic),
        1 => Just(Op::Fail),
        1 => Just(Op::FailToClone),
        2 => Just(Op::Defer),
        1 => Just(Op::Answer),
        2 => (1..50_u64).prop_map(Op::Arm),
        1 => Just(Op::Chain),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (op(), option::of(1..60_u64)).prop_map(|(op, timeout)| Step::Call(op, timeout)),
        8 => op().prop_map(Step::Cast),
        4 => op().prop_map(Step::Send),
        7 => Just(Step::Release),
        3 => Just(Step::KillWorker),
        1 => Just(Step::Kill),
        1 => Just(Step::Stop),
        1 => Just(Step::Peek),
        2 => (0..8_usize).prop_map(Step::DropCall),
        1 => Just(Step::DropHandle),
        5 => (1..40_u64).prop_map(Step::Advance),
        2 => Just(Step::Transfer),
    ]
}

/// Cases of so many steps on average, so that they can be shrunk.
pub(super) fn case(steps: usize) -> impl Strategy<Value = Case> {
    let steps = vec(step(), 1..2 * steps);
    (option::of(1..4_usize), prop::bool::weighted(0.8), any::<bool>(), steps).prop_map(
        |(capacity, is_permanent, is_preserved, steps)| Case { capacity, is_permanent, is_preserved, steps },
    )
}
