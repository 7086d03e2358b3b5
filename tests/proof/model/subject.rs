//! The server itself, between two supervisors, and everything that can be seen of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use futures::poll;
use tokio::{sync::Semaphore, task::yield_now, time};
use undying::{
    CallError, Dispatch, Event, Kept as Snapshot, Mailbox, RestartPolicy, ServerRef, ServerSpec, StopError,
    Supervisor, SupervisorRef, TrySendError,
};

use super::{
    reference::{Heard, Outcome, Reference, Stopped, Told, View},
    server::{Info, Kept, Message, Server},
    steps::{Case, Step},
};

const NAME: &str = "subject";

/// When nothing has changed while everybody had a turn so often, everything is at rest.
const TURNS: usize = 8;

type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

pub(super) struct Subject {
    homes: [SupervisorRef; 2],
    /// Which of the two has it.
    home: usize,
    server: ServerRef<Server>,
    gate: Arc<Semaphore>,
    calls: BTreeMap<u32, Pending<Told>>,
    told: BTreeMap<u32, Told>,
    /// The stops that wait, by their places in what came of them.
    stops: BTreeMap<usize, Pending<Stopped>>,
    stopped: Vec<Option<Stopped>>,
    heard: Arc<Mutex<Heard>>,
    /// Snapshots, and what they were when they were taken.
    kept: Vec<(Snapshot<Server>, Vec<u32>)>,
    holds: bool,
}

