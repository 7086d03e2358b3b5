//! Probes: told of every callback, by the worker itself, after it is done with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use undying::{Callback, Listener, Next, Probe, Ran, ServerRef, ServerSpec};

use crate::{
    crash::script::{Script, add, ask, crash, get, inc, look, serves, slow, soon, stop, tell},
    effects::held,
    support::{inject, until},
};

type Look = dyn Fn(&ServerRef<Script<u64>>, &Ran) + Send + Sync;

/// A listener that only probes.
struct Probing {
    asked: Arc<AtomicUsize>,
    look: Arc<Look>,
}

impl Listener<Script<u64>> for Probing {
    fn probe(&self, server: &ServerRef<Script<u64>>) -> Option<Probe> {
        self.asked.fetch_add(1, SeqCst);
        let (server, look) = (server.downgrade(), self.look.clone());
        Some(Box::new(move |ran| {
            if let Some(server) = server.upgrade() {
                look(&server, ran);
            }
        }))
    }
}

fn probing(look: impl Fn(&ServerRef<Script<u64>>, &Ran) + Send + Sync + 'static) -> Probing {
    Probing { asked: Arc::default(), look: Arc::new(look) }
}

/// What a probe was told.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<Ran>>>);

impl Runs {
    fn probing(&self) -> Probing {
        let runs = self.clone();
        probing(move |_, ran| runs.0.lock().push(ran.clone()))
    }

    /// Each callback, whether it crashed, and whether it committed a change.
    fn lines(&self) -> Vec<(Callback, bool, bool)> {
        self.0.lock().iter().map(|ran| (ran.callback, ran.crashed, ran.snapshot.is_some())).collect()
    }
}

/// A counter from 0 with that listener.
async fn probed(listener: impl Listener<Script<u64>>) -> ServerRef<Script<u64>> {
    let script = Script::new().on_timeout(|_: &mut u64| Ok(Next::Wait));
    ServerSpec::new(script, 0).listener(listener).start().await.expect("it starts")
}

