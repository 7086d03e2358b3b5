//! The model: what a server is, without tasks, locks and wakers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
};

use super::{
    server::{Message, chained},
    steps::{Case, Op, Step},
};

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Answer(usize),
    Crashed,
    Timeout,
    Stopped,
    NoProc,
}

/// What a step gives at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Full,
    NoProc,
}

/// What came of a stop: the reason of the end, and how many entries there were.
pub(super) type Stopped = (String, usize);

/// What a listener has heard of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) starts: u64,
    pub(super) changes: u64,
    pub(super) crashes: u64,
    pub(super) restarts: u64,
    pub(super) ends: u64,
}

/// Everything that can be seen of a server from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) mail: Vec<u32>,
    pub(super) ticks: Vec<u32>,
    pub(super) version: u64,
    pub(super) incarnation: u64,
    pub(super) is_alive: bool,
    pub(super) queued: usize,
    /// The calls that have no answer yet.
    pub(super) open: BTreeSet<u32>,
    pub(super) told: BTreeMap<u32, Told>,
    /// `None` while it waits.
    pub(super) stops: Vec<Option<Stopped>>,
    pub(super) heard: Heard,
}

pub(super) struct Reference {
    capacity: usize,
    is_permanent: bool,
    is_preserved: bool,
    now: u64,
    pub(super) view: View,
    /// Those whose answer is left to another.
    waiting: Vec<u32>,
    queue: VecDeque<Message>,
    /// Calls that wait for room.
    line: VecDeque<Message>,
    held: Option<Message>,
    /// When they are due, in the order in which they were armed.
    timers: Vec<(u64, u32)>,
    deadlines: Vec<(u64, u32)>,
    is_closing: bool,
    /// The last one handled was a timer.
    mail_is_next: bool,
}

impl Reference {
    pub(super) fn new(case: &Case) -> Self {
        let view = View {
            mail: Vec::new(),
            ticks: Vec::new(),
            version: 0,
            incarnation: 1,
            is_alive: true,
            queued: 0,
            open: BTreeSet::new(),
            told: BTreeMap::new(),
            stops: Vec::new(),
            heard: Heard { starts: 1, ..Heard::default() },
        };
        Self {
            capacity: case.capacity.unwrap_or(usize::MAX),
            is_permanent: case.is_permanent,
            is_preserved: case.is_preserved,
            now: 0,
            view,
            waiting: Vec::new(),
            queue: VecDeque::new(),
            line: VecDeque::new(),
            held: None,
            timers: Vec::new(),
            deadlines: Vec::new(),
            is_closing: false,
            mail_is_next: false,
        }
    }

    pub(super) fn take(&mut self, id: u32, step: Step) -> Outcome {
        let outcome = self.act(id, step);
        self.work();
        self.view.queued = self.queue.len();
        outcome
    }

    fn act(&mut self, id: u32, step: Step) -> Outcome {
        match step {
            Step::Call(op, timeout) => self.call(Message { id, op }, timeout),
            Step::Cast(op) | Step::Send(op) => {
                if !self.view.is_alive || self.is_closing {
                    return Outcome::NoProc;
                }
                if self.queue.len() >= self.capacity || !self.line.is_empty() {
                    return Outcome::Full;
                }
                self.queue.push_back(Message { id, op });
            }
            Step::Release => {
                if let Some(held) = self.held.take() {
                    self.enter(held.id);
                    self.tell(held.id, Told::Answer(self.view.mail.len()));
                }
            }
            Step::KillWorker if self.view.is_alive => {
                let held = self.held.take();
                self.crash(held.map(|held| held.id));
            }
            Step::Kill if self.view.is_alive => {
                self.end("killed");
                self.live_again();
            }
            Step::Stop => {
                let told = (!self.view.is_alive).then(|| ("no such server".into(), 0));
                self.view.stops.push(told);
                if self.view.is_alive && !mem::replace(&mut self.is_closing, true) {
                    for message in mem::take(&mut self.line) {
                        self.tell(message.id, Told::Stopped);
                    }
                }
            }
            Step::DropCall(which) => {
                if let Some(id) = self.nth_open(which) {
                    self.view.open.remove(&id);
                    self.line.retain(|message| message.id != id);
                }
            }
            Step::Advance(by) => self.advance(by),
            Step::Transfer if !self.view.is_alive => return Outcome::NoProc,
            Step::KillWorker | Step::Kill | Step::Peek | Step::DropHandle | Step::Transfer => {}
        }
        Outcome::Done
    }

