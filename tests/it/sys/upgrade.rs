//! Upgrades (OTP's `code_change`): a new behaviour and a state to go with it, both or neither, between two messages.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use futures::poll;
use undying::{
    Callback, Context, Crash, CrashKind, ExitReason, GenServer, Never, Next, Outcome, Reply, Restart,
    ServerRef, ServerSpec, StateMut, SysError,
};

use crate::{
    crash::script::soon,
    support::{Gate, inject},
};

/// Adds steps of its own length.
#[derive(Clone)]
struct Walker {
    step: u64,
    /// What this incarnation has done; volatile.
    steps: u64,
    ends: Arc<AtomicUsize>,
    restarts: Arc<AtomicUsize>,
}

/// The length of a step, the steps of this incarnation, and the way.
type Told = (u64, u64, u64);

enum Cast {
    Step,
    Hold(Gate),
    Crash,
}

impl GenServer for Walker {
    type State = u64;
    type Call = Reply<Told>;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        reply: Reply<Told>,
        way: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send((self.step, self.steps, *way));
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut way: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Step => {
                self.steps += 1;
                *way += self.step;
            }
            Cast::Hold(gate) => {
                gate.pass().await;
                self.steps += 1;
                *way += self.step;
            }
            Cast::Crash => inject(),
        }
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, _: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        self.ends.fetch_add(1, Ordering::SeqCst);
    }
}

fn walker(step: u64) -> Walker {
    Walker { step, steps: 0, ends: Arc::default(), restarts: Arc::default() }
}

async fn start() -> (ServerRef<Walker>, Walker) {
    let walker = walker(1);
    let server = ServerSpec::new(walker.clone(), 0).start().await.expect("it starts");
    (server, walker)
}

async fn step(server: &ServerRef<Walker>) {
    soon(server.cast(Cast::Step)).await.expect("a server");
}

async fn told(server: &ServerRef<Walker>) -> Told {
    soon(server.call(|reply| reply)).await.expect("served")
}

/// Crashes the server, and waits for the next incarnation.
async fn crash(server: &ServerRef<Walker>) {
    let next = server.incarnation() + 1;
    soon(server.cast(Cast::Crash)).await.expect("a server");
    soon(server.wait_incarnation(next)).await.expect("restarts");
}

