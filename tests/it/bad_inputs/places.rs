//! Servers that are started, called and ended from where one would not expect it: from no runtime, from another one, from a
//! `LocalSet`, from callbacks, listeners and drops.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context as Task, Waker},
    thread,
    time::Duration,
};

use futures::{executor::block_on, poll};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::mpsc,
    task::{LocalSet, block_in_place, spawn_blocking, spawn_local, yield_now},
};
use undying::{
    CallError, Dispatch, DynamicSupervisor, Event, Next, PartitionSupervisor, Reply, ServerRef, ServerSpec,
    Supervisor,
};

use crate::{
    crash::script::{
        Job, Script, add, ask, asked, boom, crash, get, inc, job, look, serves, slow, soon, start, stop, tell,
    },
    support::{inject, quiet, until},
};

type Server = ServerRef<Script<u64>>;

fn spec() -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0)
}

fn multi() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// In which runtime its callbacks run.
fn home(reply: Reply<String>) -> Job<u64> {
    look(move |_| {
        reply.send(Handle::current().id().to_string());
        Ok(Next::Wait)
    })
}

/// What the panic of a start says that is polled in no runtime.
fn blame<T>(start: impl Future<Output = T>) -> String {
    let panic =
        catch_unwind(AssertUnwindSafe(|| block_on(start))).map(drop).expect_err("there is no runtime");
    *panic.downcast::<String>().expect("a message")
}

/// A start outside of a runtime is blamed on the line that asked for it, whatever is started.
#[test]
fn a_start_outside_a_runtime_is_blamed_on_its_line() {
    quiet();
    let runtime = multi();
    let owner = runtime.block_on(start(0_u64));
    let here = |line: u32| format!("{}:{line}", Location::caller().file());
    let told = [
        (line!(), blame(spec().start())),
        (line!(), blame(spec().start_monitor())),
        (line!(), blame(spec().start_link(&owner))),
        (line!(), blame(Supervisor::builder().start())),
        (line!(), blame(DynamicSupervisor::builder().start())),
        (line!(), blame(PartitionSupervisor::new(1, |_| spec()).start())),
    ];
    for (line, text) in told {
        assert!(text.contains(&here(line)) && text.contains("Tokio runtime"), "{line}: {text}");
    }
}

/// A server lives in the runtime in which its start was polled first, wherever that is waited for.
#[test]
fn a_server_lives_where_its_start_began() {
    quiet();
    let (there, elsewhere) = (multi(), multi());
    let script = Script::new().on_init(|_: &mut u64| Ok(Next::Wait));
    let mut start = Box::pin(ServerSpec::new(script, 0_u64).start());
    let begun = {
        let _there = there.enter();
        start.as_mut().poll(&mut Task::from_waker(Waker::noop()))
    };
    assert!(begun.is_pending());
    let server = elsewhere.block_on(start).expect("it starts");
    drop(elsewhere);
    assert_eq!(block_on(async { server.call(home).await }).expect("alive"), there.handle().id().to_string());
    assert_eq!(there.block_on(ask(&server, add)), 1);
}

/// A thread that is in no runtime but has entered one starts servers there, and uses them.
#[test]
fn a_plain_thread_starts_servers_where_it_has_entered() {
    quiet();
    let there = multi();
    let handle = there.handle().clone();
    let server = thread::spawn(move || {
        let _there = handle.enter();
        let server = block_on(spec().start()).expect("it starts");
        for n in 1..=100 {
            assert_eq!(block_on(async { server.call(add).await }).expect("alive"), n);
        }
        assert!(block_on(async { server.call(asked(boom())).await }).is_err());
        assert_eq!(block_on(async { server.call(add).await }).expect("alive"), 101);
        server
    });
    let server = server.join().expect("no panic");
    assert_eq!(*there.block_on(stop(&server)).state, 101);
}

