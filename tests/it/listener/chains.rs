//! The story that listeners are told: one unbroken chain of states, whatever happens to the server, and one end, the last word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{runtime::Builder, sync::mpsc::UnboundedReceiver, task::yield_now};
use undying::{
    Crash, CrashKind, ExitReason, Poison, Registry, RestartPolicy, ServerRef, ServerSpec, Strategy,
    Supervisor,
};

use super::{crashes, wall::Blocking};
use crate::{
    crash::{
        script::{Script, add, ask, asked, boom, crash, get, inc, job, serves, set, soon, stop, tell},
        tape::{Event, rest, tape},
    },
    support::{RACES, inject, quiet, until},
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) type Heard = UnboundedReceiver<Event<u64>>;

/// Gives `spec` three listeners, one of which is told on a thread that may block.
pub(super) fn heard_by_three(spec: ServerSpec<Script<u64>>) -> (ServerSpec<Script<u64>>, [Heard; 3]) {
    let ((one, first), (two, second), (three, third)) = (tape(), tape(), tape());
    let spec = spec.listener(one).listener(Blocking(two)).listener(three);
    (spec, [first, second, third])
}

/// A counter from 0 that survives whatever happens, with three listeners.
pub(super) fn counter() -> (ServerSpec<Script<u64>>, [Heard; 3]) {
    heard_by_three(ServerSpec::new(Script::new(), 0).max_restarts(u32::MAX, SECOND))
}

/// Shows that `events` are a story: each life begins and ends once, each state follows from the one before, nothing is missing,
/// and a new life begins where the state says it does. Gives the states of the ends.
pub(super) fn story(events: &[Event<u64>], preserved: bool) -> Vec<u64> {
    let (mut seen, mut last_version, mut alive) = (0, 0, false);
    let mut ends = Vec::new();
    for event in events {
        match *event {
            Event::Started => {
                assert!(!alive, "{events:?}");
                (seen, alive) = (0, true);
            }
            Event::Restarted { .. } => {
                assert!(alive || preserved && !ends.is_empty(), "{events:?}");
                alive = true;
            }
            Event::Changed { old, new, version, lagged, .. } => {
                // Of another life whose `restarted` changes the state, that is the first word.
                assert!(alive || preserved && !ends.is_empty(), "{events:?}");
                assert_eq!((old, lagged), (seen, 0), "{events:?}");
                assert!(version > last_version, "{events:?}");
                (seen, last_version) = (new, version);
            }
            Event::Crashed { state, .. } => {
                assert!(alive, "{events:?}");
                assert_eq!(state, seen, "{events:?}");
            }
            Event::Terminated { state, .. } => {
                assert!(alive, "{events:?}");
                assert_eq!(state, seen, "{events:?}");
                alive = false;
                ends.push(state);
            }
        }
    }
    assert!(!alive, "the end is the last word: {events:?}");
    ends
}

/// How many changes there are.
pub(super) fn changes(events: &[Event<u64>]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Changed { .. })).count()
}

/// Changes the state and then fails: nothing of it is ever kept.
fn half(panics: bool) -> crate::crash::script::Job<u64> {
    job(move |state| {
        *state = 999;
        if panics { inject() } else { Err(Crash::msg("test: given up")) }
    })
}

/// A supervisor that never gives up with one child, `x`.
async fn below(spec: ServerSpec<Script<u64>>) -> (undying::SupervisorRef, ServerRef<Script<u64>>) {
    let sup = Supervisor::builder().max_restarts(u32::MAX, SECOND).child(spec.id("x")).start();
    let sup = soon(sup).await.expect("it starts");
    let x = sup.server("x").expect("it is there");
    (sup, x)
}

