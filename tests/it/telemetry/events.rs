//! What `TracingListener` says: one event for each thing that happens, with its data in fields.

use std::fmt::Debug;

use tracing::Level;
use undying::{Crash, ExitReason, Next, ServerSpec, telemetry::TracingListener};

use super::collector::{Collector, Fields, fields};
use crate::{
    crash::script::{Script, ask, asked, boom, crash, inc, job, serves, soon, stop, tell},
    support::quiet,
};

const TYPE: &str = "it::crash::script::Script<u64>";

/// `fields` and those of every event of the server called `name`.
fn with<const N: usize>(server: &str, name: &str, message: &str, more: [(&str, &str); N]) -> Fields {
    let mut all = fields(more);
    all.extend(fields([
        ("server.id", server),
        ("server.name", name),
        ("server.type", TYPE),
        ("message", message),
    ]));
    all
}

/// TE1: each start, change, crash, restart and end is one event, on its target and level, with exactly the fields that are documented.
#[tokio::test]
async fn each_thing_that_happens_is_one_event_with_documented_fields() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let spec = ServerSpec::new(Script::new(), 0_u64).name("te1").listener(TracingListener::default());
    let server = spec.start().await.expect("it starts");
    tell(&server, inc()).await;
    crash(&server).await;
    serves(&server, 2).await;
    stop(&server).await;

    let id = server.id().to_string();
    let ours = |target: &str| target.starts_with("undying::") && target.matches("::").count() == 1;
    let told = collector
        .told()
        .into_iter()
        .filter(|told| ours(&told.target) && told.fields.contains_key("server.id"));
    let mut told: Vec<_> = told.map(|told| (told.target, told.level, told.fields)).collect();
    // How long it took is not known beforehand, but that it was measured.
    let took = told[3].2.remove("undying.restart.duration").expect("a duration");
    assert!(took.parse::<f64>().is_ok_and(|took| took > 0.0), "{took}");
    let function = format!("{TYPE}::handle_call");
    let function_of_cast = format!("{TYPE}::handle_cast");
    let expected = [
        ("undying::started", Level::INFO, with(&id, "te1", "the server serves", [])),
        (
            "undying::state_changed",
            Level::DEBUG,
            with(
                &id,
                "te1",
                "the state changed",
                [
                    ("code.function.name", &function_of_cast),
                    ("undying.callback", "handle_cast"),
                    ("undying.incarnation", "1"),
                    ("undying.version", "1"),
                    ("undying.lagged", "0"),
                ],
            ),
        ),
        (
            "undying::crashed",
            Level::ERROR,
            with(
                &id,
                "te1",
                "the server crashed",
                [
                    ("code.function.name", &function),
                    ("error.type", "panic"),
                    ("exception.type", "panic"),
                    ("exception.message", "opaque payload"),
                    ("undying.callback", "handle_call"),
                    ("undying.incarnation", "1"),
                    ("undying.version", "1"),
                    ("undying.abandoned", "false"),
                    ("undying.lagged", "0"),
                ],
            ),
        ),
        (
            "undying::restarted",
            Level::INFO,
            with(
                &id,
                "te1",
                "the server serves again",
                [("undying.incarnation", "2"), ("undying.lagged", "0")],
            ),
        ),
        (
            "undying::terminated",
            Level::INFO,
            with(
                &id,
                "te1",
                "the server is over",
                [("undying.exit.reason", "normal"), ("undying.exit.description", "normal")],
            ),
        ),
    ];
    let expected: Vec<_> =
        expected.into_iter().map(|(target, level, fields)| (target.to_owned(), level, fields)).collect();
    assert_eq!(told, expected);
}

