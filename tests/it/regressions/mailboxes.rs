//! Mailboxes that overflow by far, and the count of what is queued.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures::poll;
use parking_lot::Mutex;
use undying::{Mailbox, Next, ServerRef, ServerSpec, SysEvent, WhenFull};

use super::push;
use crate::{
    crash::script::{Script, ask, get, slow, soon, tell},
    effects::held,
    support::{Gate, until},
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
}
