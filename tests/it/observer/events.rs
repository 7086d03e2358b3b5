//! The stream of pictures: at once, then in each period, to any number of clients, and to nobody who has gone.

use std::time::Duration;

use tokio::runtime::Handle;
use undying::{ServerSpec, observer::Observer};

use super::{
    clerk,
    client::{Events, find, tree},
    shop,
};
use crate::{
    crash::script::{Script, crash, stop},
    support,
};

const OFTEN: Duration = Duration::from_millis(5);

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

both! {
    async fn a_crash_shows_in_the_stream() {
        let shop = shop().await;
        let till = shop.server::<Script<u64>>("till").unwrap();
        let observer = Observer::new().supervisor(&shop).every(OFTEN).start().await.unwrap();
        let mut events = Events::of(&observer).await;
        let first = events.next().await.unwrap();
        assert_eq!(find(&first, "till").unwrap()["statistics"]["crashes"], 0);
        assert!(find(&first, "till").unwrap()["last_crash"].is_null());

        let report = crash(&till).await;
        let crashed = events.until(|picture| find(picture, "till").unwrap()["incarnation"] == 2).await;
        let node = find(&crashed, "till").unwrap();
        assert_eq!(node["statistics"]["crashes"], 1);
        assert_eq!(node["last_crash"]["message"], report.message());
        assert!(crashed["at_ms"].as_u64() > first["at_ms"].as_u64());
        shop.stop().await.unwrap();
    }

    async fn the_first_picture_does_not_wait_for_the_period() {
        let shop = shop().await;
        let observer = Observer::new().supervisor(&shop).every(Duration::from_secs(86_400)).start().await.unwrap();
        let first = Events::of(&observer).await.next().await.unwrap();
        assert!(find(&first, "stock").is_some());
        shop.stop().await.unwrap();
    }

    async fn many_clients_see_the_same() {
        let shop = shop().await;
        let till = shop.server::<Script<u64>>("till").unwrap();
        let observer = Observer::new().supervisor(&shop).every(OFTEN).start().await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..60 {
            clients.push(Events::of(&observer).await);
        }
        till.kill_worker();
        for client in &mut clients {
            client.until(|picture| find(picture, "till").unwrap()["incarnation"] == 2).await;
        }
        shop.stop().await.unwrap();
    }

    async fn a_client_too_many_waits_for_one_to_go() {
        let radio = clerk("").start().await.unwrap();
        let observer = Observer::new().server(&radio).every(OFTEN).start().await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..128 {
            clients.push(Events::of(&observer).await);
        }
        let mut waits = std::pin::pin!(tree(&observer));
        for client in &mut clients {
            client.next().await.unwrap();
        }
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waits).await;
        assert!(early.is_err(), "there are as many as there may be");
        clients.pop();
        assert_eq!(waits.await["roots"].as_array().unwrap().len(), 1);
        stop(&radio).await;
    }

    async fn nothing_is_left_of_a_client_that_has_gone() {
        let radio = ServerSpec::new(Script::new(), 0_u64).start().await.unwrap();
        let before = tasks();
        let observer = Observer::new().server(&radio).every(OFTEN).start().await.unwrap();
        assert_eq!(tasks(), before + 1, "while nobody looks it only listens");
        for _ in 0..3 {
            let mut events = Events::of(&observer).await;
            events.next().await.unwrap();
            assert!(tasks() > before + 1);
            drop(events);
            support::until("the client is gone", || tasks() == before + 1).await;
        }
        observer.stop().await;
        // Nothing of it runs any more; the runtime may count a task a moment longer.
        support::until("its tasks are gone", || tasks() == before).await;
        stop(&radio).await;
    }
}
