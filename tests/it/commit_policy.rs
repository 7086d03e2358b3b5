//! When a state is kept: the looser the policy, the more a crash costs, and it is exactly the callbacks since the last
//! commit.

mod always;
mod model;

use std::time::Duration;

use undying::{CommitPolicy, Crash, Kept, Next, Reply, ServerRef, ServerSpec, StartError, SysError};

use crate::{
    crash::{
        script::{Job, Script, add, ask, crash, get, inc, job, serves, slow, soon, statistics, stop, tell},
        tape::{Event, rest, tape},
    },
    support::{Gate, inject, quiet},
};

fn counter(policy: CommitPolicy) -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0).commit(policy).max_restarts(u32::MAX, Duration::from_secs(1))
}

async fn start(policy: CommitPolicy) -> ServerRef<Script<u64>> {
    counter(policy).start().await.expect("it starts")
}

/// Adds one, asks for a commit, and answers with the sum.
fn add_and_commit(reply: Reply<u64>) -> Job<u64> {
    slow(move |mut state, cx| {
        Box::pin(async move {
            *state += 1;
            cx.commit();
            reply.send(*state);
            Ok(Next::Wait)
        })
    })
}

/// Asks for a commit and changes nothing.
fn commit(reply: Reply<()>) -> Job<u64> {
    slow(move |_, cx| {
        Box::pin(async move {
            cx.commit();
            reply.send(());
            Ok(Next::Wait)
        })
    })
}

/// Adds `n` times one.
async fn add_times(server: &ServerRef<Script<u64>>, n: u64) {
    for _ in 0..n {
        ask(server, add).await;
    }
}

/// What is kept, and its version.
fn kept(server: &ServerRef<Script<u64>>) -> (u64, u64) {
    let kept = server.peek();
    (*kept, kept.version())
}

/// The state as the next callback would see it.
async fn working(server: &ServerRef<Script<u64>>) -> u64 {
    let state: Result<Kept<Script<u64>>, SysError> = soon(server.sys().state()).await;
    *state.expect("a server")
}

/// How an incarnation can come to its end without having been told to.
#[derive(Clone, Copy, Debug)]
enum End {
    Panic,
    Fail,
    Kill,
    KillInCallback,
}

const ENDS: [End; 4] = [End::Panic, End::Fail, End::Kill, End::KillInCallback];

impl End {
    /// Ends the incarnation that is alive, after some more changes that must not be kept, and waits for the next.
    async fn strike(self, server: &ServerRef<Script<u64>>) {
        let next = server.incarnation() + 1;
        match self {
            Self::Panic => {
                tell(
                    server,
                    job(|state| {
                        *state += 1_000;
                        inject()
                    }),
                )
                .await;
            }
            Self::Fail => {
                tell(
                    server,
                    job(|state| {
                        *state += 1_000;
                        Err(Crash::msg("test: half done"))
                    }),
                )
                .await;
            }
            Self::Kill => server.kill_worker(),
            Self::KillInCallback => {
                let gate = Gate::new();
                let at = gate.clone();
                tell(
                    server,
                    slow(move |mut state: undying::StateMut<'_, Script<u64>>, cx| {
                        Box::pin(async move {
                            *state += 1_000;
                            cx.commit();
                            at.pass().await;
                            Ok(Next::Wait)
                        })
                    }),
                )
                .await;
                soon(gate.arrived()).await;
                server.kill_worker();
            }
        }
        serves(server, next).await;
    }
}

