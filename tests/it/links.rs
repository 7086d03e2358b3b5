//! Who hears of the end of a server, and who ends with it: monitors, links, owners, and those who follow its incarnations.

mod handles;
mod incarnations;
mod linked;
mod monitors;
mod owners;
mod races;
mod starts;
mod trapped;

use undying::{ExitReason, MonitorRef, Next, Preserve, ServerRef, ServerSpec};

use crate::{
    crash::script::{Script, boom, job, start},
    effects::{Log, Plain, SECOND, within},
    support::inject,
};

/// A way to end a server: how its reason begins in words, and how to bring it about. It does not wait.
type End = (&'static str, fn(&Plain));

/// Has the server of [`mortal`] panic in its `terminate`.
const BADLY: &str = "badly";

fn stop_with(server: &Plain, reason: ExitReason) {
    let server = server.clone();
    tokio::spawn(async move { server.stop_with(reason).await });
}

/// What a supervisor of OTP would not mind.
const NORMAL_ENDS: &[End] = &[
    ("normal", |server| stop_with(server, ExitReason::Normal)),
    ("shutdown", |server| drop(server.clone().into_guard())),
    ("shutdown: lunch", |server| stop_with(server, ExitReason::ShutdownWith("lunch".into()))),
    ("shutdown: done", |server| {
        let done = ExitReason::ShutdownWith("done".into());
        server.try_cast(job(|()| Ok(Next::Stop(done)))).expect("room");
    }),
];

const ABNORMAL_ENDS: &[End] = &[
    ("killed", ServerRef::kill),
    ("crashed: incarnation 1 failed", |server| stop_with(server, ExitReason::error("test: fire"))),
    ("crashed: incarnation 1 panicked in terminate", |server| {
        stop_with(server, ExitReason::ShutdownWith(BADLY.into()));
    }),
    ("restart limit reached: incarnation 1 panicked", |server| {
        server.try_cast(boom()).expect("room");
    }),
    ("restart limit reached: incarnation 1 was killed", ServerRef::kill_worker),
    #[cfg(feature = "chaos")]
    ("killed", |server| server.chaos().kill_supervisor()),
];

/// A server that one crash ends.
fn mortal() -> ServerSpec<Script<()>> {
    let script = Script::new().on_terminate(|reason, ()| {
        if matches!(reason, ExitReason::ShutdownWith(how) if &**how == BADLY) {
            inject();
        }
    });
    ServerSpec::new(script, ()).max_restarts(0, SECOND)
}

async fn start_mortal() -> Plain {
    mortal().start().await.expect("it starts")
}

/// A server that notes its `terminate`, with the reason.
fn noted(log: &Log<String>) -> ServerSpec<Script<()>> {
    let log = log.clone();
    ServerSpec::new(Script::new().on_terminate(move |reason, ()| log.note(reason.to_string())), ())
}

async fn start_noted() -> (Plain, Log<String>) {
    let log = Log::new();
    (noted(&log).start().await.expect("it starts"), log)
}

/// A server that has ended that way, and the reason in words.
async fn ended((name, end): &End) -> (Plain, String) {
    let server = start_mortal().await;
    end(&server);
    let reason = server.stopped().await.reason.to_string();
    assert!(reason.starts_with(name), "{reason}");
    (server, reason)
}

/// Has `server` monitor `target` and note how that ended.
async fn monitor<S: Preserve, T: Preserve>(
    server: &ServerRef<Script<S>>,
    target: &ServerRef<Script<T>>,
    log: &Log<String>,
) -> MonitorRef {
    let (target, log) = (target.clone(), log.clone());
    within(server, move |cx| cx.monitor(&target, move |down| log.job(down.reason.to_string()))).await
}

/// Has `server` link itself to `other`.
async fn link<S: Preserve, T: Preserve>(server: &ServerRef<Script<S>>, other: &ServerRef<Script<T>>) {
    let other = other.clone();
    within(server, move |cx| cx.link(&other)).await;
}

/// Has `server` end its link to `other`. Tells whether there was one.
async fn unlink<S: Preserve, T: Preserve>(
    server: &ServerRef<Script<S>>,
    other: &ServerRef<Script<T>>,
) -> bool {
    let other = other.clone();
    within(server, move |cx| cx.unlink(&other)).await
}

/// Two servers, the first of which is linked to the second.
async fn pair() -> [Plain; 2] {
    let pair = [start(()).await, start(()).await];
    link(&pair[0], &pair[1]).await;
    pair
}
