//! A web page that shows the servers of a process while they run: feature `observer`. The counterpart of Erlang's `:observer`
//! and of the processes page of Phoenix' LiveDashboard.
//!
//! An [`Observer`] is told what to show and started; from then on a browser shows the supervision tree, the state of each server,
//! its rates and its last crash, all live, and suspends, resumes and kills at a click. The page stands on a small API, which is
//! there for scripts, too:
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the page |
//! | `GET /api/tree` | what there is to see now, as JSON |
//! | `GET /api/events` | the same, at once and then in each [period](Observer::every), as server-sent events |
//! | `POST /api/servers/{id}/suspend` | [suspends](crate::AnyServerRef::suspend) a server, and answers with it |
//! | `POST /api/servers/{id}/resume` | [resumes](crate::AnyServerRef::resume) it |
//! | `POST /api/servers/{id}/kill-worker` | [kills its worker](crate::AnyServerRef::kill_worker): the state survives |
//!
//! The guide has [a page about it](crate::docs::observer), with the fields of the JSON.
//!
//! # What it costs
//!
//! Nothing while nobody looks: one task waits for connections. No server is counted, listened to or sampled for it; the counters
//! that it shows are kept anyway. For each client that looks, the tree is read once in each period, by a short lock a server, and no
//! worker is troubled for it. At most 128 clients are served at a time, the next ones wait; one to whom, and from whom, nothing has
//! moved for a minute is let go.
//!
//! # Who may look
//!
//! Who has the page can kill workers, so it is closed to all others:
//!
//! * It listens on the loopback address unless [`bind`](Observer::bind) says otherwise. There is no TLS: what is to be reached from
//!   another machine goes through an SSH tunnel or a proxy.
//! * Each request has to bring the token: `Authorization: Bearer …`, or for a `GET`, which a browser makes, `?token=…`. It is compared in
//!   constant time. What changes something is only done for the header, which no other site can have a browser send.
//! * A request has to name its host by an IP address, `localhost`, or a name of [`host`](Observer::host): a site that has its own name
//!   resolve to your loopback address (DNS rebinding) gets nothing.
//! * No other site may read an answer (there is no CORS), frame the page, or learn the token as a referrer; nothing is stored
//!   (`no-store`). The page runs its own script and no other, by its Content-Security-Policy, and shows names and
//!   crash messages as text, whatever is in them.
//!
//! The token is in the address of the page, so it may stay in the browser's history. Unless it is [given](Observer::token), it is another
//! one at each start.

mod connection;
mod guard;
mod picture;
mod routes;
mod sources;

