//! What `MetricsListener` counts and measures, and that it does so exactly.

mod breaking;
mod gauges;
mod labels;
#[cfg(feature = "chaos")]
mod lag;
mod lookups;

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use undying::{
    AnyListener, Crash, ExitReason, GenServer, Listener, Next, Registry, ServerSpec,
    telemetry::MetricsListener,
};

use super::meter::{Meter, counts};
use crate::{
    crash::script::{
        Script, add, ask, asked, boom, crash, get, inc, job, serves, slow, soon, statistics, stop, tell,
    },
    support::{inject, quiet, until},
};

/// A server from 0 that is called `name`, with a listener.
fn spec(name: &str, listener: &MetricsListener) -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0).name_in(&Registry::new(), name).listener(listener.clone())
}

both! {
    /// TE21: each callback is counted under its name, crashed ones included, and each was measured once.
    async fn callbacks_are_counted_by_name() {
        let (meter, listener) = Meter::new();
        let script = Script::new().on_timeout(|_| Ok(Next::Wait));
        let spec = ServerSpec::new(script, 0_u64).name_in(&Registry::new(), "a").listener(listener);
        let server = spec.start().await.expect("it starts");
        for _ in 0..5 {
            ask(&server, add).await;
        }
        crash(&server).await;
        serves(&server, 2).await;
        for _ in 0..3 {
            tell(&server, inc()).await;
        }
        tell(&server, job(|_| Ok(Next::Continue(inc())))).await;
        for _ in 0..2 {
            soon(server.send(inc())).await.expect("a server");
        }
        let idle = job(|_| Ok(Next::Timeout(Duration::from_millis(1))));
        soon(server.send(idle)).await.expect("a server");
        let timeouts = || meter.number("undying.callbacks{server=a,callback=handle_timeout}");
        until("the timeout is counted", || timeouts() == 1).await;
        stop(&server).await;
        let expected = [("handle_call", 6), ("handle_cast", 4), ("handle_continue", 1), ("handle_info", 3),
            ("handle_timeout", 1), ("init", 1), ("restarted", 1), ("terminate", 2)];
        let by_name = |metric: &str, callback: &str| format!("{metric}{{server=a,callback={callback}}}");
        let all = expected.map(|(callback, count)| (by_name("undying.callbacks", callback), count));
        assert_eq!(meter.all("undying.callbacks"), all);
        for (callback, count) in expected {
            let measured = meter.measured(&by_name("undying.callback.duration", callback));
            assert_eq!(measured.len() as u64, count, "{callback}");
            assert!(measured.iter().all(|seconds| (0.0..60.0).contains(seconds)), "{measured:?}");
        }
    }

    /// TE22: a callback is measured with its awaits, in seconds.
    async fn callbacks_are_measured_with_their_awaits() {
        let (meter, listener) = Meter::new();
        let server = spec("a", &listener).start().await.expect("it starts");
        let (began, pause) = (Instant::now(), Duration::from_millis(30));
        let sleeps = slow(move |_, _| Box::pin(async move {
            tokio::time::sleep(pause).await;
            Ok(Next::Wait)
        }));
        tell(&server, sleeps).await;
        stop(&server).await;
        let most = began.elapsed().as_secs_f64();
        let measured = meter.measured("undying.callback.duration{server=a,callback=handle_cast}");
        assert!(matches!(*measured, [seconds] if (0.03..=most).contains(&seconds)), "{measured:?} of {most}");
    }

    /// TE23: commits are counted as the server itself counts them, a system request's with them; each of a callback has a snapshot
    /// that was measured, and what changes nothing has none.
    async fn commits_are_counted_and_their_snapshots_measured() {
        let (meter, listener) = Meter::new();
        let server = spec("a", &listener).start().await.expect("it starts");
        for _ in 0..7 {
            ask(&server, add).await;
            ask(&server, get).await;
        }
        crash(&server).await;
        let half_done = job(|n: &mut u64| { *n = 99; inject() });
        soon(server.call(asked(half_done))).await.expect_err("it crashes");
        server.sys().replace(|n| *n = 40).await.expect("a server");
        let statistics = statistics(&server).await;
        assert_eq!(*stop(&server).await.state, 40);
        assert_eq!(statistics.commits, 8);
        assert_eq!(meter.all("undying.commits"), counts([("undying.commits{server=a}", 8)]));
        assert_eq!(meter.measured("undying.snapshot.duration{server=a}").len(), 7);
    }

    /// TE24: crashes are counted by kind and callback, restarts are counted and measured.
    async fn crashes_and_restarts_are_counted() {
        let (meter, listener) = Meter::new();
        let server = spec("a", &listener).start().await.expect("it starts");
        for _ in 0..4 {
            crash(&server).await;
        }
        for incarnation in [6, 7] {
            soon(server.cast(boom())).await.expect("a server");
            serves(&server, incarnation).await;
        }
        soon(server.call(asked(job(|_| Err(Crash::msg("no paper")))))).await.expect_err("it crashes");
        serves(&server, 8).await;
        server.kill_worker();
        serves(&server, 9).await;
        let statistics = statistics(&server).await;
        stop(&server).await;
        assert_eq!(meter.all("undying.crashes"), counts([
            ("undying.crashes{server=a,callback=handle_call,kind=error}", 1),
            ("undying.crashes{server=a,callback=handle_call,kind=panic}", 4),
            ("undying.crashes{server=a,callback=handle_cast,kind=panic}", 2),
            ("undying.crashes{server=a,callback=idle,kind=kill}", 1),
        ]));
        assert_eq!((statistics.crashes, statistics.restarts), (8, 8));
        assert_eq!(meter.all("undying.restarts"), counts([("undying.restarts{server=a}", 8)]));
        let measured = meter.measured("undying.restart.duration{server=a}");
        assert_eq!(measured.len(), 8);
        assert!(measured.iter().all(|seconds| *seconds > 0.0 && *seconds < 60.0), "{measured:?}");
        assert_eq!(meter.all("undying.zombies"), []);
    }

    /// TE25: ends are counted by their reason.
    async fn ends_are_counted_by_reason() {
        let (meter, listener) = Meter::new();
        let reasons = [
            ExitReason::Normal, ExitReason::Shutdown, ExitReason::ShutdownWith("night".into()),
            ExitReason::error("flood"),
        ];
        for reason in reasons {
            let server = spec("a", &listener).start().await.expect("it starts");
            soon(server.stop_with(reason)).await.expect("a server");
        }
        for _ in 0..3 {
            let server = spec("a", &listener).start().await.expect("it starts");
            server.kill();
            soon(server.stopped()).await;
        }
        let spec = spec("a", &listener).max_restarts(0, Duration::from_secs(1));
        let server = spec.start().await.expect("it starts");
        crash(&server).await;
        soon(server.stopped()).await;
        assert_eq!(meter.all("undying.exits"), counts([
            ("undying.exits{server=a,reason=crashed}", 1),
            ("undying.exits{server=a,reason=killed}", 3),
            ("undying.exits{server=a,reason=normal}", 1),
            ("undying.exits{server=a,reason=restart_limit}", 1),
            ("undying.exits{server=a,reason=shutdown}", 2),
        ]));
    }
}

