//! The crate: a server of three tasks, with its state kept and the default timeout of 5 s on each call.

use std::{sync::LazyLock, time::Duration};

use undying::{
    Context, Dispatch, GenServer, Mailbox, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut,
};

use crate::{
    on_purpose::crash,
    subject::{Subject, Undying},
};

#[derive(Clone)]
pub(crate) struct Counter;

pub(crate) enum Call {
    Add(u64, Reply<u64>),
    Crash(Reply<u64>),
}

impl GenServer for Counter {
    type State = u64;
    type Call = Call;
    type Cast = u64;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut total: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Add(by, reply) => {
                *total += by;
                reply.send(*total);
            }
            Call::Crash(_reply) => crash(),
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        by: u64,
        mut total: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *total += by;
        Ok(Next::Wait)
    }
}

/// How calls are dispatched: as by default, or with `-- --queued` always by the worker's task.
pub(crate) static DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| {
    if std::env::args().any(|arg| arg == "--queued") { Dispatch::Queued } else { Dispatch::Direct }
});

/// A server with room for so many messages, where 0 is no bound.
#[derive(Clone)]
pub(crate) struct Server<const ROOM: usize = 0>(ServerRef<Counter>);

impl<const ROOM: usize> Subject for Server<ROOM> {
    async fn start() -> Self {
        let mailbox = if ROOM == 0 { Mailbox::unbounded() } else { Mailbox::bounded(ROOM) };
        // As many crashes as a bench likes.
        let spec = ServerSpec::new(Counter, 0).max_restarts(u32::MAX, Duration::from_secs(1));
        Self(spec.mailbox(mailbox).dispatch(*DISPATCH).start().await.expect("it starts"))
    }

    async fn add(&self, by: u64) -> u64 {
        self.0.call(|reply| Call::Add(by, reply)).await.expect("an answer")
    }

    async fn cast(&self, by: u64) {
        self.0.cast(by).await.expect("it runs");
    }

    async fn stop(self) {
        self.0.stop().await.expect("it stops");
    }
}

impl<const ROOM: usize> Undying for Server<ROOM> {
    async fn crash(&self) {
        self.0.call(Call::Crash).await.expect_err("it crashes");
    }
}
