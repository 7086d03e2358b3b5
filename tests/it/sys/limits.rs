//! What system requests cannot do: wait for ever, ask the dead, or wait for the callback they come from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::poll;
use tokio::{sync::oneshot, time::Instant};
use undying::{Callback, CrashKind, Next, ServerSpec, Status, SysError};

use super::{state, status};
use crate::{
    crash::script::{
        Script, add, ask, counted, get, inc, serves, slow, soon, start, statistics, stop, tell, wait_at,
    },
    support::{Gate, RACES, quiet, until},
};

/// IS1 IS2 IS10: a request that needs the worker has five seconds; when those have passed it is not carried out later.
#[tokio::test(start_paused = true)]
async fn a_request_that_ran_out_of_time_is_not_carried_out() {
    quiet();
    let (server, gate) = (start(0_u64).await, Gate::new());
    tell(&server, wait_at(&gate)).await;
    gate.arrived().await;
    let begin = Instant::now();
    let touched = Arc::new(AtomicBool::new(false));
    let touch = |state: &mut u64, touched: &AtomicBool| {
        *state += 100;
        touched.store(true, Ordering::SeqCst);
    };
    let (by_replace, by_upgrade) = (touched.clone(), touched.clone());
    let sys = server.sys();
    let late = tokio::join!(
        sys.state(),
        sys.replace(move |state| touch(state, &by_replace)),
        sys.upgrade(
            || Script::new().on_terminate(|_, _| panic!("this is not the upgraded one")),
            move |state| {
                touch(state, &by_upgrade);
                Ok(())
            }
        ),
    );
    assert!(matches!(late.0, Err(SysError::Timeout)), "{:?}", late.0);
    for late in [late.1, late.2] {
        assert!(matches!(late, Err(SysError::Timeout)), "{late:?}");
    }
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    gate.open();
    assert_eq!(ask(&server, add).await, 1);
    assert_eq!((server.status(), touched.load(Ordering::SeqCst)), (Status::Running, false));
    assert_eq!((*server.peek(), server.peek().version()), (1, 1));
    let exit = stop(&server).await;
    assert!(matches!(exit.reason, undying::ExitReason::Normal), "{}", exit.reason);
}

