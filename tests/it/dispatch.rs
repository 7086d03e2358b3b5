//! Where callbacks of calls run: a caller that finds the worker asleep runs it itself, and nothing else changes by that.

use std::{
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context as Task, Poll, Waker},
    thread,
    time::Duration,
};

use futures::{executor, poll};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    task::yield_now,
};
use undying::{CallError, Dispatch, Next, Preserve, Reply, ServerRef, ServerSpec, StartError};

use crate::{
    crash::script::{Job, Script, add, ask, asked, boom, get, job, serves, slow, soon, stop},
    support::{Gate, RACES, quiet, until},
};

fn spec<T: Preserve>(state: T) -> ServerSpec<Script<T>> {
    ServerSpec::new(Script::new(), state).dispatch(Dispatch::Direct)
}

/// A server whose callers run it.
async fn proven<T: Preserve + Clone>(spec: ServerSpec<Script<T>>) -> ServerRef<Script<T>> {
    let server = spec.start().await.expect("it starts");
    prove(&server).await;
    server
}

/// Calls `server` until its callbacks have shown that they are short: then an answer is there with the first poll.
async fn prove<T: Preserve + Clone>(server: &ServerRef<Script<T>>) {
    for _ in 0..20_000 {
        let mut call = pin!(server.call(get));
        if poll!(&mut call).is_ready() {
            return;
        }
        soon(call).await.expect("an answer");
        // So that it is asleep again.
        yield_now().await;
    }
    panic!("nobody but its task has run it in all that time");
}

