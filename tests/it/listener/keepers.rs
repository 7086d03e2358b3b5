//! Faults on purpose in the tasks that tell several listeners: none of them misses or doubles anything.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    sync::mpsc::unbounded_channel,
    task::yield_now,
    time::{Instant, sleep},
};
use undying::{Event as Lent, ExitReason, Next, Overflow, ServerRef, ServerSpec};

use super::{
    chains::{Heard, changes, counter, heard_by_three, story},
    crashes,
    overflow::{Heard as Told, Held},
    wall::{Blocking, wall},
};
use crate::{
    crash::{
        script::{Script, add, ask, asked, boom, get, serves, soon, statistics, stop, tell, wait_at},
        tape::{Event, rest},
    },
    support::{Gate, RACES, quiet, until},
};

/// Stops `server` and shows that each listener heard its whole story up to `last`, with so many crashes.
async fn all_heard(server: ServerRef<Script<u64>>, heard: [Heard; 3], last: u64, fallen: usize) {
    assert_eq!(*stop(&server).await.state, last);
    drop(server);
    for events in heard {
        let events = rest(events).await;
        assert_eq!(story(&events, false), [last]);
        assert_eq!((changes(&events), crashes(&events).len()), (last as usize, fallen), "{events:?}");
    }
}

both! {
    /// KF6: a hundred kills of all keepers under load with crashes: no listener misses a thing or hears it twice, and no restart
    /// is charged for the keepers.
    async fn a_hundred_kills_of_the_keepers_cost_no_event() {
        let (spec, heard) = counter();
        let server = spec.start().await.expect("it starts");
        let busy = server.clone();
        let load = tokio::spawn(async move {
            for n in 1..=2_000 {
                assert_eq!(ask(&busy, add).await, n);
                if n % 50 == 0 {
                    drop(soon(busy.call(asked(boom()))).await);
                }
            }
        });
        for kill in 0..100 {
            until("there was some load", || *server.peek() >= kill * 20).await;
            server.chaos().kill_keeper();
        }
        soon(load).await.expect("every update was acknowledged");
        assert_eq!(ask(&server, get).await, 2_000);
        assert_eq!((server.incarnation(), statistics(&server).await.crashes), (41, 40));
        all_heard(server, heard, 2_000, 40).await;
    }

    /// KF4: keepers killed while a callback runs, with the worker or without: nothing is lost and nobody hangs.
    async fn keepers_killed_inside_a_callback_lose_nothing() {
        for round in 0..RACES {
            let (spec, heard) = counter();
            let server = spec.start().await.expect("it starts");
            let gate = Gate::new();
            assert_eq!(ask(&server, add).await, 1);
            tell(&server, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            server.chaos().kill_keeper();
            for _ in 0..round % 4 {
                yield_now().await;
            }
            let fallen = round % 2;
            if fallen == 1 {
                server.kill_worker();
            }
            gate.open();
            server.chaos().kill_keeper();
            serves(&server, 1 + fallen as u64).await;
            assert_eq!(ask(&server, add).await, 2);
            all_heard(server, heard, 2, fallen).await;
        }
    }

    /// KF4: keepers killed while `restarted` runs lose nothing either, nor do those that are killed again at once.
    async fn keepers_killed_during_a_restart_lose_nothing() {
        let gate = Gate::new();
        for round in 0..RACES {
            let at = gate.clone();
            let script = Script::new().on_restarted(move |_, _| {
                let at = at.clone();
                Box::pin(async move {
                    at.pass().await;
                    Ok(Next::Wait)
                })
            });
            let (spec, heard) = heard_by_three(ServerSpec::new(script, 0_u64));
            let server = spec.start().await.expect("it starts");
            assert_eq!(ask(&server, add).await, 1);
            tell(&server, boom()).await;
            soon(gate.arrived()).await;
            for _ in 0..=round % 3 {
                server.chaos().kill_keeper();
                yield_now().await;
            }
            gate.open();
            serves(&server, 2).await;
            assert_eq!(ask(&server, add).await, 2);
            all_heard(server, heard, 2, 1).await;
        }
    }

    /// LI6, K14: the death of the supervisor with the keepers, in either order, is told to each listener once, and last.
    async fn the_death_of_all_tasks_is_told_once_and_last() {
        for round in 0..RACES {
            let (spec, heard) = counter();
            let server = spec.start().await.expect("it starts");
            assert_eq!(ask(&server, add).await, 1);
            if round % 2 == 0 {
                server.chaos().kill_keeper();
            }
            for _ in 0..round % 4 {
                yield_now().await;
            }
            server.chaos().kill_supervisor();
            server.chaos().kill_keeper();
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
            drop((exit, server));
            for events in heard {
                let events = rest(events).await;
                assert_eq!(story(&events, false), [1]);
                let end = events.last();
                assert!(matches!(end, Some(Event::Terminated { reason: ExitReason::Killed, .. })), "{events:?}");
            }
        }
    }

    /// LI9: the end finds its place in a queue that is full, whatever has to give way, and never gives way itself.
    async fn a_full_queue_has_room_for_the_end() {
        let changed = |old, new, lagged| Told::Changed { old, new, lagged };
        for (overflow, between) in [
            (Overflow::Coalesce, vec![changed(0, 1, 0), changed(1, 2, 0), changed(2, 9, 6)]),
            (Overflow::DropOldest, vec![changed(0, 9, 8)]),
        ] {
            let (server, held) = Held::start(2, overflow).await;
            for n in 1..=9 {
                assert_eq!(ask(&server, add).await, n);
            }
            server.chaos().kill_supervisor();
            soon(server.stopped()).await;
            drop(server);
            let mut expected = vec![Told::Started(0)];
            expected.extend(between);
            expected.push(Told::Terminated(9));
            assert_eq!(held.rest().await, expected, "{overflow:?}");
        }
    }

    /// KF4, K12: the keeper of a listener that blocks is killed again and again: still one thing at a time is told, in order.
    async fn a_listener_that_blocks_is_told_one_thing_at_a_time_whoever_keeps() {
        for _ in 0..RACES / 4 {
            let ((wall, door), (sender, mut heard)) = (wall(), unbounded_channel());
            let inside = AtomicBool::new(false);
            let listener = Blocking(move |event: Lent<'_, Script<u64>>| {
                assert!(!inside.swap(true, SeqCst), "two threads tell at a time");
                if let Lent::StateChanged(change) = event {
                    if *change.new % 2 == 0 {
                        wall.stand();
                    }
                    sender.send((*change.old, *change.new)).expect("the test listens");
                }
                inside.store(false, SeqCst);
            });
            let server =
                ServerSpec::new(Script::new(), 0_u64).listener(listener).start().await.expect("it starts");
            for n in 1..=20 {
                assert_eq!(ask(&server, add).await, n);
                server.chaos().kill_keeper();
                if n % 2 == 0 {
                    door.reached(n as usize / 2).await;
                    server.chaos().kill_keeper();
                    yield_now().await;
                    door.open();
                }
            }
            stop(&server).await;
            drop(server);
            for n in 1..=20 {
                assert_eq!(soon(heard.recv()).await, Some((n - 1, n)));
            }
            assert_eq!(soon(heard.recv()).await, None);
        }
    }
}

/// LI10: an end waits five seconds for listeners that are behind, and no longer; they are told the rest all the same.
#[tokio::test(start_paused = true)]
async fn an_end_waits_five_seconds_for_who_is_behind() {
    quiet();
    let (spec, heard) = counter();
    let server = spec.start().await.expect("it starts");
    let stall = Duration::from_secs(3_600);
    server.chaos().stall_keeper(stall);
    assert_eq!(ask(&server, add).await, 1);
    let began = Instant::now();
    stop(&server).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    sleep(stall).await;
    drop(server);
    for events in heard {
        assert_eq!(story(&rest(events).await, false), [1]);
    }
}
