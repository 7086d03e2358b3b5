//! Messages, answers, states and handles whose `Drop` does everything with their server that can be done without waiting, wherever
//! they are dropped: no lock is held there (K8), and nobody is harmed.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, channel},
    },
    task::{Context as Task, Waker},
    thread,
    time::Duration,
};

use tokio::runtime::Builder;
use undying::{Crash, Mailbox, Next, Reply, ServerRef, ServerSpec, WhenFull};

use crate::{
    crash::script::{Job, Script, add, ask, boom, inc, job, look, slow, soon, stop, wait_at},
    support::{Gate, inject, quiet, until},
};

type Server = ServerRef<Script<u64>>;

/// What it does with its server when it is dropped, besides looking at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Casts, arms a timer, calls and gives the call up.
    Talk,
    KillWorker,
    Kill,
    /// Asks it to stop, and does not wait.
    Stop,
    /// Panics, unless that would abort the process.
    Panic,
}

const HABITS: [Habit; 5] = [Habit::Talk, Habit::KillWorker, Habit::Kill, Habit::Stop, Habit::Panic];

/// Does something with its server when it is dropped.
struct Clingy {
    server: Server,
    habit: Habit,
    dropped: Arc<AtomicUsize>,
}

/// Polls it once, for nobody, and gives it up.
fn begin<F: IntoFuture>(future: F) {
    let _ = pin!(future.into_future()).as_mut().poll(&mut Task::from_waker(Waker::noop()));
}

impl Drop for Clingy {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
        let Self { server, habit, .. } = self;
        let _ =
            (server.peek(), server.status(), server.is_alive(), server.mailbox_len(), server.incarnation());
        begin(server.sys().statistics());
        drop((server.monitor(), server.watch(), server.incarnations(), server.downgrade()));
        match habit {
            Habit::Talk => {
                let _ = server.try_cast(inc());
                let timer = server.send_after(Duration::ZERO, inc());
                server.cancel(timer);
                begin(server.call(add));
                begin(server.cast(inc()));
            }
            Habit::KillWorker => server.kill_worker(),
            Habit::Kill => server.kill(),
            Habit::Stop => begin(server.stop()),
            Habit::Panic if thread::panicking() => {}
            Habit::Panic => inject(),
        }
    }
}

/// Where it is dropped.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// By the callback that handles it.
    Handled,
    /// By a callback that panics, or fails.
    Panicked,
    Failed,
    /// With a callback that is killed at an await.
    Killed,
    /// In the queue, when the server is killed.
    Queued,
    /// By one who is told that the server takes nothing.
    Refused,
    /// In a call that was never sent.
    Unsent,
    /// In a full mailbox, for a newer message.
    Overflow,
    /// As a timer that is replaced, is cancelled, and outlives its server.
    Timer,
    /// As an answer that comes too late.
    LateAnswer,
    /// As an answer of a callback that crashes.
    ForgottenAnswer,
    /// As an answer that was given already.
    SecondAnswer,
    /// As what a task of its server comes to.
    TaskResult,
    /// In a change by `sys` that panics.
    Replacement,
}

const PLACES: [Place; 14] = [
    Place::Handled,
    Place::Panicked,
    Place::Failed,
    Place::Killed,
    Place::Queued,
    Place::Refused,
    Place::Unsent,
    Place::Overflow,
    Place::Timer,
    Place::LateAnswer,
    Place::ForgottenAnswer,
    Place::SecondAnswer,
    Place::TaskResult,
    Place::Replacement,
];

/// A message that has it with it.
fn with(clingy: Clingy) -> Job<u64> {
    look(move |_| {
        drop(clingy);
        Ok(Next::Wait)
    })
}

/// Keeps the server in a callback until the gate opens; `None` if it is over.
async fn held(server: &Server) -> Option<Gate> {
    let gate = Gate::new();
    server.try_cast(wait_at(&gate)).ok()?;
    let arrived = async {
        tokio::select! {
            () = gate.arrived() => true,
            _ = server.stopped() => false,
        }
    };
    soon(arrived).await.then_some(gate)
}

