//! Servers that trap exits: the ends of those they are linked to come as infos.

use tokio::task::yield_now;
use undying::{Down, Registry, ServerSpec};

use super::{ABNORMAL_ENDS, NORMAL_ENDS, ended, link, mortal, start_mortal, unlink};
use crate::{
    crash::script::{Script, ask, crash, get, serves, soon, start, stop},
    effects::{FAILURES, Log, Plain, held, in_vain},
    support::{RACES, inject, until},
};

/// The name and the reason of an exit, in words.
type Exit = (Option<String>, String);

/// A server that traps exits and notes them.
async fn trapping() -> (Plain, Log<Exit>) {
    let log = Log::new();
    let notes = log.clone();
    let trap = move |down: Down| notes.job((down.name.map(|name| name.to_string()), down.reason.to_string()));
    let spec = ServerSpec::new(Script::new(), ()).trap_exits(trap);
    (spec.start().await.expect("it starts"), log)
}

/// Waits for the exits that are there, and shows that there are no more.
async fn exits(server: &Plain, log: &Log<Exit>, count: usize) -> Vec<Exit> {
    until("it has heard", || log.len() >= count).await;
    ask(server, get).await;
    assert_eq!((log.len(), server.incarnation()), (count, 1), "{:?}", log.notes());
    log.notes()
}

both! {
    /// LM7: the end of a linked server, abnormal or not, is an info to who traps exits, once, and nothing else.
    async fn a_trapped_end_is_an_info() {
        for (name, end) in NORMAL_ENDS.iter().chain(ABNORMAL_ENDS) {
            for asked_by_who_ends in [false, true] {
                let registry = Registry::new();
                let target = mortal().name_in(&registry, "target").start().await.expect("the name is free");
                let (server, log) = trapping().await;
                if asked_by_who_ends {
                    link(&target, &server).await;
                } else {
                    link(&server, &target).await;
                    // Linked twice, it hears once.
                    link(&server, &target).await;
                }
                end(&target);
                let reason = soon(target.stopped()).await.reason.to_string();
                assert!(reason.starts_with(name), "{reason}");
                assert_eq!(exits(&server, &log, 1).await, [(Some("target".into()), reason)]);
                assert!(!unlink(&server, &target).await, "the link is over");
            }
        }
    }

    /// LM7: a link to a server that has ended abnormally is an info at once.
    async fn a_trapped_link_to_a_dead_server_is_an_info() {
        for end in ABNORMAL_ENDS {
            let ((target, reason), (server, log)) = (ended(end).await, trapping().await);
            link(&server, &target).await;
            assert_eq!(exits(&server, &log, 1).await, [(None, reason)]);
        }
    }

    /// LM7: crashes of a linked server are none of its business, and after an unlink its end is none, too.
    async fn only_ends_are_trapped_and_only_of_linked_servers() {
        let (target, gone, (server, log)) = (start(()).await, start_mortal().await, trapping().await);
        link(&server, &target).await;
        link(&gone, &server).await;
        for incarnation in 2..12 {
            crash(&target).await;
            serves(&target, incarnation).await;
        }
        assert!(unlink(&server, &gone).await);
        gone.kill();
        soon(gone.stopped()).await;
        assert_eq!(exits(&server, &log, 0).await, []);
        stop(&target).await;
        assert_eq!(exits(&server, &log, 1).await, [(None, "normal".into())]);
    }

    /// LM7: who traps exits is spared; who is linked to the same server and does not is not.
    async fn a_trap_spares_nobody_else() {
        let (target, other, (server, log)) = (start_mortal().await, start(()).await, trapping().await);
        link(&server, &target).await;
        link(&other, &target).await;
        // A chain: the end of the other one is the next to be heard of.
        link(&server, &other).await;
        target.kill();
        assert_eq!(soon(other.stopped()).await.reason.to_string(), "killed");
        assert_eq!(exits(&server, &log, 2).await, [(None, "killed".into()), (None, "killed".into())]);
    }

    /// LM7: a server that traps exits ends the others as any does.
    async fn a_trapping_server_is_linked_both_ways() {
        let (other, (server, _)) = (start(()).await, trapping().await);
        link(&server, &other).await;
        server.kill();
        assert_eq!(soon(other.stopped()).await.reason.to_string(), "killed");
    }

    /// LM7 K11: an exit comes to the logical server: crashes neither lose it nor double it.
    async fn a_trapped_exit_survives_crashes() {
        for failure in FAILURES {
            let (target, (server, log)) = (start_mortal().await, trapping().await);
            link(&server, &target).await;
            in_vain(&server, failure, |_| {}).await;
            let gate = held(&server).await;
            target.kill();
            soon(target.stopped()).await;
            server.kill_worker();
            serves(&server, 3).await;
            until("it has heard", || log.len() > 0).await;
            ask(&server, get).await;
            assert_eq!(log.notes(), [(None, "killed".into())], "{failure:?}");
            gate.open();
        }
    }

    /// LM7: whenever kills come, each of many exits is heard of once.
    async fn trapped_exits_that_race_kills_are_heard_of_once() {
        let (server, log) = trapping().await;
        for round in 0..RACES {
            let target = start_mortal().await;
            link(&server, &target).await;
            let next = server.incarnation() + 1;
            target.kill();
            for _ in 0..round % 5 {
                yield_now().await;
            }
            server.kill_worker();
            serves(&server, next).await;
            until("it has heard", || log.len() > round).await;
            ask(&server, get).await;
            assert_eq!(log.len(), round + 1);
        }
    }

    /// A trap that panics harms its own server at most, and only one incarnation of that.
    async fn a_trap_that_panics_harms_nobody_else() {
        let spec = ServerSpec::new(Script::<()>::new(), ()).trap_exits(|_| inject());
        let (server, target) = (spec.start().await.expect("it starts"), start_mortal().await);
        link(&server, &target).await;
        target.kill();
        assert_eq!(soon(target.stopped()).await.reason.to_string(), "killed");
        serves(&server, 2).await;
        ask(&server, get).await;
    }
}
