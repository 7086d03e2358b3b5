//! A bakery: answers that come later, while the server goes on.
//!
//! What it teaches: a `Reply` is a value, and the callback that got it need not be the one that sends it. It can go
//!
//! * **along with a task**: to `Bake` takes 20 minutes, so it is spawned. The result comes back as a message, together with
//!   the `Reply` of who asked; meanwhile the bakery serves everybody else. A task that panics is a result, too;
//! * **into the state**: `Take` is a blocking pop. Where there is no bread the `Reply` waits in line, and there it survives
//!   every crash: a later incarnation serves the same customer.
//!
//! Who may have to wait says so with `no_timeout`: by default a call gives up after 5 s. A customer who has left is passed over:
//! `is_closed` tells.
//!
//! Run it with `cargo run --example deferred_reply`. Every step is printed and asserted. The clock is paused: an hour takes
//! no time. The panic message in between comes from Rust's default panic hook; it is the loaf of step 4.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::VecDeque, error::Error, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{CallError, Context, ExitReason, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

const MINUTE: Duration = Duration::from_secs(60);

type Loaf = &'static str;

#[derive(Clone)]
struct Bakery;

/// There is never bread on the shelf and somebody in line.
#[derive(Clone, Default)]
struct Shop {
    shelf: VecDeque<Loaf>,
    line: VecDeque<Reply<Loaf>>,
}

enum Call {
    /// Bakes a loaf; the answer is whether that went well.
    Bake(Loaf, Reply<Result<(), ExitReason>>),
    /// Takes a loaf, now or when there is one.
    Take(Reply<Loaf>),
}

/// What became of a loaf, and who asked for it.
struct Baked(Result<Loaf, ExitReason>, Reply<Result<(), ExitReason>>);

impl GenServer for Bakery {
    type State = Shop;
    type Call = Call;
    type Cast = Never;
    type Info = Baked;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut shop: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Bake(loaf, reply) => {
                cx.spawn(oven(loaf), move |result| Baked(result, reply));
            }
            Call::Take(reply) => match shop.shelf.pop_front() {
                Some(loaf) => reply.send(loaf),
                None => shop.line.push_back(reply),
            },
        }
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        Baked(result, reply): Baked,
        mut shop: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        if let Ok(loaf) = result {
            shop.line.retain(|customer| !customer.is_closed());
            match shop.line.pop_front() {
                Some(customer) => customer.send(loaf),
                None => shop.shelf.push_back(loaf),
            }
        }
        reply.send(result.map(drop));
        Ok(Next::Wait)
    }
}

async fn oven(loaf: Loaf) -> Loaf {
    sleep(20 * MINUTE).await;
    assert!(loaf != "charcoal", "too hot");
    loaf
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let shop = Shop { shelf: ["bun"].into(), ..Shop::default() };
    let bakery = ServerSpec::new(Bakery, shop).start().await?;
    let bake = |loaf| bakery.call(move |reply| Call::Bake(loaf, reply)).no_timeout();

    let opened = Instant::now();
    let take = async { (bakery.call(Call::Take).await, opened.elapsed()) };
    let (rye, (bun, waited)) = tokio::join!(bake("rye"), take);
    assert_eq!((bun?, waited), ("bun", Duration::ZERO));
    assert!(rye?.is_ok() && opened.elapsed() >= 20 * MINUTE);
    assert_eq!(bakery.call(Call::Take).await?, "rye");
    println!("1. a rye was baked for 20 minutes, and who came meanwhile did not wait");

    let later = bakery.clone();
    let customer = tokio::spawn(async move { later.call(Call::Take).no_timeout().await });
    sleep(MINUTE).await;
    assert_eq!(bakery.peek().line.len(), 1);
    bakery.kill_worker();
    assert!(bake("spelt").await?.is_ok());
    assert_eq!((customer.await??, bakery.incarnation()), ("spelt", 2));
    println!("2. a customer stood in line, the server was killed, and incarnation 2 handed over the spelt");

    assert!(matches!(bakery.call(Call::Take).await, Err(CallError::Timeout)));
    assert!(bake("wheat").await?.is_ok());
    assert_eq!(bakery.call(Call::Take).await?, "wheat");
    println!("3. a customer left after 5 seconds, and the wheat was there for the next one");

    let Err(ExitReason::Crashed(report)) = bake("charcoal").await? else { panic!("it should have burnt") };
    assert_eq!((report.message(), bakery.incarnation()), ("too hot", 2));
    println!("4. a loaf burnt ({}): that is an answer, too, and no crash of the server", report.message());
    Ok(())
}
