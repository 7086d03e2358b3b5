//! Suspended servers: no callback runs, nothing is lost, and there is always a way out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::poll;
use tokio::{task::yield_now, time::Instant};
use undying::{CallError, ExitReason, Next, Reply, ServerRef, ServerSpec, StateMut, Status};

use super::{add_and_hold, note, state};
use crate::{
    crash::script::{
        Job, Script, add, ask, get, inc, job, look, serves, slow, soon, start, statistics, stop, tell,
        wait_at,
    },
    support::{Gate, RACES, quiet, until},
};

async fn suspend<T: undying::Preserve>(server: &ServerRef<Script<T>>) {
    soon(server.sys().suspend()).await.expect("a server");
}

async fn resume<T: undying::Preserve>(server: &ServerRef<Script<T>>) {
    soon(server.sys().resume()).await.expect("a server");
}

/// Gives everything that could run its turn, many times over.
async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// IS4: while a server is suspended casts wait and calls run out of time; when it is resumed all is handled in order.
/// Either may be done twice.
#[tokio::test(start_paused = true)]
async fn a_suspended_server_keeps_its_messages_waiting() {
    quiet();
    let server = start(Vec::new()).await;
    suspend(&server).await;
    suspend(&server).await;
    assert_eq!(server.status(), Status::Suspended);
    tell(&server, note(1)).await;
    server.send(note(2)).await.expect("a server");
    let begin = Instant::now();
    let late = server
        .call(|reply: Reply<()>| {
            job(move |log: &mut Vec<u64>| {
                log.push(3);
                reply.send(());
                Ok(Next::Wait)
            })
        })
        .await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    tell(&server, note(4)).await;
    settle().await;
    assert_eq!((server.peek().len(), server.mailbox_len()), (0, 4));
    assert_eq!(statistics(&server).await.messages_in, 0);
    resume(&server).await;
    assert_eq!(ask(&server, get).await, [1, 2, 3, 4]);
    resume(&server).await;
    assert_eq!(server.status(), Status::Running);
    tell(&server, note(5)).await;
    assert_eq!(ask(&server, get).await, [1, 2, 3, 4, 5]);
    assert_eq!(server.incarnation(), 1);
}

/// IS4: timers, idle timeouts and results of tasks wait, too, and are not lost: what came due meanwhile comes after the
/// resume, once.
#[tokio::test(start_paused = true)]
async fn what_comes_due_waits_for_the_resume() {
    quiet();
    let script = Script::new().on_timeout(|log: &mut Vec<u64>| {
        log.push(3);
        Ok(Next::Wait)
    });
    let server = ServerSpec::new(script, Vec::new()).start().await.expect("it starts");
    let arm: Job<Vec<u64>> = slow(|_, cx| {
        Box::pin(async move {
            cx.send_after(Duration::from_secs(1), note(1));
            cx.spawn(tokio::time::sleep(Duration::from_secs(2)), |_| note(2));
            Ok(Next::Wait)
        })
    });
    tell(&server, arm).await;
    server.send_after(Duration::from_secs(3), note(4));
    until("it is armed", || server.mailbox_len() == 0).await;
    suspend(&server).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(server.peek().is_empty());
    resume(&server).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut log = (*server.peek()).clone();
    log.sort_unstable();
    assert_eq!(log, [1, 2, 4]);

    // The timeout by itself, for any message would cancel it.
    let idle = |reply: Reply<()>| {
        look(move |_: &Vec<u64>| {
            reply.send(());
            Ok(Next::Timeout(Duration::from_secs(1)))
        })
    };
    ask(&server, idle).await;
    suspend(&server).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(server.peek().len(), 3);
    resume(&server).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(server.peek()[3..], [3]);
}

