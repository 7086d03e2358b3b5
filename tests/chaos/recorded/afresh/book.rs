//! What clients of a server of many lives were told, and whether each life keeps its promises.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use undying::{
    CallError,
    chaos::history::{Counter, History},
};

use super::{Life, Mortal};
use crate::{
    clients::Scribe,
    recorded::Checked,
    soak::Auditor,
    till::{Count, CountOp},
};

/// What all clients have asked and been told.
#[derive(Clone, Default)]
pub(super) struct Book(Arc<Pages>);

#[derive(Default)]
struct Pages {
    clock: AtomicU64,
    /// When the `init` of each life ran; it may have been cut, and then it is that of a life that never was.
    births: Mutex<Vec<u64>>,
    entries: Mutex<Vec<Entry>>,
    /// How many updates the audits before have counted.
    counted: AtomicU64,
}

struct Entry {
    op: CountOp,
    invoked: u64,
    fate: Fate,
}

enum Fate {
    Told {
        life: Life,
        at: u64,
    },
    /// It is in one of these lives, or in none.
    Unknown(RangeInclusive<u64>),
}

impl Book {
    fn now(&self) -> u64 {
        self.0.clock.fetch_add(1, Relaxed)
    }

    /// How many lives have begun, which is also the number of the last one.
    pub(super) fn lives(&self) -> u64 {
        self.0.births.lock().len() as u64
    }

    /// Numbers a life that begins.
    pub(super) fn birth(&self, life: &mut Life) {
        let mut births = self.0.births.lock();
        births.push(self.now());
        life.number = births.len() as u64;
    }
}

impl Scribe<Mortal> for Book {
    /// What, when, and in which life.
    type Open = (CountOp, u64, u64);

    fn asks(&mut self, op: &CountOp) -> Self::Open {
        let life = self.lives();
        (*op, self.now(), life)
    }

    fn is_told(&mut self, (op, invoked, life): Self::Open, answer: &Result<Life, CallError>) {
        let at = self.now();
        let fate = match answer {
            // Before its `init` a life has the state of the spec, for those who peek.
            Ok(Life { number: 0, total }) => return assert_eq!((op, *total), (CountOp::Look, 0)),
            Ok(life) => Fate::Told { life: *life, at },
            Err(CallError::Stopped(_)) => Fate::Unknown(life..=self.lives()),
            Err(_) => return,
        };
        self.0.entries.lock().push(Entry { op, invoked, fate });
    }
}

impl Auditor<Mortal> for Book {
    type Scribe = Self;

    fn scribe(&self) -> Self {
        self.clone()
    }

    fn audit(self, _: Life, _: Life) -> u64 {
        let (births, mut entries) = (self.0.births.lock(), self.0.entries.lock());
        entries.sort_unstable_by_key(|entry| entry.invoked);
        one_after_the_other(&births, &entries);
        for number in 1..=births.len() as u64 {
            history(number, &entries).check(&Counter::default()).expect("linearizable in its life");
        }
        let acknowledged =
            |entry: &&Entry| entry.op == CountOp::Add && matches!(entry.fate, Fate::Told { .. });
        let all = entries.iter().filter(acknowledged).count() as u64;
        all - self.0.counted.swap(all, Relaxed)
    }
}

/// A life begins before it answers, and no earlier one answers what is asked once it has.
fn one_after_the_other(births: &[u64], entries: &[Entry]) {
    let told = |entry: &Entry| match entry.fate {
        Fate::Told { life, at } => Some((at, entry.invoked, life.number)),
        Fate::Unknown(_) => None,
    };
    let mut answers: Vec<_> = entries.iter().filter_map(told).collect();
    let asked = answers.clone();
    answers.sort_unstable();
    let (mut answers, mut newest) = (answers.into_iter().peekable(), 0);
    for (at, invoked, number) in asked {
        assert!(births[number as usize - 1] < at, "life {number} answers before it begins");
        while let Some((_, _, other)) = answers.next_if(|(at, _, _)| *at < invoked) {
            newest = newest.max(other);
        }
        assert!(newest <= number, "life {number} answers after life {newest} has");
    }
}

