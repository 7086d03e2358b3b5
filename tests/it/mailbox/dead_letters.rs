//! Dead letters: each message that was taken and will not be handled comes to the hook once, with the reason.

use std::{
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::poll;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};
use undying::{
    CallError, CastError, Context, DeadLetterReason, ExitReason, Mailbox, Message, Next, ServerSpec,
    TrySendError, WeakServerRef, WhenFull,
};

use super::desk::{Call, Cast, Desk, Letter, at_once, desk, held, hold, noted};
use crate::{
    crash::script::{Script, inc, slow, soon, tell},
    support::{Gate, RACES, inject, until},
};

/// The next dead letter, which must have been queued when the server ended.
async fn left_over(letters: &mut UnboundedReceiver<Letter>) -> (String, ExitReason) {
    match soon(letters.recv()).await.expect("a dead letter") {
        (message, DeadLetterReason::Ended(reason)) => (message, reason),
        other => panic!("{other:?}"),
    }
}

both! {
    /// CS3 SP9: what is queued when a server is killed comes to the hook, in order, with the reason; the message in
    /// hand does not, and nor does one that was never queued.
    async fn what_is_queued_at_a_kill_is_dead() {
        for mailbox in [Mailbox::unbounded(), Mailbox::bounded(3)] {
            let (server, _gate, mut letters) = held(mailbox).await;
            at_once(server.cast(Cast::Note(1))).expect("room");
            let mut call = pin!(server.call(|reply| Call::Note(2, reply)));
            assert!(poll!(&mut call).is_pending());
            at_once(server.send(3)).expect("room");
            let mut waits = pin!(server.cast(Cast::Note(4)));
            let in_line = poll!(&mut waits).is_pending();
            assert_eq!(in_line, mailbox == Mailbox::bounded(3));
            server.kill();
            let exit = soon(server.stopped()).await;
            assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
            let mut expected = vec!["cast 1", "call 2", "info 3"];
            if in_line {
                let back = soon(waits).await;
                assert!(matches!(back, Err(CastError(Cast::Note(4)))), "{back:?}");
            } else {
                expected.push("cast 4");
            }
            for message in expected {
                let (dead, reason) = left_over(&mut letters).await;
                assert_eq!(dead, message);
                assert!(matches!(reason, ExitReason::Killed), "{reason}");
            }
            let told = soon(call).await;
            assert!(matches!(told, Err(CallError::Stopped(ExitReason::Killed))), "{told:?}");
            assert!(letters.try_recv().is_err());
        }
    }

    /// CA7 RI4: the same for what is queued behind a message that stops the server, and behind the last crash it may
    /// have.
    async fn what_is_queued_at_any_other_end_is_dead() {
        for crashes in [false, true] {
            let (spec, mut letters) = desk(Mailbox::unbounded());
            let server = spec.max_restarts(0, Duration::from_secs(60)).start().await.expect("starts");
            let gate = hold(&server).await;
            at_once(server.cast(if crashes { Cast::Crash } else { Cast::Stop })).expect("alive");
            for number in 1..=3 {
                at_once(server.cast(Cast::Note(number))).expect("alive");
            }
            gate.open();
            let exit = soon(server.stopped()).await;
            assert!(exit.state.is_empty());
            for number in 1..=3 {
                let (dead, reason) = left_over(&mut letters).await;
                assert_eq!(dead, format!("cast {number}"));
                match reason {
                    ExitReason::RestartLimit(_) if crashes => {}
                    ExitReason::Normal if !crashes => {}
                    other => panic!("{other}"),
                }
            }
            assert!(letters.try_recv().is_err());
        }
    }

    /// SP3: an orderly stop handles what is queued, so nothing is dead; what comes later is given back, and is not
    /// dead either.
    async fn an_orderly_stop_leaves_no_dead_letters() {
        let (server, gate, mut letters) = held(Mailbox::unbounded()).await;
        for number in 1..=100 {
            at_once(server.cast(Cast::Note(number))).expect("alive");
        }
        gate.open();
        let exit = soon(server.stop()).await.expect("a server");
        assert!(exit.state.iter().copied().eq(1..=100));
        let back = soon(server.cast(Cast::Note(101))).await;
        assert!(matches!(back, Err(CastError(Cast::Note(101)))), "{back:?}");
        assert!(letters.try_recv().is_err());
    }

    /// CS6: what a server has sent itself is dead like the rest when it is killed; and while it is about to stop it
    /// gets that back like anybody.
    async fn what_a_server_sends_itself_is_not_lost_without_a_trace() {
        for policy in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            let (spec, mut letters) = desk(Mailbox::bounded(1).when_full(policy));
            let (server, gate) = (spec.start().await.expect("starts"), Gate::new());
            soon(server.cast(Cast::Own(vec![1, 2], gate.clone()))).await.expect("alive");
            soon(gate.arrived()).await;
            server.kill();
            for message in ["cast 1", "info 1", "cast 2", "info 2"] {
                assert_eq!(left_over(&mut letters).await.0, message, "{policy:?}");
            }
            soon(server.stopped()).await;
            assert!(letters.try_recv().is_err());

            let script = ServerSpec::new(Script::new(), 0_u64).mailbox(Mailbox::bounded(1).when_full(policy));
            let (server, gate) = (script.start().await.expect("starts"), Gate::new());
            let (at, (told, back)) = (gate.clone(), oneshot::channel());
            tell(&server, slow(move |_, cx: &mut Context<Script<u64>>| Box::pin(async move {
                at.pass().await;
                let own = cx.server();
                let back = (at_once(own.cast(inc())).is_err(), at_once(own.send(inc())).is_err());
                told.send(back).expect("the test waits for it");
                Ok(Next::Wait)
            })))
            .await;
            soon(gate.arrived()).await;
            let mut stop = Box::pin(server.stop().into_future());
            assert!(poll!(&mut stop).is_pending());
            gate.open();
            assert_eq!(soon(back).await.expect("told"), (true, true), "{policy:?}");
            assert_eq!(*soon(stop).await.expect("a server").state, 0);
        }
    }

    /// CR6: a message that crashes its callback is no dead letter unless messages are delivered again.
    async fn a_message_that_crashed_once_is_no_dead_letter() {
        let (spec, mut letters) = desk(Mailbox::unbounded());
        let server = spec.start().await.expect("starts");
        soon(server.cast(Cast::Crash)).await.expect("alive");
        soon(server.wait_incarnation(2)).await.expect("restarts");
        assert!(noted(&server).await.is_empty());
        assert!(letters.try_recv().is_err());
    }

    /// K8 LI5: a hook that panics harms nobody, and gets the next letter all the same.
    async fn a_hook_that_panics_harms_nobody() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let spec = ServerSpec::new(Desk, Vec::new())
            .mailbox(Mailbox::bounded(1).when_full(WhenFull::DropOldest))
            .dead_letters(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                inject()
            });
        let server = spec.start().await.expect("starts");
        let gate = hold(&server).await;
        for number in 1..=4 {
            at_once(server.cast(Cast::Note(number))).expect("taken");
        }
        until("each letter has come", || runs.load(Ordering::SeqCst) == 3).await;
        gate.open();
        until("all is handled", || server.mailbox_len() == 0).await;
        assert_eq!((noted(&server).await, server.incarnation()), (vec![4], 1));
        let _gate = hold(&server).await;
        at_once(server.cast(Cast::Note(5))).expect("room");
        server.kill();
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
        until("the last letter has come", || runs.load(Ordering::SeqCst) == 4).await;
    }

    /// K8: a hook may ask the server anything, and send to others: nothing is locked while it runs. What it would send to the
    /// mailbox that is full comes back, or there would be no end of it.
    async fn a_hook_may_use_servers() {
        let (server, refused): (Arc<OnceLock<WeakServerRef<Desk>>>, _) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let (known, counted) = (server.clone(), refused.clone());
        let graveyard = ServerSpec::new(Desk, Vec::new()).start().await.expect("starts");
        let grave = graveyard.clone();
        let spec = ServerSpec::new(Desk, Vec::new())
            .mailbox(Mailbox::bounded(2).when_full(WhenFull::DropOldest))
            .dead_letters(move |letter| {
                let (Some(server), Message::Cast(cast)) =
                    (known.get().and_then(WeakServerRef::upgrade), letter.message)
                else {
                    return;
                };
                drop((server.mailbox_len(), server.peek(), server.status()));
                if let Err(TrySendError::Full(cast)) = server.try_cast(cast) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    grave.try_cast(cast).expect("room");
                }
            });
        let started = spec.start().await.expect("starts");
        server.set(started.downgrade()).expect("once");
        let gate = hold(&started).await;
        for number in 1..=5 {
            at_once(started.cast(Cast::Note(number))).expect("taken");
        }
        until("each letter has come", || refused.load(Ordering::SeqCst) == 3).await;
        assert_eq!(noted(&graveyard).await, [1, 2, 3]);
        gate.open();
        until("all is handled", || started.mailbox_len() == 0).await;
        assert_eq!(noted(&started).await, [4, 5]);
    }

    /// K13: with senders at the moment of a kill, every message is handled, given back, cut, or a dead letter; no
    /// caller hangs.
    async fn at_a_kill_no_message_is_lost_without_a_trace() {
        for _ in 0..RACES {
            let (spec, mut letters) = desk(Mailbox::unbounded());
            let server = spec.start().await.expect("starts");
            let sender = tokio::spawn({
                let server = server.clone();
                async move {
                    let mut sent = 0;
                    while server.cast(Cast::Note(sent)).await.is_ok() {
                        sent += 1;
                        tokio::task::yield_now().await;
                    }
                    sent
                }
            });
            until("it is under way", || server.peek().len() > 2).await;
            server.kill();
            let exit = soon(server.stopped()).await;
            let sent = soon(sender).await.expect("joined");
            let handled = exit.state.len() as u64;
            drop((server, exit));
            // The channel closes with the last of the server.
            let mut dead = Vec::new();
            while let Some((message, _)) = soon(letters.recv()).await {
                dead.push(message);
            }
            // At most one was in hand.
            let lost = sent - handled - dead.len() as u64;
            assert!(lost <= 1, "{lost} of {sent} are gone");
            assert!(dead.into_iter().eq((handled + lost..sent).map(|number| format!("cast {number}"))));
        }
    }
}
