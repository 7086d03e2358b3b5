//! Callers, lookups and requests that meet a server at the very moment of its death.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::task::yield_now;
use undying::{
    CallError, CrashKind, ExitReason, Registry, RestartPolicy, ServerSpec, Status, Supervisor, SupervisorRef,
};

use super::super::{Kid, SECOND, answers, dies, kid, rise, settled, status};
use crate::{
    crash::script::{Script, add, serves, soon},
    support::RACES,
};

/// A tree whose only child, `x`, of that name, is always restarted.
async fn phoenix(names: &Registry) -> (SupervisorRef, Kid) {
    let spec = ServerSpec::new(Script::new(), 0_u64).id("x").name_in(names, "x");
    let spec = spec.restart(RestartPolicy::Permanent);
    let sup = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(spec)).await;
    let x = kid(&sup, "x");
    (sup, x)
}

/// Runs `look` over and over beside what the test does, until the answer is dropped.
fn beside(mut look: impl FnMut() + Send + 'static) -> Beside {
    let done = Arc::new(AtomicBool::new(false));
    let over = done.clone();
    let task = tokio::spawn(async move {
        let mut looks = 0_u64;
        while !over.load(SeqCst) {
            look();
            looks += 1;
            yield_now().await;
        }
        looks
    });
    Beside { done, task }
}

struct Beside {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Beside {
    async fn finish(self) {
        self.done.store(true, SeqCst);
        assert!(soon(self.task).await.expect("no look failed") > 0);
    }
}

both! {
    /// NR3: however often a parent restarts a server, its name leads to it all the time, and it is never said to be over.
    async fn a_name_always_leads_to_the_server() {
        let names = Registry::new();
        let (sup, x) = phoenix(&names).await;
        let looking = beside({
            let (names, x, sup) = (names.clone(), x.clone(), sup.clone());
            move || {
                let found = names.whereis::<Script<u64>>("x").expect("it has the name");
                assert_eq!(found.id(), x.id());
                assert!(x.is_alive());
                assert_ne!(x.status(), Status::Terminated);
                assert_eq!(kid(&sup, "x").id(), x.id());
                let seen = status(&sup, "x").expect("listed");
                assert!(matches!(seen, Status::Running | Status::Restarting), "{seen:?}");
                assert!(names.names() == ["x"]);
            }
        });
        for _ in 0..RACES {
            dies(&x).await;
            yield_now().await;
        }
        looking.finish().await;
        soon(sup.stop()).await.expect("it stops");
        assert!(names.names().is_empty());
    }

    /// K13: a call that meets a death is served by one of the two lives, or learns how the first one ended; nothing else.
    async fn a_call_that_meets_a_death_is_answered() {
        let (sup, x) = phoenix(&Registry::new()).await;
        for round in 0..RACES {
            let before = x.incarnation();
            let calls: Vec<_> = (0..4)
                .map(|n| {
                    let x = x.clone();
                    tokio::spawn(async move {
                        for _ in 0..(round + n) % 5 {
                            yield_now().await;
                        }
                        x.call(add).no_timeout().await
                    })
                })
                .collect();
            for _ in 0..round % 4 {
                yield_now().await;
            }
            x.kill();
            for call in calls {
                match soon(call).await.expect("joined") {
                    Ok(_) | Err(CallError::Stopped(ExitReason::Killed)) => {}
                    other => panic!("round {round}: {other:?}"),
                }
            }
            serves(&x, before + 1).await;
        }
        assert_eq!(x.incarnation(), RACES as u64 + 1);
        soon(sup.stop()).await.expect("it stops");
    }

    /// LM8: a monitor that is set at the moment of a death tells of that life or of a later one: once, and of a true end.
    async fn a_monitor_that_meets_a_death_tells_once() {
        let (sup, x) = phoenix(&Registry::new()).await;
        let mut monitors = Vec::new();
        for round in 0..RACES {
            let before = x.incarnation();
            #[expect(clippy::async_yields_async, reason = "it is set at that moment, and awaited at the end")]
            let setting = tokio::spawn({
                let x = x.clone();
                async move {
                    for _ in 0..round % 5 {
                        yield_now().await;
                    }
                    x.monitor()
                }
            });
            yield_now().await;
            x.kill();
            monitors.push(soon(setting).await.expect("joined"));
            serves(&x, before + 1).await;
        }
        soon(sup.stop()).await.expect("it stops");
        for monitor in monitors {
            let reason = soon(monitor).await.reason;
            assert!(matches!(reason, ExitReason::Killed | ExitReason::Shutdown), "{reason}");
        }
    }

    /// SP13: stops of a permanent child that meet its death all return, and the child is there after them.
    async fn a_stop_that_meets_a_death_returns() {
        let (sup, x) = phoenix(&Registry::new()).await;
        for round in 0..RACES {
            let before = x.incarnation();
            let stops: Vec<_> = (0..3)
                .map(|n| {
                    let x = x.clone();
                    tokio::spawn(async move {
                        for _ in 0..(round + n) % 5 {
                            yield_now().await;
                        }
                        x.stop().await.map(|exit| exit.reason)
                    })
                })
                .collect();
            x.kill();
            for stop in stops {
                match soon(stop).await.expect("joined") {
                    Ok(ExitReason::Normal | ExitReason::Killed) => {}
                    // It has met a life that was killed before it served.
                    Ok(ExitReason::Crashed(report)) if report.kind() == CrashKind::Kill => {}
                    other => panic!("round {round}: {other:?}"),
                }
            }
            // A stop that comes in the gap is an end of its own.
            soon(x.wait_incarnation(before + 1)).await.expect("it is restarted");
            answers(&x).await;
        }
        assert_eq!(status(&sup, "x"), Some(Status::Running));
        soon(sup.stop()).await.expect("it stops");
    }

    /// K13: kills that come one upon the other, also in the gap, leave a server that serves.
    async fn kills_upon_kills_leave_a_server_that_serves() {
        let (sup, x) = phoenix(&Registry::new()).await;
        for round in 0..RACES {
            for _ in 0..=round % 7 {
                x.kill();
                yield_now().await;
            }
            answers(&x).await;
        }
        settled(&sup).await;
        assert!(sup.is_alive());
        soon(sup.stop()).await.expect("it stops");
        assert!(!x.is_alive());
    }
}
