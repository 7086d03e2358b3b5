//! Actors of xtra.

use xtra::prelude::*;

use crate::subject::Subject;

#[derive(xtra::Actor)]
struct Counter(u64);

/// Its answer is waited for, or not.
struct Add(u64);

struct Stop;

impl Handler<Add> for Counter {
    type Return = u64;

    async fn handle(&mut self, Add(by): Add, _: &mut Context<Self>) -> u64 {
        self.0 += by;
        self.0
    }
}

impl Handler<Stop> for Counter {
    type Return = ();

    async fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop_all();
    }
}

/// With room for so many messages, where 0 is no bound.
#[derive(Clone)]
pub(crate) struct Xtra<const ROOM: usize = 0>(Address<Counter>);

impl<const ROOM: usize> Subject for Xtra<ROOM> {
    async fn start() -> Self {
        let mailbox = if ROOM == 0 { Mailbox::unbounded() } else { Mailbox::bounded(ROOM) };
        Self(xtra::spawn_tokio(Counter(0), mailbox))
    }

    async fn add(&self, by: u64) -> u64 {
        self.0.send(Add(by)).await.expect("an answer")
    }

    async fn cast(&self, by: u64) {
        // Dropped: nobody wants the answer.
        drop(self.0.send(Add(by)).detach().await.expect("it runs"));
    }

    async fn stop(self) {
        let ended = self.0.join();
        self.0.send(Stop).await.expect("an answer");
        ended.await;
    }
}
