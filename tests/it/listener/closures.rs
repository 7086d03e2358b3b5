//! Closures as listeners, and what is in the events.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use undying::{Callback, CrashKind, Event, ExitReason, Next, Overflow, ServerRef, ServerSpec};

use super::wall::kind;
use crate::{
    crash::{
        script::{Script, add, ask, asked, crash, get, job, serves, soon, stop, tell},
        tape::{Event as Taped, rest, tape},
    },
    support::inject,
};

type Server = ServerRef<Script<u64>>;

/// What a closure has noted.
type Log<T> = Arc<Mutex<Vec<T>>>;

fn log<T>() -> (Log<T>, Log<T>) {
    let log = Log::default();
    (Arc::clone(&log), log)
}

/// The server that an event is about.
fn of(event: &Event<'_, Script<u64>>) -> Server {
    match event {
        Event::Started(event) => event.server.clone(),
        Event::StateChanged(event) => event.server.clone(),
        Event::Crashed(event) => event.server.clone(),
        Event::Restarted(event) => event.server.clone(),
        Event::Terminated(event) => event.server.clone(),
        other => panic!("{other:?}"),
    }
}

both! {
    /// LI1: a closure hears what a listener with all its methods hears, in the same order.
    async fn a_closure_hears_what_a_listener_hears() {
        let (kinds, noted) = log();
        let (tape, events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(move |event: Event<'_, Script<u64>>| kinds.lock().push(kind(&event)))
            .listener(tape)
            .start()
            .await
            .expect("it starts");
        for round in 0..20 {
            ask(&server, add).await;
            if round % 3 == 0 {
                crash(&server).await;
            } else {
                server.kill_worker();
            }
            serves(&server, round + 2).await;
        }
        stop(&server).await;
        drop(server);
        let taped: Vec<_> = rest(events)
            .await
            .iter()
            .map(|event| match event {
                Taped::Started => "started",
                Taped::Changed { .. } => "state_changed",
                Taped::Crashed { .. } => "crashed",
                Taped::Restarted { .. } => "restarted",
                Taped::Terminated { .. } => "terminated",
            })
            .collect();
        assert_eq!(*noted.lock(), taped);
        assert_eq!(taped.len(), 1 + 60 + 1);
    }

    /// LI8: each event has its server with it, which can be asked there and then.
    async fn each_event_has_its_server_with_it() {
        let (servers, noted) = log();
        let server = ServerSpec::new(Script::new(), 7_u64)
            .listener(move |event: Event<'_, Script<u64>>| {
                let server = of(&event);
                servers.lock().push((kind(&event), server.id(), *server.peek(), server.is_alive()));
            })
            .start()
            .await
            .expect("it starts");
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 7);
        stop(&server).await;
        let noted = noted.lock().clone();
        let kinds: Vec<_> = noted.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, ["started", "crashed", "restarted", "terminated"]);
        assert!(noted.iter().all(|(_, id, state, _)| (*id, *state) == (server.id(), 7)), "{noted:?}");
        assert!(noted[..3].iter().all(|(.., alive)| *alive), "{noted:?}");
    }

    /// LI1, LI7: an event says which callback it was of, in which incarnation, and what the state was before and after.
    async fn an_event_says_all_there_is_to_say() {
        let (said, noted) = log();
        let script = Script::new()
            .on_init(|state| {
                *state += 40;
                Ok(Next::Wait)
            })
            .on_restarted(|_, mut state| {
                *state += 1;
                Box::pin(async { Ok(Next::Wait) })
            });
        let server = ServerSpec::new(script, 2_u64)
            .listener(move |event: Event<'_, Script<u64>>| {
                said.lock().push(match event {
                    Event::Started(start) => format!("started {}", start.state),
                    Event::StateChanged(change) => format!(
                        "{} {} -> {} v{} i{}",
                        change.callback, change.old, change.new, change.version, change.incarnation
                    ),
                    Event::Crashed(crash) => {
                        let report = crash.report;
                        assert!(!crash.abandoned);
                        assert_eq!((report.kind(), report.message()), (CrashKind::Panic, "test: off"));
                        format!("crashed {} i{} v{}", crash.state, report.incarnation(), report.version())
                    }
                    Event::Restarted(restart) => {
                        assert!(restart.took < Duration::from_secs(60));
                        format!("restarted i{}", restart.incarnation)
                    }
                    Event::Terminated(end) => format!("terminated {} {}", end.reason, end.state),
                    other => panic!("{other:?}"),
                });
            })
            .start()
            .await
            .expect("it starts");
        let up = || job(|state: &mut u64| {
            *state += 1;
            Ok(Next::Continue(job(|state| {
                *state += 1;
                Ok(Next::Wait)
            })))
        });
        assert_eq!(ask(&server, add).await, 43);
        tell(&server, up()).await;
        soon(server.send(up())).await.expect("a server");
        assert_eq!(ask(&server, get).await, 47);
        soon(server.sys().replace(|state| *state += 1)).await.expect("a server");
        drop(soon(server.call(asked(job(|_| panic!("test: off"))))).await);
        serves(&server, 2).await;
        assert_eq!(ask(&server, add).await, 50);
        soon(server.stop_with(ExitReason::Shutdown)).await.expect("a server");
        let [call, cast, info] = [Callback::Call, Callback::Cast, Callback::Info];
        let [next, system, restarted] = [Callback::Continue, Callback::System, Callback::Restarted];
        assert_eq!(
            *noted.lock(),
            [
                "started 42".to_owned(),
                format!("{call} 42 -> 43 v2 i1"),
                format!("{cast} 43 -> 44 v3 i1"),
                format!("{next} 44 -> 45 v4 i1"),
                format!("{info} 45 -> 46 v5 i1"),
                format!("{next} 46 -> 47 v6 i1"),
                format!("{system} 47 -> 48 v7 i1"),
                "crashed 48 i1 v7".to_owned(),
                format!("{restarted} 48 -> 49 v8 i2"),
                "restarted i2".to_owned(),
                format!("{call} 49 -> 50 v9 i2"),
                "terminated shutdown 50".to_owned(),
            ]
        );
    }

    /// LI1: an event can be printed, without what only the user may show: its states.
    async fn an_event_can_be_printed() {
        let (texts, noted) = log();
        let server = ServerSpec::new(Script::new(), 987_654_320_u64)
            .listener(move |event: Event<'_, Script<u64>>| texts.lock().push((kind(&event), format!("{event:?}"))))
            .start()
            .await
            .expect("it starts");
        ask(&server, add).await;
        crash(&server).await;
        serves(&server, 2).await;
        stop(&server).await;
        let noted = noted.lock().clone();
        assert_eq!(noted.len(), 5);
        for (kind, text) in noted {
            let name: String = text.split_whitespace().next().expect("a name").to_lowercase();
            assert_eq!(name, kind.replace('_', ""), "{text}");
            assert!(!text.contains("9876543"), "{text}");
        }
    }

    /// LI5, LI9: a closure may have a queue of its own, and one that panics hears the next event.
    async fn a_closure_may_panic_and_have_its_own_queue() {
        let (heard, noted) = log();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener_with(
                move |event: Event<'_, Script<u64>>| {
                    heard.lock().push(kind(&event));
                    inject()
                },
                16,
                Overflow::Block,
            )
            .start()
            .await
            .expect("it starts");
        for n in 1..=100 {
            assert_eq!(ask(&server, add).await, n);
        }
        stop(&server).await;
        let noted = noted.lock();
        assert_eq!(noted.len(), 102);
        assert!(noted[1..101].iter().all(|kind| *kind == "state_changed"));
    }
}
