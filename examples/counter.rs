//! A counter that crashes and goes on counting.
//!
//! What it teaches, in the order of the session that Elixir's Peeper shows in its documentation:
//!
//! * a server is a type with callbacks; what survives is its `State`, here one number;
//! * `call` waits for an answer, `cast` does not;
//! * a callback may change the state and crash afterwards: the change is taken back, the caller is told at once;
//! * after a crash, or a kill from outside, the same `ServerRef` reaches the next incarnation, which goes on with
//!   the last good state and the messages still queued.
//!
//! Run it with `cargo run --example counter`. Every step is printed and asserted. The panic message in between
//! comes from Rust's default panic hook; it is the crash of step 5.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use undying::{CallError, Context, CrashKind, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

#[derive(Clone)]
struct Counter;

enum Call {
    Inc(Reply<u64>),
    Get(Reply<u64>),
    Add(&'static str, Reply<u64>), // A number that comes as text.
}

enum Cast {
    Inc,
    DivideBy(u64),
}

impl GenServer for Counter {
    type State = u64;
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut count: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Inc(reply) => {
                *count += 1;
                reply.send(*count);
            }
            Call::Get(reply) => reply.send(*count),
            Call::Add(text, reply) => {
                *count += 1000; // Too early: should the next line crash, this must not be seen.
                *count += text.parse::<u64>()?;
                *count -= 1000;
                reply.send(*count);
            }
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut count: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Inc => *count += 1,
            Cast::DivideBy(n) => *count /= n,
        }
        Ok(Next::Wait)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let counter = ServerSpec::new(Counter, 0).name("counter").start().await?;
    assert_eq!(counter.call(Call::Get).await?, 0);
    println!("1. started with 0");

    assert_eq!(counter.call(Call::Inc).await?, 1);
    println!("2. call Inc: the answer is 1");

    counter.cast(Cast::Inc).await?;
    assert_eq!(counter.call(Call::Get).await?, 2);
    println!("3. cast Inc: no answer, but the next call sees 2");

    let answer = counter.call(|reply| Call::Add("ten", reply)).await;
    let Err(CallError::Crashed(report)) = answer else {
        panic!("a bad message crashes its callback, but the answer was {answer:?}");
    };
    assert_eq!(report.kind(), CrashKind::Error);
    assert_eq!(counter.call(Call::Get).await?, 2);
    println!("4. call Add(\"ten\"): crashed ({}), and the counter is still 2", report.message());

    counter.cast(Cast::DivideBy(0)).await?;
    counter.cast(Cast::Inc).await?; // Queued behind the crash, and served after it.
    assert_eq!(counter.call(Call::Get).await?, 3);
    println!("5. cast DivideBy(0), then Inc: a panic, and yet the counter is 3");

    counter.kill_worker();
    // A call sent before the kill took effect could be cut by it; a new incarnation is safe from it.
    assert_eq!(counter.wait_incarnation(4).await.ok(), Some(4));
    assert_eq!(counter.call(Call::Inc).await?, 4);
    println!("6. killed from outside: incarnation 4 counts on, 4");

    let exit = counter.stop().await?;
    assert_eq!(*exit.state, 4);
    assert!(!exit.reason.is_abnormal());
    println!("7. stopped after three crashes with {}", *exit.state);
    Ok(())
}
