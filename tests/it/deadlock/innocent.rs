//! Calls that look like a cycle and are none: nobody is refused.

use std::time::Duration;

use futures::poll;
use tokio::sync::oneshot;
use undying::{CallError, Next, Reply};

use super::{Relayed, Server, relay, several, through};
use crate::{
    crash::script::{Job, add, ask, asked, get, look, slow, soon, tell, wait_at},
    support::{Gate, RACES, quiet, until},
};

/// A job that passes `gate` and then calls `other`, and what came of that call.
pub(super) fn calls_later(gate: &Gate, other: &Server) -> (Job<u64>, oneshot::Receiver<Relayed>) {
    let (gate, other) = (gate.clone(), other.clone());
    let (tell, told) = oneshot::channel();
    let job = slow(move |_, _| {
        Box::pin(async move {
            gate.pass().await;
            // The test may have seen enough.
            let _ = tell.send(other.call(add).await);
            Ok(Next::Wait)
        })
    });
    (job, told)
}

/// A job that calls `other` with `request`, which does not answer, and waits.
pub(super) fn waits_for(other: &Server, request: Job<u64>) -> Job<u64> {
    let other = other.clone();
    slow(move |_, _| {
        Box::pin(async move {
            let _ = other.call(asked(request)).await;
            Ok(Next::Wait)
        })
    })
}

/// The call was answered with this sum.
#[track_caller]
pub(super) fn answered(call: Result<Relayed, oneshot::error::RecvError>, sum: u64) {
    let call = call.expect("the call was made");
    assert!(matches!(call, Ok(answer) if answer == sum), "{call:?}");
}

