//! Messages that are run again when their callback crashes: so many times, in their place, and then they are dead
//! letters.

mod clerk;
mod faults;

use std::time::Duration;

use undying::{CallError, Callback, Crash, CrashKind, ExitReason, Next, Redelivery, ServerSpec};

use crate::{
    crash::script::soon,
    support::{Gate, until},
};
use clerk::{Clerk, Memo, ask, crashed, log, start};

both! {
    /// CR7: a call that keeps crashing is run `max` more times; then it is a dead letter, and its caller learns of the
    /// crash.
    async fn a_call_that_keeps_crashing_is_run_so_often_and_no_more() {
        for max in [0, 1, 3] {
            let (server, mut letters) = start(Redelivery::Retry { max }).await;
            assert_eq!(ask(&server, Memo::good(1)).await.expect("served"), [1]);
            let hopeless = Memo::hopeless(2);
            let lost = ask(&server, hopeless.clone()).await;
            let Err(CallError::Crashed(told)) = lost else { panic!("{lost:?}") };
            let (callback, number, report) = crashed(&mut letters).await;
            assert_eq!((callback, number), (Callback::Call, 2));
            // The last of its crashes, and the state it was rolled back to.
            let last = u64::from(max) + 1;
            for report in [told, report] {
                assert_eq!((report.callback(), report.kind()), (Callback::Call, CrashKind::Panic));
                assert_eq!((report.incarnation(), report.version()), (last, 1));
            }
            assert_eq!(log(&server).await, [1]);
            assert_eq!((hopeless.runs(), server.incarnation()), (last, last + 1));
            assert!(letters.try_recv().is_err(), "one letter");
        }
    }

    /// CR7: casts and infos are run again like calls.
    async fn casts_and_infos_are_run_again_too() {
        let (server, mut letters) = start(Redelivery::Retry { max: 2 }).await;
        let (cast, info) = (Memo::hopeless(1), Memo::hopeless(2));
        server.cast(cast.clone()).await.expect("a server");
        server.send(info.clone()).await.expect("a server");
        for (memo, kind) in [(&cast, Callback::Cast), (&info, Callback::Info)] {
            let (callback, number, report) = crashed(&mut letters).await;
            assert_eq!((callback, number, report.callback()), (kind, memo.number, kind));
            assert_eq!(memo.runs(), 3);
        }
        assert!(log(&server).await.is_empty());
    }

    /// CR7: a message that goes well in the end is applied once, on the state as it was before its first run; its
    /// caller has waited and is answered, and nothing is a dead letter.
    async fn a_message_that_goes_well_in_the_end_is_applied_once() {
        let (server, mut letters) = start(Redelivery::Retry { max: 3 }).await;
        for (n, failures) in (1..).zip(0..=3) {
            let memo = Memo::failing(n, failures);
            let expected: Vec<_> = (1..=n).collect();
            assert_eq!(ask(&server, memo.clone()).await.expect("served"), expected);
            assert_eq!(memo.runs(), failures + 1);
        }
        assert_eq!((server.incarnation(), server.peek().version()), (1 + 1 + 2 + 3, 4));
        assert!(letters.try_recv().is_err());
    }

    /// CR7: it is run again before what was queued behind it, and all that keep their order.
    async fn a_message_is_run_again_before_those_behind_it() {
        let (server, mut letters) = start(Redelivery::Retry { max: 2 }).await;
        let gate = Gate::new();
        server.cast(Memo::held(0, &gate)).await.expect("a server");
        soon(gate.arrived()).await;
        let [fails, good, hopeless] = [Memo::failing(1, 2), Memo::good(2), Memo::hopeless(3)];
        let memos = [fails, good, hopeless, Memo::failing(4, 1), Memo::good(5)];
        for (n, memo) in memos.iter().enumerate() {
            if n % 2 == 0 {
                server.cast(memo.clone()).await.expect("a server");
            } else {
                server.send(memo.clone()).await.expect("a server");
            }
        }
        gate.open();
        assert_eq!(log(&server).await, [0, 1, 2, 4, 5]);
        assert_eq!(memos.each_ref().map(Memo::runs), [3, 1, 3, 2, 1]);
        assert_eq!(crashed(&mut letters).await.1, 3);
        assert!(letters.try_recv().is_err());
    }

    /// CR7: an error is a crash like any other, and so is a kill in the callback: the message is run again.
    async fn errors_and_kills_are_run_again() {
        let (server, mut letters) = start(Redelivery::Retry { max: 3 }).await;
        let fails = Memo::new(1, |log, run| Box::pin(async move {
            log.push(1);
            if run <= 3 { Err(Crash::msg("test: not yet")) } else { Ok(Next::Wait) }
        }));
        assert_eq!(ask(&server, fails.clone()).await.expect("served"), [1]);
        assert_eq!((fails.runs(), server.incarnation()), (4, 4));

        let gate = Gate::new();
        let held = Memo::held(2, &gate);
        let call = tokio::spawn({
            let (server, held) = (server.clone(), held.clone());
            async move { ask(&server, held).await }
        });
        for killed in 0..3 {
            soon(gate.arrived()).await;
            assert!(!call.is_finished());
            server.kill_worker();
            soon(server.wait_incarnation(5 + killed)).await.expect("restarts");
        }
        soon(gate.arrived()).await;
        gate.open();
        assert_eq!(soon(call).await.expect("joined").expect("served"), [1, 2]);
        assert_eq!(held.runs(), 4);
        assert!(letters.try_recv().is_err());

        // Killed once too often.
        let held = Memo::held(3, &gate);
        let call = tokio::spawn({
            let (server, held) = (server.clone(), held.clone());
            async move { ask(&server, held).await }
        });
        for _ in 0..4 {
            soon(gate.arrived()).await;
            server.kill_worker();
        }
        let lost = soon(call).await.expect("joined");
        let Err(CallError::Crashed(report)) = lost else { panic!("{lost:?}") };
        assert_eq!(report.kind(), CrashKind::Kill);
        let (callback, number, report) = crashed(&mut letters).await;
        assert_eq!((callback, number, report.kind()), (Callback::Call, 3, CrashKind::Kill));
        assert_eq!(log(&server).await, [1, 2]);
    }

    /// CR7 SV7: the new incarnation comes back first: `restarted` has run before the message is run again.
    async fn a_message_is_run_again_after_restarted() {
        let spec = ServerSpec::from_fn(|| Clerk { restarted: Some(99) }, Vec::new())
            .redelivery(Redelivery::Retry { max: 2 })
            .max_restarts(u32::MAX, Duration::from_secs(1));
        let server = spec.start().await.expect("it starts");
        assert_eq!(ask(&server, Memo::failing(1, 2)).await.expect("served"), [99, 99, 1]);
    }

    /// CR7: the number of runs is counted for each message by itself.
    async fn each_message_has_runs_of_its_own() {
        let (server, mut letters) = start(Redelivery::Retry { max: 1 }).await;
        for n in 1..=20 {
            server.cast(Memo::failing(n, 1)).await.expect("a server");
        }
        assert!(log(&server).await.into_iter().eq(1..=20));
        assert!(letters.try_recv().is_err());
        assert_eq!(server.incarnation(), 21);
    }

    /// CR6: without it, and by default, a message is not run again; it is no dead letter either, for its caller knows.
    async fn by_default_nothing_is_run_again() {
        let (server, mut letters) = start(Redelivery::Never).await;
        let plain = ServerSpec::new(Clerk { restarted: None }, Vec::new());
        let plain = plain.start().await.expect("it starts");
        for server in [&server, &plain] {
            let memo = Memo::failing(1, 1);
            let lost = ask(server, memo.clone()).await;
            assert!(matches!(lost, Err(CallError::Crashed(_))), "{lost:?}");
            assert!(log(server).await.is_empty());
            assert_eq!(memo.runs(), 1);
        }
        assert!(letters.try_recv().is_err());
    }

    /// CR7: what is not a message is not run again: a continue that crashes is gone, and so is not the message it came
    /// from.
    async fn a_continue_is_not_run_again() {
        let (server, mut letters) = start(Redelivery::Retry { max: 3 }).await;
        let hopeless = Memo::hopeless(2);
        let next = hopeless.clone();
        let memo = Memo::new(1, move |log, _| {
            log.push(1);
            let next = next.clone();
            Box::pin(async move { Ok(Next::Continue(next)) })
        });
        assert_eq!(ask(&server, memo.clone()).await.expect("served"), [1]);
        assert_eq!(log(&server).await, [1]);
        assert_eq!((memo.runs(), hopeless.runs()), (1, 1));
        assert!(letters.try_recv().is_err());
    }

    /// CR7 SV3: a callback that stopped abnormally has gone well, and is not run again: its state was committed.
    async fn a_callback_that_stopped_is_not_run_again() {
        let (server, mut letters) = start(Redelivery::Retry { max: 3 }).await;
        let stops = Memo::new(1, |log, _| {
            log.push(1);
            Box::pin(async { Ok(Next::Stop(ExitReason::error("test: off"))) })
        });
        server.cast(stops.clone()).await.expect("a server");
        assert_eq!(log(&server).await, [1]);
        assert_eq!((stops.runs(), server.incarnation()), (1, 2));
        assert!(letters.try_recv().is_err());
    }

    /// CR7: each run counts as a crash, against the budget too, and each is reported.
    async fn each_run_that_crashes_counts() {
        let (server, _letters) = start(Redelivery::Retry { max: 4 }).await;
        let _ = ask(&server, Memo::hopeless(1)).await;
        until("it has restarted", || server.incarnation() == 6).await;
        let statistics = soon(server.sys().statistics()).await.expect("alive");
        assert_eq!((statistics.crashes, statistics.restarts), (5, 5));
    }
}
