//! Who is in whose way, exactly: a call is refused when it would wait for itself, and not when it only looks like that.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use futures::{future::BoxFuture, poll};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use undying::{CallError, Crash, Mailbox, Next, Preserve, Reply, ServerRef, ServerSpec, StateMut};

use crate::{
    crash::script::{Job, Script, add, asked, inc, look, serves, slow, soon, start, tell},
    effects::{held, tasks},
    support::{Gate, RACES, quiet, until},
};

type Outcome = Result<u64, CallError>;

/// A job that passes `gate` and then calls `other`, and what comes of that call.
fn calls_later<S: Preserve, T: Preserve>(
    gate: &Gate,
    other: &ServerRef<Script<T>>,
    request: impl FnOnce(Reply<u64>) -> Job<T> + Send + 'static,
) -> (Job<S>, oneshot::Receiver<Outcome>) {
    let (gate, other, (tell, told)) = (gate.clone(), other.clone(), oneshot::channel());
    let job = slow(move |_, _| {
        Box::pin(async move {
            gate.pass().await;
            tell.send(other.call(request).await).expect("the test waits for it");
            Ok(Next::Wait)
        })
    });
    (job, told)
}

/// A call that has begun and is kept somewhere.
type Kept = Arc<Mutex<Option<BoxFuture<'static, Result<(), CallError>>>>>;

/// Has the callback it is part of begin to call `other`, and leave the rest to whoever looks at `kept`.
async fn begin<T: Preserve>(other: ServerRef<Script<T>>, request: Job<T>, kept: &Kept) {
    let mut call: BoxFuture<'static, _> = Box::pin(async move { other.call(asked(request)).await });
    assert!(poll!(&mut call).is_pending());
    *kept.lock() = Some(call);
}

/// What blocks a thread, once it is put up: it tells that it is reached, and waits until the test drops the other end.
#[derive(Clone, Default)]
struct Wall(Arc<Mutex<Option<Ends>>>);

/// The wall's own ends of two channels.
type Ends = (oneshot::Sender<()>, mpsc::Receiver<()>);

impl Wall {
    /// Puts it up. It is reached when the one resolves, and gone when the other is dropped.
    fn put_up(&self) -> (oneshot::Receiver<()>, mpsc::Sender<()>) {
        let ((reached, is_reached), (open, closed)) = (oneshot::channel(), mpsc::channel());
        *self.0.lock() = Some((reached, closed));
        (is_reached, open)
    }

    fn pass(&self) {
        let wall = self.0.lock().take();
        if let Some((reached, closed)) = wall {
            reached.send(()).expect("the test waits for it");
            let _ = closed.recv();
        }
    }
}

/// A state whose clone passes a wall.
struct Heavy(Wall);

impl Clone for Heavy {
    fn clone(&self) -> Self {
        self.0.pass();
        Self(self.0.clone())
    }
}

/// Answers with 1.
fn one<T: Preserve>(reply: Reply<u64>) -> Job<T> {
    look(move |_| {
        reply.send(1);
        Ok(Next::Wait)
    })
}

