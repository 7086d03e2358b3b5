//! What becomes of events for which a queue has no room, against a model of it: random runs in which a listener that is held
//! takes one event after the other while more come, so that the queue fills up and empties at every place.

use std::{collections::VecDeque, iter, mem, time::Duration};

use undying::{Overflow, ServerRef, ServerSpec};

use super::held::{Heard, Rein, held, remaining};
use crate::crash::script::{Script, add, ask, crash, serves, stop};

const RUNS: usize = 40;
const STEPS: usize = 60;

/// What may give way, by its number among those of its kind; and what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Changed,
    Crashed,
    Restarted,
    Ended,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    kind: Kind,
    number: u64,
    /// The state, or for a restart the incarnation.
    value: u64,
}

/// The queue of a listener as its documentation has it.
struct Model {
    policy: Overflow,
    capacity: usize,
    queue: VecDeque<Queued>,
    pushed: [u64; 4],
    told: [u64; 4],
    seen: u64,
}

impl Model {
    fn new(policy: Overflow, capacity: usize) -> Self {
        Self { policy, capacity, queue: VecDeque::new(), pushed: [0; 4], told: [0; 4], seen: 0 }
    }

    fn push(&mut self, kind: Kind, value: u64) {
        if self.queue.len() >= self.capacity {
            let gives_way = match self.policy {
                Overflow::Coalesce => (self.capacity..self.queue.len())
                    .find(|&place| kind != Kind::Ended && self.queue[place].kind == kind),
                Overflow::DropOldest => {
                    (0..self.queue.len()).find(|&place| self.queue[place].kind != Kind::Ended)
                }
                _ => None,
            };
            gives_way.map(|place| self.queue.remove(place));
        }
        self.pushed[kind as usize] += 1;
        self.queue.push_back(Queued { kind, number: self.pushed[kind as usize], value });
    }

    /// What is told next.
    fn pop(&mut self) -> Option<Heard> {
        let Queued { kind, number, value } = self.queue.pop_front()?;
        let lagged = number - mem::replace(&mut self.told[kind as usize], number) - 1;
        Some(match kind {
            Kind::Changed => Heard::Changed { old: mem::replace(&mut self.seen, value), new: value, lagged },
            Kind::Crashed => Heard::Crashed { state: value, lagged },
            Kind::Restarted => Heard::Restarted { incarnation: value, lagged },
            Kind::Ended => Heard::Terminated(value),
        })
    }
}

/// A server whose listener is held in `started`.
async fn reined(policy: Overflow, capacity: usize) -> (ServerRef<Script<u64>>, Rein) {
    let (listener, mut rein) = held();
    let server = ServerSpec::new(Script::new(), 0)
        .max_restarts(u32::MAX, Duration::from_secs(1))
        .listener_with(listener, capacity, policy)
        .start()
        .await
        .expect("it starts");
    assert_eq!(rein.next().await, Heard::Started(0));
    (server, rein)
}

/// One random run.
async fn run(policy: Overflow, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let capacity = random.usize(1..8);
    let (server, mut rein) = reined(policy, capacity).await;
    let mut model = Model::new(policy, capacity);
    let (mut state, mut incarnation) = (0, 1);
    for step in 0..STEPS {
        match random.u8(..10) {
            0..5 => {
                state = ask(&server, add).await;
                model.push(Kind::Changed, state);
            }
            5..7 => {
                if random.bool() {
                    crash(&server).await;
                } else {
                    server.kill_worker();
                }
                incarnation += 1;
                serves(&server, incarnation).await;
                model.push(Kind::Crashed, state);
                model.push(Kind::Restarted, incarnation);
            }
            _ => {
                // The listener stays in some event all the time, so that nothing is told that was just queued.
                if let Some(expected) = model.pop() {
                    rein.let_go();
                    assert_eq!(rein.next().await, expected, "{policy:?}, {seed}, {step}");
                }
            }
        }
    }
    // So much that the end finds room.
    while model.queue.len() >= capacity {
        rein.let_go();
        assert_eq!(Some(rein.next().await), model.pop(), "{policy:?}, {seed}");
    }
    assert!(!rein.has_more(), "it is told what nobody let through ({policy:?}, {seed})");
    let heard = rein.release();
    assert_eq!(*stop(&server).await.state, state);
    drop(server);
    model.push(Kind::Ended, state);
    let expected: Vec<_> = iter::from_fn(|| model.pop()).collect();
    assert_eq!(remaining(heard).await, expected, "{policy:?}, {seed}");
}

both! {
    /// LI9: with `Coalesce` the queue, the order, the chain and the lag counts are exactly those of the model.
    async fn coalescing_is_as_the_model_has_it() {
        let first = fastrand::u64(..u64::MAX / 2);
        for seed in first..first + RUNS as u64 {
            run(Overflow::Coalesce, seed).await;
        }
    }

    /// LI9: with `DropOldest` the queue, the order, the chain and the lag counts are exactly those of the model.
    async fn dropping_the_oldest_is_as_the_model_has_it() {
        let first = fastrand::u64(..u64::MAX / 2);
        for seed in first..first + RUNS as u64 {
            run(Overflow::DropOldest, seed).await;
        }
    }
}
