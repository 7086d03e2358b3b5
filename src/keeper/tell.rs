//! Telling one listener of one event.

use std::sync::Arc;

use crate::{
    contain::{catch, drop_quietly},
    feed::{Event, Told},
    gen_server::GenServer,
    listener::{Crashed, Listener, Restarted, Started, StateChanged, Terminated},
    logical::Logical,
    server_ref::ServerRef,
};

/// Tells a listener one event, whatever it does (K12).
pub(super) fn tell<S: GenServer>(logical: &Arc<Logical<S>>, ear: usize, told: Told<S>) {
    if let Event::Changed { kept, .. } = &told.event {
        let seen = told.seen.as_ref();
        if seen.is_some_and(|seen| !logical.hooks.is_change(seen, kept)) {
            return drop_quietly(logical.cell.look(|record| record.feed.untell(ear, told)));
        }
    }
    let server = ServerRef::new(logical.clone());
    let panicked = catch(|| call(&**told.listener, &server, &told)).is_err();
    drop_quietly((told, server));
    if panicked {
        tracing::error!(server = %logical.label(), "a listener panicked");
    }
}

fn call<S: GenServer>(listener: &dyn Listener<S>, server: &ServerRef<S>, told: &Told<S>) {
    let lagged = told.lagged;
    match &told.event {
        Event::Started { kept } => listener.started(&Started { server, state: kept }),
        Event::Changed { kept, callback } => listener.state_changed(&StateChanged {
            server,
            old: told.seen.as_ref().unwrap_or(kept),
            new: kept,
            version: kept.version(),
            incarnation: kept.incarnation(),
            callback: *callback,
            lagged,
        }),
        Event::Crashed { report, kept, abandoned } => {
            listener.crashed(&Crashed { server, report, state: kept, abandoned: *abandoned, lagged });
        }
        Event::Restarted { incarnation, took } => {
            listener.restarted(&Restarted { server, incarnation: *incarnation, took: *took, lagged });
        }
        Event::Terminated { reason, kept } => {
            listener.terminated(&Terminated { server, reason, state: kept });
        }
    }
}
