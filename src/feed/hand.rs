//! A hand: what a keeper has taken out of a line, so as to tell it without a lock.

use std::{collections::VecDeque, mem, sync::Arc};

use super::{
    event::{CHANGED, Event, KINDS, Queued, Shared},
    spares::Spares,
};
use crate::{
    contain::{Quiet, drop_quietly},
    gen_server::GenServer,
    listener::Listener,
    preserve::Snapshot,
};

/// It is with the line, or with whoever tells its listener.
pub(crate) struct Hand<S: GenServer> {
    listener: Quiet<Arc<dyn Listener<S>>>,
    pub(super) events: VecDeque<Queued<S>>,
    /// Of each kind, the number of the last one told.
    told: [u64; KINDS],
    /// The state the listener saw last.
    seen: Option<Shared<S>>,
    /// Those that were told of.
    pub(super) spares: Spares<S>,
}

/// An event in its place.
pub(crate) struct Told<'a, S: GenServer> {
    pub(crate) event: &'a Event<S>,
    /// The state that was told before it, if there was one.
    pub(crate) seen: Option<&'a Snapshot<S>>,
    /// How many of its kind before it are not told.
    pub(crate) lagged: u64,
}

impl<S: GenServer> Hand<S> {
    pub(super) fn new(listener: Arc<dyn Listener<S>>) -> Self {
        Self {
            listener: Quiet::new(listener),
            events: VecDeque::new(),
            told: [0; KINDS],
            seen: None,
            spares: Spares::new(),
        }
    }

    /// Tells all of it, but for changes that are none, as `is_change` has it. Tells how many events it was.
    pub(crate) fn tell(
        &mut self,
        is_change: impl Fn(&Snapshot<S>, &Snapshot<S>) -> bool,
        tell: impl Fn(&dyn Listener<S>, &Told<'_, S>),
    ) -> usize {
        let all = self.events.len();
        while let Some(Queued { number, event }) = self.events.pop_front() {
            let before = mem::replace(&mut self.told[event.kind()], number);
            let (seen, lagged) = (self.seen.as_deref(), number - before - 1);
            if let (Event::Changed { state, .. }, Some(seen)) = (&event, seen) {
                if !is_change(seen, state) {
                    // It is not told after all; those before it are counted with the next one.
                    self.told[CHANGED] = number - lagged;
                    continue;
                }
            }
            tell(&**self.listener, &Told { event: &event, seen, lagged });
            match event {
                Event::Changed { state, .. } | Event::Started { state } => {
                    if let Some(seen) = self.seen.replace(state) {
                        self.spares.save(seen);
                    }
                }
                other => drop_quietly(other),
            }
        }
        all
    }
}
