//! A stack, the first server of every GenServer tutorial.
//!
//! What it teaches:
//!
//! * each request has a `Reply` of its own type: a typed answer, nothing to match or to convert;
//! * an empty stack is not an error: `Pop` answers `None`;
//! * all or nothing comes for free: `PopMany` pops one item after the other and crashes where there are too few. The
//!   items it has popped by then are back, and whoever is queued behind it does not notice.
//!
//! Run it with `cargo run --example stack`. Every step is printed and asserted.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use undying::{CallError, Context, Crash, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

type Item = &'static str;

#[derive(Clone)]
struct Stack;

enum Call {
    Pop(Reply<Option<Item>>),
    PopMany(usize, Reply<Vec<Item>>),
    Depth(Reply<usize>),
}

enum Cast {
    Push(Item),
}

impl GenServer for Stack {
    type State = Vec<Item>;
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut items: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Pop(reply) => reply.send(items.pop()),
            Call::PopMany(n, reply) => {
                let too_few = || Crash::msg("too few items");
                let popped: Result<_, _> = (0..n).map(|_| items.pop().ok_or_else(too_few)).collect();
                reply.send(popped?);
            }
            Call::Depth(reply) => reply.send(items.len()),
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut items: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Push(item) => items.push(item),
        }
        Ok(Next::Wait)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let stack = ServerSpec::new(Stack, vec!["plate"]).start().await?;

    stack.cast(Cast::Push("cup")).await?;
    stack.cast(Cast::Push("glass")).await?;
    assert_eq!(stack.call(Call::Depth).await?, 3);
    println!("1. a plate, a cup on it, a glass on top: 3 items");

    assert_eq!(stack.call(Call::Pop).await?, Some("glass"));
    println!("2. the last one in is the first one out: the glass");

    // The second request is queued before the first one crashes.
    let (many, depth) = tokio::join!(stack.call(|reply| Call::PopMany(5, reply)), stack.call(Call::Depth));
    let Err(CallError::Crashed(report)) = many else {
        panic!("there are no 5 items, but the answer was {many:?}");
    };
    assert_eq!((depth?, stack.incarnation()), (2, 2));
    println!("3. five at once: crashed ({}), and both items are still there", report.message());

    assert_eq!(stack.call(|reply| Call::PopMany(2, reply)).await?, ["cup", "plate"]);
    println!("4. two at once: the cup and the plate");

    assert_eq!(stack.call(Call::Pop).await?, None);
    assert_eq!(stack.call(|reply| Call::PopMany(0, reply)).await?, [""; 0]);
    println!("5. the stack is empty, and that is an answer like any other");

    assert!(stack.stop().await?.state.is_empty());
    Ok(())
}
