//! Listeners whose queue is full: what gives way to what, by each policy.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use proptest::{collection::vec, prelude::*, test_runner::Config};
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use undying::{Event, Overflow, ServerRef, ServerSpec, StartError};

use super::wall::{Blocking, Door, Wall, wall};
use crate::{
    crash::script::{Script, add, ask, boom, get, inc, serves, soon, stop, tell},
    support::{quiet, until},
};

/// What a listener heard, with how many of the kind before it were not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Started(u64),
    Changed { old: u64, new: u64, lagged: u64 },
    Crashed { state: u64, lagged: u64 },
    Restarted { incarnation: u64, lagged: u64 },
    Terminated(u64),
}

impl Heard {
    pub(super) fn of(event: &Event<'_, Script<u64>>) -> Self {
        match event {
            Event::Started(start) => Self::Started(*start.state),
            Event::StateChanged(change) => {
                assert_eq!(change.version, *change.new, "each change adds one");
                Self::Changed { old: *change.old, new: *change.new, lagged: change.lagged }
            }
            Event::Crashed(crash) => Self::Crashed { state: *crash.state, lagged: crash.lagged },
            Event::Restarted(restart) => {
                Self::Restarted { incarnation: restart.incarnation, lagged: restart.lagged }
            }
            Event::Terminated(end) => Self::Terminated(*end.state),
            other => panic!("{other:?}"),
        }
    }
}

/// A listener that waits at a wall, when it is told to, before it notes what it heard. The wall is on a thread of its own, so
/// that it holds nobody else up on either runtime.
pub(super) struct Held {
    hold: Arc<AtomicBool>,
    pub(super) door: Door,
    heard: UnboundedReceiver<Heard>,
}

