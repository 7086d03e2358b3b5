//! A client of a few lines: whole answers, and streams of events.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use undying::observer::ObserverHandle;

use crate::crash::script::soon;

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// What it says that it was refused for.
    pub(super) fn error(&self) -> String {
        self.json()["error"].as_str().expect("a sentence").to_owned()
    }
}

/// Sends a request as it stands there, but for the blank line at its end, and reads the answer.
pub(super) async fn send(to: SocketAddr, request: &str) -> Answer {
    soon(async {
        let mut stream = TcpStream::connect(to).await.expect("somebody listens");
        let request = format!("{request}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    })
    .await
}

fn request(observer: &ObserverHandle, method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}", observer.token())
}

/// A `GET` with the token.
pub(super) async fn get(observer: &ObserverHandle, path: &str) -> Answer {
    send(observer.addr(), &request(observer, "GET", path)).await
}

/// A `POST` with the token.
pub(super) async fn post(observer: &ObserverHandle, path: &str) -> Answer {
    send(observer.addr(), &request(observer, "POST", path)).await
}

/// What there is to see now.
pub(super) async fn tree(observer: &ObserverHandle) -> Value {
    let answer = get(observer, "/api/tree").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

/// The first node with that id.
pub(super) fn find<'a>(picture: &'a Value, id: &str) -> Option<&'a Value> {
    fn below<'a>(nodes: &'a Value, id: &str) -> Option<&'a Value> {
        let nodes = nodes.as_array().expect("nodes");
        nodes.iter().find_map(|node| {
            Some(node).filter(|node| node["id"] == id).or_else(|| below(&node["children"], id))
        })
    }
    below(&picture["roots"], id)
}

/// The number of a server, as addresses have it.
pub(super) async fn number(observer: &ObserverHandle, id: &str) -> String {
    let picture = tree(observer).await;
    find(&picture, id).expect("it is shown")["server"].as_str().expect("a text").to_owned()
}

/// A stream of pictures.
pub(super) struct Events(BufReader<TcpStream>);

impl Events {
    pub(super) async fn of(observer: &ObserverHandle) -> Self {
        soon(async {
            let mut stream = TcpStream::connect(observer.addr()).await.expect("somebody listens");
            // As a client of HTTP/1.0 it gets the stream as it is, not in chunks.
            let request =
                format!("GET /api/events?token={} HTTP/1.0\r\nHost: localhost\r\n\r\n", observer.token());
            stream.write_all(request.as_bytes()).await.expect("it is taken");
            let mut events = Self(BufReader::new(stream));
            assert_eq!(events.line().await.as_deref(), Some("HTTP/1.0 200 OK"));
            while events.line().await.is_some_and(|line| !line.is_empty()) {}
            events
        })
        .await
    }

    /// The next line; `None` when the stream is over, in whatever way.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.ok()?;
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next picture; `None` when the stream is over.
    pub(super) async fn next(&mut self) -> Option<Value> {
        soon(async {
            loop {
                let line = self.line().await?;
                match line.strip_prefix("data: ") {
                    Some(picture) => {
                        return Some(serde_json::from_str(picture).expect("a whole picture in a line"));
                    }
                    None => {
                        assert!(line.is_empty() || line.starts_with(':'), "{line:?} is no part of an event")
                    }
                }
            }
        })
        .await
    }

    /// The next picture in which that is so.
    pub(super) async fn until(&mut self, so: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                let picture = self.next().await.expect("the stream goes on");
                if so(&picture) {
                    return picture;
                }
            }
        })
        .await
    }
}
