//! Tasks and the crashes of their server: a free one survives them, a linked one does not, and each is told of once.

use std::{future::ready, sync::Arc, task::Poll, time::Duration};

use futures::StreamExt as _;
use tokio::{sync::oneshot, task::yield_now};
use undying::{
    Callback, Context, ExitReason, GenServer, Never, Next, Outcome, Restart, ServerSpec, StateMut,
};

use super::{KINDS, Kind, endless, result, spawn, word};
use crate::{
    crash::{
        script::{Script, ask, boom, crash, get, job, serves, soon, start, stop, tell},
        tape::{Event, tape},
    },
    effects::{Alive, FAILURES, Log, Plain, act, held, in_vain, tasks, within},
    support::{Gate, RACES, inject, until},
};

/// The ways a server ends by which a task could be left behind.
type End = fn(&Plain);

const ENDS: &[End] = &[
    |server| {
        let server = server.clone();
        tokio::spawn(async move { server.stop().await });
    },
    |server| server.kill(),
    |server| server.try_cast(job(|()| Ok(Next::Stop(ExitReason::Normal)))).expect("room"),
    |server| server.try_cast(boom()).expect("room"),
    #[cfg(feature = "chaos")]
    |server| server.chaos().kill_supervisor(),
];

/// Has a helper that lives as long as the incarnation it helps, and notes the end of each.
#[derive(Clone)]
struct Helped {
    log: Log<u64>,
    alive: Arc<Alive>,
}

impl Helped {
    fn get_help(&self, cx: &mut Context<Self>) -> Next<Self> {
        let (one, incarnation) = (self.alive.one(), cx.incarnation());
        cx.spawn_linked(endless(one), move |_| incarnation);
        Next::Wait
    }
}

impl GenServer for Helped {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = u64;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        Ok(self.get_help(cx))
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(self.get_help(cx))
    }

    async fn handle_info(&mut self, of: u64, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.log.note(of);
        Ok(Next::Wait)
    }
}

