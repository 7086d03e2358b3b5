//! The whole subtree, and two supervisors, under very many schedules: callers against kills, stops, crashes and each other.
//!
//! Time stands outside of these models: no deadline is set, so nothing ever waits for one.

use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex},
    time::Duration,
};

use shuttle::future::{block_on, spawn, yield_now};

use crate::{
    context::Context,
    error::CallError,
    exit::ExitReason,
    gen_server::{GenServer, Never, Next, Outcome},
    listener::{Listener, Started, StateChanged, Terminated},
    options::{Dispatch, Shutdown},
    preserve::StateMut,
    reply::Reply,
    server_ref::ServerRef,
    spec::ServerSpec,
    sync::check::{holds, is_found_broken},
    tree::DynamicSupervisor,
};

#[derive(Clone)]
struct Tally {
    /// The seeded bug: its answers are heard before what they speak of is kept.
    early: bool,
}

enum Call {
    Add(Reply<u64>),
    Crash(Reply<()>),
}

impl GenServer for Tally {
    type State = u64;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut count: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Add(reply) => {
                *count += 1;
                let now = *count;
                if self.early {
                    // Another task is not inside the callback, so nothing holds the answer back.
                    spawn(async move { reply.send(now) }).await.expect("nobody aborts it");
                } else {
                    reply.send(now);
                }
                yield_now().await;
                Ok(Next::Wait)
            }
            Call::Crash(reply) => {
                reply.send(());
                resume_unwind(Box::new("as it was asked to"))
            }
        }
    }
}

fn spec() -> ServerSpec<Tally> {
    ServerSpec::new(Tally { early: false }, 0).kill_grace(Duration::MAX)
}

/// Adds one `times` times; tells how often that was acknowledged. All else that callers hear means that it was not done (G2).
async fn add(server: ServerRef<Tally>, times: u64) -> u64 {
    let mut acknowledged = 0;
    for _ in 0..times {
        match server.call(Call::Add).no_timeout().await {
            Ok(_) => acknowledged += 1,
            Err(CallError::Crashed(_) | CallError::Stopped(_) | CallError::NoProc) => {}
            Err(other) => panic!("{other}"),
        }
    }
    acknowledged
}

/// Everything that was acknowledged is kept, and nothing else (G1, G2), whoever runs the callbacks.
fn callers_against_kills(early: bool, dispatch: Dispatch) {
    block_on(async move {
        let spec = ServerSpec::new(Tally { early }, 0).kill_grace(Duration::MAX).dispatch(dispatch);
        let server = spec.start().await.expect("it starts");
        let callers = [1, 2].map(|times| spawn(add(server.clone(), times)));
        let killed = server.clone();
        let nemesis = spawn(async move { killed.kill_worker() });
        let mut acknowledged = 0;
        for caller in callers {
            acknowledged += caller.await.expect("nobody aborts it");
        }
        nemesis.await.expect("nobody aborts it");
        assert_eq!(*server.peek(), acknowledged);
        server.stop().await.expect("nobody else has stopped it");
    });
}

/// G1, G2: commits race with a kill.
#[test]
fn what_was_acknowledged_survives_a_kill_and_nothing_else_does() {
    holds(|| callers_against_kills(false, Dispatch::Direct));
}

/// G1, G2: the same, where the worker's task runs all callbacks.
#[test]
fn what_was_acknowledged_survives_a_kill_where_all_is_queued() {
    holds(|| callers_against_kills(false, Dispatch::Queued));
}

/// K1: a server that answers before its commit is found out.
#[test]
fn an_answer_before_the_commit_is_found() {
    is_found_broken(|| callers_against_kills(true, Dispatch::Direct));
}

/// K4: two kills at the same time cost one incarnation or two, and the state neither.
#[test]
fn two_kills_at_a_time_are_survived() {
    holds(|| {
        block_on(async {
            let server = spec().start().await.expect("it starts");
            let kills =
                [server.clone(), server.clone()].map(|server| spawn(async move { server.kill_worker() }));
            let acknowledged = add(server.clone(), 1).await;
            for kill in kills {
                kill.await.expect("nobody aborts it");
            }
            let after = add(server.clone(), 1).await;
            assert_eq!(*server.peek(), acknowledged + after);
            assert!(server.incarnation() <= 3);
            server.stop().await.expect("nobody else has stopped it");
        });
    });
}

/// K13: whoever calls while the server stops has an answer, and what was acknowledged is in the last state.
#[test]
fn a_stop_answers_whoever_calls() {
    holds(|| {
        block_on(async {
            let server = spec().start().await.expect("it starts");
            let callers = [1, 1].map(|times| spawn(add(server.clone(), times)));
            let end = spawn({
                let server = server.clone();
                async move { server.stopped().await }
            });
            server.stop().await.expect("nobody else stops it");
            let mut acknowledged = 0;
            for caller in callers {
                acknowledged += caller.await.expect("nobody aborts it");
            }
            let end = end.await.expect("nobody aborts it");
            assert!(matches!(end.reason, ExitReason::Normal), "{}", end.reason);
            assert_eq!(*end.state, acknowledged);
        });
    });
}

