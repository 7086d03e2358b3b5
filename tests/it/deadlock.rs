//! Servers that wait for each other's answers: the call that closes the cycle fails at once, and no other call does.

mod crashed;
mod graphs;
mod innocent;
mod mailboxes;

use std::sync::Arc;

use futures::{StreamExt, poll, stream::FuturesUnordered};
use tokio::{sync::Barrier, time::Instant};
use undying::{CallError, Next, Registry, Reply, Requests, ServerRef, ServerSpec};

use crate::{
    crash::script::{Job, Script, add, ask, get, look, slow, soon, start, stop, wait_at},
    support::{Gate, RACES, quiet},
};

pub(crate) type Server = ServerRef<Script<u64>>;

/// What came back from the end of a chain of calls.
type Relayed = Result<u64, CallError>;

/// Asks the first server of `route` to ask the next, and so on; the last one answers with its state. Who is waited for
/// at each moment is everybody before on the route.
fn relay(mut route: Vec<Server>, reply: Reply<Relayed>) -> Job<u64> {
    slow(move |state, _| {
        Box::pin(async move {
            if route.is_empty() {
                reply.send(Ok(*state));
                return Ok(Next::Wait);
            }
            let next = route.remove(0);
            reply.send(through(&next, route).await);
            Ok(Next::Wait)
        })
    })
}

/// Calls `first`, to ask the servers of `route` through one another.
async fn through(first: &Server, route: Vec<Server>) -> Relayed {
    first.call(|reply| relay(route, reply)).await.and_then(|answer| answer)
}

/// What servers are called in the error: by the name, or by the number.
fn labels<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Vec<String> {
    let label = |server: &Server| server.name().map_or_else(|| server.id().to_string(), str::to_owned);
    servers.into_iter().map(label).collect()
}

/// The cycle that is reported; anything else is a failure.
#[track_caller]
fn cycle<T: std::fmt::Debug>(result: Result<T, CallError>) -> Vec<String> {
    match result {
        Err(error @ CallError::Deadlock { .. }) => {
            assert!(!error.may_have_run());
            let CallError::Deadlock { cycle } = error else { unreachable!("it was one a line ago") };
            cycle
        }
        other => panic!("{other:?}"),
    }
}

async fn several<const N: usize>() -> [Server; N] {
    let mut servers = Vec::new();
    for _ in 0..N {
        servers.push(start(0_u64).await);
    }
    servers.try_into().expect("as many")
}

