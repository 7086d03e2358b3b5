//! What a server tells of itself: its numbers and its status.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use undying::{Callback, Next, Registry, ServerSpec, Status, SysError};

use super::{add_and_hold, state, status};
use crate::{
    crash::script::{
        Script, add, ask, boom, crash, get, inc, serves, set, soon, start, statistics, stop, tell, wait_at,
    },
    support::{Gate, inject, quiet},
};

both! {
    /// IS6: what a server has counted is exact: messages, answers, commits, crashes, restarts, and what is queued.
    async fn statistics_are_exact() {
        let (server, gate) = (start(0_u64).await, Gate::new());
        for _ in 0..5 {
            ask(&server, add).await; // 5 in, 5 out, 5 commits
        }
        for _ in 0..3 {
            ask(&server, get).await; // 3 in, 3 out
        }
        for _ in 0..4 {
            tell(&server, inc()).await; // 4 in, 4 commits
        }
        server.send(inc()).await.expect("a server"); // 1 in, 1 commit
        crash(&server).await; // 1 in, 1 crash
        tell(&server, boom()).await; // 1 in, 1 crash
        serves(&server, 3).await;
        server.kill_worker(); // 1 crash
        serves(&server, 4).await;
        soon(server.sys().replace(|state| *state += 1)).await.expect("a server"); // 1 commit
        tell(&server, wait_at(&gate)).await; // 1 in
        soon(gate.arrived()).await;
        for _ in 0..7 {
            tell(&server, inc()).await; // queued
        }
        let seen = statistics(&server).await;
        assert_eq!((seen.messages_in, seen.replies_out, seen.commits), (16, 8, 11));
        assert_eq!((seen.crashes, seen.restarts, seen.zombies, seen.fenced), (3, 3, 0, 0));
        assert_eq!(seen.mailbox_len, 7);
        gate.open();
        assert_eq!(ask(&server, get).await, 18);
        let seen = statistics(&server).await;
        assert_eq!((seen.messages_in, seen.replies_out, seen.commits, seen.mailbox_len), (24, 9, 18, 0));
    }

    /// IS7: the status says where in its life a server is, what it is called, and which incarnation lives; the state
    /// is in it only as its owner wants it shown.
    async fn the_status_tells_what_is_known() {
        let registry = Registry::new();
        let gate = Gate::new();
        let at = gate.clone();
        let script = || {
            let at = at.clone();
            Script::new().on_restarted(move |_, _| {
                let gate = at.clone();
                Box::pin(async move {
                    gate.pass().await;
                    Ok(Next::Wait)
                })
            })
        };
        let spec = ServerSpec::new(script(), 41_u64).name_in(&registry, "vault");
        let server = spec.format_state(|state| format!("<{} digits>", state.to_string().len())).start().await;
        let server = server.expect("it starts");
        let seen = status(&server).await;
        assert_eq!((seen.status, seen.name.as_deref(), seen.incarnation), (Status::Running, Some("vault"), 1));
        assert_eq!((seen.restarts_in_window, seen.state.as_deref()), (0, Some("<2 digits>")));
        tell(&server, set(1_000)).await;
        assert_eq!(ask(&server, get).await, 1_000);
        assert_eq!(status(&server).await.state.as_deref(), Some("<4 digits>"));

        server.kill_worker();
        soon(gate.arrived()).await;
        let seen = status(&server).await;
        assert_eq!((seen.status, seen.restarts_in_window), (Status::Restarting, 1));
        gate.open();
        serves(&server, 2).await;
        let seen = status(&server).await;
        assert_eq!((seen.status, seen.incarnation, seen.restarts_in_window), (Status::Running, 2, 1));

        soon(server.sys().suspend()).await.expect("a server");
        assert_eq!((status(&server).await.status, server.status()), (Status::Suspended, Status::Suspended));
        stop(&server).await;
        assert_eq!(server.status(), Status::Terminated);
        assert!(matches!(soon(server.sys().status()).await, Err(SysError::NoProc)));

        let plain = status(&start(0).await).await;
        assert_eq!((plain.status, plain.name, plain.state), (Status::Running, None, None));
    }

    /// IS7: the status is told at once, while the worker is busy, too, and then of the last commit.
    async fn the_status_does_not_wait_for_the_worker() {
        let spec = ServerSpec::new(Script::new(), 0_u64).format_state(ToString::to_string);
        let (server, gate) = (spec.start().await.expect("it starts"), Gate::new());
        tell(&server, add_and_hold(&gate)).await;
        soon(gate.arrived()).await;
        let seen = status(&server).await;
        assert_eq!((seen.status, seen.state.as_deref()), (Status::Running, Some("0")));
        gate.open();
        assert_eq!(state(&server).await, 1);
        assert_eq!(status(&server).await.state.as_deref(), Some("1"));
    }

    /// IS8: a hook that panics over the state leaves a fallback text in its place, and breaks nothing else.
    async fn a_format_hook_that_panics_leaves_a_fallback() {
        let asked = Arc::new(Mutex::new(0));
        let counted = asked.clone();
        let spec = ServerSpec::new(Script::new(), 5_u64).format_state(move |state| {
            *counted.lock() += 1;
            if *state == 5 { inject() } else { format!("all is well with {state}") }
        });
        let server = spec.start().await.expect("it starts");
        for _ in 0..3 {
            let seen = status(&server).await;
            assert_eq!((seen.status, seen.incarnation), (Status::Running, 1));
            let text = seen.state.expect("a fallback");
            assert!(!text.is_empty() && !text.contains("well"), "{text}");
        }
        assert_eq!(*asked.lock(), 3);
        // Nor does it spoil the report of a crash.
        let report = crash(&server).await;
        assert_eq!(report.callback(), Callback::Call);
        assert_eq!(ask(&server, add).await, 6);
        assert_eq!(status(&server).await.state.as_deref(), Some("all is well with 6"));
        assert_eq!(statistics(&server).await.crashes, 1);
    }
}

/// IS7 RI2: the restarts that are told are those of the window that slides along.
#[tokio::test(start_paused = true)]
async fn the_status_counts_the_restarts_of_the_window() {
    quiet();
    let spec = ServerSpec::new(Script::new(), 0_u64).max_restarts(10, Duration::from_secs(10));
    let server = spec.start().await.expect("it starts");
    // At 0, 4 and 8 seconds.
    for n in 1..=3 {
        crash(&server).await;
        serves(&server, n as u64 + 1).await;
        assert_eq!(status(&server).await.restarts_in_window, n);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    // At 12, 16 and 20.
    for left in [2, 1, 0] {
        assert_eq!(status(&server).await.restarts_in_window, left);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
}
