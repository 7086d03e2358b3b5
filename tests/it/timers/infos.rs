//! What arrives as an info: whatever the user sends, and nothing of the crate's own.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut};

use crate::{
    crash::script::{crash, soon, start},
    effects::SECOND,
    support::until,
};

/// A server without a `handle_info`.
#[derive(Clone)]
struct Deaf;

impl GenServer for Deaf {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = Never;
    type Info = u64;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Reply<u64>,
        mut calls: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *calls += 1;
        reply.send(*calls);
        Ok(Next::Wait)
    }
}

/// Keeps the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut Line(&mut line));
        self.0.lock().expect("no panic").push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        *self.0 += &format!("{}={value:?} ", field.name());
    }
}

/// IN1: a message that a server has no handler for, sent or of a timer, is logged and ignored.
#[tokio::test(start_paused = true)]
async fn a_message_without_a_handler_is_logged_and_ignored() {
    let warnings = Warnings::default();
    let _logging = tracing::subscriber::set_default(warnings.clone());
    let server = ServerSpec::new(Deaf, 0).name("deaf").start().await.expect("it starts");
    server.send(7).await.expect("alive");
    server.send_after(SECOND, 8);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(server.call(|reply| reply).await.expect("it lives"), 1);
    assert_eq!(server.incarnation(), 1);
    let lines = warnings.0.lock().expect("no panic").clone();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("deaf") && line.contains("handle_info")), "{lines:?}");
}

/// Anything at all.
type Value = Arc<dyn fmt::Debug + Send + Sync>;

/// Keeps what it gets, in words.
#[derive(Clone)]
struct Echo;

impl GenServer for Echo {
    type State = Vec<String>;
    type Call = Reply<Vec<String>>;
    type Cast = Never;
    type Info = Value;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Self::Call,
        words: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(words.clone());
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        info: Value,
        mut words: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        words.push(format!("{info:?}"));
        Ok(Next::Wait)
    }
}

async fn echo() -> ServerRef<Echo> {
    ServerSpec::new(Echo, Vec::new()).trap_exits(|down| Arc::new(down)).start().await.expect("it starts")
}

both! {
    /// IN3: whatever value is sent, by hand or by a timer, reaches the handler and means nothing to the crate.
    async fn any_value_reaches_the_handler() {
        let other = start(0_u64).await;
        let monitor = other.monitor();
        let report = crash(&other).await;
        other.kill();
        let down = soon(monitor).await;
        let values: [Value; 8] = [
            Arc::new(()),
            Arc::new("$gen_call"),
            Arc::new("EXIT"),
            Arc::new(ExitReason::Killed),
            Arc::new(ExitReason::Shutdown),
            Arc::new(report),
            Arc::new(down),
            Arc::new(Next::<Echo>::Stop(ExitReason::Normal)),
        ];
        let server = echo().await;
        let words = values.iter().flat_map(|value| [format!("{value:?}"), format!("{value:?}")]);
        let words: Vec<_> = words.collect();
        for value in values {
            server.send(value.clone()).await.expect("alive");
            // Answered after what was sent before, and before what is armed below.
            soon(server.call(|reply| reply)).await.expect("alive");
            server.send_after(Duration::ZERO, value);
            until("the timer has fired", || server.peek().len() % 2 == 0).await;
        }
        assert_eq!(soon(server.call(|reply| reply)).await.expect("alive"), words);
        assert_eq!(server.incarnation(), 1);
    }
}
