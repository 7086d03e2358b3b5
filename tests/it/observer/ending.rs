//! The end of an observer: nothing of it is left, whatever its clients are in the middle of.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
};
use undying::{
    Crash, ServerRef,
    observer::{Observer, ObserverHandle},
};

use super::{
    clerk,
    client::{Events, get},
};
use crate::{
    crash::script::{Script, asked, job, soon, stop},
    support,
};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Clients in every state that there is, and one that a picture does not fit into.
struct Clients {
    events: Events,
    others: Vec<TcpStream>,
}

async fn clients(observer: &ObserverHandle) -> Clients {
    let mut events = Events::of(observer).await;
    events.next().await.expect("a picture");
    let token = observer.token();
    let head = format!("HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}");
    let mut others = Vec::new();
    for said in [
        String::new(),
        "GE".into(),
        format!("GET /api/tree {head}"),
        format!("GET /api/tree {head}\r\n\r\n"),
        format!("POST /api/servers/0/suspend {head}\r\nContent-Length: 1000\r\n\r\nhalf"),
        format!("GET /api/events {head}\r\n\r\n"),
        format!("GET /api/events {head}\r\n\r\nGET /api/tree {head}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(observer.addr()).await.expect("somebody listens");
        stream.write_all(said.as_bytes()).await.expect("it is taken");
        others.push(stream);
    }
    Clients { events, others }
}

async fn all_are_let_go(clients: Clients) {
    let Clients { mut events, others } = clients;
    while events.next().await.is_some() {}
    for mut client in others {
        // Whether in good order or not: nothing more comes.
        let _ = soon(client.read_to_end(&mut Vec::new())).await;
    }
}

async fn radio() -> ServerRef<Script<u64>> {
    clerk("").start().await.expect("a server that nothing is wrong with starts")
}

both! {
    async fn the_drop_of_the_handle_ends_all_of_it() {
        let radio = radio().await;
        let before = tasks();
        let observer = Observer::new().server(&radio).every(Duration::from_millis(1)).start().await.unwrap();
        let address = observer.addr();
        let clients = clients(&observer).await;
        drop(observer);
        all_are_let_go(clients).await;
        support::until("its tasks are gone", || tasks() == before).await;
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
        assert!(radio.is_alive(), "whom it has shown lives on");
        stop(&radio).await;
    }

    async fn when_stop_returns_nothing_is_left() {
        let radio = radio().await;
        let before = tasks();
        let observer = Observer::new().server(&radio).every(Duration::from_millis(1)).start().await.unwrap();
        let address = observer.addr();
        let clients = clients(&observer).await;
        soon(observer.stop()).await;
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
        support::until("its tasks are gone", || tasks() == before).await;
        all_are_let_go(clients).await;
        let again = Observer::new().server(&radio).bind(address).start().await.unwrap();
        assert_eq!(get(&again, "/api/tree").await.status, 200);
        again.stop().await;
        stop(&radio).await;
    }

    async fn a_client_that_does_not_read_holds_nothing_up() {
        let radio = radio().await;
        let before = tasks();
        // Some megabytes a second, which nobody takes.
        let message = "no ".repeat(600);
        let fails = job(move |_| Err(Crash::msg(message)));
        assert!(soon(radio.call(asked(fails))).await.is_err());
        let mut observer = Observer::new().every(Duration::from_micros(50));
        for _ in 0..40 {
            observer = observer.server(clerk("").start().await.unwrap());
        }
        let started = tasks();
        let observer = observer.server(&radio).start().await.unwrap();
        let mut stuck = TcpStream::connect(observer.addr()).await.unwrap();
        let request = format!("GET /api/events?token={} HTTP/1.1\r\nHost: localhost\r\n\r\n", observer.token());
        stuck.write_all(request.as_bytes()).await.unwrap();
        let mut others = Events::of(&observer).await;
        for _ in 0..300 {
            others.next().await.unwrap();
        }
        soon(observer.stop()).await;
        support::until("its tasks are gone", || tasks() <= started).await;
        assert!(started > before);
        stop(&radio).await;
    }

    async fn a_start_that_is_dropped_leaves_nothing() {
        let before = tasks();
        drop(Observer::new().start());
        drop(Observer::default());
        assert_eq!(tasks(), before);
    }
}
