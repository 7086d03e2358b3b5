//! A server that counts its messages.

use std::panic::resume_unwind;

use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut};

#[derive(Clone)]
pub(crate) struct Counter;

pub(crate) enum Cast {
    Count,
    Crash,
}

impl GenServer for Counter {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Reply<u64>,
        mut count: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *count += 1;
        reply.send(*count);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut count: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Count => *count += 1,
            // Without the panic hook, whose printing would drown everything else.
            Cast::Crash => resume_unwind(Box::new("as it was asked to")),
        }
        Ok(Next::Wait)
    }
}

pub(crate) async fn start() -> ServerRef<Counter> {
    ServerSpec::new(Counter, 0).start().await.expect("it starts")
}

pub(crate) async fn call(server: &ServerRef<Counter>) -> u64 {
    server.call(|reply| reply).no_timeout().await.expect("an answer")
}
