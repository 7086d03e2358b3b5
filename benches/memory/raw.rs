//! The same by hand: a task on a channel, with `oneshot` replies.

use tokio::sync::{mpsc, oneshot};

pub(crate) type Sender = mpsc::UnboundedSender<oneshot::Sender<u64>>;

pub(crate) fn start() -> Sender {
    let (sender, mut receiver) = mpsc::unbounded_channel::<oneshot::Sender<u64>>();
    tokio::spawn(async move {
        let mut calls = 0;
        while let Some(reply) = receiver.recv().await {
            calls += 1;
            let _ = reply.send(calls);
        }
    });
    sender
}

pub(crate) async fn call(sender: &Sender) -> u64 {
    let (reply, answer) = oneshot::channel();
    sender.send(reply).expect("it runs");
    answer.await.expect("it runs")
}