/// A job that tells in which runtime it runs.
fn whereabouts<T: Preserve>(reply: Reply<String>) -> Job<T> {
    job(move |_| {
        reply.send(Handle::current().id().to_string());
        Ok(Next::Wait)
    })
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

both! {
    /// PERFORMANCE, poll stealing: whoever finds a proven server asleep has the answer with the first poll.
    async fn a_caller_runs_the_callback_itself() {
        let server = proven(spec(0_u64)).await;
        let here = thread::current().id();
        // Now and then its task was about to look for something, or was just as quick on another thread.
        for _ in 0..20_000 {
            let mut call = pin!(server.call(|reply| job(move |_| {
                reply.send(thread::current().id());
                Ok(Next::Wait)
            })));
            match poll!(&mut call) {
                Poll::Ready(there) if there.as_ref().is_ok_and(|there| *there == here) => {
                    stop(&server).await;
                    return;
                }
                Poll::Ready(there) => drop(there.expect("an answer")),
                Poll::Pending => drop(soon(call).await.expect("an answer")),
            }
        }
        panic!("nobody has run it on the spot in all that time");
    }

    /// `Dispatch::Queued`: nobody but the worker's task runs it, however short its callbacks are.
    async fn a_queued_server_is_run_by_its_task_only() {
        let server = spec(0_u64).dispatch(Dispatch::Queued).start().await.expect("it starts");
        for nth in 1..=100 {
            let inside = Arc::new(AtomicBool::new(false));
            let outside = inside.clone();
            let mut call = pin!(server.call(|reply| job(move |sum| {
                assert!(!inside.load(SeqCst), "it runs inside the caller's poll");
                *sum += 1;
                reply.send(*sum);
                Ok(Next::Wait)
            })));
            // On one thread only: on two its task may run at the same time.
            if Handle::current().metrics().num_workers() == 1 {
                outside.store(true, SeqCst);
                assert!(poll!(&mut call).is_pending());
                outside.store(false, SeqCst);
            }
            assert_eq!(soon(call).await.expect("an answer"), nth);
        }
    }

    /// K3 K7: a callback that crashes in its caller's poll is a crash like any other, and the caller is unharmed.
    async fn a_crash_does_not_reach_whoever_runs_it() {
        let server = proven(spec(0_u64).max_restarts(u32::MAX, Duration::from_secs(1))).await;
        for nth in 1..=RACES as u64 {
            assert!(matches!(soon(server.call(asked(boom()))).await, Err(CallError::Crashed(_))));
            serves(&server, nth + 1).await;
            prove(&server).await;
            assert_eq!(ask(&server, add).await, nth);
        }
    }

    /// K9: a callback that waits goes on in its own task.
    async fn a_callback_that_waits_leaves_its_caller() {
        let server = proven(spec(0_u64)).await;
        let gate = Gate::new();
        let passing = gate.clone();
        let call = server.call(|reply| slow(move |mut sum, _| Box::pin(async move {
            *sum += 1;
            passing.pass().await;
            reply.send(*sum);
            Ok(Next::Wait)
        })));
        let mut call = pin!(call);
        assert!(poll!(&mut call).is_pending());
        soon(gate.arrived()).await;
        assert_eq!(*server.peek(), 0);
        gate.open();
        assert_eq!(soon(call).await.expect("an answer"), 1);
    }

    /// K4: what a caller has begun to run is killed like anything else, and its caller is told at once.
    async fn a_callback_begun_by_its_caller_is_killed() {
        for _ in 0..RACES {
            let server = proven(spec(0_u64)).await;
            let held = Arc::new(());
            let (inside, (begun, told)) = (held.clone(), oneshot::channel());
            let call = server.call(|_: Reply<()>| slow(move |mut sum, _| Box::pin(async move {
                *sum += 1;
                let _inside = inside;
                begun.send(()).expect("the test waits for it");
                std::future::pending().await
            })));
            let mut call = pin!(call);
            assert!(poll!(&mut call).is_pending());
            soon(told).await.expect("told");
            server.kill_worker();
            let cut = soon(call).await;
            assert!(matches!(&cut, Err(CallError::Crashed(_))), "{cut:?}");
            serves(&server, 2).await;
            assert_eq!(Arc::strong_count(&held), 1, "what the callback held is gone");
            assert_eq!(ask(&server, get).await, 0);
        }
    }

    /// LM2 K13: an orderly stop, and a kill of the server, between any two calls of callers that run it themselves.
    async fn calls_race_with_ends() {
        for round in 0..RACES {
            let server = proven(spec(0_u64)).await;
            let calls = async {
                let mut answered = 0;
                loop {
                    match server.call(add).await {
                        Ok(sum) => answered = sum,
                        Err(CallError::Stopped(_) | CallError::NoProc) => break answered,
                        Err(other) => panic!("{other}"),
                    }
                    if round % 3 == 0 {
                        yield_now().await;
                    }
                }
            };
            let end = async {
                yield_now().await;
                if round % 2 == 0 { server.kill() } else { drop(server.stop().await) }
            };
            let (answered, ()) = soon(async { tokio::join!(calls, end) }).await;
            let kept = *soon(server.stopped()).await.state;
            assert!(kept >= answered, "acknowledged is kept: {kept} of {answered}");
        }
    }

    /// G1 G2: clients that run the server themselves, and kills of its worker: nothing acknowledged is lost, nothing is applied twice.
    async fn nothing_is_lost_by_callers_that_are_killed() {
        let server = proven(spec(0_u64).max_restarts(u32::MAX, Duration::from_secs(1))).await;
        let (acknowledged, unknown) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let clients = (0..4).map(|_| {
            let (server, acknowledged, unknown) = (server.clone(), acknowledged.clone(), unknown.clone());
            tokio::spawn(async move {
                for _ in 0..5 * RACES {
                    match server.call(add).await {
                        Ok(_) => acknowledged.fetch_add(1, SeqCst),
                        Err(CallError::Crashed(_)) => unknown.fetch_add(1, SeqCst),
                        Err(other) => panic!("{other}"),
                    };
                    yield_now().await;
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        while clients.iter().any(|client| !client.is_finished()) {
            server.kill_worker();
            yield_now().await;
        }
        for client in clients {
            soon(client).await.expect("it ends");
        }
        let sum = ask(&server, get).await;
        assert_eq!(sum, acknowledged.load(SeqCst));
        assert_eq!(sum + unknown.load(SeqCst), 20 * RACES as u64);
    }

    /// Callers run at most four servers inside one another; the fifth is woken.
    async fn a_long_chain_of_calls_is_answered() {
        let mut chain = Vec::new();
        for _ in 0..12 {
            chain.push(proven(spec(0_u64)).await);
        }
        let first = chain.pop().expect("there are twelve");
        for _ in 0..RACES {
            let rest = chain.clone();
            assert_eq!(soon(first.call(|reply| through(rest, reply))).await.expect("an answer"), 12);
        }
    }

    /// DL1: who runs whom makes no difference to a circle of calls.
    async fn a_circle_of_calls_is_found() {
        let (one, two) = (proven(spec(0_u64)).await, proven(spec(0_u64)).await);
        let (there, back) = (two.clone(), one.clone());
        let call = one.call(move |reply| slow(move |_, _| Box::pin(async move {
            let answer = there.call(move |reply| slow(move |_, _| Box::pin(async move {
                reply.send(back.call(get).await);
                Ok(Next::Wait)
            }))).await;
            reply.send(answer);
            Ok(Next::Wait)
        })));
        let innermost = soon(call).await.expect("an answer").expect("an answer");
        assert!(matches!(innermost, Err(CallError::Deadlock { .. })), "{innermost:?}");
    }

    /// G5: a caller whose every call is answered at once gives others their turn.
    async fn a_busy_caller_does_not_starve_others() {
        let server = proven(spec(0_u64)).await;
        let turns = Arc::new(AtomicU64::new(0));
        let (counted, done) = (turns.clone(), Arc::new(AtomicBool::new(false)));
        let over = done.clone();
        let other = tokio::spawn(async move {
            while !over.load(SeqCst) {
                counted.fetch_add(1, SeqCst);
                yield_now().await;
            }
        });
        let calls = tokio::spawn(async move {
            for _ in 0..10_000 {
                server.call(add).await.expect("an answer");
            }
        });
        soon(calls).await.expect("it ends");
        done.store(true, SeqCst);
        soon(other).await.expect("it ends");
        assert!(turns.load(SeqCst) >= 10, "{turns:?}");
    }

    /// G4: a call and a cast that one task polls one after the other arrive in that order, also where the task has had its turn.
    async fn a_call_is_not_overtaken_by_what_is_sent_after_it() {
        let server = proven(spec(Vec::new())).await;
        let push = |n: u64| move |list: &mut Vec<u64>| {
            list.push(n);
            Ok(Next::Wait)
        };
        for n in 0..1_000 {
            let call = server.call(|reply| job(move |list: &mut Vec<u64>| {
                reply.send(());
                push(2 * n)(list)
            }));
            // In one poll of this task, which uses its budget up every now and then.
            let (answer, sent) = futures::join!(call, server.cast(job(push(2 * n + 1))));
            answer.expect("an answer");
            sent.expect("a server");
        }
        let all: Vec<u64> = (0..2_000).collect();
        assert_eq!(ask(&server, get).await, all);
    }

    /// A server whose callbacks have become long is run by its task again.
    async fn long_callbacks_are_not_run_by_callers() {
        let server = proven(spec(0_u64)).await;
        let long = |reply: Reply<()>| job(move |_: &mut u64| {
            // To block the thread is the very fault that is looked for.
            thread::sleep(Duration::from_micros(300));
            reply.send(());
            Ok(Next::Wait)
        });
        for _ in 0..16 {
            soon(server.call(long)).await.expect("an answer");
            yield_now().await;
        }
        let mut queued = 0;
        for _ in 0..8 {
            let mut call = pin!(server.call(get));
            if poll!(&mut call).is_pending() {
                queued += 1;
                soon(call).await.expect("an answer");
            }
            yield_now().await;
        }
        if cfg!(not(dispatch = "eager")) {
            assert!(queued > 0, "its callers still run it");
        }
    }

    /// Callbacks run in the runtime of their server, whoever calls.
    async fn callers_of_other_runtimes_do_not_run_it() {
        let server = proven(spec(0_u64)).await;
        let home = ask(&server, whereabouts).await;
        let (elsewhere, calling) = (runtime(), server.clone());
        let told = elsewhere.spawn(async move {
            for _ in 0..50 {
                assert_eq!(calling.call(whereabouts).await.expect("an answer"), home);
            }
            home
        });
        let home = soon(told).await.expect("it ends");
        let calling = server.clone();
        let outside = tokio::task::spawn_blocking(move || {
            // A thread that is in no runtime.
            thread::spawn(move || executor::block_on(async {
                for _ in 0..50 {
                    assert_eq!(calling.call(whereabouts).await.expect("an answer"), home);
                }
            })).join()
        });
        soon(outside).await.expect("it ends").expect("it ends");
        elsewhere.shutdown_background();
    }

    /// K3: nobody runs a callback while a panic unwinds.
    async fn nobody_runs_it_while_a_panic_unwinds() {
        struct Last(ServerRef<Script<u64>>, Arc<AtomicBool>);

        impl Drop for Last {
            fn drop(&mut self) {
                let unwinding = self.1.clone();
                let mut call = pin!(self.0.call(|reply| job(move |sum| {
                    unwinding.fetch_or(thread::panicking(), SeqCst);
                    *sum += 1;
                    reply.send(*sum);
                    Ok(Next::Wait)
                })));
                let _ = call.as_mut().poll(&mut Task::from_waker(Waker::noop()));
            }
        }

        let server = proven(spec(0_u64)).await;
        let ran = Arc::new(AtomicBool::new(false));
        let last = Last(server.clone(), ran.clone());
        let unwinding = tokio::spawn(async move {
            let _last = last;
            resume_unwind(Box::new("test"));
        });
        assert!(soon(unwinding).await.expect_err("it panics").is_panic());
        // It was sent all the same.
        until("it is handled", || *server.peek() == 1).await;
        assert!(!ran.load(SeqCst));
    }
}

/// Calls the last of `chain`, which calls the one before, and answers with the number of servers that took part.
fn through(mut chain: Vec<ServerRef<Script<u64>>>, reply: Reply<u64>) -> Job<u64> {
    slow(move |_, _| {
        Box::pin(async move {
            let behind = match chain.pop() {
                Some(next) => next.call(|reply| through(chain, reply)).await?,
                None => 0,
            };
            reply.send(behind + 1);
            Ok(Next::Wait)
        })
    })
}

/// W1t: a thread that blocks on a call runs the callback there, in the runtime it has entered.
#[test]
fn a_thread_that_blocks_on_a_call_runs_it() {
    quiet();
    let runtime = runtime();
    let server = runtime.block_on(proven(spec(0_u64)));
    let here = thread::current().id();
    // Where its callbacks take long for once, because the machine is busy, its task runs it for a while.
    let ran_here = (0..20_000).any(|_| {
        let call = server.call(|reply| {
            job(move |_| {
                reply.send((thread::current().id(), Handle::current().id()));
                Ok(Next::Wait)
            })
        });
        let (there, home) = runtime.block_on(call.into_future()).expect("an answer");
        assert_eq!(home, runtime.handle().id());
        there == here
    });
    assert!(ran_here);
}

/// K14: the end of a runtime ends what sits in it, also a worker that a caller has begun to run.
#[test]
fn the_end_of_a_runtime_drops_what_a_caller_has_begun() {
    quiet();
    for _ in 0..20 {
        let runtime = runtime();
        let server = runtime.block_on(proven(spec(0_u64)));
        let (held, gone) = oneshot::channel::<()>();
        let calling = server.clone();
        runtime.block_on(async move {
            let call = calling.call(|_: Reply<()>| {
                slow(move |_, _| {
                    Box::pin(async move {
                        let _held = held;
                        std::future::pending().await
                    })
                })
            });
            assert!(poll!(pin!(call)).is_pending());
        });
        drop(runtime);
        assert!(executor::block_on(gone).is_err(), "what the callback held is gone");
        assert!(matches!(executor::block_on(server.call(get)), Err(CallError::NoProc)));
    }
}

/// The mode is an option like any other.
#[tokio::test]
async fn a_server_of_either_mode_starts() -> Result<(), StartError> {
    for mode in [Dispatch::Direct, Dispatch::Queued] {
        let server = spec(1_u64).dispatch(mode).start().await?;
        assert_eq!(ask(&server, get).await, 1);
        stop(&server).await;
    }
    Ok(())
}
