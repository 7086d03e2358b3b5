//! What the JSON says of whom.

use std::{future::pending, time::Duration};

use undying::{
    ChildSpec, Crash, DynamicSupervisor, PartitionSupervisor, Registry, ServerSpec, Strategy, Supervisor,
    observer::Observer,
};

use super::{
    clerk,
    client::{Events, find, get, post, tree},
    shop,
};
use crate::{
    crash::script::{Script, add, ask, asked, counted, crash, inc, job, serves, soon, stop, tell, wait_at},
    support::Gate,
};

both! {
    async fn the_tree_stands_there_as_it_is() {
        let couriers = DynamicSupervisor::builder().id("couriers");
        let inner = Supervisor::builder().id("inner").strategy(Strategy::RestForOne).child(clerk("oven")).child(couriers);
        let sweep = ChildSpec::task("sweep", pending);
        let outer = Supervisor::builder().id("outer").strategy(Strategy::OneForAll).child(clerk("till")).child(inner).child(sweep);
        let outer = outer.start().await.unwrap();
        let couriers = outer.supervisor("inner").unwrap().dynamic_supervisor("couriers").unwrap();
        couriers.start_child(clerk("anna")).await.unwrap();
        let observer = Observer::new().supervisor(&outer).every(Duration::from_millis(250)).start().await.unwrap();

        let picture = tree(&observer).await;
        assert_eq!((&picture["every_ms"], &picture["read_only"]), (&250.into(), &false.into()));
        assert_eq!(picture["roots"].as_array().unwrap().len(), 1);
        for (id, kind, strategy, children) in [
            ("outer", "supervisor", Some("one_for_all"), 3),
            ("till", "server", None, 0),
            ("inner", "supervisor", Some("rest_for_one"), 2),
            ("oven", "server", None, 0),
            ("couriers", "supervisor", Some("dynamic"), 1),
            ("anna", "server", None, 0),
            ("sweep", "task", None, 0),
        ] {
            let node = find(&picture, id).unwrap();
            assert_eq!((node["kind"].as_str(), node["strategy"].as_str()), (Some(kind), strategy), "{id}");
            assert_eq!((node["children"].as_array().unwrap().len(), &node["status"]), (children, &"running".into()), "{id}");
            let is_server = kind == "server";
            assert_eq!((node["type"].is_string(), node["statistics"].is_object()), (is_server, is_server), "{id}");
            assert_eq!(node["incarnation"], u64::from(is_server), "{id}");
        }
        assert!(find(&picture, "till").unwrap()["type"].as_str().unwrap().ends_with("Script<u64>"));
        let at = picture["at_ms"].as_u64().unwrap();
        assert!(tree(&observer).await["at_ms"].as_u64().unwrap() >= at);
        outer.stop().await.unwrap();
    }

    async fn the_counters_move() {
        let shop = shop().await;
        let till = shop.server::<Script<u64>>("till").unwrap();
        let observer = Observer::new().supervisor(&shop).start().await.unwrap();
        let gate = Gate::new();
        ask(&till, add).await;
        ask(&till, add).await;
        let report = crash(&till).await;
        serves(&till, 2).await;
        tell(&till, wait_at(&gate)).await;
        gate.arrived().await;
        tell(&till, inc()).await;
        tell(&till, inc()).await;

        let picture = tree(&observer).await;
        let node = find(&picture, "till").unwrap();
        let counted = &node["statistics"];
        let numbers = ["messages_in", "replies_out", "commits", "crashes", "restarts", "zombies", "fenced", "mailbox_len"];
        assert_eq!(numbers.map(|name| counted[name].as_u64().unwrap()), [4, 2, 2, 1, 1, 0, 0, 2]);
        assert_eq!((&node["incarnation"], &node["version"]), (&2.into(), &2.into()));
        let last = &node["last_crash"];
        assert_eq!(last["message"], report.message());
        assert_eq!((&last["kind"], &last["callback"]), (&"panic".into(), &"handle_call".into()));
        assert_eq!((&last["incarnation"], &last["version"]), (&1.into(), &2.into()));
        assert!(find(&picture, "stock").unwrap()["last_crash"].is_null());
        gate.open();
        shop.stop().await.unwrap();
    }

    async fn each_is_shown_once() {
        let names = Registry::new();
        let shop = Supervisor::builder().id("shop").child(clerk("till").name_in(&names, "till")).start().await.unwrap();
        let outer = Supervisor::builder().id("outer").child(Supervisor::builder().id("inner").child(clerk("oven")));
        let outer = outer.start().await.unwrap();
        let inner = outer.supervisor("inner").unwrap();
        let till = shop.server::<Script<u64>>("till").unwrap();
        let radio = clerk("").name_in(&names, "radio").start().await.unwrap();
        let clock = clerk("").name_in(&names, "clock").start().await.unwrap();
        let observer = Observer::new().registry(&names).server(&radio).server(&till).supervisor(&inner)
            .supervisor(&shop).supervisor(&outer).supervisor(&shop).start().await.unwrap();

        let picture = tree(&observer).await;
        let roots = picture["roots"].as_array().unwrap();
        let roots: Vec<_> = roots.iter().map(|root| root["id"].as_str().unwrap()).collect();
        assert_eq!(roots, ["shop", "outer", "radio", "registry"]);
        let named = find(&picture, "registry").unwrap()["children"].as_array().unwrap();
        let named: Vec<_> = named.iter().map(|node| node["name"].as_str().unwrap()).collect();
        assert_eq!(named, ["clock"]);
        for server in [&radio, &clock] {
            stop(server).await;
        }
        shop.stop().await.unwrap();
        outer.stop().await.unwrap();
    }

    async fn who_comes_is_shown_and_who_goes_is_not() {
        let names = Registry::new();
        let couriers = DynamicSupervisor::builder().id("couriers").start().await.unwrap();
        let lines = PartitionSupervisor::new(2, |_| ServerSpec::new(Script::new(), 0_u64)).start().await.unwrap();
        let observer = Observer::new().registry(&names).dynamic_supervisor(&couriers).partition_supervisor(&lines)
            .start().await.unwrap();
        let picture = tree(&observer).await;
        assert!(find(&picture, "anna").is_none() && find(&picture, "radio").is_none());
        assert!(find(&picture, "0").is_some() && find(&picture, "1").is_some());

        let anna = couriers.start_child(clerk("anna")).await.unwrap();
        let radio = clerk("").name_in(&names, "radio").start().await.unwrap();
        let picture = tree(&observer).await;
        assert!(find(&picture, "anna").is_some() && find(&picture, "radio").is_some());

        stop(&anna).await;
        stop(&radio).await;
        soon(async { while !couriers.children().is_empty() { tokio::task::yield_now().await } }).await;
        let picture = tree(&observer).await;
        assert!(find(&picture, "anna").is_none() && find(&picture, "radio").is_none());
        couriers.stop().await.unwrap();
        lines.supervisor().stop().await.unwrap();
    }

    async fn a_server_that_is_over_is_shown_as_it_was_last() {
        let radio = clerk("").start().await.unwrap();
        let observer = Observer::new().server(&radio).start().await.unwrap();
        ask(&radio, add).await;
        stop(&radio).await;
        let picture = tree(&observer).await;
        let node = &picture["roots"][0];
        assert_eq!((&node["status"], &node["version"]), (&"terminated".into(), &1.into()));
        assert_eq!(node["statistics"]["replies_out"], 1);
    }

    async fn texts_that_would_break_out_arrive_as_they_are() {
        const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\r\n\r\ndata: {}\n\nid: 1\0\u{202e}\u{2028}\"'&<";
        let radio = ServerSpec::new(Script::new(), 0_u64).name_in(&Registry::new(), HOSTILE).start().await.unwrap();
        let observer = Observer::new().server(&radio).every(Duration::from_millis(1)).start().await.unwrap();
        let fails = asked(job(|_| Err(Crash::msg(HOSTILE))));
        assert!(soon(radio.call(fails)).await.is_err());
        counted(&radio, |counted| counted.restarts == 1).await;

        let mut events = Events::of(&observer).await;
        for picture in [tree(&observer).await, events.next().await.unwrap(), events.next().await.unwrap()] {
            let node = &picture["roots"][0];
            assert_eq!((&node["name"], &node["last_crash"]["message"]), (&HOSTILE.into(), &HOSTILE.into()));
        }
        let page = get(&observer, "/").await.body;
        assert!(!page.contains("alert(1)"), "the page knows nothing of any server");
        let refused = post(&observer, "/api/servers/%22%3Cb%3E%0A/suspend").await;
        assert_eq!((refused.status, refused.header("content-type")), (404, Some("application/json")));
        stop(&radio).await;
    }

    async fn of_a_long_text_the_beginning_is_shown() {
        let radio = clerk("").start().await.unwrap();
        let observer = Observer::new().server(&radio).start().await.unwrap();
        let fails = asked(job(|_| Err(Crash::msg("ä".repeat(1_000_000)))));
        assert!(soon(radio.call(fails)).await.is_err());
        counted(&radio, |counted| counted.restarts == 1).await;
        let picture = tree(&observer).await;
        let shown = picture["roots"][0]["last_crash"]["message"].as_str().unwrap();
        assert_eq!(shown, format!("{}… (2000000 bytes in all)", "ä".repeat(2_000)));
        stop(&radio).await;
    }
}
