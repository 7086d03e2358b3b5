//! How an incarnation ends: by a crash, or in good order.

use std::mem;

use tokio::time::Instant;

use super::{Worker, unheard};
use crate::{
    callback::InCallback,
    contain::{Quiet, catch, drop_quietly, log},
    error::{CallError, StartError},
    exit::{Callback, CrashKind, CrashReport, ExitReason},
    gen_server::GenServer,
    job::{End, Unkept},
    preserve::{Preserve, StateMut},
    record::InHand,
};

impl<S: GenServer> Worker<S> {
    /// The callback crashed: nothing of it is kept or said (K3), and its caller is told at once (K7).
    pub(super) async fn crash(&mut self, report: CrashReport) -> End {
        self.scope.end_waits();
        let retries = self.logical.hooks.retries();
        let left = self.logical.cell.enter(self.epoch, |record| {
            record.life.died = Some(Instant::now());
            record.life.fallen = Some(report.clone());
            record.life.rerun = record.extras.as_ref().is_some_and(|extras| extras.runs > 0);
            record.leave(retries)
        });
        let Ok(left) = left else { return End::Fenced };
        self.logical.see_off(left, CallError::Crashed(report.clone()));
        self.scope.forget();
        unheard(&mut self.scope, || self.cx.effects.forget());
        self.report_run(report.callback(), true, None);
        let reason = ExitReason::Crashed(report.clone());
        match report.callback() {
            Callback::Init => return End::NotStarted(StartError::Init(report)),
            // As in OTP, what never began to serve does not terminate.
            Callback::Restarted => return End::Died { reason, report },
            _ => {}
        }
        // K3: the working copy is thrown away; `terminate` sees what is kept.
        let kept = self.logical.cell.look(|record| record.kept.clone());
        match catch(|| S::State::restore(&kept)) {
            Ok(state) => {
                let torn = mem::replace(&mut self.state, Quiet::new(state));
                unheard(&mut self.scope, || drop(torn));
            }
            Err(_) => return End::Died { reason, report },
        }
        drop_quietly(kept);
        match self.terminate(&reason).await {
            Ok(()) => End::Died { reason, report },
            Err(Unkept::Crashed(report)) => End::Died { reason: ExitReason::Crashed(report.clone()), report },
            Err(_) => End::Fenced,
        }
    }

    /// The incarnation ends in good order. `ordered`: and with it the logical server, whatever the reason.
    pub(super) async fn stop(&mut self, reason: ExitReason, ordered: bool) -> End {
        let reason = reason.at(self.place(Callback::Terminate));
        let last = ordered || !reason.is_abnormal();
        match self.catch_up() {
            Err(Unkept::Crashed(report)) => return self.crash(report).await,
            Err(_) => return End::Fenced,
            Ok(()) => {}
        }
        let terminated = self.terminate(&reason).await;
        // Fenced: the next incarnation's parting is none of this one's business.
        if let Ok(parting) = self.logical.cell.enter(self.epoch, |record| record.parting.take()) {
            self.logical.part(parting);
        }
        let reason = match terminated {
            Ok(()) => reason,
            Err(Unkept::Crashed(report)) => ExitReason::Crashed(report),
            Err(_) => return End::Fenced,
        };
        if last {
            return End::Stopped(reason);
        }
        let report = match &reason {
            ExitReason::Crashed(report) => report.clone(),
            other => CrashReport::new(
                CrashKind::Error,
                format!("stopped: {other}"),
                self.place(Callback::Terminate),
            ),
        };
        End::Died { reason, report }
    }

    /// Runs `terminate`. Its replies go out when it has returned.
    async fn terminate(&mut self, reason: &ExitReason) -> Result<(), Unkept> {
        let in_hand = InHand { callback: Callback::Terminate, claim: None };
        self.logical.cell.enter(self.epoch, |record| record.in_hand = Some(in_hand))?;
        let span = self.span(Callback::Terminate);
        self.start_watch();
        let Self { server, state, changed, cx, scope, .. } = self;
        let state = StateMut::new(&mut **state, changed);
        let callback = async move { server.terminate(reason, state, cx).await };
        let terminated = InCallback::new(scope, span, callback).await;
        self.stop_watch();
        self.report_run(Callback::Terminate, terminated.is_err(), None);
        if let Err(payload) = terminated {
            self.scope.forget();
            let report = CrashReport::of_panic(payload.as_any(), self.place(Callback::Terminate));
            log!(error, undying.server = %self.logical.label(), exception.message = %report, "terminate panicked");
            return Err(Unkept::Crashed(report));
        }
        let crashes = self.logical.cell.enter(self.epoch, |record| {
            record.in_hand = None;
            record.faults.strike(Callback::Terminate)
        })?;
        if crashes {
            self.scope.forget();
            return Err(Unkept::Crashed(CrashReport::on_purpose(self.place(Callback::Terminate))));
        }
        self.scope.say(&mut None);
        Ok(())
    }
}