/// What is known of one life.
fn history(number: u64, entries: &[Entry]) -> History<Counter> {
    let history = History::new();
    let client = history.client();
    let mut events = Vec::new();
    for (n, Entry { op, invoked, fate }) in entries.iter().enumerate() {
        match fate {
            Fate::Told { life, at } if life.number == number => {
                events.extend([(*invoked, n, *op, None), (*at, n, *op, Some(life.total))]);
            }
            Fate::Unknown(lives) if lives.contains(&number) => events.push((*invoked, n, *op, None)),
            Fate::Told { .. } | Fate::Unknown(_) => {}
        }
    }
    events.sort_unstable_by_key(|(at, ..)| *at);
    let mut open = HashMap::new();
    for (_, n, op, total) in events {
        match total {
            None => drop(open.insert(n, client.invoke(Count::recorded(&op)))),
            Some(total) => open.remove(&n).expect("it was asked before it is told").returned(total),
        }
    }
    history
}

/// The auditor itself: what clients of dishonest servers are told is found out.
mod forged {
    use undying::ExitReason;

    use super::*;

    /// Two lives, both of which have begun before anything is asked.
    fn book() -> Book {
        let book = Book::default();
        (0..2).for_each(|_| book.birth(&mut Life::default()));
        book
    }

    /// Asked and told of that life and total, before anything else is.
    fn told(book: &Book, op: CountOp, number: u64, total: u64) {
        let mut client = book.clone();
        let open = client.asks(&op);
        client.is_told(open, &Ok(Life { number, total }));
    }

    fn stopped(book: &Book) {
        let mut client = book.clone();
        let open = client.asks(&CountOp::Add);
        client.is_told(open, &Err(CallError::Stopped(ExitReason::Killed)));
    }

    fn audit(book: Book) -> u64 {
        book.audit(Life::default(), Life::default())
    }

    #[test]
    fn honest_lives_are_fine() {
        let book = book();
        told(&book, CountOp::Look, 0, 0);
        told(&book, CountOp::Add, 1, 1);
        told(&book, CountOp::Add, 1, 2);
        told(&book, CountOp::Add, 2, 1);
        assert_eq!(audit(book.clone()), 3);
        told(&book, CountOp::Look, 2, 1);
        told(&book, CountOp::Add, 2, 2);
        assert_eq!(audit(book), 1, "those before were counted already");
    }

    #[test]
    fn what_was_stopped_is_in_or_not() {
        for total in [1, 2] {
            let book = book();
            stopped(&book);
            told(&book, CountOp::Add, 2, total);
            assert_eq!(audit(book), 1);
        }
    }

    #[test]
    #[should_panic(expected = "linearizable in its life")]
    fn what_was_stopped_before_a_life_is_not_in_it() {
        let book = Book::default();
        book.birth(&mut Life::default());
        stopped(&book);
        book.birth(&mut Life::default());
        told(&book, CountOp::Add, 2, 2);
        audit(book);
    }

    #[test]
    #[should_panic(expected = "linearizable in its life")]
    fn an_update_that_a_life_loses_is_found() {
        let book = book();
        told(&book, CountOp::Add, 1, 1);
        told(&book, CountOp::Look, 1, 0);
        audit(book);
    }

    #[test]
    #[should_panic(expected = "linearizable in its life")]
    fn a_life_that_does_not_begin_afresh_is_found() {
        let book = book();
        told(&book, CountOp::Add, 1, 1);
        told(&book, CountOp::Add, 2, 2);
        audit(book);
    }

    #[test]
    #[should_panic(expected = "life 1 answers after life 2 has")]
    fn a_life_that_answers_after_its_end_is_found() {
        let book = book();
        told(&book, CountOp::Add, 2, 1);
        told(&book, CountOp::Add, 1, 1);
        audit(book);
    }

    #[test]
    #[should_panic(expected = "life 1 answers before it begins")]
    fn a_life_that_answers_before_it_begins_is_found() {
        let book = Book::default();
        told(&book, CountOp::Look, 1, 0);
        book.birth(&mut Life::default());
        audit(book);
    }
}
