//! Servers with full mailboxes that send to each other: where each would wait for room that only the other can make,
//! nobody waits.

use std::{pin::pin, time::Duration};

use futures::poll;
use tokio::{sync::oneshot, time::Instant};
use undying::{Mailbox, Next, Reply, ServerRef, ServerSpec, TrySendError};

use crate::{
    crash::script::{Job, Script, ask, asked, get, job, slow, soon, tell, wait_at},
    support::{Gate, RACES, quiet, until},
};

type Log = ServerRef<Script<Vec<u64>>>;

/// Servers whose mailboxes have room for one message.
async fn narrow<const N: usize>() -> [Log; N] {
    let mut servers = Vec::new();
    for _ in 0..N {
        let spec = ServerSpec::new(Script::new(), Vec::new()).mailbox(Mailbox::bounded(1));
        servers.push(spec.start().await.expect("it starts"));
    }
    servers.try_into().expect("as many")
}

/// Notes a number.
fn note(number: u64) -> Job<Vec<u64>> {
    job(move |log: &mut Vec<u64>| {
        log.push(number);
        Ok(Next::Wait)
    })
}

/// Passes `gate`, then casts the number to `other`.
fn casts_later(gate: &Gate, other: &Log, number: u64) -> Job<Vec<u64>> {
    let (gate, other) = (gate.clone(), other.clone());
    slow(move |_, _| {
        Box::pin(async move {
            gate.pass().await;
            other.cast(note(number)).await.expect("a server");
            Ok(Next::Wait)
        })
    })
}

/// Fills the mailbox of a server that is in a callback.
fn fill(server: &Log, number: u64) {
    server.try_cast(note(number)).expect("room for one");
    let full = server.try_cast(note(number));
    assert!(matches!(full, Err(TrySendError::Full(_))), "{full:?}");
}

both! {
    /// Casts around a cycle of full mailboxes do not wait for ever: one is queued over the capacity, and all are
    /// handled, after what was queued before.
    async fn a_cycle_of_full_mailboxes_resolves() {
        for _ in 0..RACES {
            let servers: [Log; 3] = narrow().await;
            let gates = [Gate::new(), Gate::new(), Gate::new()];
            for n in 0..3 {
                tell(&servers[n], casts_later(&gates[n], &servers[(n + 1) % 3], 2)).await;
                soon(gates[n].arrived()).await;
                fill(&servers[n], 1);
            }
            gates.iter().for_each(Gate::open);
            for server in &servers {
                until("both are noted", || server.peek().len() == 2).await;
                assert_eq!(*server.peek(), [1, 2]);
            }
        }
    }

    /// Many casts each way between two servers with full mailboxes all arrive, in order.
    async fn two_that_flood_each_other_both_finish() {
        const FLOOD: u64 = 100;

        let servers: [Log; 2] = narrow().await;
        let gates = [Gate::new(), Gate::new()];
        for n in 0..2 {
            let (gate, other) = (gates[n].clone(), servers[1 - n].clone());
            tell(&servers[n], slow(move |_, _| Box::pin(async move {
                gate.pass().await;
                for number in 0..FLOOD {
                    if number % 2 == 0 {
                        other.cast(note(number)).await.expect("a server");
                    } else {
                        other.send(note(number)).await.expect("a server");
                    }
                }
                Ok(Next::Wait)
            })))
            .await;
            soon(gates[n].arrived()).await;
        }
        gates.iter().for_each(Gate::open);
        for server in &servers {
            until("all are noted", || server.peek().len() as u64 == FLOOD).await;
            assert!(server.peek().iter().copied().eq(0..FLOOD));
        }
    }

    /// A cast to somebody whose mailbox is full, but who does not wait, waits for room like any other.
    async fn without_a_cycle_a_cast_waits_for_room() {
        let [a, b] = narrow().await;
        let (gate, other) = (Gate::new(), b.clone());
        tell(&b, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        fill(&b, 1);
        let (told, waited) = oneshot::channel();
        tell(&a, slow(move |_, _| Box::pin(async move {
            let mut cast = pin!(other.cast(note(2)));
            told.send(poll!(&mut cast).is_pending()).expect("the test waits for it");
            cast.await.expect("a server");
            Ok(Next::Wait)
        })))
        .await;
        assert!(soon(waited).await.expect("told"), "it did not wait");
        assert_eq!(b.mailbox_len(), 1);
        gate.open();
        until("both are noted", || b.peek().len() == 2).await;
        assert_eq!(*b.peek(), [1, 2]);
    }

    /// A server may cast to whom it has to answer, though that one's mailbox is full: the caller makes no room before
    /// it has its answer.
    async fn a_cast_to_the_caller_does_not_wait() {
        for _ in 0..RACES {
            let [a, b] = narrow().await;
            let (gate, other, back) = (Gate::new(), b.clone(), a.clone());
            let at = gate.clone();
            let mut call = Box::pin(a.call(|reply| slow(move |_, _| Box::pin(async move {
                at.pass().await;
                let casts = other.call(|reply: Reply<bool>| slow(move |_, _| Box::pin(async move {
                    back.cast(note(2)).await.expect("a server");
                    reply.send(true);
                    Ok(Next::Wait)
                })));
                reply.send(casts.await);
                Ok(Next::Wait)
            }))));
            assert!(poll!(&mut call).is_pending());
            soon(gate.arrived()).await;
            fill(&a, 1);
            gate.open();
            let answer = soon(call).await.expect("an answer");
            assert!(matches!(answer, Ok(true)), "{answer:?}");
            assert_eq!(ask(&a, get).await, [1, 2]);
        }
    }
}

/// Where one waits for room and the other for an answer, it does not take a time limit to go on either.
#[tokio::test(start_paused = true)]
async fn a_cycle_of_a_cast_and_a_call_takes_no_time() {
    quiet();
    let [a, b] = narrow().await;
    let (gate, other, back) = (Gate::new(), b.clone(), a.clone());
    let (at, begin) = (gate.clone(), Instant::now());
    let mut call = Box::pin(b.call(|reply| {
        slow(move |_, _| {
            Box::pin(async move {
                at.pass().await;
                let _ = back.call(asked(note(1))).timeout(Duration::from_secs(60)).await;
                reply.send(());
                Ok(Next::Wait)
            })
        })
    }));
    assert!(poll!(&mut call).is_pending());
    gate.arrived().await;
    fill(&b, 1);
    let (told, waits) = oneshot::channel();
    tell(
        &a,
        slow(move |_, _| {
            Box::pin(async move {
                let mut cast = pin!(other.cast(note(2)));
                told.send(poll!(&mut cast).is_pending()).expect("the test waits for it");
                cast.await.expect("a server");
                Ok(Next::Wait)
            })
        }),
    )
    .await;
    assert!(waits.await.expect("told"), "it did not wait");
    gate.open();
    call.await.expect("an answer");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    until("both are noted", || b.peek().len() == 2).await;
    assert_eq!(*b.peek(), [1, 2]);
}