fn held() -> (impl Fn(Event<'_, Script<u64>>) + Send + Sync + 'static, Held) {
    let ((wall, door), hold) = (wall(), Arc::new(AtomicBool::new(true)));
    let (sender, heard) = unbounded_channel();
    let listen = listen(wall, Arc::clone(&hold), sender);
    (listen, Held { hold, door, heard })
}

fn listen(
    wall: Wall,
    hold: Arc<AtomicBool>,
    heard: UnboundedSender<Heard>,
) -> impl Fn(Event<'_, Script<u64>>) + Send + Sync + 'static {
    move |event| {
        if hold.swap(false, SeqCst) {
            wall.stand();
        }
        // The test may have read enough.
        let _ = heard.send(Heard::of(&event));
    }
}

impl Held {
    /// A counter from 0 whose listener is held at its start.
    pub(super) async fn start(capacity: usize, overflow: Overflow) -> (ServerRef<Script<u64>>, Self) {
        let (listener, held) = held();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .max_restarts(u32::MAX, Duration::from_secs(1))
            .listener_with(Blocking(listener), capacity, overflow)
            .start()
            .await
            .expect("it starts");
        held.door.reached(1).await;
        (server, held)
    }

    /// Opens the door for whom it holds.
    pub(super) fn go_on(&self) {
        self.door.open();
    }

    /// The next `n` events.
    pub(super) async fn next(&mut self, n: usize) -> Vec<Heard> {
        let mut heard = Vec::new();
        for _ in 0..n {
            heard.push(soon(self.heard.recv()).await.expect("not the end"));
        }
        heard
    }

    /// All that is still to come.
    pub(super) async fn rest(mut self) -> Vec<Heard> {
        drop(self.door);
        let mut heard = Vec::new();
        while let Some(event) = soon(self.heard.recv()).await {
            heard.push(event);
        }
        heard
    }
}

/// Crashes `server` and waits until it serves again.
async fn fall(server: &ServerRef<Script<u64>>) {
    let next = server.incarnation() + 1;
    tell(server, boom()).await;
    serves(server, next).await;
    ask(server, get).await;
}

/// What can happen to a server while its listener is held.
#[derive(Debug, Clone, Copy)]
enum Step {
    Change,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(prop_oneof![3 => Just(Step::Change), 1 => Just(Step::Crash)], 0..14)
}

/// What a listener has to hear.
#[derive(Default)]
struct Model {
    state: u64,
    incarnation: u64,
    /// Of each kind, how many there were and how many of these the last one told was preceded by, itself included.
    happened: BTreeMap<&'static str, u64>,
    told: BTreeMap<&'static str, u64>,
    /// The state that was told last.
    seen: u64,
}

/// An event, its number among those of its kind, and the state or incarnation it tells.
type Happened = (&'static str, u64, u64);

impl Model {
    fn happens(&mut self, kind: &'static str, what: u64) -> Happened {
        let number = self.happened.entry(kind).or_default();
        *number += 1;
        (kind, *number, what)
    }

    fn take(&mut self, step: Step) -> Vec<Happened> {
        match step {
            Step::Change => {
                self.state += 1;
                vec![self.happens("changed", self.state)]
            }
            Step::Crash => {
                self.incarnation += 1;
                let crash = self.happens("crashed", self.state);
                vec![crash, self.happens("restarted", self.incarnation + 1)]
            }
        }
    }

    fn tell(&mut self, (kind, number, what): Happened) -> Heard {
        let lagged = number - self.told.insert(kind, number).unwrap_or(0) - 1;
        match kind {
            "changed" => Heard::Changed { old: std::mem::replace(&mut self.seen, what), new: what, lagged },
            "crashed" => Heard::Crashed { state: what, lagged },
            _ => Heard::Restarted { incarnation: what, lagged },
        }
    }
}

/// What is left of `events` that came to an empty queue of that capacity from which nothing was taken.
fn left_of(events: Vec<Happened>, capacity: usize, overflow: Overflow) -> Vec<Happened> {
    let beyond = events.len().saturating_sub(capacity);
    match overflow {
        Overflow::DropOldest => events.into_iter().skip(beyond).collect(),
        Overflow::Coalesce => {
            let newest: BTreeMap<_, _> = events.iter().map(|(kind, number, _)| (*kind, *number)).collect();
            let stays =
                |(place, (kind, number, _)): &(usize, Happened)| *place < capacity || newest[kind] == *number;
            events.into_iter().enumerate().filter(stays).map(|(_, event)| event).collect()
        }
        _ => events,
    }
}

/// In each round the listener is held at a change while the steps are taken; then it hears what is left of them.
async fn run(capacity: usize, overflow: Overflow, rounds: &[Vec<Step>]) {
    let (server, mut held) = Held::start(capacity, overflow).await;
    held.go_on();
    assert_eq!(held.next(1).await, [Heard::Started(0)]);
    let mut model = Model::default();
    for (round, steps) in rounds.iter().enumerate() {
        held.hold.store(true, SeqCst);
        let mut expected = model.take(Step::Change);
        tell(&server, inc()).await;
        held.door.reached(round + 2).await;
        let mut queued = Vec::new();
        for step in steps {
            tell(&server, if matches!(step, Step::Change) { inc() } else { boom() }).await;
        }
        // A server that waits for its listener takes what makes its queue full, and nothing more.
        let mut waiting = 0;
        for step in steps {
            let full = overflow == Overflow::Block && queued.len() >= capacity;
            waiting += usize::from(full);
            if !full {
                queued.extend(model.take(*step));
            }
        }
        until("what can be done is done", || server.mailbox_len() == waiting).await;
        let so_far = model.incarnation + 1;
        until("it has come so far", || (*server.peek(), server.incarnation()) == (model.state, so_far)).await;
        if waiting == 0 && overflow != Overflow::Block {
            assert_eq!(ask(&server, get).await, model.state);
        }
        for step in &steps[steps.len() - waiting..] {
            queued.extend(model.take(*step));
        }
        expected.extend(left_of(queued, capacity, overflow));
        held.go_on();
        let expected: Vec<_> = expected.into_iter().map(|event| model.tell(event)).collect();
        assert_eq!(held.next(expected.len()).await, expected);
    }
    assert_eq!(*stop(&server).await.state, model.state);
    drop(server);
    assert_eq!(held.rest().await, [Heard::Terminated(model.state)]);
}

proptest! {
    #![proptest_config(Config { cases: 128, failure_persistence: None, ..Config::default() })]

    /// LI9, LI2: whatever happens while a listener is held, it then hears exactly what its policy leaves, in order, with the
    /// chain unbroken and what is missing counted.
    #[test]
    fn what_is_left_to_hear_is_what_the_policy_says(
        capacity in 1_usize..7,
        overflow in prop_oneof![Just(Overflow::Coalesce), Just(Overflow::DropOldest), Just(Overflow::Block)],
        rounds in vec(steps(), 1..4),
        many in any::<bool>(),
    ) {
        quiet();
        let mut flavour = if many { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        let runtime = flavour.worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(run(capacity, overflow, &rounds));
    }
}

both! {
    /// LI9: a queue without room for anything is refused, before anything has begun.
    async fn a_capacity_of_nothing_is_refused() {
        for overflow in [Overflow::Coalesce, Overflow::DropOldest, Overflow::Block] {
            let spec = ServerSpec::new(Script::new(), 0_u64)
                .listener_with(|_: Event<'_, Script<u64>>| (), 0, overflow);
            let refused = soon(spec.start()).await;
            assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
        }
    }

    /// LI9: of two listeners that are held each hears what its own policy leaves.
    async fn each_listener_has_its_own_policy() {
        let ((one, mut newest), (two, mut oldest)) = (held(), held());
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener_with(Blocking(one), 2, Overflow::DropOldest)
            .listener_with(Blocking(two), 2, Overflow::Coalesce)
            .start()
            .await
            .expect("it starts");
        newest.door.reached(1).await;
        oldest.door.reached(1).await;
        for n in 1..=10 {
            assert_eq!(ask(&server, add).await, n);
        }
        fall(&server).await;
        let changed = |old, new, lagged| Heard::Changed { old, new, lagged };
        let (crashed, restarted) = (
            Heard::Crashed { state: 10, lagged: 0 },
            Heard::Restarted { incarnation: 2, lagged: 0 },
        );
        newest.go_on();
        assert_eq!(newest.next(3).await, [Heard::Started(0), crashed, restarted]);
        // It was behind by ten changes, which the next one says.
        assert_eq!(ask(&server, add).await, 11);
        assert_eq!(newest.next(1).await, [changed(0, 11, 10)]);
        oldest.go_on();
        assert_eq!(oldest.next(3).await, [Heard::Started(0), changed(0, 1, 0), changed(1, 2, 0)]);
        assert_eq!(oldest.next(3).await, [crashed, restarted, changed(2, 11, 8)]);
        stop(&server).await;
        drop(server);
        assert_eq!(newest.rest().await, [Heard::Terminated(11)]);
        assert_eq!(oldest.rest().await, [Heard::Terminated(11)]);
    }
}
