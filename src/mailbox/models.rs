//! The mailbox under every schedule (loom) or very many (shuttle).

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake},
};

use super::*;
use crate::sync::check::{block_on, holds, is_found_broken, spawn};

type Fetch = fn(&Mailbox<u8>, &mut VecDeque<u8>, &Waker) -> Fetched;

/// A worker that waits for one message.
fn wait(mailbox: &Mailbox<u8>) -> u8 {
    let mut batch = VecDeque::new();
    let message = poll_fn(|cx| {
        if batch.is_empty() {
            match mailbox.fetch(&mut batch, cx.waker()) {
                Fetched::Messages => {}
                Fetched::Nothing => return Poll::Pending,
                Fetched::Closed(reason) => panic!("closed: {reason}"),
            }
        }
        Poll::Ready(batch.pop_front().expect("it was filled"))
    });
    let message = block_on(message);
    mailbox.make_room();
    message
}

/// Whether a worker was woken. An instrument, not a part of the model.
#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One look of a worker, against a sender: who found nothing has to be woken. (To wait for it would be a deadlock in the
/// broken case, which loom cannot unwind.)
fn look_while_one_sends(fetch: Fetch) {
    let mailbox = Arc::new(Mailbox::of(None));
    let sender = {
        let mailbox = mailbox.clone();
        spawn(move || assert!(mailbox.try_push(7).is_ok()))
    };
    let (alarm, mut batch) = (Arc::new(Alarm::default()), VecDeque::new());
    let waker = Waker::from(alarm.clone());
    let fetched = fetch(&mailbox, &mut batch, &waker);
    sender.join().expect("the sender ends");
    let woken = alarm.0.load(Ordering::SeqCst);
    assert!(matches!(fetched, Fetched::Messages) || woken, "nobody would ever look again");
}

/// No wake-up is lost between looking and falling asleep.
#[test]
fn who_waits_for_a_message_is_woken() {
    holds(|| look_while_one_sends(Mailbox::fetch));
}

/// The classic: look, find nothing, and only then say that one is going to sleep.
#[test]
fn a_lost_wake_up_is_found() {
    is_found_broken(|| {
        look_while_one_sends(|mailbox, batch, waker| {
            let fetched = mailbox.fetch(batch, Waker::noop());
            mailbox.inbox.lock().worker = Some(waker.clone());
            fetched
        });
    });
}

/// CS6: who waits for room gets it, and is told.
#[test]
fn who_waits_for_room_is_let_in() {
    holds(|| {
        let mailbox = Arc::new(Mailbox::of(Some(1)));
        assert!(mailbox.try_push(1).is_ok());
        let sender = {
            let mailbox = mailbox.clone();
            spawn(move || {
                if let Ok(Some(mut ticket)) = mailbox.push(2) {
                    let queued = block_on(poll_fn(|cx| ticket.poll(cx)));
                    assert!(queued.is_ok());
                }
            })
        };
        assert_eq!(wait(&mailbox), 1);
        assert_eq!(wait(&mailbox), 2);
        sender.join().expect("the sender ends");
    });
}

/// Every message is either handled or given back, whenever the mailbox closes.
#[test]
fn a_message_is_taken_or_given_back() {
    holds(|| {
        let mailbox = Arc::new(Mailbox::of(Some(1)));
        assert!(mailbox.try_push(1).is_ok());
        let sender = {
            let mailbox = mailbox.clone();
            spawn(move || match mailbox.push(2) {
                Ok(None) => true,
                Ok(Some(mut ticket)) => block_on(poll_fn(|cx| ticket.poll(cx))).is_ok(),
                Err(_) => false,
            })
        };
        let closer = {
            let mailbox = mailbox.clone();
            spawn(move || mailbox.close(ExitReason::Normal).settle())
        };
        let mut handled = Vec::new();
        let mut batch = VecDeque::new();
        block_on(poll_fn(|cx| {
            loop {
                if let Some(message) = batch.pop_front() {
                    handled.push(message);
                    mailbox.make_room();
                    continue;
                }
                match mailbox.fetch(&mut batch, cx.waker()) {
                    Fetched::Messages => {}
                    Fetched::Nothing => return Poll::Pending,
                    Fetched::Closed(_) => return Poll::Ready(()),
                }
            }
        }));
        let taken = sender.join().expect("the sender ends");
        closer.join().expect("the closer ends");
        assert_eq!(handled, if taken { vec![1, 2] } else { vec![1] });
    });
}
