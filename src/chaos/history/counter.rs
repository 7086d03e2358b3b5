//! A counter, whose answers say in which order the operations took effect: so nothing has to be searched for.

use super::{Contradiction, Fate, Model, Operation};

/// The model of a counter: what is added to it, it answers with the new total. A history of it is checked in `O(n log n)`, a
/// million operations in about a second, unless there are additions of unknown outcome and of others than one.
///
/// # Examples
///
/// ```
/// use undying::chaos::history::{Counter, CounterOp, History};
///
/// let history = History::<Counter>::new();
/// let (anna, ben) = (history.client(), history.client());
/// anna.invoke(CounterOp::Add(2)).returned(12);
/// ben.invoke(CounterOp::Get).returned(12);
/// assert!(history.check(&Counter::starting_at(10)).is_ok());
/// ben.invoke(CounterOp::Get).returned(10); // not any more
/// assert!(history.check(&Counter::starting_at(10)).is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    start: u64,
}

/// What can be asked of a [`Counter`]. The answer to both is the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the operations of a counter")]
pub enum CounterOp {
    /// Adds so many. The answer is the new total. It wraps around.
    Add(u64),
    /// The answer is the total.
    Get,
}

impl Counter {
    /// A counter that is at `start` at first; that of [`default`](Self::default) is at 0.
    pub fn starting_at(start: u64) -> Self {
        Self { start }
    }
}

impl Model for Counter {
    type State = u64;
    type Op = CounterOp;
    type Ret = u64;

    fn init(&self) -> u64 {
        self.start
    }

    fn apply(&self, total: &mut u64, op: &CounterOp) -> u64 {
        *total = total.wrapping_add(op.amount());
        *total
    }

    fn verdict(&self, history: &[Operation<CounterOp, u64>]) -> Option<Result<(), Contradiction>> {
        let line = Line::of(self.start, history)?;
        Some(line.nothing_overlaps().and_then(|()| line.everything_fits()))
    }
}

impl CounterOp {
    fn amount(self) -> u64 {
        match self {
            Self::Add(by) => by,
            Self::Get => 0,
        }
    }
}

type History<'a> = &'a [Operation<CounterOp, u64>];

/// The answered operations in the only order that their answers allow: by the total they brought about; and those that
/// only looked after the one that brought it about. What has looked at the same total is in any order.
struct Line<'a> {
    start: u64,
    history: History<'a>,
    steps: Vec<Step>,
    /// The additions of one whose outcome is not known, in the order of invocation.
    loose: Vec<usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    total: u64,
    looks: bool,
    place: usize,
    by: u64,
    returned: u64,
}

impl<'a> Line<'a> {
    /// None where totals may wrap around, or where unknown additions fill gaps in more than one way.
    fn of(start: u64, history: History<'a>) -> Option<Self> {
        let all: u128 = history.iter().map(|operation| u128::from(operation.op.amount())).sum();
        u64::try_from(u128::from(start) + all).ok()?;
        let (mut steps, mut loose) = (Vec::with_capacity(history.len()), Vec::new());
        for (place, operation) in history.iter().enumerate() {
            let by = operation.op.amount();
            match operation.fate {
                Fate::Returned { answer: total, at: returned } => {
                    steps.push(Step { total, looks: by == 0, place, by, returned });
                }
                Fate::Unknown if by == 1 => loose.push(place),
                Fate::Unknown if by > 1 => return None,
                Fate::Unknown | Fate::Failed => {}
            }
        }
        steps.sort_unstable();
        Some(Self { start, history, steps, loose })
    }

    /// Each addition takes the counter from one total to another, past none that somebody else has seen or made.
    fn nothing_overlaps(&self) -> Result<(), Contradiction> {
        let mut before: Option<&Step> = None;
        for step in &self.steps {
            let from = step.total.checked_sub(step.by).filter(|from| *from >= self.start);
            let Some(from) = from else {
                let why = format!("the counter was at {} from the beginning", self.start);
                return Err(Contradiction::between([step.place]).because(why));
            };
            if let Some(before) = before.filter(|before| before.total > from) {
                let why = match before.total {
                    same if same == step.total => format!("both say that they brought it to {same}"),
                    passed => {
                        format!(
                            "one took it from {from} to {}, and the other one found it at {passed}",
                            step.total
                        )
                    }
                };
                return Err(Contradiction::between([before.place, step.place]).because(why));
            }
            before = Some(step);
        }
        Ok(())
    }

    /// The order is that of time, too; and where a total is missing, an addition of unknown outcome was there in time.
    fn everything_fits(&self) -> Result<(), Contradiction> {
        let soonest = self.soonest();
        // Of those with a place before the present one, who was invoked last; and the same with those beside it.
        let (mut before, mut so_far): (Option<&Step>, Option<&Step>) = (None, None);
        let (mut total, mut used) = (self.start, 0);
        for (n, step) in self.steps.iter().enumerate() {
            // Nothing overlaps, so each step that adds has a place of its own.
            let beside =
                n > 0 && step.looks && self.steps[n - 1].looks && self.steps[n - 1].total == step.total;
            if !beside {
                before = so_far;
            }
            if let Some(before) = before.filter(|before| self.invoked(before) > step.returned) {
                let why = format!("it was at {} before it was at {}", step.total, before.total);
                let why =
                    if step.total == before.total { "it was there before it came there".into() } else { why };
                return Err(Contradiction::between([before.place, step.place]).because(why));
            }
            let missing = step.total - step.by - total;
            if missing > 0 {
                // The one that was invoked first takes the lowest total: the higher ones have all the time that the lower ones
                // have, and more.
                used += missing;
                let hurried = &self.steps[soonest[n]];
                let last = usize::try_from(used - 1).ok().and_then(|last| self.loose.get(last));
                if last.is_none_or(|&last| self.history[last].invoked > hurried.returned) {
                    return Err(self.too_few(hurried));
                }
            }
            total = step.total;
            so_far = so_far.filter(|so_far| self.invoked(so_far) > self.invoked(step)).or(Some(step));
        }
        Ok(())
    }

    /// For each step, which one from there on has returned first.
    fn soonest(&self) -> Vec<usize> {
        let mut soonest: Vec<usize> = (0..self.steps.len()).collect();
        for n in (1..self.steps.len()).rev() {
            let (this, next) = (soonest[n - 1], soonest[n]);
            if self.steps[next].returned < self.steps[this].returned {
                soonest[n - 1] = next;
            }
        }
        soonest
    }

    /// `step` has seen more than anybody had asked for when it returned; those apart that say to have come after it.
    fn too_few(&self, step: &Step) -> Contradiction {
        let needed = step.total - step.by - self.start;
        let in_time = |place: &usize| self.history[*place].invoked < step.returned;
        let known = self.steps.iter().filter(|other| in_time(&other.place));
        let (lower, mut later): (Vec<&Step>, Vec<&Step>) = known.partition(|other| other.total <= step.total);
        let loose = self.loose.iter().filter(|place| in_time(place)).count() as u64;
        let mut at_most = loose + lower.iter().map(|other| other.by).sum::<u64>() - step.by;
        // Some of those that came later might as well have come before it, and it would still be too few.
        later.retain(|other| {
            let spare = at_most + other.by < needed;
            at_most += if spare { other.by } else { 0 };
            !spare
        });
        let why = format!(
            "whoever found it at {} has seen {needed} added, and no more than {at_most} can have been",
            step.total - step.by
        );
        Contradiction::between(later.iter().map(|other| other.place).chain([step.place])).because(why)
    }

    fn invoked(&self, step: &Step) -> u64 {
        self.history[step.place].invoked
    }
}
