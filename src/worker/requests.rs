//! What a worker does beside callbacks: the requests of [`Sys`](crate::Sys), the debug hooks, and the copies of messages that
//! may have to be run again.

use std::{mem, sync::Arc, thread};

use super::{Worker, unheard};
use crate::{
    cell::Fenced,
    contain::{Quiet, catch, drop_quietly, log},
    dead_letter::{Again, DeadLetterReason, Message},
    debug::{self, SysEvent},
    error::CallError,
    exit::{Callback, CrashKind, CrashReport},
    gen_server::{GenServer, Next},
    job::{Factory, Job, Turn, Unkept},
    preserve::{Kept, Preserve},
    record::InHand,
    reply::Reply,
    request::{Change, Wish},
};

/// The state to go on with, and the server value if that is to be another one, too.
type Altered<S> = (Quiet<<S as GenServer>::State>, Option<Quiet<S>>);

impl<S: GenServer> Worker<S> {
    // ---- requests

    pub(super) fn grant(&mut self, wish: Wish<S>) -> Result<Turn, Unkept> {
        match wish {
            // Who asked waits no more: it is too late to do it.
            wish if !wish.is_awaited() => drop_quietly(wish),
            Wish::Pause(reply) => reply.send(()),
            Wish::State(reply) => match self.state_now() {
                Ok(state) => reply.send(state),
                Err(report) => return self.refuse(report),
            },
            Wish::Block(pause) => thread::sleep(pause),
            Wish::Replace { change, factory, reply } => return self.replace(change, factory, reply),
        }
        drop(self.done()?);
        Ok(Turn::GoOn)
    }

    /// The request failed, and nothing has changed.
    fn refuse(&mut self, report: CrashReport) -> Result<Turn, Unkept> {
        if let Some(claim) = self.done()?.and_then(|in_hand| in_hand.claim) {
            claim.fail(CallError::Crashed(report));
        }
        Ok(Turn::GoOn)
    }

    fn done(&mut self) -> Result<Option<InHand>, Fenced> {
        self.logical.cell.enter(self.epoch, |record| record.in_hand.take())
    }

    /// The state, whether it is committed or not.
    fn state_now(&mut self) -> Result<Kept<S>, CrashReport> {
        let kept = self.logical.cell.look(|record| record.kept.clone());
        if self.uncommitted == 0 {
            return Ok(kept);
        }
        let place = self.place(Callback::System);
        catch(|| kept.with(self.state.snapshot(), self.epoch))
            .map_err(|payload| CrashReport::of_panic(payload.as_any(), place))
    }

    /// Changes a copy of the state, and the server value if there is another factory for it; if all of that goes well, commits
    /// it and goes on with it.
    fn replace(
        &mut self,
        change: Box<Change<S>>,
        factory: Option<Factory<S>>,
        reply: Reply<()>,
    ) -> Result<Turn, Unkept> {
        let (state, server) = match self.altered(change, factory.as_ref()) {
            Ok(altered) => altered,
            Err(report) => {
                self.scope.forget();
                drop_quietly(factory);
                return self.refuse(report);
            }
        };
        let state = mem::replace(&mut self.state, state);
        let server = server.map(|server| mem::replace(&mut self.server, server));
        let before = self.uncommitted;
        (self.changed, self.factory) = (true, factory);
        let turn = match self.commit(Callback::System, Next::Wait) {
            Err(Unkept::Crashed(report)) => {
                self.scope.forget();
                let altered = mem::replace(&mut self.state, state);
                let upgraded = server.map(|server| mem::replace(&mut self.server, server));
                unheard(&mut self.scope, || drop((altered, upgraded)));
                self.uncommitted = before;
                self.refuse(report)
            }
            Ok(turn) => {
                reply.send(());
                unheard(&mut self.scope, || drop((state, server)));
                Ok(turn)
            }
            fenced => fenced,
        };
        // One that was not taken, or the one whose place it took.
        drop_quietly(self.factory.take());
        turn
    }

    fn altered(
        &mut self,
        change: Box<Change<S>>,
        factory: Option<&Factory<S>>,
    ) -> Result<Altered<S>, CrashReport> {
        let place = self.place(Callback::System);
        let kept = self.state_now()?;
        let changed = self.scope.enter(|| {
            let mut state = Quiet::new(S::State::restore(&kept));
            change(&mut state)?;
            Ok((state, factory.map(|factory| Quiet::new(factory()))))
        });
        match changed {
            Ok(altered) => altered.map_err(|crash| CrashReport::of_error(crash, place)),
            Err(payload) => Err(CrashReport::of_panic(payload.as_any(), place)),
        }
    }

    // ---- debug hooks

    pub(super) fn report_message(&mut self, callback: Callback) {
        if let Callback::Call | Callback::Cast | Callback::Info = callback {
            self.report(&SysEvent::In(callback));
        }
    }

    pub(super) fn report_commit(&mut self, changed: bool, replies: u64) {
        if changed {
            self.report(&SysEvent::State { version: self.cx.version });
        }
        (0..replies).for_each(|_| self.report(&SysEvent::Out));
    }

    fn report(&mut self, event: &SysEvent) {
        let Some(hooks) = self.debug.clone() else { return };
        for broken in hooks.tell(event) {
            log!(error, undying.server = %self.logical.label(), id = broken, "a debug hook panicked; removed");
            self.logical.remove_hook(broken);
            // This callback has more to tell, but not to that one.
            let others = self.debug.take().and_then(|hooks| debug::Hooks::clone(&hooks).without(broken));
            self.debug = others.map(Arc::new);
        }
    }

    // ---- copies

    /// Keeps a copy of the message in hand in the record, if it is to be run again should its callback crash.
    pub(super) fn copy(&mut self) -> Result<(), CrashReport> {
        let Some(copies) = self.logical.hooks.copies() else { return Ok(()) };
        let place = self.place(self.callback());
        let job = self.job.take();
        let copied = self.scope.enter(|| {
            let message = match job {
                Some(Job::Call(call)) => Message::Call(call),
                Some(Job::Cast(cast)) => Message::Cast(cast),
                Some(Job::Info(info) | Job::Timer(info)) => Message::Info(info),
                Some(Job::Notice(notice)) => Message::Info(notice.make()),
                Some(Job::Tick(maker)) => match maker.make() {
                    Some(info) => Message::Info(info),
                    None => return Err(Some(Job::Tick(maker))),
                },
                Some(Job::Again(message)) => message,
                other => return Err(other),
            };
            let copy = copies.copy(&message);
            Ok((message, copy))
        });
        let (message, copy) = match copied {
            Ok(Ok(copied)) => copied,
            Ok(Err(other)) => {
                self.job = other;
                return Ok(());
            }
            Err(payload) => return Err(CrashReport::of_panic(payload.as_any(), place)),
        };
        let mut copy = Some(copy);
        let noted = self.logical.cell.enter(self.epoch, |record| {
            record.extras().copy = copy.take();
        });
        if let (Err(Fenced), Some(copy)) = (noted, copy) {
            // It was killed before the message was run at all. The caller of a call was told that it crashed, so it must not be
            // run; others go back.
            let report = CrashReport::new(CrashKind::Kill, "killed", place);
            if let Message::Call(_) = copy {
                let why = || DeadLetterReason::Crashed(report.clone());
                copy.bury(self.logical.hooks.dead_letters(), why);
            } else {
                drop_quietly(self.logical.run_again(Again { message: copy, claim: None, runs: 0 }));
            }
            unheard(&mut self.scope, || drop(message));
            return Err(report);
        }
        self.job = Some(Job::Again(message));
        Ok(())
    }
}
