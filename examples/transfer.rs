//! A turnstile that is handed from shift to shift while visitors come through: 8,000 come, 8,000 are counted.
//!
//! What it teaches:
//!
//! * a transfer gives a running server another supervisor. It is not stopped, not copied and not told: the callback that is
//!   just running goes on, and what is queued stays queued;
//! * it is done at once, however busy the server is, and all or nothing: if the other one refuses, nothing has changed;
//! * whatever belongs to the server goes with it: references, name, timers, monitors. Nobody who knows it notices;
//! * it can be done when the server has crashed and waits to be restarted, too;
//! * from then on it is the new supervisor that restarts it, and that takes it along when it ends.
//!
//! Run it with `cargo run --example transfer`. The clock is paused and jumps from timer to timer. Every step is printed and
//! asserted.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use undying::{
    Backoff, ChildError, Context, DynamicSupervisor, ExitReason, GenServer, Mailbox, Never, Next, Outcome,
    Registry, ServerSpec, StateMut, Status, Supervisor, TransferError,
};

const VISITORS: u64 = 8_000;
const GROUPS: u64 = 8;
const TRANSFERS: u64 = 20;
const PAUSE: Duration = Duration::from_millis(390);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Counts visitors; each takes a millisecond to come through. Once a second it looks at the clock.
#[derive(Clone)]
struct Turnstile;

#[derive(Clone, Debug, Default, PartialEq)]
struct Count {
    visitors: u64,
    seconds: u64,
}

struct Visitor;

struct Tick;

impl GenServer for Turnstile {
    type State = Count;
    type Call = Never;
    type Cast = Visitor;
    type Info = Tick;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.send_interval(SECOND, || Tick);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        Visitor: Visitor,
        mut count: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        count.visitors += 1;
        sleep(MILLISECOND).await;
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        Tick: Tick,
        mut count: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        count.seconds += 1;
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let spec = ServerSpec::new(Turnstile, Count::default())
        .name("turnstile")
        .mailbox(Mailbox::bounded(64)) // So that they keep coming, and do not come all at once.
        .backoff(Backoff::exponential(SECOND, SECOND));
    let began = Instant::now();
    let day = Supervisor::builder().id("day").child(spec).start().await?;
    let night = DynamicSupervisor::builder().id("night").start().await?;
    let turnstile = day.server::<Turnstile>("turnstile").expect("it is a child");
    let (id, monitor) = (turnstile.id(), turnstile.monitor());
    println!("{}\n\n{}\n", day.tree(), night.tree());

    let mut groups = JoinSet::new();
    for _ in 0..GROUPS {
        let turnstile = turnstile.clone();
        groups.spawn(async move {
            for _ in 0..VISITORS / GROUPS {
                turnstile.cast(Visitor).await.expect("it never closes");
            }
        });
    }
    for number in 1..=TRANSFERS {
        sleep(PAUSE).await;
        let (asked, queued) = (Instant::now(), turnstile.mailbox_len());
        if number % 2 == 1 {
            day.transfer("turnstile", &night).await?;
            assert_eq!((day.count().specs, night.count().active), (0, 1));
        } else {
            night.transfer(id, &day).await?;
            assert_eq!((day.count().active, night.count().specs), (1, 0));
        }
        assert!(queued > 0 && asked.elapsed().is_zero(), "it was busy, and was not waited for");
    }
    groups.join_all().await;
    while turnstile.peek().visitors < VISITORS {
        sleep(MILLISECOND).await;
    }
    assert_eq!(*turnstile.peek(), Count { visitors: 8_000, seconds: began.elapsed().as_secs() });
    assert_eq!(
        (turnstile.incarnation(), Registry::global().whereis::<Turnstile>("turnstile")?.id()),
        (1, id)
    );
    println!("1. handed over {TRANSFERS} times in its busiest hour: {VISITORS} came, and were counted");

    turnstile.kill_worker();
    assert_eq!(turnstile.status(), Status::Restarting);
    day.transfer("turnstile", &night).await?;
    assert_eq!(turnstile.wait_incarnation(2).await.ok(), Some(2));
    assert_eq!(turnstile.peek().visitors, VISITORS);
    println!("2. handed over between crash and restart: it comes up again where it is now");

    day.stop().await?;
    let refused = night.transfer(id, &day).await;
    assert!(matches!(refused, Err(TransferError::Refused(ChildError::NoProc))));
    assert!(turnstile.is_alive() && night.count().active == 1);
    println!("3. the day is over, and takes nobody on: nothing has changed");

    night.stop().await?;
    assert!(matches!(monitor.await.reason, ExitReason::Shutdown));
    assert_eq!(turnstile.peek().visitors, VISITORS);
    println!("4. the night is over, and the turnstile with it: the one end that its monitor tells of");
    Ok(())
}
