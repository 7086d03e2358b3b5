//! A bounded mailbox, and those who wait for room in it or never have to.

use std::time::Duration;

use futures::poll;
use undying::{CallError, Context, Mailbox, Next, Reply, ServerRef, ServerSpec};

use super::push;
use crate::{
    crash::script::{Script, ask, get, job, slow, soon, stop, tell, wait_at},
    support::Gate,
};

/// A server that survives no crash.
async fn bounded(capacity: usize) -> ServerRef<Script<Vec<u64>>> {
    let spec = ServerSpec::new(Script::new(), Vec::new()).mailbox(Mailbox::bounded(capacity));
    spec.max_restarts(0, Duration::from_secs(1)).start().await.expect("it starts")
}

/// A server with room for one message, at the first of two gates, with the other one queued.
async fn crowded() -> (ServerRef<Script<Vec<u64>>>, [Gate; 2]) {
    let (server, gates) = (bounded(1).await, [Gate::new(), Gate::new()]);
    tell(&server, wait_at(&gates[0])).await;
    soon(gates[0].arrived()).await;
    tell(&server, wait_at(&gates[1])).await;
    (server, gates)
}

both! {
    /// G2 G3: a cast that waited for room and is dropped before it resolves is not handled, also when there is room by
    /// then; that room is for the next in line.
    async fn a_cast_that_is_dropped_before_it_resolves_is_not_handled() {
        let (server, [first, second]) = crowded().await;
        let mut dropped = Box::pin(server.cast(push(1)));
        let mut next = Box::pin(server.cast(push(2)));
        assert!(poll!(&mut dropped).is_pending());
        assert!(poll!(&mut next).is_pending());
        first.open();
        soon(second.arrived()).await;
        // The second gate has left the mailbox, so there is room for one message.
        drop(dropped);
        soon(next).await.expect("alive");
        assert_eq!(server.mailbox_len(), 1);
        second.open();
        assert_eq!(ask(&server, get).await, [2]);
    }

    /// G2 G3: the same for a call.
    async fn a_call_that_is_dropped_before_there_was_room_is_not_handled() {
        let (server, [first, second]) = crowded().await;
        let answer_and = |n| {
            move |reply: Reply<u64>| {
                job(move |all: &mut Vec<u64>| {
                    all.push(n);
                    reply.send(n);
                    Ok(Next::Wait)
                })
            }
        };
        let mut dropped = Box::pin(server.call(answer_and(1)));
        let mut next = Box::pin(server.call(answer_and(2)));
        assert!(poll!(&mut dropped).is_pending());
        assert!(poll!(&mut next).is_pending());
        first.open();
        soon(second.arrived()).await;
        drop(dropped);
        second.open();
        assert_eq!(soon(next).await.expect("answered"), 2);
        assert_eq!(ask(&server, get).await, [2]);
    }

    /// G3 G10: who is dropped in the moment in which there is room takes nobody's room along: all the others come in, in
    /// their order.
    async fn whoever_leaves_the_line_leaves_room_for_the_rest() {
        let (server, [first, second]) = crowded().await;
        let mut line: Vec<_> = (0..20).map(|n| Some(Box::pin(server.cast(push(n))))).collect();
        for sender in line.iter_mut().flatten() {
            assert!(poll!(sender).is_pending());
        }
        first.open();
        soon(second.arrived()).await;
        line.iter_mut().step_by(2).for_each(|sender| *sender = None);
        second.open();
        for sender in line.into_iter().flatten() {
            soon(sender).await.expect("alive");
        }
        let expected: Vec<_> = (0..20).filter(|n| n % 2 == 1).collect();
        assert_eq!(ask(&server, get).await, expected);
    }

    /// K13 G9: who stands in line for room when the server ends is told why it did, also if they look only when it is over.
    async fn a_caller_in_line_is_told_why_the_server_ended() {
        for end in ["normal", "killed", "restart limit"] {
            let (server, [first, second]) = crowded().await;
            let mut call = server.call(get).no_timeout();
            assert!(poll!(&mut call).is_pending());
            match end {
                "normal" => {
                    let mut stop = server.stop().into_future();
                    assert!(poll!(&mut stop).is_pending());
                    first.open();
                    second.open();
                    soon(stop).await.expect("it stops");
                }
                "killed" => server.kill(),
                _ => server.kill_worker(),
            }
            let reason = soon(server.stopped()).await.reason;
            assert!(reason.to_string().starts_with(end), "{reason}");
            match soon(call).await {
                Err(CallError::Stopped(told)) => assert_eq!(told.to_string(), reason.to_string()),
                other => panic!("{end}: {other:?}"),
            }
        }
    }

    /// G10: a server that sends to itself never waits, for nobody else could make room; what it sends over its capacity is
    /// queued, in order.
    async fn a_server_that_casts_to_itself_never_waits() {
        let server = bounded(2).await;
        let to_itself = |reply: Reply<()>| {
            slow(move |_, cx: &mut Context<Script<Vec<u64>>>| {
                Box::pin(async move {
                    for n in 0..4 {
                        cx.server().cast(push(n)).await.expect("alive");
                        cx.server().send(push(10 + n)).await.expect("alive");
                    }
                    reply.send(());
                    Ok(Next::Wait)
                })
            })
        };
        soon(server.call(to_itself)).await.expect("answered");
        assert_eq!(ask(&server, get).await, [0, 10, 1, 11, 2, 12, 3, 13]);
        assert_eq!(server.incarnation(), 1);
    }

    /// G4 G10: nor does it wait with a line before its full mailbox, and nothing that waited there is lost.
    async fn a_server_that_casts_to_itself_does_not_stand_in_line() {
        let server = bounded(1).await;
        let gate = Gate::new();
        let at = gate.clone();
        let to_itself = slow(move |_, cx: &mut Context<Script<Vec<u64>>>| {
            Box::pin(async move {
                at.pass().await;
                for n in 10..13 {
                    cx.server().cast(push(n)).await.expect("alive");
                }
                Ok(Next::Wait)
            })
        });
        tell(&server, to_itself).await;
        soon(gate.arrived()).await;
        tell(&server, push(1)).await;
        let mut line = Box::pin(server.cast(push(2)));
        assert!(poll!(&mut line).is_pending());
        gate.open();
        soon(line).await.expect("alive");
        let exit = stop(&server).await;
        let (own, others): (Vec<u64>, Vec<u64>) = exit.state.iter().partition(|&&n| n >= 10);
        assert_eq!((own.as_slice(), others.as_slice()), (&[10, 11, 12][..], &[1, 2][..]));
    }
}