both! {
    /// SV12: by default every callback that changed the state commits, and a crash costs none of them.
    async fn every_callback_commits_by_default() {
        for spec in [ServerSpec::new(Script::new(), 0_u64), counter(CommitPolicy::EveryCallback)] {
            let server = spec.start().await.expect("it starts");
            for (n, end) in (1..).zip(ENDS) {
                ask(&server, add).await;
                assert_eq!(kept(&server), (n, n));
                end.strike(&server).await;
                assert_eq!(ask(&server, get).await, n, "{end:?}");
            }
        }
    }

    /// SV12: `Every(1)` keeps what `EveryCallback` keeps.
    async fn every_first_callback_is_every_callback() {
        let server = start(CommitPolicy::Every(1)).await;
        for (n, end) in (1..).zip(ENDS) {
            ask(&server, add).await;
            assert_eq!(kept(&server), (n, n));
            end.strike(&server).await;
            assert_eq!((ask(&server, get).await, kept(&server)), (n, (n, n)), "{end:?}");
        }
    }

    /// SV12: `Every(3)` commits with each third callback that changed the state; a crash costs those since, and no
    /// others.
    async fn every_third_callback_commits() {
        for end in ENDS {
            let server = start(CommitPolicy::Every(3)).await;
            for n in 1..=7 {
                assert_eq!(ask(&server, add).await, n);
                assert_eq!(kept(&server), (n / 3 * 3, n / 3), "{end:?}");
                assert_eq!(working(&server).await, n);
            }
            end.strike(&server).await;
            assert_eq!((ask(&server, get).await, kept(&server)), (6, (6, 2)), "{end:?}");
            // Counted from the crash on: the lost one does not count.
            add_times(&server, 2).await;
            assert_eq!(kept(&server), (6, 2), "{end:?}");
            assert_eq!(ask(&server, add).await, 9);
            assert_eq!(kept(&server), (9, 3), "{end:?}");
        }
    }

    /// SV12: callbacks that only read are not counted by `Every(n)`.
    async fn callbacks_that_change_nothing_are_not_counted() {
        let server = start(CommitPolicy::Every(2)).await;
        for n in 1..=6 {
            ask(&server, add).await;
            for _ in 0..3 {
                assert_eq!(ask(&server, get).await, n);
            }
            assert_eq!(kept(&server), (n / 2 * 2, n / 2));
        }
    }

    /// SV12: `Explicit` commits with the end of a callback that asked for it, and keeps all that was done before it; a
    /// crash costs what was done since.
    async fn an_explicit_commit_keeps_all_before_it() {
        for end in ENDS {
            let server = start(CommitPolicy::Explicit).await;
            add_times(&server, 5).await;
            assert_eq!((kept(&server), working(&server).await), ((0, 0), 5));
            assert_eq!(ask(&server, add_and_commit).await, 6);
            assert_eq!(kept(&server), (6, 1));
            add_times(&server, 4).await;
            assert_eq!((kept(&server), working(&server).await), ((6, 1), 10));
            end.strike(&server).await;
            assert_eq!((ask(&server, get).await, kept(&server)), (6, (6, 1)), "{end:?}");
            end.strike(&server).await;
            assert_eq!((ask(&server, get).await, kept(&server)), (6, (6, 1)), "{end:?}");
        }
    }

    /// SV12: the callback that asks for the commit need not change anything itself; and where nothing has changed
    /// there is nothing to commit.
    async fn a_commit_can_be_asked_for_without_a_change() {
        let server = start(CommitPolicy::Explicit).await;
        ask(&server, commit).await;
        assert_eq!(kept(&server), (0, 0));
        add_times(&server, 2).await;
        ask(&server, commit).await;
        ask(&server, commit).await;
        assert_eq!(kept(&server), (2, 1));
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 2);
    }

    /// SV12: a callback that asked for a commit and crashes commits nothing, neither its own work nor what was done
    /// before.
    async fn a_crash_takes_the_request_for_a_commit_with_it() {
        let server = start(CommitPolicy::Explicit).await;
        add_times(&server, 3).await;
        let torn: Job<u64> = slow(|mut state, cx| Box::pin(async move {
            *state += 1_000;
            cx.commit();
            inject()
        }));
        tell(&server, torn).await;
        serves(&server, 2).await;
        assert_eq!(kept(&server), (0, 0));
        // The next incarnation does not inherit it.
        add_times(&server, 3).await;
        assert_eq!(kept(&server), (0, 0));
    }

    /// SV12: answers and continues of a callback that is not committed go out as ever; a crash takes neither back.
    async fn answers_and_continues_do_not_wait_for_a_commit() {
        let server = start(CommitPolicy::Explicit).await;
        let answer = ask(&server, |reply| job(move |state| {
            *state += 1;
            reply.send(*state);
            Ok(Next::Continue(inc()))
        }))
        .await;
        assert_eq!(answer, 1);
        assert_eq!(working(&server).await, 2);
        assert_eq!(statistics(&server).await.replies_out, 1);
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 0);
    }

    /// SV12: `peek` shows the last commit, also while the server is far ahead of it; `sys().state()` the working copy.
    async fn peek_shows_the_last_commit_and_sys_the_working_copy() {
        let server = start(CommitPolicy::Every(3)).await;
        add_times(&server, 5).await;
        let state = soon(server.sys().state()).await.expect("a server");
        assert_eq!((*server.peek(), *state), (3, 5));
        // The look changes nothing, and is no commit.
        assert_eq!(kept(&server), (3, 1));
        assert_eq!(ask(&server, get).await, 5);
        assert_eq!(statistics(&server).await.commits, 1);
        End::Kill.strike(&server).await;
        assert_eq!((*server.peek(), working(&server).await), (3, 3));
        assert_eq!(*state, 5, "what was read does not change");
    }

    /// SV12 LI1 LI2: a listener is told of commits, not of callbacks, and the chain of states is unbroken.
    async fn listeners_are_told_of_commits_only() {
        let (tape, events) = tape();
        let spec = counter(CommitPolicy::Every(3)).listener(tape);
        let server = spec.start().await.expect("it starts");
        add_times(&server, 7).await;
        let report = crash(&server).await;
        assert_eq!((report.version(), report.incarnation()), (2, 1), "what it was rolled back to");
        add_times(&server, 4).await;
        stop(&server).await;
        drop(server);
        let mut changes = Vec::new();
        for event in rest(events).await {
            match event {
                Event::Changed { old, new, version, .. } => changes.push((old, new, version)),
                Event::Crashed { state, .. } => assert_eq!(state, 6),
                Event::Terminated { state, .. } => assert_eq!(state, 10),
                Event::Started | Event::Restarted { .. } => {}
            }
        }
        assert_eq!(changes, [(0, 3, 1), (3, 6, 2), (6, 9, 3), (9, 10, 4)]);
    }

    /// SV12 ST11: a commit with every zeroth callback makes no sense, and is refused.
    async fn every_zeroth_callback_is_refused() {
        let refused = counter(CommitPolicy::Every(0)).start().await;
        assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
    }
}

/// SV12 IN5: a timer armed by a callback that is not committed goes out as ever, and fires after a crash.
#[tokio::test(start_paused = true)]
async fn a_timer_does_not_wait_for_a_commit() {
    quiet();
    let server = start(CommitPolicy::Explicit).await;
    let arm: Job<u64> = slow(|mut state, cx| {
        Box::pin(async move {
            *state += 10;
            cx.send_after(Duration::from_secs(1), inc());
            Ok(Next::Wait)
        })
    });
    tell(&server, arm).await;
    assert_eq!(ask(&server, get).await, 10);
    crash(&server).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(working(&server).await, 1);
    assert_eq!(kept(&server), (0, 0));
}

/// SV12: a callback sees in its context the version it would be rolled back to.
#[tokio::test]
async fn a_callback_knows_the_version_it_would_fall_back_to() {
    quiet();
    let server = start(CommitPolicy::Every(2)).await;
    let version = |reply: Reply<u64>| -> Job<u64> {
        slow(move |_, cx| {
            Box::pin(async move {
                reply.send(cx.version());
                Ok(Next::Wait)
            })
        })
    };
    for n in 1..=5 {
        ask(&server, add).await;
        assert_eq!(ask(&server, version).await, n / 2);
    }
}
