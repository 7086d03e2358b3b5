//! Registries: names that servers are given, groups, keys with values, and who watches them. What a name means while its
//! server starts is in `start::names`.

mod crowds;
mod groups;
mod hostile;
mod keyed;
mod lives;
mod names;
mod races;
mod values;
mod watchers;

use std::time::Duration;

use undying::{
    Context, ExitReason, GenServer, Never, Next, Outcome, Registry, Reply, ServerRef, ServerSpec, StateMut,
};

use crate::{crash::script::soon, support::inject};

/// Notes what is cast to it.
#[derive(Clone)]
struct Member;

#[derive(Clone, Debug, PartialEq)]
enum Say {
    Note(u64),
    Crash,
    End,
}

impl GenServer for Member {
    type State = Vec<u64>;
    type Call = Reply<Vec<u64>>;
    type Cast = Say;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        heard: Reply<Vec<u64>>,
        notes: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        heard.send(notes.clone());
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        say: Say,
        mut notes: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match say {
            Say::Note(note) => notes.push(note),
            Say::Crash => inject(),
            Say::End => return Ok(Next::Stop(ExitReason::Normal)),
        }
        Ok(Next::Wait)
    }
}

/// Another type of server, that takes the same messages.
#[derive(Clone)]
struct Stranger;

impl GenServer for Stranger {
    type State = ();
    type Call = Never;
    type Cast = Say;
    type Info = Never;
    type Continue = Never;
}

fn member() -> ServerSpec<Member> {
    ServerSpec::new(Member, Vec::new())
}

async fn start() -> ServerRef<Member> {
    soon(member().start()).await.expect("it starts")
}

async fn start_stranger() -> ServerRef<Stranger> {
    soon(ServerSpec::new(Stranger, ()).start()).await.expect("it starts")
}

/// What a server has noted.
async fn heard(server: &ServerRef<Member>) -> Vec<u64> {
    soon(server.call(|heard| heard)).await.expect("it is there")
}

fn has_nothing(registry: &Registry) -> bool {
    registry.names().is_empty() && registry.groups().is_empty()
}

/// The ways in which a server that survives no crash comes to its end.
const ENDS: &[fn(&ServerRef<Member>)] = &[
    |server| {
        let server = server.clone();
        tokio::spawn(async move { server.stop().await });
    },
    |server| drop(server.clone().into_guard()),
    |server| server.try_cast(Say::End).expect("room"),
    |server| server.try_cast(Say::Crash).expect("room"),
    ServerRef::kill,
    ServerRef::kill_worker,
    #[cfg(feature = "chaos")]
    |server| server.chaos().kill_supervisor(),
];

/// A server that one crash ends.
fn mortal() -> ServerSpec<Member> {
    member().max_restarts(0, Duration::from_secs(1))
}
