//! An e-mail sender that tries again on a timer, up to a maximum.
//!
//! What it teaches:
//!
//! * keep what is to be done before you do it: each attempt is first noted, and the timer of the next one armed; only the
//!   [`Continue`](undying::Next::Continue) after that commit talks to the mail server;
//! * an attempt then needs no error handling. It may fail (`?`) or blow up (a panic): that is a crash, and the timer, which
//!   belongs to the logical server, survives it;
//! * what a callback asks of its context is done when it commits: only an attempt that went well clears the timer.
//!
//! A sender that is killed just after the mail server took a mail sends it again: what the world has seen is not undone.
//!
//! Run it with `cargo run --example email_sender`. The clock is paused and jumps from timer to timer, so that minutes pass
//! in no time. The panic message in between comes from Rust's default panic hook.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::BTreeMap, error::Error, io, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};

const MAX_ATTEMPTS: usize = 4;
const PAUSE: Duration = Duration::from_secs(60);

type Address = &'static str;

#[derive(Clone, Default)]
struct Mail {
    attempts: Vec<Instant>,
    status: Status,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Status {
    #[default]
    Pending,
    Sent,
    GivenUp,
}

#[derive(Clone)]
struct Sender;

impl GenServer for Sender {
    type State = BTreeMap<Address, Mail>;
    type Call = Never;
    type Cast = Address; //     A mail is to be sent.
    type Info = Address; //     Its next attempt is due.
    type Continue = Address; // The attempt itself.

    async fn handle_cast(
        &mut self,
        to: Address,
        mut mails: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        mails.insert(to, Mail::default());
        cx.set_timer(to, Duration::ZERO, to);
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        to: Address,
        mut mails: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let mail = mails.entry(to).or_default();
        if mail.attempts.len() == MAX_ATTEMPTS {
            mail.status = Status::GivenUp;
            return Ok(Next::Wait);
        }
        mail.attempts.push(Instant::now());
        cx.set_timer(to, PAUSE, to);
        Ok(Next::Continue(to))
    }

    async fn handle_continue(
        &mut self,
        to: Address,
        mut mails: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let mail = mails.entry(to).or_default();
        transmit(to, mail.attempts.len())?;
        mail.status = Status::Sent;
        cx.clear_timer(to);
        Ok(Next::Wait)
    }
}

/// What a mail server makes of it.
fn transmit(to: Address, attempt: usize) -> io::Result<()> {
    match (to, attempt) {
        ("konnichiwa@example.org", 1) => panic!("no idea how to encode こんにちは"),
        ("busy@example.org", 1 | 2) => Err(io::ErrorKind::ConnectionRefused.into()),
        ("nobody@example.org", _) => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(()),
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let sender = ServerSpec::new(Sender, BTreeMap::new()).start().await?;
    let began = Instant::now();
    let expected = [
        ("hello@example.org", Status::Sent, vec![0]),
        ("konnichiwa@example.org", Status::Sent, vec![0, 1]),
        ("busy@example.org", Status::Sent, vec![0, 1, 2]),
        ("nobody@example.org", Status::GivenUp, vec![0, 1, 2, 3]),
    ];
    for (to, ..) in &expected {
        sender.cast(to).await?;
    }
    sleep(PAUSE * 10).await; // Long after the last attempt.

    let mails = sender.peek();
    for (to, status, minutes) in expected {
        let mail = &mails[to];
        let tried: Vec<_> = mail.attempts.iter().map(|&at| (at - began).as_secs() / 60).collect();
        println!("{to:<24} {:?}, tried in minutes {tried:?}", mail.status);
        assert_eq!((&mail.status, tried), (&status, minutes));
    }

    let crashes = sender.incarnation() - 1;
    assert_eq!(crashes, 1 + 2 + 4, "each attempt that failed is a crash");
    println!("{crashes} crashes, and no mail was lost");
    Ok(())
}
