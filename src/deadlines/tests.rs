//! The lanes against an oracle that looks at everything.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::{
    error::CallError,
    name::ServerId,
    reply::{self, Caller},
};

#[derive(Debug, Clone)]
enum Step {
    /// A call with one of a few timeouts.
    Note(u64),
    /// The n-th of those that wait has its answer.
    Forget(usize),
    /// Time passes, and the supervisor looks.
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..6).prop_map(|timeout| Step::Note(timeout * 3)),
        3 => (0usize..20).prop_map(Step::Forget),
        2 => (0u64..8).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..80)
}

fn caller() -> Caller<()> {
    let (reply, claim, caller) = reply::open::<()>(ServerId::next());
    // Neither answers: what is tested is the deadline alone.
    std::mem::forget((reply, claim));
    caller
}

fn has_timed_out(caller: &mut Caller<()>) -> bool {
    let polled = caller.poll(&Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Err(CallError::Timeout)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 500 } else { 10_000 }))]

    /// CA1: each call times out at its deadline, not before and not after, unless it was answered.
    #[test]
    fn a_call_is_due_exactly_at_its_deadline(steps in steps()) {
        let (start, mut passed) = (Instant::now(), Duration::ZERO);
        let (mut deadlines, mut waiting) = (Deadlines::default(), Vec::new());
        for step in steps {
            match step {
                Step::Note(timeout) => {
                    let (timeout, caller) = (Duration::from_secs(timeout), caller());
                    let armed = deadlines.next();
                    let (key, earlier) = deadlines.note(start + passed, timeout, caller.slot());
                    prop_assert_eq!(earlier, armed.is_none_or(|armed| start + passed + timeout < armed));
                    waiting.push((passed + timeout, key, caller));
                }
                Step::Forget(which) if !waiting.is_empty() => {
                    let (_, key, _) = waiting.swap_remove(which % waiting.len());
                    prop_assert!(deadlines.forget(key).is_some());
                    prop_assert!(deadlines.forget(key).is_none(), "it is forgotten once");
                }
                Step::Forget(_) => {}
                Step::Pass(time) => {
                    passed += Duration::from_secs(time);
                    let due = deadlines.due(start + passed);
                    due.iter().for_each(|slot| slot.fail(CallError::Timeout));
                    let mut timed_out = 0;
                    for (at, _, caller) in &mut waiting {
                        let expected = *at <= passed;
                        prop_assert_eq!(has_timed_out(caller), expected);
                        timed_out += usize::from(expected);
                    }
                    prop_assert_eq!(due.len(), timed_out);
                    waiting.retain(|(at, key, _)| {
                        let waits = *at > passed;
                        assert!(waits || deadlines.forget(*key).is_none(), "what was due is not there any more");
                        waits
                    });
                    let earliest = waiting.iter().map(|(at, ..)| start + *at).min();
                    prop_assert_eq!(deadlines.next(), earliest);
                }
            }
        }
    }
}

/// G5: the places of calls that are over are used again.
#[test]
fn calls_one_after_the_other_need_one_place() {
    let (mut deadlines, now) = (Deadlines::default(), Instant::now());
    let one_after_the_other = |deadlines: &mut Deadlines| {
        for timeout in (0..1_000).map(Duration::from_millis) {
            let caller = caller();
            let (key, _) = deadlines.note(now, timeout, caller.slot());
            assert!(deadlines.forget(key).is_some());
        }
    };
    one_after_the_other(&mut deadlines);
    assert!(deadlines.lanes.is_none(), "a single call needs no lane");
    let other = caller();
    deadlines.note(now, Duration::ZERO, other.slot());
    one_after_the_other(&mut deadlines);
    let lanes = deadlines.lanes.expect("two calls waited at a time");
    assert_eq!((lanes.places.len(), lanes.lanes.len()), (1, 1));
}

/// A call that has its answer by the time the supervisor looks needs no timer, and the next one is heard again.
#[test]
fn a_call_that_is_answered_needs_no_timer() {
    let (mut deadlines, now) = (Deadlines::default(), Instant::now());
    for _ in 0..SPARED {
        let (reply, _claim, caller) = reply::open::<()>(ServerId::next());
        let (_, earlier) = deadlines.note(now, Duration::from_secs(5), caller.slot());
        assert!(earlier, "nothing is armed");
        assert!(deadlines.next().is_some(), "it waits");
        reply.send(());
        assert_eq!(deadlines.next(), None);
        deadlines.due(now + Duration::from_secs(5));
    }
    let (reply, _claim, caller) = reply::open::<()>(ServerId::next());
    deadlines.note(now, Duration::from_secs(5), caller.slot());
    reply.send(());
    assert!(deadlines.next().is_some(), "it is called so often that a timer is worth it");
}
