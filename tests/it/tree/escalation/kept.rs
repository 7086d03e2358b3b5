//! What a restart by a parent begins with: a fresh state, or, if the spec says so, what was kept.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::poll;
use tokio::time::Instant;
use undying::{
    ExitReason, Next, Restart, RestartPolicy, ServerSpec, StateMut, Strategy, Supervisor, SupervisorRef,
};

use super::super::{Faults, Kid, Log, SECOND, child, dies, kid, lives, noting, rise, settled, word};
use crate::{
    crash::script::{
        Job, Script, add, ask, crash, get, inc, job, look, serves, slow, soon, stop, tell, wait_at,
    },
    support::{Gate, RACES, inject},
};

/// A child that notes `+x` for `init`, `~x` for `restarted`, and begins with 40.
fn spec(preserve: bool, log: &Log) -> ServerSpec<Script<u64>> {
    let noted = log.clone();
    let script = noting("x", log).on_restarted(move |_: &Restart, _: StateMut<'_, Script<u64>>| {
        noted.add("~x");
        Box::pin(async { Ok(Next::Wait) })
    });
    ServerSpec::new(script, 40).id("x").preserve_on_escalation(preserve).max_restarts(0, SECOND)
}

/// What makes a parent restart the child `x`; it returns when that serves again.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Kill,
    Limit,
    NormalEnd,
    AbnormalStop,
    Sibling,
    RestartChild,
    ParentKilled,
    ParentLimit,
}

const CAUSES: [Cause; 8] = [
    Cause::Kill,
    Cause::Limit,
    Cause::NormalEnd,
    Cause::AbnormalStop,
    Cause::Sibling,
    Cause::RestartChild,
    Cause::ParentKilled,
    Cause::ParentLimit,
];

impl Cause {
    async fn bring_about(self, top: &SupervisorRef, x: &Kid) {
        let parent = top.supervisor("parent").expect("a supervisor");
        let before = x.incarnation();
        match self {
            Self::Kill => x.kill(),
            Self::Limit => drop(crash(x).await),
            Self::NormalEnd => drop(stop(x).await),
            Self::AbnormalStop => {
                soon(x.stop_with(ExitReason::error("test: fire"))).await.expect("it stops");
            }
            Self::Sibling => kid(&parent, "sibling").kill(),
            Self::RestartChild => {
                soon(parent.terminate_child("x")).await.expect("a child");
                soon(parent.restart_child("x")).await.expect("it is down");
            }
            Self::ParentKilled => parent.kill(),
            Self::ParentLimit => {
                for life in 1..=4 {
                    x.kill();
                    lives(x, before + life).await;
                }
            }
        }
        lives(x, before + 1).await;
        settled(top).await;
        settled(&parent).await;
    }
}

async fn family(spec: ServerSpec<Script<u64>>, log: &Log) -> (SupervisorRef, Kid) {
    let parent = Supervisor::builder()
        .id("parent")
        .strategy(Strategy::OneForAll)
        .child(child("sibling", &Log::default()))
        .child(spec.restart(RestartPolicy::Permanent));
    let top = rise(Supervisor::builder().child(parent)).await;
    log.take();
    let x = kid(&top.supervisor("parent").expect("a supervisor"), "x");
    (top, x)
}