both! {
    /// A diamond is no cycle: two that are waited for may wait for the same one.
    async fn a_diamond_is_no_cycle() {
        for _ in 0..RACES {
            let [a, b, c, d] = several().await;
            let sides = [b, c];
            let answers = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
                let [b, c] = &sides;
                reply.send(tokio::join!(through(b, vec![d.clone()]), through(c, vec![d.clone()])));
                Ok(Next::Wait)
            })))
            .await;
            assert!(matches!(answers, (Ok(0), Ok(0))), "{answers:?}");
        }
    }

    /// A server that has left a call open and answers it from a task may call back meanwhile: the answer does not wait
    /// for the server.
    async fn a_deferred_reply_is_not_waited_for() {
        for _ in 0..RACES {
            let [a, b] = several().await;
            let (answers, calls) = (Gate::new(), Gate::new());
            let (calls_back, called_back) = calls_later(&calls, &a);
            let at = answers.clone();
            let defers = |reply: Reply<u64>| look(move |_| {
                tokio::spawn(async move {
                    at.pass().await;
                    reply.send(7);
                });
                Ok(Next::Continue(calls_back))
            });
            let other = b.clone();
            let mut answer = Box::pin(a.call(|reply| slow(move |_, _| Box::pin(async move {
                reply.send(other.call(defers).await);
                Ok(Next::Wait)
            }))));
            assert!(poll!(&mut answer).is_pending());
            soon(answers.arrived()).await;
            soon(calls.arrived()).await;
            calls.open();
            // It has to wait, for `a` is still in its callback.
            until("the call back is queued", || a.mailbox_len() == 1).await;
            answers.open();
            let answer = soon(answer).await;
            assert!(matches!(answer, Ok(Ok(7))), "{answer:?}");
            answered(soon(called_back).await, 1);
        }
    }

    /// Once it has answered, a server may call back, even before its caller has had a turn to take the answer.
    async fn who_has_answered_may_call_back() {
        for _ in 0..RACES {
            let [a, b] = several().await;
            let gate = Gate::new();
            gate.open();
            let (calls_back, called_back) = calls_later(&gate, &a);
            let other = b.clone();
            let answer = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
                let call = other.call(|reply| look(move |_| {
                    reply.send(7);
                    // The next callback of this server comes at once, while the caller is still to be woken.
                    Ok(Next::Continue(calls_back))
                }));
                reply.send(call.await);
                Ok(Next::Wait)
            })))
            .await;
            assert!(matches!(answer, Ok(7)), "{answer:?}");
            answered(soon(called_back).await, 1);
        }
    }

    /// A call that is over is not waited for, though the callback that made it is not over.
    async fn a_call_that_is_over_is_not_waited_for() {
        let [a, b] = several().await;
        let (gate, calls) = (Gate::new(), Gate::new());
        let (at, other) = (gate.clone(), b.clone());
        tell(&a, slow(move |_, _| Box::pin(async move {
            other.call(add).await.expect("an answer");
            at.pass().await;
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        calls.open();
        let (calls_back, called_back) = calls_later(&calls, &a);
        tell(&b, calls_back).await;
        until("the call back is queued", || a.mailbox_len() == 1).await;
        gate.open();
        answered(soon(called_back).await, 1);
    }

    /// A call that was given up is not waited for.
    async fn a_call_that_was_given_up_is_not_waited_for() {
        let [a, b] = several().await;
        let (gate, calls) = (Gate::new(), Gate::new());
        let (calls_back, called_back) = calls_later(&calls, &a);
        let (at, other) = (gate.clone(), b.clone());
        tell(&a, slow(move |_, _| Box::pin(async move {
            let mut call = Box::pin(other.call(asked(calls_back)));
            assert!(poll!(&mut call).is_pending());
            drop(call);
            at.pass().await;
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        soon(calls.arrived()).await;
        calls.open();
        until("the call back is queued", || a.mailbox_len() == 1).await;
        gate.open();
        answered(soon(called_back).await, 1);
    }

    /// A call made by a task is nobody's wait: neither that of the server it calls, nor of the server that spawned it.
    async fn a_call_of_a_spawned_task_closes_no_cycle() {
        for _ in 0..RACES {
            let [a, b] = several().await;
            let (told, calls) = oneshot::channel();
            let (other, back) = (b.clone(), a.clone());
            let answer = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
                let own = back.clone();
                let itself = tokio::spawn(async move { own.call(add).await });
                let call = other.call(|reply| look(move |_| {
                    let task = tokio::spawn(async move { back.call(add).await });
                    told.send((task, itself)).expect("the test waits for it");
                    reply.send(7);
                    Ok(Next::Wait)
                }));
                reply.send(call.await);
                Ok(Next::Wait)
            })))
            .await;
            assert!(matches!(answer, Ok(7)), "{answer:?}");
            let (task, itself) = soon(calls).await.expect("told");
            let (task, itself) = (soon(task).await.expect("joined"), soon(itself).await.expect("joined"));
            let sums = (task.expect("no deadlock"), itself.expect("not calling itself"));
            assert!(matches!(sums, (1, 2) | (2, 1)), "{sums:?}");
        }
    }

    /// A call that a callback has begun and handed to a task is that task's: the callback is over and does not wait.
    async fn a_call_handed_to_a_task_is_not_waited_for() {
        let [a, b] = several().await;
        let gate = Gate::new();
        let (calls_back, called_back) = calls_later(&gate, &a);
        let other = b.clone();
        tell(&a, slow(move |_, _| Box::pin(async move {
            let mut call = Box::pin(async move { other.call(asked(calls_back)).await });
            assert!(poll!(&mut call).is_pending());
            tokio::spawn(call);
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        assert_eq!(ask(&a, get).await, 0, "its callback is over");
        gate.open();
        answered(soon(called_back).await, 1);
    }

    /// Calls from outside close no cycle, though they come while two servers wait for each other's callers.
    async fn calls_from_outside_close_no_cycle() {
        let [a, b] = several().await;
        let gate = Gate::new();
        tell(&a, waits_for(&b, wait_at(&gate))).await;
        soon(gate.arrived()).await;
        let (to_a, to_b) = (a.clone(), b.clone());
        let outside = tokio::spawn(async move {
            tokio::join!(through(&to_a, vec![]), through(&to_b, vec![]), to_b.call(add), to_a.call(add))
        });
        until("the calls are queued", || a.mailbox_len() == 2 && b.mailbox_len() == 2).await;
        gate.open();
        let answers = soon(outside).await.expect("joined");
        assert!(matches!(answers, (Ok(0), Ok(0), Ok(1), Ok(1))), "{answers:?}");
    }

    /// Three who wait for each other all around, but never all at the same moment, are no cycle: the third calls the
    /// first only after it has answered the second.
    async fn a_ring_that_is_never_closed_is_no_cycle() {
        for _ in 0..10 * RACES {
            let [a, b, c] = several().await;
            let gate = Gate::new();
            gate.open();
            let (calls_on, called_on) = calls_later(&gate, &a);
            let (second, third) = (b.clone(), c.clone());
            let answers_first = |reply: Reply<()>| look(move |_| {
                reply.send(());
                Ok(Next::Continue(calls_on))
            });
            tell(&b, slow(move |_, _| Box::pin(async move {
                third.call(answers_first).await.expect("an answer");
                Ok(Next::Wait)
            })))
            .await;
            let answer = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
                reply.send(second.call(add).await);
                Ok(Next::Wait)
            })))
            .await;
            assert!(matches!(answer, Ok(1)), "{answer:?}");
            answered(soon(called_on).await, 1);
        }
    }

}

/// A call that has run out of time is not waited for, though its callback goes on.
#[tokio::test(start_paused = true)]
async fn a_call_out_of_time_is_not_waited_for() {
    quiet();
    let [a, b] = several().await;
    let (gate, calls) = (Gate::new(), Gate::new());
    let (calls_back, called_back) = calls_later(&calls, &a);
    let (at, other) = (gate.clone(), b.clone());
    tell(
        &a,
        slow(move |_, _| {
            Box::pin(async move {
                let late = other.call(asked(calls_back)).timeout(Duration::from_secs(1)).await;
                assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
                at.pass().await;
                Ok(Next::Wait)
            })
        }),
    )
    .await;
    gate.arrived().await;
    calls.open();
    until("the call back is queued", || a.mailbox_len() == 1).await;
    gate.open();
    answered(called_back.await, 1);
    assert_eq!(a.incarnation(), 1);
}

/// A chain of calls that ends is no cycle, however often it comes through the same servers one after the other.
#[tokio::test(start_paused = true)]
async fn one_call_after_the_other_is_no_cycle() {
    let [a, b, c] = several().await;
    let (first, second) = (b.clone(), c.clone());
    let answers = ask(&a, |reply| {
        slow(move |_, _| {
            Box::pin(async move {
                let mut answers = Vec::new();
                for _ in 0..10 {
                    answers.push(through(&first, vec![second.clone()]).await);
                    answers
                        .push(second.call(|reply| relay(vec![first.clone()], reply)).await.and_then(|a| a));
                }
                reply.send(answers);
                Ok(Next::Wait)
            })
        })
    })
    .await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(0))), "{answers:?}");
}