both! {
    /// PB1: a probe is told of each callback once, in order: which one, whether it crashed and whether it changed the state.
    async fn every_callback_is_told() {
        let runs = Runs::default();
        let server = probed(runs.probing()).await;
        assert_eq!(ask(&server, add).await, 1);
        ask(&server, get).await;
        tell(&server, inc()).await;
        server.send(inc()).await.expect("a server");
        tell(&server, look(|_| Ok(Next::Continue(inc())))).await;
        tell(&server, look(|_| Ok(Next::Timeout(Duration::ZERO)))).await;
        until("the timeout has run", || runs.lines().last().is_some_and(|(it, ..)| *it == Callback::Timeout)).await;
        crash(&server).await;
        serves(&server, 2).await;
        assert_eq!(ask(&server, add).await, 5);
        stop(&server).await;
        let lines = [
            (Callback::Init, false, false),
            (Callback::Call, false, true),
            (Callback::Call, false, false),
            (Callback::Cast, false, true),
            (Callback::Info, false, true),
            (Callback::Cast, false, false),
            (Callback::Continue, false, true),
            (Callback::Cast, false, false),
            // It took `&mut` to the state.
            (Callback::Timeout, false, true),
            (Callback::Call, true, false),
            (Callback::Terminate, false, false),
            (Callback::Restarted, false, false),
            (Callback::Call, false, true),
            (Callback::Terminate, false, false),
        ];
        assert_eq!(runs.lines(), lines);
    }

    /// PB1: requests of `sys` are no callbacks, and what is killed is not told.
    async fn what_is_no_callback_is_not_told() {
        let runs = Runs::default();
        let server = probed(runs.probing()).await;
        soon(server.sys().replace(|state| *state = 5)).await.expect("replaced");
        soon(server.sys().suspend()).await.expect("suspended");
        soon(server.sys().resume()).await.expect("resumed");
        let _gate = held(&server).await;
        server.kill_worker();
        serves(&server, 2).await;
        assert_eq!(runs.lines(), [(Callback::Init, false, false), (Callback::Restarted, false, false)]);
    }

    /// PB2: a probe is told after the commit and the answer: it sees what is kept.
    async fn a_probe_is_told_after_the_commit() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let server = probed(probing(move |server, ran| {
            noted.lock().push((ran.callback, *server.peek(), ran.mailbox_len));
        }))
        .await;
        let gate = held(&server).await;
        for _ in 0..3 {
            tell(&server, inc()).await;
        }
        gate.open();
        assert_eq!(ask(&server, get).await, 3);
        until("all are told", || seen.lock().len() == 6).await;
        let seen = seen.lock().clone();
        assert_eq!(seen[0], (Callback::Init, 0, 0));
        assert!(seen[1].0 == Callback::Cast && seen[1].1 == 0, "{seen:?}");
        let states: Vec<_> = seen[2..].iter().map(|(_, state, _)| *state).collect();
        assert_eq!(states, [1, 2, 3, 3]);
    }

    /// PB3: a probe that panics harms nobody and is told nothing more; the others are.
    async fn a_probe_that_panics_is_told_nothing_more() {
        let (panics, runs) = (Arc::new(AtomicUsize::new(0)), Runs::default());
        let counted = panics.clone();
        let script = Script::new();
        let server = ServerSpec::new(script, 0_u64)
            .listener(probing(move |_, _| {
                counted.fetch_add(1, SeqCst);
                inject()
            }))
            .listener(runs.probing())
            .start()
            .await
            .expect("it starts");
        for n in 1..=20 {
            assert_eq!(ask(&server, add).await, n);
        }
        stop(&server).await;
        assert_eq!((panics.load(SeqCst), runs.lines().len(), server.incarnation()), (1, 22, 1));
    }

    /// PB4: a listener is asked for its probe once, before the first life, and not again after crashes.
    async fn a_listener_is_asked_once() {
        let runs = Runs::default();
        let listener = runs.probing();
        let asked = listener.asked.clone();
        let server = probed(listener).await;
        assert_eq!(asked.load(SeqCst), 1);
        for n in 2..=10 {
            server.kill_worker();
            serves(&server, n).await;
        }
        assert_eq!((asked.load(SeqCst), runs.lines().len()), (1, 10));
    }

    /// PB4: a listener that panics when it is asked for its probe has none.
    async fn a_panic_instead_of_a_probe_is_none() {
        struct Never;
        impl Listener<Script<u64>> for Never {
            fn probe(&self, _: &ServerRef<Script<u64>>) -> Option<Probe> {
                inject()
            }
        }
        let runs = Runs::default();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Never)
            .listener(runs.probing())
            .start()
            .await
            .expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        until("the other one is told", || runs.lines().len() == 2).await;
    }

    /// PB5: what probes is let go with the end of the server, as a listener is, also if it holds the server itself.
    async fn what_probes_is_let_go() {
        struct Holding;
        impl Listener<Script<u64>> for Holding {
            fn probe(&self, server: &ServerRef<Script<u64>>) -> Option<Probe> {
                let server = server.clone();
                Some(Box::new(move |_| assert!(server.is_alive())))
            }
        }
        let server = probed(Holding).await;
        assert_eq!(ask(&server, add).await, 1);
        let memory = server.downgrade();
        stop(&server).await;
        drop(server);
        until("the server is freed", || memory.upgrade().is_none()).await;
    }
}

/// PB2: what is measured is the time of the callback with its awaits, on the clock of the machine.
#[tokio::test]
async fn a_callback_is_timed() {
    let runs = Runs::default();
    let server = probed(runs.probing()).await;
    let pause = Duration::from_millis(20);
    tell(
        &server,
        slow(move |_, _| {
            Box::pin(async move {
                tokio::time::sleep(pause).await;
                Ok(Next::Wait)
            })
        }),
    )
    .await;
    stop(&server).await;
    let took: Vec<_> = runs.0.lock().iter().map(|ran| ran.took).collect();
    assert!(took[1] >= pause && took[0] < pause, "{took:?}");
}
