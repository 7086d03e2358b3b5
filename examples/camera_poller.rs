//! A hundred pollers fetch pictures over HTTP, each from its camera and at its own pace.
//!
//! What it teaches:
//!
//! * a poller is an interval and a callback. The callback awaits its requests, so two rounds of one poller never overlap;
//!   the rounds that come due meanwhile are made up for;
//! * what all pollers share, here a limit of requests in flight, is an `Arc` in `self`: every incarnation gets a clone;
//! * a request that fails is a `?`. The poller crashes, and goes on with its interval and with the pictures it has; the
//!   permit that the request held is free again.
//!
//! The cameras are a real HTTP server on this machine, and a strict one: it refuses more than `LIMIT` requests at once; a
//! picture needs the newest ticket of its camera, so it refuses two rounds at once; and some cameras have a loose contact.
//!
//! Run it with `cargo run --example camera_poller`. It takes a second or two.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::{sync::Semaphore, time::Instant, time::sleep};
use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};

const CAMERAS: usize = 100;
const LIMIT: usize = 8;

#[derive(Clone)]
struct Poller {
    camera: usize,
    every: Duration,
    site: SocketAddr,
    limit: Arc<Semaphore>,
}

struct Poll;

impl GenServer for Poller {
    type State = Vec<String>; // The pictures.
    type Call = Never;
    type Cast = Never;
    type Info = Poll;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.send_interval(self.every, || Poll);
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        Poll: Poll,
        mut pictures: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let ticket = self.get("ticket").await?;
        pictures.push(self.get(&ticket).await?);
        Ok(Next::Wait)
    }
}

impl Poller {
    async fn get(&self, wish: &str) -> io::Result<String> {
        let Self { camera, site, .. } = self;
        let _permit = self.limit.acquire().await.map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(site).await?;
        let request = format!("GET /{camera}/{wish} HTTP/1.1\r\nHost: {site}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = format!("Content-Length: {}", body.len());
        let is_whole = head.starts_with("HTTP/1.1 200 ") && head.ends_with(&length);
        is_whole.then(|| body.to_owned()).ok_or_else(|| io::Error::other(head))
    }
}

/// The newest ticket of each camera.
static TICKETS: [AtomicUsize; CAMERAS] = [const { AtomicUsize::new(0) }; CAMERAS];
static CAPACITY: Semaphore = Semaphore::const_new(LIMIT);

/// Answers `GET /7/ticket` with a new ticket of camera 7, and `GET /7/42` with the picture for ticket 42.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines.next_line().await?.is_some_and(|header| !header.is_empty()) {}

    let capacity = CAPACITY.try_acquire();
    sleep(Duration::from_millis(3)).await;
    let path: Vec<&str> = request.split([' ', '/']).collect();
    let camera: usize = path[2].parse().expect("the number of a camera");
    let newest = &TICKETS[camera];
    let (status, body) = match path[3].parse::<usize>() {
        _ if capacity.is_err() => ("429 Too Many Requests", String::new()),
        Err(_) => ("200 OK", (newest.fetch_add(1, Relaxed) + 1).to_string()),
        Ok(ticket) if newest.load(Relaxed) != ticket => ("409 Conflict", String::new()),
        Ok(ticket) if camera % 10 == 0 && ticket % 3 == 0 => ("503 Service Unavailable", String::new()),
        Ok(ticket) => ("200 OK", format!("picture {ticket} of camera {camera}")),
    };
    drop(capacity);
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    writer.write_all((head + &body).as_bytes()).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let site = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });

    let limit = Arc::new(Semaphore::new(LIMIT));
    let before = Instant::now();
    let mut pollers = Vec::new();
    for camera in 0..CAMERAS {
        let every = Duration::from_millis(100 + camera as u64);
        let poller = Poller { camera, every, site, limit: limit.clone() };
        pollers.push((every, ServerSpec::new(poller, Vec::new()).start().await?));
    }
    let after = Instant::now();
    sleep(Duration::from_secs(1)).await;

    let (mut pictures, mut crashes) = (0, 0);
    for (camera, (every, poller)) in pollers.into_iter().enumerate() {
        let at_least = after.elapsed().as_millis() / every.as_millis();
        let exit = poller.stop().await?; // It finishes the rounds that are due.
        let at_most = before.elapsed().as_millis() / every.as_millis();
        let rounds = TICKETS[camera].load(Relaxed);
        assert!((at_least..=at_most).contains(&(rounds as u128)), "{rounds} rounds, one each {every:?}");
        let failed = if camera % 10 == 0 { rounds / 3 } else { 0 };
        assert_eq!((exit.state.len(), poller.incarnation() as usize), (rounds - failed, failed + 1));
        pictures += exit.state.len();
        crashes += failed;
    }
    println!("{pictures} pictures from {CAMERAS} cameras, never more than {LIMIT} requests at once");
    println!("{crashes} crashes of a poller whose camera has a loose contact, and no other");
    assert_eq!(limit.available_permits(), LIMIT);
    Ok(())
}