both! {
    /// Of two servers that call each other, the second call is refused at once, with both in its error, and everybody
    /// goes on.
    async fn a_call_back_is_refused() {
        let [a, b] = several().await;
        let refused = soon(through(&a, vec![b.clone(), a.clone()])).await;
        assert_eq!(cycle(refused), labels([&b, &a]));
        for server in [&a, &b] {
            assert_eq!(ask(server, add).await, 1);
            assert_eq!(server.incarnation(), 1);
        }
    }

    /// The call that closes a ring of five is refused. The error has each of the five once, by name or by number, in
    /// the order of the calls, from the one on whose call it is.
    async fn a_ring_of_five_is_named_in_the_order_of_its_calls() {
        let registry = Registry::new();
        let mut ring = Vec::new();
        for name in [Some("ada"), None, Some("cleo"), None, Some("eve")] {
            let spec = ServerSpec::new(Script::new(), 0);
            let spec = match name {
                Some(name) => spec.name_in(&registry, name),
                None => spec,
            };
            ring.push(spec.start().await.expect("it starts"));
        }
        for first in 0..5 {
            let mut order = ring.clone();
            order.rotate_left(first);
            let route = order.iter().skip(1).chain(&order[..1]).cloned().collect();
            let refused = soon(through(&order[0], route)).await;
            // The fifth gets the error; it called the first.
            order.rotate_left(4);
            let expected = labels(&order);
            assert_eq!(cycle(refused), expected);
            assert!(expected.contains(&"cleo".to_owned()) && expected.contains(&ring[1].id().to_string()));
        }
        for server in &ring {
            assert_eq!(server.incarnation(), 1);
        }
    }

    /// A cycle need not go through the one where the calls began: only those who wait for each other are in it.
    async fn who_is_not_in_the_cycle_is_not_named() {
        let [outside, a, b, c] = several().await;
        let route = [&a, &b, &c, &a].map(Clone::clone).to_vec();
        let refused = soon(through(&outside, route)).await;
        assert_eq!(cycle(refused), labels([&c, &a, &b]));
    }

    /// The refused request is not queued: its server never gets it.
    async fn a_refused_request_never_runs() {
        let [a, b] = several().await;
        let back = a.clone();
        let refused = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
            let answer = b.call(|reply| slow(move |_, _| Box::pin(async move {
                reply.send(back.call(add).await);
                Ok(Next::Wait)
            })));
            reply.send(answer.await);
            Ok(Next::Wait)
        })))
        .await;
        assert_eq!(cycle(refused.expect("the other answers")).len(), 2);
        assert_eq!(ask(&a, get).await, 0);
        assert_eq!(a.mailbox_len(), 0);
    }

    /// A callback that waits for several at once, by `join!`, waits for each of them: the one that calls back is
    /// refused, and the others answer.
    async fn a_cycle_through_join_is_found() {
        let [a, b, c, d] = several().await;
        let (others, back) = ([b, c.clone(), d], a.clone());
        let (first, second, third) = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
            let [b, c, d] = &others;
            let answers = tokio::join!(through(b, vec![]), through(c, vec![back]), through(d, vec![]));
            reply.send(answers);
            Ok(Next::Wait)
        })))
        .await;
        assert!(matches!((&first, &third), (Ok(0), Ok(0))), "{first:?} {third:?}");
        assert_eq!(cycle(second), labels([&c, &a]));
    }

    /// A callback that waits through a `FuturesUnordered` waits for each that is in it.
    async fn a_cycle_through_futures_unordered_is_found() {
        let [a, b, c, d, e] = several().await;
        let routes = [(b, vec![]), (c.clone(), vec![a.clone()]), (d.clone(), vec![e.clone(), a.clone()])];
        let answers = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
            let calls = routes.into_iter().enumerate().map(|(n, (first, route))| async move {
                (n, through(&first, route).await)
            });
            let mut answers: Vec<_> = calls.collect::<FuturesUnordered<_>>().collect().await;
            answers.sort_by_key(|(n, _)| *n);
            reply.send(answers.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>());
            Ok(Next::Wait)
        })))
        .await;
        let [plain, short, long] = answers.try_into().expect("three answers");
        assert!(matches!(plain, Ok(0)), "{plain:?}");
        assert_eq!(cycle(short), labels([&c, &a]));
        assert_eq!(cycle(long), labels([&e, &a, &d]));
    }

    /// A callback that waits for a collection of requests waits for each that is in it.
    async fn a_cycle_through_requests_is_found() {
        let [a, b, c] = several().await;
        let (first, second, back) = (b, c.clone(), a.clone());
        let answers = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
            let mut requests = Requests::new();
            requests.add("plain", first.call(|reply| relay(vec![], reply)));
            requests.add("back", second.call(|reply| relay(vec![back], reply)));
            let mut answers = Vec::new();
            while let Some((label, answer)) = requests.next().await {
                answers.push((label, answer.and_then(|answer| answer)));
            }
            reply.send(answers);
            Ok(Next::Wait)
        })))
        .await;
        assert_eq!(answers.len(), 2);
        for (label, answer) in answers {
            match label {
                "plain" => assert!(matches!(answer, Ok(0)), "{answer:?}"),
                _ => assert_eq!(cycle(answer), labels([&c, &a])),
            }
        }
    }

    /// Of two that call each other at the same moment, exactly one is refused, and the other is answered.
    async fn of_two_calls_at_the_same_moment_one_is_refused() {
        for _ in 0..RACES {
            let [a, b] = several().await;
            let barrier = Arc::new(Barrier::new(2));
            let meet = |other: &Server| {
                let (other, barrier) = (other.clone(), barrier.clone());
                move |reply: Reply<Relayed>| slow(move |_, _| Box::pin(async move {
                    barrier.wait().await;
                    reply.send(other.call(add).await);
                    Ok(Next::Wait)
                }))
            };
            let (first, second) = tokio::join!(ask(&a, meet(&b)), ask(&b, meet(&a)));
            match (first, second) {
                (Ok(1), refused) => assert_eq!(cycle(refused), labels([&b, &a])),
                (refused, Ok(1)) => assert_eq!(cycle(refused), labels([&a, &b])),
                both => panic!("{both:?}"),
            }
            // The answered call has run, the refused one has not.
            assert_eq!(ask(&a, get).await + ask(&b, get).await, 1);
        }
    }

    /// A request that is queued behind a callback waits for that callback, whoever it works for: the cycle is the same.
    async fn a_queued_request_closes_a_cycle() {
        let [a, b] = several().await;
        let (gate, back) = (Gate::new(), a.clone());
        let at = gate.clone();
        // From outside, `b` is asked to call `a` once the gate is open.
        let mut busy = Box::pin(b.call(|reply| slow(move |_, _| Box::pin(async move {
            at.pass().await;
            reply.send(back.call(get).await);
            Ok(Next::Wait)
        }))));
        assert!(poll!(&mut busy).is_pending());
        soon(gate.arrived()).await;
        let mut queued = Box::pin(through(&a, vec![b.clone()]));
        assert!(poll!(&mut queued).is_pending());
        crate::support::until("the request of `a` is queued at `b`", || b.mailbox_len() == 1).await;
        gate.open();
        assert_eq!(cycle(soon(busy).await.expect("it answers")), labels([&b, &a]));
        assert!(matches!(soon(queued).await, Ok(0)));
    }

    /// A reply is held until its callback commits, so a callback that calls back after it has replied closes a cycle
    /// all the same: its caller cannot go on yet.
    async fn an_answer_that_is_held_is_no_answer_yet() {
        let [a, b] = several().await;
        let (other, back) = (b.clone(), a.clone());
        let (refusals, refused) = tokio::sync::oneshot::channel();
        let answer = ask(&a, |reply| slow(move |_, _| Box::pin(async move {
            let call = other.call(|reply| slow(move |_, _| Box::pin(async move {
                reply.send(7);
                refusals.send(back.call(get).await).expect("the test waits for it");
                Ok(Next::Wait)
            })));
            reply.send(call.await);
            Ok(Next::Wait)
        })))
        .await;
        assert!(matches!(answer, Ok(7)), "{answer:?}");
        assert_eq!(cycle(soon(refused).await.expect("told")), labels([&b, &a]));
    }

    /// Every callback waits for the answers to its calls, not only one that handles a call itself: casts, infos,
    /// continues.
    async fn every_kind_of_callback_can_close_a_cycle() {
        for kind in 0..3 {
            let [a, b] = several().await;
            let (told, answer) = tokio::sync::oneshot::channel();
            let route = vec![a.clone()];
            let other = b.clone();
            let calls: Job<u64> = slow(move |_, _| Box::pin(async move {
                told.send(through(&other, route).await).expect("the test waits for it");
                Ok(Next::Wait)
            }));
            match kind {
                0 => a.cast(calls).await.expect("a server"),
                1 => a.send(calls).await.expect("a server"),
                _ => a.cast(look(|_| Ok(Next::Continue(calls)))).await.expect("a server"),
            }
            assert_eq!(cycle(soon(answer).await.expect("told")), labels([&b, &a]));
        }
    }

    /// Who calls into a cycle that has been refused is served: it left nothing behind.
    async fn a_refused_cycle_leaves_nothing_behind() {
        let [a, b] = several().await;
        for _ in 0..RACES {
            let refused = soon(through(&a, vec![b.clone(), a.clone()])).await;
            assert_eq!(cycle(refused), labels([&b, &a]));
            assert!(matches!(soon(through(&a, vec![b.clone()])).await, Ok(0)));
            assert!(matches!(soon(through(&b, vec![a.clone()])).await, Ok(0)));
        }
        stop(&a).await;
        stop(&b).await;
    }
}

/// A deadlock is told at once: no time passes, where without it there would be a time limit to wait for.
#[tokio::test(start_paused = true)]
async fn no_time_passes_until_a_deadlock_is_told() {
    quiet();
    let [a, b, c] = several().await;
    let begin = Instant::now();
    for route in [vec![&b, &a], vec![&b, &c, &a], vec![&b, &c, &b]] {
        let route: Vec<_> = route.into_iter().cloned().collect();
        assert!(cycle(through(&a, route).await).len() >= 2);
    }
    // Beside a callback that is held up for long.
    let gate = Gate::new();
    let mut held = Box::pin(c.cast(wait_at(&gate)));
    assert!(poll!(&mut held).is_ready());
    gate.arrived().await;
    assert_eq!(cycle(through(&a, vec![b.clone(), a.clone()]).await), labels([&b, &a]));
    assert_eq!(begin.elapsed(), std::time::Duration::ZERO);
    gate.open();
}
