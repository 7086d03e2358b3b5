//! What is done to so many. Each gives the nanoseconds that one took.

use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use undying::{DynamicSupervisor, Registry, ServerRef, ServerSpec};

use crate::{
    counter::{Cast, Counter, call, start},
    raw,
};

/// Runs on a runtime of its own, whose end is the end of all that is left.
fn each(n: usize, workload: impl Future<Output = Duration>) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(workload).as_nanos() as f64 / n as f64
}

async fn servers(n: usize) -> Vec<ServerRef<Counter>> {
    let mut servers = Vec::with_capacity(n);
    for _ in 0..n {
        servers.push(start().await);
    }
    servers
}

pub(crate) fn starts(n: usize) -> f64 {
    each(n, async {
        let began = Instant::now();
        let servers = servers(n).await;
        let took = began.elapsed();
        assert!(servers.iter().all(ServerRef::is_alive));
        took
    })
}

/// Has all of them crash before the first one can be served again, then calls all.
pub(crate) fn crashes(n: usize) -> f64 {
    each(n, async {
        let servers = servers(n).await;
        let began = Instant::now();
        for server in &servers {
            server.cast(Cast::Crash).await.expect("it runs");
        }
        for server in &servers {
            assert_eq!(call(server).await, 1);
        }
        let took = began.elapsed();
        assert!(servers.iter().all(|server| server.incarnation() == 2));
        took
    })
}

/// The second call to each: the first one has allocated what calls need.
pub(crate) fn calls(n: usize) -> f64 {
    each(n, async {
        let servers = servers(n).await;
        for server in &servers {
            assert_eq!(call(server).await, 1);
        }
        let began = Instant::now();
        for server in &servers {
            assert_eq!(call(server).await, 2);
        }
        began.elapsed()
    })
}

/// The same by hand. What so many cost because they do not fit into the caches, they cost here, too.
pub(crate) fn bare_calls(n: usize) -> f64 {
    each(n, async {
        let channels: Vec<_> = (0..n).map(|_| raw::start()).collect();
        for channel in &channels {
            assert_eq!(raw::call(channel).await, 1);
        }
        let began = Instant::now();
        for channel in &channels {
            assert_eq!(raw::call(channel).await, 2);
        }
        began.elapsed()
    })
}

/// Casts that are sent before the first one is handled.
pub(crate) fn queued(n: usize) -> f64 {
    each(n, async {
        let server = start().await;
        let began = Instant::now();
        for _ in 0..n {
            server.cast(Cast::Count).await.expect("it runs");
        }
        let last = call(&server).await;
        let took = began.elapsed();
        assert_eq!(last, n as u64 + 1);
        took
    })
}

pub(crate) fn names(n: usize) -> f64 {
    each(n, async {
        let (registry, server) = (Registry::new(), start().await);
        let names: Vec<String> = (0..n).map(|number| format!("server {number}")).collect();
        let began = Instant::now();
        for name in &names {
            registry.register(name, &server).expect("the name is free");
        }
        for name in &names {
            registry.whereis::<Counter>(name).expect("it is there");
        }
        let took = began.elapsed();
        assert_eq!(registry.names().len(), n);
        took
    })
}

pub(crate) fn children(n: usize) -> f64 {
    each(n, async {
        let supervisor = DynamicSupervisor::builder().start().await.expect("it starts");
        let began = Instant::now();
        for _ in 0..n {
            supervisor.start_child(ServerSpec::new(Counter, 0)).await.expect("it starts");
        }
        let took = began.elapsed();
        assert_eq!(supervisor.count().active, n);
        took
    })
}

/// Kills all children, then waits for their next lives.
pub(crate) fn restarts(n: usize) -> f64 {
    each(n, async {
        let supervisor = DynamicSupervisor::builder().max_restarts(u32::MAX, Duration::from_secs(1));
        let supervisor = supervisor.start().await.expect("it starts");
        let mut children = Vec::with_capacity(n);
        for _ in 0..n {
            children.push(supervisor.start_child(ServerSpec::new(Counter, 0)).await.expect("it starts"));
        }
        let began = Instant::now();
        children.iter().for_each(ServerRef::kill);
        for child in &children {
            child.wait_incarnation(2).await.expect("it is restarted");
        }
        began.elapsed()
    })
}