both! {
    /// LI2, LI7: panics, errors, kills and changes of `restarted` itself leave each listener the same unbroken chain.
    async fn the_chain_is_the_same_for_all_and_unbroken() {
        let script = Script::new().on_restarted(|_, mut state| {
            *state += 100;
            Box::pin(async { Ok(undying::Next::Wait) })
        });
        let spec = ServerSpec::new(script, 0_u64).max_restarts(u32::MAX, SECOND);
        let (spec, heard) = heard_by_three(spec);
        let server = spec.start().await.expect("it starts");
        for round in 0..60 {
            for _ in 0..round % 4 {
                tell(&server, inc()).await;
            }
            match round % 3 {
                0 => tell(&server, half(round % 2 == 0)).await,
                1 => drop(soon(server.call(asked(half(round % 2 == 0)))).await),
                _ => {
                    ask(&server, get).await;
                    server.kill_worker();
                }
            }
            serves(&server, round + 2).await;
        }
        let last = ask(&server, get).await;
        assert_eq!(last, 90 + 60 * 100);
        stop(&server).await;
        drop(server);
        for events in heard {
            let events = rest(events).await;
            assert_eq!(story(&events, false), [last]);
            assert_eq!((changes(&events), crashes(&events).len()), (150, 60));
        }
    }

    /// LI2, LI6: lives that a supervisor gives a server are told one after the other, each from its own beginning.
    async fn another_life_is_another_chain() {
        let (spec, heard) = counter();
        let (sup, x) = below(spec.restart(RestartPolicy::Permanent)).await;
        for life in 0..20 {
            for n in 1..=life {
                assert_eq!(ask(&x, add).await, n);
            }
            crash(&x).await;
            assert_eq!(ask(&x, add).await, life + 1);
            let next = x.incarnation() + 1;
            if life % 2 == 0 { x.kill() } else { drop(stop(&x).await) }
            serves(&x, next).await;
        }
        soon(sup.stop()).await.expect("it stops");
        drop((sup, x));
        for events in heard {
            let events = rest(events).await;
            assert_eq!(story(&events, false), (1..=20).chain([0]).collect::<Vec<_>>());
            assert_eq!(crashes(&events).len(), 20);
        }
    }

    /// LI2: where the state is preserved, another life goes on with the chain.
    async fn another_life_with_the_same_state_goes_on_with_the_chain() {
        let (spec, heard) = counter();
        let (sup, x) = below(spec.preserve_on_escalation(true)).await;
        for life in 1..=20 {
            assert_eq!(ask(&x, add).await, life);
            x.kill();
            serves(&x, life + 1).await;
        }
        soon(sup.stop()).await.expect("it stops");
        drop((sup, x));
        for events in heard {
            let events = rest(events).await;
            assert_eq!(story(&events, true), (1..=20).chain([20]).collect::<Vec<_>>());
            assert_eq!(events.iter().filter(|event| matches!(event, Event::Started)).count(), 1);
            assert_eq!(changes(&events), 20);
        }
    }

    /// LI2, SV14: a poisoned state that is healed is a change like any other.
    async fn healing_is_a_link_of_the_chain() {
        for (poison, healed) in [(Poison::ResetToInitial, 0), (Poison::PreviousGood, 5)] {
            let script = Script::new().on_restarted(|_, state| {
                if *state == 666 {
                    inject();
                }
                Box::pin(async { Ok(undying::Next::Wait) })
            });
            let spec = ServerSpec::new(script, 0_u64).max_restarts(3, Duration::from_secs(60));
            let (spec, heard) = heard_by_three(spec.on_poison(poison));
            let server = spec.start().await.expect("it starts");
            tell(&server, set(5)).await;
            tell(&server, set(666)).await;
            tell(&server, boom()).await;
            assert_eq!(ask(&server, add).await, healed + 1);
            stop(&server).await;
            drop(server);
            for events in heard {
                let events = rest(events).await;
                assert_eq!(story(&events, false), [healed + 1]);
                let states: Vec<_> = events
                    .iter()
                    .filter_map(|event| match event {
                        Event::Changed { old, new, .. } => Some((*old, *new)),
                        _ => None,
                    })
                    .collect();
                assert_eq!(states, [(0, 5), (5, 666), (666, healed), (healed, healed + 1)]);
            }
        }
    }

    /// LI7: a crash that its caller was told of is told to each listener, also if the server is killed in the next moment.
    async fn a_crash_before_a_kill_is_told() {
        for round in 0..RACES {
            let (spec, heard) = counter();
            let server = spec.start().await.expect("it starts");
            assert_eq!(ask(&server, add).await, 1);
            assert_eq!(crash(&server).await.kind(), CrashKind::Panic);
            for _ in 0..round % 4 {
                yield_now().await;
            }
            server.kill();
            assert!(matches!(soon(server.stopped()).await.reason, ExitReason::Killed));
            drop(server);
            for events in heard {
                let events = rest(events).await;
                assert_eq!(story(&events, false), [1]);
                let kinds: Vec<_> = crashes(&events).iter().map(|(report, _)| report.kind()).collect();
                assert_eq!(kinds.first(), Some(&CrashKind::Panic), "{round}: {events:?}");
            }
        }
    }

    /// LI6, G8: however a server ends, each of its listeners hears so once, after everything else, with the last state.
    async fn every_end_is_told_once_and_last() {
        for end in ENDS {
            let (spec, heard) = counter();
            let names = Registry::new();
            let sup = Supervisor::builder()
                .strategy(Strategy::OneForAll)
                .max_restarts(0, SECOND)
                .child(spec.id("x").restart(RestartPolicy::Temporary))
                .child(ServerSpec::new(Script::new(), 0_u64).max_restarts(0, SECOND).name_in(&names, "other"))
                .start();
            let sup = soon(sup).await.expect("it starts");
            let x = sup.server::<Script<u64>>("x").expect("it is there");
            for n in 1..=50 {
                assert_eq!(ask(&x, add).await, n);
                if n % 10 == 0 {
                    crash(&x).await;
                    serves(&x, n / 10 + 1).await;
                }
            }
            match end {
                "stop" => drop(soon(x.stop()).await),
                "stop with a reason" => drop(soon(x.stop_with(ExitReason::error("test: enough"))).await),
                "terminate" => soon(sup.terminate_child("x")).await.expect("a child"),
                "shutdown" => drop(soon(sup.stop()).await),
                "kill" => x.kill(),
                "kill of the tree" => sup.kill(),
                // A sibling reaches its limit, and so does the supervisor.
                "escalation" => tell(&names.whereis("other").expect("it is there"), boom::<u64>()).await,
                other => unreachable!("{other}"),
            }
            let exit = soon(x.stopped()).await;
            let reason = exit.reason.to_string();
            assert_eq!(*exit.state, 50, "{end}");
            // A supervisor that is there keeps its listeners: it may itself have another life.
            sup.kill();
            soon(sup.stopped()).await;
            drop((exit, x, sup));
            for events in heard {
                let events = rest(events).await;
                assert_eq!(story(&events, false), [50], "{end}");
                assert_eq!((changes(&events), crashes(&events).len()), (50, 5), "{end}");
                match events.last() {
                    Some(Event::Terminated { reason: told, .. }) => assert_eq!(told.to_string(), reason, "{end}"),
                    other => panic!("{end}: {other:?}"),
                }
            }
        }
    }
}

