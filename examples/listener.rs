//! A listener that hears everything that happens to a server, in order.
//!
//! What it teaches: all methods of a `Listener` are optional, and it hears of every commit once, in order. A crash does
//! not break the chain: each `old` is the `new` before it. The listener outlives every incarnation and cannot slow the
//! server down, so it is the place for telemetry. (The panic message in between is from Rust's default panic hook.)
//!
//! What is shorter: a closure listens, too. `listener_with` says how many events may queue and what becomes of more,
//! `changed_when` what counts as a change at all. And who only wants to know the newest state watches the server.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use undying::{
    CallError, Context, CrashKind, Crashed, Event, GenServer, Listener, Never, Next, Outcome, Overflow,
    Reply, Restarted, ServerSpec, Started, StateChanged, StateMut, Terminated,
};

/// Counts the boxes in a warehouse. Nobody can take more than there are: that is a panic.
#[derive(Clone)]
struct Warehouse;

/// Brings boxes, or takes some if the number is negative; the answer is how many there are now.
struct Move(i32, Reply<u32>);

impl GenServer for Warehouse {
    type State = u32;
    type Call = Move;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Move(by, reply): Move,
        mut boxes: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        *boxes = boxes.checked_add_signed(by).expect("not so many boxes");
        reply.send(*boxes);
        Ok(Next::Wait)
    }
}

/// What the listener heard.
#[derive(Debug, PartialEq)]
enum Heard {
    Started(u32),
    Changed { old: u32, new: u32 },
    Crashed(CrashKind),
    Restarted(u64),
    Terminated(u32),
}

/// Passes on what it hears: the events only lend their contents.
struct Recorder(UnboundedSender<Heard>);

impl Recorder {
    fn record(&self, heard: Heard) {
        println!("{heard:?}");
        self.0.send(heard).expect("`main` waits for `Terminated`");
    }
}

impl Listener<Warehouse> for Recorder {
    fn started(&self, event: &Started<'_, Warehouse>) {
        self.record(Heard::Started(*event.state));
    }
    fn state_changed(&self, change: &StateChanged<'_, Warehouse>) {
        let (old, new) = (*change.old, *change.new);
        self.record(Heard::Changed { old, new });
    }
    fn crashed(&self, crash: &Crashed<'_, Warehouse>) {
        self.record(Heard::Crashed(crash.report.kind()));
    }
    fn restarted(&self, restart: &Restarted<'_, Warehouse>) {
        self.record(Heard::Restarted(restart.incarnation));
    }
    fn terminated(&self, end: &Terminated<'_, Warehouse>) {
        self.record(Heard::Terminated(*end.state));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (sender, mut events) = unbounded_channel();
    let spec = ServerSpec::new(Warehouse, 0).listener(Recorder(sender));
    let warehouse = spec.start().await?;
    let move_boxes = |by| warehouse.call(move |reply| Move(by, reply));

    assert_eq!(move_boxes(5).await?, 5);
    assert_eq!(move_boxes(-2).await?, 3);
    assert!(matches!(move_boxes(-9).await, Err(CallError::Crashed(_))));
    assert_eq!(move_boxes(4).await?, 7);
    warehouse.kill_worker();
    assert_eq!(warehouse.wait_incarnation(3).await.ok(), Some(3));
    assert_eq!(move_boxes(-1).await?, 6);
    warehouse.stop().await?;
    let mut state = 0;
    for expected in [
        Heard::Started(0),
        Heard::Changed { old: 0, new: 5 },
        Heard::Changed { old: 5, new: 3 },
        Heard::Crashed(CrashKind::Panic),
        Heard::Restarted(2),
        Heard::Changed { old: 3, new: 7 },
        Heard::Crashed(CrashKind::Kill),
        Heard::Restarted(3),
        Heard::Changed { old: 7, new: 6 },
        Heard::Terminated(6),
    ] {
        let heard = events.recv().await;
        if let Some(Heard::Changed { old, new }) = heard {
            assert_eq!(old, state, "each `old` is the `new` before it");
            state = new;
        }
        assert_eq!(heard, Some(expected));
    }
    println!("all events came, in order, and the chain of states is unbroken");
    dozens().await
}

/// The same warehouse, of which somebody wants to hear only when there is a dozen more or less.
async fn dozens() -> Result<(), Box<dyn Error>> {
    let (sender, mut events) = unbounded_channel();
    let listener = move |event: Event<'_, Warehouse>| {
        if let Event::StateChanged(change) = event {
            // Whoever has read enough does not listen any more.
            let _ = sender.send((*change.old / 12, *change.new / 12));
        }
    };
    let warehouse = ServerSpec::new(Warehouse, 0)
        .listener_with(listener, 8, Overflow::DropOldest)
        .changed_when(|old, new| old / 12 != new / 12)
        .start()
        .await?;
    let mut states = warehouse.watch();
    assert_eq!(states.next().await.as_deref(), Some(&0));
    for by in [10, 10, 2, 2, 30] {
        warehouse.call(move |reply| Move(by, reply)).await?;
    }
    assert_eq!(states.next().await.as_deref(), Some(&54), "the newest, and none of those before");
    warehouse.stop().await?;
    assert!(states.next().await.is_none());
    let mut heard = Vec::new();
    while let Some(dozens) = events.recv().await {
        heard.push(dozens);
    }
    assert_eq!(heard, [(0, 1), (1, 2), (2, 4)]);
    println!("and these are the dozens: {heard:?}");
    Ok(())
}
