//! A server that does next to nothing.

use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut};

#[derive(Clone)]
pub(crate) struct Counter;

impl GenServer for Counter {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = Never;
    type Info = Never;
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

pub(crate) async fn start() -> ServerRef<Counter> {
    ServerSpec::new(Counter, 0).start().await.expect("it starts")
}

pub(crate) async fn call(server: &ServerRef<Counter>) -> u64 {
    server.call(|reply| reply).await.expect("an answer")
}