impl Subject {
    pub(super) async fn start(case: &Case, dispatch: Dispatch) -> Self {
        let (gate, heard) = (Arc::new(Semaphore::new(0)), Arc::<Mutex<Heard>>::default());
        let hears = heard.clone();
        let listener = move |event: Event<'_, Server>| {
            let mut heard = hears.lock().expect("no listener panics");
            match event {
                Event::Started(_) => heard.starts += 1,
                Event::StateChanged(change) => heard.changes += 1 + change.lagged,
                Event::Crashed(_) => heard.crashes += 1,
                Event::Restarted(_) => heard.restarts += 1,
                Event::Terminated(_) => heard.ends += 1,
                _ => {}
            }
        };
        let restart = if case.is_permanent { RestartPolicy::Permanent } else { RestartPolicy::Transient };
        let spec = ServerSpec::new(Server { gate: gate.clone() }, Kept::default())
            .id(NAME)
            .dispatch(dispatch)
            .mailbox(case.capacity.map_or(Mailbox::unbounded(), Mailbox::bounded))
            .max_restarts(u32::MAX, Duration::from_secs(1))
            .restart(restart)
            .preserve_on_escalation(case.is_preserved)
            .listener(listener);
        let family = || Supervisor::builder().max_restarts(u32::MAX, Duration::from_secs(1));
        let from = family().child(spec).start().await.expect("it starts");
        let server = from.server(NAME).expect("it is there");
        let to = family().start().await.expect("it starts");
        Self {
            homes: [from, to],
            home: 0,
            server,
            gate,
            calls: BTreeMap::new(),
            told: BTreeMap::new(),
            stops: BTreeMap::new(),
            stopped: Vec::new(),
            heard,
            kept: Vec::new(),
            holds: false,
        }
    }

    pub(super) async fn take(&mut self, id: u32, step: Step) -> Outcome {
        let server = self.server.clone();
        match step {
            Step::Call(op, timeout) => {
                let call = async move {
                    let call = server.call(|reply| (Message { id, op }, reply));
                    told(match timeout {
                        Some(after) => call.timeout(Duration::from_millis(after)).await,
                        None => call.no_timeout().await,
                    })
                };
                self.calls.insert(id, Box::pin(call));
                self.hear().await;
            }
            Step::Cast(op) => return outcome(server.try_cast(Message { id, op })),
            Step::Send(op) => return outcome(server.try_send(Info::Message(Message { id, op }))),
            Step::Release if self.holds => self.gate.add_permits(1),
            Step::KillWorker => server.kill_worker(),
            Step::Kill => server.kill(),
            Step::Stop => {
                let stop = async move {
                    match server.stop().await {
                        Ok(exit) => (exit.reason.to_string(), exit.state.mail.len()),
                        Err(StopError::NoProc) => ("no such server".into(), 0),
                        Err(error) => (error.to_string(), 0),
                    }
                };
                self.stops.insert(self.stopped.len(), Box::pin(stop));
                self.stopped.push(None);
                self.hear().await;
            }
            Step::Peek => {
                let kept = server.peek();
                let mail = kept.mail.clone();
                self.kept.push((kept, mail));
            }
            Step::DropCall(which) => {
                let open: Vec<_> = self.calls.keys().copied().collect();
                if !open.is_empty() {
                    self.calls.remove(&open[which % open.len()]);
                }
            }
            Step::DropHandle => {
                self.server = self.homes[self.home].server(NAME).expect("its supervisor has it");
            }
            Step::Advance(by) => time::advance(Duration::from_millis(by)).await,
            Step::Transfer => {
                let there = 1 - self.home;
                if self.homes[self.home].transfer(NAME, &self.homes[there]).await.is_err() {
                    return Outcome::NoProc;
                }
                self.home = there;
            }
            Step::Release => {}
        }
        Outcome::Done
    }

    /// Looks what callers have been told.
    async fn hear(&mut self) {
        for (id, mut call) in mem::take(&mut self.calls) {
            if let Poll::Ready(told) = poll!(&mut call) {
                self.told.insert(id, told);
            } else {
                self.calls.insert(id, call);
            }
        }
        for (place, mut stop) in mem::take(&mut self.stops) {
            if let Poll::Ready(end) = poll!(&mut stop) {
                self.stopped[place] = Some(end);
            } else {
                self.stops.insert(place, stop);
            }
        }
    }

    /// Lets everything come to rest, and compares what there is to see.
    pub(super) async fn compare(&mut self, reference: &Reference) -> Result<(), String> {
        self.holds = reference.holds();
        let (mut before, mut rest) = (None, 0);
        while rest < TURNS {
            yield_now().await;
            self.hear().await;
            let server = &self.server;
            let now = (server.peek().version(), server.incarnation(), server.mailbox_len(), self.calls.len());
            rest = if before == Some(now) { rest + 1 } else { 0 };
            before = Some(now);
        }
        let seen = self.view();
        if seen == reference.view { Ok(()) } else { Err(format!("{seen:?}, and not {:?}", reference.view)) }
    }

    fn view(&self) -> View {
        let kept = self.server.peek();
        View {
            mail: kept.mail.clone(),
            ticks: kept.ticks.clone(),
            version: kept.version(),
            incarnation: self.server.incarnation(),
            is_alive: self.server.is_alive(),
            queued: self.server.mailbox_len(),
            open: self.calls.keys().copied().collect::<BTreeSet<_>>(),
            told: self.told.clone(),
            stops: self.stopped.clone(),
            heard: *self.heard.lock().expect("no listener panics"),
        }
    }

    /// Ends it all: whoever waits still is told.
    pub(super) async fn end(mut self, reference: &Reference) -> Result<(), String> {
        if self.kept.iter().any(|(kept, mail)| kept.mail != *mail) {
            return Err("a snapshot has changed".into());
        }
        for home in &self.homes {
            home.stop().await.map_err(|error| error.to_string())?;
        }
        self.hear().await;
        // A callback that holds is given 5 s: meanwhile callers may lose patience.
        let is_told = |id| matches!(self.told.get(id), Some(Told::Stopped | Told::Timeout));
        if self.server.is_alive() || !self.calls.is_empty() || !reference.view.open.iter().all(is_told) {
            return Err(format!("after the end: {:?} {:?}", self.calls.keys(), self.told));
        }
        Ok(())
    }
}

fn told(answer: Result<usize, CallError>) -> Told {
    match answer {
        Ok(count) => Told::Answer(count),
        Err(CallError::Crashed(_)) => Told::Crashed,
        Err(CallError::Timeout) => Told::Timeout,
        Err(CallError::Stopped(_)) => Told::Stopped,
        Err(CallError::NoProc) => Told::NoProc,
        Err(error) => panic!("nobody expects {error}"),
    }
}

fn outcome<M>(sent: Result<(), TrySendError<M>>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Done,
        Err(TrySendError::Full(_)) => Outcome::Full,
        Err(_) => Outcome::NoProc,
    }
}
