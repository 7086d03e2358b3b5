//! A small shop under load, and a page in the browser that shows it live: what stands below whom, how fast each server works, what
//! waits, what crashed last. Suspend somebody and watch the queue grow; kill a worker and see that nothing is lost.
//!
//! What it teaches:
//!
//! * an observer is a few lines beside a tree that knows nothing of it;
//! * its address has the token in it: who has one has the other;
//! * what is not below a supervisor is shown as well, by itself or by its registry;
//! * what the page shows can be had as JSON.
//!
//! Run it with `cargo run --example observer --features observer -- --serve`, and open the address that it prints; Ctrl-C ends it.
//! Without `--serve` it is open for two seconds, and looks at its own page.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{env, error::Error, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    signal,
    time::{Instant, sleep},
};
use undying::{
    Context, Crash, DynamicSupervisor, GenServer, Never, Next, Outcome, Registry, Reply, ServerRef,
    ServerSpec, StateMut, Strategy, Supervisor,
    observer::{Observer, ObserverHandle},
};

/// Somebody at work, who needs some time for each thing and fails at one of so many. The state is how much was done.
#[derive(Clone)]
struct Clerk {
    pace: Duration,
    fails_at_one_of: u32,
    excuse: &'static str,
}

impl GenServer for Clerk {
    type State = u64;
    type Call = Reply<u64>;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        done: Reply<u64>,
        mut count: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        sleep(self.pace).await;
        *count += 1;
        if self.fails_at_one_of > 0 && fastrand::u32(..self.fails_at_one_of) == 0 {
            return Err(Crash::msg(self.excuse));
        }
        done.send(*count);
        Ok(Next::Wait)
    }
}

fn clerk(id: &str, pace_ms: u64, fails_at_one_of: u32, excuse: &'static str) -> ServerSpec<Clerk> {
    ServerSpec::new(Clerk { pace: Duration::from_millis(pace_ms), fails_at_one_of, excuse }, 0).id(id)
}

fn shop() -> Supervisor {
    let checkout = Supervisor::builder()
        .id("checkout")
        .strategy(Strategy::RestForOne)
        .child(clerk("bank", 1, 1500, "the line to the bank is dead"))
        .child(clerk("till", 2, 0, ""))
        .child(clerk("printer", 4, 400, "out of paper"));
    let kitchen = Supervisor::builder()
        .id("kitchen")
        .strategy(Strategy::OneForAll)
        .child(clerk("oven", 12, 90, "the cake is burnt; expected golden brown, found <b>charcoal</b>"))
        .child(clerk("fridge", 1, 0, ""));
    Supervisor::builder()
        .id("shop")
        .child(clerk("stock", 1, 0, ""))
        .child(checkout)
        .child(kitchen)
        .child(DynamicSupervisor::builder().id("couriers"))
}

/// Comes to a clerk about so often a second: in waves, and now and then with a crowd.
async fn customers(clerk: ServerRef<Clerk>, per_second: f64, crowd: usize) {
    let since = Instant::now();
    let length = fastrand::f64() * 20.0 + 10.0;
    let mut next_crowd = since + Duration::from_secs_f64(fastrand::f64() * 12.0);
    loop {
        let wave = 1.0 + 0.6 * (since.elapsed().as_secs_f64() * std::f64::consts::TAU / length).sin();
        let crowded = Instant::now() >= next_crowd;
        if crowded {
            next_crowd = Instant::now() + Duration::from_secs_f64(4.0 + fastrand::f64() * 8.0);
        }
        for _ in 0..if crowded { crowd } else { 1 } {
            let clerk = clerk.clone();
            // Whoever is not served in time goes home.
            tokio::spawn(async move { clerk.call(|done| done).timeout(Duration::from_secs(30)).await });
        }
        sleep(Duration::from_secs_f64(-fastrand::f64().max(1e-9).ln() / (per_second * wave))).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shop = shop().start().await?;
    let checkout = shop.supervisor("checkout").expect("it is a child");
    let kitchen = shop.supervisor("kitchen").expect("it is a child");
    let couriers = shop.dynamic_supervisor("couriers").expect("it is a child");
    for (supervisor, id, per_second, crowd) in [
        (&shop, "stock", 60.0, 20),
        (&checkout, "bank", 35.0, 1),
        (&checkout, "till", 90.0, 60),
        (&checkout, "printer", 45.0, 30),
        (&kitchen, "oven", 25.0, 45),
        (&kitchen, "fridge", 15.0, 1),
    ] {
        let clerk = supervisor.server::<Clerk>(id).expect("it is a child");
        tokio::spawn(customers(clerk, per_second, crowd));
    }
    for name in ["anna", "ben"] {
        let courier = couriers.start_child(clerk(name, 5, 250, "a flat tyre").name(name)).await?;
        tokio::spawn(customers(courier, 8.0, 12));
    }
    // Nobody supervises the radio. Its name is where it can be found.
    let radio = clerk("radio", 1, 0, "").name("radio").start().await?;
    tokio::spawn(customers(radio, 3.0, 1));

    let observer = Observer::new().supervisor(&shop).registry(&Registry::global()).start().await?;
    println!("The shop is open. Look at it: {}", observer.url());

    if env::args().any(|argument| argument == "--serve") {
        signal::ctrl_c().await?;
    } else {
        sleep(Duration::from_secs(2)).await;
        look(&observer).await?;
    }

    let address = observer.addr();
    observer.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens there any more");
    shop.stop().await?;
    println!("The shop is closed.");
    Ok(())
}

/// Looks at the page and at the tree as a browser and a script do.
async fn look(observer: &ObserverHandle) -> Result<(), Box<dyn Error>> {
    let page = get(observer, &format!("/?token={}", observer.token()), "").await?;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<!doctype html>"), "{page}");

    let bearer = format!("Authorization: Bearer {}\r\n", observer.token());
    let answer = get(observer, "/api/tree", &bearer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer has a body")?;
    let tree: serde_json::Value = serde_json::from_str(body)?;
    let (shop, stock) = (&tree["roots"][0], &tree["roots"][0]["children"][0]);
    assert_eq!((&shop["id"], &shop["strategy"]), (&"shop".into(), &"one_for_one".into()));
    assert_eq!((&stock["id"], &stock["status"]), (&"stock".into(), &"running".into()));
    let handled = stock["statistics"]["messages_in"].as_u64().ok_or("a number")?;
    assert!(handled > 0, "the shop is under load");
    println!("By its own API, stock has handled {handled} messages.");

    let refused = get(observer, "/api/tree", "Authorization: Bearer of bad news\r\n").await?;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    println!("Who has no token is sent away.");
    Ok(())
}

async fn get(observer: &ObserverHandle, path: &str, headers: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(observer.addr()).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
