//! Row 11: nothing is left. After ten thousand lives, each with a crash in it, there are exactly as many tasks and exactly as many
//! bytes as before.
//!
//! Everything runs on one thread, so that what that thread has allocated and not freed is all there is.

use std::{
    cell::Cell,
    future::pending,
    time::{Duration, Instant},
};

use futures::poll;
use tokio::{
    runtime::{Builder, Handle},
    task::yield_now,
};
use undying::{
    CallError, Context, DynamicSupervisor, Event, GenServer, Never, Next, Outcome, Registry, Reply,
    RestartPolicy, ServerRef, ServerSpec, StateMut, Supervisor,
};

use crate::{
    memory,
    size::{inject, size},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// How many lives there are before anything is counted: what the runtime needs once, and tables that grow to their size.
const FIRST: usize = 200;

/// Keeps what it is given: the state and all that a callback can ask for own memory.
#[derive(Clone)]
struct Keeper;

enum Call {
    Add(Reply<usize>),
    Crash(Reply<usize>),
    /// Is not answered before the end.
    Wait(Reply<usize>),
    /// One shot, one by a key, one again and again: all of them armed still when the server ends.
    Timers(Reply<usize>),
    /// A task and a stream that do not end by themselves.
    Tasks(Reply<usize>),
    /// Watches and links to a server that ends later.
    Watch(ServerRef<Keeper>, Reply<usize>),
}

#[derive(Clone, Default)]
struct Kept {
    numbers: Vec<usize>,
    waiting: Vec<Reply<usize>>,
}

impl GenServer for Keeper {
    type State = Kept;
    type Call = Call;
    type Cast = Never;
    type Info = Box<u64>;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut kept: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let number = kept.numbers.len() + 1;
        kept.numbers.push(number);
        let reply = match call {
            Call::Add(reply) => reply,
            Call::Crash(reply) => {
                reply.send(number);
                cx.send_after(HOUR, Box::new(0));
                inject()
            }
            Call::Wait(reply) => {
                kept.waiting.push(reply);
                return Ok(Next::Wait);
            }
            Call::Timers(reply) => {
                cx.send_after(HOUR, Box::new(1));
                cx.set_timer("key", HOUR, Box::new(2));
                cx.send_interval(HOUR, || Box::new(3));
                reply
            }
            Call::Tasks(reply) => {
                cx.spawn(pending::<()>(), |_| Box::new(4));
                cx.attach(futures::stream::pending::<()>(), |_| Box::new(5));
                reply
            }
            Call::Watch(other, reply) => {
                cx.monitor(&other, |_| Box::new(6));
                cx.link(&other);
                reply
            }
        };
        reply.send(number);
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        _: Box<u64>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(Next::Wait)
    }
}

fn spec() -> ServerSpec<Keeper> {
    ServerSpec::new(Keeper, Kept::default())
}

/// The server's next number.
async fn ask(server: &ServerRef<Keeper>, call: impl FnOnce(Reply<usize>) -> Call) -> usize {
    server.call(call).await.expect("an answer")
}

/// A call that is answered, one that crashes, and one that is answered from the state of the first.
async fn crash(server: &ServerRef<Keeper>) {
    let number = ask(server, Call::Add).await;
    let crashed = server.call(Call::Crash).await;
    assert!(matches!(crashed, Err(CallError::Crashed(_))), "{crashed:?}");
    assert_eq!(ask(server, Call::Add).await, number + 1);
}

async fn stop(server: ServerRef<Keeper>) {
    server.stop().await.expect("it stops");
}

/// Lives one life of `what` after the other, and checks that they leave nothing.
fn leaves_nothing(what: &str, life: impl AsyncFn()) {
    let (count, began) = (size(10_000, 100_000), Instant::now());
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let lives = async |count| {
        for _ in 0..count {
            life().await;
        }
        // The last tasks end.
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks are left of {what}");
    };
    runtime.block_on(lives(FIRST));
    let left = memory::count(|| runtime.block_on(lives(count)));
    assert_eq!(
        (left.count_current, left.bytes_current),
        (0, 0),
        "pieces and bytes are left of {count} {what}"
    );
    let took = began.elapsed();
    eprintln!(
        "leaks: {count} {what} in {took:.1?}: {} allocations, none left, no task left",
        left.count_total
    );
}

/// G11: of a server that was started, crashed and was stopped nothing is left.
#[test]
fn a_life_leaves_nothing() {
    leaves_nothing("plain lives", async || {
        let server = spec().start().await.expect("it starts");
        crash(&server).await;
        stop(server).await;
    });
}

