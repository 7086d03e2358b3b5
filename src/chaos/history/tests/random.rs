//! Thousands of small histories: the short cut, the search and the oracle are of one mind.

use proptest::prelude::*;

use super::{Op, naive, only};
use crate::chaos::history::{
    Counter, CounterOp, Fate, Model, Operation, Register, RegisterOp, RegisterRet, search, shrink,
};

/// How one operation was: begun when, for how long, effective after which part of that (in percent), known or not.
#[derive(Debug, Clone, Copy)]
struct Course {
    begin: u64,
    long: u64,
    effect: u64,
    ending: Ending,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Answered,
    UnknownDone,
    UnknownNotDone,
}

fn course(busy: u64) -> impl Strategy<Value = Course> {
    let ending = prop_oneof![
        6 => Just(Ending::Answered),
        1 => Just(Ending::UnknownDone),
        1 => Just(Ending::UnknownNotDone),
    ];
    (0..busy, 1..5u64, 0..=100u64, ending).prop_map(|(begin, long, effect, ending)| Course {
        begin,
        long,
        effect,
        ending,
    })
}

/// What `model` answers to `plan` when each operation takes effect at its moment: a linearizable history.
fn run<M: Model>(model: &M, plan: &[(M::Op, Course)]) -> Vec<Op<M>> {
    // No two stamps are equal: those of beginnings are even.
    let begin = |n: usize| plan[n].1.begin * 1000 + 2 * n as u64;
    let long = |n: usize| plan[n].1.long * 1000 + 1;
    let mut order: Vec<usize> = (0..plan.len()).collect();
    order.sort_by_key(|&n| begin(n) * 100 + long(n) * plan[n].1.effect);
    let mut state = model.init();
    let mut history = Vec::new();
    for n in order {
        let (op, course) = &plan[n];
        let fate = match course.ending {
            Ending::UnknownNotDone => Fate::Unknown,
            Ending::UnknownDone => {
                model.apply(&mut state, op);
                Fate::Unknown
            }
            Ending::Answered => {
                Fate::Returned { answer: model.apply(&mut state, op), at: begin(n) + long(n) }
            }
        };
        history.push(Operation { client: n, op: op.clone(), invoked: begin(n), fate });
    }
    history.sort_by_key(|operation| operation.invoked);
    history
}

/// Makes the answer that `which` points at another one.
fn mutate<Op, Ret>(
    history: &mut [Operation<Op, Ret>],
    which: prop::sample::Index,
    change: impl Fn(&mut Ret),
) {
    let mut answers: Vec<&mut Ret> = history
        .iter_mut()
        .filter_map(|operation| match &mut operation.fate {
            Fate::Returned { answer, .. } => Some(answer),
            _ => None,
        })
        .collect();
    if !answers.is_empty() {
        let n = which.index(answers.len());
        change(answers[n]);
    }
}

fn counter_op() -> impl Strategy<Value = CounterOp> {
    prop_oneof![
        4 => Just(CounterOp::Add(1)),
        1 => (0..4u64).prop_map(CounterOp::Add),
        2 => Just(CounterOp::Get),
    ]
}

fn register_op() -> impl Strategy<Value = RegisterOp<u8>> {
    prop_oneof![
        (0..3u8).prop_map(RegisterOp::Write),
        Just(RegisterOp::Read),
        (0..3u8, 0..3u8).prop_map(|(expected, new)| RegisterOp::CompareAndSet { expected, new }),
    ]
}

/// The search says what the oracle says; and those that are blamed contradict each other, all of them.
fn agree<M: Model>(model: &M, history: &[Op<M>]) -> Result<(), TestCaseError> {
    let verdict = search::search(model, history);
    prop_assert_eq!(verdict.is_ok(), naive(model, history));
    let Err(blocked) = verdict else { return Ok(()) };
    let culprits = shrink::shrink(model, history, blocked);
    prop_assert!(!naive(model, &only(history, &culprits)), "they are a contradiction: {:?}", culprits);
    for culprit in &culprits {
        let others: Vec<usize> = culprits.iter().copied().filter(|other| other != culprit).collect();
        prop_assert!(naive(model, &only(history, &others)), "{} is needed for it: {:?}", culprit, culprits);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 3_000 } else { 100_000 }))]

    #[test]
    fn the_checkers_of_counters_agree_with_the_oracle(
        start in 0..3u64,
        plan in prop::collection::vec((counter_op(), course(8)), 0..7),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..9u64), 0..3),
    ) {
        let counter = Counter::starting_at(start);
        let mut history = run(&counter, &plan);
        for (which, answer) in changes {
            mutate(&mut history, which, |was| *was = answer);
        }
        agree(&counter, &history)?;
        if let Some(verdict) = counter.verdict(&history) {
            prop_assert_eq!(verdict.is_ok(), naive(&counter, &history));
            if let Err(said) = verdict {
                prop_assert!(!naive(&counter, &only(&history, &said.culprits)), "{:?} is a contradiction", said);
            }
        } else {
            let loose = |operation: &&Op<Counter>| operation.fate == Fate::Unknown;
            let many = history.iter().filter(loose).any(|operation| matches!(operation.op, CounterOp::Add(2..)));
            prop_assert!(many, "there is no other reason not to take the short cut");
        }
    }

    #[test]
    fn the_search_on_registers_agrees_with_the_oracle(
        plan in prop::collection::vec((register_op(), course(8)), 0..7),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8), 0..3),
    ) {
        let register = Register::new(0);
        let mut history = run(&register, &plan);
        for (which, value) in changes {
            mutate(&mut history, which, |was| match was {
                RegisterRet::Value(was) => *was = value,
                RegisterRet::Swapped(was) => *was = !*was,
                RegisterRet::Written => {}
            });
        }
        agree(&register, &history)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 100 } else { 2_000 }))]

    #[test]
    fn what_a_sequential_program_answered_is_linearizable(
        counting in prop::collection::vec((counter_op(), course(100)), 0..150),
        writing in prop::collection::vec((register_op(), course(100)), 0..150),
    ) {
        let (counter, register) = (Counter::default(), Register::new(0));
        let history = run(&counter, &counting);
        prop_assert_ne!(counter.verdict(&history).map(|verdict| verdict.is_ok()), Some(false));
        prop_assert_eq!(search::search(&counter, &history), Ok(()));
        prop_assert_eq!(search::search(&register, &run(&register, &writing)), Ok(()));
    }

    #[test]
    fn both_checkers_say_the_same_of_larger_histories(
        plan in prop::collection::vec((prop_oneof![Just(CounterOp::Add(1)), Just(CounterOp::Get)], course(60)), 1..80),
        which in any::<prop::sample::Index>(),
        off in prop_oneof![Just(-1i64), Just(1)],
    ) {
        let counter = Counter::starting_at(1);
        let mut history = run(&counter, &plan);
        mutate(&mut history, which, |was| *was = was.saturating_add_signed(off));
        let verdict = counter.verdict(&history).expect("additions of one only");
        prop_assert_eq!(verdict.is_ok(), search::search(&counter, &history).is_ok());
        if let Err(said) = verdict {
            let only = only(&history, &said.culprits);
            prop_assert!(search::search(&counter, &only).is_err(), "{:?} is a contradiction", said);
        }
    }
}
