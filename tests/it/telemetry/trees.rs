//! One listener over a whole tree.

use std::collections::BTreeSet;

use tracing::Level;
use undying::{DynamicSupervisor, Registry, ServerSpec, Supervisor, telemetry::TracingListener};

use super::collector::Collector;
use crate::{
    crash::script::{Script, crash, inc, serves, soon, tell},
    support::quiet,
};

/// TE15: a `TracingListener` of a supervisor tells of each server below, at any depth and whenever it came, and of no other.
#[tokio::test]
async fn a_listener_over_a_tree_tells_of_each_server_below() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let names = Registry::new();
    let spec = |name: &str| ServerSpec::new(Script::new(), 0_u64).name_in(&names, name);
    let inner = Supervisor::builder().id("inner").child(spec("deep").id("deep"));
    let tree = Supervisor::builder().listener(TracingListener::default()).child(spec("shallow")).child(inner);
    let tree = tree.start().await.expect("it starts");
    let late = tree.start_child(spec("late").id("late")).await;
    late.expect("it starts");
    let elsewhere = spec("elsewhere").start().await.expect("it starts");
    for name in ["shallow", "deep", "late"] {
        let server = names.whereis::<Script<u64>>(name).expect("it is there");
        tell(&server, inc()).await;
        crash(&server).await;
        serves(&server, 2).await;
    }
    crash(&elsewhere).await;
    soon(tree.stop()).await.expect("it stops");
    let all = BTreeSet::from(["shallow", "deep", "late"].map(str::to_owned));
    for target in ["started", "state_changed", "crashed", "restarted", "terminated"] {
        let told = collector.of(&format!("undying::{target}"));
        assert_eq!(told.len(), 3, "{target}");
        let names: BTreeSet<_> = told.into_iter().map(|fields| fields["server.name"].clone()).collect();
        assert_eq!(names, all, "{target}");
    }
    soon(elsewhere.stop()).await.expect("a server");
}

/// TE16: a `TracingListener` of a registry tells of the servers that are named there, and one of a dynamic supervisor of its children.
#[tokio::test]
async fn a_listener_of_a_registry_tells_of_what_is_named_there() {
    quiet();
    let (collector, _guard) = Collector::listen(Level::TRACE);
    let names = Registry::new();
    names.listener(TracingListener::default());
    let named =
        ServerSpec::new(Script::new(), 0_u64).name_in(&names, "named").start().await.expect("it starts");
    let nameless = ServerSpec::new(Script::new(), 0_u64).start().await.expect("it starts");
    let children = DynamicSupervisor::builder().listener(TracingListener::default()).start().await;
    let children = children.expect("it starts");
    let child = children.start_child(ServerSpec::new(Script::new(), 0_u64)).await.expect("it starts");
    soon(named.stop()).await.expect("a server");
    soon(nameless.stop()).await.expect("a server");
    soon(children.stop()).await.expect("it stops");
    for target in ["undying::started", "undying::terminated"] {
        let told: BTreeSet<_> =
            collector.of(target).into_iter().map(|fields| fields["server.id"].clone()).collect();
        assert_eq!(told, BTreeSet::from([named.id().to_string(), child.id().to_string()]), "{target}");
    }
}