/// G11: nor where it was killed, with somebody waiting for its answer.
#[test]
fn a_killed_life_leaves_nothing() {
    leaves_nothing("killed lives", async || {
        let server = spec().start().await.expect("it starts");
        crash(&server).await;
        server.kill_worker();
        let mut waits = Box::pin(server.call(Call::Wait));
        assert!(poll!(&mut waits).is_pending());
        crash(&server).await;
        server.kill();
        let stopped = waits.await;
        assert!(matches!(stopped, Err(CallError::Stopped(_))), "{stopped:?}");
        server.stopped().await;
    });
}

/// G11: nor of its name.
#[test]
fn a_name_leaves_nothing() {
    let names = Registry::new();
    leaves_nothing("lives with a name", async || {
        let server = spec().name_in(&names, "keeper").start().await.expect("the name is free");
        crash(&server).await;
        assert_eq!(ask(&names.whereis("keeper").expect("it is found"), Call::Add).await, 3);
        stop(server).await;
    });
    assert!(names.names().is_empty());
}

/// G11: nor of what its listeners and watchers were told.
#[test]
fn a_listener_leaves_nothing() {
    leaves_nothing("lives with listeners and a watcher", async || {
        let (first, second) = (|_: Event<'_, Keeper>| (), |_: Event<'_, Keeper>| inject());
        let server = spec().listener(first).listener(second).start().await.expect("it starts");
        let mut watch = server.watch();
        crash(&server).await;
        assert!(watch.next().await.is_some());
        stop(server).await;
    });
}

/// G11: nor of timers that had yet to fire.
#[test]
fn a_timer_leaves_nothing() {
    leaves_nothing("lives with timers", async || {
        let server = spec().start().await.expect("it starts");
        server.send_after(HOUR, Box::new(7));
        ask(&server, Call::Timers).await;
        crash(&server).await;
        tokio::time::sleep(HOUR + HOUR / 2).await;
        stop(server).await;
    });
}

/// G11: nor of its tasks and streams.
#[test]
fn a_task_leaves_nothing() {
    leaves_nothing("lives with tasks", async || {
        let server = spec().start().await.expect("it starts");
        ask(&server, Call::Tasks).await;
        crash(&server).await;
        stop(server).await;
    });
}

/// G11: nor of monitors and links, whichever of the two ends first.
#[test]
fn a_monitor_leaves_nothing() {
    let turn = Cell::new(false);
    leaves_nothing("lives with monitors and links", async || {
        let [server, other] =
            [spec().start().await.expect("it starts"), spec().start().await.expect("it starts")];
        let monitor = server.monitor();
        ask(&server, |reply| Call::Watch(other.clone(), reply)).await;
        crash(&server).await;
        let ends_first = turn.replace(!turn.get());
        let (first, second) = if ends_first { (server, other) } else { (other, server) };
        stop(first).await;
        crash(&second).await;
        stop(second).await;
        monitor.await;
    });
}

/// G11: nor of calls whose callers did not wait, or not long enough.
#[test]
fn a_call_that_nobody_waits_for_leaves_nothing() {
    leaves_nothing("lives with calls nobody waits for", async || {
        let server = spec().start().await.expect("it starts");
        drop(server.call(Call::Add));
        let mut waits = Box::pin(server.call(Call::Wait));
        assert!(poll!(&mut waits).is_pending());
        drop(waits);
        let late = server.call(Call::Wait).timeout(Duration::from_secs(1)).await;
        assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
        crash(&server).await;
        stop(server).await;
    });
}

/// G11: nor of a supervisor, whose children crash, end and are given another life.
#[test]
fn a_tree_leaves_nothing() {
    leaves_nothing("lives of trees", async || {
        let top = Supervisor::builder()
            .child(spec().id("server").restart(RestartPolicy::Permanent))
            .child(DynamicSupervisor::builder().id("others"))
            .start()
            .await
            .expect("it starts");
        let others = top.dynamic_supervisor("others").expect("it is there");
        let moved = others.start_child(spec().id("moved")).await.expect("it starts");
        others.transfer(moved.id(), &top).await.expect("it is moved");
        let server = top.server::<Keeper>("server").expect("it is there");
        crash(&server).await;
        crash(&moved).await;
        server.kill();
        server.wait_incarnation(server.incarnation() + 1).await.expect("another life");
        crash(&server).await;
        top.stop().await.expect("it stops");
    });
}

/// G11: nor of a server whose keeper was killed, or that ended with its supervisor task.
#[cfg(feature = "chaos")]
#[test]
fn a_fault_of_its_own_tasks_leaves_nothing() {
    leaves_nothing("lives with faults of their own tasks", async || {
        let server = spec().listener(|_: Event<'_, Keeper>| ()).start().await.expect("it starts");
        ask(&server, Call::Timers).await;
        server.chaos().kill_keeper();
        crash(&server).await;
        server.chaos().kill_supervisor();
        server.stopped().await;
    });
}
