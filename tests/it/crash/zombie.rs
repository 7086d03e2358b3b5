//! Callbacks that block their thread: they cannot be cut, so they are fenced, counted and replaced. These need the
//! multi-thread flavour, for a current-thread runtime has no thread left to serve on.

use std::{sync::mpsc, time::Duration};

use tokio::sync::oneshot;
use undying::{CallError, Callback, CrashKind, Dispatch, Next, Reply, ServerSpec};

use super::{
    script::{Script, add, ask, counted, get, job, serves, soon, statistics, stop, tell},
    tape::{Event, tape},
};
use crate::support::{quiet, until};

/// CR9: a handler that blocks its thread is replaced after `kill_grace`; what it does later has no effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_blocked_handler_is_replaced_and_fenced() {
    quiet();
    let (tape, mut events) = tape();
    let server = ServerSpec::new(Script::new(), 1_u64)
        .kill_grace(Duration::from_millis(20))
        .dispatch(Dispatch::Queued)
        .listener(tape)
        .start()
        .await
        .expect("it starts");
    assert!(matches!(soon(events.recv()).await, Some(Event::Started)));
    let (signal, told) = oneshot::channel();
    let (open, wall) = mpsc::channel::<()>();
    let blocked = server.clone();
    let caller = tokio::spawn(async move {
        let job = |reply: Reply<u64>| {
            job(move |state| {
                *state = 99;
                reply.send(99);
                signal.send(()).expect("the test waits for it");
                // Returns when the test drops the other end.
                let _ = wall.recv();
                Ok(Next::Wait)
            })
        };
        blocked.call(job).no_timeout().await
    });
    soon(told).await.expect("told");
    server.kill_worker();
    serves(&server, 2).await;
    match soon(caller).await.expect("joined") {
        Err(CallError::Crashed(report)) => assert_eq!(report.kind(), CrashKind::Kill),
        other => panic!("{other:?}"),
    }
    match soon(events.recv()).await {
        Some(Event::Crashed { report, state, abandoned }) => {
            assert_eq!((report.callback(), state), (Callback::Call, 1));
            assert!(abandoned, "a zombie was left behind");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ask(&server, add).await, 2);
    assert_eq!(statistics(&server).await.zombies, 1);
    drop(open);
    counted(&server, |statistics| statistics.fenced > 0).await;
    assert_eq!(ask(&server, get).await, 2);
    let exit = stop(&server).await;
    assert_eq!((*exit.state, exit.state.version()), (2, 1));
}

/// CR9: one zombie more than allowed ends the server, and its callers are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn more_zombies_than_allowed_end_the_server() {
    quiet();
    let server = ServerSpec::new(Script::new(), 1_u64)
        .kill_grace(Duration::from_millis(20))
        .max_zombies(0)
        .start()
        .await
        .expect("it starts");
    let (signal, told) = oneshot::channel();
    let (open, wall) = mpsc::channel::<()>();
    let blocking = job(move |state| {
        *state = 99;
        signal.send(()).expect("the test waits for it");
        let _ = wall.recv();
        Ok(Next::Wait)
    });
    tell(&server, blocking).await;
    soon(told).await.expect("told");
    let queued = tokio::spawn({
        let server = server.clone();
        async move { server.call(get).await }
    });
    until("the call is queued", || server.mailbox_len() == 1).await;
    server.kill_worker();
    let exit = soon(server.stopped()).await;
    assert!(exit.reason.is_abnormal(), "{}", exit.reason);
    assert_eq!(*exit.state, 1);
    let answer = soon(queued).await.expect("joined");
    assert!(matches!(answer, Err(CallError::Stopped(_))), "{answer:?}");
    drop(open);
}
