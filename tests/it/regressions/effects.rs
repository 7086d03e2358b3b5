//! What a callback asks of its context, and what of it is dropped, by whom and when.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, poll, stream};
use tokio::{sync::oneshot, time::sleep};
use tracing::subscriber::set_default;
use undying::{CallError, Context, Dispatch, Mailbox, Next, Preserve, Reply, ServerRef, ServerSpec};

use super::{
    Callers, keep,
    kit::{Bomb, Fallout, OnWarning},
    push,
};
use crate::{
    crash::script::{Job, Script, add, ask, asked, get, inc, look, serves, slow, soon, start, stop},
    effects::{Plain, SECOND, act, held, tasks, within},
    support::{inject, quiet, until},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Does nothing.
fn idle<T: Preserve>() -> Job<T> {
    look(|_| Ok(Next::Wait))
}

/// The last handle of a server that was stopped: with it goes a bomb.
async fn remains(fallout: &Arc<Fallout>) -> Plain {
    let (bomb, before) = (Bomb::new(fallout), tasks());
    let spec = ServerSpec::new(Script::new(), ()).dead_letters(move |_| {
        let _bomb = &bomb;
    });
    let server = spec.start().await.expect("it starts");
    stop(&server).await;
    until("nobody else holds it", || tasks() == before).await;
    server
}

/// Ends a server, and gives the reason of the end in words, which must be as it was meant.
async fn end<T: Preserve>(server: &ServerRef<Script<T>>, kill: bool) -> String {
    let exit = if kill {
        server.kill();
        soon(server.stopped()).await
    } else {
        stop(server).await
    };
    let reason = exit.reason.to_string();
    assert_eq!(reason, if kill { "killed" } else { "normal" });
    reason
}

/// Asks something that concerns another server.
type Meet = fn(&mut Context<Script<u64>>, &Plain);

const MEETINGS: [Meet; 4] = [
    |cx, other| {
        cx.monitor(other, |_| idle());
    },
    |cx, other| {
        let monitor = cx.monitor(other, |_| idle());
        assert!(cx.demonitor(monitor));
    },
    |cx, other| cx.link(other),
    |cx, other| {
        cx.link(other);
        assert!(cx.unlink(other));
    },
];

/// A job that adds one, answers with the sum, and meets the last of another server.
fn meets(meet: Meet, last: Plain, reply: Reply<u64>) -> Job<u64> {
    slow(move |mut sum, cx| {
        Box::pin(async move {
            *sum += 1;
            reply.send(*sum);
            meet(cx, &last);
            drop(last);
            Ok(Next::Wait)
        })
    })
}

/// Asks something that a bomb is part of.
type Ask = fn(&mut Context<Script<()>>, &Plain, Bomb);

const ASKS: [Ask; 7] = [
    |cx, _, bomb| {
        cx.send_after(HOUR, act(move |_| drop(bomb)));
    },
    |cx, _, bomb| {
        cx.send_interval(HOUR, move || {
            let _bomb = &bomb;
            idle()
        });
    },
    |cx, other, bomb| {
        cx.monitor(other, move |_| act(move |_| drop(bomb)));
    },
    |cx, _, bomb| {
        let task = async move {
            let _bomb = bomb;
            pending::<()>().await;
        };
        cx.spawn(task, |_| idle());
    },
    |cx, _, bomb| {
        cx.spawn(pending::<()>(), move |_| act(move |_| drop(bomb)));
    },
    |cx, _, bomb| {
        let items = stream::pending::<()>().inspect(move |()| {
            let _bomb = &bomb;
        });
        cx.attach(items, |_| idle());
    },
    |cx, _, bomb| {
        cx.attach(stream::pending::<()>(), move |_| {
            let _bomb = &bomb;
            idle()
        });
    },
];

/// Asks all of them, each twice.
fn ask_for_all(cx: &mut Context<Script<()>>, other: &Plain, fallout: &Arc<Fallout>) {
    for ask_for in ASKS.into_iter().chain(ASKS) {
        ask_for(cx, other, Bomb::new(fallout));
    }
}

both! {
    /// K3 CR11: of all that a callback had asked for when it crashed, the panic of one thing's `Drop` drops no other.
    async fn what_a_crash_forgets_is_dropped_one_by_one() {
        let (other, server, fallout) = (start(()).await, start(()).await, Arc::<Fallout>::default());
        let (there, counts) = (other.clone(), fallout.clone());
        let lost = soon(server.call(asked(act(move |cx| {
            ask_for_all(cx, &there, &counts);
            inject()
        }))))
        .await;
        assert!(matches!(lost, Err(CallError::Crashed(_))), "{lost:?}");
        serves(&server, 2).await;
        ask(&server, get).await;
        until("all is dropped", || fallout.dropped() == 2 * ASKS.len()).await;
        assert_eq!((fallout.unwound(), server.incarnation()), (0, 2));
    }

    /// K3 K13: nor of all that a server has going when it ends.
    async fn what_an_end_lets_go_of_is_dropped_one_by_one() {
        for kill in [false, true] {
            let (other, server, fallout) = (start(()).await, start(()).await, Arc::<Fallout>::default());
            let (there, counts) = (other.clone(), fallout.clone());
            within(&server, move |cx| ask_for_all(cx, &there, &counts)).await;
            end(&server, kill).await;
            until("all is dropped", || fallout.dropped() == 2 * ASKS.len()).await;
            assert_eq!(fallout.unwound(), 0, "killed: {kill}");
        }
    }

    /// G3 LM3: to end a monitor whose closure panics when it is dropped costs neither the callback that does it, nor the
    /// message behind.
    async fn a_monitor_that_panics_when_dropped_can_be_ended() {
        let (other, server, fallout) = (start(()).await, start(0_u64).await, Arc::default());
        let bomb = Bomb::new(&fallout);
        let monitor =
            within(&server, move |cx| cx.monitor(&other, move |_| act(move |_| drop(bomb)))).await;
        let gate = held(&server).await;
        let mut ends = pin!(server.call(|reply| act(move |cx| reply.send(cx.demonitor(monitor)))));
        let mut behind = pin!(server.call(add));
        assert!(poll!(&mut ends).is_pending() && poll!(&mut behind).is_pending());
        gate.open();
        assert!(soon(ends).await.expect("it is committed"));
        assert_eq!(soon(behind).await.expect("it is served"), 1);
        assert_eq!((fallout.dropped(), fallout.unwound(), server.incarnation()), (1, 0, 1));
    }

    /// K13 G9: who waits for an answer hears of the end, whatever the closure of a monitor does when it is dropped with the
    /// server.
    async fn a_monitor_that_panics_at_the_end_keeps_nobody_waiting() {
        for kill in [false, true] {
            let (other, server) = (start(()).await, start(Callers::new()).await);
            let fallout = Arc::default();
            let bomb = Bomb::new(&fallout);
            within(&server, move |cx| cx.monitor(&other, move |_| act(move |_| drop(bomb)))).await;
            let mut call = pin!(server.call(keep).no_timeout());
            assert!(poll!(&mut call).is_pending());
            until("the caller waits", || server.peek().len() == 1).await;
            let reason = end(&server, kill).await;
            match soon(call).await {
                Err(CallError::Stopped(told)) => assert_eq!(told.to_string(), reason),
                other => panic!("{other:?}"),
            }
            assert_eq!(fallout.dropped(), 1);
        }
    }

    /// K1 G2: a callback that was the last to hold another server is answered before that is dropped, whatever goes with it.
    async fn nothing_of_a_users_is_dropped_before_the_answer() {
        for meet in MEETINGS {
            let (server, fallout) = (start(0_u64).await, Arc::default());
            let last = remains(&fallout).await;
            assert_eq!(ask(&server, |reply| meets(meet, last, reply)).await, 1);
            until("the other is dropped", || fallout.dropped() == 1).await;
            assert_eq!(ask(&server, get).await, 1);
            assert_eq!((fallout.unwound(), server.incarnation()), (0, 1));
        }
    }

    /// G3 G10: nor does that cost a message that was taken meanwhile, or a place in the mailbox.
    async fn what_a_callback_lets_go_of_costs_no_message_behind_it() {
        for meet in MEETINGS {
            let spec = ServerSpec::new(Script::new(), 0_u64).mailbox(Mailbox::bounded(2));
            let (server, fallout) = (spec.start().await.expect("it starts"), Arc::default());
            let last = remains(&fallout).await;
            // Both are taken together: the second is in hand as soon as the first is committed.
            let gate = held(&server).await;
            let mut first = pin!(server.call(|reply| meets(meet, last, reply)));
            let mut second = pin!(server.call(add));
            assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
            gate.open();
            assert_eq!(soon(first).await.expect("it is committed"), 1);
            assert_eq!(soon(second).await.expect("it is served"), 2);
            until("the other is dropped", || fallout.dropped() == 1).await;
            let gate = held(&server).await;
            for _ in 0..2 {
                server.try_cast(inc()).expect("there is room");
            }
            server.try_cast(inc()).expect_err("for two");
            gate.open();
            until("both are handled", || *server.peek() == 4).await;
            assert_eq!((fallout.unwound(), server.incarnation()), (0, 1));
        }
    }

    /// A task that comes to its end after it was aborted, and before the callback that did so is committed, is told of once,
    /// with its result.
    async fn a_task_that_ends_before_its_abort_is_committed_keeps_its_result() {
        let server = start(Vec::new()).await;
        let (go, gone) = oneshot::channel::<()>();
        let before = tasks();
        let task = within(&server, |cx| {
            cx.spawn(gone, |result| push(if result.is_ok() { 1 } else { 2 }))
        })
        .await;
        let abort = server.call(|reply| slow(move |_, cx| Box::pin(async move {
            reply.send(cx.abort(task));
            go.send(()).expect("it waits");
            until("it is over", || tasks() == before).await;
            Ok(Next::Wait)
        })));
        assert!(soon(abort).await.expect("it is committed"));
        until("it is told of", || !server.peek().is_empty()).await;
        assert_eq!(ask(&server, get).await, [1]);
    }
}

/// K1: nothing is logged between a commit and its answer: a subscriber is a user's, and may panic.
#[tokio::test]
async fn nothing_is_logged_before_the_answer() {
    quiet();
    let over = start(()).await;
    stop(&over).await;
    let spec = ServerSpec::new(Script::new(), 0_u64).mailbox(Mailbox::bounded(8).high_water(1));
    let server = spec.dispatch(Dispatch::Queued).start().await.expect("it starts");
    let warned = Arc::<Fallout>::default();
    let bombs = warned.clone();
    // The notice that the other is over already reaches the mark. The call itself has done so, too, before.
    let call = server.call(|reply| {
        slow(move |mut sum, cx| {
            Box::pin(async move {
                *sum += 1;
                reply.send(*sum);
                cx.monitor(&over, |_| idle());
                Ok(Next::Wait)
            })
        })
    });
    let mut call = pin!(call);
    assert!(poll!(&mut call).is_pending());
    let subscriber = set_default(OnWarning(move || drop(Bomb::new(&bombs))));
    assert_eq!(soon(call).await.expect("it is committed"), 1);
    until("it is logged", || warned.dropped() > 0).await;
    drop(subscriber);
    assert_eq!(ask(&server, get).await, 1);
}

/// IN4: to clear a key clears all that one callback has made of it.
#[tokio::test(start_paused = true)]
async fn a_key_that_a_callback_sets_twice_can_be_cleared() {
    quiet();
    for armed_before in [false, true] {
        let server = start(Vec::new()).await;
        if armed_before {
            within(&server, |cx| cx.set_timer("key", SECOND, push(1))).await;
        }
        let cleared = within(&server, |cx| {
            cx.set_timer("key", SECOND, push(2));
            cx.set_timer("key", SECOND, push(3));
            (cx.clear_timer("key"), cx.clear_timer("key"))
        });
        assert_eq!(cleared.await, (true, false));
        sleep(HOUR).await;
        assert_eq!(ask(&server, get).await, [0; 0]);
    }
}
