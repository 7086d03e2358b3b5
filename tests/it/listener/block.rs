//! A server that waits for its listener (`Overflow::Block`): nothing is lost, and nothing but callbacks waits.

use std::time::Duration;

use futures::{FutureExt, poll};
use undying::{CallError, ExitReason, Next, Overflow, ServerRef, ServerSpec, Shutdown, Status, StopError};

use super::held::{Heard, Rein, held, remaining};
use crate::{
    crash::script::{Job, Script, add, ask, get, inc, job, look, serves, soon, statistics, stop, tell},
    support::{RACES, until},
};

/// A server whose listener is held in `started`, with a queue of `capacity`.
async fn reined(capacity: usize) -> (ServerRef<Script<u64>>, Rein) {
    let (listener, mut rein) = held();
    let server = ServerSpec::new(Script::new(), 0)
        .max_restarts(u32::MAX, Duration::from_secs(1))
        .listener_with(listener, capacity, Overflow::Block)
        .start()
        .await
        .expect("it starts");
    assert_eq!(rein.next().await, Heard::Started(0));
    (server, rein)
}

/// One with room for two that has so many changes to tell, and one more message than that.
async fn waiting() -> (ServerRef<Script<u64>>, Rein) {
    let (server, rein) = reined(2).await;
    for n in 1..=2 {
        assert_eq!(ask(&server, add).await, n);
    }
    tell(&server, inc()).await;
    (server, rein)
}

/// Gives a server that should wait every chance not to.
async fn a_while() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A job that changes nothing, to see whether it is taken.
fn nothing() -> Job<u64> {
    look(|_| Ok(Next::Wait))
}

/// The change from `n - 1` to `n`.
fn to(n: u64) -> Heard {
    Heard::Changed { old: n - 1, new: n, lagged: 0 }
}

