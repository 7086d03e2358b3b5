//! Much at a time, with faults in between: what is counted at the end is exact.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{future::pending, poll};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, JoinSet, yield_now};
use undying::{
    CallError, CommitPolicy, Context, Mailbox, Next, Preserve, Reply, ServerRef, ServerSpec, WhenFull,
};

use crate::{
    crash::script::{Job, Script, add, ask, get, inc, slow, soon, start, stop},
    effects::{act, held, tasks},
    support::until,
};

/// A server that is killed as long as this is held.
struct Nemesis {
    calm: Arc<AtomicBool>,
    kills: JoinHandle<()>,
}

impl Nemesis {
    fn of<T: Preserve>(server: &ServerRef<Script<T>>) -> Self {
        let (server, calm) = (server.clone(), Arc::new(AtomicBool::new(false)));
        let over = calm.clone();
        let kills = tokio::spawn(async move {
            while !over.load(SeqCst) {
                server.kill_worker();
                for _ in 0..fastrand::u32(0..40) {
                    yield_now().await;
                }
            }
        });
        Self { calm, kills }
    }

    async fn ends(self) {
        self.calm.store(true, SeqCst);
        soon(self.kills).await.expect("no panic");
    }
}

/// How often something with that number was done.
type Done = Arc<Mutex<HashMap<u64, u32>>>;

/// A job that notes that it was run.
fn note(done: &Done, n: u64) -> Job<u64> {
    let done = done.clone();
    act(move |_| *done.lock().entry(n).or_default() += 1)
}

/// Asks something of the context that comes to be noted, once.
fn ask_for(kind: u8, n: u64, other: &ServerRef<Script<u64>>, info: Job<u64>, cx: &mut Context<Script<u64>>) {
    match kind {
        0 => drop(cx.send_after(Duration::ZERO, info)),
        1 => drop(cx.set_timer(n.to_string(), Duration::from_micros(n % 1_000), info)),
        2 => drop(cx.spawn(async {}, |_| info)),
        3 => {
            let task = cx.spawn(pending::<()>(), |_| info);
            assert!(cx.abort(task));
        }
        4 => drop(cx.spawn_linked(pending::<()>(), |_| info)),
        _ => drop(cx.monitor(other, |_| info)),
    }
}

/// A call that adds one, asks for something, and then takes a while.
fn asks(kind: u8, n: u64, other: ServerRef<Script<u64>>, info: Job<u64>, reply: Reply<u64>) -> Job<u64> {
    slow(move |mut sum, cx| {
        Box::pin(async move {
            *sum += 1;
            reply.send(*sum);
            ask_for(kind, n, &other, info, cx);
            for _ in 0..n % 8 {
                yield_now().await;
            }
            Ok(Next::Wait)
        })
    })
}

/// What a client was told to be done, and what not.
type Told = (Vec<u64>, Vec<u64>);

/// Has `server` do everything that can be asked for, many times. The numbers begin at `first`.
async fn client(server: ServerRef<Script<u64>>, first: u64, done: Done) -> Told {
    const CALLS: u64 = 150;

    let mut told = Told::default();
    for n in first..first + CALLS {
        let other = start(0_u64).await;
        if n % 2 == 0 {
            other.kill();
        }
        let (info, monitored) = (note(&done, n), other.clone());
        let call = server.call(|reply| asks(fastrand::u8(0..6), n, monitored, info, reply));
        match soon(call.no_timeout()).await {
            Ok(_) => told.0.push(n),
            Err(CallError::Crashed(_)) => told.1.push(n),
            Err(error) => panic!("{error}"),
        }
        other.kill();
    }
    told
}

/// Polls `future` so often at most, with turns for others in between, and then drops it.
async fn give_up<F: Future>(future: F, turns: usize) {
    let mut future = pin!(future);
    for _ in 0..turns {
        if poll!(&mut future).is_ready() {
            break;
        }
        yield_now().await;
    }
}

/// Does one of all the things that concern a mailbox, and may give up in the midst of it.
async fn meddle(server: &ServerRef<Script<u64>>) {
    let turns = fastrand::usize(0..6);
    match fastrand::u8(0..8) {
        0 | 1 => give_up(server.call(add).into_future(), turns).await,
        2 | 3 => give_up(server.cast(inc()), turns).await,
        4 => drop(server.try_send(inc())),
        5 => give_up(server.sys().suspend(), turns).await,
        6 => give_up(server.sys().resume(), turns + 1).await,
        _ => give_up(server.recipient(|job| job).send(inc()), turns).await,
    }
}

