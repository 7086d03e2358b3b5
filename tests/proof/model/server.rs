//! The server that the steps are done to.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use undying::{Context, Crash, GenServer, Next, Outcome, Reply, StateMut};

use super::steps::Op;
use crate::size::inject;

/// Enters the numbers of its messages in its state.
#[derive(Clone)]
pub(super) struct Server {
    /// Has a permit for each callback that may go on.
    pub(super) gate: Arc<Semaphore>,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) mail: Vec<u32>,
    pub(super) ticks: Vec<u32>,
    waiting: Vec<Reply<usize>>,
    is_bomb: bool,
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        if self.is_bomb {
            inject()
        }
        let Self { mail, ticks, waiting, is_bomb } = self;
        Self { mail: mail.clone(), ticks: ticks.clone(), waiting: waiting.clone(), is_bomb: *is_bomb }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) id: u32,
    pub(super) op: Op,
}

pub(super) enum Info {
    Message(Message),
    Tick(u32),
}

/// The number under which the continue of a message enters.
pub(super) fn chained(id: u32) -> u32 {
    id + 1_000_000
}

impl Server {
    async fn handle(
        &mut self,
        Message { id, op }: Message,
        mut reply: Option<Reply<usize>>,
        mut kept: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let mut next = Next::Wait;
        if op != Op::Look {
            kept.mail.push(id);
        }
        let count = kept.mail.len();
        match op {
            Op::Add | Op::Look => {}
            Op::Hold => self.gate.acquire().await?.forget(),
            Op::Panic | Op::Fail | Op::FailToClone => {
                // All of this is to be forgotten.
                kept.ticks.clear();
                kept.waiting.drain(..).for_each(|waiting| waiting.send(0));
                reply.take().into_iter().for_each(|reply| reply.send(0));
                cx.send_after(Duration::from_millis(1), Info::Tick(id));
                match op {
                    Op::Panic => inject(),
                    Op::Fail => return Err(Crash::msg("on purpose")),
                    _ => kept.is_bomb = true,
                }
            }
            Op::Defer => kept.waiting.extend(reply.take()),
            Op::Answer => kept.waiting.drain(..).for_each(|waiting| waiting.send(count)),
            Op::Arm(after) => drop(cx.send_after(Duration::from_millis(after), Info::Tick(id))),
            Op::Chain => next = Next::Continue(chained(id)),
        }
        reply.into_iter().for_each(|reply| reply.send(count));
        Ok(next)
    }
}

impl GenServer for Server {
    type State = Kept;
    type Call = (Message, Reply<usize>);
    type Cast = Message;
    type Info = Info;
    type Continue = u32;

    async fn handle_call(
        &mut self,
        (message, reply): Self::Call,
        kept: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.handle(message, Some(reply), kept, cx).await
    }

    async fn handle_cast(
        &mut self,
        message: Message,
        kept: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.handle(message, None, kept, cx).await
    }

    async fn handle_info(
        &mut self,
        info: Info,
        mut kept: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match info {
            Info::Message(message) => self.handle(message, None, kept, cx).await,
            Info::Tick(id) => {
                kept.ticks.push(id);
                Ok(Next::Wait)
            }
        }
    }

    async fn handle_continue(
        &mut self,
        id: u32,
        mut kept: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        kept.mail.push(id);
        Ok(Next::Wait)
    }
}
