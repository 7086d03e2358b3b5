//! The mailbox by itself: one order, exact bounds, and nothing lost on any way out.

use std::task::{Context, Poll, Waker};

use super::*;

fn waker() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Takes one message as the worker does.
fn take<M>(mailbox: &Mailbox<M>, batch: &mut VecDeque<M>) -> Option<M> {
    if batch.is_empty() {
        let _ = mailbox.fetch(batch, Waker::noop());
    }
    let message = batch.pop_front();
    if message.is_some() {
        mailbox.make_room();
    }
    message
}

#[test]
fn messages_come_out_in_the_order_they_went_in_across_segments() {
    let mailbox = Mailbox::of(None);
    let count = 3 * SEGMENT + 7;
    (0..count).for_each(|n| assert!(mailbox.try_push(n).is_ok()));
    assert_eq!(mailbox.len(), count);
    let mut batch = VecDeque::new();
    for n in 0..count {
        assert_eq!(take(&mailbox, &mut batch), Some(n));
    }
    assert_eq!(take(&mailbox, &mut batch), None);
}

/// CS6: the batch counts, so a bound is a bound.
#[test]
fn a_full_mailbox_gives_the_message_back() {
    let mailbox = Mailbox::of(Some(2));
    let mut batch = VecDeque::new();
    assert!(mailbox.try_push(1).is_ok() && mailbox.try_push(2).is_ok());
    assert!(matches!(mailbox.try_push(3), Err(Refused::Full(3))));
    assert_eq!(take(&mailbox, &mut batch), Some(1));
    assert_eq!(batch.len(), 1, "the other one is in the batch");
    assert!(mailbox.try_push(3).is_ok());
    assert!(matches!(mailbox.try_push(4), Err(Refused::Full(4))));
}

#[test]
fn who_waits_for_room_is_not_overtaken() {
    let mailbox = Mailbox::of(Some(1));
    let mut batch = VecDeque::new();
    assert!(mailbox.try_push(1).is_ok());
    let mut second = mailbox.push(2).ok().flatten().expect("there is no room");
    let mut third = mailbox.push(3).ok().flatten().expect("there is no room");
    assert!(second.poll(&waker()).is_pending() && third.poll(&waker()).is_pending());

    assert_eq!(take(&mailbox, &mut batch), Some(1));
    assert!(matches!(second.poll(&waker()), Poll::Ready(Ok(()))));
    assert!(third.poll(&waker()).is_pending());
    assert!(matches!(mailbox.try_push(4), Err(Refused::Full(4))), "the third one is first in line");

    assert_eq!(take(&mailbox, &mut batch), Some(2));
    assert!(matches!(third.poll(&waker()), Poll::Ready(Ok(()))));
    assert_eq!(take(&mailbox, &mut batch), Some(3));
}

/// CS6: room that was promised to one who leaves goes to the next, and nothing of the one who left is sent.
#[test]
fn who_leaves_with_a_promise_has_sent_nothing() {
    let mailbox = Mailbox::of(Some(1));
    let mut batch = VecDeque::new();
    assert!(mailbox.try_push(1).is_ok());
    let second = mailbox.push(2).ok().flatten().expect("there is no room");
    let mut third = mailbox.push(3).ok().flatten().expect("there is no room");
    assert_eq!(take(&mailbox, &mut batch), Some(1));
    drop(second);
    assert!(matches!(third.poll(&waker()), Poll::Ready(Ok(()))));
    assert_eq!(take(&mailbox, &mut batch), Some(3));
    assert_eq!(take(&mailbox, &mut batch), None);
    assert!(mailbox.try_push(4).is_ok(), "all room is there again");
}

#[test]
fn who_leaves_the_line_takes_the_message_along() {
    let mailbox = Mailbox::of(Some(1));
    let mut batch = VecDeque::new();
    assert!(mailbox.try_push(0).is_ok());
    let mut line: Vec<_> =
        (1..=100).map(|n| mailbox.push(n).ok().flatten().expect("there is no room")).collect();
    // Every other one leaves, from both ends.
    let mut n = 0;
    line.retain(|_| {
        n += 1;
        n % 2 == 0
    });
    let mut seen = Vec::new();
    while let Some(message) = take(&mailbox, &mut batch) {
        seen.push(message);
        line.retain_mut(|ticket| ticket.poll(&waker()).is_pending());
    }
    assert_eq!(seen, (0..=100).filter(|n| n % 2 == 0).collect::<Vec<_>>());
    drop(line);
    assert!(mailbox.try_push(101).is_ok(), "nobody is in line any more");
}

#[test]
fn closing_lets_the_queue_drain_and_sends_the_line_away() {
    let mailbox = Mailbox::of(Some(1));
    let mut batch = VecDeque::new();
    assert!(mailbox.try_push(1).is_ok());
    let mut waiting = mailbox.push(2).ok().flatten().expect("there is no room");
    mailbox.close(ExitReason::Shutdown).settle();
    mailbox.close(ExitReason::Normal).settle();

    let Poll::Ready(Err(dismissed)) = waiting.poll(&waker()) else { panic!("nobody is let in any more") };
    assert_eq!(dismissed.message, 2);
    assert!(matches!(dismissed.intake, Intake::Closing(ExitReason::Shutdown)), "the first reason stands");
    assert!(matches!(mailbox.try_push(3), Err(Refused::Closed(_))));

    assert!(matches!(mailbox.fetch(&mut batch, Waker::noop()), Fetched::Messages));
    batch.clear();
    assert!(matches!(mailbox.fetch(&mut batch, Waker::noop()), Fetched::Closed(ExitReason::Shutdown)));
}

#[test]
fn the_end_gives_back_what_is_queued() {
    let mailbox = Mailbox::of(None);
    let count = SEGMENT + 5;
    (0..count).for_each(|n| assert!(mailbox.try_push(n).is_ok()));
    let left: Vec<_> = mailbox.end(ExitReason::Normal).0.into_iter().flatten().collect();
    assert_eq!(left, (0..count).collect::<Vec<_>>());
    assert!(matches!(mailbox.try_push(0), Err(Refused::Closed(Dismissed { intake: Intake::Ended(_), .. }))));
}
