//! The floor, which a user could write by hand: a task on a channel of Tokio's with `oneshot` replies, no supervision, no state
//! kept, no timeout.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::sync::{mpsc, oneshot};

use crate::subject::Subject;

type Message = (u64, Option<oneshot::Sender<u64>>);

/// Its end is the drop of the last sender, and nobody waits for that.
#[derive(Clone)]
pub(crate) struct Raw {
    sender: mpsc::UnboundedSender<Message>,
}

impl Subject for Raw {
    async fn start() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(serve(move |task| receiver.poll_recv(task)));
        Self { sender }
    }

    async fn add(&self, by: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.sender.send((by, Some(reply))).expect("it runs");
        answer.await.expect("it runs")
    }

    async fn cast(&self, by: u64) {
        self.sender.send((by, None)).expect("it runs");
    }

    async fn stop(self) {}
}

/// On a channel of 1024.
#[derive(Clone)]
pub(crate) struct RawBounded {
    sender: mpsc::Sender<Message>,
}

impl Subject for RawBounded {
    async fn start() -> Self {
        let (sender, mut receiver) = mpsc::channel(1024);
        tokio::spawn(serve(move |task| receiver.poll_recv(task)));
        Self { sender }
    }

    async fn add(&self, by: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.sender.send((by, Some(reply))).await.expect("it runs");
        answer.await.expect("it runs")
    }

    async fn cast(&self, by: u64) {
        self.sender.send((by, None)).await.expect("it runs");
    }

    async fn stop(self) {}
}

async fn serve(mut receive: impl FnMut(&mut Context<'_>) -> Poll<Option<Message>>) {
    let mut total = 0;
    while let Some((by, reply)) = poll_fn(&mut receive).await {
        total += by;
        if let Some(reply) = reply {
            let _ = reply.send(total);
        }
    }
}