/// G9: the crash beyond the limit ends the server, and answers whoever waits.
#[test]
fn the_limit_of_restarts_answers_whoever_waits() {
    holds(|| {
        block_on(async {
            let server = spec().max_restarts(1, Duration::MAX).start().await.expect("it starts");
            let crashes = [server.clone(), server.clone()].map(|server| {
                spawn(async move {
                    let crashed = server.call(Call::Crash).no_timeout().await;
                    assert!(matches!(crashed, Err(CallError::Crashed(_))), "{crashed:?}");
                })
            });
            let acknowledged = spawn(add(server.clone(), 2));
            let end = server.stopped().await;
            for crash in crashes {
                crash.await.expect("nobody aborts it");
            }
            let acknowledged = acknowledged.await.expect("nobody aborts it");
            assert!(matches!(end.reason, ExitReason::RestartLimit { .. }), "{}", end.reason);
            assert_eq!(*end.state, acknowledged);
        });
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Started(u64),
    Changed(u64, u64),
    Terminated(u64),
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Heard>>>);

impl Log {
    fn note(&self, heard: Heard) {
        self.0.lock().expect("nobody panics with it").push(heard);
    }

    /// G7, G8: one start, an unbroken chain of changes, one end.
    fn is_whole(&self, last: u64) {
        let heard = self.0.lock().expect("nobody panics with it");
        let [Heard::Started(0), changes @ .., Heard::Terminated(end)] = &heard[..] else {
            panic!("{heard:?}")
        };
        let mut at = 0;
        for change in changes {
            let Heard::Changed(from, to) = change else { panic!("{heard:?}") };
            assert_eq!(*from, at, "{heard:?}");
            at = *to;
        }
        assert_eq!((at, *end), (last, last), "{heard:?}");
    }
}

impl Listener<Tally> for Log {
    fn started(&self, event: &Started<'_, Tally>) {
        self.note(Heard::Started(*event.state));
    }

    fn state_changed(&self, event: &StateChanged<'_, Tally>) {
        self.note(Heard::Changed(*event.old, *event.new));
    }

    fn terminated(&self, event: &Terminated<'_, Tally>) {
        self.note(Heard::Terminated(*event.state));
    }
}

/// G7, G8: a listener hears all of it, in order, whenever the server stops.
#[test]
fn a_listener_hears_a_whole_history_before_a_stop_is_over() {
    holds(|| {
        block_on(async {
            let log = Log::default();
            let server = spec().listener(log.clone()).start().await.expect("it starts");
            let caller = spawn(add(server.clone(), 2));
            server.stop().await.expect("nobody else stops it");
            let acknowledged = caller.await.expect("nobody aborts it");
            log.is_whole(acknowledged);
        });
    });
}

/// K12: the death of a keeper costs no event.
#[cfg(feature = "chaos")]
#[test]
fn a_listener_hears_a_whole_history_whenever_its_keeper_is_killed() {
    holds(|| {
        block_on(async {
            let log = Log::default();
            let server = spec().listener(log.clone()).start().await.expect("it starts");
            let caller = spawn(add(server.clone(), 2));
            server.chaos().kill_keeper();
            let acknowledged = caller.await.expect("nobody aborts it");
            server.stop().await.expect("nobody else stops it");
            log.is_whole(acknowledged);
        });
    });
}

/// TR6: a server is handed from one supervisor to another between two messages, and nobody who calls it notices.
#[test]
fn a_transfer_loses_no_call() {
    holds(|| {
        block_on(async {
            let [from, to] = [DynamicSupervisor::builder(), DynamicSupervisor::builder()];
            let (from, to) = (from.start().await.expect("it starts"), to.start().await.expect("it starts"));
            let server = from.start_child(spec().shutdown(Shutdown::Infinity)).await.expect("it starts");
            let callers = [1, 2].map(|times| spawn(add(server.clone(), times)));
            let id = server.id();
            let moved = spawn({
                let to = to.clone();
                async move { from.transfer(id, &to).await.map(|()| from) }
            });
            for (times, caller) in (1..).zip(callers) {
                assert_eq!(caller.await.expect("nobody aborts it"), times);
            }
            let from = moved.await.expect("nobody aborts it").expect("nobody is in the way");
            from.stop().await.expect("nobody else has stopped it");
            assert_eq!((add(server.clone(), 1).await, *server.peek()), (1, 4));
            to.stop().await.expect("nobody else has stopped it");
            assert!(!server.is_alive());
        });
    });
}
