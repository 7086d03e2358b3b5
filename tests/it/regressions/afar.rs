//! The end of a server that nobody asked to end: of the runtime it runs on, or of its supervisor. Whoever is to hear of it
//! does, elsewhere, too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures::{future::pending, stream};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use undying::{CallError, Reply, ServerRef};

use crate::{
    crash::script::{Script, inc, soon, start},
    effects::{act, within},
    support::{quiet, until},
};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// G12 K14: a runtime that goes down tells the monitors, the links and the callers of its servers on another runtime.
#[test]
fn a_runtime_that_goes_down_is_heard_of_on_another() {
    quiet();
    for round in 0..30_u64 {
        let (here, there) = (runtime(), runtime());
        let doomed = there.block_on(start(0_u64));
        let [tied, watched] = [doomed.clone(), doomed.clone()];
        let downs = Arc::new(AtomicUsize::new(0));
        let count = downs.clone();
        let (linked, calling) = here.block_on(async {
            let [linked, watching] = [start(0_u64).await, start(0_u64).await];
            within(&linked, move |cx| cx.link(&tied)).await;
            let heard = act(move |_| {
                count.fetch_add(1, SeqCst);
            });
            within(&watching, move |cx| cx.monitor(&watched, |_| heard)).await;
            let server = doomed.clone();
            let calling = tokio::spawn(async move { unanswered(&server).await });
            (linked, calling)
        });
        there.block_on(within(&doomed, |cx| {
            cx.spawn(pending::<()>(), |_| inc());
            cx.attach(stream::pending::<u64>(), |_| inc());
            cx.send_interval(Duration::from_micros(300), inc);
        }));
        thread::sleep(Duration::from_micros(round * 50));
        there.shutdown_background();
        here.block_on(async {
            soon(doomed.stopped()).await;
            soon(calling).await.expect("no panic").expect_err("it is over");
            assert!(soon(linked.stopped()).await.reason.is_abnormal());
            until("the monitor has heard", || downs.load(SeqCst) == 1).await;
            soon(doomed.sys().suspend()).await.expect_err("it is over");
            soon(doomed.sys().replace(|_| ())).await.expect_err("it is over");
            soon(doomed.cast(inc())).await.expect_err("it is over");
        });
    }
}

/// A call that nobody answers.
async fn unanswered(server: &ServerRef<Script<u64>>) -> Result<(), CallError> {
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    let call = server.call(move |reply: Reply<()>| act(move |_| *keeps.lock() = Some(reply)));
    call.no_timeout().await
}

#[cfg(feature = "chaos")]
mod supervisors {
    use tokio::task::yield_now;

    use super::*;
    use crate::crash::script::{ask, get};

    both! {
        /// K14 KF7: the death of a supervisor ends all that its server has going, and tells all who are to know.
        async fn the_death_of_a_supervisor_ends_all_that_its_server_has_going() {
            for round in 0..60 {
                let [server, linked, watching] = [start(0_u64).await, start(0_u64).await, start(0_u64).await];
                let [tied, watched] = [server.clone(), server.clone()];
                within(&linked, move |cx| cx.link(&tied)).await;
                within(&watching, move |cx| cx.monitor(&watched, |_| inc())).await;
                let held = Arc::new(());
                let hold = held.clone();
                within(&server, move |cx| {
                    let task = async move {
                        let _hold = hold;
                        pending::<()>().await;
                    };
                    cx.spawn(task, |_| inc());
                    cx.send_interval(Duration::from_micros(100), inc);
                })
                .await;
                for _ in 0..round % 20 {
                    yield_now().await;
                }
                server.chaos().kill_supervisor();
                soon(server.stopped()).await;
                assert!(soon(linked.stopped()).await.reason.is_abnormal());
                until("it is told of, and nothing is held", || *watching.peek() == 1 && Arc::strong_count(&held) == 1).await;
                assert_eq!(ask(&watching, get).await, 1);
            }
        }
    }
}
