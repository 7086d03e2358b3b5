//! Mailboxes that overflow by far, and the count of what is queued.

use std::{
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures::poll;
use parking_lot::Mutex;
use tracing::subscriber::set_default;
use undying::{
    CallError, Mailbox, Message, Next, Reply, ServerRef, ServerSpec, SysEvent, TrySendError, WeakServerRef,
    WhenFull,
};

use super::{
    kit::{OnWarning, held},
    push,
};
use crate::{
    crash::script::{Job, Script, ask, get, job, slow, soon, stop, tell, wait_at},
    support::{Gate, quiet, until},
};

type Log = ServerRef<Script<Vec<u64>>>;

/// As many messages as the mailbox keeps in one allocation.
const THOUSAND: u64 = 1_024;

/// Floods that leave such allocations empty, or full, or both, behind a mailbox that holds as many as one of them.
const FLOODS: [u64; 5] = [2 * THOUSAND - 1, 2 * THOUSAND, 2 * THOUSAND + 52, 3 * THOUSAND + 1, 5_000];

/// A server that has room for so many messages, the newest ones.
fn newest(capacity: usize) -> ServerSpec<Script<Vec<u64>>> {
    let mailbox = Mailbox::bounded(capacity).when_full(WhenFull::DropOldest);
    ServerSpec::new(Script::new(), Vec::new()).mailbox(mailbox)
}

/// Casts the numbers up to `flood`.
fn overflow(server: &Log, flood: u64) {
    for n in 0..flood {
        server.try_cast(push(n)).expect("taken");
    }
}

/// A server that was flooded while it was busy, and is so until the gate opens.
async fn flooded(flood: u64) -> (Log, Gate) {
    let server = newest(THOUSAND as usize).start().await.expect("it starts");
    let gate = held(&server).await;
    overflow(&server, flood);
    assert_eq!(server.mailbox_len() as u64, THOUSAND);
    (server, gate)
}

/// Adds `n`, and answers with how many there are then.
fn pushed(n: u64) -> impl FnOnce(Reply<usize>) -> Job<Vec<u64>> {
    move |reply| {
        job(move |all: &mut Vec<u64>| {
            all.push(n);
            reply.send(all.len());
            Ok(Next::Wait)
        })
    }
}

both! {
    /// CS6 G10: a mailbox from which thousands of messages gave way serves what it holds still: the newest, in order.
    async fn what_a_flood_has_left_is_served() {
        for flood in FLOODS {
            let (server, gate) = flooded(flood).await;
            gate.open();
            until("all is handled", || server.mailbox_len() == 0).await;
            assert!(ask(&server, get).await.into_iter().eq(flood - THOUSAND..flood), "of {flood}");
        }
    }

    /// CS6 SP3: nor does an orderly stop take such a mailbox for an empty one.
    async fn a_stop_handles_what_a_flood_has_left() {
        for flood in FLOODS {
            let (server, gate) = flooded(flood).await;
            let mut stopping = pin!(server.stop().into_future());
            assert!(poll!(&mut stopping).is_pending());
            gate.open();
            let exit = soon(stopping).await.expect("alive");
            assert!(exit.state.iter().copied().eq(flood - THOUSAND..flood), "of {flood}");
        }
    }

    /// CS6: what a server has tried to send itself never gives way, and the mail that gave way all around it leaves no hole
    /// behind which the rest is forgotten.
    async fn what_a_server_tries_to_send_itself_outlasts_a_flood() {
        for flood in FLOODS {
            let (server, gate) = (newest(THOUSAND as usize).start().await.expect("it starts"), Gate::new());
            let at = gate.clone();
            tell(&server, slow(move |_, cx| Box::pin(async move {
                let own = cx.server();
                own.try_cast(push(10_001)).expect("it is its own");
                own.try_send(push(10_002)).expect("it is its own");
                at.pass().await;
                Ok(Next::Wait)
            })))
            .await;
            soon(gate.arrived()).await;
            overflow(&server, flood);
            gate.open();
            until("all is handled", || server.mailbox_len() == 0).await;
            let expected = [10_001, 10_002].into_iter().chain(flood + 2 - THOUSAND..flood);
            assert!(ask(&server, get).await.into_iter().eq(expected), "of {flood}");
        }
    }

    /// CS6: what a server tries to send itself does not make others' mail give way either.
    async fn what_a_server_tries_to_send_itself_drives_out_nothing() {
        let (server, gate) = (newest(2).start().await.expect("it starts"), Gate::new());
        let at = gate.clone();
        tell(&server, slow(move |_, cx| Box::pin(async move {
            at.pass().await;
            for n in [3, 4] {
                cx.server().try_cast(push(n)).expect("it is its own");
            }
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        overflow(&server, 2);
        gate.open();
        until("all is handled", || server.mailbox_len() == 0).await;
        assert_eq!(ask(&server, get).await, [0, 1, 3, 4]);
    }

    /// CS6: a message that the worker has taken is not queued any more, also while it has yet to tell of the one before:
    /// nothing gives way as long as there is room.
    async fn what_is_taken_already_takes_no_room() {
        let dead = Arc::new(AtomicUsize::new(0));
        let count = dead.clone();
        let spec = newest(3).dead_letters(move |_| {
            count.fetch_add(1, SeqCst);
        });
        let server = spec.start().await.expect("it starts");
        let (own, queued) = (server.downgrade(), Arc::new(Mutex::new(Vec::new())));
        let at_the_answer = queued.clone();
        let hook = move |event: &SysEvent| {
            if let (SysEvent::Out, Some(own)) = (event, own.upgrade()) {
                at_the_answer.lock().push(own.mailbox_len());
                own.try_cast(push(9)).expect("taken");
            }
        };
        assert!(soon(server.sys().install("hook", hook)).await.expect("alive"));
        let (first, second) = (held(&server).await, Gate::new());
        let at = second.clone();
        let mut call = pin!(server.call(|reply| slow(move |_, _| Box::pin(async move {
            at.pass().await;
            reply.send(());
            Ok(Next::Wait)
        }))));
        // The worker takes these three together.
        assert!(poll!(&mut call).is_pending());
        overflow(&server, 2);
        first.open();
        soon(second.arrived()).await;
        server.try_cast(push(2)).expect("taken");
        assert_eq!(server.mailbox_len(), 3);
        second.open();
        soon(call).await.expect("answered");
        until("all is handled", || server.peek().len() == 4).await;
        assert_eq!(*queued.lock(), [2], "the next message is in hand");
        assert_eq!((&*server.peek(), dead.load(SeqCst)), (&vec![0, 1, 2, 9], 0));
    }

    /// CS6: a hook for dead letters that sends them once more is told that the mailbox is full, instead of driving out the
    /// next message, and the next, until the stack is full.
    async fn a_dead_letter_that_is_sent_again_drives_out_nothing() {
        /// Enough to show that there would be no end.
        const DEEP: usize = 10;

        let server: Arc<OnceLock<WeakServerRef<Script<Vec<u64>>>>> = Arc::default();
        let (known, told) = (server.clone(), Arc::new(Mutex::new(Vec::new())));
        let outcomes = told.clone();
        let spec = newest(1).dead_letters(move |letter| {
            let Some(server) = known.get().and_then(WeakServerRef::upgrade) else { return };
            let Message::Cast(cast) = letter.message else { return };
            if outcomes.lock().len() < DEEP {
                let again = server.try_cast(cast);
                outcomes.lock().push(matches!(again, Err(TrySendError::Full(_))));
            }
        });
        let started = spec.start().await.expect("it starts");
        server.set(started.downgrade()).expect("once");
        let gate = held(&started).await;
        overflow(&started, 3);
        assert_eq!(*told.lock(), [true, true], "of two letters each was refused once");
        gate.open();
        until("all is handled", || started.mailbox_len() == 0).await;
        assert_eq!(ask(&started, get).await, [2]);
        // Outside of the hook it drops as ever.
        let _gate = held(&started).await;
        let mut oldest = pin!(started.call(pushed(7)));
        assert!(poll!(&mut oldest).is_pending());
        server.get().expect("set").upgrade().expect("alive").try_cast(push(8)).expect("taken");
        let oldest = soon(oldest).await;
        assert!(matches!(oldest, Err(CallError::Full)), "{oldest:?}");
    }
}

/// CS6: a mailbox for a few messages is full and empty again all the time: that is nothing to warn of.
#[tokio::test]
async fn a_mailbox_for_a_few_does_not_warn_of_each() {
    quiet();
    for capacity in 1..=3 {
        let warnings = Arc::new(AtomicUsize::new(0));
        let count = warnings.clone();
        let _subscriber = set_default(OnWarning(move || {
            count.fetch_add(1, SeqCst);
        }));
        let spec = ServerSpec::new(Script::new(), Vec::new()).mailbox(Mailbox::bounded(capacity));
        let server = spec.start().await.expect("it starts");
        for n in 0..100 {
            assert_eq!(ask(&server, pushed(n)).await as u64, n + 1);
        }
        let gate = Gate::new();
        for _ in 0..=capacity {
            tell(&server, wait_at(&gate)).await;
        }
        (0..=capacity).for_each(|_| gate.open());
        stop(&server).await;
        assert_eq!(warnings.load(SeqCst), 0, "with room for {capacity}");
    }
}
