//! `terminate`: once for each incarnation that could see its end coming, with what was committed.

use std::pin::pin;

use futures::poll;
use undying::{CallError, Callback, CrashKind, ExitReason, Registry, ServerSpec};

use super::{Call, Cast, Log, Mortal, gone, hold, mortal, word};
use crate::support::until;

both! {
    /// SP8: terminate runs once when a handler stops the server, and once for a shutdown.
    async fn terminate_runs_once_at_the_end() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        server.cast(Cast::Stop(4, ExitReason::Normal)).await.expect("alive");
        server.stopped().await;
        assert_eq!(log.count("terminate "), 1);
        assert_eq!(log.lines()[0], "terminate 1 normal [4]");

        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        server.cast(Cast::Note(4)).await.expect("alive");
        drop(server.clone().into_guard());
        assert_eq!(word(&server.stopped().await.reason), "shutdown");
        assert_eq!(log.count("terminate "), 1);
        assert_eq!(log.lines()[0], "terminate 1 shutdown [4]");
    }

    /// SP8 SP10: after a panic or an error terminate runs once for that incarnation, with the last committed state.
    async fn terminate_sees_what_was_committed() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        server.cast(Cast::Note(1)).await.expect("alive");
        server.cast(Cast::Panic(2)).await.expect("alive");
        server.cast(Cast::Note(3)).await.expect("alive");
        server.cast(Cast::Fail(4)).await.expect("alive");
        assert_eq!(*server.stop().await.expect("stops").state, [1, 3]);
        until("the listener is told", || log.count("terminated") == 1).await;
        assert_eq!(
            log.lines(),
            [
                "terminate 1 crashed(test: half-way) [1]",
                "restarted 2 crashed(test: half-way)",
                "terminate 2 crashed(test: half-way) [1, 3]",
                "restarted 3 crashed(test: half-way)",
                "terminate 3 normal [1, 3]",
                "terminated normal [1, 3]",
            ]
        );
    }

    /// SP9: terminate does not run after a kill, neither of the worker nor of the server, idle or in a handler.
    async fn terminate_does_not_run_after_a_kill() {
        let (spec, log) = mortal();
        let server = spec.start().await.expect("starts");
        server.kill_worker();
        server.wait_incarnation(2).await.expect("restarts");
        let _gate = hold(&server).await;
        server.kill_worker();
        server.wait_incarnation(3).await.expect("restarts");
        let _gate = hold(&server).await;
        server.kill();
        assert_eq!(word(&server.stopped().await.reason), "killed");
        until("the listener is told", || log.count("terminated") == 1).await;
        assert_eq!(log.lines(), ["restarted 2 killed", "restarted 3 killed", "terminated killed []"]);
    }

    /// SP11: a panic in terminate is the reason of the end, and callers, name and listener are served all the same.
    async fn a_panic_in_terminate_is_the_reason() {
        let (registry, log) = (Registry::new(), Log::default());
        let mortal = Mortal { log: log.clone(), dies_badly: true, never_restarts: false };
        let spec = ServerSpec::new(mortal, Vec::new()).listener(log.clone());
        let server = spec.name_in(&registry, "mortal").start().await.expect("starts");
        let gate = hold(&server).await;
        server.cast(Cast::Stop(4, ExitReason::Normal)).await.expect("alive");
        let mut call = pin!(server.call(Call::Get).no_timeout());
        assert!(poll!(&mut call).is_pending());
        gate.open();
        let answer = call.await;
        assert!(matches!(answer, Err(CallError::Stopped(_))), "{answer:?}");
        let exit = server.stopped().await;
        assert_eq!(*exit.state, [4]);
        let ExitReason::Crashed(report) = exit.reason else { panic!("{}", exit.reason) };
        assert_eq!((report.message(), report.kind()), ("test: no good end", CrashKind::Panic));
        assert_eq!(report.callback(), Callback::Terminate);
        assert!(gone(&registry));
        until("the listener is told", || log.count("terminated") == 1).await;
        assert_eq!(
            log.lines(),
            ["terminate 1 normal [4]", "terminated crashed(test: no good end) [4]"]
        );
        assert_eq!(server.incarnation(), 1);
    }

    /// SP11: a panic in the terminate of a crashed incarnation does not keep the next one from serving.
    async fn a_panic_in_terminate_does_not_prevent_the_restart() {
        let log = Log::default();
        let mortal = Mortal { log: log.clone(), dies_badly: true, never_restarts: false };
        let server = ServerSpec::new(mortal, Vec::new()).start().await.expect("starts");
        server.cast(Cast::Note(1)).await.expect("alive");
        server.cast(Cast::Panic(2)).await.expect("alive");
        assert_eq!(server.call(Call::Get).await.expect("served"), [1]);
        assert_eq!((log.count("terminate "), log.count("restarted 2")), (1, 1));
        assert_eq!(server.incarnation(), 2);
    }
}