both! {
    /// A callback that crashes or is killed has spawned nothing: its tasks are dropped unpolled, and nobody is told of them.
    async fn a_callback_that_fails_has_spawned_nothing() {
        for failure in FAILURES {
            let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
            let (free, linked, stream) = (result(&log), result(&log), log.clone());
            let ones = [alive.one(), alive.one(), alive.one()];
            let ran = log.clone();
            in_vain(&server, failure, move |cx| {
                let [one, two, three] = ones;
                let runs = ran.clone();
                cx.spawn(async move { runs.note(format!("{one:?} runs")); 0 }, free);
                let runs = ran.clone();
                cx.spawn_linked(async move { runs.note(format!("{two:?} runs")); 0 }, linked);
                let items = futures::stream::once(async move { ran.note(format!("{three:?} runs")) });
                cx.attach(items, move |item| stream.job(format!("{item:?}")));
            })
            .await;
            until("all are dropped", || alive.count() == 0).await;
            ask(&server, get).await;
            assert_eq!(log.notes(), [""; 0], "{failure:?}");
        }
    }

    /// An abort in a callback that crashes or is killed did not happen.
    async fn a_callback_that_fails_has_aborted_nothing() {
        for failure in FAILURES {
            let (server, log) = (start(()).await, Log::new());
            let (go, gone) = oneshot::channel::<()>();
            let task = spawn(&server, Kind::Free, async move { gone.await.is_ok() }, &log).await;
            in_vain(&server, failure, move |cx| assert!(cx.abort(task))).await;
            assert_eq!(log.len(), 0);
            go.send(()).expect("it still runs");
            until("its result is there", || log.len() > 0).await;
            assert_eq!(log.notes(), ["ok true"], "{failure:?}");
        }
    }

    /// A task survives the crashes of its server, and its result comes to the incarnation that is then.
    async fn a_task_survives_crashes() {
        let (server, log) = (start(()).await, Log::new());
        let gate = Gate::new();
        let at = gate.clone();
        let task = async move {
            at.pass().await;
            7
        };
        let notes = log.clone();
        within(&server, move |cx| {
            cx.spawn(task, move |result| {
                act(move |cx| notes.note((result.expect("it ends well"), cx.incarnation())))
            })
        })
        .await;
        soon(gate.arrived()).await;
        for failure in FAILURES {
            in_vain(&server, failure, |_| {}).await;
        }
        gate.open();
        until("its result is there", || log.len() > 0).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), [(7, 4)]);
    }

    /// A linked task ends with its incarnation, crashed or killed, and the next one is told.
    async fn a_linked_task_ends_with_its_incarnation() {
        for failure in FAILURES {
            let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
            let (one, notes) = (alive.one(), log.clone());
            within(&server, move |cx| {
                cx.spawn_linked(endless(one), move |result| {
                    act(move |cx| notes.note((word(&result), cx.incarnation())))
                })
            })
            .await;
            in_vain(&server, failure, |_| {}).await;
            until("it is told of", || log.len() > 0).await;
            until("it is dropped", || alive.count() == 0).await;
            // Another crash is none of its business.
            crash(&server).await;
            ask(&server, get).await;
            assert_eq!(log.notes(), [("killed".into(), 2)], "{failure:?}");
        }
    }

    /// The result of a linked task that was done before its incarnation ended is not lost.
    async fn the_result_of_a_linked_task_survives() {
        for _ in 0..RACES {
            let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
            let (one, (go, gone)) = (alive.one(), oneshot::channel::<()>());
            let task = async move {
                let _one = one;
                gone.await.is_ok()
            };
            let baseline = tasks();
            spawn(&server, Kind::Linked, task, &log).await;
            let _gate = held(&server).await;
            go.send(()).expect("it waits");
            until("it is done", || alive.count() == 0 && tasks() == baseline).await;
            server.kill_worker();
            until("its result is there", || log.len() > 0).await;
            ask(&server, get).await;
            assert_eq!(log.notes(), ["ok true"]);
        }
    }

    /// Whenever a kill comes, each task is told of once.
    async fn tasks_that_race_kills_are_told_of_once() {
        let server = start(()).await;
        for round in 0..RACES as u64 {
            let logs = [(); 5].map(|()| Log::new());
            let busy = || async {
                for _ in 0..3 {
                    yield_now().await;
                }
                0
            };
            let panics = async {
                yield_now().await;
                if true {
                    inject();
                }
                0
            };
            let aborted = spawn(&server, Kind::Free, endless(Alive::default().one()), &logs[0]).await;
            spawn(&server, Kind::Free, busy(), &logs[1]).await;
            spawn(&server, Kind::Free, panics, &logs[2]).await;
            spawn(&server, Kind::Linked, ready(0), &logs[3]).await;
            spawn(&server, Kind::Linked, busy(), &logs[4]).await;
            within(&server, move |cx| cx.abort(aborted)).await;
            for _ in 0..round % 7 {
                yield_now().await;
            }
            server.kill_worker();
            serves(&server, round + 2).await;
            until("all are told of", || logs.iter().all(|log| log.len() > 0)).await;
            ask(&server, get).await;
            let may_be: [&[_]; 5] = [
                &["killed"],
                &["ok 0"],
                &["crashed opaque payload"],
                &["ok 0", "killed"],
                &["ok 0", "killed"],
            ];
            for (log, may_be) in logs.iter().zip(may_be) {
                let notes = log.notes();
                assert!(notes.len() == 1 && may_be.contains(&&*notes[0]), "in round {round}: {notes:?}");
            }
        }
    }

    /// A linked task that each incarnation spawns anew is always the only one.
    async fn a_linked_task_of_every_incarnation_is_one() {
        let (log, alive) = (Log::new(), Arc::new(Alive::default()));
        let helped = Helped { log: log.clone(), alive: alive.clone() };
        let server = ServerSpec::new(helped, ()).start().await.expect("it starts");
        for incarnation in 2..=RACES as u64 {
            server.kill_worker();
            soon(server.wait_incarnation(incarnation)).await.expect("it restarts");
        }
        until("the others are gone", || alive.count() == 1 && log.len() == RACES - 1).await;
        soon(server.stop()).await.expect("it lives");
        until("the last is gone", || alive.count() == 0).await;
        let mut spawned = log.notes();
        spawned.sort_unstable();
        assert_eq!(spawned, (1..RACES as u64).collect::<Vec<_>>());
    }

    /// The info of a task whose callback crashes, or whose map does, does not come again; both are crashes in `handle_info`.
    async fn the_info_of_a_task_does_not_come_twice() {
        let (tape, mut events) = tape();
        let server = ServerSpec::new(Script::new(), ()).listener(tape).start().await.expect("it starts");
        let log = Log::new();
        let (info, map) = (log.clone(), log.clone());
        within(&server, move |cx| {
            cx.spawn(ready(()), move |_| info.boom("info"));
            cx.spawn(ready(()), move |_| {
                map.note("map");
                inject()
            });
        })
        .await;
        serves(&server, 3).await;
        ask(&server, get).await;
        let mut notes = log.notes();
        notes.sort_unstable();
        assert_eq!(notes, ["info", "map"]);
        assert_eq!(server.incarnation(), 3);
        let mut crashes = 0;
        while crashes < 2 {
            if let Event::Crashed { report, .. } = soon(events.recv()).await.expect("an event") {
                assert_eq!(report.callback(), Callback::Info);
                crashes += 1;
            }
        }
    }

    /// No task outlives its server, and nobody is told of those that the end has cut.
    async fn no_task_outlives_its_server() {
        for end in ENDS {
            let (log, alive, baseline) = (Log::new(), Alive::default(), tasks());
            let spec = ServerSpec::new(Script::new(), ()).max_restarts(0, Duration::from_secs(1));
            let server = spec.start().await.expect("it starts");
            for kind in KINDS {
                for _ in 0..10 {
                    spawn(&server, kind, endless(alive.one()), &log).await;
                }
            }
            let (one, items) = (alive.one(), log.clone());
            let stream = futures::stream::unfold(one, |one| async { Some(((), one)) });
            let stream = stream.then(|()| endless(Alive::default().one()));
            within(&server, move |cx| cx.attach(stream, move |item| items.job(format!("{item:?}")))).await;
            end(&server);
            soon(server.stopped()).await;
            until("nothing is left", || alive.count() == 0 && tasks() == baseline).await;
            assert_eq!(log.len(), 0);
        }
    }

    /// G11: when the end of a server is told, its tasks are gone, with all they held.
    async fn tasks_are_gone_when_the_end_is_told() {
        for round in 0..RACES {
            let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
            for kind in KINDS {
                spawn(&server, kind, endless(alive.one()), &log).await;
            }
            let one = alive.one();
            let items = futures::stream::poll_fn(move |_| {
                let _one = &one;
                Poll::<Option<()>>::Pending
            });
            within(&server, move |cx| cx.attach(items, |_| act(|_| {}))).await;
            // Answered when all are spawned.
            ask(&server, get).await;
            if round % 2 == 0 {
                stop(&server).await;
            } else {
                server.kill();
                soon(server.stopped()).await;
            }
            assert_eq!(alive.count(), 0, "in round {round}");
        }
    }

    /// Tasks that race the end of their server are dropped with it.
    async fn tasks_that_race_the_end_are_dropped() {
        let baseline = tasks();
        for round in 0..RACES {
            let (server, alive) = (start(()).await, Alive::default());
            let ones = [alive.one(), alive.one()];
            tell(&server, act(move |cx| {
                let [free, linked] = ones;
                cx.spawn(endless(free), |_| act(|_| {}));
                cx.spawn_linked(endless(linked), |_| act(|_| {}));
            }))
            .await;
            for _ in 0..round % 4 {
                yield_now().await;
            }
            if round % 2 == 0 {
                server.kill();
            } else {
                stop(&server).await;
            }
            soon(server.stopped()).await;
            until("nothing is left", || alive.count() == 0 && tasks() == baseline).await;
        }
    }
}
