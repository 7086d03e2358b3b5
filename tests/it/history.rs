//! Histories around servers: honest ones pass whatever is done to them, and each kind of dishonest one is found out.

mod recording;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use undying::{
    Callback, Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut,
    chaos::{
        Fault, Monkey,
        history::{Counter, CounterOp, Fate, History, Model, Register, RegisterOp, RegisterRet},
    },
};

use crate::{
    crash::script::{Job, Script, job, look, soon},
    support::until,
};

/// What a [`Tally`] does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Vice {
    None,
    /// Counts outside its state, so that a crash does not undo it.
    KeepsWhatCrashed,
    /// Answers what it read before it had to wait.
    Overwrites,
    /// Answers reads from what it remembers of its first one.
    Remembers,
}

struct Tally {
    vice: Vice,
    beside: Arc<AtomicU64>,
    remembered: Option<u64>,
}

impl GenServer for Tally {
    type State = u64;
    type Call = (CounterOp, Reply<u64>);
    type Cast = Never;
    type Info = u64;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        (op, reply): Self::Call,
        mut total: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let by = if let CounterOp::Add(by) = op { by } else { 0 };
        match self.vice {
            Vice::None => *total += by,
            Vice::KeepsWhatCrashed => *total = self.beside.fetch_add(by, Ordering::Relaxed) + by,
            Vice::Overwrites => {
                cx.send_after(Duration::ZERO, *total + by);
                reply.send(*total + by);
                return Ok(Next::Wait);
            }
            Vice::Remembers => {
                *total += by;
                if by == 0 {
                    reply.send(*self.remembered.get_or_insert(*total));
                    return Ok(Next::Wait);
                }
            }
        }
        reply.send(*total);
        tokio::task::yield_now().await; // The moment at which it is cut.
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        sum: u64,
        mut total: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *total = sum;
        Ok(Next::Wait)
    }
}

async fn tally(vice: Vice) -> ServerRef<Tally> {
    let beside = Arc::new(AtomicU64::new(0));
    let make = move || Tally { vice, beside: beside.clone(), remembered: None };
    let spec = ServerSpec::from_fn(make, 0).max_restarts(u32::MAX, Duration::from_secs(1));
    spec.start().await.expect("it starts")
}

/// Eight clients that add and look, recorded, while a monkey is about.
async fn recorded(server: &ServerRef<Tally>, updates: usize, faults: usize) -> History<Counter> {
    let history = History::new();
    let monkey = Monkey::seeded(2).server(server).fault(Fault::KillWorker, 4).fault(Fault::KillKeeper, 1);
    let monkey = tokio::spawn(monkey.every(Duration::from_micros(100)).run(faults));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (server, client) = (server.clone(), history.client());
        clients.spawn(async move {
            for n in 0..updates {
                let op = if n % 3 == 0 { CounterOp::Get } else { CounterOp::Add(1) };
                let pending = client.invoke(op);
                pending.kept(&soon(server.call(|reply| (op, reply))).await);
            }
        });
    }
    soon(clients.join_all()).await;
    soon(monkey).await.expect("it ends");
    history
}

both! {
    /// G1 G2: whatever is killed, one order of all operations explains every answer.
    async fn a_counter_under_a_monkey_is_linearizable() {
        let server = tally(Vice::None).await;
        let history = recorded(&server, 500, 200).await;
        let operations = history.operations();
        let adds = |fate: fn(&Fate<u64>) -> bool| {
            operations.iter().filter(|done| done.op == CounterOp::Add(1) && fate(&done.fate)).count() as u64
        };
        assert_eq!(operations.len(), 8 * 500);
        assert_eq!(adds(|fate| matches!(fate, Fate::Returned { .. })), *server.peek());
        assert_eq!(adds(|fate| *fate == Fate::Unknown), 0);
        history.check(&Counter::default()).expect("linearizable");
    }

    /// A server that does not undo what a crash cut is found out: its totals are higher than they can be.
    async fn what_is_applied_although_it_crashed_is_found() {
        let server = tally(Vice::KeepsWhatCrashed).await;
        let history = History::<Counter>::new();
        let client = history.client();
        server.chaos().crash_next(Callback::Call);
        for _ in 0..2 {
            let pending = client.invoke(CounterOp::Add(1));
            pending.kept(&soon(server.call(|reply| (CounterOp::Add(1), reply))).await);
        }
        assert_eq!(*server.peek(), 2);
        let violation = history.check(&Counter::default()).expect_err("more than there can be");
        assert_eq!(violation.culprits(), 1, "{violation}");
    }

    /// A server that forgets updates at a time is found out: two of them say the same.
    async fn an_update_that_overwrites_another_one_is_found() {
        let server = tally(Vice::Overwrites).await;
        let history = History::<Counter>::new();
        let (anna, ben) = (history.client(), history.client());
        let (op, other) = (CounterOp::Add(1), CounterOp::Add(1));
        let (adding, too) = (anna.invoke(op), ben.invoke(other));
        let (first, second) =
            tokio::join!(server.call(|reply| (op, reply)), server.call(|reply| (other, reply)));
        // Where a timer came between the two, they are honest.
        let honest = matches!((&first, &second), (Ok(first), Ok(second)) if first != second);
        adding.answered(&first);
        too.answered(&second);
        assert_eq!(history.check(&Counter::default()).is_ok(), honest);
        until("a timer has set it", || *server.peek() > 0).await;
    }

    /// A server that answers from a cache is found out: it does not see what was acknowledged before.
    async fn a_stale_read_is_found() {
        let server = tally(Vice::Remembers).await;
        let violation = recorded(&server, 60, 0).await.check(&Counter::default()).expect_err("stale");
        assert_eq!(violation.culprits(), 2, "{violation}");
        assert!(violation.to_string().contains("Get → "), "{violation}");
    }

    /// A register whose readers, writers and swappers are told the truth is linearizable.
    async fn a_register_under_a_monkey_is_linearizable() {
        let server = ServerSpec::new(Script::new(), 0u64).max_restarts(u32::MAX, Duration::from_secs(1));
        let server = server.start().await.expect("it starts");
        let history = History::<Register<u64>>::new();
        let monkey = Monkey::seeded(4).server(&server).every(Duration::from_micros(200));
        let monkey = tokio::spawn(monkey.run(100));
        let mut clients = JoinSet::new();
        for client in 0..4 {
            let (server, me) = (server.clone(), history.client());
            clients.spawn(async move {
                for n in 0..150 {
                    let op = match (n + client) % 3 {
                        0 => RegisterOp::Write(n * 4 + client),
                        1 => RegisterOp::Read,
                        _ => RegisterOp::CompareAndSet { expected: *server.peek(), new: n * 4 + client },
                    };
                    let pending = me.invoke(op.clone());
                    pending.kept(&soon(server.call(move |reply| act(op, reply))).await);
                }
            });
        }
        soon(clients.join_all()).await;
        soon(monkey).await.expect("it ends");
        tokio::task::spawn_blocking(move || history.check(&Register::new(0))).await.expect("checked").expect("linearizable");
    }
}

fn act(op: RegisterOp<u64>, reply: Reply<RegisterRet<u64>>) -> Job<u64> {
    if op == RegisterOp::Read {
        return look(move |value: &u64| {
            reply.send(RegisterRet::Value(*value));
            Ok(Next::Wait)
        });
    }
    job(move |value: &mut u64| {
        reply.send(Register::new(0).apply(value, &op));
        Ok(Next::Wait)
    })
}
