//! Who knows a server before it has started hears of its end all the same, and of the end of one that was left behind.

use std::{
    future::pending,
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use undying::{Context, GenServer, Never, Next, Outcome, ServerRef, ServerSpec, StateMut};

use super::{link, monitor, start_noted};
use crate::{
    crash::script::{Script, ask, get, soon, start, tell},
    effects::{Alive, Log, Plain, act, tasks, within},
    support::{Gate, inject, quiet, until},
};

/// How an `init` does not come to a server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fails {
    Panics,
    Ignores,
    Hangs,
}

/// Makes itself known in its `init`, asks for much, and fails.
#[derive(Clone)]
struct Early {
    known: mpsc::UnboundedSender<ServerRef<Self>>,
    gate: Gate,
    fails: Fails,
    other: Plain,
    alive: Arc<Alive>,
}

impl GenServer for Early {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = ();
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.known.send(cx.server()).expect("the test listens");
        let [timer, task, watch] = [(); 3].map(|()| self.alive.one());
        cx.send_after(Duration::ZERO, ());
        cx.send_interval(Duration::from_nanos(1), move || {
            let _timer = &timer;
        });
        cx.spawn(async move { drop(task) }, |_| ());
        cx.monitor(&self.other, move |_| drop(watch));
        cx.link(&self.other);
        self.gate.pass().await;
        match self.fails {
            Fails::Panics => inject(),
            Fails::Ignores => Ok(Next::Ignore),
            Fails::Hangs => pending().await,
        }
    }
}

both! {
    /// LM1 LM7: a start that fails is an end like any to who knows the server from its `init`; and that has asked in vain.
    async fn a_failed_start_is_an_end() {
        for fails in [Fails::Panics, Fails::Ignores, Fails::Hangs] {
            let (other, watcher, log) = (start(()).await, start(()).await, Log::new());
            let (linked, terminated) = start_noted().await;
            let (baseline, gate) = (tasks(), Gate::new());
            let (known, mut server) = mpsc::unbounded_channel();
            let alive = Arc::new(Alive::default());
            let early = Early { known, gate: gate.clone(), fails, other: other.clone(), alive: alive.clone() };
            let spec = ServerSpec::new(early, ()).init_timeout(match fails {
                Fails::Hangs => Duration::from_millis(50),
                _ => Duration::from_secs(60),
            });
            let starts = tokio::spawn(spec.start_link(&other));
            let server = soon(server.recv()).await.expect("it makes itself known");
            let (asks, notes) = (server.clone(), log.clone());
            within(&watcher, move |cx| {
                cx.monitor(&asks, move |down| notes.job(down.reason.to_string()))
            })
            .await;
            let (links, handle) = (server.clone(), server.monitor());
            within(&linked, move |cx| cx.link(&links)).await;
            soon(gate.arrived()).await;
            gate.open();
            soon(starts).await.expect("joined").expect_err("it fails");
            let down = soon(handle).await;
            assert_eq!(down.reason.is_abnormal(), fails == Fails::Panics, "{fails:?}: {}", down.reason);
            until("it has heard", || log.len() > 0).await;
            ask(&watcher, get).await;
            assert_eq!(log.notes(), [down.reason.to_string()]);
            if fails == Fails::Panics {
                let reason = soon(linked.stopped()).await.reason.to_string();
                assert_eq!((reason.clone(), terminated.notes()), (down.reason.to_string(), vec![reason]));
            } else {
                ask(&linked, get).await;
                linked.kill();
                soon(linked.stopped()).await;
            }
            // The linked one is gone, too.
            until("nothing is left", || alive.count() == 0 && tasks() + 3 == baseline).await;
            ask(&other, get).await;
        }
    }
}

/// LM1 LM7: a server that ends because it has left too many workers behind ends for all who are to hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_server_with_too_many_zombies_is_heard_of() {
    quiet();
    let (watcher, log, (linked, terminated)) = (start(()).await, Log::new(), start_noted().await);
    let spec = ServerSpec::new(Script::new(), ()).kill_grace(Duration::from_millis(20)).max_zombies(0);
    let target = spec.start().await.expect("it starts");
    monitor(&watcher, &target, &log).await;
    link(&linked, &target).await;
    let (signal, told) = oneshot::channel();
    let (open, wall) = channel::<()>();
    let blocks = act(move |_| {
        signal.send(()).expect("the test waits for it");
        // Returns when the test drops the other end.
        let _ = wall.recv();
    });
    tell(&target, blocks).await;
    soon(told).await.expect("told");
    let handle = target.monitor();
    target.kill_worker();
    let reason = soon(target.stopped()).await.reason.to_string();
    assert_eq!(soon(handle).await.reason.to_string(), reason);
    assert_eq!(soon(linked.stopped()).await.reason.to_string(), reason);
    until("it has heard", || log.len() > 0).await;
    assert_eq!((log.notes(), terminated.notes()), (vec![reason.clone()], vec![reason]));
    drop(open);
}
