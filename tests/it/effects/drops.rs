//! What a callback hands to its context may panic when it is dropped, and it is dropped in many places: by whoever
//! cancels it, with the callback that crashed, with the server. That harms nobody.

use std::{future::pending, panic::resume_unwind, thread, time::Duration};

use futures::{StreamExt as _, stream};
use undying::{Context, ExitReason};

use super::{Alive, FAILURES, Log, One, Plain, SECOND, act, in_vain, tasks, within};
use crate::{
    crash::script::{Script, ask, get, soon, start},
    support::{inject, until},
};

/// Panics when it is dropped, unless that would abort the process.
struct Bomb {
    _one: One,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            inject();
        }
    }
}

/// Takes back what was asked. Whether there was something to take back is not the point here.
type Undo = Box<dyn FnOnce(&mut Context<Script<()>>) -> bool + Send>;

/// Asks something that a bomb is part of.
type Ask = fn(&mut Context<Script<()>>, Bomb, &Plain) -> Undo;

const LONG: Duration = Duration::from_secs(3_600);

const ASKS: [(&str, Ask); 9] = [
    ("a timer", |cx, bomb, _| {
        let timer = cx.send_after(LONG, act(move |_| drop(bomb)));
        Box::new(move |cx| cx.cancel(timer))
    }),
    ("a key", |cx, bomb, _| {
        cx.set_timer("key", LONG, act(move |_| drop(bomb)));
        Box::new(|cx| cx.clear_timer("key"))
    }),
    ("a replaced key", |cx, bomb, _| {
        cx.set_timer("replaced", LONG, act(move |_| drop(bomb)));
        Box::new(|cx| {
            cx.set_timer("replaced", LONG, act(|_| {}));
            true
        })
    }),
    ("an interval", |cx, bomb, _| {
        let timer = cx.send_interval(LONG, move || {
            let _bomb = &bomb;
            act(|_| {})
        });
        Box::new(move |cx| cx.cancel(timer))
    }),
    ("a task", |cx, bomb, _| {
        let task = async move {
            let _bomb = bomb;
            pending::<()>().await;
        };
        let task = cx.spawn(task, |_| act(|_| {}));
        Box::new(move |cx| cx.abort(task))
    }),
    ("the map of a task", |cx, bomb, _| {
        let task = cx.spawn_linked(pending::<()>(), move |_| {
            let _bomb = bomb;
            act(|_| {})
        });
        Box::new(move |cx| cx.abort(task))
    }),
    ("a stream", |cx, bomb, _| {
        let items = stream::pending::<()>().inspect(move |()| {
            let _bomb = &bomb;
        });
        let stream = cx.attach(items, |_| act(|_| {}));
        Box::new(move |cx| cx.abort(stream))
    }),
    ("the map of a stream", |cx, bomb, _| {
        let stream = cx.attach(stream::pending::<()>(), move |_| {
            let _bomb = &bomb;
            act(|_| {})
        });
        Box::new(move |cx| cx.abort(stream))
    }),
    ("a monitor", |cx, bomb, other| {
        let monitor = cx.monitor(other, move |_| act(move |_| drop(bomb)));
        Box::new(move |cx| cx.demonitor(monitor))
    }),
];

/// A bomb.
fn bomb(alive: &Alive) -> Bomb {
    Bomb { _one: alive.one() }
}

