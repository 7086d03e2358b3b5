//! Debug hooks: what they see, and what they cannot do.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use undying::{Callback, Next, ServerRef, SysEvent};

use crate::{
    crash::script::{Script, add, ask, get, inc, job, look, soon, start, statistics, tell},
    support::{inject, until},
};

/// What a hook has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    In(&'static str),
    Out,
    State(u64),
}

/// A place where hooks write down what they see.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Seen>>>);

impl Diary {
    fn hook(&self) -> impl Fn(&SysEvent) + Send + Sync + 'static {
        let diary = self.clone();
        move |event| {
            diary.0.lock().push(match event {
                SysEvent::In(Callback::Call) => Seen::In("call"),
                SysEvent::In(Callback::Cast) => Seen::In("cast"),
                SysEvent::In(Callback::Info) => Seen::In("info"),
                SysEvent::In(_) => Seen::In("another"),
                SysEvent::Out => Seen::Out,
                SysEvent::State { version } => Seen::State(*version),
                other => panic!("{other:?}"),
            });
        }
    }

    /// Waits for exactly these entries: `what` came first, and the others in any order.
    async fn shows(&self, what: &'static str, mut others: Vec<Seen>) {
        until("the hook has seen it", || self.0.lock().len() > others.len()).await;
        let mut seen = std::mem::take(&mut *self.0.lock());
        assert_eq!(seen.remove(0), Seen::In(what));
        seen.sort_unstable();
        others.sort_unstable();
        assert_eq!(seen, others);
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

async fn install(
    server: &ServerRef<Script<u64>>,
    id: &'static str,
    hook: impl Fn(&SysEvent) + Send + Sync + 'static,
) -> bool {
    soon(server.sys().install(id, hook)).await.expect("a server")
}

async fn remove(server: &ServerRef<Script<u64>>, id: &'static str) -> bool {
    soon(server.sys().remove(id)).await.expect("a server")
}

both! {
    /// IS9: a hook sees each message come in, each answer go out, and each change of the state with its version.
    async fn a_hook_sees_what_passes() {
        let (server, diary) = (start(0_u64).await, Diary::default());
        assert!(install(&server, "diary", diary.hook()).await);
        ask(&server, add).await;
        diary.shows("call", vec![Seen::State(1), Seen::Out]).await;
        ask(&server, get).await;
        diary.shows("call", vec![Seen::Out]).await;
        tell(&server, inc()).await;
        diary.shows("cast", vec![Seen::State(2)]).await;
        server.send(inc()).await.expect("a server");
        diary.shows("info", vec![Seen::State(3)]).await;
        tell(&server, look(|_| Ok(Next::Wait))).await;
        diary.shows("cast", vec![]).await;
        // Two answers to one message.
        let (first, second) = soon(async {
            let parked = start(Vec::new()).await;
            let park = |reply| job(move |parked: &mut Vec<undying::Reply<u64>>| {
                parked.push(reply);
                Ok(Next::Wait)
            });
            let both = Diary::default();
            assert!(soon(parked.sys().install("both", both.hook())).await.expect("a server"));
            let answer = async {
                // A hook is told after the commit: that both are in the state does not mean that it has seen all of it.
                until("both are parked, and seen to be", || both.0.lock().len() == 4).await;
                both.0.lock().clear();
                tell(&parked, job(|parked: &mut Vec<undying::Reply<u64>>| {
                    parked.drain(..).for_each(|reply| reply.send(7));
                    Ok(Next::Wait)
                }))
                .await;
            };
            let (first, second, ()) = tokio::join!(parked.call(park), parked.call(park), answer);
            both.shows("cast", vec![Seen::Out, Seen::Out, Seen::State(3)]).await;
            (first, second)
        })
        .await;
        assert!(matches!((first, second), (Ok(7), Ok(7))));
    }

    /// IS9: of a callback that crashes a hook sees that it began, and neither an answer nor a state: there was none.
    async fn a_hook_sees_nothing_of_what_a_crash_undoes() {
        let (server, diary) = (start(0_u64).await, Diary::default());
        assert!(install(&server, "diary", diary.hook()).await);
        let lost = soon(server.call(|reply| job(move |state| {
            *state += 1;
            reply.send(*state);
            inject()
        })))
        .await;
        lost.expect_err("it crashed");
        soon(server.wait_incarnation(2)).await.expect("restarts");
        let seen = std::mem::take(&mut *diary.0.lock());
        assert_eq!(seen.first(), Some(&Seen::In("call")));
        assert!(seen.iter().all(|seen| matches!(seen, Seen::In(_))), "{seen:?}");
    }

    /// IS9: an id is taken once: a second hook under it is not installed, and the first one stays.
    async fn an_id_is_taken_once() {
        let (server, first, second) = (start(0_u64).await, Diary::default(), Diary::default());
        assert!(install(&server, "one", first.hook()).await);
        assert!(!install(&server, "one", second.hook()).await);
        ask(&server, get).await;
        first.shows("call", vec![Seen::Out]).await;
        assert!(second.is_empty());
        assert!(install(&server, "two", second.hook()).await);
        ask(&server, add).await;
        first.shows("call", vec![Seen::State(1), Seen::Out]).await;
        second.shows("call", vec![Seen::State(1), Seen::Out]).await;
    }

    /// IS9: a hook that is removed sees nothing any more, its id is free, and there is nothing to remove a second time.
    async fn a_removed_hook_sees_nothing() {
        let (server, gone, stays) = (start(0_u64).await, Diary::default(), Diary::default());
        assert!(!remove(&server, "gone").await);
        assert!(install(&server, "gone", gone.hook()).await);
        assert!(install(&server, "stays", stays.hook()).await);
        ask(&server, get).await;
        gone.shows("call", vec![Seen::Out]).await;
        stays.shows("call", vec![Seen::Out]).await;
        assert!(remove(&server, "gone").await);
        ask(&server, get).await;
        stays.shows("call", vec![Seen::Out]).await;
        assert!(gone.is_empty());
        assert!(!remove(&server, "gone").await);
        assert!(install(&server, "gone", gone.hook()).await);
        ask(&server, get).await;
        gone.shows("call", vec![Seen::Out]).await;
    }

    /// IS9: a hook that panics is removed; the server has not crashed, and the other hooks see everything.
    async fn a_hook_that_panics_is_removed() {
        let (server, diary) = (start(0_u64).await, Diary::default());
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        assert!(install(&server, "bad", move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            inject()
        })
        .await);
        assert!(install(&server, "good", diary.hook()).await);
        for n in 1..=3 {
            assert_eq!(ask(&server, add).await, n);
            diary.shows("call", vec![Seen::State(n), Seen::Out]).await;
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(!remove(&server, "bad").await, "it is gone");
        assert_eq!((statistics(&server).await.crashes, server.incarnation()), (0, 1));
    }

    /// IS9: a hook that panics is not told anything more, not even of the same callback.
    async fn a_hook_that_panics_is_told_nothing_more() {
        let (server, runs) = (start(Vec::new()).await, Arc::new(AtomicUsize::new(0)));
        let park = |reply| job(move |parked: &mut Vec<undying::Reply<u64>>| {
            parked.push(reply);
            Ok(Next::Wait)
        });
        let counted = runs.clone();
        let bad = move |event: &SysEvent| {
            if let SysEvent::Out = event {
                counted.fetch_add(1, Ordering::SeqCst);
                inject()
            }
        };
        assert!(soon(server.sys().install("bad", bad)).await.expect("a server"));
        let answer = async {
            until("all three are parked", || server.peek().len() == 3).await;
            tell(&server, job(|parked: &mut Vec<undying::Reply<u64>>| {
                parked.drain(..).for_each(|reply| reply.send(7));
                Ok(Next::Wait)
            }))
            .await;
        };
        let [first, second, third] = [server.call(park), server.call(park), server.call(park)];
        let (first, second, third, ()) = soon(async { tokio::join!(first, second, third, answer) }).await;
        assert!(matches!((first, second, third), (Ok(7), Ok(7), Ok(7))));
        // Behind all that was to be told.
        assert!(ask(&server, |reply| look(move |parked: &Vec<undying::Reply<u64>>| {
            reply.send(parked.is_empty());
            Ok(Next::Wait)
        }))
        .await);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(!soon(server.sys().remove("bad")).await.expect("a server"), "it is gone");
    }

    /// IS9 K8: a hook may ask the server anything: nothing is locked while it runs.
    async fn a_hook_may_use_the_server() {
        let (server, seen) = (start(0_u64).await, Arc::new(AtomicUsize::new(0)));
        let (weak, counted) = (server.downgrade(), seen.clone());
        assert!(install(&server, "curious", move |event| {
            let Some(server) = weak.upgrade() else { return };
            if let SysEvent::State { version } = event {
                assert!(server.peek().version() >= *version && server.is_alive());
                counted.fetch_add(server.mailbox_len() + 1, Ordering::SeqCst);
                // As long as there is less than ten of it.
                if *version < 10 {
                    server.try_cast(inc()).expect("room");
                }
            }
        })
        .await);
        tell(&server, inc()).await;
        until("the tenth has come", || *server.peek() == 10).await;
        assert!(seen.load(Ordering::SeqCst) >= 9);
        assert!(remove(&server, "curious").await, "it has not panicked");
    }
}
