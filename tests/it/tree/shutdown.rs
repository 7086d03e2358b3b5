//! How a tree is stopped: in which order, how long each child is waited for, and what becomes of its messages.

mod ends;

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use undying::{
    CallError, Context, ExitReason, GenServer, Never, Next, Outcome, Registry, RestartPolicy, ServerRef,
    ServerSpec, Shutdown, StateMut, Status, StopError, Strategy, Supervisor, SupervisorRef,
};

use super::{Kid, Log, SECOND, child, dies, ids, kid, rise, status, word};
use crate::{
    crash::script::{Script, add, boom, get, inc, slow as job, soon, tell, wait_at},
    support::{Gate, RACES, until},
};

/// Takes its time, in callbacks and in `terminate`.
#[derive(Clone)]
struct Slow {
    id: &'static str,
    log: Log,
    takes: Duration,
}

impl GenServer for Slow {
    type State = ();
    type Call = Never;
    type Cast = Duration;
    type Info = Never;
    type Continue = Never;

    async fn handle_cast(
        &mut self,
        time: Duration,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        sleep(time).await;
        self.log.add(&format!("slept {}", self.id));
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, reason: &ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        self.log.add(&format!("{} {}", word(reason), self.id));
        sleep(self.takes).await;
        self.log.add(&format!("done {}", self.id));
    }
}

fn slow(id: &'static str, takes: Duration, log: &Log) -> ServerSpec<Slow> {
    ServerSpec::new(Slow { id, log: log.clone(), takes }, ()).id(id)
}

/// Has the child of that id do nothing else for so long.
async fn occupy(sup: &SupervisorRef, id: &str, time: Duration) {
    let server: ServerRef<Slow> = sup.server(id).expect("a child");
    server.cast(time).await.expect("alive");
    until("it is at it", || server.mailbox_len() == 0).await;
}

/// Stops a tree from a task of its own.
fn begin_stop(sup: &SupervisorRef) -> JoinHandle<Result<ExitReason, StopError>> {
    let sup = sup.clone();
    tokio::spawn(async move { sup.stop().await })
}

