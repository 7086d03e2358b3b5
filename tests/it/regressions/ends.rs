//! Beginnings and ends: what is decided once is the same for all who hear of it.

use std::{
    hint,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use futures::executor::block_on;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{self, UnboundedSender},
    task::yield_now,
    time::sleep,
};
use undying::{
    Callback, Context, ExitReason, GenServer, Listener, Never, Next, Outcome, Reply, ServerRef, ServerSpec,
    StartError, Started, StateMut, Terminated,
};

use crate::{
    crash::script::{Job, Script, asked, inc, job, soon, tell},
    support::{RACES, quiet, until},
};

/// A callback that stops its server with an abnormal reason.
fn fail() -> Job<u64> {
    job(|_| Ok(Next::Stop(ExitReason::error("test: enough"))))
}

/// A callback that goes on with one that stops.
fn fail_next() -> Job<u64> {
    job(|_| Ok(Next::Continue(fail())))
}

/// A server whose `init` takes all the time there is for it, and then a little more. The timers of both go off at once.
#[derive(Clone)]
struct Punctual {
    limit: Duration,
    more: Duration,
}

impl GenServer for Punctual {
    type State = ();
    type Call = Reply<()>;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        sleep(self.limit).await;
        let begin = Instant::now();
        while begin.elapsed() < self.more {
            hint::spin_loop();
        }
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        reply: Reply<()>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(());
        Ok(Next::Wait)
    }
}

/// A listener that passes on whether it starts and ends.
struct Told(UnboundedSender<&'static str>);

impl Listener<Punctual> for Told {
    fn started(&self, _: &Started<'_, Punctual>) {
        self.0.send("started").expect("the test listens");
    }

    fn terminated(&self, _: &Terminated<'_, Punctual>) {
        self.0.send("terminated").expect("the test listens");
    }
}

both! {
    /// SP9 G8: `terminate` does not run after a kill, also when the kill meets a server that has just nothing left to do.
    async fn a_kill_never_runs_terminate() {
        let terminated = Arc::new(AtomicUsize::new(0));
        for round in 0..5 * RACES {
            let count = terminated.clone();
            let script = Script::new().on_terminate(move |_, _| {
                count.fetch_add(1, SeqCst);
            });
            let server = ServerSpec::new(script, 0_u64).start().await.expect("it starts");
            for _ in 0..round % 40 {
                server.try_cast(inc()).expect("room");
            }
            for _ in 0..round % 3 {
                yield_now().await;
            }
            server.kill();
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
        }
        until("every incarnation is gone", || Arc::strong_count(&terminated) == 1).await;
        assert_eq!(terminated.load(SeqCst), 0);
    }

    /// ST5 G8: of an `init` that finishes when its time is over, one thing is true for all: either the server started, then
    /// it serves and lives on, or it did not, then no listener hears of it.
    async fn a_start_at_its_time_limit_is_started_or_not() {
        let limit = Duration::from_millis(1);
        for round in 0..RACES as u64 {
            // The other one of the two may need that long to wake a thread for it.
            let more = Duration::from_micros(round * 2);
            let (told, mut events) = mpsc::unbounded_channel();
            let spec = ServerSpec::new(Punctual { limit, more }, ()).init_timeout(limit).listener(Told(told));
            let heard: &[_] = match soon(spec.start()).await {
                Ok(server) => {
                    soon(server.call(|reply| reply)).await.expect("it serves");
                    let exit = soon(server.stop()).await.expect("it was alive");
                    assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
                    &["started", "terminated"]
                }
                Err(error) => {
                    assert!(matches!(error, StartError::Timeout), "{error}");
                    &[]
                }
            };
            let mut all = Vec::new();
            while let Some(event) = soon(events.recv()).await {
                all.push(event);
            }
            assert_eq!(all, heard);
        }
    }

    /// CR15: the report of a server that stopped itself for an abnormal reason names the callback that said so.
    async fn the_report_of_a_stop_names_the_callback_that_stopped() {
        for callback in [Callback::Call, Callback::Cast, Callback::Info, Callback::Continue] {
            let spec = ServerSpec::new(Script::new(), 0).max_restarts(0, Duration::from_secs(1));
            let server = spec.start().await.expect("it starts");
            match callback {
                Callback::Call => drop(soon(server.call(asked(fail()))).await),
                Callback::Cast => tell(&server, fail()).await,
                Callback::Info => soon(server.send(fail())).await.expect("alive"),
                _ => tell(&server, fail_next()).await,
            }
            match soon(server.stopped()).await.reason {
                ExitReason::RestartLimit(report) => {
                    assert_eq!(report.callback(), callback);
                    assert!(report.message().contains("test: enough"), "{report}");
                }
                other => panic!("{other}"),
            }
        }
    }
}

/// A runtime without timers is refused at the start, in words that say what is missing.
#[test]
fn a_start_in_a_runtime_without_timers_says_so() {
    quiet();
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.build().expect("a runtime");
        let spec = ServerSpec::new(Script::new(), 0_u64);
        let start = catch_unwind(AssertUnwindSafe(|| runtime.block_on(spec.start())));
        let panic = start.map(drop).expect_err("no timers");
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a message");
        assert!(text.contains("timers"), "{text}");
    }
}

