//! What each kind of place promises, as a run of the bomb with a fuse in it.

use undying::{CallError, Callback, CrashReport, Exit, ExitReason, Registry, ServerRef, StartError};

use super::{
    bomb::{Ask, BUDGET, Bomb, Parcel, RESTART, Tell, Witness, bomb},
    fuse::{Case, Fuse, Kind, Place, When},
};
use crate::support::until;

/// The sum of a server that lives.
async fn sum(server: &ServerRef<Bomb>, case: Case) -> u64 {
    match server.call(Ask::Get).await {
        Ok(sum) => sum,
        Err(end) => panic!("{case:?}: {end}"),
    }
}

/// Stops a server that lives.
async fn stop(server: &ServerRef<Bomb>, case: Case) -> Exit<Bomb> {
    match server.stop().await {
        Ok(exit) => exit,
        Err(end) => panic!("{case:?}: {end}"),
    }
}

/// Shows that a server is at its end, by the restart limit.
async fn limit(server: &ServerRef<Bomb>, case: Case) -> (Exit<Bomb>, CrashReport) {
    match server.call(Ask::Get).await {
        Err(CallError::NoProc | CallError::Stopped(ExitReason::RestartLimit(_))) => {}
        other => panic!("{case:?}: {other:?}"),
    }
    let exit = server.stopped().await;
    match &exit.reason {
        ExitReason::RestartLimit(report) => {
            let report = report.clone();
            (exit, report)
        }
        other => panic!("{case:?}: {other}"),
    }
}

/// A fuse in a callback that comes with a message: it crashes that callback, and nothing else.
pub(crate) async fn in_a_message_callback(case: Case) {
    let Place::Callback(callback) = case.place else {
        panic!("{case:?} is in no callback");
    };
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    let server = bomb(&fuse, &witness).start().await.expect("it starts");
    let mut expected = 1;
    for nth in 1..=3 {
        let blows = case.when.is(nth);
        match callback {
            Callback::Call => match server.call(Ask::Add).await {
                Ok(sum) if !blows => assert_eq!(sum, expected + 1, "{case:?}"),
                Err(CallError::Crashed(report)) if blows => {
                    assert!(case.kind.told_by(&report), "{case:?}: {report}");
                    assert_eq!(report.callback(), callback, "{case:?}");
                }
                other => panic!("{case:?}: {other:?}"),
            },
            Callback::Info => assert!(server.send(()).await.is_ok(), "{case:?}"),
            callback => {
                let tell = match callback {
                    Callback::Cast => Tell::Add(Parcel(fuse.clone())),
                    Callback::Continue => Tell::Continue,
                    _ => Tell::Idle,
                };
                assert!(server.cast(tell).await.is_ok(), "{case:?}");
            }
        }
        // A question sent before would cancel the timeout.
        until("the fuse is touched", || fuse.touched() == nth).await;
        expected += if blows { RESTART } else { 1 };
        assert_eq!(sum(&server, case).await, expected, "{case:?}");
        assert_eq!(server.incarnation(), 1 + u64::from(fuse.blown()), "{case:?}");
    }
    let exit = stop(&server, case).await;
    assert!(matches!(exit.reason, ExitReason::Normal), "{case:?}: {}", exit.reason);
    assert_eq!(exit.state.value, expected, "{case:?}");
    let heard = witness.0.lock();
    assert_eq!(heard.crashes.len(), fuse.blown() as usize, "{case:?}: {heard:?}");
    for report in &heard.crashes {
        assert!(case.kind.told_by(report), "{case:?}: {report}");
        assert_eq!(report.callback(), callback, "{case:?}");
    }
    assert_eq!(heard.ends, [expected], "{case:?}");
}

/// A fuse in `restarted`, or in the factory: it makes a restart fail, which is charged and tried again.
pub(crate) async fn in_a_restart(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    let server = bomb(&fuse, &witness).start().await.expect("it starts");
    let mut expected = 1;
    for _ in 1..=3 {
        server.kill_worker();
        if matches!(case.when, When::Every | When::Later) {
            let (exit, report) = limit(&server, case).await;
            assert!(case.kind.told_by(&report), "{case:?}: {report}");
            assert_eq!(exit.state.value, expected, "{case:?}");
            // The first of the crashes was the kill.
            assert_eq!(fuse.blown(), BUDGET, "{case:?}");
            return;
        }
        expected += RESTART;
        assert_eq!(sum(&server, case).await, expected, "{case:?}");
    }
    assert_eq!(fuse.blown(), 1, "{case:?}");
    let exit = stop(&server, case).await;
    assert_eq!(exit.state.value, expected, "{case:?}");
    let heard = witness.0.lock();
    assert_eq!((heard.crashes.len(), heard.restarts), (4, 3), "{case:?}: {heard:?}");
    assert_eq!(heard.ends, [expected], "{case:?}");
}

