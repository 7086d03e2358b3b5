//! Actors of ractor, alone and under a supervisor that starts another one in the place of one that failed.

use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::runtime::{Handle, Id};

use crate::{
    on_purpose::crash,
    subject::{Subject, Undying},
};

struct Counter;

enum Message {
    Add(u64, RpcReplyPort<u64>),
    Cast(u64),
    Crash(RpcReplyPort<u64>),
}

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(by, reply) => {
                *total += by;
                reply.send(*total)?;
            }
            Message::Cast(by) => *total += by,
            Message::Crash(_reply) => crash(),
        }
        Ok(())
    }
}

async fn add(counter: &ActorRef<Message>, by: u64) -> u64 {
    counter.call(|reply| Message::Add(by, reply), None).await.expect("it runs").expect("an answer")
}

#[derive(Clone)]
pub(crate) struct Ractor(ActorRef<Message>);

impl Subject for Ractor {
    async fn start() -> Self {
        Self(Actor::spawn(None, Counter, ()).await.expect("it starts").0)
    }

    async fn add(&self, by: u64) -> u64 {
        add(&self.0, by).await
    }

    async fn cast(&self, by: u64) {
        self.0.cast(Message::Cast(by)).expect("it runs");
    }

    async fn stop(self) {
        self.0.stop_and_wait(None, None).await.expect("it stops");
    }
}

/// A child of a supervisor.
#[derive(Clone)]
pub(crate) struct SupervisedRactor(Ractor);

impl Subject for SupervisedRactor {
    async fn start() -> Self {
        let supervisor = supervisor().await;
        let started = Actor::spawn_linked(None, Counter, (), supervisor.get_cell()).await;
        Self(Ractor(started.expect("it starts").0))
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

/// A child of a supervisor that is replaced when it fails: by another actor, at another address, with 0.
#[derive(Clone)]
pub(crate) struct ReplacedRactor(Arc<Mutex<ActorRef<Message>>>);

impl ReplacedRactor {
    fn now(&self) -> ActorRef<Message> {
        self.0.lock().expect("nobody panics meanwhile").clone()
    }
}

impl Subject for ReplacedRactor {
    async fn start() -> Self {
        Self(Arc::new(Mutex::new(SupervisedRactor::start().await.0.0)))
    }

    async fn add(&self, by: u64) -> u64 {
        add(&self.now(), by).await
    }

    async fn cast(&self, by: u64) {
        self.now().cast(Message::Cast(by)).expect("it runs");
    }

    async fn stop(self) {
        Ractor(self.now()).stop().await;
    }
}

impl Undying for ReplacedRactor {
    async fn crash(&self) {
        let old = self.now();
        let answer = old.call(Message::Crash, None).await.expect("it runs");
        assert!(!answer.is_success());
        let supervisor = supervisor().await;
        loop {
            let ask = |reply| Ask::Successor(old.get_id(), reply);
            if let Some(new) = supervisor.call(ask, None).await.expect("it runs").expect("an answer") {
                *self.0.lock().expect("nobody panics meanwhile") = new;
                return;
            }
        }
    }
}

struct Supervisor;

enum Ask {
    /// Who came in the place of an actor that failed?
    Successor(ActorId, RpcReplyPort<Option<ActorRef<Message>>>),
}

impl Actor for Supervisor {
    type Msg = Ask;
    /// The last one that failed, and who came in its place.
    type State = Option<(ActorId, ActorRef<Message>)>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        Ask::Successor(old, reply): Ask,
        last: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let successor = last.as_ref().filter(|(failed, _)| *failed == old);
        reply.send(successor.map(|(_, new)| new.clone()))?;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Ask>,
        event: SupervisionEvent,
        last: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(failed, _) = event {
            let (new, _) = Actor::spawn_linked(None, Counter, (), myself.get_cell()).await?;
            *last = Some((failed.get_id(), new));
        }
        Ok(())
    }
}

/// The one of this runtime.
async fn supervisor() -> ActorRef<Ask> {
    static SUPERVISOR: Mutex<Option<(Id, ActorRef<Ask>)>> = Mutex::new(None);
    let runtime = Handle::current().id();
    let known = SUPERVISOR.lock().expect("nobody panics meanwhile").clone();
    if let Some((_, supervisor)) = known.filter(|(of, _)| *of == runtime) {
        return supervisor;
    }
    let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.expect("it starts");
    *SUPERVISOR.lock().expect("nobody panics meanwhile") = Some((runtime, supervisor.clone()));
    supervisor
}
