//! The bomb: a server all of whose parts touch one fuse.

use std::{future::pending, sync::Arc, time::Duration};

use parking_lot::Mutex;
use undying::{
    Callback, Context, CrashReport, Crashed, ExitReason, GenServer, Listener, Next, Outcome, Reply, Restart,
    Restarted, ServerSpec, Started, StateChanged, StateMut, Terminated,
};

use super::fuse::{Fuse, Place};

/// What a restart adds to the state; a callback adds 1.
pub(crate) const RESTART: u64 = 1_000;

/// How many crashes a bomb survives.
pub(crate) const BUDGET: u32 = 20;

/// The state: a sum.
pub(crate) struct Sum {
    pub(crate) value: u64,
    fuse: Arc<Fuse>,
}

impl Clone for Sum {
    fn clone(&self) -> Self {
        self.fuse.touch(Place::Clone);
        Self { value: self.value, fuse: Arc::clone(&self.fuse) }
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        self.fuse.touch_in_drop(Place::DropState);
    }
}

/// Part of a message.
pub(crate) struct Parcel(pub(crate) Arc<Fuse>);

impl Drop for Parcel {
    fn drop(&mut self) {
        self.0.touch_in_drop(Place::DropMessage);
    }
}

pub(crate) enum Ask {
    Add(Reply<u64>),
    Get(Reply<u64>),
}

pub(crate) enum Tell {
    Add(Parcel),
    /// Holds the parcel at an await, for ever.
    Hold(Parcel),
    Continue,
    Idle,
}

/// The server. Each callback changes the state before it touches the fuse, so that a rollback shows.
pub(crate) struct Bomb(Arc<Fuse>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.touch_in_drop(Place::DropServer);
    }
}

impl GenServer for Bomb {
    type State = Sum;
    type Call = Ask;
    type Cast = Tell;
    type Info = ();
    type Continue = ();

    async fn init(&mut self, mut sum: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        sum.value += 1;
        self.0.pass(Callback::Init, cx.server()).await?;
        Ok(Next::Wait)
    }

    async fn restarted(
        &mut self,
        _why: &Restart,
        mut sum: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        sum.value += RESTART;
        self.0.pass(Callback::Restarted, cx.server()).await?;
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        ask: Ask,
        mut sum: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match ask {
            Ask::Add(reply) => {
                sum.value += 1;
                self.0.pass(Callback::Call, cx.server()).await?;
                reply.send(sum.value);
            }
            Ask::Get(reply) => reply.send(sum.value),
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        tell: Tell,
        mut sum: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match tell {
            Tell::Add(_parcel) => {
                sum.value += 1;
                self.0.pass(Callback::Cast, cx.server()).await?;
                Ok(Next::Wait)
            }
            Tell::Hold(_parcel) => {
                sum.value += 1;
                cx.server().kill_worker();
                pending().await
            }
            Tell::Continue => Ok(Next::Continue(())),
            Tell::Idle => Ok(Next::Timeout(Duration::ZERO)),
        }
    }

    async fn handle_info(
        &mut self,
        _info: (),
        mut sum: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        sum.value += 1;
        self.0.pass(Callback::Info, cx.server()).await?;
        Ok(Next::Wait)
    }

    async fn handle_continue(
        &mut self,
        _next: (),
        mut sum: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        sum.value += 1;
        self.0.pass(Callback::Continue, cx.server()).await?;
        Ok(Next::Wait)
    }

    async fn handle_timeout(&mut self, mut sum: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        sum.value += 1;
        self.0.pass(Callback::Timeout, cx.server()).await?;
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, _reason: &ExitReason, mut sum: StateMut<'_, Self>, cx: &mut Context<Self>) {
        sum.value += 1;
        let passed = self.0.pass(Callback::Terminate, cx.server()).await;
        passed.expect("`terminate` has no outcome, so no case gives it an error");
    }
}

/// A listener all of whose methods touch the fuse.
struct Nervous(Arc<Fuse>);

impl Listener<Bomb> for Nervous {
    fn started(&self, _: &Started<'_, Bomb>) {
        self.0.touch(Place::Started);
    }
    fn state_changed(&self, _: &StateChanged<'_, Bomb>) {
        self.0.touch(Place::Changed);
    }
    fn crashed(&self, _: &Crashed<'_, Bomb>) {
        self.0.touch(Place::Crashed);
    }
    fn restarted(&self, _: &Restarted<'_, Bomb>) {
        self.0.touch(Place::Restarted);
    }
    fn terminated(&self, _: &Terminated<'_, Bomb>) {
        self.0.touch(Place::Terminated);
    }
}

/// What the listener after [`Nervous`] heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) started: u32,
    pub(crate) changes: Vec<(u64, u64)>,
    pub(crate) crashes: Vec<CrashReport>,
    pub(crate) restarts: u32,
    pub(crate) ends: Vec<u64>,
}

/// The listener after [`Nervous`].
#[derive(Clone, Default)]
pub(crate) struct Witness(pub(crate) Arc<Mutex<Heard>>);

impl Listener<Bomb> for Witness {
    fn started(&self, _: &Started<'_, Bomb>) {
        self.0.lock().started += 1;
    }
    fn state_changed(&self, change: &StateChanged<'_, Bomb>) {
        let change = (change.old.value, change.new.value);
        self.0.lock().changes.push(change);
    }
    fn crashed(&self, crash: &Crashed<'_, Bomb>) {
        self.0.lock().crashes.push(crash.report.clone());
    }
    fn restarted(&self, _: &Restarted<'_, Bomb>) {
        self.0.lock().restarts += 1;
    }
    fn terminated(&self, end: &Terminated<'_, Bomb>) {
        self.0.lock().ends.push(end.state.value);
    }
}

/// The specification of a bomb with this fuse.
pub(crate) fn bomb(fuse: &Arc<Fuse>, witness: &Witness) -> ServerSpec<Bomb> {
    let state = Sum { value: 0, fuse: Arc::clone(fuse) };
    let listener = Nervous(Arc::clone(fuse));
    let fuse = Arc::clone(fuse);
    let factory = move || {
        fuse.touch(Place::Factory);
        Bomb(Arc::clone(&fuse))
    };
    ServerSpec::from_fn(factory, state)
        .max_restarts(BUDGET, Duration::from_secs(3_600))
        .listener(listener)
        .listener(witness.clone())
}