both! {
    /// IS10: an upgrade gives the server a new behaviour and changes its state, which is committed; later incarnations
    /// are of the new behaviour. Nothing is restarted for it.
    async fn an_upgrade_changes_behaviour_and_state() {
        let (server, old) = start().await;
        step(&server).await;
        assert_eq!(told(&server).await, (1, 1, 1));
        soon(server.sys().upgrade(|| walker(10), |way| {
            *way += 100;
            Ok(())
        }))
        .await
        .expect("a server");
        assert_eq!((*server.peek(), server.peek().version()), (101, 2));
        assert_eq!(told(&server).await, (10, 0, 101));
        step(&server).await;
        assert_eq!(told(&server).await, (10, 1, 111));
        assert_eq!(server.incarnation(), 1);
        assert_eq!((old.ends.load(Ordering::SeqCst), old.restarts.load(Ordering::SeqCst)), (0, 0));
        for _ in 0..3 {
            crash(&server).await;
            assert_eq!(told(&server).await, (10, 0, 111));
        }
        let exit = soon(server.stop()).await.expect("a server");
        assert_eq!(*exit.state, 111);
        assert_eq!(old.ends.load(Ordering::SeqCst), 0, "it was the new one that ended");
    }

    /// IS10: an upgrade whose change of the state fails, by an error or a panic, or whose new behaviour cannot be
    /// made, changes neither; the server goes on, and later incarnations are of the old behaviour.
    async fn an_upgrade_that_fails_changes_nothing() {
        let (server, old) = start().await;
        step(&server).await;
        assert_eq!(told(&server).await, (1, 1, 1));
        let fails = |way: &mut u64| {
            *way += 100;
            Err(Crash::msg("test: no way"))
        };
        match soon(server.sys().upgrade(|| walker(10), fails)).await {
            Err(SysError::Crashed(report)) => {
                assert_eq!(report.message(), "test: no way");
                assert_eq!((report.callback(), report.kind()), (Callback::System, CrashKind::Error));
                assert_eq!((report.incarnation(), report.version()), (1, 1));
            }
            other => panic!("{other:?}"),
        }
        let panics = |way: &mut u64| {
            *way += 100;
            inject()
        };
        let refused = soon(server.sys().upgrade(|| walker(10), panics)).await;
        let Err(SysError::Crashed(report)) = refused else { panic!("{refused:?}") };
        assert_eq!(report.kind(), CrashKind::Panic);
        let changes = |way: &mut u64| {
            *way += 100;
            Ok(())
        };
        let refused = soon(server.sys().upgrade(|| inject(), changes)).await;
        let Err(SysError::Crashed(report)) = refused else { panic!("{refused:?}") };
        assert_eq!(report.kind(), CrashKind::Panic);

        assert_eq!((*server.peek(), server.peek().version(), server.incarnation()), (1, 1, 1));
        // It is the very same value that goes on.
        assert_eq!(told(&server).await, (1, 1, 1));
        step(&server).await;
        crash(&server).await;
        assert_eq!(told(&server).await, (1, 0, 2));
        assert_eq!(old.restarts.load(Ordering::SeqCst), 1);
    }

    /// IS10 K10: an upgrade happens between two messages: the one in hand is still done the old way, and those that
    /// are queued are done the new way.
    async fn an_upgrade_happens_between_two_messages() {
        let (server, _old) = start().await;
        let gate = Gate::new();
        soon(server.cast(Cast::Hold(gate.clone()))).await.expect("a server");
        soon(gate.arrived()).await;
        for _ in 0..3 {
            step(&server).await;
        }
        let sys = server.sys();
        let mut upgraded = Box::pin(sys.upgrade(|| walker(10), |way| {
            *way += 100;
            Ok(())
        }));
        assert!(poll!(&mut upgraded).is_pending());
        gate.open();
        soon(upgraded).await.expect("a server");
        assert_eq!(told(&server).await, (10, 3, 1 + 100 + 30));
    }

    /// IS10: it can be done while the server is suspended, as OTP has it; and again and again.
    async fn a_suspended_server_can_be_upgraded() {
        let (server, _old) = start().await;
        let sys = server.sys();
        soon(sys.suspend()).await.expect("a server");
        step(&server).await;
        for n in 2..=5 {
            soon(sys.upgrade(move || walker(n), |way| {
                *way += 1;
                Ok(())
            }))
            .await
            .expect("a server");
        }
        assert_eq!((*server.peek(), server.mailbox_len()), (4, 1));
        server.kill_worker();
        soon(server.wait_incarnation(2)).await.expect("restarts");
        soon(sys.resume()).await.expect("a server");
        assert_eq!(told(&server).await, (5, 1, 9));
    }

    /// IS10: an upgrade that leaves the state as it is changes the behaviour all the same.
    async fn an_upgrade_need_not_change_the_state() {
        let (server, _old) = start().await;
        soon(server.sys().upgrade(|| walker(10), |_| Ok(()))).await.expect("a server");
        assert_eq!(*server.peek(), 0);
        step(&server).await;
        assert_eq!(told(&server).await, (10, 1, 10));
    }

    /// IS10: under load each step is either of the old length or of the new one, and all the old ones come first.
    async fn an_upgrade_under_load_is_atomic() {
        const STEPS: u64 = 500;

        for _ in 0..20 {
            let (server, _old) = start().await;
            let walk = tokio::spawn({
                let server = server.clone();
                async move {
                    for _ in 0..STEPS {
                        step(&server).await;
                        tokio::task::yield_now().await;
                    }
                }
            });
            let before = Arc::new(AtomicU64::new(0));
            let seen = before.clone();
            soon(server.sys().upgrade(|| walker(10_000), move |way| {
                seen.store(*way, Ordering::SeqCst);
                Ok(())
            }))
            .await
            .expect("a server");
            soon(walk).await.expect("joined");
            let before = before.load(Ordering::SeqCst);
            let (length, steps, way) = told(&server).await;
            assert_eq!((length, steps, way), (10_000, STEPS - before, before + (STEPS - before) * 10_000));
        }
    }
}
