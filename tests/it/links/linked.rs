//! Links: two servers that share an abnormal end.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};
use undying::{Backoff, ExitReason, ServerSpec, Shutdown};

use super::{
    ABNORMAL_ENDS, NORMAL_ENDS, ended, link, mortal, noted, pair, start_mortal, start_noted, stop_with,
    unlink,
};
use crate::{
    crash::script::{Script, ask, crash, get, serves, soon, start, stop, tell},
    effects::{FAILURES, Log, Plain, SECOND, held, in_vain, tasks, within},
    support::until,
};

/// Waits until `server` has ended, and gives its reason in words.
async fn end_of(server: &Plain) -> String {
    soon(server.stopped()).await.reason.to_string()
}

both! {
    /// LM7: an abnormal end of either of two linked servers ends the other, in good order and with the same reason.
    async fn an_abnormal_end_ends_the_linked_server() {
        for (name, end) in ABNORMAL_ENDS {
            for asked_by_who_ends in [false, true] {
                let (target, (server, terminated)) = (start_mortal().await, start_noted().await);
                if asked_by_who_ends {
                    link(&target, &server).await;
                } else {
                    link(&server, &target).await;
                }
                end(&target);
                let reason = end_of(&target).await;
                assert!(reason.starts_with(name), "{reason}");
                assert_eq!(end_of(&server).await, reason);
                assert_eq!((terminated.notes(), server.incarnation()), (vec![reason], 1));
            }
        }
    }

    /// LM7: a normal end does not end the linked server, whoever made the link.
    async fn a_normal_end_leaves_the_linked_server_alone() {
        for (_, end) in NORMAL_ENDS {
            let (target, server, other) = (start_mortal().await, start(()).await, start(()).await);
            link(&server, &target).await;
            link(&target, &other).await;
            end(&target);
            end_of(&target).await;
            ask(&server, get).await;
            ask(&other, get).await;
            // And the two that are left have nothing to do with each other.
            server.kill();
            end_of(&server).await;
            ask(&other, get).await;
        }
    }

    /// LM7: a server that is stopped by a link handles first what was queued.
    async fn what_is_queued_is_handled_before_a_link_ends_its_server() {
        let (target, (server, log)) = (start_mortal().await, start_noted().await);
        link(&server, &target).await;
        let gate = held(&server).await;
        for n in 0..3 {
            tell(&server, log.job(n.to_string())).await;
        }
        target.kill();
        end_of(&target).await;
        gate.open();
        assert_eq!(end_of(&server).await, "killed");
        assert_eq!(log.notes(), ["0", "1", "2", "killed"]);
    }

    /// LM7: a server that is to be killed by its owner is killed by a link, without `terminate`.
    async fn a_link_ends_a_server_as_its_shutdown_has_it() {
        let (target, log) = (start_mortal().await, Log::new());
        let server = noted(&log).shutdown(Shutdown::BrutalKill).start().await.expect("it starts");
        link(&server, &target).await;
        let _gate = held(&server).await;
        target.kill();
        assert_eq!(end_of(&server).await, "killed");
        assert_eq!(log.len(), 0);
    }

    /// LM7 K11: a link is between logical servers: it survives the crashes of both, and is not felt in them.
    async fn a_link_survives_crashes() {
        for first in [0, 1] {
            let pair = pair().await;
            for incarnation in 2..=20 {
                for server in &pair {
                    if incarnation % 2 == 0 {
                        crash(server).await;
                    } else {
                        server.kill_worker();
                    }
                    serves(server, incarnation).await;
                }
            }
            for server in &pair {
                ask(server, get).await;
            }
            pair[first].kill();
            for server in &pair {
                assert_eq!(end_of(server).await, "killed");
            }
        }
    }

    /// LM7: a link can be ended by either of the two; linking twice is linking once.
    async fn a_link_can_be_ended_by_either() {
        for by in [0, 1] {
            let pair = pair().await;
            link(&pair[0], &pair[1]).await;
            link(&pair[1], &pair[0]).await;
            assert!(unlink(&pair[by], &pair[1 - by]).await);
            assert!(!unlink(&pair[by], &pair[1 - by]).await);
            assert!(!unlink(&pair[1 - by], &pair[by]).await);
            pair[0].kill();
            end_of(&pair[0]).await;
            ask(&pair[1], get).await;
        }
    }

    /// LM7: links that one callback makes and ends are as it left them.
    async fn a_callback_can_end_the_link_it_made() {
        let (gone, kept, server) = (start_mortal().await, start_mortal().await, start(()).await);
        let others = [gone.clone(), kept.clone()];
        let undone = within(&server, move |cx| {
            let [gone, kept] = others;
            cx.link(&gone);
            cx.link(&kept);
            let first = cx.unlink(&kept);
            cx.link(&kept);
            [first, cx.unlink(&gone), cx.unlink(&gone)]
        });
        assert_eq!(undone.await, [true, true, false]);
        gone.kill();
        end_of(&gone).await;
        ask(&server, get).await;
        kept.kill();
        assert_eq!(end_of(&server).await, "killed");
    }

    /// LM7: a callback that crashes or is killed has linked nothing, and ended no link.
    async fn a_callback_that_fails_has_linked_nothing() {
        for failure in FAILURES {
            let (kept, new, dead) = (start_mortal().await, start_mortal().await, ended(&ABNORMAL_ENDS[0]).await.0);
            let server = start(()).await;
            link(&server, &kept).await;
            let others = [kept.clone(), new.clone()];
            in_vain(&server, failure, move |cx| {
                assert!(cx.unlink(&others[0]));
                cx.link(&others[1]);
                cx.link(&dead);
            })
            .await;
            assert!(!unlink(&server, &new).await);
            new.kill();
            end_of(&new).await;
            ask(&server, get).await;
            kept.kill();
            assert_eq!(end_of(&server).await, "killed", "{failure:?}");
        }
    }

    /// LM7: a link to a server that has ended abnormally is its end now; one to a server that is over in good order is
    /// nothing.
    async fn a_link_to_a_dead_server_counts_as_its_end() {
        for end in ABNORMAL_ENDS {
            let ((target, reason), (server, terminated)) = (ended(end).await, start_noted().await);
            link(&server, &target).await;
            assert_eq!(end_of(&server).await, reason);
            assert_eq!(terminated.notes(), [reason]);
        }
        for end in NORMAL_ENDS {
            let ((target, _), server) = (ended(end).await, start(()).await);
            link(&server, &target).await;
            ask(&server, get).await;
            assert!(!unlink(&server, &target).await);
        }
    }

    /// LM7: a link to itself is none.
    async fn a_link_to_itself_is_nothing() {
        let (server, terminated) = start_noted().await;
        link(&server, &server).await;
        crash(&server).await;
        let exit = soon(server.stop_with(ExitReason::error("test: fire"))).await.expect("alive");
        assert_eq!(terminated.notes()[1..], [exit.reason.to_string()]);
        let weak = server.downgrade();
        drop((server, exit));
        until("nothing is left", || weak.upgrade().is_none()).await;
    }

    /// LM7: an end goes round a ring of links, and through a star of them, once.
    async fn an_end_goes_through_all_links() {
        const SERVERS: usize = 100;

        let baseline = tasks();
        for star in [false, true] {
            let servers = join_all((0..SERVERS).map(|_| start_noted())).await;
            for (n, (server, _)) in servers.iter().enumerate() {
                let next = if star { 0 } else { (n + 1) % SERVERS };
                link(server, &servers[next].0).await;
            }
            let reason = ExitReason::error("test: all of you");
            stop_with(&servers[SERVERS / 2].0, reason);
            let reason = end_of(&servers[SERVERS / 2].0).await;
            for (server, terminated) in &servers {
                assert_eq!(end_of(server).await, reason);
                assert_eq!(terminated.notes(), [&*reason]);
            }
            until("nothing is left", || tasks() == baseline).await;
        }
    }

    /// LM7: who is linked and ends leaves nothing behind at who lives on.
    async fn a_link_leaves_nothing_behind() {
        let server = start(()).await;
        for round in 0..100 {
            let other = start(()).await;
            if round % 2 == 0 {
                link(&server, &other).await;
            } else {
                link(&other, &server).await;
            }
            if round % 3 == 0 {
                unlink(&server, &other).await;
            }
            stop(&other).await;
            let weak = other.downgrade();
            drop(other);
            until("nothing is left", || weak.upgrade().is_none()).await;
        }
        ask(&server, get).await;
    }
}