both! {
    /// A thread for blocking work calls by `block_on`, Tokio's and others', while servers crash under it.
    async fn blocking_threads_call() {
        let server = start(0_u64).await;
        let here = Handle::current();
        let threads: Vec<_> = (0..4).map(|nth| spawn_blocking({
            let (server, here) = (server.clone(), here.clone());
            move || {
                let mut done = 0;
                while done < 50 {
                    let call = async { server.call(add).await };
                    let called = if nth % 2 == 0 { here.block_on(call) } else { block_on(call) };
                    match called {
                        Ok(_) => done += 1,
                        Err(CallError::Crashed(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        })).collect();
        for _ in 0..20 {
            server.kill_worker();
            yield_now().await;
        }
        for thread in threads {
            soon(thread).await.expect("no panic");
        }
        assert_eq!(ask(&server, get).await, 200);
        stop(&server).await;
    }

    /// A `LocalSet` starts servers and calls them from tasks of its own; they do not end with it.
    async fn servers_outlive_the_local_set_that_started_them() {
        let local = LocalSet::new();
        let server = soon(local.run_until(async {
            let server = spawn_local(async { start(0_u64).await }).await.expect("no panic");
            for n in 1..=100 {
                let called = server.clone();
                assert_eq!(spawn_local(async move { ask(&called, add).await }).await.expect("no panic"), n);
            }
            crash(&server).await;
            server
        })).await;
        drop(local);
        assert_eq!(ask(&server, add).await, 101);
        stop(&server).await;
    }

    /// ST1: a callback starts another server, calls it and stops it: in `init`, in a call, in `restarted` and in `terminate`'s stead
    /// in a task.
    async fn callbacks_start_servers() {
        let server = start(0_u64).await;
        let nested = |reply: Reply<u64>| {
            slow(move |mut state, cx| {
                Box::pin(async move {
                    let inner = spec().start_link(&cx.server()).await.expect("it starts");
                    crash(&inner).await;
                    *state += ask(&inner, add).await;
                    stop(&inner).await;
                    reply.send(*state);
                    Ok(Next::Wait)
                })
            })
        };
        for n in 1..=20 {
            assert_eq!(ask(&server, nested).await, n);
        }
        stop(&server).await;
    }

    /// LI8: a listener starts a server for each thing it hears, and a blocking one waits for that.
    async fn listeners_start_servers() {
        let (tell_of, mut started) = mpsc::unbounded_channel();
        let listener = move |_: Event<'_, Script<u64>>| {
            let tell_of = tell_of.clone();
            tokio::spawn(async move {
                // An error: the test has heard enough.
                let _ = tell_of.send(start(0_u64).await);
            });
        };
        let server = soon(spec().listener(listener).start()).await.expect("it starts");
        ask(&server, add).await;
        stop(&server).await;
        for _ in 0..3 {
            let heard: Server = soon(started.recv()).await.expect("one for each");
            assert_eq!(ask(&heard, add).await, 1);
            stop(&heard).await;
        }
    }

    /// K3: a drop starts a server, also while a panic unwinds, and when the state of a crashed callback is thrown away.
    async fn drops_start_servers() {
        /// Starts a server when it is dropped.
        struct Heir(mpsc::UnboundedSender<Server>);

        impl Drop for Heir {
            fn drop(&mut self) {
                let told = self.0.clone();
                tokio::spawn(async move { told.send(start(0_u64).await).map_err(drop).expect("the test listens") });
            }
        }

        let (tell_of, mut started) = mpsc::unbounded_channel();
        let server = start(0_u64).await;
        for crashes in [false, true] {
            let heir = Heir(tell_of.clone());
            let message = look(move |_| {
                let _heir = heir;
                if crashes { inject() }
                Ok(Next::Wait)
            });
            tell(&server, message).await;
            let heir = soon(started.recv()).await.expect("one");
            assert_eq!(ask(&heir, add).await, 1);
            stop(&heir).await;
        }
        stop(&server).await;
    }

    /// A thread that is on its way out uses its servers in the drops of its thread-locals.
    async fn a_dying_thread_uses_its_servers() {
        /// Uses its server when it is dropped.
        struct Last(Server);

        impl Drop for Last {
            fn drop(&mut self) {
                let Self(server) = self;
                server.try_cast(inc()).map_err(drop).expect("it is there");
                let _ = (server.peek(), server.status(), server.mailbox_len());
                let _ = pin!(server.call(add)).poll(&mut Task::from_waker(Waker::noop()));
                server.send_after(Duration::ZERO, inc());
                server.kill_worker();
                server.try_cast(inc()).map_err(drop).expect("it is there");
            }
        }

        thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
        for round in 0..50 {
            let server = start(0_u64).await;
            let (used, here) = (server.clone(), Handle::current());
            let thread = thread::spawn(move || {
                let _here = (round % 2 == 0).then(|| here.enter());
                LAST.set(Some(Last(used)));
            });
            thread.join().expect("no panic");
            serves(&server, 2).await;
            // One of the four may have been in hand when the worker was killed.
            until("they are handled", || *server.peek() >= 3).await;
            stop(&server).await;
        }
    }
}

/// What runs a callback may allow less than a task does: whoever needs to block in place has it run by its task only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_server_blocks_in_place_whoever_calls() {
    quiet();
    let server = soon(spec().dispatch(Dispatch::Queued).start()).await.expect("it starts");
    let local = LocalSet::new();
    let called = local.run_until(async {
        for n in 1..=200 {
            let blocking = |reply: Reply<u64>| {
                job(move |sum: &mut u64| {
                    *sum += block_in_place(|| 1);
                    reply.send(*sum);
                    Ok(Next::Wait)
                })
            };
            assert_eq!(ask(&server, blocking).await, n);
            yield_now().await;
        }
    });
    soon(called).await;
    stop(&server).await;
}

/// G12: a callback may end the runtime of another server while it waits for that, and its own; whoever waits for either is told.
#[test]
fn a_callback_may_end_a_runtime() {
    quiet();
    for round in 0..20 {
        for own in [false, true] {
            let (here, there, outside) = (multi(), multi(), multi());
            let caller = here.block_on(start(0_u64));
            let called = there.block_on(start(0_u64));
            let doomed = Arc::new(Mutex::new(None));
            let (take, target) = (doomed.clone(), called.clone());
            let ending = move |reply: Reply<bool>| {
                slow(move |_, _| {
                    Box::pin(async move {
                        let mut waits =
                            pin!(target.call(|_: Reply<u64>| slow(|_, _| Box::pin(std::future::pending()))));
                        assert!(poll!(&mut waits).is_pending());
                        let runtime: Option<Runtime> = take.lock().take();
                        runtime.expect("it is there").shutdown_background();
                        if own {
                            // Nothing is said by who is cut short here.
                            yield_now().await;
                        }
                        reply.send(soon(waits).await.is_err());
                        Ok(Next::Wait)
                    })
                })
            };
            *doomed.lock() = Some(if own { here } else { there });
            let calling = outside.spawn({
                let caller = caller.clone();
                async move { caller.call(ending).no_timeout().await }
            });
            let came = outside.block_on(async { soon(calling).await.expect("no panic") });
            let (over, alive) = if own { (&caller, &called) } else { (&called, &caller) };
            match came {
                Ok(failed) => assert!(!own && failed, "{round}"),
                Err(error) => assert!(own, "{round}: {error}"),
            }
            outside.block_on(async {
                soon(over.stopped()).await;
                assert!(soon(over.call(add)).await.is_err());
                if !own {
                    assert_eq!(ask(alive, add).await, 1);
                }
            });
        }
    }
}
