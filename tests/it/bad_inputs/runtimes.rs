//! Runtimes that end under a server, in every phase of its life: whoever waits for anything of it, on another runtime, is told, and
//! so is whoever asks afterwards.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use futures::{FutureExt, executor::block_on, future::BoxFuture};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use undying::{
    Backoff, Context, ExitReason, GenServer, Listener, Mailbox, Next, Outcome, Registry, Reply, Restart,
    ServerRef, ServerSpec, StartError, StateMut, Status, Terminated,
};

use crate::support::{Gate, inject, quiet, until};

/// Where in its life a server is when its runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Init,
    Idle,
    /// In a callback, at an await.
    Callback,
    /// In a callback that blocks its thread.
    Blocked,
    Suspended,
    /// Between two incarnations.
    BackOff,
    Restarted,
    /// At its orderly end.
    Terminate,
    /// At its end, with a listener that has not heard of it yet.
    Behind,
}

const PHASES: [Phase; 9] = [
    Phase::Init,
    Phase::Idle,
    Phase::Callback,
    Phase::Blocked,
    Phase::Suspended,
    Phase::BackOff,
    Phase::Restarted,
    Phase::Terminate,
    Phase::Behind,
];

/// A server that stays in one phase of its life for ever.
#[derive(Clone)]
struct Hostage {
    stays: Phase,
    gate: Gate,
    /// Where `init` leaves its own address.
    address: Arc<Mutex<Option<ServerRef<Self>>>>,
    /// What a callback blocks its thread by, until the test drops the other end.
    wall: Arc<Mutex<mpsc::Receiver<()>>>,
}

/// Keeps the reply for ever; or goes where the server is to stay.
enum Ask {
    Never(Reply<()>),
    Go,
}

impl Hostage {
    async fn stay(&self, phase: Phase) {
        if self.stays == phase {
            self.gate.pass().await;
            pending::<()>().await;
        }
    }
}

impl GenServer for Hostage {
    type State = Vec<Reply<()>>;
    type Call = Ask;
    type Cast = Ask;
    type Info = ();
    type Continue = ();

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        *self.address.lock() = Some(cx.server());
        self.stay(Phase::Init).await;
        Ok(Next::Wait)
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.stay(Phase::Restarted).await;
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        ask: Ask,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if let Ask::Never(reply) = ask {
            state.push(reply);
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(&mut self, ask: Ask, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        let Ask::Go = ask else { return Ok(Next::Wait) };
        match self.stays {
            Phase::Callback => self.stay(Phase::Callback).await,
            Phase::Blocked => {
                self.gate.pass().await;
                // An error: the test only drops the other end.
                let _ = self.wall.lock().recv();
            }
            Phase::BackOff | Phase::Restarted => inject(),
            _ => {}
        }
        Ok(Next::Wait)
    }

    async fn handle_info(&mut self, (): (), _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, _: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        self.stay(Phase::Terminate).await;
    }
}

/// Blocks a thread of its own in the last event.
struct Slow(Gate, Arc<Mutex<mpsc::Receiver<()>>>);

impl Listener<Hostage> for Slow {
    fn terminated(&self, _: &Terminated<'_, Hostage>) {
        block_on(self.0.pass());
        let _ = self.1.lock().recv();
    }

    fn blocking(&self) -> bool {
        true
    }
}

/// Everything that one can wait for. What comes of it is shown elsewhere; here it is that something does.
fn waits(server: &ServerRef<Hostage>) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    fn wait<F>(
        server: &ServerRef<Hostage>,
        what: impl FnOnce(ServerRef<Hostage>) -> F + Send + 'static,
    ) -> BoxFuture<'static, ()>
    where
        F: Future + Send + 'static,
    {
        what(server.clone()).map(drop).boxed()
    }
    vec![
        ("call", wait(server, |server| async move { server.call(Ask::Never).no_timeout().await })),
        (
            "call in time",
            wait(server, |server| async move {
                server.call(Ask::Never).timeout(Duration::from_secs(3_600)).await
            }),
        ),
        ("cast", wait(server, |server| async move { server.cast(Ask::Go).await.is_ok() })),
        ("send", wait(server, |server| async move { server.send(()).await.is_ok() })),
        ("recipient", wait(server, |server| async move { server.recipient(|()| ()).send(()).await.is_ok() })),
        ("monitor", wait(server, |server| async move { server.monitor().await })),
        ("stopped", wait(server, |server| async move { server.stopped().await.reason })),
        ("wait_incarnation", wait(server, |server| async move { server.wait_incarnation(1_000).await })),
        (
            "incarnations",
            wait(server, |server| async move {
                let mut incarnations = server.incarnations();
                while incarnations.next().await.is_some() {}
            }),
        ),
        (
            "watch",
            wait(server, |server| async move {
                let mut watch = server.watch();
                while watch.next().await.is_some() {}
            }),
        ),
        ("sys().state", wait(server, |server| async move { server.sys().state().await.is_ok() })),
        ("sys().replace", wait(server, |server| async move { server.sys().replace(|_| ()).await })),
        ("sys().status", wait(server, |server| async move { server.sys().status().await.is_ok() })),
        ("sys().statistics", wait(server, |server| async move { server.sys().statistics().await.is_ok() })),
    ]
}

