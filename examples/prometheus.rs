//! Servers under load and under fire, and what Prometheus sees of them:
//! `cargo run --example prometheus --features metrics`, or with `-- --serve` to keep it running.
//!
//! What it teaches: one `MetricsListener` over a whole tree counts and measures every server below it. The numbers are exact: each
//! call, each crash and each restart is in them, once. The example scrapes itself over HTTP, as Prometheus would, and checks that.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use undying::{
    CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StateMut, Supervisor,
    telemetry::MetricsListener,
};

/// Answers with the price of so many pieces. Every hundredth request is one too many.
#[derive(Clone)]
struct Shop;

struct Quote(u64, Reply<u64>);

impl GenServer for Shop {
    type State = u64;
    type Call = Quote;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Quote(pieces, reply): Quote,
        mut asked: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let pieces = pieces.checked_sub(1).ok_or_else(|| undying::Crash::msg("nothing to quote"))?;
        *asked += 1;
        reply.send((pieces + 1) * 7);
        Ok(Next::Wait)
    }
}

const CALLS: u64 = 10_000;
/// One call in so many crashes.
const CRASHES: u64 = 100;

/// Asks for `CALLS` quotes, with a few crashes among them.
async fn load(shop: ServerRef<Shop>) {
    for n in 0..CALLS {
        let pieces = n % CRASHES;
        match shop.call(move |reply| Quote(pieces, reply)).await {
            Ok(price) => assert_eq!(price, pieces * 7),
            Err(CallError::Crashed(_)) => assert_eq!(pieces, 0),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What `GET /metrics` answers.
async fn scrape(at: SocketAddr) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(body.to_owned())
}

/// The sum of all lines of a metric whose labels are among others these.
fn sum(page: &str, metric: &str, labels: &[&str]) -> f64 {
    let of_the_metric = |line: &&str| {
        line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    page.lines().filter(of_the_metric).filter_map(value).sum()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let serve = std::env::args().any(|arg| arg == "--serve");
    // The exporter does not say which port it got, so it is given one that was free a moment ago.
    let port = match serve {
        true => 9000,
        false => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port(),
    };
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Bounds of a histogram instead of quantiles; the recorder is there before the first server is.
    let bounds = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
    PrometheusBuilder::new().with_http_listener(at).set_buckets(&bounds)?.install()?;

    let shop = |name: &str| {
        ServerSpec::new(Shop, 0).name(name).id(name).max_restarts(u32::MAX, Duration::from_secs(1))
    };
    let tree = Supervisor::builder()
        .listener(MetricsListener::default())
        .child(shop("books"))
        .child(shop("coffee"))
        .child(shop("tea"))
        .start()
        .await?;
    let shops: Vec<ServerRef<Shop>> =
        ["books", "coffee", "tea"].iter().filter_map(|name| tree.server(name)).collect();

    loop {
        let load: Vec<_> = shops.iter().cloned().map(|shop| tokio::spawn(load(shop))).collect();
        for done in load {
            done.await?;
        }
        if !serve {
            break;
        }
        println!("http://{at}/metrics, until you press Ctrl-C");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tree.stop().await?;

    let page = scrape(at).await?;
    for name in ["books", "coffee", "tea"] {
        let server = &*format!("server=\"{name}\"");
        let crashes = CALLS / CRASHES;
        let calls = sum(&page, "undying_callbacks", &[server, "callback=\"handle_call\""]);
        assert_eq!(calls, CALLS as f64);
        let measured = sum(&page, "undying_callback_duration_count", &[server, "callback=\"handle_call\""]);
        assert_eq!(measured, CALLS as f64);
        assert_eq!(sum(&page, "undying_commits", &[server]), (CALLS - crashes) as f64);
        let failed = ["callback=\"handle_call\"", "kind=\"error\"", server];
        assert_eq!(sum(&page, "undying_crashes", &failed), crashes as f64);
        assert_eq!(sum(&page, "undying_restarts", &[server]), crashes as f64);
        assert_eq!(sum(&page, "undying_exits", &[server, "reason=\"shutdown\""]), 1.0);
        assert_eq!(sum(&page, "undying_servers", &[server]), 0.0);
        assert_eq!(sum(&page, "undying_mailbox_length", &[server]), 0.0);
    }
    let mut lines: Vec<_> = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    lines.retain(|line| !line.contains("_bucket{") && line.contains("server=\"tea\""));
    lines.sort_unstable();
    println!("{}", lines.join("\n"));
    println!("all numbers are exact: {CALLS} calls of each shop, one in {CRASHES} of them crashed");
    Ok(())
}