/// LM7: a link ends a server also while that is in its back-off.
#[tokio::test(start_paused = true)]
async fn a_link_ends_a_server_in_its_backoff() {
    let pause = Backoff::exponential(3_600 * SECOND, 3_600 * SECOND);
    let server = ServerSpec::new(Script::new(), ()).backoff(pause).start().await.expect("it starts");
    let target = mortal().start().await.expect("it starts");
    link(&server, &target).await;
    crash(&server).await;
    let begin = Instant::now();
    target.kill();
    assert_eq!(end_of(&server).await, "killed");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

/// LM7: a server that does not come to its end within its shutdown time is killed.
#[tokio::test(start_paused = true)]
async fn a_link_waits_as_long_as_the_shutdown_has_it() {
    let (target, log) = (start_mortal().await, Log::new());
    let server = noted(&log).shutdown(Shutdown::Timeout(2 * SECOND)).start().await.expect("it starts");
    link(&server, &target).await;
    let _gate = held(&server).await;
    let begin = Instant::now();
    target.kill();
    assert_eq!(end_of(&server).await, "killed");
    assert_eq!((begin.elapsed(), log.len()), (2 * SECOND, 0));
    sleep(SECOND).await;
    assert_eq!(log.len(), 0, "it was killed: no terminate");
}
