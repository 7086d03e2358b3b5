//! Row 10: a month of simulated time, with a crash a minute and timers and deadlines running. Every tick is there, and none twice,
//! and a day leaves not one byte more than the day before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    time::{self, sleep_until},
};
use undying::{
    CallError, Context, Crash, Dispatch, Event, GenServer, Never, Next, Outcome, Reply, ServerRef,
    ServerSpec, StateMut,
};

use crate::{
    memory,
    size::{inject, is_long, size},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const MINUTES_A_DAY: u64 = 24 * 60;

/// Counts what has happened to it.
#[derive(Clone)]
struct Clockwork;

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    minutes: u64,
    ticks: u64,
    /// Of [`Next::Timeout`], after each tick.
    idle: u64,
    shots: u64,
    /// Of a timer that is armed twice each minute, and has to fire once.
    keyed: u64,
}

#[derive(Default)]
struct Kept {
    counts: Counts,
    waiting: Vec<Reply<()>>,
    /// Its `Clone` panics.
    is_bomb: bool,
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        if self.is_bomb {
            inject()
        }
        let Self { counts: Counts { minutes, ticks, idle, shots, keyed }, waiting, is_bomb } = self;
        let counts = Counts { minutes: *minutes, ticks: *ticks, idle: *idle, shots: *shots, keyed: *keyed };
        Self { counts, waiting: waiting.clone(), is_bomb: *is_bomb }
    }
}

enum Call {
    /// A minute begins. Arms a shot and the keyed timer.
    Minute(Reply<u64>),
    /// Is not answered.
    Never(Reply<()>),
    /// Forgets those who do not wait any more.
    Sweep(Reply<()>),
    Panic(Reply<()>),
    Fail(#[expect(dead_code, reason = "its caller waits for it")] Reply<()>),
    FailToClone(Reply<()>),
}

enum Info {
    Tick,
    Shot,
    Keyed,
}

impl GenServer for Clockwork {
    type State = Kept;
    type Call = Call;
    type Cast = Never;
    type Info = Info;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.send_interval(10 * SECOND, || Info::Tick);
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        call: Call,
        mut kept: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Minute(reply) => {
                kept.counts.minutes += 1;
                cx.send_after(20 * SECOND, Info::Shot);
                cx.set_timer("keyed", 40 * SECOND, Info::Keyed);
                reply.send(kept.counts.minutes);
            }
            Call::Never(reply) => kept.waiting.push(reply),
            Call::Sweep(reply) => {
                kept.waiting.retain(|waiting| !waiting.is_closed());
                cx.set_timer("keyed", 40 * SECOND, Info::Keyed);
                reply.send(());
            }
            Call::Panic(reply) => {
                *kept = Kept::default();
                cx.send_after(SECOND, Info::Shot);
                reply.send(());
                inject()
            }
            Call::Fail(_) => {
                kept.counts.minutes += 1;
                cx.clear_timer("keyed");
                return Err(Crash::msg("on purpose"));
            }
            Call::FailToClone(reply) => {
                kept.is_bomb = true;
                reply.send(());
            }
        }
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        info: Info,
        mut kept: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match info {
            Info::Tick => {
                kept.counts.ticks += 1;
                return Ok(Next::Timeout(2 * SECOND));
            }
            Info::Shot => kept.counts.shots += 1,
            Info::Keyed => kept.counts.keyed += 1,
        }
        Ok(Next::Wait)
    }

    async fn handle_timeout(&mut self, mut kept: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        kept.counts.idle += 1;
        Ok(Next::Wait)
    }
}

/// One minute of calls, deadlines and a crash, beginning 3 s after a tick, so that nothing falls on the same moment as anything else.
async fn minute(server: &ServerRef<Clockwork>, number: u64) {
    let begin = time::Instant::now();
    assert_eq!(server.call(Call::Minute).await.expect("an answer"), number);
    let late = server.call(Call::Never).timeout(5 * SECOND).await;
    assert!(matches!(late, Err(CallError::Timeout)), "{late:?}");
    assert_eq!(begin.elapsed(), 5 * SECOND);
    server.call(Call::Sweep).await.expect("an answer");
    sleep_until(begin + 30 * SECOND).await;
    let crash = match number % 4 {
        0 => Call::Panic,
        1 => Call::Fail,
        2 => Call::FailToClone,
        _ => {
            server.kill_worker();
            return sleep_until(begin + MINUTE).await;
        }
    };
    let crashed = server.call(crash).await;
    assert!(matches!(crashed, Err(CallError::Crashed(_))), "{crashed:?}");
    sleep_until(begin + MINUTE).await;
}

/// What a listener has heard.
#[derive(Default)]
struct Heard {
    changes: AtomicU64,
    crashes: AtomicU64,
    restarts: AtomicU64,
    ends: AtomicU64,
}

impl Heard {
    fn hear(&self, event: &Event<'_, Clockwork>) {
        let counter = match event {
            Event::StateChanged(change) => {
                assert_eq!(change.version, self.changes.load(Relaxed) + 1, "each change once, in order");
                &self.changes
            }
            Event::Crashed(_) => &self.crashes,
            Event::Restarted(_) => &self.restarts,
            Event::Terminated(_) => &self.ends,
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Lives `spans` spans of so many minutes each, and checks that each but the first leaves exactly what it found.
fn live(spans: u64, minutes: u64, dispatch: Dispatch) {
    let began = Instant::now();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let heard = Arc::<Heard>::default();
    let listener = heard.clone();
    let server = runtime.block_on(async {
        let spec = ServerSpec::new(Clockwork, Kept::default()).dispatch(dispatch);
        let listener = move |event: Event<'_, Clockwork>| listener.hear(&event);
        let server = spec.listener(listener).start().await.expect("it starts");
        time::sleep(3 * SECOND).await;
        server
    });
    let mut allocations = 0;
    for span in 0..spans {
        let counted = memory::count(|| {
            runtime.block_on(async {
                for number in 1..=minutes {
                    minute(&server, span * minutes + number).await;
                }
            });
        });
        allocations += counted.count_total;
        let left = (counted.count_current, counted.bytes_current);
        assert!(span == 0 || left == (0, 0), "{left:?} pieces and bytes more after span {span}");
    }
    let lived = spans * minutes;
    let exit = runtime.block_on(async { server.stop().await }).expect("it stops");
    let expected = Counts { minutes: lived, ticks: 6 * lived, idle: 6 * lived, shots: lived, keyed: lived };
    assert_eq!(exit.state.counts, expected);
    let Heard { changes, crashes, restarts, ends } = &*heard;
    let [changes, crashes, restarts, ends] =
        [changes, crashes, restarts, ends].map(|counter| counter.load(Relaxed));
    // A minute, its shot and its keyed timer, six ticks with an idle time each, a call that is not answered and is swept.
    assert_eq!((changes, crashes, restarts, ends), (17 * lived, lived, lived, 1));
    let took = began.elapsed();
    eprintln!(
        "long_time: {dispatch:?}: {} simulated days, {crashes} crashes, {} timers, {lived} deadlines, {changes} changes in \
         {took:.1?}; {allocations} allocations, none left of any span after the first",
        lived as f64 / MINUTES_A_DAY as f64,
        14 * lived,
    );
    assert!(!is_long() || took < 30 * SECOND, "{took:?} is too long for a quiet machine");
}

/// G10 G11 K11: a day, in spans of an hour; long: 30 days, in spans of a day.
#[test]
fn a_long_time_leaves_no_trace() {
    for dispatch in [Dispatch::Direct, Dispatch::Queued] {
        live(size(24, 30), size(60, MINUTES_A_DAY), dispatch);
    }
}
