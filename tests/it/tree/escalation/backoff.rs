//! Pauses before a supervisor restarts a child.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use undying::{Backoff, CallError, ChildError, ServerSpec, Status, Strategy, Supervisor, SupervisorRef};

use super::super::{Faults, Kid, Log, SECOND, child, dies, fragile, kid, rise, settled, status, word};
use crate::{
    crash::script::{add, soon},
    support::until,
};

/// The clock of Tokio has a grain of a millisecond.
const GRAIN: Duration = Duration::from_millis(1);

const PAUSE: Backoff = Backoff::exponential(Duration::from_secs(5), Duration::from_secs(5));

/// Kills `x` and tells how long it took until it served again.
async fn down_for(x: &Kid) -> Duration {
    let begun = Instant::now();
    dies(x).await;
    begun.elapsed()
}

/// Kills `x`, which is then restarted after 5 s, and waits until its parent has noticed.
async fn pausing(sup: &SupervisorRef, x: &Kid) {
    let end = x.monitor();
    x.kill();
    end.await;
    until("it is restarting", || status(sup, "x") == Some(Status::Restarting)).await;
}

/// RI10: the pauses double with the recent restarts, up to the maximum, and begin anew when those are forgotten.
#[tokio::test(start_paused = true)]
async fn the_pauses_of_a_supervisor_double() {
    let log = Log::default();
    let backoff = Backoff::exponential(SECOND, 4 * SECOND);
    let tree = Supervisor::builder().max_restarts(4, 60 * SECOND).backoff(backoff);
    let sup = rise(tree.child(child("x", &log)).child(child("y", &log))).await;
    let x = kid(&sup, "x");
    for (shortest, longest) in [(1, 1), (1, 2), (2, 4), (2, 4)] {
        let pause = down_for(&x).await;
        assert!(pause >= shortest * SECOND && pause <= longest * SECOND + GRAIN, "{pause:?}");
    }
    advance(61 * SECOND).await;
    let pause = down_for(&x).await;
    assert!(pause >= SECOND && pause <= SECOND + GRAIN, "the first of its window: {pause:?}");
    assert_eq!(kid(&sup, "y").incarnation(), 1);
}

/// RI10: a pause comes before a restart that was not possible as well.
#[tokio::test(start_paused = true)]
async fn a_pause_comes_before_each_attempt() {
    let (log, faults) = (Log::default(), Faults::default());
    let tree = Supervisor::builder().max_restarts(9, 60 * SECOND).backoff(PAUSE);
    let sup = rise(tree.child(ServerSpec::new(fragile("x", &log, &faults), 0).id("x"))).await;
    faults.set(2);
    let pause = down_for(&kid(&sup, "x")).await;
    assert!(pause >= 15 * SECOND && pause <= 15 * SECOND + 3 * GRAIN, "{pause:?}");
    assert_eq!(log.take(), ["+x", "!x", "!x", "+x"]);
}

/// RI10 CA12: who calls a child in its back-off waits within its own time; what was queued is served afterwards.
#[tokio::test(start_paused = true)]
async fn callers_wait_while_a_supervisor_pauses() {
    let log = Log::default();
    let sup = rise(Supervisor::builder().backoff(PAUSE).child(child("x", &log))).await;
    let x = kid(&sup, "x");
    pausing(&sup, &x).await;
    let begun = Instant::now();
    let lost = x.call(add).timeout(SECOND).await;
    assert!(matches!(lost, Err(CallError::Timeout)), "{lost:?}");
    assert_eq!(begun.elapsed(), SECOND);
    assert!(x.call(add).timeout(60 * SECOND).await.is_ok());
    let waited = begun.elapsed();
    assert!(waited >= 5 * SECOND - GRAIN && waited <= 5 * SECOND + GRAIN, "{waited:?}");
}

