//! Events for which the listener had no time.

use std::time::Duration;

use undying::{Overflow, Registry, ServerSpec};

use super::Meter;
use crate::{
    crash::script::{Script, crash, serves, stop},
    support::{quiet, until},
};

/// TE26: what a listener that was behind was not told is counted, and its sums are exact all the same.
#[tokio::test(start_paused = true)]
async fn lag_is_counted_and_falsifies_no_sum() {
    quiet();
    let (meter, listener) = Meter::new();
    let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&Registry::new(), "a");
    let spec = spec.listener_with(listener, 1, Overflow::Coalesce);
    let server = spec.start().await.expect("it starts");
    until("the start is told", || meter.number("undying.servers{server=a}") == 1).await;
    // The clock stands as long as anybody has something to do: so long the listener is told nothing.
    server.chaos().stall_keeper(Duration::from_secs(1));
    for _ in 0..10 {
        server.sys().replace(|state| *state += 1).await.expect("replaced");
    }
    for incarnation in 2..=6 {
        crash(&server).await;
        serves(&server, incarnation).await;
    }
    stop(&server).await;
    assert_eq!(meter.number("undying.commits{server=a}"), 10);
    assert_eq!(meter.number("undying.restarts{server=a}"), 5);
    let crashes: u64 = meter.all("undying.crashes").into_iter().map(|(_, count)| count).sum();
    assert_eq!(crashes, 5);
    // There was room for one event, and beyond it for the newest of each kind.
    let lagged = |event: &str| meter.number(&format!("undying.listener.lagged{{server=a,event={event}}}"));
    assert_eq!([lagged("state_changed"), lagged("crashed"), lagged("restarted")], [8, 4, 4]);
    assert_eq!(meter.number("undying.crashes{server=a,callback=_OTHER,kind=_OTHER}"), 4);
    assert_eq!(meter.measured("undying.restart.duration{server=a}").len(), 1);
}