both! {
    /// IS4: a suspension is in force once no callback runs any more: it waits for the one that does.
    async fn a_suspension_waits_for_the_running_callback() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        tell(&server, add_and_hold(&gate)).await;
        soon(gate.arrived()).await;
        tell(&server, inc()).await;
        let sys = server.sys();
        let mut suspended = Box::pin(sys.suspend());
        assert!(poll!(&mut suspended).is_pending());
        gate.open();
        soon(suspended).await.expect("a server");
        // That one is committed, and the queued one has not run.
        settle().await;
        assert_eq!((*server.peek(), server.mailbox_len()), (1, 1));
        resume(&server).await;
        assert_eq!(ask(&server, get).await, 2);
    }

    /// IS4: a suspension of a server whose running callback is killed is in force all the same.
    async fn a_suspension_does_not_need_the_callback_to_go_well() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        tell(&server, inc()).await;
        let sys = server.sys();
        let mut suspended = Box::pin(sys.suspend());
        assert!(poll!(&mut suspended).is_pending());
        server.kill_worker();
        soon(suspended).await.expect("a server");
        serves(&server, 2).await;
        settle().await;
        assert_eq!((*server.peek(), server.mailbox_len()), (0, 1));
        resume(&server).await;
        assert_eq!(ask(&server, get).await, 1);
    }

    /// IS4 CO1: a continue waits, too, and still runs before anything that is queued.
    async fn a_continue_waits_for_the_resume() {
        let (server, gate) = (start(Vec::new()).await, Gate::new());
        let at = gate.clone();
        tell(&server, slow(move |mut log: StateMut<'_, Script<Vec<u64>>>, _| Box::pin(async move {
            log.push(1);
            at.pass().await;
            Ok(Next::Continue(note(2)))
        })))
        .await;
        soon(gate.arrived()).await;
        tell(&server, note(3)).await;
        let sys = server.sys();
        let mut suspended = Box::pin(sys.suspend());
        assert!(poll!(&mut suspended).is_pending());
        gate.open();
        soon(suspended).await.expect("a server");
        settle().await;
        assert_eq!(*server.peek(), [1]);
        resume(&server).await;
        assert_eq!(ask(&server, get).await, [1, 2, 3]);
    }

    /// IS1 IS2: a suspended server tells its state and has it replaced, and counts.
    async fn a_suspended_server_can_be_looked_at_and_changed() {
        let server = start(1_u64).await;
        suspend(&server).await;
        tell(&server, inc()).await;
        let sys = server.sys();
        assert_eq!(*soon(sys.state()).await.expect("a server"), 1);
        soon(sys.replace(|state| *state += 10)).await.expect("a server");
        assert_eq!((*soon(sys.state()).await.expect("a server"), *server.peek()), (11, 11));
        assert_eq!(statistics(&server).await.mailbox_len, 1);
        assert_eq!(soon(sys.status()).await.expect("a server").status, Status::Suspended);
        assert!(soon(sys.install("nothing", |_| {})).await.expect("a server"));
        settle().await;
        assert_eq!(server.mailbox_len(), 1, "none of that has resumed it");
        resume(&server).await;
        assert_eq!(ask(&server, get).await, 12);
    }

    /// IS5 SP3: a stop lifts the suspension: what is queued is handled, then the server ends.
    async fn a_suspended_server_can_be_stopped() {
        let server = start(Vec::new()).await;
        suspend(&server).await;
        for number in 1..=3 {
            tell(&server, note(number)).await;
        }
        let exit = stop(&server).await;
        assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
        assert_eq!(*exit.state, [1, 2, 3]);
    }

    /// IS5 SH6: an owner that goes shuts a suspended server down like any other: what is queued is handled.
    async fn a_suspended_server_goes_with_its_owner() {
        let server = start(Vec::new()).await;
        let guard = server.clone().into_guard();
        suspend(&server).await;
        tell(&server, note(1)).await;
        drop(guard);
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Shutdown), "{}", exit.reason);
        assert_eq!(*exit.state, [1]);
    }

    /// IS5 SP9: a suspended server can be killed, and who waits is told so.
    async fn a_suspended_server_can_be_killed() {
        let server = start(Vec::new()).await;
        suspend(&server).await;
        tell(&server, note(1)).await;
        let mut call = Box::pin(server.call(get));
        assert!(poll!(&mut call).is_pending());
        server.kill();
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Killed), "{}", exit.reason);
        assert!(exit.state.is_empty());
        let told = soon(call).await;
        assert!(matches!(told, Err(CallError::Stopped(ExitReason::Killed))), "{told:?}");
    }

    /// IS5: a suspended server whose worker is killed runs `restarted` and is still suspended, as often as that
    /// happens; it still tells its state, and a resume brings all that waited.
    async fn a_restarted_server_is_still_suspended() {
        let restarts = Arc::new(AtomicU64::new(0));
        let counted = restarts.clone();
        let script = Script::new().on_restarted(move |_, mut state: StateMut<'_, Script<u64>>| {
            counted.fetch_add(1, Ordering::SeqCst);
            *state += 100;
            Box::pin(async { Ok(Next::Wait) })
        });
        let server = ServerSpec::new(script, 0).start().await.expect("it starts");
        suspend(&server).await;
        tell(&server, inc()).await;
        for n in 1..=5 {
            server.kill_worker();
            serves(&server, n + 1).await;
            assert_eq!(restarts.load(Ordering::SeqCst), n);
            settle().await;
            assert_eq!((server.status(), server.mailbox_len()), (Status::Suspended, 1));
            assert_eq!(state(&server).await, 100 * n);
        }
        resume(&server).await;
        assert_eq!(ask(&server, get).await, 501);
    }

    /// IS4: however often a server is suspended and resumed under load, each message is handled once, in order, and
    /// none while it is suspended.
    async fn suspensions_under_load_lose_nothing() {
        let server = start(Vec::new()).await;
        let sender = tokio::spawn({
            let server = server.clone();
            async move {
                for number in 0..1_000 {
                    tell(&server, note(number)).await;
                    yield_now().await;
                }
            }
        });
        for n in 0..RACES {
            suspend(&server).await;
            let before = server.peek().len();
            yield_now().await;
            assert_eq!(server.peek().len(), before, "round {n}");
            resume(&server).await;
        }
        soon(sender).await.expect("all sent");
        assert!(ask(&server, get).await.into_iter().eq(0..1_000));
    }

    /// IS4: of many who suspend and resume at a time, each is answered, and the last word counts.
    async fn many_may_suspend_and_resume_at_a_time() {
        let server = start(0_u64).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..RACES {
            let server = server.clone();
            tasks.spawn(async move {
                if n % 2 == 0 { server.sys().suspend().await } else { server.sys().resume().await }
            });
        }
        for done in soon(tasks.join_all()).await {
            done.expect("a server");
        }
        suspend(&server).await;
        assert_eq!(server.status(), Status::Suspended);
        resume(&server).await;
        assert_eq!(ask(&server, add).await, 1);
    }
}