both! {
    /// G2 G3 IN5 LM1: under kills, what a callback that committed has asked for comes once, and what one that crashed has
    /// asked for never does; nothing is left of all that.
    async fn effects_are_done_once_or_not_at_all() {
        let (before, mut weak) = (tasks(), Vec::new());
        let spec = || ServerSpec::new(Script::new(), 0_u64).max_restarts(u32::MAX, Duration::from_secs(1));
        let specs = [
            spec(),
            spec().mailbox(Mailbox::bounded(4)),
            spec().commit(CommitPolicy::Every(3)),
        ];
        for spec in specs {
            let server = spec.start().await.expect("it starts");
            weak.push(server.downgrade());
            let (done, nemesis) = (Done::default(), Nemesis::of(&server));
            let mut clients = JoinSet::new();
            for first in [0, 1_000, 2_000, 3_000] {
                clients.spawn(client(server.clone(), first, done.clone()));
            }
            let (committed, crashed): Told = clients.join_all().await.into_iter().fold(
                Told::default(),
                |(mut committed, mut crashed), told| {
                    committed.extend(told.0);
                    crashed.extend(told.1);
                    (committed, crashed)
                },
            );
            nemesis.ends().await;
            // Tasks that end with their incarnation are told of when it ends.
            server.kill_worker();
            until("all has come", || done.lock().len() >= committed.len()).await;
            stop(&server).await;
            let done = done.lock();
            for n in committed {
                assert_eq!(done.get(&n), Some(&1), "{n} was committed");
            }
            for n in crashed {
                assert_eq!(done.get(&n), None, "{n} has crashed");
            }
        }
        until("nothing is left", || tasks() == before && weak.iter().all(|weak| weak.upgrade().is_none())).await;
    }

    /// CS6 G3: under kills and suspensions, with senders that give up in the midst of it, a bounded mailbox has as many places
    /// in the end as in the beginning.
    async fn a_bounded_mailbox_loses_no_place() {
        for policy in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropOldest] {
            for capacity in [1, 3, 1_100] {
                let spec = ServerSpec::new(Script::new(), 0_u64)
                    .max_restarts(u32::MAX, Duration::from_secs(1))
                    .mailbox(Mailbox::bounded(capacity).when_full(policy));
                let server = spec.start().await.expect("it starts");
                let nemesis = Nemesis::of(&server);
                let mut senders = JoinSet::new();
                for _ in 0..6 {
                    let server = server.clone();
                    senders.spawn(async move {
                        for _ in 0..60 {
                            meddle(&server).await;
                        }
                    });
                }
                soon(senders.join_all()).await;
                nemesis.ends().await;
                soon(server.sys().resume()).await.expect("alive");
                until("all is handled", || server.mailbox_len() == 0).await;
                let gate = held(&server).await;
                let taken = (0..capacity + 5).filter(|_| server.try_cast(inc()).is_ok()).count();
                let room = if policy == WhenFull::DropOldest { capacity + 5 } else { capacity };
                assert_eq!((taken, server.mailbox_len()), (room, capacity), "{policy:?}");
                gate.open();
                stop(&server).await;
            }
        }
    }

    /// LM7 LM8: whenever one of many that are being linked is killed, those that have come to be linked to it, through
    /// whomever, end with it, and no others.
    async fn an_end_goes_as_far_as_the_links_go() {
        const SERVERS: usize = 12;

        for round in 0..60 {
            let mut servers = Vec::new();
            for _ in 0..SERVERS {
                servers.push(start(0_u64).await);
            }
            let mut links = JoinSet::new();
            for n in 1..SERVERS {
                let m = fastrand::usize(0..n);
                let (one, other) = (servers[n].clone(), servers[m].clone());
                links.spawn(async move {
                    let linked = one.call(|reply: Reply<()>| act(move |cx| {
                        cx.link(&other);
                        reply.send(());
                    }));
                    (soon(linked).await.is_ok(), n, m)
                });
            }
            let killed = fastrand::usize(0..SERVERS);
            for _ in 0..round % 20 {
                yield_now().await;
            }
            servers[killed].kill();
            let mut group: Vec<_> = (0..SERVERS).collect();
            for (linked, n, m) in links.join_all().await {
                if linked {
                    let (joins, joined) = (group[n], group[m]);
                    group.iter_mut().filter(|of| **of == joins).for_each(|of| *of = joined);
                }
            }
            for (n, server) in servers.iter().enumerate() {
                if group[n] == group[killed] {
                    assert!(soon(server.stopped()).await.reason.is_abnormal(), "in round {round}");
                } else {
                    ask(server, get).await;
                }
            }
            servers.iter().for_each(ServerRef::kill);
        }
    }
}
