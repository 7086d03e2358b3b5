//! Monitors and links in the moment of an end: each hears of it once, as the end it was or as one that was over.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::task::yield_now;
use undying::{ExitReason, ServerRef};

use super::{link, pair, start_mortal, stop_with};
use crate::{
    crash::script::{ask, get, soon, start},
    effects::{Log, Plain, act, within},
    support::until,
};

/// How often an end is raced.
const ENDS: usize = 1_000;

/// Ends `server` in another task, by turns killed and stopped.
fn end(server: &Plain, round: usize) {
    let server = server.clone();
    tokio::spawn(async move {
        for _ in 0..round % 3 {
            yield_now().await;
        }
        if round % 2 == 0 {
            server.kill();
        } else {
            stop_with(&server, ExitReason::ShutdownWith("raced".into()));
        }
    });
}

/// What those hear who race the end of that round.
fn heard(reason: &str, round: usize) -> bool {
    reason == "no such server" || reason == if round % 2 == 0 { "killed" } else { "shutdown: raced" }
}

both! {
    /// LM8: a monitor set while its server ends hears of that once.
    async fn a_monitor_that_races_the_end_hears_once() {
        let watcher = start(()).await;
        for round in 0..ENDS {
            let (target, log) = (start_mortal().await, Log::new());
            end(&target, round);
            for _ in 0..round % 5 {
                yield_now().await;
            }
            let (asks, told) = (target.clone(), log.clone());
            within(&watcher, move |cx| {
                for _ in 0..2 {
                    let told = told.clone();
                    cx.monitor(&asks, move |down| told.job(down.reason.to_string()));
                }
            })
            .await;
            let handle = soon(target.monitor()).await.reason.to_string();
            until("both have heard", || log.len() >= 2).await;
            ask(&watcher, get).await;
            let notes = log.notes();
            assert!(notes.len() == 2 && notes.iter().all(|reason| heard(reason, round)), "{notes:?}");
            assert!(heard(&handle, round), "{handle}");
        }
        assert_eq!(watcher.incarnation(), 1);
    }

    /// LM3 LM8: a demonitor that races the end knows whether the Down was heard.
    async fn a_demonitor_that_races_the_end_knows_who_won() {
        let watcher = start(()).await;
        for round in 0..ENDS {
            let (target, heard) = (start_mortal().await, Arc::new(AtomicUsize::new(0)));
            let (asks, counts) = (target.clone(), heard.clone());
            let monitor = within(&watcher, move |cx| {
                cx.monitor(&asks, move |_| act(move |_| { counts.fetch_add(1, SeqCst); }))
            })
            .await;
            end(&target, round);
            for _ in 0..round % 7 {
                yield_now().await;
            }
            let undone = within(&watcher, move |cx| cx.demonitor(monitor)).await;
            soon(target.stopped()).await;
            ask(&watcher, get).await;
            assert_eq!(heard.load(SeqCst), usize::from(!undone), "in round {round}");
        }
    }

    /// LM7 LM8: a link made while the other end is killed is either made or finds it killed: both are over.
    async fn a_link_that_races_a_kill_ends_both() {
        for round in 0..ENDS {
            let servers = [start(()).await, start(()).await];
            let [one, other] = &servers;
            let killed = other.clone();
            tokio::spawn(async move { killed.kill() });
            for _ in 0..round % 4 {
                yield_now().await;
            }
            link(one, other).await;
            for server in &servers {
                let reason = soon(server.stopped()).await.reason;
                assert!(matches!(reason, ExitReason::Killed), "in round {round}: {reason}");
            }
        }
    }

    /// LM7: two linked servers that end at once, in different ways, both end, each for its own reason or for the other's.
    async fn linked_servers_may_end_at_once() {
        for round in 0..ENDS {
            let servers = pair().await;
            for (server, way) in servers.iter().zip([round, round / 2]) {
                let server: Plain = ServerRef::clone(server);
                tokio::spawn(async move {
                    for _ in 0..way % 3 {
                        yield_now().await;
                    }
                    match way % 2 {
                        0 => server.kill(),
                        _ => stop_with(&server, ExitReason::error("test: raced")),
                    }
                });
            }
            for server in servers {
                let reason = soon(server.stopped()).await.reason;
                assert!(reason.is_abnormal(), "in round {round}: {reason}");
            }
        }
    }

    /// LM7: a link undone while the other end is killed: who is told that there was none to undo ends by it.
    async fn an_unlink_that_races_a_kill_is_one_or_the_other() {
        for round in 0..ENDS {
            let [one, other] = pair().await;
            let killed = other.clone();
            tokio::spawn(async move { killed.kill() });
            for _ in 0..round % 4 {
                yield_now().await;
            }
            let undoes = other.clone();
            let undone = soon(one.call(|reply| act(move |cx| reply.send(cx.unlink(&undoes))))).await;
            soon(other.stopped()).await;
            if let Ok(true) = undone
                && let Ok(()) = soon(one.call(get)).await
            {
                continue;
            }
            let reason = soon(one.stopped()).await.reason;
            assert!(matches!(reason, ExitReason::Killed), "in round {round}: {reason}");
        }
    }
}