/// TE2: the kinds of crashes and of ends are told apart by a field of few values, and an end by its level.
#[tokio::test]
async fn kinds_of_crashes_and_ends_are_told_apart() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let listener = TracingListener::default();
    let spec = || ServerSpec::new(Script::new(), 0_u64).listener(listener.clone());

    let failing = spec().start().await.expect("it starts");
    let fails = |_: &mut u64| Err(Crash::msg("no paper"));
    soon(failing.call(asked(job(fails)))).await.expect_err("it crashes");
    serves(&failing, 2).await;
    failing.kill_worker();
    serves(&failing, 3).await;
    soon(failing.stop_with(ExitReason::ShutdownWith("night".into()))).await.expect("a server");
    let crashes = collector.of("undying::crashed");
    let seen: Vec<_> = crashes.iter().map(|crash| crash["error.type"].as_str()).collect();
    assert_eq!(seen, ["error", "kill"]);
    assert_eq!(crashes[0]["exception.message"], "no paper");
    assert_eq!((&*crashes[1]["undying.callback"], crashes[1].get("code.function.name")), ("idle", None));
    assert!(!crashes[0].contains_key("server.name"), "it has none");

    let killed = spec().start().await.expect("it starts");
    killed.kill();
    soon(killed.stopped()).await;
    let hopeless =
        spec().max_restarts(0, std::time::Duration::from_secs(1)).start().await.expect("it starts");
    crash(&hopeless).await;
    soon(hopeless.stopped()).await;
    let given_up = spec().start().await.expect("it starts");
    soon(given_up.stop_with(ExitReason::error("flood"))).await.expect("a server");

    let ends = collector.told().into_iter().filter(|told| told.target == "undying::terminated");
    let ends: Vec<_> = ends
        .map(|told| {
            let field = |name: &str| told.fields.get(name).cloned().unwrap_or_default();
            (told.level, field("undying.exit.reason"), field("error.type"), field("exception.type"))
        })
        .collect();
    let end = |level, reason: &str, error: &str, exception: &str| {
        (level, reason.to_owned(), error.to_owned(), exception.to_owned())
    };
    assert_eq!(
        ends,
        [
            end(Level::INFO, "shutdown", "", ""),
            end(Level::WARN, "killed", "killed", ""),
            end(Level::ERROR, "restart_limit", "restart_limit", "panic"),
            end(Level::ERROR, "crashed", "crashed", "error"),
        ]
    );
}

/// TE3: a listener that nobody listens to at its level makes nothing of an event, not even of the values it is to show.
#[tokio::test]
async fn nothing_is_made_of_an_event_that_nobody_listens_to() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::INFO);
    let shown = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = shown.clone();
    let listener = TracingListener::default().values(move |n: &u64, f| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        n.fmt(f)
    });
    let spec = ServerSpec::new(Script::new(), 0_u64).listener(listener);
    let server = spec.start().await.expect("it starts");
    for _ in 0..10 {
        ask(&server, crate::crash::script::add).await;
    }
    stop(&server).await;
    assert_eq!(collector.of("undying::state_changed"), []);
    assert_eq!(shown.load(std::sync::atomic::Ordering::SeqCst), 2, "for the start and the end");
}

/// TE4: events that gave way to others because the listener was behind are counted in `undying.lagged`.
#[tokio::test]
async fn a_listener_that_is_behind_tells_by_how_much() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::DEBUG);
    let spec = ServerSpec::new(Script::new(), 0_u64);
    let spec = spec.listener_with(TracingListener::default(), 1, undying::Overflow::Coalesce);
    let server = spec.start().await.expect("it starts");
    // One callback after the other, without a pause for the keeper: it has this thread only when the last is done.
    let many = (0..20).map(|_| server.try_cast(inc()));
    many.collect::<Result<Vec<_>, _>>().expect("there is room");
    stop(&server).await;
    let changes = collector.of("undying::state_changed");
    let lagged: usize =
        changes.iter().map(|change| change["undying.lagged"].parse::<usize>().expect("a number")).sum();
    assert!(lagged > 0, "it was never behind");
    assert_eq!(changes.len() + lagged, 20);
}

/// TE5: a callback that stops the server with a message of its own has it in words.
#[tokio::test]
async fn an_end_is_told_in_words() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::INFO);
    let spec = ServerSpec::new(Script::new(), 0_u64).listener(TracingListener::default());
    let server = spec.start().await.expect("it starts");
    tell(&server, job(|_| Ok(Next::Stop(ExitReason::ShutdownWith("done for today".into()))))).await;
    soon(server.stopped()).await;
    let end = collector.of("undying::terminated").remove(0);
    assert_eq!(end["undying.exit.description"], "shutdown: done for today");
    // And it does not crash after that.
    soon(server.call(asked(boom()))).await.expect_err("it is over");
    assert_eq!(collector.of("undying::crashed"), []);
}
