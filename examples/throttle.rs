//! A throttle: three jobs at a time and no more, and no slot is ever leaked.
//!
//! What it teaches:
//!
//! * jobs run in tasks of the server, so the server itself is always free to take one, or to refuse it at once;
//! * **a slot belongs to its job.** A count of jobs in the state would have to be put right after a crash; a permit is
//!   given back when it is dropped, and dropped it is, whichever way the job ends;
//! * tasks outlive the crash of their server: they go on, in their slots, and the next incarnation hears of their end.
//!
//! Run it with `cargo run --example throttle`. Every step is printed and asserted. The clock is paused: jobs of a second
//! take no time. The panic message in between comes from Rust's default panic hook; it is the job of step 2.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, sync::Arc, time::Duration};

use futures::future::try_join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

/// The slots are no part of the state: a job that runs goes on running when the state is rolled back.
#[derive(Clone)]
struct Throttle {
    slots: Arc<Semaphore>,
}

/// How many jobs have ended, and how many have not begun.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tally {
    ended: u32,
    refused: u32,
}

/// A number to be squared.
struct Square(u64, Reply<Answer>);

type Answer = Result<u64, Failure>;

#[derive(Debug, PartialEq)]
enum Failure {
    /// No slot was free.
    Refused,
    Crashed,
}

/// A job is over, and its slot is free.
struct Ended(Result<u64, ExitReason>, Reply<Answer>);

impl GenServer for Throttle {
    type State = Tally;
    type Call = Square;
    type Cast = Never;
    type Info = Ended;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Square(n, reply): Square,
        mut tally: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            cx.spawn(square(n, slot), move |result| Ended(result, reply));
        } else {
            tally.refused += 1;
            reply.send(Err(Failure::Refused));
        }
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        Ended(result, reply): Ended,
        mut tally: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        tally.ended += 1;
        reply.send(result.map_err(|_| Failure::Crashed));
        Ok(Next::Wait)
    }
}

/// Takes a second, has a bug, and holds its slot until it is over, one way or the other.
async fn square(n: u64, _slot: OwnedSemaphorePermit) -> u64 {
    sleep(Duration::from_secs(1)).await;
    assert!(n != 13, "bad luck");
    n * n
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let slots = Arc::new(Semaphore::new(3));
    let server = Throttle { slots: slots.clone() };
    let throttle = ServerSpec::new(server, Tally::default()).start().await?;
    let square = |n| throttle.call(move |reply| Square(n, reply));

    let answers = try_join_all([1, 2, 3, 4, 5].map(square)).await?;
    assert_eq!(answers, [Ok(1), Ok(4), Ok(9), Err(Failure::Refused), Err(Failure::Refused)]);
    println!("1. five at once: three are run, two are refused");

    let answers = try_join_all([12, 13].map(square)).await?;
    assert_eq!(answers, [Ok(144), Err(Failure::Crashed)]);
    assert_eq!(slots.available_permits(), 3);
    println!("2. a job panicked: who asked for it was told, and its slot is free");

    let kill = async {
        sleep(Duration::from_millis(500)).await;
        throttle.kill_worker();
        square(4).await
    };
    let (answers, refused) = tokio::join!(try_join_all([1, 2, 3].map(square)), kill);
    assert_eq!((refused?, throttle.incarnation()), (Err(Failure::Refused), 2));
    assert_eq!(answers?, [Ok(1), Ok(4), Ok(9)]);
    println!("3. killed while three jobs ran: they still held their slots, and all three were answered");

    let tally = throttle.stop().await?.state;
    assert_eq!(*tally, Tally { ended: 8, refused: 3 });
    assert_eq!(slots.available_permits(), 3);
    println!("4. at the end all slots are free: {:?}", *tally);
    Ok(())
}