/// Has `clingy` dropped there. Whatever it does meanwhile, all that is awaited here resolves.
async fn drop_in(place: Place, server: &Server, clingy: Clingy) {
    match place {
        Place::Handled => drop(soon(server.cast(with(clingy))).await),
        Place::Panicked => {
            let crashing = look(move |_| {
                let _clingy = clingy;
                inject()
            });
            drop(soon(server.cast(crashing)).await);
        }
        Place::Failed => {
            let failing = look(move |_| {
                let _clingy = clingy;
                Err(Crash::msg("test: failed"))
            });
            drop(soon(server.cast(failing)).await);
        }
        Place::Killed => {
            let gate = Gate::new();
            let at = gate.clone();
            let waiting = slow(move |_, _| {
                Box::pin(async move {
                    let _clingy = clingy;
                    at.pass().await;
                    Ok(Next::Wait)
                })
            });
            drop(soon(server.cast(waiting)).await);
            soon(gate.arrived()).await;
            server.kill_worker();
        }
        Place::Queued => {
            let gate = held(server).await.expect("alive");
            drop(soon(server.cast(with(clingy))).await);
            server.kill();
            drop(gate);
        }
        Place::Refused => {
            server.kill();
            soon(server.stopped()).await;
            assert!(server.try_cast(with(clingy)).is_err());
        }
        Place::Unsent => drop(server.call(|_: Reply<()>| with(clingy))),
        Place::Overflow => {
            let gate = held(server).await.expect("alive");
            server.try_cast(with(clingy)).map_err(drop).expect("room");
            server.try_cast(inc()).map_err(drop).expect("the other gives way");
            gate.open();
        }
        Place::Timer => {
            let timer = server.send_after(Duration::from_secs(3_600), with(clingy));
            server.cancel(timer);
        }
        Place::LateAnswer => {
            let gate = Gate::new();
            let at = gate.clone();
            let call = server.call(|reply| {
                slow(move |_, _| {
                    Box::pin(async move {
                        at.pass().await;
                        reply.send(clingy);
                        Ok(Next::Wait)
                    })
                })
            });
            assert!(soon(call.timeout(Duration::from_millis(1))).await.is_err());
            soon(gate.arrived()).await;
            gate.open();
        }
        Place::ForgottenAnswer => {
            let call = server.call(|reply| {
                job(move |_| {
                    reply.send(clingy);
                    inject()
                })
            });
            assert!(soon(call).await.is_err());
        }
        Place::SecondAnswer => {
            let call = server.call(|reply| {
                job(move |_| {
                    reply.clone().send(None);
                    reply.send(Some(clingy));
                    Ok(Next::Wait)
                })
            });
            drop(soon(call).await);
        }
        Place::TaskResult => {
            let spawning = slow(move |_, cx| {
                cx.spawn(async { clingy }, |clingy| with(clingy.expect("it does not crash")));
                Box::pin(async { Ok(Next::Wait) })
            });
            drop(soon(server.cast(spawning)).await);
        }
        Place::Replacement => {
            let replace = move |_: &mut u64| {
                let _clingy = clingy;
                inject()
            };
            drop(soon(server.sys().replace(replace)).await);
        }
    }
}

/// Runs `body` on a runtime and a thread of its own, which are left behind if they are stuck.
fn does_not_get_stuck(what: String, threads: usize, body: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = channel();
    let thread = thread::spawn(move || {
        let mut builder =
            if threads > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        builder.worker_threads(threads);
        let runtime = builder.enable_all().build().expect("a runtime");
        runtime.block_on(body);
        done.send(()).expect("the test waits for it");
    });
    match is_done.recv_timeout(Duration::from_secs(30)) {
        Err(RecvTimeoutError::Timeout) => panic!("{what}: stuck"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            thread.join().unwrap_or_else(|_| panic!("{what}: failed"))
        }
    }
}

/// Drops one with that habit there; afterwards the server serves or is over, as the habit has it, and so does one beside it.
async fn meddle(place: Place, habit: Habit) {
    let bystander = crate::crash::script::start(0_u64).await;
    let mailbox = Mailbox::bounded(1).when_full(WhenFull::DropOldest);
    let mut spec = ServerSpec::new(Script::new(), 0_u64);
    if let Place::Overflow = place {
        spec = spec.mailbox(mailbox);
    }
    let server = spec.start().await.expect("it starts");
    let dropped = Arc::new(AtomicUsize::new(0));
    let clingy = Clingy { server: server.clone(), habit, dropped: dropped.clone() };
    // Where it is dropped in the test's own hands, its panic is the test's.
    let mine = matches!(place, Place::Refused | Place::Unsent) && habit == Habit::Panic;
    if mine {
        let caught = tokio::spawn({
            let server = server.clone();
            async move { drop_in(place, &server, clingy).await }
        });
        assert!(soon(caught).await.expect_err("its own panic").is_panic());
    } else {
        drop_in(place, &server, clingy).await;
    }
    until("it is dropped", || dropped.load(SeqCst) == 1).await;
    if habit == Habit::Stop {
        // In a callback of its own a server cannot be stopped: there, nothing has come of it.
        drop(soon(server.stop()).await);
    }
    if matches!(habit, Habit::Kill | Habit::Stop) || matches!(place, Place::Queued | Place::Refused) {
        soon(server.stopped()).await;
        assert!(soon(server.call(add)).await.is_err());
    } else {
        // A kill of the worker may come while the first of these is served.
        let served = async { while server.call(add).await.is_err() {} };
        soon(served).await;
        stop(&server).await;
    }
    assert_eq!(ask(&bystander, add).await, 1);
    assert_eq!(dropped.load(SeqCst), 1);
    stop(&bystander).await;
}

/// K8 K3: whatever has an address of its server and uses it in its `Drop` harms nobody, wherever it is dropped: it talks to the
/// server, kills or stops it, or panics, and each of these is what it would be elsewhere.
#[test]
fn whatever_is_dropped_may_use_its_server() {
    quiet();
    for threads in [1, 2] {
        for place in PLACES {
            for habit in HABITS {
                does_not_get_stuck(format!("{place:?}, {habit:?}, {threads}"), threads, meddle(place, habit));
            }
        }
    }
}

both! {
    /// K3: a crash whose message, state and payload all panic when they are dropped is one crash.
    async fn everything_may_panic_when_it_is_dropped_at_once() {
        let server = crate::crash::script::start(0_u64).await;
        for round in 0..20 {
            let dropped = Arc::new(AtomicUsize::new(0));
            let [one, other] = [(); 2].map(|()| Clingy { server: server.clone(), habit: Habit::Panic, dropped: dropped.clone() });
            let crashing = job(move |sum: &mut u64| {
                *sum += 1_000;
                let _one = one;
                std::panic::resume_unwind(Box::new(other))
            });
            drop(soon(server.cast(crashing)).await);
            soon(server.cast(boom())).await.map_err(drop).expect("alive");
            assert_eq!(ask(&server, add).await, round + 1);
            assert_eq!(dropped.load(SeqCst), 2);
        }
    }
}