/// TE27: a worker that was left behind is counted as a zombie.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn zombies_are_counted() {
    quiet();
    let (meter, listener) = Meter::new();
    let spec = spec("a", &listener).kill_grace(Duration::from_millis(20));
    let server = spec.start().await.expect("it starts");
    let (signal, told) = oneshot::channel();
    let (open, wall) = mpsc::channel::<()>();
    let blocks = job(move |_| {
        signal.send(()).expect("the test waits for it");
        // Returns when the test drops the other end.
        let _ = wall.recv();
        Ok(Next::Wait)
    });
    tell(&server, blocks).await;
    soon(told).await.expect("told");
    server.kill_worker();
    serves(&server, 2).await;
    drop(open);
    stop(&server).await;
    assert_eq!(meter.all("undying.zombies"), counts([("undying.zombies{server=a}", 1)]));
    let crashes = counts([("undying.crashes{server=a,callback=handle_cast,kind=kill}", 1)]);
    assert_eq!(meter.all("undying.crashes"), crashes);
}

/// TE28: it is a listener of every server, and of servers whatever their type.
#[test]
fn it_listens_to_anything() {
    fn listens_to<S: GenServer>(_: &(impl Listener<S> + AnyListener + Clone)) {}
    listens_to::<Script<u64>>(&MetricsListener::default());
    listens_to::<Script<String>>(&MetricsListener::default());
    let shown = format!("{:?}", MetricsListener::default().max_labels(3));
    assert!(shown.starts_with("MetricsListener { max_labels: 3, labels: 0, servers: 0"), "{shown}");
}
