//! Mailboxes with bounds: what happens to whom when there is no room, and what always has room.

mod dead_letters;
mod desk;
mod high_water;

use std::pin::pin;

use futures::poll;
use undying::{CallError, CastError, Mailbox, ServerSpec, TrySendError, WhenFull};

use crate::{
    crash::script::soon,
    support::{Gate, until},
};
use desk::{Call, Cast, DOWN, Desk, TASK, TIMER, at_once, desk, dropped, held, hold, noted};

both! {
    /// CS6: a mailbox that refuses gives casts and sends back at once, fails calls at once, surely before they run,
    /// and takes them again as soon as there is room.
    async fn a_mailbox_that_refuses_gives_messages_back_at_once() {
        let (server, gate, mut letters) = held(Mailbox::bounded(2).when_full(WhenFull::Refuse)).await;
        at_once(server.cast(Cast::Note(1))).expect("room");
        at_once(server.send(2)).expect("room");
        for _ in 0..3 {
            let back = at_once(server.cast(Cast::Note(9)));
            assert!(matches!(back, Err(CastError(Cast::Note(9)))), "{back:?}");
            let back = at_once(server.send(9));
            assert!(matches!(back, Err(CastError(9))), "{back:?}");
            let back = server.try_cast(Cast::Note(9));
            assert!(matches!(back, Err(TrySendError::Full(Cast::Note(9)))), "{back:?}");
            let back = server.try_send(9);
            assert!(matches!(back, Err(TrySendError::Full(9))), "{back:?}");
            let refused = at_once(server.call(|reply| Call::Note(9, reply)));
            assert!(matches!(&refused, Err(error @ CallError::Full) if !error.may_have_run()), "{refused:?}");
        }
        assert_eq!(server.mailbox_len(), 2);
        gate.open();
        until("there is room", || server.mailbox_len() == 0).await;
        assert_eq!(noted(&server).await, [1, 2]);
        soon(server.cast(Cast::Note(3))).await.expect("room");
        assert_eq!(noted(&server).await, [1, 2, 3]);
        assert!(letters.try_recv().is_err(), "what was given back is not dead");
    }

    /// CS6: a mailbox that drops takes every message at once, and lets the oldest queued one go for it, be it a call,
    /// a cast or a send; that is a dead letter, and a caller is told.
    async fn a_mailbox_that_drops_lets_the_oldest_go() {
        let (server, gate, mut letters) = held(Mailbox::bounded(3).when_full(WhenFull::DropOldest)).await;
        let mut oldest = pin!(server.call(|reply| Call::Note(1, reply)));
        assert!(poll!(&mut oldest).is_pending());
        at_once(server.cast(Cast::Note(2))).expect("taken");
        at_once(server.send(3)).expect("taken");
        assert_eq!(server.mailbox_len(), 3);
        at_once(server.cast(Cast::Note(4))).expect("taken");
        let lost = soon(oldest).await;
        assert!(matches!(&lost, Err(error @ CallError::Full) if !error.may_have_run()), "{lost:?}");
        at_once(server.send(5)).expect("taken");
        let mut youngest = pin!(server.call(|reply| Call::Note(6, reply)));
        assert!(poll!(&mut youngest).is_pending());
        assert_eq!(server.mailbox_len(), 3);
        for message in ["call 1", "cast 2", "info 3"] {
            assert_eq!(dropped(&mut letters).await, message);
        }
        gate.open();
        soon(youngest).await.expect("served");
        assert_eq!(noted(&server).await, [4, 5, 6]);
        assert!(letters.try_recv().is_err());
    }

    /// CS6: of a flood, a mailbox that drops keeps the newest, in order, and the message in hand is none of those it
    /// drops.
    async fn a_mailbox_that_drops_keeps_the_newest() {
        let (server, gate, mut letters) = held(Mailbox::bounded(10).when_full(WhenFull::DropOldest)).await;
        for number in 0..1_000 {
            at_once(server.cast(Cast::Note(number))).expect("taken");
            assert!(server.mailbox_len() <= 10);
        }
        gate.open();
        until("all is handled", || server.mailbox_len() == 0).await;
        assert!(noted(&server).await.into_iter().eq(990..1_000));
        for number in 0..990 {
            assert_eq!(dropped(&mut letters).await, format!("cast {number}"));
        }
        assert!(letters.try_recv().is_err());
        assert_eq!(server.incarnation(), 1);
    }

    /// CS6: without a hook for dead letters, what is dropped is dropped.
    async fn a_mailbox_that_drops_needs_no_hook() {
        let mailbox = Mailbox::bounded(1).when_full(WhenFull::DropOldest);
        let server = ServerSpec::new(Desk, Vec::new()).mailbox(mailbox).start().await.expect("starts");
        let gate = hold(&server).await;
        let mut lost = pin!(server.call(|reply| Call::Note(1, reply)));
        assert!(poll!(&mut lost).is_pending());
        server.try_cast(Cast::Note(2)).expect("taken");
        server.try_send(3).expect("taken");
        let lost = soon(lost).await;
        assert!(matches!(lost, Err(CallError::Full)), "{lost:?}");
        gate.open();
        until("all is handled", || server.mailbox_len() == 0).await;
        assert_eq!(noted(&server).await, [3]);
    }

    /// CS6: a full mailbox makes its senders wait unless it is told otherwise.
    async fn a_full_mailbox_makes_wait_by_default() {
        for mailbox in [Mailbox::bounded(1), Mailbox::bounded(1).when_full(WhenFull::Wait)] {
            let (server, gate, mut letters) = held(mailbox).await;
            at_once(server.cast(Cast::Note(1))).expect("room");
            let mut second = pin!(server.cast(Cast::Note(2)));
            let mut third = pin!(server.call(|reply| Call::Note(3, reply)));
            assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
            assert_eq!(server.mailbox_len(), 1);
            gate.open();
            let (second, third) = soon(async { tokio::join!(second, third) }).await;
            second.expect("room");
            third.expect("served");
            assert_eq!(noted(&server).await, [1, 2, 3]);
            assert!(letters.try_recv().is_err());
        }
    }

    /// CS6: what a mailbox does when it is full it does after crashes, too, with what it has kept across them.
    async fn a_crash_changes_nothing_about_a_full_mailbox() {
        let (server, _gate, mut letters) = held(Mailbox::bounded(2).when_full(WhenFull::DropOldest)).await;
        for number in 1..=3 {
            at_once(server.cast(Cast::Note(number))).expect("taken");
        }
        assert_eq!(dropped(&mut letters).await, "cast 1");
        server.kill_worker();
        // Any message sooner would make another one go.
        until("both are handled", || server.peek().len() == 2).await;
        assert_eq!(noted(&server).await, [2, 3]);
        soon(server.cast(Cast::Crash)).await.expect("alive");
        soon(server.wait_incarnation(3)).await.expect("restarts");
        let gate = hold(&server).await;
        for number in 4..=6 {
            at_once(server.cast(Cast::Note(number))).expect("taken");
        }
        assert_eq!(dropped(&mut letters).await, "cast 4");
        gate.open();
        until("all is handled", || server.mailbox_len() == 0).await;
        assert_eq!(noted(&server).await, [2, 3, 5, 6]);
    }

    /// CA10 CS1: a flood of many thousands that waits for a server is handled whole and in order, whatever the mailbox.
    async fn a_flood_is_handled_whole_and_in_order() {
        const FLOOD: u64 = 10_000;

        let bounded = Mailbox::bounded(FLOOD as usize);
        let policies = [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest];
        for mailbox in policies.map(|policy| bounded.when_full(policy)).into_iter().chain([Mailbox::unbounded()]) {
            let (server, gate, mut letters) = held(mailbox).await;
            for number in 0..FLOOD {
                if number % 2 == 0 {
                    at_once(server.cast(Cast::Note(number))).expect("room");
                } else {
                    at_once(server.send(number)).expect("room");
                }
            }
            assert_eq!(server.mailbox_len() as u64, FLOOD);
            gate.open();
            until("all is handled", || server.mailbox_len() == 0).await;
            assert!(noted(&server).await.into_iter().eq(0..FLOOD), "{mailbox:?}");
            assert!(letters.try_recv().is_err());
        }
    }

    /// CS6: what a server casts and sends to itself never waits and is never refused, however full its mailbox is.
    async fn what_a_server_sends_itself_never_waits() {
        for policy in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            let (spec, mut letters) = desk(Mailbox::bounded(2).when_full(policy));
            let (server, gate) = (spec.start().await.expect("starts"), Gate::new());
            soon(server.cast(Cast::Own(vec![1, 2, 3], gate.clone()))).await.expect("alive");
            soon(gate.arrived()).await;
            gate.open();
            let own = [1, 1, 2, 2, 3, 3];
            until("all is noted", || server.peek().len() == 12).await;
            assert_eq!(*server.peek(), [own, own].concat(), "{policy:?}");
            assert!(letters.try_recv().is_err(), "{policy:?}");
        }
    }

    /// CS6: what a server has sent itself is not what makes room for others: the oldest of the others goes.
    async fn what_a_server_sent_itself_is_never_dropped() {
        let (spec, mut letters) = desk(Mailbox::bounded(4).when_full(WhenFull::DropOldest));
        let (server, gate) = (spec.start().await.expect("starts"), Gate::new());
        soon(server.cast(Cast::Own(vec![100], gate.clone()))).await.expect("alive");
        soon(gate.arrived()).await;
        for number in 1..=5 {
            at_once(server.cast(Cast::Note(number))).expect("taken");
        }
        for message in ["cast 1", "cast 2", "cast 3"] {
            assert_eq!(dropped(&mut letters).await, message);
        }
        gate.open();
        until("all is noted", || server.peek().len() == 6).await;
        assert_eq!(*server.peek(), [100, 100, 4, 5, 100, 100]);
        assert!(letters.try_recv().is_err());
    }

    /// CS6: timers, the ends of others and results of tasks come to a server with a full mailbox, too, and make room
    /// for nobody.
    async fn what_happens_to_a_server_always_has_room() {
        for policy in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            let (spec, mut letters) = desk(Mailbox::bounded(1).when_full(policy));
            let server = spec.start().await.expect("starts");
            let other = ServerSpec::new(Desk, Vec::new()).start().await.expect("starts");
            let task = Gate::new();
            soon(server.cast(Cast::Expect(other.clone(), task.clone()))).await.expect("alive");
            until("there is room", || server.mailbox_len() == 0).await;
            let gate = hold(&server).await;
            at_once(server.cast(Cast::Note(1))).expect("room");
            // From here on the mailbox is full.
            task.open();
            soon(other.stop()).await.expect("a server");
            if policy == WhenFull::DropOldest {
                for number in 2..=20 {
                    at_once(server.cast(Cast::Note(number))).expect("taken");
                    assert_eq!(dropped(&mut letters).await, format!("cast {}", number - 1));
                }
            }
            gate.open();
            until("all has come", || server.peek().len() == 4).await;
            let mut all = (*server.peek()).clone();
            all.sort_unstable();
            let kept = if policy == WhenFull::DropOldest { 20 } else { 1 };
            assert_eq!(all, [kept, TIMER, DOWN, TASK], "{policy:?}");
            assert!(letters.try_recv().is_err(), "{policy:?}");
        }
    }

    /// CS6: with many senders at a time, a mailbox that drops or refuses neither loses nor doubles a message: each is
    /// handled, given back, or a dead letter.
    async fn no_message_is_lost_without_a_trace() {
        const SENDERS: u64 = 8;
        const EACH: u64 = 200;

        for policy in [WhenFull::Refuse, WhenFull::DropOldest] {
            let (spec, mut letters) = desk(Mailbox::bounded(3).when_full(policy));
            let server = spec.start().await.expect("starts");
            let mut senders = tokio::task::JoinSet::new();
            for sender in 0..SENDERS {
                let server = server.clone();
                senders.spawn(async move {
                    let mut back = Vec::new();
                    for number in sender * EACH..(sender + 1) * EACH {
                        if let Err(CastError(cast)) = server.cast(Cast::Note(number)).await {
                            let Cast::Note(number) = cast else { panic!("{cast:?}") };
                            back.push(number);
                        }
                        if number % 7 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                    back
                });
            }
            let back = soon(senders.join_all()).await.concat();
            until("all is handled", || server.mailbox_len() == 0).await;
            // Behind the last message.
            let handled = noted(&server).await;
            let mut dead = Vec::new();
            while handled.len() + back.len() + dead.len() < (SENDERS * EACH) as usize {
                let message = dropped(&mut letters).await;
                dead.push(message.strip_prefix("cast ").expect("a cast").parse().expect("a number"));
            }
            assert!(letters.try_recv().is_err());
            assert!(if policy == WhenFull::Refuse { dead.is_empty() } else { back.is_empty() });
            for sender in 0..SENDERS {
                let of_sender = handled.iter().filter(|number| **number / EACH == sender);
                assert!(of_sender.is_sorted(), "{handled:?}");
            }
            let mut all = [handled, back, dead].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..SENDERS * EACH));
        }
    }
}