/// IS4: a suspension begins at once, in that no other callback does; when the one that is running takes longer than
/// five seconds its caller is told so, and a resume lifts it all the same.
#[tokio::test(start_paused = true)]
async fn a_suspension_that_ran_out_of_time_has_begun() {
    quiet();
    let (server, gate) = (start(0_u64).await, Gate::new());
    tell(&server, wait_at(&gate)).await;
    gate.arrived().await;
    tell(&server, inc()).await;
    let begin = Instant::now();
    let late = server.sys().suspend().await;
    assert!(matches!(late, Err(SysError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    gate.open();
    assert_eq!((state(&server).await, server.status()), (0, Status::Suspended));
    server.sys().resume().await.expect("a server");
    assert_eq!(ask(&server, get).await, 1);
}

/// IS6 IS7 IS9 IS4: requests that do not need the worker are answered however busy that is.
#[tokio::test(start_paused = true)]
async fn a_busy_worker_keeps_only_those_waiting_who_need_it() {
    quiet();
    let (server, gate) = (start(0_u64).await, Gate::new());
    tell(&server, wait_at(&gate)).await;
    gate.arrived().await;
    let begin = Instant::now();
    let sys = server.sys();
    assert_eq!(sys.statistics().await.expect("a server").messages_in, 1);
    assert_eq!(sys.status().await.expect("a server").status, Status::Running);
    assert!(sys.install("none", |_| {}).await.expect("a server"));
    assert!(sys.remove("none").await.expect("a server"));
    sys.resume().await.expect("a server");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    gate.open();
    assert_eq!(state(&server).await, 0);
}

both! {
    /// K13: all requests to a server that is over say so at once.
    async fn a_dead_server_answers_no_request() {
        let server = start(0_u64).await;
        stop(&server).await;
        let sys = server.sys();
        assert!(matches!(soon(sys.state()).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.replace(|_| {})).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.suspend()).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.resume()).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.statistics()).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.status()).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.install("none", |_| {})).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.remove("none")).await, Err(SysError::NoProc)));
        assert!(matches!(soon(sys.upgrade(Script::new, |_| Ok(()))).await, Err(SysError::NoProc)));
    }

    /// K13: requests that wait when the server is killed are told at once.
    async fn requests_that_wait_are_told_of_the_end() {
        for _ in 0..RACES {
            let (server, gate) = (start(0_u64).await, Gate::new());
            tell(&server, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            let sys = server.sys();
            let mut requests = Box::pin(async {
                tokio::join!(
                    sys.state(),
                    sys.replace(|_| {}),
                    sys.suspend(),
                    sys.upgrade(Script::new, |_| Ok(())),
                )
            });
            assert!(poll!(&mut requests).is_pending());
            server.kill();
            let (state, replaced, suspended, upgraded) = soon(requests).await;
            assert!(matches!(state, Err(SysError::NoProc)), "{state:?}");
            for told in [replaced, suspended, upgraded] {
                assert!(matches!(told, Err(SysError::NoProc)), "{told:?}");
            }
        }
    }

    /// K13: a request that meets an orderly stop is carried out or told of the end; it does not hang, and nor does the
    /// stop.
    async fn a_request_that_meets_a_stop_is_resolved() {
        for _ in 0..RACES {
            let server = start(0_u64).await;
            let (asked, stopped) = soon(async {
                let sys = server.sys();
                tokio::join!(sys.replace(|state| *state += 1), server.stop())
            })
            .await;
            let exit = stopped.expect("a server");
            match asked {
                Ok(()) => assert_eq!(*exit.state, 1),
                Err(SysError::NoProc) => assert_eq!(*exit.state, 0),
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// CA4: inside a callback of the server itself, a request that needs the worker is refused at once; the others are
    /// answered.
    async fn a_callback_cannot_wait_for_its_own_worker() {
        let server = start(0_u64).await;
        let (told, refused) = oneshot::channel();
        tell(&server, slow(move |_, cx: &mut undying::Context<Script<u64>>| Box::pin(async move {
            let own = cx.server();
            let sys = own.sys();
            let refused = [
                sys.state().await.map(drop),
                sys.replace(|state| *state += 100).await,
                sys.suspend().await,
                sys.upgrade(Script::new, |_| Ok(())).await,
            ];
            sys.resume().await.expect("a server");
            sys.statistics().await.expect("a server");
            sys.status().await.expect("a server");
            assert!(sys.install("none", |_| {}).await.expect("a server"));
            assert!(sys.remove("none").await.expect("a server"));
            told.send(refused).expect("the test waits for it");
            Ok(Next::Wait)
        })))
        .await;
        for refused in soon(refused).await.expect("told") {
            assert!(matches!(refused, Err(SysError::CallingSelf)), "{refused:?}");
        }
        assert_eq!((ask(&server, get).await, server.incarnation()), (0, 1));
        assert_eq!(status(&server).await.status, Status::Running);
    }

    /// A callback of another server may ask: it does not wait for itself.
    async fn a_callback_may_ask_another_server() {
        let (server, other) = (start(0_u64).await, start(5_u64).await);
        let seen = ask(&server, |reply| slow(move |_, _| Box::pin(async move {
            other.sys().replace(|state| *state += 1).await?;
            reply.send(*other.sys().state().await?);
            Ok(Next::Wait)
        })))
        .await;
        assert_eq!(seen, 6);
    }
}

/// A replacement that has begun when its time is over is carried out; and while it runs nothing of the server is
/// locked (K8).
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_replacement_that_has_begun_is_carried_out() {
    quiet();
    let server = ServerSpec::new(Script::new(), 0_u64).start().await.expect("it starts");
    let (begins, begun) = oneshot::channel();
    let (open, wall) = mpsc::channel::<()>();
    let replaced = tokio::spawn({
        let server = server.clone();
        async move {
            let slowly = move |state: &mut u64| {
                begins.send(()).expect("the test waits for it");
                // Returns when the test drops the other end.
                let _ = wall.recv();
                *state += 100;
            };
            server.sys().replace(slowly).await
        }
    });
    soon(begun).await.expect("it begins");
    tell(&server, inc()).await;
    assert_eq!((*server.peek(), server.mailbox_len(), server.status()), (0, 1, Status::Running));
    assert_eq!(statistics(&server).await.mailbox_len, 1);
    let replaced = soon(replaced).await.expect("joined");
    assert!(matches!(replaced, Err(SysError::Timeout)), "{replaced:?}");
    drop(open);
    until("all is done", || *server.peek() == 101).await;
    assert_eq!(ask(&server, get).await, 101);
}

/// A replacement whose worker is killed meanwhile is told so, and changes nothing, though it comes to its end (K4).
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_replacement_that_is_killed_changes_nothing() {
    quiet();
    let spec = ServerSpec::new(Script::new(), 5_u64).kill_grace(Duration::from_millis(20));
    let server = spec.start().await.expect("it starts");
    let (begins, begun) = oneshot::channel();
    let (open, wall) = mpsc::channel::<()>();
    let replaced = tokio::spawn({
        let server = server.clone();
        async move {
            let slowly = move |state: &mut u64| {
                begins.send(()).expect("the test waits for it");
                // Returns when the test drops the other end.
                let _ = wall.recv();
                *state += 100;
            };
            server.sys().replace(slowly).await
        }
    });
    soon(begun).await.expect("it begins");
    server.kill_worker();
    match soon(replaced).await.expect("joined") {
        Err(SysError::Crashed(report)) => {
            assert_eq!((report.callback(), report.kind()), (Callback::System, CrashKind::Kill));
        }
        other => panic!("{other:?}"),
    }
    serves(&server, 2).await;
    assert_eq!(ask(&server, add).await, 6);
    drop(open);
    counted(&server, |statistics| statistics.fenced == 1).await;
    assert_eq!((*server.peek(), ask(&server, get).await), (6, 6));
}
