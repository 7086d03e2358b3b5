//! Connections that end with the observer, whatever they are in the middle of.
//!
//! An orderly end of a web server waits for its clients; one that does not read its answer, or has sent half a request, would keep
//! it for ever. So the end is where nobody can miss it, in the connection itself: from then on it is broken.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, Sleep, sleep},
};

/// How many clients are served at a time. The others wait, and do not use up the files that the process may open.
const MOST: usize = 128;

/// How long a connection may be there on which nothing moves.
const PATIENCE: Duration = Duration::from_secs(60);

/// Resolves once the handle of the observer says so, or is gone.
pub(super) async fn over(mut ended: watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Those who come.
pub(super) struct Clients {
    listener: TcpListener,
    room: Arc<Semaphore>,
    ended: watch::Receiver<bool>,
}

impl Clients {
    pub(super) fn new(listener: TcpListener, ended: watch::Receiver<bool>) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(MOST)), ended }
    }
}

impl Listener for Clients {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let room = self.room.clone().acquire_owned().await.expect("nobody closes it");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // A click is answered at once, or a little later.
        let _ = stream.set_nodelay(true);
        let ended = Box::pin(over(self.ended.clone()));
        let connection =
            Connection { stream, ended, idle: Box::pin(sleep(PATIENCE)), broken: None, _room: room };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A client, as long as the observer is there.
pub(super) struct Connection {
    stream: TcpStream,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    idle: Pin<Box<Sleep>>,
    broken: Option<io::ErrorKind>,
    _room: OwnedSemaphorePermit,
}

impl Connection {
    /// Fails from the end on. Whoever waits on this connection is woken by it.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.broken.is_none() {
            if self.ended.as_mut().poll(cx).is_ready() {
                self.broken = Some(io::ErrorKind::ConnectionAborted);
            } else if self.idle.as_mut().poll(cx).is_ready() {
                self.broken = Some(io::ErrorKind::TimedOut);
            }
        }
        self.broken.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn has_moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + PATIENCE);
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        ready!(Pin::new(&mut this.stream).poll_read(cx, into))?;
        this.has_moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, from))?;
        this.has_moved();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
