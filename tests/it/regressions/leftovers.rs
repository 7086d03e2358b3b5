//! What is left of a server after its end: no task, no memory, nobody who waits for it.

use std::{
    pin::{Pin, pin},
    sync::{Arc, mpsc},
};

use futures::{future::pending, poll};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use undying::{Listener, ServerRef, ServerSpec, SysError, SysEvent, Terminated};

use super::kit::{Bomb, Fallout};
use crate::{
    crash::script::{Script, add, ask, get, soon, start, stop},
    effects::{act, held, within},
    support::{RACES, quiet, until},
};

/// Has a server hold a handle to itself.
type Cling = for<'a> fn(&'a ServerRef<Script<u64>>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

const CLINGS: [Cling; 3] = [
    |server| {
        Box::pin(async move {
            let own = server.clone();
            let hook = move |_: &SysEvent| {
                let _own = &own;
            };
            assert!(soon(server.sys().install("hook", hook)).await.expect("alive"));
        })
    },
    |server| {
        Box::pin(async move {
            let own = server.clone();
            let upgraded = move || {
                let _own = &own;
                Script::new()
            };
            soon(server.sys().upgrade(upgraded, |_| Ok(()))).await.expect("alive");
        })
    },
    |server| {
        Box::pin(async move {
            let own = server.clone();
            let info = move |_| {
                let _own = &own;
                act(|_| {})
            };
            within(server, move |cx| cx.monitor(&cx.server(), info)).await;
        })
    },
];

/// A listener that blocks in the last event.
struct Slow {
    told: Mutex<Option<oneshot::Sender<()>>>,
    wall: Mutex<mpsc::Receiver<()>>,
}

impl Listener<Script<u64>> for Slow {
    fn terminated(&self, _: &Terminated<'_, Script<u64>>) {
        if let Some(told) = self.told.lock().take() {
            told.send(()).expect("the test waits for it");
        }
        // Returns an error: the test only drops the other end.
        let _ = self.wall.lock().recv();
    }
}

both! {
    /// G11 K13: when a stop resolves, the tasks of the server are gone, and what they held with them.
    async fn no_task_is_left_when_a_stop_resolves() {
        for round in 0..RACES {
            let (server, held) = (start(0_u64).await, Arc::new(()));
            let holds = held.clone();
            within(&server, move |cx| {
                for _ in 0..20 {
                    let hold = holds.clone();
                    let task = async move {
                        let _hold = hold;
                        pending::<()>().await;
                    };
                    cx.spawn(task, |_| act(|_| {}));
                }
            })
            .await;
            stop(&server).await;
            assert_eq!(Arc::strong_count(&held), 1, "in round {round}");
        }
    }

    /// G11: a server that is over is not kept in memory by a handle of its own, wherever it has put that.
    async fn a_server_that_is_over_does_not_keep_itself() {
        for cling in CLINGS {
            for upgrade_first in [false, true] {
                let server = start(0_u64).await;
                if upgrade_first {
                    soon(server.sys().upgrade(Script::new, |_| Ok(()))).await.expect("alive");
                }
                cling(&server).await;
                assert_eq!(ask(&server, add).await, 1);
                stop(&server).await;
                let weak = server.downgrade();
                drop(server);
                until("nothing is left", || weak.upgrade().is_none()).await;
            }
        }
    }

    /// K3 K13: of the requests that wait when a server is killed, the panic of one's `Drop` drops no other, and each is told.
    async fn requests_that_wait_at_the_end_are_dropped_one_by_one() {
        let (server, fallout) = (start(0_u64).await, Arc::<Fallout>::default());
        let _gate = held(&server).await;
        let sys = server.sys();
        let mut waiting: Vec<_> = (0..4)
            .map(|_| {
                let bomb = Bomb::new(&fallout);
                Box::pin(sys.replace(move |_| drop(bomb)))
            })
            .collect();
        for request in &mut waiting {
            assert!(poll!(request).is_pending());
        }
        server.kill();
        for request in waiting {
            let told = soon(request).await;
            assert!(matches!(told, Err(SysError::NoProc)), "{told:?}");
        }
        soon(server.stopped()).await;
        until("all are dropped", || fallout.dropped() == 4).await;
        assert_eq!(fallout.unwound(), 0);
    }
}

/// IS4 K13: a server that has ended and answered everybody cannot be suspended, though its listeners are still being told.
///
/// The listener blocks a thread, so that this needs the multi-thread flavour.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_server_whose_listeners_hear_of_its_end_is_not_suspended() {
    quiet();
    for kill in [false, true] {
        let ((told, hears), (open, wall)) = (oneshot::channel(), mpsc::channel());
        let listener = Slow { told: Mutex::new(Some(told)), wall: Mutex::new(wall) };
        let spec = ServerSpec::new(Script::new(), 0_u64).listener(listener);
        let server = spec.start().await.expect("it starts");
        let mut end = pin!(async {
            if kill {
                server.kill();
                soon(server.stopped()).await;
            } else {
                stop(&server).await;
            }
        });
        assert!(poll!(&mut end).is_pending());
        soon(hears).await.expect("it is told");
        assert!(server.is_alive(), "all of its end is not done");
        let suspended = soon(server.sys().suspend()).await;
        assert!(matches!(suspended, Err(SysError::NoProc)), "{suspended:?}");
        let call = soon(server.call(get)).await;
        call.expect_err("it is over");
        drop(open);
        end.await;
    }
}
