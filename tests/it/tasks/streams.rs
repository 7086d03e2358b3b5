//! Streams attached to a server: their items come one by one, in order, across crashes, and no faster than they are
//! handled.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::{Stream, StreamExt as _, stream};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    task::yield_now,
    time::sleep,
};
use undying::{Callback, CrashKind, Mailbox, Next, Preserve, ServerRef, ServerSpec, TaskRef, WhenFull};

use crate::{
    crash::{
        script::{Script, ask, get, serves, slow, soon, start, stop, tell, wait_at},
        tape::{Event, tape},
    },
    effects::{Alive, FAILURES, Log, SECOND, act, held, in_vain, tasks, within},
    support::{Gate, RACES, inject, until},
};

/// How far a stream may be ahead of its server.
const AHEAD: usize = 64;

/// Attaches `items` in a callback of `server`, to be noted in `log`.
async fn attach<I, T>(server: &ServerRef<Script<T>>, items: I, log: &Log<Option<I::Item>>) -> TaskRef
where
    I: Stream<Item: Clone + Send> + Send + 'static,
    T: Preserve,
{
    let log = log.clone();
    within(server, move |cx| cx.attach(items, move |item| log.job(item))).await
}

/// What comes of a stream of `items`.
fn all(items: impl IntoIterator<Item = usize>) -> Vec<Option<usize>> {
    items.into_iter().map(Some).chain([None]).collect()
}

/// A stream of what the test sends.
fn channel() -> (mpsc::UnboundedSender<usize>, impl Stream<Item = usize>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let next = |mut receiver: UnboundedReceiver<usize>| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    };
    (sender, stream::unfold(receiver, next))
}

