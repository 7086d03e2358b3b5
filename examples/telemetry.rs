//! What one sees of a server through the crate `tracing`: `cargo run --example telemetry`.
//!
//! What it teaches: a `TracingListener` tells starts, changes, crashes, restarts and ends as events with fields. Nothing of the
//! state is told unless `values` says how it is written: here the owner of a wallet and its balance, and never its PIN. What a
//! callback itself says comes in the span of that callback. Who listens to what is for the subscriber to say, by target and level.
//! (The panic message in between is from Rust's default panic hook.)

use std::error::Error;

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use undying::{
    CallError, Context, Crash, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut,
    telemetry::TracingListener,
};

#[derive(Clone)]
struct Wallet;

#[derive(Clone)]
struct Account {
    owner: String,
    pin: String,
    balance: u32,
}

/// Takes so much out; the answer is what is left.
struct Pay {
    amount: u32,
    pin: String,
    reply: Reply<u32>,
}

impl GenServer for Wallet {
    type State = Account;
    type Call = Pay;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Pay { amount, pin, reply }: Pay,
        mut account: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        tracing::info!(amount, "asked to pay");
        assert!(pin == account.pin, "wrong PIN");
        account.balance =
            account.balance.checked_sub(amount).ok_or_else(|| Crash::msg("not enough money"))?;
        reply.send(account.balance);
        Ok(Next::Wait)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // All of ours; of the crate what the listener tells and the spans of the callbacks, and not what it logs of crashes by itself.
    let targets = Targets::new()
        .with_target("telemetry", LevelFilter::TRACE)
        .with_target("undying", LevelFilter::TRACE)
        .with_target("undying::supervisor", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().without_time();
    tracing_subscriber::registry().with(lines).with(targets).init();

    let listener = TracingListener::default()
        .values(|account: &Account, f| write!(f, "{} has {}", account.owner, account.balance));
    let account = Account { owner: "Ada".into(), pin: "1815".into(), balance: 100 };
    let wallet = ServerSpec::new(Wallet, account).name("wallet").listener(listener).start().await?;
    let pay = |amount, pin: &str| {
        let pin = pin.to_owned();
        wallet.call(move |reply| Pay { amount, pin, reply })
    };

    assert_eq!(pay(30, "1815").await?, 70);
    assert!(matches!(pay(30, "0000").await, Err(CallError::Crashed(_)))); // panics
    assert!(matches!(pay(900, "1815").await, Err(CallError::Crashed(_)))); // fails
    assert_eq!(wallet.wait_incarnation(3).await.ok(), Some(3));
    wallet.kill_worker();
    assert_eq!(wallet.wait_incarnation(4).await.ok(), Some(4));
    assert_eq!(pay(20, "1815").await?, 50);
    wallet.stop().await?;
    Ok(())
}
