//! Many requests at a time, and addresses that are not of one server type: collections of calls, calls to all of a
//! list, recipients, casts to names.

mod addresses;

use std::{future::pending, time::Duration};

use futures::StreamExt;
use tokio::time::Instant;
use undying::{CallError, Context, CrashKind, MultiCall, Next, Reply, Requests, ServerRef, multi_call};

use crate::{
    crash::script::{Job, Script, add, ask, get, look, slow, soon, start, stop, tell, wait_at},
    support::{Gate, quiet, until},
};

/// Answers after so many milliseconds with their number.
fn after(millis: u64) -> impl FnOnce(Reply<u64>) -> Job<u64> {
    move |reply| {
        slow(move |_, _| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                reply.send(millis);
                Ok(Next::Wait)
            })
        })
    }
}

/// Answers with the state, for servers whose messages are all alike.
fn ask_state(reply: Reply<u64>) -> Job<u64> {
    get(reply)
}

/// CA14: responses come in the order in which they are complete, each with its label, the error of a dead server among
/// them; when none is left the collection says so.
#[tokio::test(start_paused = true)]
async fn responses_come_in_the_order_of_completion() {
    quiet();
    let [slow, fast, medium, dead] = [start(0).await, start(0).await, start(0).await, start(0).await];
    stop(&dead).await;
    let begin = Instant::now();
    let mut requests = Requests::new();
    assert!(requests.is_empty());
    requests.add("slow", slow.call(after(400)));
    requests.add("fast", fast.call(after(1)));
    requests.add("medium", medium.call(after(200)));
    requests.add("dead", dead.call(after(0)));
    assert_eq!((requests.len(), requests.is_empty()), (4, false));
    let refused = requests.next().await;
    assert!(matches!(refused, Some(("dead", Err(CallError::NoProc)))), "{refused:?}");
    for (left, (label, millis)) in [("fast", 1), ("medium", 200), ("slow", 400)].into_iter().enumerate() {
        let response = requests.next().await;
        assert!(matches!(response, Some((name, Ok(n))) if name == label && n == millis), "{response:?}");
        assert_eq!((begin.elapsed(), requests.len()), (Duration::from_millis(millis), 2 - left));
    }
    assert!(requests.is_empty());
    assert!(requests.next().await.is_none());
    assert!(requests.next().await.is_none(), "and again");
}