both! {
    /// CR11: what a callback has asked for is dropped when that crashes: the next incarnation serves.
    async fn what_a_crash_drops_harms_nobody() {
        let other = start(()).await;
        for (name, ask_for) in ASKS {
            for failure in FAILURES {
                let (server, alive, baseline) = (start(()).await, Alive::default(), tasks());
                let (bomb, target) = (bomb(&alive), other.clone());
                in_vain(&server, failure, move |cx| drop(ask_for(cx, bomb, &target))).await;
                ask(&server, get).await;
                until(&format!("{name} is dropped"), || alive.count() == 0 && tasks() == baseline).await;
                assert_eq!(server.incarnation(), 2, "{name}");
            }
        }
    }

    /// What is taken back is dropped: that costs the callback that takes it back at most.
    async fn what_is_taken_back_harms_one_callback_at_most() {
        let other = start(()).await;
        for (name, ask_for) in ASKS {
            let (server, alive, baseline) = (start(()).await, Alive::default(), tasks());
            let (bomb, target) = (bomb(&alive), other.clone());
            let undo = within(&server, move |cx| ask_for(cx, bomb, &target)).await;
            let undone = soon(server.call(|reply| act(move |cx| reply.send(undo(cx))))).await;
            assert!(!matches!(undone, Ok(false)), "{name} was there");
            until(&format!("{name} is dropped"), || alive.count() == 0 && tasks() == baseline).await;
            ask(&server, get).await;
            assert!(server.incarnation() <= 2, "{name}");
        }
    }

    /// CR10: what a task or a stream panics with may panic itself: the task is told of as crashed, the stream is at its end.
    async fn what_a_task_panics_with_harms_nobody() {
        let (server, alive, log) = (start(()).await, Alive::default(), Log::new());
        let [task, item] = [bomb(&alive), bomb(&alive)];
        let [of_task, of_stream] = [log.clone(), log.clone()];
        within(&server, move |cx| {
            let task = async move {
                if true {
                    resume_unwind(Box::new(task));
                }
            };
            cx.spawn(task, move |result| of_task.job(matches!(result, Err(ExitReason::Crashed(_)))));
            let mut item = Some(item);
            let items = stream::poll_fn::<(), _>(move |_| match item.take() {
                Some(item) => resume_unwind(Box::new(item)),
                None => unreachable!("it is over"),
            });
            cx.attach(items, move |item| of_stream.job(item.is_none()));
        })
        .await;
        until("both have come", || log.len() == 2).await;
        ask(&server, get).await;
        assert_eq!((log.notes(), alive.count(), server.incarnation()), (vec![true; 2], 0, 1));
    }

    /// K13: what is dropped with a server does not change the reason of its end, and keeps nobody from hearing of it.
    async fn what_an_end_drops_harms_nobody() {
        let other = start(()).await;
        for (name, ask_for) in ASKS {
            for kill in [false, true] {
                let (alive, baseline) = (Alive::default(), tasks());
                let server = start(()).await;
                let (bomb, target) = (bomb(&alive), other.clone());
                within(&server, move |cx| drop(ask_for(cx, bomb, &target))).await;
                let reason = if kill {
                    server.kill();
                    soon(server.stopped()).await.reason
                } else {
                    soon(server.stop().timeout(30 * SECOND)).await.expect("it ends").reason
                };
                assert!(matches!((kill, &reason), (false, ExitReason::Normal) | (true, ExitReason::Killed)), "{name}: {reason}");
                until(&format!("{name} is dropped"), || alive.count() == 0 && tasks() == baseline).await;
            }
        }
        ask(&other, get).await;
        assert_eq!(other.incarnation(), 1);
    }
}

#[cfg(feature = "chaos")]
both! {
    /// K13 K14: nor does it harm the end of a server whose supervisor died.
    async fn what_the_death_of_a_supervisor_drops_harms_nobody() {
        let other = start(()).await;
        for (name, ask_for) in ASKS {
            let (alive, baseline) = (Alive::default(), tasks());
            let server = start(()).await;
            let (bomb, target) = (bomb(&alive), other.clone());
            within(&server, move |cx| drop(ask_for(cx, bomb, &target))).await;
            server.chaos().kill_supervisor();
            let reason = soon(server.stopped()).await.reason;
            assert!(matches!(reason, ExitReason::Killed), "{name}: {reason}");
            until(&format!("{name} is dropped"), || alive.count() == 0 && tasks() == baseline).await;
        }
    }
}