    /// The call that a [`Step::DropCall`] means.
    fn nth_open(&self, which: usize) -> Option<u32> {
        let open = &self.view.open;
        if open.is_empty() { None } else { open.iter().nth(which % open.len()).copied() }
    }

    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    fn call(&mut self, message: Message, timeout: Option<u64>) {
        self.view.open.insert(message.id);
        if !self.view.is_alive {
            return self.tell(message.id, Told::NoProc);
        }
        if self.is_closing {
            return self.tell(message.id, Told::Stopped);
        }
        self.deadlines.extend(timeout.map(|after| (self.now + after, message.id)));
        if self.queue.len() >= self.capacity || !self.line.is_empty() {
            self.line.push_back(message);
        } else {
            self.queue.push_back(message);
        }
    }

    /// Tells whoever waits for it, once.
    fn tell(&mut self, id: u32, told: Told) {
        if self.view.open.remove(&id) {
            self.view.told.insert(id, told);
        }
    }

    fn advance(&mut self, by: u64) {
        self.now += by;
        for (at, id) in mem::take(&mut self.deadlines) {
            if at > self.now {
                self.deadlines.push((at, id));
            } else if self.view.open.contains(&id) {
                self.tell(id, Told::Timeout);
                // Who waits for room has sent nothing.
                self.line.retain(|message| message.id != id);
            }
        }
    }

    /// Does what there is to do, until a callback holds or nothing is left.
    fn work(&mut self) {
        loop {
            self.come_to_rest();
            let room = self.capacity.saturating_sub(self.queue.len()).min(self.line.len());
            if room == 0 {
                return;
            }
            // Who waits for room takes it when it is polled, which is after the server has come to rest.
            self.queue.extend(self.line.drain(..room));
        }
    }

    /// Timers come first, but where mail waits, too, they take turns.
    fn come_to_rest(&mut self) {
        while self.held.is_none() && self.view.is_alive {
            let is_turn_of_mail = self.mail_is_next && !self.queue.is_empty();
            if !is_turn_of_mail && self.fire() {
                self.mail_is_next = true;
            } else if let Some(message) = self.queue.pop_front() {
                self.mail_is_next = false;
                self.run(message);
            } else if self.is_closing {
                self.end("normal");
                match self.is_permanent {
                    true => self.live_again(),
                    false => self.view.is_alive = false,
                }
            } else {
                return;
            }
        }
    }

    /// Handles the earliest of the timers that are due, if there is one.
    fn fire(&mut self) -> bool {
        let due = self.timers.iter().enumerate().filter(|(_, (at, _))| *at <= self.now);
        let Some((place, _)) = due.min_by_key(|(_, (at, _))| *at) else { return false };
        let (_, id) = self.timers.remove(place);
        self.view.ticks.push(id);
        self.changed();
        true
    }

    fn run(&mut self, Message { id, op }: Message) {
        match op {
            Op::Hold => return self.held = Some(Message { id, op }),
            Op::Panic | Op::Fail | Op::FailToClone => return self.crash(Some(id)),
            Op::Look => {}
            _ => self.enter(id),
        }
        let answer = Told::Answer(self.view.mail.len());
        match op {
            Op::Defer => return self.waiting.push(id),
            Op::Answer => {
                for waiting in mem::take(&mut self.waiting) {
                    self.tell(waiting, answer);
                }
            }
            Op::Arm(after) => self.timers.push((self.now + after, id)),
            Op::Chain => self.enter(chained(id)),
            _ => {}
        }
        self.tell(id, answer);
    }

    fn enter(&mut self, id: u32) {
        self.view.mail.push(id);
        self.changed();
    }

    fn changed(&mut self) {
        self.view.version += 1;
        self.view.heard.changes += 1;
    }

    /// The incarnation dies of this message, or between two.
    fn crash(&mut self, id: Option<u32>) {
        id.into_iter().for_each(|id| self.tell(id, Told::Crashed));
        self.view.incarnation += 1;
        self.view.heard.crashes += 1;
        self.view.heard.restarts += 1;
    }

    /// The logical end: everyone is told, nothing is left but the state.
    fn end(&mut self, reason: &str) {
        self.view.heard.ends += 1;
        for id in mem::take(&mut self.view.open) {
            self.view.told.insert(id, Told::Stopped);
        }
        let entries = self.view.mail.len();
        for stop in self.view.stops.iter_mut().filter(|stop| stop.is_none()) {
            *stop = Some((reason.into(), entries));
        }
        (self.queue, self.line, self.timers, self.held) = Default::default();
        self.is_closing = false;
    }

    /// Its supervisor gives it another life.
    fn live_again(&mut self) {
        self.view.incarnation += 1;
        if self.is_preserved {
            self.view.heard.restarts += 1;
            return;
        }
        self.view.heard.starts += 1;
        self.view.version += 1;
        (self.view.mail, self.view.ticks, self.waiting) = Default::default();
    }
}
