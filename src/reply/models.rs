//! The reply slot under every schedule (loom) or very many (shuttle).

use std::future::poll_fn;

use super::*;
use crate::sync::{
    Mutex,
    check::{block_on, holds, is_found_broken, spawn},
};

const EPOCH: u64 = 1;

/// Holds `value` as a callback of `epoch` does that sends it.
fn hold<T: Send + 'static>(mut reply: Reply<T>, epoch: u64, value: T) -> Arc<Slot<T>> {
    let slot = reply.slot.take().expect("it was not sent");
    let _ = slot.hold(epoch, value);
    slot
}

fn server() -> ServerId {
    ServerId::next()
}

fn wait<T: Send + 'static>(caller: &mut Caller<T>) -> Result<T, CallError> {
    block_on(poll_fn(|cx| caller.poll(cx)))
}

/// A callback's end, in some order of commit and release, and a caller that looks at what is kept once it has its answer.
fn commit_then_release(end_of_callback: fn(&Mutex<u64>, &dyn AnySlot)) {
    let (reply, claim, mut caller) = open(server());
    let kept = Arc::new(Mutex::new(0));
    let worker = {
        let kept = kept.clone();
        spawn(move || {
            let slot = hold(reply, EPOCH, 1);
            end_of_callback(&kept, &*slot);
            drop(claim);
        })
    };
    assert_eq!(wait(&mut caller).expect("it is answered"), *kept.lock(), "K1: acknowledged means kept");
    worker.join().expect("the worker ends");
}

/// RE6 K1: a caller that has its answer finds the state it was computed with.
#[test]
fn an_answer_is_heard_after_its_commit() {
    holds(|| {
        commit_then_release(|kept, slot| {
            *kept.lock() = 1;
            slot.release(EPOCH, false);
        });
    });
}

/// The bug this crate exists to prevent.
#[test]
fn a_reply_before_the_commit_is_found() {
    is_found_broken(|| {
        commit_then_release(|kept, slot| {
            slot.release(EPOCH, false);
            *kept.lock() = 1;
        });
    });
}

/// RE2: of an answer and a deadline one wins, and the caller always hears of it.
#[test]
fn a_deadline_and_an_answer_do_not_both_win() {
    holds(|| {
        let (reply, claim, mut caller) = open::<u8>(server());
        let slot = caller.slot();
        let deadline = spawn(move || slot.fail(CallError::Timeout));
        let worker = spawn(move || {
            reply.send(7);
            drop(claim);
        });
        assert!(matches!(wait(&mut caller), Ok(7) | Err(CallError::Timeout)));
        deadline.join().expect("the deadline ends");
        worker.join().expect("the worker ends");
    });
}

/// RE3: whoever lets go last, the caller is told.
#[test]
fn a_reply_that_everyone_drops_is_no_reply() {
    holds(|| {
        let (reply, claim, mut caller) = open::<u8>(server());
        let elsewhere = reply.clone();
        let task = spawn(move || drop(elsewhere));
        let worker = spawn(move || drop((reply, claim)));
        assert!(matches!(wait(&mut caller), Err(CallError::NoReply)));
        task.join().expect("the task ends");
        worker.join().expect("the worker ends");
    });
}

/// G6: a fenced incarnation's answer is never heard, its successor's is.
#[test]
fn a_zombie_does_not_answer_for_its_successor() {
    holds(|| {
        let (reply, claim, mut caller) = open::<u8>(server());
        let late = reply.clone();
        let zombie = spawn(move || {
            AnySlot::forget(&*hold(late, EPOCH, 1), EPOCH);
        });
        let successor = spawn(move || {
            AnySlot::release(&*hold(reply, EPOCH + 1, 2), EPOCH + 1, false);
            drop(claim);
        });
        assert_eq!(wait(&mut caller).expect("it is answered"), 2);
        zombie.join().expect("the zombie ends");
        successor.join().expect("the successor ends");
    });
}
