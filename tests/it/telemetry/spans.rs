//! The span around each callback: what is said in a callback is said in its span.

use tracing::Level;
use undying::{Callback, Next, ServerRef, ServerSpec};

use super::collector::{Collector, Spanned, fields};
use crate::{
    crash::script::{
        Job, Script, asked, boom, crash, inc, job, look, serves, slow, soon, stop, tell, wait_at,
    },
    support::{Gate, quiet},
};

/// The span of a callback of `server`.
fn span(server: &ServerRef<Script<u64>>, callback: Callback, incarnation: u64) -> Spanned {
    let (id, callback, incarnation) =
        (server.id().to_string(), callback.to_string(), incarnation.to_string());
    let mut fields =
        fields([("server.id", &id), ("undying.callback", &callback), ("undying.incarnation", &incarnation)]);
    fields.extend(server.name().map(|name| ("server.name".to_owned(), name.to_owned())));
    Spanned { target: "undying::callback".into(), name: "callback", fields }
}

/// TE11: each callback, `init` to `terminate`, runs in a span of its own, which says whose it is.
#[tokio::test]
async fn each_callback_has_a_span() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let script = Script::new().on_timeout(|_| Ok(Next::Wait));
    let server = ServerSpec::new(script, 0_u64).name("te11").start().await.expect("it starts");
    tell(&server, job(|_| Ok(Next::Continue(inc())))).await;
    soon(server.send(job(|_| Ok(Next::Timeout(std::time::Duration::ZERO))))).await.expect("a server");
    crash(&server).await;
    serves(&server, 2).await;
    stop(&server).await;
    let all = [
        (Callback::Init, 1),
        (Callback::Cast, 1),
        (Callback::Continue, 1),
        (Callback::Info, 1),
        (Callback::Call, 1),
        // After a crash: on the state that is kept.
        (Callback::Terminate, 1),
        (Callback::Restarted, 2),
        (Callback::Terminate, 2),
    ];
    let spans = all.map(|(callback, incarnation)| span(&server, callback, incarnation));
    let timeouts = span(&server, Callback::Timeout, 1);
    // Whether the call comes before the timeout is for the clock to say.
    let made: Vec<_> = collector.spans().into_iter().filter(|span| *span != timeouts).collect();
    assert_eq!(made, spans);
    assert!(collector.is_outside());
}

fn says(word: &'static str) -> Job<u64> {
    look(move |_| {
        tracing::info!("{word}");
        Ok(Next::Wait)
    })
}

/// TE12: what is said in a callback comes in its span, before and after an await, and what others say meanwhile does not.
#[tokio::test]
async fn what_a_callback_says_is_in_its_span() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let slow_one = ServerSpec::new(Script::new(), 0_u64).start().await.expect("it starts");
    let other = ServerSpec::new(Script::new(), 0_u64).start().await.expect("it starts");
    let gate = Gate::new();
    let inner = gate.clone();
    let waits = slow(move |_, _| {
        Box::pin(async move {
            tracing::info!("before");
            inner.pass().await;
            tracing::info!("after");
            Ok(Next::Wait)
        })
    });
    tell(&slow_one, waits).await;
    gate.arrived().await;
    tracing::info!("outside");
    tell(&other, says("other")).await;
    soon(other.stop()).await.expect("a server");
    gate.open();
    stop(&slow_one).await;

    let told = collector.told();
    let spans_of = |word: &str| {
        let said = told.iter().find(|told| told.fields["message"] == word).expect("it was said");
        said.spans.clone()
    };
    let its_own = [span(&slow_one, Callback::Cast, 1)];
    assert_eq!(spans_of("before"), its_own);
    assert_eq!(spans_of("after"), its_own);
    assert_eq!(spans_of("other"), [span(&other, Callback::Cast, 1)]);
    assert_eq!(spans_of("outside"), []);
    assert!(collector.is_outside());
}

/// TE13: a callback that panics or is killed leaves its span; nothing is in it for ever.
#[tokio::test]
async fn a_crashed_callback_leaves_its_span() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let server = ServerSpec::new(Script::new(), 0_u64).start().await.expect("it starts");
    soon(server.call(asked(boom()))).await.expect_err("it crashes");
    assert_eq!(collector.told().iter().filter(|told| told.fields["message"] == "later").count(), 0);
    let gate = Gate::new();
    tell(&server, wait_at(&gate)).await;
    gate.arrived().await;
    server.kill_worker();
    serves(&server, 3).await;
    tell(&server, says("later")).await;
    stop(&server).await;
    let later = collector.told().into_iter().find(|told| told.fields["message"] == "later").expect("said");
    assert_eq!(later.spans, [span(&server, Callback::Cast, 3)]);
    assert!(collector.is_outside());
}

/// TE14: no span is made where nobody listens at that level.
#[tokio::test]
async fn no_span_is_made_for_nobody() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::DEBUG);
    let server = ServerSpec::new(Script::new(), 0_u64).start().await.expect("it starts");
    tell(&server, says("heard")).await;
    crash(&server).await;
    stop(&server).await;
    assert_eq!(collector.spans(), []);
    let heard = collector.told().into_iter().find(|told| told.fields["message"] == "heard").expect("said");
    assert_eq!(heard.spans, []);
}
