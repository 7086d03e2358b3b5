//! What is in a state is nobody's business, unless the user says otherwise.

use std::fmt::Debug;

use tracing::Level;
use undying::{AnyListener, CallError, Next, ServerSpec, Supervisor, telemetry::TracingListener};

use super::collector::Collector;
use crate::{
    crash::script::{Script, asked, crash, job, serves, set, soon, stop, tell},
    support::{inject, quiet},
};

const SECRET: &str = "hunter2";

#[derive(Debug, Clone)]
struct Account {
    user: String,
    password: String,
}

fn account(password: &str) -> Account {
    Account { user: "ada".into(), password: password.into() }
}

/// What an account's life looks like to a listener, secrets and all.
async fn life(listener: TracingListener) -> Collector {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let spec = ServerSpec::new(Script::new(), account(SECRET)).name_in(&undying::Registry::new(), "account");
    let server = spec.listener(listener).start().await.expect("it starts");
    tell(&server, set(account("hunter2 again"))).await;
    crash(&server).await;
    server.kill_worker();
    serves(&server, 3).await;
    let exit = stop(&server).await;
    assert_eq!((&*exit.state.user, &*exit.state.password), ("ada", "hunter2 again"));
    collector
}

fn mentions(collector: &Collector, word: &str) -> usize {
    let texts = collector.told().into_iter().flat_map(|told| told.fields.into_values());
    let spans = collector.spans().into_iter().flat_map(|span| span.fields.into_values());
    texts.chain(spans).filter(|text| text.contains(word)).count()
}

/// TE6: a secret in the state is in no event and no span, neither of the listener nor of the crate itself.
#[tokio::test]
async fn a_secret_in_the_state_is_told_nowhere() {
    let collector = life(TracingListener::default()).await;
    assert_eq!(collector.of("undying::state_changed").len(), 1);
    assert_eq!(mentions(&collector, SECRET), 0);
    assert_eq!(mentions(&collector, "ada"), 0);
}

/// TE7: what the user's function writes of a state is told with starts, changes, crashes and ends, and nothing else of it.
#[tokio::test]
async fn values_are_told_as_the_user_has_them_written() {
    let show = |account: &Account, f: &mut std::fmt::Formatter<'_>| {
        write!(f, "{} with {} letters", account.user, account.password.len())
    };
    let collector = life(TracingListener::default().values(show)).await;
    assert_eq!(mentions(&collector, SECRET), 0);
    let state = |target: &str| -> Vec<_> {
        collector.of(target).into_iter().map(|mut fields| fields.remove("undying.state")).collect()
    };
    let (first, second) = (Some("ada with 7 letters".to_owned()), Some("ada with 13 letters".to_owned()));
    let only = std::slice::from_ref;
    assert_eq!(state("undying::started"), only(&first));
    assert_eq!(state("undying::state_changed"), only(&second));
    assert_eq!(collector.of("undying::state_changed")[0].get("undying.old_state"), first.as_ref());
    assert_eq!(state("undying::crashed"), [second.clone(), second.clone()]);
    assert_eq!(state("undying::restarted"), [None, None], "a restart changes nothing");
    assert_eq!(state("undying::terminated"), [second]);
}

/// TE8: one listener shows the states of several types, each in its way, and none of a type it was not told of.
#[tokio::test]
async fn values_go_by_the_type_of_the_state() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let listener = TracingListener::default()
        .values::<u64>(Debug::fmt)
        .values(|text: &String, f| write!(f, "{} letters", text.len()))
        .values(|_: &u64, _| unreachable!("the first is used"));
    fn is_for_all(_: &impl AnyListener) {}
    is_for_all(&listener);
    let tree = Supervisor::builder()
        .listener(listener)
        .child(ServerSpec::new(Script::new(), 7_u64).name_in(&undying::Registry::new(), "number"))
        .child(
            ServerSpec::new(Script::new(), String::from(SECRET)).name_in(&undying::Registry::new(), "text"),
        )
        .child(ServerSpec::new(Script::new(), account(SECRET)).name_in(&undying::Registry::new(), "account"));
    let tree = tree.start().await.expect("it starts");
    soon(tree.stop()).await.expect("it stops");
    let shown: Vec<_> = collector
        .of("undying::started")
        .into_iter()
        .map(|fields| (fields["server.name"].clone(), fields.get("undying.state").cloned()))
        .collect();
    let shown_as = |name: &str, state: Option<&str>| (name.to_owned(), state.map(str::to_owned));
    let mut sorted = shown;
    sorted.sort();
    assert_eq!(
        sorted,
        [shown_as("account", None), shown_as("number", Some("7")), shown_as("text", Some("7 letters")),]
    );
    assert_eq!(mentions(&collector, SECRET), 0);
}

/// TE9: a function that panics or fails over a value costs the value only, not the event, and not half of it is told.
#[tokio::test]
async fn a_value_that_cannot_be_written_costs_only_itself() {
    quiet();
    for panics in [true, false] {
        let (collector, _guard) = Collector::listen(Level::TRACE);
        let listener = TracingListener::default().values(move |account: &Account, f| {
            write!(f, "{}", account.password)?;
            if panics { inject() } else { Err(std::fmt::Error) }
        });
        let spec = ServerSpec::new(Script::new(), account(SECRET)).listener(listener);
        let server = spec.start().await.expect("it starts");
        tell(&server, set(account("hunter2 again"))).await;
        stop(&server).await;
        for target in ["undying::started", "undying::state_changed", "undying::terminated"] {
            let told = collector.of(target);
            assert_eq!(told.len(), 1, "{target}");
            assert_eq!(told[0].get("undying.state"), None);
        }
        assert_eq!(mentions(&collector, SECRET), 0);
        assert_eq!(mentions(&collector, "a listener panicked"), 0);
    }
}

/// TE10: what a panic says of itself is told, and is all that is told of it: the fine print of redaction.
#[tokio::test]
async fn what_a_crash_says_is_told() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let spec = ServerSpec::new(Script::new(), account(SECRET)).listener(TracingListener::default());
    let server = spec.start().await.expect("it starts");
    let complains = job(|account: &mut Account| -> Result<Next<_>, _> {
        Err(undying::Crash::msg(format!("no such user: {}", account.user)))
    });
    let crashed = soon(server.call(asked(complains))).await;
    assert!(matches!(crashed, Err(CallError::Crashed(_))));
    stop(&server).await;
    assert_eq!(collector.of("undying::crashed")[0]["exception.message"], "no such user: ada");
    assert_eq!(mentions(&collector, SECRET), 0);
}