both! {
    /// SH1: children are stopped in the reverse order of their starts, those of an inner supervisor in its place.
    async fn children_are_stopped_in_reverse_order() {
        let log = Log::default();
        let inner = Supervisor::builder().id("inner").child(child("x", &log)).child(child("y", &log));
        let tree = Supervisor::builder().child(child("a", &log)).child(inner).child(child("b", &log));
        let sup = rise(tree).await;
        soon(sup.start_child(child("late", &log))).await.expect("it starts");
        assert_eq!(log.take(), ["+a", "+x", "+y", "+b", "+late"]);
        assert_eq!(word(&soon(sup.stop()).await.expect("it stops")), "normal");
        assert_eq!(log.take(), ["-late", "-b", "-y", "-x", "-a"]);
    }

    /// SH1: the reason of the children is `Shutdown`, whatever that of their supervisor.
    async fn children_end_with_shutdown() {
        let log = Log::default();
        let tree = Supervisor::builder().child(slow("a", Duration::ZERO, &log));
        let sup = rise(tree.child(Supervisor::builder().id("inner").child(child("x", &log)))).await;
        let (a, inner) =
            (sup.server::<Slow>("a").expect("a child"), sup.supervisor("inner").expect("a child"));
        let (down, x) = (a.monitor(), kid(&inner, "x"));
        soon(sup.stop()).await.expect("it stops");
        assert_eq!(word(&soon(down).await.reason), "shutdown");
        assert_eq!(word(&soon(a.stopped()).await.reason), "shutdown");
        assert_eq!(word(&soon(x.stopped()).await.reason), "shutdown");
        assert_eq!(word(&soon(inner.stopped()).await), "shutdown");
        assert_eq!(log.take(), ["+x", "-x", "shutdown a", "done a"]);
    }

    /// SP1 NR4: when `stop` returns, everything below is over and every name is free.
    async fn after_stop_nothing_is_left() {
        let names = Registry::new();
        for _ in 0..RACES {
            let log = Log::default();
            let inner = Supervisor::builder().id("inner").child(child("x", &log).name_in(&names, "x"));
            let sup =
                rise(Supervisor::builder().child(child("a", &log).name_in(&names, "a")).child(inner)).await;
            let (a, inner) = (kid(&sup, "a"), sup.supervisor("inner").expect("a child"));
            let x = kid(&inner, "x");
            soon(sup.stop()).await.expect("it stops");
            assert!(!a.is_alive() && !x.is_alive() && !inner.is_alive() && !sup.is_alive());
            assert!(names.names().is_empty());
            assert!(matches!(soon(a.call(get)).await, Err(CallError::NoProc)));
        }
    }

    /// SH3: a child that is to be killed does not terminate; the others do.
    async fn a_child_to_be_killed_does_not_terminate() {
        let log = Log::default();
        let tree = Supervisor::builder()
            .child(child("a", &log))
            .child(child("b", &log).shutdown(Shutdown::BrutalKill))
            .child(child("c", &log));
        let sup = rise(tree).await;
        let b = kid(&sup, "b");
        log.take();
        soon(sup.stop()).await.expect("it stops");
        assert_eq!(log.take(), ["-c", "-a"]);
        assert_eq!(word(&soon(b.stopped()).await.reason), "killed");
    }

    /// SH6: what was queued before is handled; what comes after the stop has reached a child is refused.
    async fn what_was_queued_before_is_handled() {
        let log = Log::default();
        let sup = rise(Supervisor::builder().child(child("a", &log)).child(child("b", &log))).await;
        let (a, b, gate) = (kid(&sup, "a"), kid(&sup, "b"), Gate::new());
        tell(&b, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        for _ in 0..3 {
            tell(&b, inc()).await;
        }
        let stop = begin_stop(&sup);
        until("b is told to stop", || b.try_cast(inc()).is_err()).await;
        let late = soon(b.call(add)).await;
        assert!(matches!(late, Err(CallError::Stopped(ExitReason::Shutdown))), "{late:?}");
        // It is not a's turn yet.
        assert_eq!(soon(a.call(add)).await.expect("served"), 1);
        let counted = b.mailbox_len();
        gate.open();
        soon(stop).await.expect("joined").expect("it stops");
        assert_eq!(*b.peek(), counted as u64);
        assert!(counted >= 3);
    }

    /// SH7: a shutdown in the middle of a callback lets it finish: its commit stands, `terminate` runs, nothing hangs.
    async fn a_shutdown_lets_a_callback_finish() {
        for _ in 0..RACES {
            let log = Log::default();
            let sup = rise(Supervisor::builder().child(child("a", &log)).child(child("b", &log))).await;
            let (b, gate) = (kid(&sup, "b"), Gate::new());
            let (there, done) = (gate.clone(), log.clone());
            tell(
                &b,
                job(move |mut state: StateMut<'_, Script<u64>>, _| {
                    Box::pin(async move {
                        there.pass().await;
                        *state += 41;
                        done.add("callback");
                        Ok(Next::Wait)
                    })
                }),
            )
            .await;
            soon(gate.arrived()).await;
            log.take();
            let stop = begin_stop(&sup);
            until("b is told to stop", || b.try_cast(inc()).is_err()).await;
            assert!(log.take().is_empty());
            let counted = b.mailbox_len() as u64;
            gate.open();
            soon(stop).await.expect("joined").expect("it stops");
            assert_eq!(log.take(), ["callback", "-b", "-a"]);
            assert_eq!(*b.peek(), 41 + counted);
        }
    }

    /// SH4: children that end by themselves meanwhile, for whatever reason, neither hold the shutdown up nor come back.
    async fn children_that_end_during_the_shutdown_do_not_matter() {
        for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
            let log = Log::default();
            let tree = ["killed", "limited", "stopped", "failed"]
                .iter()
                .map(|id| child(id, &log).restart(policy).max_restarts(0, SECOND))
                .fold(Supervisor::builder().max_restarts(0, SECOND), Supervisor::child);
            let sup = rise(tree.child(child("last", &log).shutdown(Shutdown::Infinity))).await;
            let (last, gate) = (kid(&sup, "last"), Gate::new());
            let kids: Vec<Kid> = ids(&sup)[..4].iter().map(|id| kid(&sup, id)).collect();
            tell(&last, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            let stop = begin_stop(&sup);
            until("the last is told to stop", || last.try_cast(inc()).is_err()).await;
            log.take();
            let ends: Vec<_> = kids.iter().map(Kid::monitor).collect();
            kids[0].kill();
            kids[1].try_cast(boom()).expect("room");
            let stopped = kids[2].clone();
            tokio::spawn(async move { stopped.stop().await });
            let failed = kids[3].clone();
            tokio::spawn(async move { failed.stop_with(ExitReason::error("test: fire")).await });
            for (end, reason) in ends.into_iter().zip(["killed", "limit", "normal", "crashed"]) {
                assert_eq!(word(&soon(end).await.reason), reason);
            }
            assert!(sup.is_alive());
            gate.open();
            assert_eq!(word(&soon(stop).await.expect("joined").expect("it stops")), "normal");
            let seen = log.take();
            assert!(!seen.iter().any(|line| line.starts_with('+')), "{policy:?}: {seen:?}");
            assert!(kids.iter().all(|kid| !kid.is_alive()));
        }
    }
}

