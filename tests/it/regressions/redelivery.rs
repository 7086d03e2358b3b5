//! Messages that are run again, while others do their worst.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::{JoinSet, yield_now};
use undying::{
    CallError, Context, Crash, ExitReason, GenServer, Never, Next, Outcome, Poison, Redelivery, Reply,
    ServerRef, ServerSpec, StateMut,
};

use super::kit::{Bomb, Fallout};
use crate::{
    crash::script::soon,
    support::{Gate, until},
};

/// Does what its messages say, each time that it is told so.
#[derive(Clone)]
struct Diligent;

#[derive(Clone)]
enum Deed {
    /// Adds a number to the state, and takes its time.
    Note(u64),
    Fail,
    /// Waits at the gate with something that is dangerous to drop.
    Hold(Gate, Bomb),
}

impl GenServer for Diligent {
    type State = Vec<u64>;
    type Call = (Deed, Reply<()>);
    type Cast = Deed;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        (deed, reply): Self::Call,
        state: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(());
        self.handle_cast(deed, state, cx).await
    }

    async fn handle_cast(
        &mut self,
        deed: Deed,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match deed {
            Deed::Note(n) => {
                state.push(n);
                for _ in 0..4 {
                    yield_now().await;
                }
            }
            Deed::Fail => return Err(Crash::msg("test: never")),
            Deed::Hold(gate, _bomb) => gate.pass().await,
        }
        Ok(Next::Wait)
    }
}

fn spec(max: u32) -> ServerSpec<Diligent> {
    ServerSpec::new(Diligent, Vec::new()).redelivery(Redelivery::Retry { max })
}

async fn do_this(server: &ServerRef<Diligent>, deed: Deed) -> Result<(), CallError> {
    soon(server.call(|reply| (deed, reply))).await
}

both! {
    /// CR7 K13: a kill ends the server, or the worker, and harms nobody who gives it, whatever the drop of the copy does that
    /// was kept to be run again.
    async fn a_kill_survives_the_drop_of_a_copy() {
        for max in [0, 1] {
            for whole in [true, false] {
                let (server, fallout) = (spec(max).start().await.expect("it starts"), Arc::<Fallout>::default());
                let (gate, runs) = (Gate::new(), if whole { 1 } else { 1 + max });
                soon(server.cast(Deed::Hold(gate.clone(), Bomb::new(&fallout)))).await.expect("alive");
                for _ in 0..runs {
                    soon(gate.arrived()).await;
                    let kill = AssertUnwindSafe(|| if whole { server.kill() } else { server.kill_worker() });
                    catch_unwind(kill).expect("it is not the killer's");
                }
                if !whole {
                    do_this(&server, Deed::Note(1)).await.expect("it serves");
                    assert_eq!((&*server.peek(), server.incarnation()), (&vec![1], 1 + u64::from(runs)));
                    server.kill();
                }
                let exit = soon(server.stopped()).await;
                assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
                // The message, and a copy for each time that it was run.
                until("all are dropped", || fallout.dropped() == 1 + runs as usize).await;
                assert_eq!(fallout.unwound(), 0);
            }
        }
    }

    /// CR7 SV14: a message that crashes each time it is run says nothing against the state, which is not given up for it.
    async fn a_message_that_always_crashes_is_no_poison() {
        for poison in [Poison::ResetToInitial, Poison::PreviousGood] {
            for restarts in [1, 2, 5] {
                let spec = spec(5).max_restarts(restarts, Duration::from_secs(3_600)).on_poison(poison);
                let server = spec.start().await.expect("it starts");
                for n in [1, 2] {
                    do_this(&server, Deed::Note(n)).await.expect("served");
                }
                let lost = do_this(&server, Deed::Fail).await;
                assert!(matches!(lost, Err(CallError::Crashed(_) | CallError::Stopped(_))), "{lost:?}");
                // Six crashes, and as many restarts as there may be.
                let exit = soon(server.stopped()).await;
                assert!(matches!(exit.reason, ExitReason::RestartLimit(_)), "{}", exit.reason);
                assert_eq!(*exit.state, [1, 2], "{poison:?}, {restarts}");
            }
        }
    }

    /// G1 G2 CR7: with many callers and kills without a pause, what was acknowledged is applied once, and what its caller
    /// heard to have crashed is not applied.
    async fn many_callers_under_kills_hear_the_truth() {
        const CLIENTS: u64 = 4;
        const CALLS: u64 = 100;

        let spec = spec(2).max_restarts(u32::MAX, Duration::from_secs(1));
        let server = spec.start().await.expect("it starts");
        let calm = Arc::new(AtomicBool::new(false));
        let nemesis = tokio::spawn({
            let (server, calm) = (server.clone(), calm.clone());
            async move {
                while !calm.load(SeqCst) {
                    server.kill_worker();
                    for _ in 0..fastrand::u32(0..8) {
                        yield_now().await;
                    }
                }
            }
        });
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let server = server.clone();
            clients.spawn(async move {
                let (mut acknowledged, mut crashed) = (Vec::new(), Vec::new());
                for n in client * CALLS..(client + 1) * CALLS {
                    match do_this(&server, Deed::Note(n)).await {
                        Ok(()) => acknowledged.push(n),
                        Err(CallError::Crashed(_)) => crashed.push(n),
                        Err(other) => panic!("{other}"),
                    }
                }
                (acknowledged, crashed)
            });
        }
        let (acknowledged, crashed): (Vec<_>, Vec<_>) = clients.join_all().await.into_iter().unzip();
        calm.store(true, SeqCst);
        nemesis.await.expect("the nemesis ends");
        let exit = soon(server.stop()).await.expect("alive");
        let mut applied = exit.state.to_vec();
        applied.sort_unstable();
        let mut acknowledged = acknowledged.concat();
        acknowledged.sort_unstable();
        assert_eq!(applied, acknowledged);
        assert_eq!((applied.len() + crashed.concat().len()) as u64, CLIENTS * CALLS);
    }
}
