//! The gauges: how many servers there are, and how many messages wait.

use std::time::Duration;

use undying::{DynamicSupervisor, RestartPolicy, ServerSpec, Supervisor};

use super::{Meter, spec};
use crate::{
    crash::script::{Script, add, ask, crash, inc, serves, soon, stop, tell, wait_at},
    support::{Gate, inject, quiet, until},
};

const TYPE: &str = "it::crash::script::Script<u64>";

both! {
    /// TE29: a server is alive from its start to its end, and no crash in between is an end.
    async fn servers_are_counted_while_they_live() {
        let (meter, listener) = Meter::new();
        let alive = || meter.number("undying.servers{server=a}");
        assert_eq!(alive(), 0);
        let one = spec("a", &listener).start().await.expect("it starts");
        until("the first is counted", || alive() == 1).await;
        let two = spec("a", &listener).start().await.expect("it starts");
        until("the second is counted", || alive() == 2).await;
        crash(&one).await;
        serves(&one, 2).await;
        stop(&one).await;
        assert_eq!(alive(), 1);
        two.kill();
        soon(two.stopped()).await;
        assert_eq!(alive(), 0);
    }

    /// TE30: a start that fails is no server.
    async fn a_start_that_fails_is_not_counted() {
        let (meter, listener) = Meter::new();
        for _ in 0..3 {
            let script = Script::<u64>::new().on_init(|_| inject());
            let spec = ServerSpec::new(script, 0).listener(listener.clone());
            spec.start().await.expect_err("init panics");
        }
        assert_eq!(meter.all("undying.servers"), []);
        assert_eq!(meter.number(&format!("undying.callbacks{{server={TYPE},callback=init}}")), 3);
    }

    /// TE31: a server that its supervisor gives another life is one server, life after life, and none at last.
    async fn another_life_is_the_same_server() {
        let (meter, listener) = Meter::new();
        for preserved in [false, true] {
            let spec = ServerSpec::new(Script::new(), 0_u64).restart(RestartPolicy::Permanent).id("child");
            let spec = spec.preserve_on_escalation(preserved);
            let tree = Supervisor::builder().listener(listener.clone()).child(spec).start().await;
            let tree = tree.expect("it starts");
            let server = tree.server::<Script<u64>>("child").expect("it is there");
            for life in 1..=3 {
                let before = server.incarnation();
                server.kill();
                serves(&server, before + 1).await;
                until("the life is counted", || {
                    meter.number(&format!("undying.exits{{server={TYPE},reason=killed}}")) % 3 == life % 3
                        && meter.number(&format!("undying.servers{{server={TYPE}}}")) == 1
                })
                .await;
            }
            soon(tree.stop()).await.expect("it stops");
            assert_eq!(meter.all("undying.servers"), []);
        }
        assert_eq!(meter.number(&format!("undying.exits{{server={TYPE},reason=killed}}")), 6);
        assert_eq!(meter.number(&format!("undying.exits{{server={TYPE},reason=shutdown}}")), 2);
    }

    /// TE32: the messages that wait are those of all servers of the label, as of their last callbacks; with a server, its own are
    /// gone.
    async fn messages_that_wait_are_counted() {
        let (meter, listener) = Meter::new();
        let waiting = || meter.number("undying.mailbox.length{server=a}");
        let (gate, other_gate) = (Gate::new(), Gate::new());
        let one = spec("a", &listener).start().await.expect("it starts");
        let two = spec("a", &listener).start().await.expect("it starts");
        for (server, gate, behind) in [(&one, &gate, 4), (&two, &other_gate, 2)] {
            tell(server, wait_at(gate)).await;
            gate.arrived().await;
            // One more that waits at the gate, so that the test sees the server with the others behind it.
            tell(server, wait_at(gate)).await;
            for _ in 0..behind {
                tell(server, inc()).await;
            }
            gate.open();
            gate.arrived().await;
        }
        // As of the end of the callback before: the second that waits was queued then, too.
        assert_eq!(waiting(), 5 + 3);
        gate.open();
        assert_eq!(ask(&one, add).await, 5);
        until("the first has none", || waiting() == 3).await;
        two.kill();
        soon(two.stopped()).await;
        assert_eq!(waiting(), 0);
        stop(&one).await;
        assert_eq!(waiting(), 0);
    }
}

/// TE33: servers whose runtime is shut down under them are not alive for ever.
#[test]
fn what_goes_with_its_runtime_is_not_counted_for_ever() {
    quiet();
    let (meter, listener) = Meter::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let gate = Gate::new();
    let server = runtime.block_on(async {
        let server = spec("a", &listener).start().await.expect("it starts");
        for _ in 0..2 {
            tell(&server, wait_at(&gate)).await;
        }
        gate.arrived().await;
        tell(&server, inc()).await;
        gate.open();
        gate.arrived().await;
        until("it is alive", || meter.number("undying.servers{server=a}") == 1).await;
        // The one that was about to be taken may count or not.
        assert_ne!(meter.number("undying.mailbox.length{server=a}"), 0);
        server
    });
    runtime.shutdown_timeout(Duration::from_secs(20));
    drop(server);
    assert_eq!((meter.all("undying.servers"), meter.all("undying.mailbox.length")), (vec![], vec![]));
}

/// TE47: a listener keeps nothing of servers that are gone, however many there were.
#[tokio::test]
async fn nothing_is_kept_of_servers_that_are_gone() {
    quiet();
    let (_meter, listener) = Meter::new();
    for _ in 0..50 {
        let server = spec("a", &listener).start().await.expect("it starts");
        crash(&server).await;
        stop(&server).await;
    }
    until("all are gone", || format!("{listener:?}").contains("labels: 1, servers: 0")).await;
}

/// TE34: with its children the gauge of a dynamic supervisor comes and goes.
#[tokio::test]
async fn children_that_come_and_go_are_counted() {
    quiet();
    let (meter, listener) = Meter::new();
    let children = DynamicSupervisor::builder().listener(listener).start().await.expect("it starts");
    let alive = || meter.number(&format!("undying.servers{{server={TYPE}}}"));
    for _ in 0..3 {
        for _ in 0..20 {
            children.start_child(ServerSpec::new(Script::new(), 0_u64)).await.expect("it starts");
        }
        until("all are counted", || alive() == 20).await;
        for server in children.servers() {
            children.terminate_child(server.id()).await.expect("it is there");
        }
        until("none is counted", || alive() == 0).await;
    }
    assert_eq!(meter.number(&format!("undying.exits{{server={TYPE},reason=shutdown}}")), 60);
    soon(children.stop()).await.expect("it stops");
}