/// A fuse in what a start runs: the start fails with what happened, and leaves the name free.
pub(crate) async fn in_a_start(case: Case) {
    let (fuse, witness, names) = (Fuse::new(case), Witness::default(), Registry::new());
    for nth in 1..=3 {
        let started = bomb(&fuse, &witness).name_in(&names, "bomb").start().await;
        match started {
            Err(StartError::Init(report)) if case.when.is(nth) => {
                assert!(case.kind.told_by(&report), "{case:?}: {report}");
                assert_eq!(report.callback(), Callback::Init, "{case:?}");
            }
            Ok(server) if !case.when.is(nth) => {
                assert_eq!(sum(&server, case).await, 1, "{case:?}");
                stop(&server, case).await;
            }
            other => panic!("{case:?}: {other:?}"),
        }
        assert_eq!(fuse.touched(), nth, "{case:?}: no second try");
        assert!(names.names().is_empty(), "{case:?}");
    }
    let heard = witness.0.lock();
    assert_eq!(heard.started + fuse.blown(), 3, "{case:?}: {heard:?}");
    assert_eq!(heard.ends.len() as u32, heard.started, "{case:?}: {heard:?}");
}

/// A fuse in `terminate`: the end comes all the same, with the last committed state.
pub(crate) async fn in_terminate(case: Case) {
    let (fuse, witness, names) = (Fuse::new(case), Witness::default(), Registry::new());
    for nth in 1..=3 {
        let started = bomb(&fuse, &witness).name_in(&names, "bomb").start().await;
        let server = started.expect("it starts");
        assert_eq!(sum(&server, case).await, 1, "{case:?}");
        let exit = stop(&server, case).await;
        match &exit.reason {
            ExitReason::Normal if !case.when.is(nth) => {}
            ExitReason::Crashed(report) if case.when.is(nth) => {
                assert!(case.kind.told_by(report), "{case:?}: {report}");
                assert_eq!(report.callback(), Callback::Terminate, "{case:?}");
            }
            other => panic!("{case:?}: {other}"),
        }
        assert_eq!(exit.state.value, 1, "{case:?}");
        assert!(names.names().is_empty(), "{case:?}");
        let late = server.call(Ask::Get).await;
        assert!(matches!(late, Err(CallError::NoProc)), "{case:?}: {late:?}");
    }
    assert_eq!(fuse.touched(), 3, "{case:?}");
    assert_eq!(witness.0.lock().ends, [1, 1, 1], "{case:?}");
}

/// A fuse in `terminate` that kills the incarnation: the stop stays ordered, so that the next one ends in good order.
pub(crate) async fn in_a_killed_terminate(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    let mut finals = Vec::new();
    for _ in 1..=3 {
        let before = fuse.blown();
        let server = bomb(&fuse, &witness).start().await.expect("it starts");
        let exit = stop(&server, case).await;
        let kills = fuse.blown() - before;
        let restarts = match (&exit.reason, case.when) {
            (ExitReason::RestartLimit(report), When::Every) => {
                assert!(case.kind.told_by(report), "{case:?}: {report}");
                assert_eq!(report.callback(), Callback::Terminate, "{case:?}");
                assert_eq!(kills, BUDGET + 1, "{case:?}");
                BUDGET
            }
            (ExitReason::Normal, When::First | When::Second) => kills,
            (other, _) => panic!("{case:?}: {other}"),
        };
        let expected = 1 + RESTART * u64::from(restarts);
        assert_eq!(exit.state.value, expected, "{case:?}");
        finals.push(expected);
    }
    assert!(fuse.blown() > 0, "{case:?}");
    assert_eq!(witness.0.lock().ends, finals, "{case:?}");
}

/// A fuse in a method of a listener: neither the server nor the next listener notices.
pub(crate) async fn in_a_listener(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    for _ in 1..=3 {
        let server = bomb(&fuse, &witness).start().await.expect("it starts");
        for n in 1..=2 {
            let before = n + RESTART * (n - 1);
            match server.call(Ask::Add).await {
                Ok(sum) => assert_eq!(sum, before + 1, "{case:?}"),
                Err(end) => panic!("{case:?}: {end}"),
            }
            server.kill_worker();
            assert_eq!(sum(&server, case).await, before + 1 + RESTART, "{case:?}");
        }
        let exit = stop(&server, case).await;
        assert!(matches!(exit.reason, ExitReason::Normal), "{case:?}: {}", exit.reason);
    }
    let heard = witness.0.lock();
    let life = [(1, 2), (2, 2 + RESTART), (2 + RESTART, 3 + RESTART), (3 + RESTART, 3 + 2 * RESTART)];
    assert_eq!(heard.changes, [life, life, life].concat(), "{case:?}");
    assert_eq!((heard.started, heard.crashes.len(), heard.restarts), (3, 6, 6), "{case:?}");
    assert_eq!(heard.ends, [3 + 2 * RESTART; 3], "{case:?}");
    assert!(fuse.blown() > 0, "{case:?}");
}

