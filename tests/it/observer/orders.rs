//! What the buttons do.

use undying::{DynamicSupervisor, ExitReason, Registry, RestartPolicy, Status, observer::Observer};

use super::{
    clerk,
    client::{find, get, number, post, tree},
    shop,
};
use crate::crash::script::{Script, add, ask, inc, serves, soon, stop, tell};

both! {
    async fn suspend_and_resume() {
        let shop = shop().await;
        let till = shop.server::<Script<u64>>("till").unwrap();
        let observer = Observer::new().supervisor(&shop).start().await.unwrap();
        let id = number(&observer, "till").await;
        for _ in 0..2 {
            let answer = post(&observer, &format!("/api/servers/{id}/suspend")).await;
            let node = answer.json();
            assert_eq!((answer.status, &node["server"], &node["status"]), (200, &id.as_str().into(), &"suspended".into()));
        }
        assert_eq!(till.status(), Status::Suspended);
        tell(&till, inc()).await;
        let picture = tree(&observer).await;
        let node = find(&picture, "till").unwrap();
        assert_eq!((&node["status"], &node["statistics"]["mailbox_len"]), (&"suspended".into(), &1.into()));
        assert_eq!(find(&picture, "stock").unwrap()["status"], "running", "nobody else is concerned");

        for _ in 0..2 {
            let answer = post(&observer, &format!("/api/servers/{id}/resume")).await;
            assert_eq!((answer.status, &answer.json()["status"]), (200, &"running".into()));
        }
        assert_eq!(ask(&till, add).await, 2);
        shop.stop().await.unwrap();
    }

    async fn kill_worker_leaves_the_state() {
        let shop = shop().await;
        let till = shop.server::<Script<u64>>("till").unwrap();
        let observer = Observer::new().supervisor(&shop).start().await.unwrap();
        ask(&till, add).await;
        let id = number(&observer, "till").await;
        let answer = post(&observer, &format!("/api/servers/{id}/kill-worker")).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &"till".into()));
        serves(&till, 2).await;
        assert_eq!(find(&tree(&observer).await, "till").unwrap()["last_crash"]["kind"], "kill");
        assert_eq!(ask(&till, add).await, 2);
        let stock = shop.server::<Script<u64>>("stock").unwrap();
        assert_eq!(stock.incarnation(), 1, "nobody else is concerned");
        shop.stop().await.unwrap();
    }

    async fn every_source_is_looked_through() {
        let names = Registry::new();
        let couriers = DynamicSupervisor::builder().start().await.unwrap();
        let anna = couriers.start_child(clerk("anna")).await.unwrap();
        let named = clerk("").name_in(&names, "radio").start().await.unwrap();
        let alone = clerk("").start().await.unwrap();
        let observer = Observer::new().dynamic_supervisor(&couriers).registry(&names).server(&alone).start().await.unwrap();
        for server in [&anna, &named, &alone] {
            let id = server.id().to_string();
            let answer = post(&observer, &format!("/api/servers/{}/suspend", &id[1..])).await;
            assert_eq!((answer.status, server.status()), (200, Status::Suspended));
        }
        stop(&named).await;
        stop(&alone).await;
        couriers.stop().await.unwrap();
    }

    async fn what_is_not_there_is_not_found() {
        let shop = shop().await;
        let observer = Observer::new().supervisor(&shop).start().await.unwrap();
        let stranger = clerk("").start().await.unwrap();
        let stranger_id = stranger.id().to_string();
        let id = number(&observer, "till").await;
        let supervisor = number(&observer, "shop").await;
        let unknown = |id: &str| format!("there is no server with the number {id:?}");
        let nothing = "there is nothing at this address".to_owned();
        for (path, why) in [
            ("/api/servers/0/suspend".into(), unknown("0")),
            ("/api/servers/till/suspend".into(), unknown("till")),
            (format!("/api/servers/{}/kill-worker", &stranger_id[1..]), unknown(&stranger_id[1..])),
            (format!("/api/servers/{supervisor}/suspend"), unknown(&supervisor)),
            (format!("/api/servers/{id}/kill"), nothing.clone()),
            (format!("/api/servers/{id}"), nothing.clone()),
            ("/api/servers/%ff/suspend".into(), nothing.clone()),
            ("/favicon.ico".into(), nothing),
        ] {
            let answer = post(&observer, &path).await;
            assert_eq!((answer.status, answer.error()), (404, why), "{path}");
        }
        let wrong = [get(&observer, &format!("/api/servers/{id}/suspend")).await, post(&observer, "/api/tree").await];
        for answer in wrong {
            assert_eq!((answer.status, answer.error().as_str()), (405, "this address does not take that method"));
        }
        assert_eq!((stranger.incarnation(), stranger.status()), (1, Status::Running));
        stop(&stranger).await;
        shop.stop().await.unwrap();
    }

    async fn a_server_that_is_over_takes_no_orders() {
        let alone = clerk("").restart(RestartPolicy::Temporary).start().await.unwrap();
        let observer = Observer::new().server(&alone).start().await.unwrap();
        let id = number(&observer, &alone.id().to_string()).await;
        alone.kill();
        assert!(matches!(soon(alone.stopped()).await.reason, ExitReason::Killed));
        for order in ["suspend", "resume", "kill-worker"] {
            let answer = post(&observer, &format!("/api/servers/{id}/{order}")).await;
            assert_eq!((answer.status, answer.error()), (409, format!("server #{id} is over")));
        }
    }

    async fn a_read_only_one_takes_no_orders() {
        let shop = shop().await;
        let observer = Observer::new().supervisor(&shop).read_only(true).start().await.unwrap();
        assert_eq!(tree(&observer).await["read_only"], true);
        let id = number(&observer, "till").await;
        for order in ["suspend", "resume", "kill-worker"] {
            let answer = post(&observer, &format!("/api/servers/{id}/{order}")).await;
            assert_eq!((answer.status, answer.error().contains("read-only")), (403, true));
        }
        let till = shop.server::<Script<u64>>("till").unwrap();
        assert_eq!((till.incarnation(), till.status()), (1, Status::Running));
        shop.stop().await.unwrap();
    }
}