use std::{
    fmt::{self, Write},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::select;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::{
    connection::{Clients, over},
    routes::App,
    sources::Sources,
};
use crate::{AnyServerRef, DynamicSupervisorRef, GenServer, PartitionSupervisorRef, Registry, SupervisorRef};

/// What is to be shown, to whom and where: see the [module](self).
///
/// # Examples
///
/// ```
/// use undying::{ServerSpec, Supervisor, observer::Observer};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Till;
/// # impl GenServer for Till { type State = u8; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder().id("shop").child(ServerSpec::new(Till, 0).id("till")).start().await?;
/// let observer = Observer::new().supervisor(&shop).start().await?;
/// println!("look at {}", observer.url());
/// # observer.stop().await; // or just drop it
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing can be seen before it is started"]
pub struct Observer {
    sources: Sources,
    address: SocketAddr,
    token: Option<String>,
    hosts: Vec<String>,
    every: Duration,
    read_only: bool,
}

impl Observer {
    /// One that shows nothing yet.
    pub fn new() -> Self {
        Self {
            sources: Sources::default(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            hosts: Vec::new(),
            every: Duration::from_secs(1),
            read_only: false,
        }
    }

    /// Shows a supervisor, and all that is below it. Any number may be added; one that is below another is shown there.
    pub fn supervisor(mut self, supervisor: &SupervisorRef) -> Self {
        self.sources.add_supervisor(supervisor);
        self
    }

    /// Shows a dynamic supervisor, and all that is below it.
    pub fn dynamic_supervisor(mut self, supervisor: &DynamicSupervisorRef) -> Self {
        self.sources.add_dynamic_supervisor(supervisor);
        self
    }

    /// Shows a partition supervisor, and its partitions.
    pub fn partition_supervisor<S: GenServer>(self, supervisor: &PartitionSupervisorRef<S>) -> Self {
        self.supervisor(supervisor.supervisor())
    }

    /// Shows one server, also when it is over. Its memory is held as long as the observer is there.
    pub fn server(mut self, server: impl Into<AnyServerRef>) -> Self {
        self.sources.add_server(server.into());
        self
    }

    /// Shows the servers that have a name in `registry`, those that come later too, unless they are shown elsewhere.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.sources.add_registry(registry);
        self
    }

    /// Where it listens; port 0 is any that is free. Defaults to `127.0.0.1:0`.
    ///
    /// On another address than a loopback one, whoever can read the traffic can read the token, too.
    pub fn bind(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// What a client has to bring. Defaults to a random one of 128 bits. One that is empty, or has anything but visible
    /// ASCII characters, is refused at [`start`](Self::start).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Answers to that host name as well, as a proxy in front of it may have one. Defaults to IP addresses and `localhost` only.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// How often a client is sent the tree. Defaults to 1 s. Zero is refused at [`start`](Self::start).
    pub fn every(mut self, period: Duration) -> Self {
        self.every = period;
        self
    }

    /// Refuses to suspend, resume and kill, and shows no buttons for it. Defaults to no.
    pub fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Listens, on the current runtime. The first request is answered from then on.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing is left of it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a token or a period that makes no sense; otherwise what the
    /// operating system says of the address.
    ///
    /// # Panics
    ///
    /// If it is polled outside a Tokio runtime, or in one without timers or I/O (`enable_all`).
    pub async fn start(self) -> io::Result<ObserverHandle> {
        let Self { sources, address, token, hosts, every, read_only } = self;
        if every.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the period of an observer is zero"));
        }
        let token = token.map_or_else(random, Ok)?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why = "the token of an observer has to be of visible ASCII characters";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (ending, ended) = watch::channel(false);
        let app = Arc::new(App {
            sources,
            token: token.clone(),
            hosts,
            every,
            read_only,
            since: Instant::now(),
            ended: ended.clone(),
        });
        let clients = Clients::new(listener, ended.clone());
        let task = tokio::spawn(async move {
            let serve = pin!(axum::serve(clients, routes::router(app)).into_future());
            select(serve, pin!(over(ended))).await;
        });
        Ok(ObserverHandle { address, token, ending, task })
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("address", &self.address)
            .field("every", &self.every)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// An observer that is there. Its drop ends it: the port is closed, every client is let go, also amid an answer, and all its
/// tasks end.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use undying::{Registry, observer::Observer};
///
/// let observer = Observer::new().registry(&Registry::global()).token("only-for-me").start().await?;
/// assert!(observer.addr().ip().is_loopback());
/// assert_eq!(observer.token(), "only-for-me");
/// println!("{}", observer.url());
/// observer.stop().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it ends the observer"]
pub struct ObserverHandle {
    address: SocketAddr,
    token: String,
    /// Tells the tasks of the end. They hold the other side of it as long as they are there.
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ObserverHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What a client has to bring.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The address of the page, with the token: for whoever may see it, and not for a log that others read.
    pub fn url(&self) -> String {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => (),
        }
        let mut url = format!("http://{address}/?token=");
        for byte in self.token.bytes() {
            // Infallible: it is a `String`.
            let _ = match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                    write!(url, "{}", char::from(byte))
                }
                _ => write!(url, "%{byte:02X}"),
            };
        }
        url
    }

    /// Ends it, as the drop of the handle does, and waits until nothing of it is left.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is first polled, it is the drop of the handle. Dropped later, the end goes on by itself.
    pub async fn stop(self) {
        self.ending.send_replace(true);
        // It ends by itself only with its runtime.
        let _ = self.task.await;
        self.ending.closed().await;
    }
}

impl fmt::Debug for ObserverHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserverHandle").field("address", &self.address).finish_non_exhaustive()
    }
}

/// 128 bits that nobody can guess, in hexadecimal digits.
fn random() -> io::Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bits)))
}
