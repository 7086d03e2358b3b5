//! Actors of kameo, alone and under a supervisor that restarts them.

use std::{sync::Mutex, time::Duration};

use kameo::prelude::*;
use kameo::{error::Infallible, supervision::RestartPolicy};
use tokio::runtime::{Handle, Id};

use crate::{
    on_purpose::crash,
    subject::{Subject, Undying},
};

#[derive(Actor, Clone)]
struct Counter(u64);

/// An `ask` is a call.
struct Add(u64);

struct Cast(u64);

struct Crash;

impl Message<Add> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Add(by): Add, _: &mut Context<Self, u64>) -> u64 {
        self.0 += by;
        self.0
    }
}

impl Message<Cast> for Counter {
    type Reply = ();

    async fn handle(&mut self, Cast(by): Cast, _: &mut Context<Self, ()>) {
        self.0 += by;
    }
}

impl Message<Crash> for Counter {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        crash();
    }
}

fn room<const ROOM: usize>() -> (MailboxSender<Counter>, MailboxReceiver<Counter>) {
    if ROOM == 0 { mailbox::unbounded() } else { mailbox::bounded(ROOM) }
}

/// With room for so many messages, where 0 is no bound.
#[derive(Clone)]
pub(crate) struct Kameo<const ROOM: usize = 0>(ActorRef<Counter>);

impl<const ROOM: usize> Subject for Kameo<ROOM> {
    async fn start() -> Self {
        Self(Counter::spawn_with_mailbox(Counter(0), room::<ROOM>()))
    }

    async fn add(&self, by: u64) -> u64 {
        self.0.ask(Add(by)).await.expect("an answer")
    }

    async fn cast(&self, by: u64) {
        self.0.tell(Cast(by)).await.expect("it runs");
    }

    async fn stop(self) {
        self.0.stop_gracefully().await.expect("it runs");
        self.0.wait_for_shutdown().await;
    }
}

/// A child of a supervisor, which restarts it with 0.
#[derive(Clone)]
pub(crate) struct SupervisedKameo<const ROOM: usize = 0>(Kameo<ROOM>);

impl<const ROOM: usize> Subject for SupervisedKameo<ROOM> {
    async fn start() -> Self {
        let supervisor = supervisor();
        let child = Counter::supervise(&supervisor, Counter(0))
            .restart_policy(RestartPolicy::Transient)
            .restart_limit(u32::MAX, Duration::from_secs(1));
        Self(Kameo(child.spawn_with_mailbox(room::<ROOM>()).await))
    }

    async fn add(&self, by: u64) -> u64 {
        self.0.add(by).await
    }

    async fn cast(&self, by: u64) {
        self.0.cast(by).await;
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

impl<const ROOM: usize> Undying for SupervisedKameo<ROOM> {
    async fn crash(&self) {
        self.0.0.ask(Crash).await.expect_err("it crashes");
    }
}

struct Supervisor;

impl Actor for Supervisor {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// The one of this runtime.
fn supervisor() -> ActorRef<Supervisor> {
    static SUPERVISOR: Mutex<Option<(Id, ActorRef<Supervisor>)>> = Mutex::new(None);
    let runtime = Handle::current().id();
    let mut supervisor = SUPERVISOR.lock().expect("nobody panics meanwhile");
    match &*supervisor {
        Some((of, supervisor)) if *of == runtime => supervisor.clone(),
        _ => supervisor.insert((runtime, Supervisor::spawn(()))).1.clone(),
    }
}
