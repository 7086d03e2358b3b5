//! What is committed whatever the policy.

use std::sync::Arc;

use parking_lot::Mutex;
use undying::{CommitPolicy, ExitReason, Next, ServerSpec};

use super::{End, add_times, kept, start};
use crate::crash::script::{Script, ask, crash, get, job, look, soon, stop, tell};

both! {
    /// SV12: what `init` and `restarted` did is committed whatever the policy.
    async fn init_and_restarted_always_commit() {
        for policy in [CommitPolicy::Every(10), CommitPolicy::Explicit] {
            let script = Script::new()
                .on_init(|state: &mut u64| {
                    *state += 10;
                    Ok(Next::Wait)
                })
                .on_restarted(|_, mut state| Box::pin(async move {
                    *state += 100;
                    Ok(Next::Wait)
                }));
            let server = ServerSpec::new(script, 0).commit(policy).start().await.expect("it starts");
            assert_eq!(kept(&server), (10, 1), "{policy:?}");
            add_times(&server, 2).await;
            assert_eq!(kept(&server), (10, 1), "{policy:?}");
            crash(&server).await;
            assert_eq!((ask(&server, get).await, kept(&server)), (110, (110, 2)), "{policy:?}");
            End::Kill.strike(&server).await;
            assert_eq!((ask(&server, get).await, kept(&server)), (210, (210, 3)), "{policy:?}");
        }
    }

    /// SV12 IS2: a state replaced from outside is committed whatever the policy, together with what was not committed
    /// yet.
    async fn a_replaced_state_is_always_committed() {
        for policy in [CommitPolicy::Every(10), CommitPolicy::Explicit] {
            let server = start(policy).await;
            add_times(&server, 4).await;
            soon(server.sys().replace(|state| *state += 50)).await.expect("a server");
            assert_eq!(kept(&server), (54, 1), "{policy:?}");
            crash(&server).await;
            assert_eq!(ask(&server, get).await, 54, "{policy:?}");
        }
    }

    /// SV12 SP7: a callback that stops, normally or not, commits whatever the policy, with all that was done before it.
    async fn a_stop_from_inside_always_commits() {
        for policy in [CommitPolicy::Every(10), CommitPolicy::Explicit] {
            for reason in [ExitReason::Normal, ExitReason::error("test: by its own will")] {
                let server = start(policy).await;
                add_times(&server, 4).await;
                let abnormal = reason.is_abnormal();
                tell(&server, job(move |state| {
                    *state += 1;
                    Ok(Next::Stop(reason))
                }))
                .await;
                if abnormal {
                    assert_eq!(ask(&server, get).await, 5, "{policy:?}");
                } else {
                    let exit = soon(server.stopped()).await;
                    assert_eq!((*exit.state, exit.state.version()), (5, 1), "{policy:?}");
                }
                assert_eq!(kept(&server), (5, 1), "{policy:?}");
            }
        }
    }

    /// SV12: a callback that stops and has changed nothing itself keeps what was done before it all the same.
    async fn a_stop_without_a_change_commits_what_was_done_before() {
        let server = start(CommitPolicy::Explicit).await;
        add_times(&server, 4).await;
        tell(&server, look(|_| Ok(Next::Stop(ExitReason::Shutdown)))).await;
        let exit = soon(server.stopped()).await;
        assert_eq!((*exit.state, exit.state.version()), (4, 1));
    }

    /// SV12 SV13: an orderly stop commits before `terminate`: that sees the whole, and so does who waits for the end.
    /// What is killed loses what was not committed.
    async fn an_orderly_stop_commits_and_a_kill_does_not() {
        for policy in [CommitPolicy::Every(10), CommitPolicy::Explicit] {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let ends = Arc::clone(&seen);
            let script = Script::new().on_terminate(move |_, state: &u64| ends.lock().push(*state));
            let spec = || ServerSpec::new(script.clone(), 0).commit(policy);
            let stopped = spec().start().await.expect("it starts");
            add_times(&stopped, 4).await;
            let exit = stop(&stopped).await;
            assert_eq!((*exit.state, exit.state.version()), (4, 1), "{policy:?}");
            assert_eq!(*seen.lock(), [4], "{policy:?}");

            let killed = spec().start().await.expect("it starts");
            add_times(&killed, 4).await;
            killed.kill();
            let exit = soon(killed.stopped()).await;
            assert_eq!((*exit.state, exit.state.version()), (0, 0), "{policy:?}");
            assert_eq!(*seen.lock(), [4], "{policy:?}");
        }
    }

    /// SV12 SP10: the `terminate` of a crash sees the last commit, as the next incarnation does.
    async fn the_terminate_of_a_crash_sees_the_last_commit() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ends = Arc::clone(&seen);
        let script = Script::new().on_terminate(move |_, state: &u64| ends.lock().push(*state));
        let spec = ServerSpec::new(script, 0).commit(CommitPolicy::Every(2));
        let server = spec.start().await.expect("it starts");
        add_times(&server, 3).await;
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 2);
        assert_eq!(*seen.lock(), [2]);
    }
}