/// A fuse in `clone` or `drop` of the state, or in `drop` of the server: at worst a callback crashes, and what each caller was
/// told is what is in the state.
pub(crate) async fn in_the_state(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    fuse.arm(false);
    let server = bomb(&fuse, &witness).start().await.expect("it starts");
    fuse.arm(true);
    let mut added = 1;
    for _ in 1..=3 {
        match server.call(Ask::Add).await {
            Ok(sum) => {
                added += 1;
                assert_eq!(sum % RESTART, added, "{case:?}");
            }
            Err(CallError::Crashed(report)) => {
                assert!(case.kind.told_by(&report), "{case:?}: {report}");
                assert_eq!(report.callback(), Callback::Call, "{case:?}");
            }
            Err(end) => panic!("{case:?}: {end}"),
        }
        if (case.place, case.when) == (Place::Clone, When::Every) {
            // No incarnation can take the state over.
            let (exit, _) = limit(&server, case).await;
            fuse.arm(false);
            assert_eq!((added, exit.state.value), (1, 1), "{case:?}");
            return;
        }
        server.kill_worker();
        assert_eq!(sum(&server, case).await % RESTART, added, "{case:?}");
    }
    let exit = stop(&server, case).await;
    // From here on the test itself drops states.
    fuse.arm(false);
    assert!(matches!(exit.reason, ExitReason::Normal), "{case:?}: {}", exit.reason);
    assert_eq!(exit.state.value % RESTART, added, "{case:?}");
    assert!(fuse.blown() > 0, "{case:?}");
    let heard = witness.0.lock();
    let chained = heard.changes.windows(2).all(|pair| pair[0].1 == pair[1].0);
    assert!(chained, "{case:?}: {heard:?}");
    assert_eq!(heard.ends, [exit.state.value], "{case:?}");
}

/// A fuse in `clone` or `drop` of the state that is there from the start: the server starts or says why not.
pub(crate) async fn in_the_first_state(case: Case) {
    let (fuse, witness, names) = (Fuse::new(case), Witness::default(), Registry::new());
    let started = bomb(&fuse, &witness).name_in(&names, "bomb").start().await;
    fuse.arm(false);
    match started {
        Ok(server) => {
            assert_eq!(sum(&server, case).await, 1, "{case:?}");
            stop(&server, case).await;
        }
        Err(StartError::Init(report)) if fuse.blown() > 0 => {
            assert!(case.kind.told_by(&report), "{case:?}: {report}");
        }
        Err(other) => panic!("{case:?}: {other}"),
    }
    assert!(names.names().is_empty(), "{case:?}");
}

/// A fuse in `drop` of a message, which its callback drops: a crash of that callback.
pub(crate) async fn in_a_handled_message(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    let server = bomb(&fuse, &witness).start().await.expect("it starts");
    let mut expected = 1;
    for nth in 1..=3 {
        let parcel = Tell::Add(Parcel(fuse.clone()));
        assert!(server.cast(parcel).await.is_ok(), "{case:?}");
        expected += if case.when.is(nth) { RESTART } else { 1 };
        assert_eq!(sum(&server, case).await, expected, "{case:?}");
    }
    let exit = stop(&server, case).await;
    assert_eq!(exit.state.value, expected, "{case:?}");
    let heard = witness.0.lock();
    assert_eq!(heard.crashes.len(), fuse.blown() as usize, "{case:?}: {heard:?}");
    for report in &heard.crashes {
        assert!(case.kind.told_by(report), "{case:?}: {report}");
    }
}

/// A fuse in `drop` of a message whose callback is killed at an await: the kill is what counts.
pub(crate) async fn in_a_cut_message(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    let server = bomb(&fuse, &witness).start().await.expect("it starts");
    for nth in 1..=3_u64 {
        let parcel = Tell::Hold(Parcel(fuse.clone()));
        assert!(server.cast(parcel).await.is_ok(), "{case:?}");
        assert_eq!(sum(&server, case).await, 1 + RESTART * nth, "{case:?}");
    }
    stop(&server, case).await;
    assert!(fuse.blown() > 0, "{case:?}");
    let heard = witness.0.lock();
    assert_eq!(heard.crashes.len(), 3, "{case:?}: {heard:?}");
    assert!(heard.crashes.iter().all(|report| Kind::Kill.told_by(report)), "{case:?}: {heard:?}");
}

/// A fuse in `drop` of messages that nobody handles any more: the end comes all the same.
pub(crate) async fn in_an_unhandled_message(case: Case) {
    let (fuse, witness) = (Fuse::new(case), Witness::default());
    let server = bomb(&fuse, &witness).start().await.expect("it starts");
    // On one thread the kill comes before the worker has taken any of them.
    for _ in 0..3 {
        let parcel = Tell::Add(Parcel(fuse.clone()));
        assert!(server.try_cast(parcel).is_ok(), "{case:?}");
    }
    server.kill();
    let exit = server.stopped().await;
    assert!(matches!(exit.reason, ExitReason::Killed), "{case:?}: {}", exit.reason);
    let late = server.call(Ask::Get).await;
    assert!(matches!(late, Err(CallError::NoProc)), "{case:?}: {late:?}");
    until("every message is dropped", || fuse.touched() == 3).await;
    until("the end is told", || witness.0.lock().ends.len() == 1).await;
}
