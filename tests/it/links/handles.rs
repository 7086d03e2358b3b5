//! Monitors of those who are no server: a future of the Down, taken when it is asked for.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures::{FutureExt as _, executor::block_on};
use tokio::runtime::Builder;
use undying::{ExitReason, Next, Registry, ServerSpec, StartError};

use super::{ABNORMAL_ENDS, NORMAL_ENDS, ended, start_mortal};
use crate::{
    crash::script::{Script, boom, crash, job, soon, start, stop},
    effects::within,
    support::{RACES, inject, quiet, until},
};

/// Counts, by its clones, who wants to wake it.
struct Quiet;

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {}
}

both! {
    /// LM1: a monitor sees what comes after it was asked for, also when it is looked at much later.
    async fn a_monitor_holds_from_when_it_is_asked_for() {
        let target = start_mortal().await;
        let monitors: Vec<_> = (0..100).map(|_| target.monitor()).collect();
        target.kill();
        soon(target.stopped()).await;
        let late = target.monitor();
        drop(target);
        for monitor in monitors {
            let down = soon(monitor).await;
            assert!(matches!(down.reason, ExitReason::Killed), "{}", down.reason);
            assert_eq!(down.name, None);
        }
        let down = late.now_or_never().expect("there is nothing to wait for");
        assert!(matches!(down.reason, ExitReason::NoProc), "{}", down.reason);
    }

    /// LM2: a monitor of a server that is over knows it at once.
    async fn a_monitor_of_a_dead_server_knows_it_at_once() {
        for end in NORMAL_ENDS.iter().chain(ABNORMAL_ENDS) {
            let (target, _) = ended(end).await;
            let down = target.monitor().now_or_never().expect("there is nothing to wait for");
            assert!(matches!(down.reason, ExitReason::NoProc), "{}", down.reason);
        }
    }

    /// LM1: a monitor needs no runtime, nor the handle it was made from, nor a thread of its own.
    async fn a_monitor_can_be_awaited_anywhere() {
        let target = start_mortal().await;
        let waits = thread::spawn({
            let monitor = target.monitor();
            move || block_on(monitor).reason.to_string()
        });
        stop(&target).await;
        drop(target);
        until("it has heard", || waits.is_finished()).await;
        assert_eq!(waits.join().expect("no panic"), "normal");
    }

    /// LM3: a monitor that is dropped leaves nothing behind.
    async fn a_dropped_monitor_leaves_nothing_behind() {
        let target = start(()).await;
        let quiet = Arc::new(Quiet);
        let waker = Waker::from(quiet.clone());
        for _ in 0..RACES {
            let mut monitor = Box::pin(target.monitor());
            assert!(monitor.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&quiet), 2);
        let mut monitor = Box::pin(target.monitor());
        stop(&target).await;
        until("it has heard", || monitor.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()).await;
        drop(monitor);
        assert_eq!(Arc::strong_count(&quiet), 2);
    }

    /// LM6: a server that ends right after its start is not missed by the monitor it was started with.
    async fn a_monitor_from_the_start_misses_nothing() {
        for round in 0..RACES {
            let script = Script::new().on_init(|()| {
                let done = job(|()| Ok(Next::Stop(ExitReason::ShutdownWith("at once".into()))));
                Ok(Next::Continue(done))
            });
            let spec = ServerSpec::new(script, ());
            let (server, monitor) = soon(spec.start_monitor()).await.expect("it starts");
            if round % 2 == 0 {
                soon(server.stopped()).await;
            }
            let down = soon(monitor).await;
            assert_eq!(down.reason.to_string(), "shutdown: at once");
        }
    }

    /// LM6: and one that lives for a while is monitored like any other.
    async fn a_monitor_from_the_start_is_a_monitor() {
        let spec = ServerSpec::new(Script::new(), ()).name_in(&Registry::new(), "monitored");
        let (server, mut monitor) = spec.start_monitor().await.expect("it starts");
        crash(&server).await;
        assert!(matches!(futures::poll!(&mut monitor), Poll::Pending));
        server.kill();
        let down = soon(monitor).await;
        assert_eq!((down.name.as_deref(), down.reason.to_string()), (Some("monitored"), "killed".into()));
    }

    /// LM6: a server that does not start has nothing to monitor.
    async fn a_failed_start_has_no_monitor() {
        let script = Script::new().on_init(|()| inject());
        let failed = soon(ServerSpec::new(script, ()).start_monitor()).await;
        assert!(matches!(failed, Err(StartError::Init(_))));
    }
}

/// LM1 K14: a runtime that ends kills its servers, and their monitors hear of it from outside.
#[test]
fn the_end_of_a_runtime_is_a_down() {
    quiet();
    for round in 0..RACES as u64 {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let server = runtime.block_on(async {
            let server = start(()).await;
            let (watcher, own) = (start(()).await, server.clone());
            // A server that ends in the same moment is nobody to tell, and harms nobody.
            within(&watcher, move |cx| {
                cx.monitor(&own, |_| boom());
                cx.link(&own);
            })
            .await;
            server
        });
        let monitor = server.monitor();
        let waits = thread::spawn(move || block_on(monitor));
        thread::sleep(Duration::from_micros(round * 5));
        runtime.shutdown_background();
        let down = waits.join().expect("no panic");
        assert!(matches!(down.reason, ExitReason::Killed), "{}", down.reason);
    }
}