both! {
    /// RI8: a restart by a parent begins afresh, whatever made it: the state is as it was given, and `init` runs.
    async fn a_restart_by_a_parent_begins_afresh() {
        for cause in CAUSES {
            let log = Log::default();
            let (top, x) = family(spec(false, &log), &log).await;
            assert_eq!(ask(&x, add).await, 41);
            let version = x.peek().version();
            cause.bring_about(&top, &x).await;
            assert_eq!(ask(&x, get).await, 40, "{cause:?}");
            let seen = log.take();
            assert_eq!(seen.last().map(String::as_str), Some("+x"), "{cause:?}");
            assert!(!seen.contains(&"~x".into()), "{cause:?}: {seen:?}");
            assert!(x.peek().version() >= version && x.peek().incarnation() >= 2, "{cause:?}");
        }
    }

    /// RI8: with `preserve_on_escalation` it goes on with what was kept, whatever made it, and `restarted` runs.
    async fn a_restart_by_a_parent_goes_on_if_the_spec_says_so() {
        for cause in CAUSES {
            let log = Log::default();
            let (top, x) = family(spec(true, &log), &log).await;
            assert_eq!(ask(&x, add).await, 41);
            let version = x.peek().version();
            cause.bring_about(&top, &x).await;
            assert_eq!(ask(&x, add).await, 42, "{cause:?}");
            let seen = log.take();
            assert_eq!(seen.last().map(String::as_str), Some("~x"), "{cause:?}");
            assert!(!seen.contains(&"+x".into()), "{cause:?}: {seen:?}");
            assert!(x.peek().version() > version, "{cause:?}");
        }
    }

    /// RI8 CR3: what the callback that crashed had begun is in neither.
    async fn half_done_work_is_not_preserved() {
        let log = Log::default();
        let (_top, x) = family(spec(true, &log), &log).await;
        tell(
            &x,
            job(|state| {
                *state = 99;
                inject()
            }),
        )
        .await;
        serves(&x, 2).await;
        assert_eq!(ask(&x, get).await, 40);
    }

    /// RI8: what `restarted` is told is the end of the life before, and its changes are kept.
    async fn restarted_is_told_how_the_life_before_ended() {
        let (log, script) = (Log::default(), Script::new());
        let noted = log.clone();
        let script = script.on_restarted(move |why: &Restart, mut state: StateMut<'_, Script<u64>>| {
            noted.add(&format!("{} {}", word(why.reason()), why.incarnation()));
            Box::pin(async move {
                *state += 100;
                Ok(Next::Wait)
            })
        });
        let spec = ServerSpec::new(script, 0).id("x").preserve_on_escalation(true);
        let sup = rise(Supervisor::builder().child(spec)).await;
        let x = kid(&sup, "x");
        dies(&x).await;
        dies(&x).await;
        assert_eq!(log.take(), ["killed 2", "killed 3"]);
        assert_eq!(*x.peek(), 200);
    }

    /// RI8 CO6: a continue that was pending at the end of a life runs in the next one, once, before what is queued.
    async fn a_pending_continue_is_preserved() {
        for preserve in [true, false] {
            let log = Log::default();
            let (_top, x) = family(spec(preserve, &log), &log).await;
            let (gate, begun) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
            let (there, count) = (gate.clone(), begun.clone());
            let next: Job<u64> = job(move |state| {
                count.fetch_add(1, SeqCst);
                *state *= 2;
                Ok(Next::Wait)
            });
            let first = slow(move |mut state: StateMut<'_, Script<u64>>, _| {
                Box::pin(async move {
                    there.pass().await;
                    *state += 1;
                    Ok(Next::Continue(next))
                })
            });
            tell(&x, first).await;
            soon(gate.arrived()).await;
            // Suspended, the server commits the callback and does not go on.
            let sys = x.sys();
            let mut suspended = Box::pin(sys.suspend());
            assert!(poll!(&mut suspended).is_pending());
            gate.open();
            soon(suspended).await.expect("a server");
            assert_eq!((*x.peek(), begun.load(SeqCst)), (41, 0));
            dies(&x).await;
            soon(x.sys().resume()).await.expect("alive");
            assert_eq!(ask(&x, add).await, if preserve { 83 } else { 41 });
            assert_eq!(begun.load(SeqCst), usize::from(preserve));
        }
    }

    /// RI8 CO6: whenever the kill comes, a continue begins exactly once for each callback that was committed.
    async fn a_committed_continue_begins_exactly_once_across_lives() {
        for round in 0..RACES {
            let log = Log::default();
            let (top, x) = family(spec(true, &log), &log).await;
            let begun = Arc::new(AtomicUsize::new(0));
            let count = begun.clone();
            let next: Job<u64> = look(move |_| {
                count.fetch_add(1, SeqCst);
                Ok(Next::Wait)
            });
            tell(
                &x,
                job(move |state| {
                    *state += 1;
                    Ok(Next::Continue(next))
                }),
            )
            .await;
            for _ in 0..round % 6 {
                tokio::task::yield_now().await;
            }
            dies(&x).await;
            let committed = ask(&x, get).await - 40;
            assert_eq!(begun.load(SeqCst) as u64, committed, "round {round}");
            soon(top.stop()).await.expect("it stops");
        }
    }

    /// RI8: what is kept goes from life to life, however many there are.
    async fn the_state_is_preserved_through_many_lives() {
        let spec = ServerSpec::new(Script::new(), 0_u64).id("x").preserve_on_escalation(true);
        let sup = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(spec)).await;
        let x = kid(&sup, "x");
        for n in 1..=RACES as u64 {
            assert_eq!(ask(&x, add).await, n);
            dies(&x).await;
        }
        assert_eq!(x.peek().version(), RACES as u64);
    }

    /// RI8: a life that did not get to serve does not lose what the one before it had kept.
    async fn a_restart_that_fails_keeps_what_was_kept() {
        let faults = Faults::default();
        let broken = faults.clone();
        let script = Script::new().on_restarted(move |_: &Restart, mut state: StateMut<'_, Script<u64>>| {
            let broken = broken.clone();
            Box::pin(async move {
                *state += 1000;
                if broken.strike() {
                    inject()
                }
                *state -= 1000;
                Ok(Next::Wait)
            })
        });
        let spec = ServerSpec::new(script, 0).id("x").preserve_on_escalation(true).max_restarts(0, SECOND);
        let sup = rise(Supervisor::builder().max_restarts(9, SECOND).child(spec)).await;
        let x = kid(&sup, "x");
        assert_eq!(ask(&x, add).await, 1);
        faults.set(3);
        dies(&x).await;
        assert_eq!(ask(&x, add).await, 2);
    }

    /// RI8: of what was queued or waited for nothing is preserved: those who sent it were told of the end.
    async fn no_message_is_preserved() {
        let log = Log::default();
        let (_top, x) = family(spec(true, &log), &log).await;
        let gate = Gate::new();
        tell(&x, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        for _ in 0..5 {
            tell(&x, inc()).await;
        }
        dies(&x).await;
        assert_eq!(ask(&x, get).await, 40);
    }
}

/// RI8 TO5: the deadline of an idle timeout is kept with the rest, and is forgotten with it.
#[tokio::test(start_paused = true)]
async fn an_idle_deadline_is_preserved() {
    for preserve in [true, false] {
        let log = Log::default();
        let noted = log.clone();
        let script = Script::new().on_timeout(move |_: &mut u64| {
            noted.add("timeout");
            Ok(Next::Wait)
        });
        let spec = ServerSpec::new(script, 0).id("x").preserve_on_escalation(preserve);
        let sup = rise(Supervisor::builder().max_restarts(9, SECOND).child(spec)).await;
        let (x, begun) = (kid(&sup, "x"), Instant::now());
        tell(&x, look(|_| Ok(Next::Timeout(10 * SECOND)))).await;
        tokio::time::sleep(3 * SECOND).await;
        dies(&x).await;
        tokio::time::sleep_until(begun + 9 * SECOND).await;
        assert!(log.take().is_empty());
        tokio::time::sleep_until(begun + 11 * SECOND).await;
        assert_eq!(log.take().len(), usize::from(preserve));
    }
}