both! {
    /// Who waited for room and has been promised it waits for nobody: the server that makes room with the very message it
    /// takes may call back.
    async fn who_has_been_promised_room_waits_for_nobody() {
        for _ in 0..RACES {
            let a = start(0_u64).await;
            let spec = ServerSpec::new(Script::new(), 0_u64).mailbox(Mailbox::bounded(1));
            let b = spec.start().await.expect("it starts");
            let (gate, pass) = (held(&b).await, Gate::new());
            pass.open();
            let (calls_a, called) = calls_later(&pass, &a, add);
            b.try_cast(calls_a).expect("room for one");
            let (other, (tells, waits)) = (b.clone(), oneshot::channel());
            tell(&a, slow(move |_, _| Box::pin(async move {
                let mut cast = Box::pin(other.cast(inc()));
                tells.send(poll!(&mut cast).is_pending()).expect("the test waits for it");
                cast.await.expect("alive");
                Ok(Next::Wait)
            })))
            .await;
            assert!(soon(waits).await.expect("told"), "there was no room");
            gate.open();
            let outcome = soon(called).await.expect("called");
            assert!(matches!(outcome, Ok(1)), "{outcome:?}");
            until("the cast is handled", || *b.peek() == 1).await;
        }
    }

    /// A call that a callback has begun and left in the server's own value is none that the next callback waits for.
    async fn a_call_that_outlives_its_callback_is_not_waited_for_by_the_next() {
        let [a, b] = [start(0_u64).await, start(0_u64).await];
        let (gate, kept) = (Gate::new(), Kept::default());
        let (calls_back, called) = calls_later(&gate, &a, add);
        let (other, keep) = (b.clone(), kept.clone());
        tell(&a, slow(move |_, _| Box::pin(async move {
            begin(other, calls_back, &keep).await;
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        let busy = held(&a).await;
        gate.open();
        until("the call is queued or refused", || a.mailbox_len() == 1 || !called.is_empty()).await;
        busy.open();
        let outcome = soon(called).await.expect("called");
        assert!(matches!(outcome, Ok(1)), "{outcome:?}");
    }
}

/// A call that outlives its callback is not waited for while the state is cloned that the callback has left, nor while
/// `terminate` runs because it crashed: the callback is over.
///
/// Both block a thread, so that this needs the multi-thread flavour.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_call_is_not_waited_for_once_its_callback_has_returned() {
    quiet();
    for crashes in [false, true] {
        let (wall, gate, kept) = (Wall::default(), Gate::new(), Kept::default());
        let closes = wall.clone();
        let script = Script::new().on_terminate(move |_, _| closes.pass());
        let a = ServerSpec::new(script, Heavy(wall.clone())).start().await.expect("it starts");
        let b = start(0_u64).await;
        let (calls_back, called) = calls_later(&gate, &a, one);
        let ((reached, open), keep, other) = (wall.put_up(), kept.clone(), b.clone());
        let leaves = slow(move |mut state: StateMut<'_, Script<Heavy>>, _| {
            Box::pin(async move {
                begin(other, calls_back, &keep).await;
                // It counts as changed.
                let _: &mut Heavy = &mut state;
                if crashes { Err(Crash::msg("test: enough")) } else { Ok(Next::Wait) }
            })
        });
        tell(&a, leaves).await;
        soon(reached).await.expect("its callback is over");
        soon(gate.arrived()).await;
        gate.open();
        until("the call is queued or refused", || a.mailbox_len() == 1 || !called.is_empty()).await;
        drop(open);
        let outcome = soon(called).await.expect("called");
        assert!(matches!(outcome, Ok(1)), "crashes: {crashes}: {outcome:?}");
    }
}

/// K4 K5: a zombie that comes to its end takes none of its successor's waits along: a deadlock of that is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_end_of_a_zombie_does_not_hide_a_deadlock_of_its_successor() {
    quiet();
    let spec = ServerSpec::new(Script::new(), 0_u64).kill_grace(Duration::from_millis(10));
    let [a, b] = [spec.start().await.expect("it starts"), start(0_u64).await];
    let (wall, other) = (Wall::default(), b.clone());
    let (blocks, (reached, open)) = (wall.clone(), wall.put_up());
    let haunts = slow(move |_, _| {
        Box::pin(async move {
            other.call(add).await.expect("an answer");
            blocks.pass();
            Ok(Next::Wait)
        })
    });
    tell(&a, haunts).await;
    soon(reached).await.expect("it blocks");
    a.kill_worker();
    serves(&a, 2).await;

    let (gate, other) = (Gate::new(), b.clone());
    let (calls_back, called) = calls_later(&gate, &a, add);
    let waits = slow(move |_, _| {
        Box::pin(async move {
            let _ = other.call(asked(calls_back)).await;
            Ok(Next::Wait)
        })
    });
    tell(&a, waits).await;
    soon(gate.arrived()).await;
    let haunted = tasks();
    drop(open);
    until("the zombie is gone", || tasks() < haunted).await;
    gate.open();
    match soon(called).await.expect("called") {
        Err(CallError::Deadlock { cycle }) => {
            assert_eq!(cycle, [&b, &a].map(|server| server.id().to_string()));
        }
        other => panic!("{other:?}"),
    }
}