/// SG1: the pause of one child does not hold up the restart of another one, nor a request.
#[tokio::test(start_paused = true)]
async fn the_pause_of_one_child_does_not_hold_up_another() {
    let log = Log::default();
    let tree = Supervisor::builder().max_restarts(9, SECOND).backoff(PAUSE);
    let sup = rise(tree.child(child("x", &log)).child(child("y", &log))).await;
    let (x, y) = (kid(&sup, "x"), kid(&sup, "y"));
    let begun = Instant::now();
    x.kill();
    sleep(2 * SECOND).await;
    y.kill();
    soon(x.wait_incarnation(2)).await.expect("restarted");
    assert!(begun.elapsed() <= 5 * SECOND + GRAIN, "{:?}", begun.elapsed());
    soon(y.wait_incarnation(2)).await.expect("restarted");
    assert!(begun.elapsed() <= 7 * SECOND + GRAIN, "{:?}", begun.elapsed());
}

/// SP13: a stop and a kill do not wait for a pause to be over, and nothing comes back after them.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_pause() {
    for kill in [false, true] {
        let log = Log::default();
        let tree = Supervisor::builder().strategy(Strategy::OneForAll).backoff(PAUSE);
        let sup = rise(tree.child(child("x", &log)).child(child("y", &log))).await;
        let x = kid(&sup, "x");
        pausing(&sup, &x).await;
        let caller = x.clone();
        let waiting = tokio::spawn(async move { caller.call(add).no_timeout().await });
        until("it is queued", || x.mailbox_len() == 1).await;
        let begun = Instant::now();
        if kill {
            sup.kill();
            assert_eq!(word(&sup.stopped().await), "killed");
        } else {
            assert_eq!(word(&sup.stop().await.expect("it stops")), "normal");
        }
        let end = waiting.await.expect("joined");
        assert!(matches!(end, Err(CallError::Stopped(_))), "{end:?}");
        assert_eq!((begun.elapsed(), x.is_alive()), (Duration::ZERO, false));
        sleep(60 * SECOND).await;
        assert!(!log.take()[2..].iter().any(|line| line.starts_with('+')));
    }
}

/// SG2: with one for all everyone is back after the pause.
#[tokio::test(start_paused = true)]
async fn a_group_comes_back_after_the_pause() {
    let log = Log::default();
    let tree = Supervisor::builder().strategy(Strategy::OneForAll).backoff(PAUSE);
    let sup = rise(tree.child(child("x", &log)).child(child("y", &log))).await;
    let (x, begun) = (kid(&sup, "x"), Instant::now());
    pausing(&sup, &x).await;
    assert_eq!(x.call(add).timeout(60 * SECOND).await.expect("served"), 1);
    settled(&sup).await;
    assert!(begun.elapsed() <= 5 * SECOND + GRAIN);
    assert_eq!(log.take(), ["+x", "+y", "-y", "+x", "+y"]);
}

/// SG4: those who wait for a child that cannot start are restarting, too; if it is terminated, they come back without it.
#[tokio::test(start_paused = true)]
async fn a_group_comes_back_without_a_child_that_was_terminated() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let (log, faults) = (Log::default(), Faults::default());
        let tree = Supervisor::builder().strategy(strategy).max_restarts(9, 60 * SECOND).backoff(PAUSE);
        let tree =
            tree.child(child("a", &log)).child(ServerSpec::new(fragile("b", &log, &faults), 0).id("b"));
        let sup = rise(tree.child(child("c", &log))).await;
        let (b, c) = (kid(&sup, "b"), kid(&sup, "c"));
        faults.set(usize::MAX);
        kid(&sup, "a").kill();
        // After the first pause `b` fails; the second one is half over.
        sleep(15 * SECOND / 2).await;
        for (id, server) in [("b", &b), ("c", &c)] {
            assert_eq!(
                (server.status(), server.is_alive()),
                (Status::Restarting, true),
                "{id}, {strategy:?}"
            );
            assert_eq!(status(&sup, id), Some(Status::Restarting), "{id}, {strategy:?}");
            assert!(matches!(sup.delete_child(id).await, Err(ChildError::Running)));
        }
        let waiting = tokio::spawn(async move { c.call(add).timeout(60 * SECOND).await });
        sup.terminate_child("b").await.expect("a child");
        assert_eq!(waiting.await.expect("joined").expect("served"), 1);
        let seen = ["a", "b", "c"].map(|id| status(&sup, id).expect("listed"));
        assert_eq!(seen, [Status::Running, Status::Terminated, Status::Running], "{strategy:?}");
        assert!(!b.is_alive());
        faults.set(0);
        sup.restart_child("b").await.expect("it is down");
        sup.stop().await.expect("it stops");
    }
}
