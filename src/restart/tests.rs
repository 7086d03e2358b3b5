//! Properties of the restart window and the back-off, against a naive oracle.

use proptest::prelude::*;

use super::*;

/// Counts a crash's predecessors by looking at every one there ever was.
fn oracle(max: u32, within: Duration, before: &[Duration], now: Duration) -> Verdict {
    let recent = before.iter().filter(|&&at| now - at <= within).count() + 1;
    match u32::try_from(recent) {
        Ok(recent) if recent <= max => Verdict::Restart { recent },
        _ => Verdict::Exceeded,
    }
}

/// Gaps that make equal instants, and instants exactly one window apart, as likely as anything else.
fn gaps(within: u64) -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![
        Just(0),
        Just(within),
        Just(within.saturating_add(1)),
        0..within.saturating_mul(2).max(1)
    ];
    prop::collection::vec(gap, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 100_000 }))]

    /// RI1 RI2: the window slides, and the boundary counts.
    #[test]
    fn the_budget_agrees_with_counting_every_crash(
        max in 0u32..8,
        (within, gaps) in (1u64..1_000).prop_flat_map(|within| (Just(within), gaps(within))),
    ) {
        let within = Duration::from_nanos(within);
        let mut budget = Budget::new(max, within);
        let (mut now, mut crashes) = (Duration::ZERO, Vec::new());
        for gap in gaps {
            now += Duration::from_nanos(gap);
            let expected = oracle(max, within, &crashes, now);
            prop_assert_eq!(budget.charge(now), expected);
            crashes.push(now);
        }
    }

    /// The pause is within its bounds, whatever the jitter.
    #[test]
    fn a_pause_is_between_its_bounds(
        min in any::<Duration>(),
        span in any::<Duration>(),
        attempt in any::<u32>(),
        jitter in 0.0f64..1.0,
    ) {
        let max = min.saturating_add(span);
        let backoff = Backoff::exponential(min, max);
        let pause = backoff.pause(attempt, jitter);
        prop_assert!(min <= pause && pause <= max, "{min:?} <= {pause:?} <= {max:?}");
    }

    /// Where nothing is capped, the pause is in the upper half of `min · 2^(attempt - 1)`.
    #[test]
    fn a_pause_doubles(min in 1u64..1_000_000, attempt in 1u32..20, jitter in 0.0f64..1.0) {
        let backoff = Backoff::exponential(Duration::from_nanos(min), Duration::MAX);
        let longest = u128::from(min) << (attempt - 1);
        let pause = backoff.pause(attempt, jitter).as_nanos();
        prop_assert!(pause <= longest && pause >= (longest / 2).max(u128::from(min)));
        prop_assert!(backoff.pause(attempt + 2, 0.0).as_nanos() >= pause, "two attempts later it is never shorter");
    }
}

#[test]
fn a_crash_exactly_one_window_ago_counts() {
    let within = Duration::from_secs(10);
    let mut budget = Budget::new(1, within);
    assert_eq!(budget.charge(Duration::ZERO), Verdict::Restart { recent: 1 });
    assert_eq!(budget.charge(within), Verdict::Exceeded);

    let mut budget = Budget::new(1, within);
    assert_eq!(budget.charge(Duration::ZERO), Verdict::Restart { recent: 1 });
    assert_eq!(budget.charge(within + Duration::from_nanos(1)), Verdict::Restart { recent: 1 });
}

#[test]
fn the_extremes_are_defined() {
    let mut none = Budget::new(0, Duration::MAX);
    assert_eq!(none.charge(Duration::MAX), Verdict::Exceeded);

    let mut all = Budget::new(u32::MAX, Duration::MAX);
    assert_eq!(all.charge(Duration::ZERO), Verdict::Restart { recent: 1 });
    assert_eq!(all.charge(Duration::MAX), Verdict::Restart { recent: 2 });
    (0..1_000).for_each(|_| assert!(matches!(all.charge(Duration::MAX), Verdict::Restart { .. })));
    assert!(all.crashes.len() <= Budget::ENOUGH, "a budget without an end does not grow without one");

    let endless = Backoff::exponential(Duration::MAX, Duration::MAX);
    assert_eq!(endless.pause(u32::MAX, 0.999), Duration::MAX);
    let constant = Backoff::exponential(Duration::from_millis(7), Duration::from_millis(7));
    assert_eq!(constant.pause(3, 0.5), Duration::from_millis(7));
    assert_eq!(Backoff::exponential(Duration::ZERO, Duration::ZERO).pause(1, 0.5), Duration::ZERO);
}
