//! A scoreboard with a table that is shared and a state that is kept, side by side.
//!
//! What it teaches: there are two places for what must outlive a crash, and they differ in one thing.
//!
//! * The **state** is rolled back: of a callback that crashes nothing is in it.
//! * An **`Arc` in `self`** is not: every incarnation gets a clone of it, and what a callback wrote there before it crashed
//!   stays. It is the counterpart of an ETS table with an heir: all who hold it may read it without a message, and it
//!   outlives even the server. What has to agree with the state does not belong there; what must not be forgotten by a
//!   crash, such as the number of attempts, does.
//!
//! Run it with `cargo run --example shared_table`. Every step is printed and asserted.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex},
};

use undying::{CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

/// How often each player has tried: the table. Its lock is never held where something may crash.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<BTreeMap<String, u32>>>);

impl Attempts {
    fn count(&self, player: &str) {
        *self.0.lock().expect("no panic while it is locked").entry(player.into()).or_default() += 1;
    }

    fn of(&self, player: &str) -> u32 {
        self.0.lock().expect("no panic while it is locked").get(player).copied().unwrap_or_default()
    }
}

#[derive(Clone)]
struct Scoreboard {
    attempts: Attempts,
}

/// A player's points, as text; the answer is the new score.
struct Score(&'static str, &'static str, Reply<u32>);

impl GenServer for Scoreboard {
    type State = BTreeMap<String, u32>;
    type Call = Score;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Score(player, points, reply): Score,
        mut scores: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.attempts.count(player); //                                    stays, whatever comes
        let score = scores.entry(player.into()).or_default(); //           taken back if the next line crashes
        *score += points.parse::<u32>()?;
        reply.send(*score);
        Ok(Next::Wait)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let attempts = Attempts::default();
    let server = Scoreboard { attempts: attempts.clone() };
    let board = ServerSpec::new(server, BTreeMap::new()).start().await?;
    let score = |player, points| board.call(move |reply| Score(player, points, reply));

    assert_eq!(score("ann", "3").await?, 3);
    assert_eq!(score("ann", "4").await?, 7);
    assert_eq!(attempts.of("ann"), 2);
    println!("1. ann: 2 attempts, 7 points");

    assert!(matches!(score("bob", "many").await, Err(CallError::Crashed(_))));
    assert_eq!(board.peek().get("bob"), None);
    assert_eq!(attempts.of("bob"), 1);
    println!("2. bob: 1 attempt that crashed; the board does not know him");

    assert_eq!(score("bob", "5").await?, 5);
    assert_eq!((attempts.of("bob"), board.incarnation()), (2, 2));
    println!("3. bob again, served by incarnation 2: 2 attempts, 5 points");

    board.kill_worker();
    assert_eq!(score("ann", "1").await?, 8);
    assert_eq!((attempts.of("ann"), board.incarnation()), (3, 3));
    println!("4. killed in between, and nothing is missing: ann has 3 attempts, 8 points");

    let exit = board.stop().await?;
    assert_eq!(*exit.state, BTreeMap::from([("ann".into(), 8), ("bob".into(), 5)]));
    assert_eq!((attempts.of("ann"), attempts.of("bob")), (3, 2));
    println!("5. the server is over; its last state and the table are still here");
    Ok(())
}
