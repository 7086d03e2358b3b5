//! The server of the redelivery tests: its messages are closures that can be run again, and that count their runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{
    mpsc::{UnboundedReceiver, unbounded_channel},
    oneshot,
};
use undying::{
    CallError, Callback, Context, CrashReport, DeadLetter, DeadLetterReason, GenServer, Message, Next,
    Outcome, Redelivery, Reply, Restart, ServerRef, ServerSpec, StateMut,
};

use crate::{
    crash::script::soon,
    support::{Gate, inject},
};

type Act = dyn for<'a> Fn(&'a mut Vec<u64>, u64) -> BoxFuture<'a, Outcome<Clerk>> + Send + Sync;

/// What a callback shall do. It can be run any number of times, and knows which time it is.
pub(super) struct Memo {
    pub(super) number: u64,
    pub(super) runs: Arc<AtomicU64>,
    pub(super) act: Arc<Act>,
    /// What the next copy tells that it is being made, and waits for.
    pub(super) copies: Option<Arc<Mutex<Option<SlowCopy>>>>,
}

type SlowCopy = (oneshot::Sender<()>, mpsc::Receiver<()>);

impl Clone for Memo {
    fn clone(&self) -> Self {
        if let Some((begins, wall)) = self.copies.as_ref().and_then(|copies| copies.lock().take()) {
            begins.send(()).expect("the test waits for it");
            // Returns when the test drops the other end.
            let _ = wall.recv();
        }
        let Self { number, runs, act, copies } = self;
        Self { number: *number, runs: runs.clone(), act: act.clone(), copies: copies.clone() }
    }
}

impl Memo {
    pub(super) fn new(
        number: u64,
        act: impl for<'a> Fn(&'a mut Vec<u64>, u64) -> BoxFuture<'a, Outcome<Clerk>> + Send + Sync + 'static,
    ) -> Self {
        Self { number, runs: Arc::default(), act: Arc::new(act), copies: None }
    }

    /// Notes its number, and crashes the first `failures` times, with the note half made.
    pub(super) fn failing(number: u64, failures: u64) -> Self {
        Self::new(number, move |log, run| {
            Box::pin(async move {
                log.push(number);
                if run <= failures {
                    inject()
                }
                Ok(Next::Wait)
            })
        })
    }

    /// Notes its number.
    pub(super) fn good(number: u64) -> Self {
        Self::failing(number, 0)
    }

    /// Never goes well.
    pub(super) fn hopeless(number: u64) -> Self {
        Self::failing(number, u64::MAX)
    }

    /// Passes `gate` each time it is run, and notes its number.
    pub(super) fn held(number: u64, gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::new(number, move |log, _| {
            let gate = gate.clone();
            Box::pin(async move {
                log.push(number);
                gate.pass().await;
                Ok(Next::Wait)
            })
        })
    }

    /// How often it was run.
    pub(super) fn runs(&self) -> u64 {
        self.runs.load(SeqCst)
    }

    async fn run(self, state: &mut Vec<u64>) -> Outcome<Clerk> {
        let run = self.runs.fetch_add(1, SeqCst) + 1;
        (self.act)(state, run).await
    }
}

/// A message that wants an answer: the log after it.
#[derive(Clone)]
pub(super) struct Ask(pub(super) Memo, pub(super) Reply<Vec<u64>>);

/// Does what its memos say, and notes that it was restarted.
#[derive(Clone)]
pub(super) struct Clerk {
    /// What `restarted` notes.
    pub(super) restarted: Option<u64>,
}

impl GenServer for Clerk {
    type State = Vec<u64>;
    type Call = Ask;
    type Cast = Memo;
    type Info = Memo;
    type Continue = Memo;

    async fn restarted(
        &mut self,
        _: &Restart,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if let Some(note) = self.restarted {
            state.push(note);
        }
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        Ask(memo, reply): Ask,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        let next = memo.run(&mut state).await?;
        reply.send(state.clone());
        Ok(next)
    }

    async fn handle_cast(
        &mut self,
        memo: Memo,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        memo.run(&mut state).await
    }

    async fn handle_info(
        &mut self,
        memo: Memo,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        memo.run(&mut state).await
    }

    async fn handle_continue(
        &mut self,
        memo: Memo,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        memo.run(&mut state).await
    }
}

/// A dead letter: what kind of message it was, its number, and why.
pub(super) type Letter = (Callback, u64, DeadLetterReason);

pub(super) fn spec(redelivery: Redelivery) -> (ServerSpec<Clerk>, UnboundedReceiver<Letter>) {
    let (post, letters) = unbounded_channel();
    let spec = ServerSpec::new(Clerk { restarted: None }, Vec::new())
        .redelivery(redelivery)
        .max_restarts(u32::MAX, Duration::from_secs(1))
        .dead_letters(move |DeadLetter { message, why, .. }| {
            let (callback, memo) = match message {
                Message::Call(Ask(memo, _)) => (Callback::Call, memo),
                Message::Cast(memo) => (Callback::Cast, memo),
                Message::Info(memo) => (Callback::Info, memo),
                other => panic!("another kind of message: {:?}", std::mem::discriminant(&other)),
            };
            // The test may have read enough.
            let _ = post.send((callback, memo.number, why));
        });
    (spec, letters)
}

pub(super) async fn start(redelivery: Redelivery) -> (ServerRef<Clerk>, UnboundedReceiver<Letter>) {
    let (spec, letters) = spec(redelivery);
    (spec.start().await.expect("it starts"), letters)
}

/// Calls with the memo.
pub(super) async fn ask(server: &ServerRef<Clerk>, memo: Memo) -> Result<Vec<u64>, CallError> {
    soon(server.call(|reply| Ask(memo, reply))).await
}

/// The log, by a memo that notes nothing.
pub(super) async fn log(server: &ServerRef<Clerk>) -> Vec<u64> {
    let nothing = Memo::new(0, |_, _| Box::pin(async { Ok(Next::Wait) }));
    ask(server, nothing).await.expect("served")
}

/// The next dead letter, which must be of a message that crashed for good.
pub(super) async fn crashed(letters: &mut UnboundedReceiver<Letter>) -> (Callback, u64, CrashReport) {
    match soon(letters.recv()).await.expect("a dead letter") {
        (callback, number, DeadLetterReason::Crashed(report)) => (callback, number, report),
        other => panic!("{other:?}"),
    }
}
