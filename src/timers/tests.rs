//! Timers against a naive list, under random arming, cancelling and firing.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Rings, Rung, Timer, TimerRef, Timers};

/// What the list knows of a timer.
#[derive(Debug, Clone, PartialEq)]
struct Listed {
    at: Option<Instant>,
    name: TimerRef,
    key: Option<u8>,
    every: Option<Duration>,
    message: u32,
}

#[derive(Debug, Clone)]
enum Step {
    Arm { after: Option<u8>, key: Option<u8>, every: Option<u8> },
    Cancel(usize),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::option::weighted(0.9, 0_u8..20), prop::option::of(0_u8..3), prop::option::weighted(0.3, 1_u8..9))
            .prop_map(|(after, key, every)| Step::Arm { after, key, every }),
        1 => any::<usize>().prop_map(Step::Cancel),
        3 => (0_u8..12).prop_map(Step::Pass),
    ]
}

fn timer(message: u32, key: Option<u8>, every: Option<Duration>) -> Timer<u32> {
    let rings = every.map_or(Rings::Once(message), |every| Rings::every(every, move || message));
    Timer { rings, key: key.map(|key| key.to_string().into()) }
}

fn heard(rung: Rung<u32>) -> u32 {
    match rung {
        Rung::Once(message) => message,
        Rung::Tick(maker) => maker.make().expect("nobody else makes one"),
    }
}

/// The list's idea of what fires first at `now`.
fn fire(list: &mut Vec<Listed>, now: Instant) -> Option<u32> {
    let due = |listed: &&Listed| listed.at.is_some_and(|at| at <= now);
    let first = list.iter().filter(due).min_by_key(|listed| (listed.at, listed.name))?.clone();
    list.retain(|listed| listed.name != first.name);
    if let (Some(every), Some(at)) = (first.every, first.at) {
        list.push(Listed { at: Some(at + every), ..first });
    }
    Some(first.message)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 500 } else { 20_000 }))]

    /// IN4: each timer fires when it is due, once, in order; one that is cancelled or replaced does not.
    #[test]
    fn timers_do_as_a_list_would(steps in prop::collection::vec(step(), 1..80)) {
        let (mut timers, mut list, mut now) = (Timers::default(), Vec::<Listed>::new(), Instant::now());
        let mut names = Vec::new();
        for (message, step) in (0_u32..).zip(steps) {
            match step {
                Step::Arm { after, key, every } => {
                    let name = TimerRef::next();
                    names.push(name);
                    let every = every.map(|ticks| Duration::from_millis(ticks.into()));
                    let at = after.map(|after| now + Duration::from_millis(after.into()));
                    let replaced = timers.arm(name, at, timer(message, key, every));
                    let same = list.iter().position(|listed| key.is_some() && listed.key == key);
                    prop_assert_eq!(replaced.is_some(), same.is_some());
                    same.map(|same| list.remove(same));
                    list.push(Listed { at, name, key, every, message });
                }
                Step::Cancel(which) if !names.is_empty() => {
                    let name = names[which % names.len()];
                    let armed = list.iter().position(|listed| listed.name == name);
                    prop_assert_eq!(timers.is_armed(name), armed.is_some());
                    prop_assert_eq!(timers.cancel(name).is_some(), armed.is_some());
                    armed.map(|armed| list.remove(armed));
                }
                Step::Cancel(_) => {}
                Step::Pass(millis) => {
                    now += Duration::from_millis(millis.into());
                    while let Some(message) = fire(&mut list, now) {
                        prop_assert_eq!(timers.fire(now).map(heard), Some(message));
                    }
                    prop_assert!(timers.fire(now).is_none());
                }
            }
            prop_assert_eq!(timers.next(), list.iter().filter_map(|listed| listed.at).min());
            for key in 0..3 {
                let named = list.iter().find(|listed| listed.key == Some(key)).map(|listed| listed.name);
                prop_assert_eq!(timers.named(&key.to_string()), named);
            }
        }
        prop_assert_eq!(timers.into_timers().count(), list.len());
    }
}
