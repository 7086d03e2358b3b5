//! The keeper task: tells the listeners what happened, in the order in which it happened.
//!
//! What it works on, the feed and the record, belongs to the logical server. The death of this task loses nothing: the next
//! keeper goes on where it ended, and if there will be none, it finishes its work while it goes.

use std::{future::poll_fn, marker::PhantomData, sync::Arc, task::Poll};

use tokio::{task::coop, time};

use crate::{
    contain::{catch, drop_quietly},
    feed::{Audience, Event, Fed},
    gen_server::GenServer,
    listener::{Crashed, Listener, Restarted, Started, StateChanged, Terminated},
    logical::Logical,
    preserve::Kept,
    server_ref::ServerRef,
};

pub(crate) struct Keeper<S: GenServer> {
    logical: Arc<Logical<S>>,
}

impl<S: GenServer> Keeper<S> {
    pub(crate) fn new(logical: Arc<Logical<S>>) -> Self {
        logical.cell.look(|record| record.feed.attend(true));
        Self { logical }
    }

    /// Tells event after event, until there will be no more.
    pub(crate) async fn run(self) {
        loop {
            let fed =
                poll_fn(|task| match self.logical.cell.look(|record| record.feed.pull(Some(task.waker()))) {
                    Fed::Nothing => Poll::Pending,
                    fed => Poll::Ready(fed),
                });
            match fed.await {
                // No await between taking an event and telling it: a kill of this task cannot lose one.
                Fed::Event(event, audience, seen) => tell(&self.logical, event, &audience, seen),
                Fed::Stall(pause) => time::sleep(pause).await,
                Fed::Closed(audience) => return drop_quietly(audience),
                Fed::Nothing => {}
            }
            coop::consume_budget().await;
        }
    }
}

impl<S: GenServer> Drop for Keeper<S> {
    fn drop(&mut self) {
        if self.logical.cell.look(|record| record.feed.attend(false)) {
            tell_the_rest(&self.logical);
        }
    }
}

/// Tells all that is left to tell: for the last one to leave a server that is over.
pub(crate) fn tell_the_rest<S: GenServer>(logical: &Arc<Logical<S>>) {
    loop {
        match logical.cell.look(|record| record.feed.pull(None)) {
            Fed::Event(event, audience, seen) => tell(logical, event, &audience, seen),
            Fed::Stall(_) => {}
            Fed::Closed(audience) => return drop_quietly(audience),
            Fed::Nothing => return,
        }
    }
}

/// Tells every listener one event (K12: whatever one of them does, the others and the next event are not concerned).
fn tell<S: GenServer>(
    logical: &Arc<Logical<S>>,
    event: Event<S>,
    audience: &Audience<S>,
    seen: Option<Kept<S>>,
) {
    let each = |tell: &dyn Fn(&dyn Listener<S>)| {
        for listener in audience.iter() {
            if let Err(payload) = catch(|| tell(&**listener)) {
                drop(payload);
                tracing::error!(server = %logical.label(), "a listener panicked");
            }
        }
    };
    match &event {
        Event::Started { kept } => {
            let server = &ServerRef::new(logical.clone());
            each(&|listener| listener.started(&Started { server, state: kept }));
        }
        Event::Changed { kept, callback, lagged } => {
            let old = seen.as_ref().unwrap_or(kept);
            each(&|listener| {
                listener.state_changed(&StateChanged {
                    old,
                    new: kept,
                    version: kept.version(),
                    incarnation: kept.incarnation(),
                    callback: *callback,
                    lagged: *lagged,
                });
            });
        }
        Event::Crashed { report, kept, abandoned, lagged } => {
            let (abandoned, lagged) = (*abandoned, *lagged);
            each(&|listener| listener.crashed(&Crashed { report, state: kept, abandoned, lagged }));
        }
        Event::Restarted { incarnation, took } => {
            let event = Restarted { incarnation: *incarnation, took: *took, server: PhantomData };
            each(&|listener| listener.restarted(&event));
        }
        Event::Terminated { reason, kept } => {
            each(&|listener| listener.terminated(&Terminated { reason, state: kept }));
        }
    }
    drop_quietly((event, seen));
}