/// Those that end the server, too.
fn ends(server: &ServerRef<Hostage>) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let [stopped, in_time, suspended] = [server.clone(), server.clone(), server.clone()];
    vec![
        ("sys().suspend", async move { drop(suspended.sys().suspend().await) }.boxed()),
        ("stop", async move { drop(stopped.stop().await) }.boxed()),
        (
            "stop in time",
            async move { drop(in_time.stop().timeout(Duration::from_secs(3_600)).await) }.boxed(),
        ),
    ]
}

/// Has all of them begun on `elsewhere`; what is returned shows that all are done.
fn begin(
    elsewhere: &Runtime,
    waits: Vec<(&'static str, BoxFuture<'static, ()>)>,
) -> impl FnOnce(Phase) + use<> {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = waits.len();
    let (tell, told) = mpsc::channel();
    for (name, mut wait) in waits {
        let (begun, tell) = (begun.clone(), tell.clone());
        elsewhere.spawn(async move {
            let mut first = true;
            poll_fn(|cx| {
                let polled = wait.as_mut().poll(cx);
                if std::mem::take(&mut first) {
                    begun.fetch_add(1, SeqCst);
                }
                polled
            })
            .await;
            tell.send(name).expect("somebody waits for it");
        });
    }
    elsewhere.block_on(until("all have begun", || begun.load(SeqCst) == count));
    move |phase| {
        drop(tell);
        let mut done = Vec::new();
        while let Ok(name) = told.recv_timeout(Duration::from_secs(20)) {
            done.push(name);
        }
        assert_eq!(done.len(), count, "{phase:?}: only these were answered: {done:?}");
    }
}

/// Ends a runtime of that kind under a server in that phase.
fn end_in(phase: Phase, mut builder: Builder, elsewhere: &Runtime, abruptly: bool) {
    let doomed = builder.enable_all().build().expect("a runtime");
    let (registry, gate, address) = (Registry::new(), Gate::new(), Arc::default());
    let (free, wall) = mpsc::channel::<()>();
    let wall = Arc::new(Mutex::new(wall));
    let hostage =
        Hostage { stays: phase, gate: gate.clone(), address: Arc::clone(&address), wall: wall.clone() };
    let mut spec =
        ServerSpec::new(hostage, Vec::new()).name_in(&registry, "hostage").mailbox(Mailbox::bounded(3));
    if phase == Phase::BackOff {
        spec = spec.backoff(Backoff::exponential(Duration::from_secs(3_600), Duration::from_secs(3_600)));
    }
    if phase == Phase::Behind {
        spec = spec.listener(Slow(gate.clone(), wall));
    }

    // It starts there, and is waited for by a thread that is in no runtime.
    let handle = doomed.handle().clone();
    let starter = thread::spawn(move || {
        let _there = handle.enter();
        block_on(spec.start())
    });
    let server = doomed.block_on(async {
        until("it is in its init", || address.lock().is_some()).await;
        let server: ServerRef<Hostage> = address.lock().clone().expect("just seen");
        if phase != Phase::Init {
            until("it runs", || server.status() == Status::Running).await;
        }
        match phase {
            Phase::Init | Phase::Idle => {}
            Phase::Suspended => server.sys().suspend().await.expect("it runs"),
            Phase::Terminate | Phase::Behind => {
                let server = server.clone();
                tokio::spawn(async move { server.stop().await });
            }
            Phase::Callback | Phase::Blocked | Phase::BackOff | Phase::Restarted => {
                server.cast(Ask::Go).await.map_err(drop).expect("it runs");
            }
        }
        match phase {
            Phase::Init
            | Phase::Callback
            | Phase::Blocked
            | Phase::Restarted
            | Phase::Terminate
            | Phase::Behind => {
                gate.arrived().await;
                gate.open();
            }
            Phase::BackOff => until("it waits", || server.status() == Status::Restarting).await,
            Phase::Idle | Phase::Suspended => {}
        }
        server
    });

    let answered = begin(elsewhere, waits(&server));
    let ended = begin(elsewhere, ends(&server));
    if abruptly || matches!(phase, Phase::Blocked | Phase::Behind) {
        doomed.shutdown_background();
    } else {
        drop(doomed);
    }
    answered(phase);
    ended(phase);
    let started = starter.join().expect("no panic");
    match started {
        Ok(_) => assert_ne!(phase, Phase::Init, "it served"),
        Err(StartError::Init(_)) => assert_eq!(phase, Phase::Init, "it was said not to serve"),
        Err(other) => panic!("{phase:?}: {other}"),
    }
    begin(elsewhere, waits(&server))(phase);
    begin(elsewhere, ends(&server))(phase);
    assert_eq!(server.status(), Status::Terminated, "{phase:?}");
    assert!(registry.names().is_empty(), "{phase:?}");
    drop(free);
}

/// G12 K13 K14: wherever in its life a server is when its runtime ends, everything that anybody on another runtime waits for has an
/// answer then, and so has everything that is asked later; its name is free.
#[test]
fn a_runtime_that_ends_in_any_phase_leaves_nobody_waiting() {
    quiet();
    let elsewhere = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    for phase in PHASES {
        for abruptly in [false, true] {
            // A callback that blocks the only thread there is keeps it from ending the runtime.
            if phase != Phase::Blocked {
                end_in(phase, Builder::new_current_thread(), &elsewhere, abruptly);
            }
            let mut multi = Builder::new_multi_thread();
            multi.worker_threads(2);
            end_in(phase, multi, &elsewhere, abruptly);
        }
    }
}