const ENDS: [&str; 7] =
    ["stop", "stop with a reason", "terminate", "shutdown", "kill", "kill of the tree", "escalation"];

/// LI6, G8: a runtime that is shut down under a server is its end, and is told as that.
#[test]
fn the_end_of_the_runtime_is_told_once_and_last() {
    quiet();
    for round in 0..20 {
        let mut flavour =
            if round % 2 == 0 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        let runtime = flavour.worker_threads(2).enable_all().build().expect("a runtime");
        let (spec, heard) = counter();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let server = runtime.block_on(async {
            let server = spec.start().await.expect("it starts");
            let (busy, count) = (server.clone(), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                while let Ok(sum) = busy.call(add).await {
                    count.store(sum, SeqCst);
                    yield_now().await;
                }
            });
            until("it is busy", || acknowledged.load(SeqCst) > round).await;
            server
        });
        drop(runtime);
        let last = *server.peek();
        assert!(last >= acknowledged.load(SeqCst));
        drop(server);
        for mut events in heard {
            let mut all = Vec::new();
            while let Some(event) = events.blocking_recv() {
                all.push(event);
            }
            assert_eq!(story(&all, false), [last]);
            assert!(
                matches!(all.last(), Some(Event::Terminated { reason: ExitReason::Killed, .. })),
                "{all:?}"
            );
        }
    }
}
