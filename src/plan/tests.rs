//! The decisions of a supervisor: tables after OTP's `supervisor_SUITE`.

mod histories;

use std::sync::Arc;

use self::{
    AutoShutdown::{AllSignificant, AnySignificant, Never},
    RestartPolicy::{Permanent, Temporary, Transient},
    Step::{Dismiss, Start, Stop},
    Strategy::{OneForAll, OneForOne, RestForOne},
};
use super::*;
use crate::exit::{Callback, CrashKind, CrashReport, Place};

fn limit() -> ExitReason {
    let place = Place { callback: Callback::Cast, incarnation: 3, version: 7 };
    ExitReason::RestartLimit(CrashReport::new(CrashKind::Panic, "too often", place))
}

fn why() -> ExitReason {
    ExitReason::ShutdownWith(Arc::from("why"))
}

const fn up(restart: RestartPolicy) -> Member {
    Member { restart, significant: false, up: true }
}

const fn down(restart: RestartPolicy) -> Member {
    Member { restart, significant: false, up: false }
}

const fn significant(member: Member) -> Member {
    Member { significant: true, ..member }
}

/// SG5: permanent children always come back, transient ones after an abnormal end, temporary ones never; the supervisor keeps
/// what it may yet restart by hand and forgets what is temporary.
#[test]
fn the_restart_type_and_the_reason_decide_whether_a_child_comes_back() {
    use Reaction::{Forget, Restart, Stay};
    let orderly = [ExitReason::Normal, ExitReason::Shutdown, why()];
    let abnormal = [ExitReason::Killed, ExitReason::error("out of disk"), limit()];
    for (policy, after_orderly, after_abnormal) in
        [(Permanent, Restart, Restart), (Transient, Stay, Restart), (Temporary, Forget, Forget)]
    {
        for (reasons, expected) in [(&orderly, after_orderly), (&abnormal, after_abnormal)] {
            for reason in reasons {
                let seen = react(down(policy), reason, Never, [].into_iter());
                assert_eq!(seen, expected, "{policy:?} after {reason}");
            }
        }
    }
}

/// SG7: a significant child that ended by itself and does not come back ends the supervisor, at once or as the last of them.
#[test]
fn a_significant_child_that_stays_away_shuts_the_supervisor_down() {
    use Reaction::{Forget, Restart, ShutDown, Stay};
    let (running, ended) = (significant(up(Transient)), significant(down(Transient)));
    let temporary = significant(down(Temporary));
    let cases = [
        // auto_shutdown, who ended, why, who else there is, what follows
        (AnySignificant, ended, ExitReason::Normal, vec![], ShutDown),
        (AnySignificant, ended, why(), vec![running], ShutDown),
        (AnySignificant, ended, ExitReason::Killed, vec![], Restart),
        (AnySignificant, temporary, ExitReason::Killed, vec![running], ShutDown),
        (AnySignificant, down(Transient), ExitReason::Normal, vec![running], Stay),
        (AnySignificant, down(Temporary), ExitReason::Normal, vec![], Forget),
        (AllSignificant, ended, ExitReason::Normal, vec![running], Stay),
        (AllSignificant, temporary, limit(), vec![running], Forget),
        (AllSignificant, ended, ExitReason::Normal, vec![ended, up(Permanent)], ShutDown),
        (AllSignificant, ended, ExitReason::Normal, vec![ended, running, ended], Stay),
        (AllSignificant, temporary, ExitReason::Shutdown, vec![], ShutDown),
        (AllSignificant, ended, limit(), vec![], Restart),
        (AllSignificant, down(Transient), ExitReason::Normal, vec![ended], Stay),
    ];
    for (auto, who, reason, others, expected) in cases {
        let seen = react(who, &reason, auto, others.iter().copied());
        assert_eq!(seen, expected, "{auto:?}: {who:?} after {reason} beside {others:?}");
    }
}

/// SG8: a supervisor that shut itself down ends with `Shutdown`, which ends the outer one only if the inner one matters to it.
#[test]
fn a_nested_shutdown_goes_on_only_where_it_is_significant() {
    let inner = down(Transient);
    let outer = |inner| react(inner, &ExitReason::Shutdown, AnySignificant, [up(Permanent)].into_iter());
    assert_eq!(outer(significant(inner)), Reaction::ShutDown);
    assert_eq!(outer(inner), Reaction::Stay);
}

/// SG1 SG2 SG3 SG6: who is stopped, last first, and who is started, first first.
#[test]
fn the_strategy_decides_who_goes_with_it() {
    let (p, t, dead) = (up(Permanent), up(Temporary), down(Transient));
    let cases: [(Strategy, &[Member], usize, &[Step]); 13] = [
        (OneForOne, &[dead], 0, &[Start(0)]),
        (OneForOne, &[p, dead, t, dead], 1, &[Start(1)]),
        (OneForAll, &[dead], 0, &[Start(0)]),
        (OneForAll, &[p, dead, p], 1, &[Stop(2), Stop(0), Start(0), Start(1), Start(2)]),
        (OneForAll, &[p, p, dead], 2, &[Stop(1), Stop(0), Start(0), Start(1), Start(2)]),
        // What was down already comes back with the others, as it does in OTP.
        (OneForAll, &[dead, p, dead], 2, &[Stop(1), Start(0), Start(1), Start(2)]),
        (OneForAll, &[t, dead, t], 1, &[Dismiss(2), Dismiss(0), Start(1)]),
        (OneForAll, &[t, p, t, dead], 3, &[Dismiss(2), Stop(1), Dismiss(0), Start(1), Start(3)]),
        (RestForOne, &[dead, p, p], 0, &[Stop(2), Stop(1), Start(0), Start(1), Start(2)]),
        (RestForOne, &[p, dead, p], 1, &[Stop(2), Start(1), Start(2)]),
        (RestForOne, &[p, p, dead], 2, &[Start(2)]),
        (RestForOne, &[dead, t, dead, t, p], 2, &[Stop(4), Dismiss(3), Start(2), Start(4)]),
        (RestForOne, &[dead, p, dead], 0, &[Stop(1), Start(0), Start(1), Start(2)]),
    ];
    for (strategy, members, ended, expected) in cases {
        assert_eq!(restart(strategy, members, ended), expected, "{strategy:?} of {ended} in {members:?}");
    }
}

/// SG4: where another child fails to start, one_for_all stops again what it had restarted; rest_for_one goes on from the one that failed.
#[test]
fn a_failed_start_is_retried_as_the_restart_of_the_one_that_failed() {
    let (p, dead) = (up(Permanent), down(Permanent));
    // The first has ended, the second has failed to start, and the third was not tried.
    let then = [p, dead, dead];
    assert_eq!(restart(OneForOne, &then, 1), [Start(1)]);
    assert_eq!(restart(OneForAll, &then, 1), [Stop(0), Start(0), Start(1), Start(2)]);
    assert_eq!(restart(RestForOne, &then, 1), [Start(1), Start(2)]);
}