/// CA14: each request keeps its own time limit, counted from when it was added.
#[tokio::test(start_paused = true)]
async fn each_request_has_its_own_time_limit() {
    quiet();
    let [first, second] = [start(0).await, start(0).await];
    let begin = Instant::now();
    let mut requests = Requests::new();
    requests.add(1, first.call(after(60_000)));
    requests.add(2, second.call(after(60_000)).timeout(Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (label, at) in [(2, 1), (1, 5)] {
        let late = requests.next().await;
        assert!(matches!(late, Some((name, Err(CallError::Timeout))) if name == label), "{late:?}");
        assert_eq!(begin.elapsed(), Duration::from_secs(at));
    }
}

/// CA14: a wait for the next response can be given up; nothing is lost, and the next wait gets it.
#[tokio::test(start_paused = true)]
async fn a_wait_for_the_next_response_can_be_given_up() {
    quiet();
    let servers = [start(0).await, start(0).await, start(0).await];
    let mut requests = Requests::new();
    for (n, server) in (1..).zip(&servers) {
        requests.add(n, server.call(after(n * 100)));
    }
    let mut responses = Vec::new();
    while !requests.is_empty() {
        if let Ok(Some((n, response))) =
            tokio::time::timeout(Duration::from_millis(30), requests.next()).await
        {
            assert_eq!(response.expect("an answer"), n * 100);
            responses.push(n);
        }
    }
    assert_eq!(responses, [1, 2, 3]);
}

both! {
    /// CA14: a request is sent when it is added, before anybody waits for it.
    async fn a_request_is_sent_when_it_is_added() {
        let server = start(0_u64).await;
        let mut requests = Requests::new();
        for n in 1..=3 {
            requests.add(n, server.call(add));
        }
        until("all three are handled", || *server.peek() == 3).await;
        // One server answers in the order of the requests.
        for n in 1..=3 {
            let response = soon(requests.next()).await;
            assert!(matches!(response, Some((label, Ok(sum))) if (label, sum) == (n, n)), "{response:?}");
        }
        assert!(soon(requests.next()).await.is_none());
    }

    /// CA14: a response that was there before is given before one that comes with a later request, though that fails
    /// at once.
    async fn a_request_that_fails_at_once_overtakes_nobody() {
        let (server, dead) = (start(0_u64).await, start(0_u64).await);
        stop(&dead).await;
        let mut requests = Requests::new();
        requests.add("first", server.call(add));
        // An answer is out before the next message is handled.
        assert_eq!(ask(&server, get).await, 1);
        requests.add("second", dead.call(add));
        let mut order = Vec::new();
        while let Some((label, _)) = soon(requests.next()).await {
            order.push(label);
        }
        assert_eq!(order, ["first", "second"]);
    }

    /// CA14: one collection may hold requests to servers of different types, and takes new ones at any time, also
    /// after it was empty.
    async fn a_collection_takes_requests_to_any_server_at_any_time() {
        let (counter, log) = (start(7_u64).await, start(vec!["a", "b"]).await);
        let length = |reply: Reply<u64>| look(move |log: &Vec<&str>| {
            reply.send(log.len() as u64);
            Ok(Next::Wait)
        });
        let mut requests = Requests::new();
        requests.add("counter", counter.call(ask_state));
        requests.add("log", log.call(length));
        let mut seen = Vec::new();
        while let Some((label, response)) = soon(requests.next()).await {
            seen.push((label, response.expect("an answer")));
        }
        seen.sort_unstable();
        assert_eq!(seen, [("counter", 7), ("log", 2)]);
        requests.add("later", counter.call(add));
        let response = soon(requests.next()).await;
        assert!(matches!(response, Some(("later", Ok(8)))), "{response:?}");
    }

    /// CA14: a collection is a stream of its responses.
    async fn a_collection_is_a_stream() {
        let server = start(0_u64).await;
        let mut requests = Requests::new();
        for label in ["one", "two", "three"] {
            requests.add(label, server.call(add));
        }
        let answers = requests.map(|(label, response)| (label, response.ok()));
        let responses: Vec<_> = soon(answers.collect::<Vec<_>>()).await;
        assert_eq!(responses, [("one", Some(1)), ("two", Some(2)), ("three", Some(3))]);
    }

    /// CA14: a request that crashes its server, one that is not answered, and one that was queued behind both each
    /// have their own outcome.
    async fn each_request_has_its_own_outcome() {
        let server = start(5_u64).await;
        let mut requests = Requests::new();
        requests.add("crash", server.call(|reply| {
            let answer: Reply<u64> = reply;
            slow(move |_, _| Box::pin(async move {
                let _answer = answer;
                crate::support::inject()
            }))
        }));
        requests.add("dropped", server.call(|reply: Reply<u64>| look(move |_| {
            drop(reply);
            Ok(Next::Wait)
        })));
        requests.add("behind", server.call(ask_state));
        let mut outcomes = std::collections::HashMap::new();
        while let Some((label, response)) = soon(requests.next()).await {
            outcomes.insert(label, response);
        }
        assert_eq!(outcomes.len(), 3);
        let Err(CallError::Crashed(report)) = &outcomes["crash"] else { panic!("{outcomes:?}") };
        assert_eq!(report.kind(), CrashKind::Panic);
        assert!(matches!(outcomes["dropped"], Err(CallError::NoReply)));
        assert!(matches!(outcomes["behind"], Ok(5)));
    }

    /// CA14: a collection that is dropped takes no request back that was sent.
    async fn what_was_sent_is_handled_though_nobody_waits() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        let mut requests = Requests::new();
        for n in 0..3 {
            requests.add(n, server.call(add));
        }
        drop(requests);
        gate.open();
        until("all three are handled", || *server.peek() == 3).await;
    }

    /// CA4 CA14: in a callback, a request to its own server fails like any call to it, and the others are answered.
    async fn a_server_cannot_request_from_itself() {
        let [server, other] = [start(0_u64).await, start(3_u64).await];
        let outcomes = ask(&server, |reply| slow(move |_, cx: &mut Context<Script<u64>>| Box::pin(async move {
            let own = cx.server();
            let mut requests = Requests::new();
            requests.add("itself", own.call(ask_state));
            requests.add("other", other.call(ask_state));
            let mut outcomes = Vec::new();
            while let Some((label, response)) = requests.next().await {
                outcomes.push((label, response));
            }
            reply.send(outcomes);
            Ok(Next::Wait)
        })))
        .await;
        assert_eq!(outcomes.len(), 2);
        for (label, response) in outcomes {
            match label {
                "itself" => assert!(matches!(response, Err(CallError::CallingSelf)), "{response:?}"),
                _ => assert!(matches!(response, Ok(3)), "{response:?}"),
            }
        }
    }

    /// CA15: a call to all of a list gives the answers and the failures, each with its server.
    async fn a_call_to_all_gives_answers_and_failures() {
        let servers: Vec<_> = [start(1_u64).await, start(2).await, start(3).await, start(4).await].into();
        stop(&servers[1]).await;
        // Only the third crashes.
        let make = |reply: Reply<u64>| look(move |state: &u64| {
            if *state == 3 {
                let _caller = reply;
                crate::support::inject()
            }
            reply.send(*state);
            Ok(Next::Wait)
        });
        let outcome = soon(multi_call(&servers, make, Duration::from_secs(30))).await;
        let MultiCall { replies, failed, .. } = outcome;
        let mut replies: Vec<_> = replies.into_iter().map(|(server, state)| (server.id(), state)).collect();
        replies.sort_unstable();
        assert_eq!(replies, [(servers[0].id(), 1), (servers[3].id(), 4)]);
        assert_eq!(failed.len(), 2);
        for (server, error) in failed {
            match error {
                CallError::NoProc => assert_eq!(server.id(), servers[1].id()),
                CallError::Crashed(_) => assert_eq!(server.id(), servers[2].id()),
                other => panic!("{other}"),
            }
        }
    }

    /// CA15: with nobody to call there is nothing to wait for.
    async fn a_call_to_nobody_is_over_at_once() {
        let nobody: [ServerRef<Script<u64>>; 0] = [];
        let outcome = soon(multi_call(&nobody, ask_state, Duration::from_secs(3_600))).await;
        assert!(outcome.replies.is_empty() && outcome.failed.is_empty());
    }
}

/// CA15: a call to all of a list takes as long as the slowest, and no longer than its deadline: who has not answered
/// by then has failed.
#[tokio::test(start_paused = true)]
async fn a_call_to_all_keeps_its_deadline() {
    quiet();
    let servers = [start(10_u64).await, start(2_000).await, start(20).await, start(u64::MAX).await];
    // Each answers after as many milliseconds as its state has.
    let make = |reply: Reply<u64>| {
        slow(move |state: undying::StateMut<'_, Script<u64>>, _| {
            Box::pin(async move {
                match *state {
                    u64::MAX => pending().await,
                    millis => tokio::time::sleep(Duration::from_millis(millis)).await,
                }
                reply.send(*state);
                Ok(Next::Wait)
            })
        })
    };
    for (within, answered) in [(1_000, 2), (20_000, 3)] {
        // What an earlier call has left behind is not in the way of this one.
        for server in &servers {
            let next = server.incarnation() + 1;
            server.kill_worker();
            server.wait_incarnation(next).await.expect("it restarts");
        }
        let begin = Instant::now();
        let outcome = multi_call(&servers, make, Duration::from_millis(within)).await;
        assert_eq!(begin.elapsed(), Duration::from_millis(within));
        assert_eq!((outcome.replies.len(), outcome.failed.len()), (answered, 4 - answered));
        for (server, millis) in outcome.replies {
            assert_eq!(*server.peek(), millis);
        }
        assert!(outcome.failed.iter().all(|(_, error)| matches!(error, CallError::Timeout)));
    }
    let begin = Instant::now();
    let outcome = multi_call(&servers[..3], make, Duration::from_secs(3_600)).await;
    assert_eq!((outcome.replies.len(), begin.elapsed()), (3, Duration::from_secs(2)));
}

/// CA15: whoever answers late bothers nobody: the next call gets its own answer.
#[tokio::test(start_paused = true)]
async fn an_answer_after_the_deadline_is_dropped() {
    quiet();
    let server = start(0_u64).await;
    let servers = [server.clone()];
    let late = multi_call(&servers, |reply| after(2_000)(reply), Duration::from_secs(1)).await;
    assert!(matches!(&late.failed[..], [(_, CallError::Timeout)]), "{:?}", late.failed);
    let in_time = multi_call(&servers, ask_state, Duration::from_secs(5)).await;
    assert!(matches!(&in_time.replies[..], [(_, 0)]), "{:?}", in_time.replies);
}
