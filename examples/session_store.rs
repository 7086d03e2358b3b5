//! Shopping sessions that expire: timers that belong to the server, not to one life of it.
//!
//! What it teaches:
//!
//! * **a timer with a key**: whoever uses a session sets its timer anew, in place of the one before;
//! * **an interval**, set once and for all in `init`: what has expired is cleaned up from time to time;
//! * timers survive a crash. There is nothing to set again in the next incarnation, and nothing goes off twice;
//! * what a callback asks for is done when it commits: a request that crashes does not prolong its session.
//!
//! Run it with `cargo run --example session_store`. Every step is printed and asserted. The clock is paused: a minute
//! takes no time.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::BTreeMap, error::Error, time::Duration};

use tokio::time::sleep;
use undying::{CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

const SECOND: Duration = Duration::from_secs(1);

/// How long a session lives that nobody uses.
const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// How often the expired ones are forgotten. Until then a customer is told why the basket is empty.
const CLEAN_UP: Duration = Duration::from_secs(60);

type Customer = &'static str;

#[derive(Debug, Clone, PartialEq)]
enum Session {
    /// So many things are in the basket.
    Open(u32),
    Expired,
}

#[derive(Clone)]
struct SessionStore;

/// Puts so many things, a number as text, into the customer's basket.
struct Add(Customer, &'static str, Reply<Session>);

enum Info {
    Expire(Customer),
    CleanUp,
}

impl GenServer for SessionStore {
    type State = BTreeMap<Customer, Session>;
    type Call = Add;
    type Cast = Never;
    type Info = Info;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.send_interval(CLEAN_UP, || Info::CleanUp);
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        Add(customer, things, reply): Add,
        mut sessions: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let session = sessions.entry(customer).or_insert(Session::Open(0));
        if let Session::Open(basket) = session {
            cx.set_timer(customer, TIME_TO_LIVE, Info::Expire(customer));
            *basket += things.parse::<u32>()?;
        }
        reply.send(session.clone());
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        info: Info,
        mut sessions: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match info {
            Info::Expire(customer) => _ = sessions.insert(customer, Session::Expired),
            Info::CleanUp => sessions.retain(|_, session| *session != Session::Expired),
        }
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = ServerSpec::new(SessionStore, BTreeMap::new()).start().await?;
    let add = |customer, things| store.call(move |reply| Add(customer, things, reply));

    assert_eq!(add("ann", "1").await?, Session::Open(1));
    assert_eq!(add("bob", "1").await?, Session::Open(1));
    println!(" 0 s: ann and bob come");

    sleep(20 * SECOND).await;
    assert_eq!(add("ann", "2").await?, Session::Open(3));
    println!("20 s: ann uses her session, bob does not");

    sleep(15 * SECOND).await;
    assert_eq!(add("bob", "2").await?, Session::Expired);
    assert!(matches!(add("ann", "many").await, Err(CallError::Crashed(_))));
    assert_eq!(store.peek()["ann"], Session::Open(3));
    println!("35 s: bob's session has expired; ann's request crashes, her session goes on");

    sleep(20 * SECOND).await;
    assert_eq!(store.peek()["ann"], Session::Expired);
    println!("55 s: ann's has expired, too, 30 s after the last request that went well");

    sleep(10 * SECOND).await;
    assert!(store.peek().is_empty());
    assert_eq!(store.incarnation(), 2);
    println!("65 s: incarnation 2 has cleaned up what incarnation 1 had opened");
    Ok(())
}
