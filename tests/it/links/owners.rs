//! Owners: a server that ends with the server or the task that it belongs to.

use std::future::pending;

use tokio::task::yield_now;
use undying::{
    CallError, Context, GenServer, Never, Next, Outcome, Registry, ServerRef, ServerSpec, StartError,
    StateMut, WhereisError,
};

use super::{ABNORMAL_ENDS, NORMAL_ENDS, ended, mortal, noted, start_mortal, start_noted};
use crate::{
    crash::script::{Job, Script, ask, crash, get, serves, slow, soon, start, stop},
    effects::{Log, Plain, tasks},
    support::{Gate, RACES, inject, until},
};

/// A server that belongs to `owner`, and the notes of its `terminate`.
async fn owned(owner: &Plain) -> (Plain, Log<String>) {
    let log = Log::new();
    (noted(&log).start_link(owner).await.expect("it starts"), log)
}

/// Waits at a gate in its `init`.
#[derive(Clone)]
struct Slow(Gate);

impl GenServer for Slow {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.0.pass().await;
        Ok(Next::Wait)
    }
}

async fn end_of<S: GenServer>(server: &ServerRef<S>) -> String {
    soon(server.stopped()).await.reason.to_string()
}

both! {
    /// LM5: an abnormal end of the owner ends its server in good order, with the same reason.
    async fn an_abnormal_end_of_the_owner_ends_its_server() {
        for (name, end) in ABNORMAL_ENDS {
            let owner = start_mortal().await;
            let (server, terminated) = owned(&owner).await;
            end(&owner);
            let reason = end_of(&owner).await;
            assert!(reason.starts_with(name), "{reason}");
            assert_eq!(end_of(&server).await, reason);
            assert_eq!((terminated.notes(), server.incarnation()), (vec![reason], 1));
        }
    }

    /// LM5: a normal end of the owner leaves its server alone.
    async fn a_normal_end_of_the_owner_leaves_its_server_alone() {
        for (_, end) in NORMAL_ENDS {
            let owner = start_mortal().await;
            let (server, terminated) = owned(&owner).await;
            end(&owner);
            end_of(&owner).await;
            ask(&server, get).await;
            assert_eq!(terminated.len(), 0);
            stop(&server).await;
        }
    }

    /// LM5: crashes of the owner are none of its server's business.
    async fn a_crash_of_the_owner_is_not_its_end() {
        let owner = start(()).await;
        let (server, terminated) = owned(&owner).await;
        for incarnation in 2..12 {
            crash(&owner).await;
            serves(&owner, incarnation).await;
        }
        crash(&server).await;
        serves(&server, 2).await;
        assert_eq!(terminated.len(), 1, "of its own crash");
        owner.kill();
        assert_eq!(end_of(&server).await, "killed");
        assert_eq!(terminated.len(), 2);
    }

    /// LM5: the end of a server is nothing to its owner, whatever it was.
    async fn the_end_of_a_server_is_nothing_to_its_owner() {
        for (name, end) in NORMAL_ENDS.iter().chain(ABNORMAL_ENDS) {
            let owner = start(()).await;
            let server = mortal().start_link(&owner).await.expect("it starts");
            end(&server);
            let reason = end_of(&server).await;
            assert!(reason.starts_with(name), "{reason}");
            ask(&owner, get).await;
            assert_eq!(owner.incarnation(), 1);
        }
    }

    /// LM5: an owner that is over owns nothing: the server is not started, and its name stays free.
    async fn an_owner_that_is_over_owns_nothing() {
        let (names, baseline) = (Registry::new(), tasks());
        for end in NORMAL_ENDS.iter().chain(ABNORMAL_ENDS) {
            let (owner, _) = ended(end).await;
            let log = Log::new();
            let refused = noted(&log).name_in(&names, "owned").start_link(&owner).await;
            assert!(matches!(refused, Err(StartError::OwnerGone)), "{refused:?}");
            assert!(matches!(names.whereis::<Script<()>>("owned"), Err(WhereisError::NotFound)));
            until("nothing is left", || tasks() == baseline).await;
            assert_eq!(log.len(), 0);
        }
    }

    /// LM5: an owner may start what it owns from one of its own callbacks.
    async fn an_owner_can_start_from_a_callback() {
        let (owner, log) = (start_mortal().await, Log::new());
        let spec = noted(&log);
        let server: Plain = ask(&owner, |reply| -> Job<()> {
            slow(move |_, cx| {
                Box::pin(async move {
                    let itself = cx.server();
                    reply.send(spec.start_link(&itself).await?);
                    Ok(Next::Wait)
                })
            })
        })
        .await;
        ask(&server, get).await;
        owner.kill();
        assert_eq!(end_of(&server).await, "killed");
        assert_eq!(log.notes(), ["killed"]);
    }

    /// LM5: whenever the owner is killed, what it was to own is not there afterwards.
    async fn a_start_that_races_the_end_of_its_owner_leaves_nothing() {
        let (names, baseline) = (Registry::new(), tasks());
        for round in 0..RACES {
            let (owner, log) = (start_mortal().await, Log::new());
            let spec = noted(&log).name_in(&names, "owned");
            let killed = owner.clone();
            let starts = tokio::spawn(async move { spec.start_link(&owner).await });
            for _ in 0..round % 6 {
                yield_now().await;
            }
            killed.kill();
            if let Ok(server) = soon(starts).await.expect("joined") {
                assert_eq!(end_of(&server).await, "killed", "in round {round}");
            }
            until("nothing is left", || names.names().is_empty() && tasks() == baseline).await;
        }
    }

    /// LM5: an owner that ends while what it owns is still in its `init` is no owner any more.
    async fn an_owner_that_ends_during_init_leaves_nothing() {
        let (baseline, gate) = (tasks(), Gate::new());
        let owner = start_mortal().await;
        let (spec, starts) = (ServerSpec::new(Slow(gate.clone()), ()), owner.clone());
        let starts = tokio::spawn(async move { spec.start_link(&starts).await });
        soon(gate.arrived()).await;
        owner.kill();
        soon(owner.stopped()).await;
        gate.open();
        if let Ok(server) = soon(starts).await.expect("joined") {
            assert_eq!(end_of(&server).await, "killed");
        }
        until("nothing is left", || tasks() == baseline).await;
    }

    /// LM5: any end of the task that holds a guard ends the server in good order: a return, a panic, an abort.
    async fn any_end_of_a_task_ends_what_it_guards() {
        for end in 0..3 {
            let log = Log::new();
            let server = noted(&log).start().await.expect("it starts");
            let (guard, gate) = (server.clone().into_guard(), Gate::new());
            let at = gate.clone();
            let task = tokio::spawn(async move {
                let guard = guard;
                ask(&guard, get).await;
                at.pass().await;
                match end {
                    0 => {}
                    1 => inject(),
                    _ => pending().await,
                }
            });
            soon(gate.arrived()).await;
            ask(&server, get).await;
            gate.open();
            if end == 2 {
                task.abort();
            }
            assert_eq!(end_of(&server).await, "shutdown");
            assert_eq!(log.notes(), ["shutdown"]);
            assert_eq!(soon(task).await.is_ok(), end == 0);
        }
    }

    /// LM5: a guard that lets go of its server lets it live.
    async fn a_guard_can_let_its_server_live() {
        let (server, log) = start_noted().await;
        let guard = server.clone().into_guard();
        let released: Plain = guard.release();
        assert_eq!(released.id(), server.id());
        drop(released);
        ask(&server, get).await;
        assert_eq!(log.len(), 0);
        drop(server.clone().into_guard());
        assert_eq!(end_of(&server).await, "shutdown");
        let late = soon(server.call(get)).await;
        assert!(matches!(late, Err(CallError::NoProc)), "{late:?}");
    }
}