both! {
    /// Every item of a stream comes as an info, in order, and then its end, once.
    async fn the_items_of_a_stream_come_in_order() {
        let (server, log) = (start(()).await, Log::new());
        let baseline = tasks();
        let items = stream::iter(0..1_000).then(|n| async move {
            if n % 7 == 0 {
                yield_now().await;
            }
            n
        });
        attach(&server, items, &log).await;
        until("it is over", || log.len() > 1_000 && tasks() == baseline).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), all(0..1_000));
    }

    /// An empty stream has an end like any other.
    async fn an_empty_stream_ends() {
        let (server, log) = (start(()).await, Log::new());
        attach(&server, stream::empty::<usize>(), &log).await;
        until("it is over", || log.len() > 0).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), [None]);
    }

    /// A stream is never more than 64 items ahead of its server.
    async fn a_stream_waits_for_its_server() {
        const ITEMS: usize = 1_000;

        let (server, alive) = (start(()).await, Alive::default());
        let (taken, handled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counts, handles) = (taken.clone(), handled.clone());
        let ones: Vec<_> = (0..ITEMS).map(|_| alive.one()).collect();
        let items = stream::iter(ones).inspect(move |_| { counts.fetch_add(1, SeqCst); });
        let takes = taken.clone();
        within(&server, move |cx| {
            cx.attach(items, move |item| {
                let (taken, handled) = (takes.clone(), handles.clone());
                act(move |_| {
                    let handled = handled.fetch_add(1, SeqCst) + usize::from(item.is_some());
                    let taken = taken.load(SeqCst);
                    assert!(taken <= handled + AHEAD, "{taken} taken, {handled} handled");
                })
            })
        })
        .await;
        until("it is over", || handled.load(SeqCst) > ITEMS).await;
        assert_eq!((taken.load(SeqCst), alive.count()), (ITEMS, 0));
        assert_eq!(server.incarnation(), 1, "no assertion in a callback has failed");
    }

    /// A stream that panics is at its end.
    async fn a_stream_that_panics_ends() {
        let (server, log) = (start(()).await, Log::new());
        let items = stream::iter(0..10_usize).inspect(|n| {
            if *n == 5 {
                panic!("test: no five");
            }
        });
        attach(&server, items, &log).await;
        until("it is over", || log.len() > 5).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), all(0..5));
        assert_eq!(server.incarnation(), 1, "it is no crash of the server");
    }

    /// Of a stream that is aborted nothing comes any more, not even what was ahead of the server, nor its end.
    async fn nothing_comes_of_an_aborted_stream() {
        let (server, log, alive) = (start(()).await, Log::new(), Alive::default());
        let (baseline, gate) = (tasks(), Gate::new());
        let ((sender, items), one) = (channel(), alive.one());
        let taken = Arc::new(AtomicUsize::new(0));
        let counts = taken.clone();
        let items = items.inspect(move |_| {
            let _one = &one;
            counts.fetch_add(1, SeqCst);
        });
        let stream = attach(&server, items, &log).await;
        sender.send(0).expect("it listens");
        until("the first has come", || log.len() == 1).await;
        let at = gate.clone();
        let aborts = slow(move |_, cx| {
            Box::pin(async move {
                at.pass().await;
                assert!(cx.abort(stream) && !cx.abort(stream));
                Ok(Next::Wait)
            })
        });
        tell(&server, aborts).await;
        soon(gate.arrived()).await;
        for n in 1..=10 {
            sender.send(n).expect("it listens");
        }
        drop(sender);
        until("all are taken", || taken.load(SeqCst) == 11).await;
        gate.open();
        until("it is dropped", || alive.count() == 0 && tasks() == baseline).await;
        assert!(!within(&server, move |cx| cx.abort(stream)).await);
        assert_eq!((log.notes(), server.incarnation()), (vec![Some(0)], 1));
    }

    /// Once a callback that aborted a stream is committed nothing of that is handled, whenever it was.
    async fn an_abort_that_races_a_stream_is_its_end() {
        let server = start(()).await;
        for round in 0..RACES {
            let log = Log::new();
            let items = stream::iter(0..1_000_000_usize).then(|n| async move {
                if n % 3 == 0 {
                    yield_now().await;
                }
                n
            });
            let stream = attach(&server, items, &log).await;
            until("it goes on", || log.len() >= round).await;
            assert!(within(&server, move |cx| cx.abort(stream)).await);
            let come = log.len();
            ask(&server, get).await;
            ask(&server, get).await;
            assert_eq!(log.len(), come, "in round {round}");
            assert!(log.notes().into_iter().eq((0..come).map(Some)));
        }
    }

    /// A stream whose server has a small mailbox waits for it like for any: nothing is refused or dropped, whatever is to
    /// become of the mail of others.
    async fn a_full_mailbox_loses_nothing_of_a_stream() {
        for when_full in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            let mailbox = Mailbox::bounded(2).when_full(when_full);
            let server = ServerSpec::new(Script::new(), ()).mailbox(mailbox).start().await;
            let (server, log, gate) = (server.expect("it starts"), Log::new(), Gate::new());
            let (baseline, first) = (tasks(), held(&server).await);
            let notes = log.clone();
            let attaches = act(move |cx| {
                cx.attach(stream::iter(0..200_usize), move |item| notes.job(item));
            });
            server.try_cast(attaches).expect("there is room");
            server.try_cast(wait_at(&gate)).expect("there is room");
            first.open();
            soon(gate.arrived()).await;
            until("it is full", || server.mailbox_len() >= 2).await;
            for _ in 0..100 {
                yield_now().await;
            }
            gate.open();
            until("it is over", || log.len() > 200 && tasks() == baseline).await;
            assert_eq!(log.notes(), all(0..200), "{when_full:?}");
        }
    }

    /// A stream that is over cannot be aborted, and one that is aborted by a callback that fails goes on.
    async fn an_abort_counts_when_its_callback_does() {
        for failure in FAILURES {
            let (server, log) = (start(()).await, Log::new());
            let (sender, items) = channel();
            let stream = attach(&server, items, &log).await;
            in_vain(&server, failure, move |cx| assert!(cx.abort(stream))).await;
            sender.send(0).expect("it goes on");
            drop(sender);
            until("it is over", || log.len() == 2).await;
            assert_eq!(log.notes(), all([0]), "{failure:?}");
            assert!(!within(&server, move |cx| cx.abort(stream)).await);
        }
    }

    /// A stream survives the crashes of its server: only the item whose callback crashes is lost.
    async fn a_stream_survives_crashes() {
        let (server, log) = (start(()).await, Log::new());
        let notes = log.clone();
        within(&server, move |cx| {
            cx.attach(stream::iter(0..200_usize), move |item| match item {
                Some(n) if n % 3 == 0 => notes.boom(item),
                _ => notes.job(item),
            })
        })
        .await;
        until("it is over", || log.len() > 200).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), all(0..200));
        assert_eq!(server.incarnation(), 1 + 67);
    }

    /// Whenever kills come, each item comes once, in order.
    async fn the_items_of_a_stream_come_once_each_under_kills() {
        let (server, log) = (start(()).await, Log::new());
        let items = stream::iter(0..2_000_usize).then(|n| async move {
            yield_now().await;
            n
        });
        attach(&server, items, &log).await;
        for kill in 0..RACES as u64 {
            let before = log.len();
            until("it goes on", || log.len() > before || log.len() > 2_000).await;
            server.kill_worker();
            serves(&server, kill + 2).await;
        }
        until("it is over", || log.len() > 2_000).await;
        ask(&server, get).await;
        assert_eq!(log.notes(), all(0..2_000));
    }

    /// A map that panics is a crash of `handle_info`, once, and what came before is not lost.
    async fn a_map_that_panics_is_one_crash() {
        let (tape, mut events) = tape();
        let server = ServerSpec::new(Script::new(), ()).listener(tape).start().await.expect("it starts");
        let (log, baseline) = (Log::new(), tasks());
        let notes = log.clone();
        within(&server, move |cx| {
            cx.attach(stream::iter(0..10_usize), move |item| match item {
                Some(5) => inject(),
                item => notes.job(item),
            })
        })
        .await;
        serves(&server, 2).await;
        until("its task is over", || tasks() == baseline).await;
        ask(&server, get).await;
        assert!(log.notes().starts_with(&[0, 1, 2, 3, 4].map(Some)), "{:?}", log.notes());
        assert_eq!(server.incarnation(), 2);
        let report = loop {
            if let Event::Crashed { report, .. } = soon(events.recv()).await.expect("an event") {
                break report;
            }
        };
        assert_eq!((report.callback(), report.kind()), (Callback::Info, CrashKind::Panic));
    }

    /// Streams take turns with mail: one that never ends keeps nobody waiting, and does not keep its server from its end.
    async fn an_endless_stream_starves_nobody() {
        let baseline = tasks();
        let (server, log) = (start(()).await, Log::new());
        attach(&server, stream::repeat(7_usize), &log).await;
        for _ in 0..100 {
            ask(&server, get).await;
        }
        stop(&server).await;
        until("nothing is left", || tasks() == baseline).await;
        assert!(log.notes().into_iter().all(|item| item == Some(7)));
    }
}

/// A stream runs ahead of a busy server, but not further than 64 items.
#[tokio::test(start_paused = true)]
async fn a_stream_runs_ahead_of_a_busy_server() {
    let (server, log, gate) = (start(()).await, Log::new(), Gate::new());
    let taken = Arc::new(AtomicUsize::new(0));
    let counts = taken.clone();
    let items = stream::iter(0..1_000_usize).inspect(move |_| {
        counts.fetch_add(1, SeqCst);
    });
    let (notes, at) = (log.clone(), gate.clone());
    within(&server, move |cx| {
        cx.attach(items, move |item| match item {
            Some(10) => wait_at(&at),
            item => notes.job(item),
        })
    })
    .await;
    gate.arrived().await;
    // The paused clock goes on when nothing else can.
    sleep(SECOND).await;
    let taken = taken.load(SeqCst);
    assert!((12..=11 + AHEAD).contains(&taken), "{taken} taken, the eleventh is in hand");
    gate.open();
    sleep(SECOND).await;
    assert_eq!(log.notes(), all((0..10).chain(11..1_000)));
}