/// SH3: a child is given as long as it says to finish what it is at and to terminate, and is killed if that is not enough.
#[tokio::test(start_paused = true)]
async fn a_child_is_given_its_time_and_no_more() {
    let log = Log::default();
    let given = |time| Shutdown::Timeout(time);
    let tree = Supervisor::builder()
        .child(slow("quick", SECOND, &log).shutdown(given(3 * SECOND)))
        .child(slow("late", 600 * SECOND, &log).shutdown(given(3 * SECOND)))
        .child(slow("busy", Duration::ZERO, &log).shutdown(given(3 * SECOND)));
    let sup = rise(tree).await;
    let reasons = ["quick", "late", "busy"].map(|id| sup.server::<Slow>(id).expect("a child").monitor());
    occupy(&sup, "busy", 600 * SECOND).await;
    let begun = Instant::now();
    assert_eq!(word(&sup.stop().await.expect("it stops")), "normal");
    assert_eq!(begun.elapsed(), (3 + 3 + 1) * SECOND);
    assert_eq!(log.take(), ["shutdown late", "shutdown quick", "done quick"]);
    for (monitor, reason) in reasons.into_iter().zip(["shutdown", "killed", "killed"]) {
        assert_eq!(word(&monitor.await.reason), reason);
    }
}

/// SH3: a server that nothing was said about is given 5 s, as in OTP.
#[tokio::test(start_paused = true)]
async fn a_server_is_given_five_seconds() {
    let log = Log::default();
    let sup = rise(Supervisor::builder().child(slow("a", 600 * SECOND, &log))).await;
    let begun = Instant::now();
    sup.stop().await.expect("it stops");
    assert_eq!((begun.elapsed(), log.take()), (5 * SECOND, vec!["shutdown a".into()]));
}

/// SH3: a child with all the time is waited for, however long it takes; so is a supervisor about which nothing was said.
#[tokio::test(start_paused = true)]
async fn a_child_with_all_the_time_is_waited_for() {
    let log = Log::default();
    let patient = || slow("a", 1000 * SECOND, &log).shutdown(Shutdown::Infinity);
    for tree in [
        Supervisor::builder().child(patient()),
        Supervisor::builder().child(Supervisor::builder().id("inner").child(patient())),
    ] {
        let sup = rise(tree).await;
        let begun = Instant::now();
        sup.stop().await.expect("it stops");
        assert_eq!(begun.elapsed(), 1000 * SECOND);
        assert_eq!(log.take(), ["shutdown a", "done a"]);
    }
}

/// SH3: an inner supervisor that is given a time, or none, takes all below it with it when that is over.
#[tokio::test(start_paused = true)]
async fn an_inner_supervisor_is_killed_with_all_below_it() {
    for (shutdown, takes, lines) in
        [(Shutdown::Timeout(2 * SECOND), 2, &["shutdown b"][..]), (Shutdown::BrutalKill, 0, &[][..])]
    {
        let (log, names) = (Log::default(), Registry::new());
        let patient = |id| slow(id, 600 * SECOND, &log).shutdown(Shutdown::Infinity).name_in(&names, id);
        let inner =
            Supervisor::builder().id("inner").shutdown(shutdown).child(patient("a")).child(patient("b"));
        let sup = rise(Supervisor::builder().child(inner)).await;
        let inner = sup.supervisor("inner").expect("a child");
        let kids = ["a", "b"].map(|id| inner.server::<Slow>(id).expect("a child"));
        let begun = Instant::now();
        assert_eq!(word(&sup.stop().await.expect("it stops")), "normal");
        assert_eq!(begun.elapsed(), takes * SECOND);
        assert_eq!(log.take(), lines);
        assert_eq!(word(&inner.stopped().await), "killed");
        for kid in kids {
            assert!(!kid.is_alive(), "nothing is over before its children are");
            assert_eq!(word(&kid.stopped().await.reason), "killed");
        }
        assert!(names.names().is_empty());
    }
}

/// SH5: a static supervisor stops its children one after the other, each after the end of the one before.
#[tokio::test(start_paused = true)]
async fn children_are_stopped_one_after_the_other() {
    let log = Log::default();
    let children = ["a", "b", "c"].map(|id| slow(id, 2 * SECOND, &log));
    let sup = rise(children.into_iter().fold(Supervisor::builder(), Supervisor::child)).await;
    let begun = Instant::now();
    sup.stop().await.expect("it stops");
    assert_eq!(begun.elapsed(), 6 * SECOND);
    assert_eq!(log.take(), ["shutdown c", "done c", "shutdown b", "done b", "shutdown a", "done a"]);
}

/// SH3: `terminate_child` and the restart of a group give a child its time as well.
#[tokio::test(start_paused = true)]
async fn a_terminated_child_is_given_its_time() {
    let log = Log::default();
    let spec = slow("a", 600 * SECOND, &log).shutdown(Shutdown::Timeout(2 * SECOND));
    let tree = Supervisor::builder().strategy(Strategy::OneForAll);
    let sup = rise(tree.child(spec).child(child("b", &log))).await;
    let begun = Instant::now();
    sup.terminate_child("a").await.expect("a child");
    assert_eq!(begun.elapsed(), 2 * SECOND);
    assert_eq!(status(&sup, "a"), Some(Status::Terminated));
    sup.restart_child("a").await.expect("it starts");
    dies(&kid(&sup, "b")).await;
    assert_eq!(begun.elapsed(), 4 * SECOND);
    assert_eq!(log.take(), ["+b", "shutdown a", "shutdown a", "+b"]);
}