/// Kills the worker of `server` as soon as there is one, until `kills` are done or the server is over.
fn keep_killing(server: &ServerRef<Script<u64>>, kills: u64) {
    for incarnation in 1..=kills {
        while server.incarnation() < incarnation {
            if !server.is_alive() {
                return;
            }
            thread::yield_now();
        }
        server.kill_worker();
    }
}

/// G12 K14: a runtime that shuts down kills its servers, and that is what is told, however busy a server is with restarts:
/// what a runtime refuses to run is no crash.
#[test]
fn the_end_of_a_runtime_is_a_kill() {
    quiet();
    let mut builders = [Builder::new_current_thread(), Builder::new_multi_thread()];
    let [current, multi] = &mut builders;
    multi.worker_threads(2);
    for round in 0..RACES as u64 {
        for builder in [&mut *current, &mut *multi] {
            let runtime = builder.enable_all().build().expect("a runtime");
            the_end_of(runtime, round);
        }
    }
}

fn the_end_of(runtime: Runtime, round: u64) {
    // A few more than there are kills.
    let spec = ServerSpec::new(Script::new(), 0_u64).max_restarts(40, Duration::from_secs(3_600));
    let server = runtime.block_on(spec.start()).expect("it starts");
    let killer = thread::spawn({
        let server = server.clone();
        move || keep_killing(&server, 30)
    });
    let busy = 2 + round % 24;
    runtime.block_on(server.wait_incarnation(busy)).expect("it restarts");
    runtime.shutdown_background();
    let exit = block_on(server.stopped());
    assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
    killer.join().expect("no panic");
}

#[cfg(feature = "chaos")]
mod drain {
    use std::sync::mpsc;

    use parking_lot::Mutex;
    use undying::{Registry, StateChanged};

    use super::*;

    /// A listener that blocks in a change, and sends the reason of the end.
    struct Blocked {
        wall: Mutex<mpsc::Receiver<()>>,
        told: mpsc::Sender<ExitReason>,
    }

    impl Listener<Script<u64>> for Blocked {
        fn state_changed(&self, _: &StateChanged<'_, Script<u64>>) {
            // Returns an error: the test only drops the other end.
            let _ = self.wall.lock().recv();
        }

        fn terminated(&self, end: &Terminated<'_, Script<u64>>) {
            self.told.send(end.reason.clone()).expect("the test listens");
        }
    }

    /// G8 K14: a supervisor that dies while a server that has ended waits for its listeners changes nothing about the
    /// reason: whoever stopped the server hears what the listeners hear.
    ///
    /// The listener blocks a thread, so that this needs the multi-thread flavour.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn a_supervisor_that_dies_after_the_end_does_not_change_its_reason() {
        quiet();
        for round in 0..RACES {
            let names = Registry::new();
            let ((open, wall), (told, reasons)) = (mpsc::channel(), mpsc::channel());
            let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&names, "ended");
            let spec = spec.listener(Blocked { wall: Mutex::new(wall), told });
            let server = spec.start().await.expect("it starts");
            tell(&server, inc()).await;
            let mut stop = tokio::spawn({
                let server = server.clone();
                async move { server.stop().await }
            });
            // The name is freed when the reason is settled; the listener keeps the supervisor from going.
            until("it has ended", || names.names().is_empty()).await;
            assert!(futures::poll!(&mut stop).is_pending());
            server.chaos().kill_supervisor();
            let exit = soon(stop).await.expect("joined").expect("it was alive");
            drop(open);
            until("the listener is told", || {
                let Ok(reason) = reasons.try_recv() else { return false };
                assert_eq!(reason.to_string(), exit.reason.to_string(), "in round {round}");
                true
            })
            .await;
            assert!(reasons.try_recv().is_err(), "it is told once");
        }
    }
}
