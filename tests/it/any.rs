//! Servers whatever their type: handles to them, and who listens to all of them.

mod registries;
mod trees;

use std::{any::type_name, sync::Arc, time::Duration};

use parking_lot::Mutex;
use undying::{
    AnyEvent, AnyEventKind, AnyListener, AnyServerRef, Callback, ExitReason, Registry, ServerId, ServerRef,
    ServerSpec, Status, Supervisor,
};

use crate::{
    crash::script::{Script, add, ask, crash, get, inc, serves, soon, start, stop, tell, wait_at},
    effects::held,
    support::{Gate, until},
};

/// What happened to servers, as one line each: the number of the server and what is said of it.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(ServerId, String)>>>);

impl Notes {
    fn of(&self, server: ServerId) -> Vec<String> {
        self.0.lock().iter().filter(|(of, _)| *of == server).map(|(_, line)| line.clone()).collect()
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl AnyListener for Notes {
    fn event(&self, event: &AnyEvent<'_>) {
        let state = || event.state::<u64>().map_or_else(|| "?".to_owned(), u64::to_string);
        let line = match &event.kind {
            AnyEventKind::Started => format!("started {}", state()),
            AnyEventKind::StateChanged { version, lagged: 0, .. } => {
                let old = event.old::<u64>().map_or_else(|| "?".to_owned(), u64::to_string);
                format!("{old} to {} v{version}", state())
            }
            AnyEventKind::Crashed { report, abandoned: false, lagged: 0, .. } => {
                format!("crashed in {} at {}", report.callback(), state())
            }
            AnyEventKind::Restarted { incarnation, lagged: 0, .. } => format!("restarted {incarnation}"),
            AnyEventKind::Terminated { reason, .. } => format!("terminated {reason} at {}", state()),
            other => format!("{other:?}"),
        };
        self.0.lock().push((event.server.id(), line));
    }
}

both! {
    /// AN1: a handle without a type tells what one with a type tells, at every stage.
    async fn a_handle_without_a_type_tells_the_same() {
        let names = Registry::new();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .name_in(&names, "counter")
            .start()
            .await
            .expect("it starts");
        let any = AnyServerRef::from(&server);
        let same = || {
            assert_eq!((any.id(), any.name()), (server.id(), server.name()));
            assert_eq!((any.status(), any.is_alive()), (server.status(), server.is_alive()));
            assert_eq!((any.incarnation(), any.version()), (server.incarnation(), server.peek().version()));
            assert_eq!(any.mailbox_len(), server.mailbox_len());
        };
        assert_eq!((any.name(), any.type_name()), (Some("counter"), type_name::<Script<u64>>()));
        same();
        assert!(any.last_crash().is_none());
        assert_eq!(ask(&server, add).await, 1);
        same();
        let gate = Gate::new();
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        for _ in 0..3 {
            tell(&server, inc()).await;
        }
        assert_eq!(any.mailbox_len(), 3);
        same();
        gate.open();
        assert_eq!(ask(&server, get).await, 4);
        let report = crash(&server).await;
        serves(&server, 2).await;
        same();
        let last = any.last_crash().expect("a crash");
        assert_eq!((last.message(), last.callback()), (report.message(), report.callback()));
        let statistics = any.statistics();
        assert_eq!((statistics.commits, statistics.crashes, statistics.restarts), (4, 1, 1));
        stop(&server).await;
        same();
        assert_eq!(any.status(), Status::Terminated);
    }

    /// AN1: a handle without a type can kill a worker, suspend a server and let it go on.
    async fn a_handle_without_a_type_gives_orders() {
        let server = start(0_u64).await;
        let any = AnyServerRef::from(server.clone());
        any.kill_worker();
        serves(&server, 2).await;
        any.suspend();
        any.suspend();
        assert_eq!(any.status(), Status::Suspended);
        tell(&server, inc()).await;
        let late = soon(server.call(get).timeout(Duration::from_millis(5))).await;
        assert!(late.is_err(), "{late:?}");
        assert_eq!(*server.peek(), 0);
        any.resume();
        assert_eq!(ask(&server, get).await, 1);
    }

    /// AN1: suspended from without a type, a server that is busy ends its callback first, and the order waits for nobody.
    async fn a_suspension_from_outside_does_not_wait() {
        let server = start(0_u64).await;
        let gate = held(&server).await;
        AnyServerRef::from(&server).suspend();
        tell(&server, inc()).await;
        gate.open();
        until("the callback has ended", || server.status() == Status::Suspended).await;
        soon(server.sys().replace(|state| *state += 10)).await.expect("replaced");
        assert_eq!(*server.peek(), 10);
        server.sys().resume().await.expect("resumed");
        assert_eq!(ask(&server, get).await, 11);
    }

    /// AN2: the way back to the type is open for that type only.
    async fn the_type_is_found_again() {
        let (counter, text) = (start(3_u64).await, start(String::from("three")).await);
        let all = [AnyServerRef::from(&counter), AnyServerRef::from(&text)];
        assert!(all[0].downcast::<Script<String>>().is_none() && all[1].downcast::<Script<u64>>().is_none());
        let again = all[0].downcast::<Script<u64>>().expect("a counter");
        assert_eq!((again.id(), ask(&again, add).await), (counter.id(), 4));
        assert_eq!(*all[1].downcast::<Script<String>>().expect("a text").peek(), "three");
        assert_ne!(all[0].id(), all[1].id());
        let read = format!("{:?}", all[0]);
        assert!(read.contains(&format!("{:?}", counter.id())), "{read}");
    }

    /// AN3: a handle to a server that is over tells of its end, and its orders do nothing; it holds no task and no name.
    async fn a_server_that_is_over_is_still_told_of() {
        let names = Registry::new();
        let server = ServerSpec::new(Script::new(), 0_u64)
            .name_in(&names, "over")
            .start()
            .await
            .expect("it starts");
        assert_eq!(ask(&server, add).await, 1);
        let any = AnyServerRef::from(&server);
        let memory = server.downgrade();
        stop(&server).await;
        drop(server);
        any.kill_worker();
        any.suspend();
        any.resume();
        assert_eq!((any.status(), any.is_alive()), (Status::Terminated, false));
        assert_eq!((any.name(), any.incarnation(), any.version(), any.mailbox_len()), (Some("over"), 1, 1, 0));
        let statistics = any.statistics();
        assert_eq!((statistics.messages_in, statistics.commits, statistics.crashes), (1, 1, 0));
        assert!(names.servers().is_empty() && names.names().is_empty());
        let again = any.downcast::<Script<u64>>().expect("a counter");
        let exit = soon(again.stopped()).await;
        assert!(matches!((&exit.reason, *exit.state), (ExitReason::Normal, 1)), "{exit:?}");
        drop((any, again, exit));
        until("it is freed", || memory.upgrade().is_none()).await;
    }

    /// AN4: the servers of a tree come in the order of the drawing, with their statistics and last crashes.
    async fn the_servers_of_a_tree_are_listed() {
        let count = |id: &str| ServerSpec::new(Script::new(), 0_u64).id(id);
        let inner = Supervisor::builder().id("inner").child(count("c")).child(count("d"));
        let top = Supervisor::builder().child(count("a")).child(inner).child(count("b")).start().await;
        let top = top.expect("it starts");
        let servers = top.servers();
        let (a, b) = (top.server::<Script<u64>>("a").expect("a"), top.server::<Script<u64>>("b").expect("b"));
        let inner = top.supervisor("inner").expect("a supervisor");
        let [c, d] = ["c", "d"].map(|id| inner.server::<Script<u64>>(id).expect("a child"));
        let expected = [a.id(), c.id(), d.id(), b.id()];
        assert!(servers.iter().map(AnyServerRef::id).eq(expected));
        assert!(inner.servers().iter().map(AnyServerRef::id).eq([c.id(), d.id()]));
        for server in &servers {
            server.kill_worker();
        }
        for server in [&a, &b, &c, &d] {
            serves(server, 2).await;
        }
        assert!(servers.iter().all(|server| {
            server.statistics().crashes == 1
                && server.last_crash().is_some_and(|report| report.callback() == Callback::Idle)
        }));
        soon(top.stop()).await.expect("it stops");
        assert!(servers.iter().all(|server| !server.is_alive()));
    }

    /// AN4: those of a registry are those with a name in it.
    async fn the_servers_of_a_registry_are_listed() {
        let names = Registry::new();
        let mut servers = Vec::new();
        for name in ["x", "y", "z"] {
            let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&names, name);
            servers.push(spec.start().await.expect("it starts"));
        }
        let _other = start(0_u64).await;
        let mut listed: Vec<_> = names.servers().iter().map(AnyServerRef::id).collect();
        listed.sort_unstable();
        let mut expected: Vec<_> = servers.iter().map(ServerRef::id).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected);
        stop(&servers[0]).await;
        assert_eq!(names.servers().len(), 2);
    }
}