both! {
    /// LI9: with `Block` no callback begins at a full queue; for each event that is told one may.
    async fn a_server_waits_at_a_full_queue() {
        let (server, mut rein) = waiting().await;
        for _ in 0..3 {
            tell(&server, inc()).await;
        }
        for n in 1..=4 {
            a_while().await;
            assert_eq!((*server.peek(), server.status()), (n + 1, Status::Running));
            rein.let_go();
            assert_eq!(rein.next().await, to(n));
            until("the next callback has run", || *server.peek() == n + 2).await;
        }
        let heard = rein.release();
        stop(&server).await;
        drop(server);
        assert_eq!(remaining(heard).await, [to(5), to(6), Heard::Terminated(6)]);
    }

    /// LI9: with `Block` a thousand changes are a thousand events, whatever the capacity, and none gives way.
    async fn nothing_gives_way() {
        for capacity in [1, 3, 64] {
            let (server, rein) = reined(capacity).await;
            for _ in 0..1_000 {
                tell(&server, inc()).await;
            }
            let heard = rein.release();
            stop(&server).await;
            drop(server);
            let expected: Vec<_> = (1..=1_000).map(to).chain([Heard::Terminated(1_000)]).collect();
            assert_eq!(remaining(heard).await, expected);
        }
    }

    /// LI9: what the callback that filled the queue has said is said: its caller does not wait for the listener.
    async fn the_last_answer_before_the_wait_is_given() {
        let (server, _rein) = reined(1).await;
        assert_eq!(ask(&server, add).await, 1);
        let mut next = server.call(add).no_timeout().into_future();
        a_while().await;
        assert!(poll!(&mut next).is_pending());
        assert_eq!(*server.peek(), 1);
    }

    /// LI9 IS1 IS2: requests of `sys` do not wait for the listener.
    async fn system_requests_do_not_wait() {
        let (server, rein) = waiting().await;
        assert_eq!(*soon(server.sys().state()).await.expect("the state"), 2);
        assert_eq!(statistics(&server).await.commits, 2);
        soon(server.sys().suspend()).await.expect("suspended");
        soon(server.sys().resume()).await.expect("resumed");
        soon(server.sys().replace(|state| *state = 10)).await.expect("replaced");
        assert_eq!(*server.peek(), 10);
        a_while().await;
        assert_eq!(*server.peek(), 10, "the cast still waits");
        let heard = rein.release();
        stop(&server).await;
        drop(server);
        let replaced = Heard::Changed { old: 2, new: 10, lagged: 0 };
        let last = Heard::Changed { old: 10, new: 11, lagged: 0 };
        assert_eq!(remaining(heard).await, [to(1), to(2), replaced, last, Heard::Terminated(11)]);
    }

    /// LI9: the worker may be killed while it waits; its successor waits, too, and serves what was queued.
    async fn a_worker_is_killed_while_it_waits() {
        let (server, rein) = waiting().await;
        for n in 2..=4 {
            server.kill_worker();
            serves(&server, n).await;
        }
        a_while().await;
        assert_eq!((*server.peek(), server.mailbox_len()), (2, 1));
        let heard = rein.release();
        assert_eq!(ask(&server, get).await, 3);
        stop(&server).await;
        drop(server);
        let heard = remaining(heard).await;
        let crashes = heard.iter().filter(|event| matches!(event, Heard::Crashed { state: 2, lagged: 0 }));
        assert_eq!(crashes.count(), 3, "{heard:?}");
        let changes: Vec<_> =
            heard.iter().filter(|event| matches!(event, Heard::Changed { .. })).copied().collect();
        assert_eq!(changes, [to(1), to(2), to(3)]);
        assert_eq!(heard.last(), Some(&Heard::Terminated(3)));
    }

    /// LI9: a call that waits behind a full queue times out as ever, and is not run late as if it had not.
    async fn calls_that_wait_for_the_listener_time_out() {
        let (server, rein) = waiting().await;
        let late = soon(server.call(add).timeout(Duration::from_millis(5))).await;
        assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
        drop(rein);
        assert!([3, 4].contains(&ask(&server, get).await));
    }

    /// LI9 LI10: a stop waits until what was queued is handled, and then for the listener; nothing is lost.
    async fn a_stop_waits_for_the_listener() {
        let (server, rein) = waiting().await;
        let stopping = tokio::spawn({
            let server = server.clone();
            async move { server.stop().timeout(Duration::from_secs(60)).await }
        });
        until("it is about to end", || server.try_cast(nothing()).is_err()).await;
        a_while().await;
        assert!(server.is_alive() && !stopping.is_finished());
        let heard = rein.release();
        let exit = soon(stopping).await.expect("joined").expect("it stopped");
        assert!(matches!((*exit.state, &exit.reason), (3, ExitReason::Normal)), "{exit:?}");
        drop((exit, server));
        assert_eq!(remaining(heard).await, [to(1), to(2), to(3), Heard::Terminated(3)]);
    }

    /// LI9: a server that waits can be killed, and an order to stop that runs out of time does so.
    async fn a_kill_does_not_wait_for_the_listener() {
        let (server, rein) = waiting().await;
        let late = soon(server.stop().timeout(Duration::from_millis(5))).await;
        assert!(matches!(late, Err(StopError::Timeout)), "{late:?}");
        server.kill();
        let heard = rein.release();
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
        drop((exit, server));
        let heard = remaining(heard).await;
        assert!(matches!(heard[..], [Heard::Changed { .. }, Heard::Changed { .. }, .., Heard::Terminated(_)]), "{heard:?}");
    }

    /// LI9: an owner's patience ends also with a server that waits for its listener.
    async fn an_owner_does_not_wait_for_ever() {
        let (listener, mut rein) = held();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .shutdown(Shutdown::Timeout(Duration::from_millis(20)))
            .listener_with(listener, 1, Overflow::Block)
            .start()
            .await
            .expect("it starts");
        assert_eq!(rein.next().await, Heard::Started(0));
        assert_eq!(ask(&server, add).await, 1);
        tell(&server, inc()).await;
        drop(server.clone().into_guard());
        let stopped = server.monitor();
        until("it is dying", || server.try_cast(nothing()).is_err()).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(rein);
        assert!(!matches!(soon(stopped).await.reason, ExitReason::Normal));
        assert!([1, 2].contains(&*server.peek()));
    }

    /// LI9: kills, stops and the room that the listener makes may race as they like: the server ends, and nothing is lost but the
    /// message that a kill caught in its callback.
    async fn ends_that_race_the_listener_are_ends() {
        for round in 0..RACES as u64 {
            let (server, mut rein) = waiting().await;
            for _ in 0..round % 5 {
                tell(&server, inc()).await;
            }
            rein.let_go();
            let kills = round % 2 == 0;
            if kills {
                server.kill_worker();
            }
            assert_eq!(rein.next().await, to(1));
            let heard = rein.release();
            let exit = stop(&server).await;
            let (last, all) = (*exit.state, 3 + round % 5);
            assert!(last == all || kills && last == all - 1, "{last} of {all}");
            drop((exit, server));
            let heard = remaining(heard).await;
            let changes = heard.into_iter().filter(|event| matches!(event, Heard::Changed { .. }));
            assert!(changes.eq((2..=last).map(to)));
        }
    }

    /// LI9: timers and continues wait, too, and come when there is room.
    async fn timers_and_continues_wait_too() {
        let (server, rein) = reined(1).await;
        let twice = job(|state: &mut u64| {
            *state += 1;
            Ok(Next::Continue(inc()))
        });
        tell(&server, twice).await;
        server.send_after(Duration::ZERO, inc());
        until("the first one has run", || *server.peek() == 1).await;
        a_while().await;
        assert_eq!(*server.peek(), 1);
        let heard = rein.release();
        until("both have run", || *server.peek() == 3).await;
        stop(&server).await;
        drop(server);
        assert_eq!(remaining(heard).await, [to(1), to(2), to(3), Heard::Terminated(3)]);
    }

    /// LI9: a server that waits is woken by no more than the room that it waits for, with several listeners that block.
    async fn a_server_waits_for_the_slowest() {
        let ((first, mut a), (second, mut b)) = (held(), held());
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener_with(first, 1, Overflow::Block)
            .listener_with(second, 2, Overflow::Block)
            .start()
            .await
            .expect("it starts");
        assert_eq!((a.next().await, b.next().await), (Heard::Started(0), Heard::Started(0)));
        assert_eq!(ask(&server, add).await, 1);
        for _ in 0..3 {
            tell(&server, inc()).await;
        }
        a_while().await;
        assert_eq!(*server.peek(), 1);
        a.let_go();
        assert_eq!(a.next().await, to(1));
        until("the first one has room", || *server.peek() == 2).await;
        a.let_go();
        assert_eq!(a.next().await, to(2));
        a_while().await;
        assert_eq!(*server.peek(), 2, "the second one has none");
        let (a, b) = (a.release(), b.release());
        stop(&server).await;
        drop(server);
        assert_eq!(remaining(a).await, [to(3), to(4), Heard::Terminated(4)]);
        assert_eq!(remaining(b).await, [to(1), to(2), to(3), to(4), Heard::Terminated(4)]);
    }
}

/// LI9: with a queue of one and a listener on the same thread, every event is a wait and none is lost: no wake-up is missed.
#[tokio::test]
async fn a_queue_of_one_loses_no_wake_up() {
    let (tape, events) = crate::crash::tape::tape();
    let server = ServerSpec::new(Script::new(), 0_u64)
        .listener_with(tape, 1, Overflow::Block)
        .start()
        .await
        .expect("it starts");
    for _ in 0..2_000 {
        tell(&server, inc()).await;
    }
    assert_eq!(*stop(&server).await.state, 2_000);
    assert!(server.stopped().now_or_never().is_some());
    drop(server);
    super::one_a_commit(&crate::crash::tape::rest(events).await, 2_000);
}
