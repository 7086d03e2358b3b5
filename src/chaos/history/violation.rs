//! A contradiction as somebody can read it: a few bars along a line of time.

use std::{error::Error, fmt};

use super::{Contradiction, Fate, Operation};

/// How many operations are drawn at most, and how many that have no part in it.
const DRAWN: usize = 16;
const BESIDES: usize = 6;

/// How wide the words about an operation are at most.
const WORDS: usize = 60;

/// No order explains the answers: what [`History::check`](super::History::check) says of a history that is not linearizable.
///
/// As text, by `Debug` too, it is a picture of the few operations that contradict each other, whatever the others have done:
///
/// ```text
/// not linearizable: no order explains these 2 answers, whatever the 7 other operations have done
/// both say that they brought it to 4
///
/// client 2  Add(1) → 4  ├─────┤
/// client 0  Add(1) → 4     ├─────┤
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    culprits: usize,
    others: usize,
    text: String,
}

impl Violation {
    pub(super) fn of<Op: fmt::Debug, Ret: fmt::Debug>(
        history: &[Operation<Op, Ret>],
        contradiction: Contradiction,
    ) -> Self {
        let Contradiction { culprits, why } = contradiction;
        let others = history.len() - culprits.len();
        let answers = match culprits.len() {
            1 => "this answer".into(),
            n => format!("these {n} answers"),
        };
        let besides = match others {
            0 => String::new(),
            1 => ", whatever the other operation has done".into(),
            n => format!(", whatever the {n} other operations have done"),
        };
        let mut text = format!("not linearizable: no order explains {answers}{besides}\n");
        text.extend(why.map(|why| why + "\n"));
        text.push('\n');

        // Of many it is the last ones where the history becomes impossible.
        let drawn = &culprits[culprits.len().saturating_sub(DRAWN)..];
        let end = drawn.iter().filter_map(|place| history[*place].returned()).max().unwrap_or(u64::MAX);
        let witnesses: Vec<usize> = (0..history.len())
            .filter(|place| history[*place].invoked < end && culprits.binary_search(place).is_err())
            .take(BESIDES + 1)
            .collect();
        let witnesses = if witnesses.len() > BESIDES { &[] } else { &witnesses[..] };
        let picture = Picture::of(drawn.iter().chain(witnesses).map(|place| &history[*place]));
        if culprits.len() > drawn.len() {
            text.push_str(&format!("({} earlier ones are not drawn)\n", culprits.len() - drawn.len()));
        }
        drawn.iter().for_each(|place| text.push_str(&picture.line(&history[*place])));
        if !witnesses.is_empty() {
            text.push_str("besides:\n");
            witnesses.iter().for_each(|place| text.push_str(&picture.line(&history[*place])));
        }
        Self { culprits: culprits.len(), others, text }
    }

    /// How many operations contradict each other.
    pub fn culprits(&self) -> usize {
        self.culprits
    }

    /// How many others there are in the history.
    pub fn others(&self) -> usize {
        self.others
    }
}

/// What all bars have in common.
struct Picture {
    /// The moments that are drawn, a column each.
    moments: Vec<u64>,
    label: usize,
}

impl Picture {
    fn of<'a, Op: fmt::Debug + 'a, Ret: fmt::Debug + 'a>(
        operations: impl Iterator<Item = &'a Operation<Op, Ret>>,
    ) -> Self {
        let mut picture = Self { moments: Vec::new(), label: 0 };
        for operation in operations {
            picture.moments.push(operation.invoked);
            picture.moments.extend(operation.returned());
            picture.label = picture.label.max(operation.label().chars().count());
        }
        picture.moments.sort_unstable();
        picture.moments.dedup();
        picture
    }

    fn line<Op: fmt::Debug, Ret: fmt::Debug>(&self, operation: &Operation<Op, Ret>) -> String {
        let column = |moment| 3 * self.moments.partition_point(|other| *other < moment);
        let begin = column(operation.invoked);
        let bar = match operation.returned() {
            Some(at) => format!("├{}┤", "─".repeat(column(at) - begin - 1)),
            None => format!("├{}╌ ?", "─".repeat(3 * self.moments.len() - begin - 1)),
        };
        format!("{:<2$}  {:3$}{bar}\n", operation.label(), "", self.label, begin)
    }
}

impl<Op: fmt::Debug, Ret: fmt::Debug> Operation<Op, Ret> {
    fn returned(&self) -> Option<u64> {
        match self.fate {
            Fate::Returned { at, .. } => Some(at),
            Fate::Failed | Fate::Unknown => None,
        }
    }

    fn label(&self) -> String {
        let answer = match &self.fate {
            Fate::Returned { answer, .. } => format!(" → {answer:?}"),
            Fate::Failed | Fate::Unknown => String::new(),
        };
        let words = format!("{:?}{answer}", self.op);
        let cut = match words.char_indices().nth(WORDS) {
            Some((end, _)) => format!("{}…", &words[..end]),
            None => words,
        };
        format!("client {}  {cut}", self.client)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

/// The picture, since it is this that `unwrap` shows.
impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Error for Violation {}
