//! A server that calls itself would wait for itself: it is refused at once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use undying::{
    CallError, Context, ExitReason, GenServer, Next, Outcome, Reply, Restart, ServerRef, ServerSpec, StateMut,
};

use super::{Call, desk};
use crate::support::{inject, until};

both! {
    /// CA4: a handler that calls its own server is refused at once, also inside `join!`; the server stays alive.
    async fn a_server_cannot_call_itself() {
        let server = desk().await;
        let answers = server.call(Call::Itself).await.expect("not stuck");
        assert_eq!(answers.len(), 2);
        assert!(answers.iter().all(|answer| matches!(answer, Err(CallError::CallingSelf))));
        assert_eq!(server.call(Call::Who).await.expect("alive"), (0, 1));
    }

    /// CA4: a call to its own server is refused in every callback.
    async fn no_callback_can_call_its_own_server() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = |place| log.lock().expect("no panic").iter().any(|(seen, _)| *seen == place);
        let narcissus = Narcissus { log: log.clone() };
        let server = ServerSpec::new(narcissus, ()).start().await.expect("starts");
        server.call(Mirror).await.expect("served");
        until("the idle timeout ran", || seen("timeout")).await;
        server.cast(()).await.expect("alive");
        server.send(()).await.expect("alive");
        server.wait_incarnation(2).await.expect("restarts");
        server.stop().await.expect("stops");
        let callbacks = ["init", "call", "continue", "timeout", "cast", "info", "terminate", "restarted"];
        assert!(callbacks.into_iter().all(seen));
        let log = log.lock().expect("no panic");
        assert!(log.iter().all(|(_, refused)| *refused), "{log:?}");
    }
}

/// Asks itself something in each of its callbacks, and notes whether that was refused.
#[derive(Clone)]
struct Narcissus {
    log: Arc<Mutex<Vec<(&'static str, bool)>>>,
}

struct Mirror(Reply<()>);

impl Narcissus {
    async fn ask(&mut self, server: ServerRef<Self>, place: &'static str) {
        let refused = matches!(server.call(Mirror).await, Err(CallError::CallingSelf));
        self.log.lock().expect("no panic").push((place, refused));
    }
}

impl GenServer for Narcissus {
    type State = ();
    type Call = Mirror;
    type Cast = ();
    type Info = ();
    type Continue = ();

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.ask(cx.server(), "init").await;
        Ok(Next::Wait)
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.ask(cx.server(), "restarted").await;
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        Mirror(reply): Mirror,
        _: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.ask(cx.server(), "call").await;
        reply.send(());
        Ok(Next::Continue(()))
    }

    async fn handle_continue(
        &mut self,
        (): (),
        _: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.ask(cx.server(), "continue").await;
        Ok(Next::Timeout(Duration::ZERO))
    }

    async fn handle_timeout(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.ask(cx.server(), "timeout").await;
        Ok(Next::Wait)
    }

    async fn handle_cast(&mut self, (): (), _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.ask(cx.server(), "cast").await;
        Ok(Next::Wait)
    }

    async fn handle_info(&mut self, (): (), _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.ask(cx.server(), "info").await;
        inject()
    }

    async fn terminate(&mut self, _: &ExitReason, _: StateMut<'_, Self>, cx: &mut Context<Self>) {
        self.ask(cx.server(), "terminate").await;
    }
}
