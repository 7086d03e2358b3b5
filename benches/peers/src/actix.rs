//! Actors of actix, all on one thread, as an actix system has it.

use std::time::Duration;

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, System, dev::SendError};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::subject::Subject;

struct Counter<const ROOM: usize>(u64);

impl<const ROOM: usize> Actor for Counter<ROOM> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if ROOM > 0 {
            context.set_mailbox_capacity(ROOM);
        }
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Cast(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl<const ROOM: usize> Handler<Add> for Counter<ROOM> {
    type Result = u64;

    fn handle(&mut self, Add(by): Add, _: &mut Context<Self>) -> u64 {
        self.0 += by;
        self.0
    }
}

impl<const ROOM: usize> Handler<Cast> for Counter<ROOM> {
    type Result = ();

    fn handle(&mut self, Cast(by): Cast, _: &mut Context<Self>) {
        self.0 += by;
    }
}

impl<const ROOM: usize> Handler<Stop> for Counter<ROOM> {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}

/// With room for so many messages, where 0 is no bound.
pub(crate) struct Actix<const ROOM: usize = 0>(Addr<Counter<ROOM>>);

impl<const ROOM: usize> Clone for Actix<ROOM> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<const ROOM: usize> Subject for Actix<ROOM> {
    async fn start() -> Self {
        Self(Counter(0).start())
    }

    async fn add(&self, by: u64) -> u64 {
        self.0.send(Add(by)).await.expect("an answer")
    }

    async fn cast(&self, by: u64) {
        if ROOM == 0 {
            // Past the capacity.
            self.0.do_send(Cast(by));
            return;
        }
        let mut cast = Cast(by);
        while let Err(SendError::Full(refused)) = self.0.try_send(cast) {
            cast = refused;
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.0.send(Stop).await.expect("an answer");
    }

    /// On a system of its own.
    fn host(_: &Runtime, workload: impl Future<Output = Duration> + Send + 'static) -> Duration {
        System::new().block_on(async { actix::spawn(workload).await.expect("the workload ends") })
    }

    fn spawn(clients: &mut JoinSet<()>, client: impl Future<Output = ()> + Send + 'static) {
        clients.spawn_local(client);
    }
}
