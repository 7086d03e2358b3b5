//! A line: the events that a listener has yet to hear.

use std::{collections::VecDeque, mem, sync::Arc};

use super::{
    Nudge,
    event::{CHANGED, Change, Event, KINDS, Queued, Shared},
    hand::Hand,
    spares::Spares,
    wants::Wants,
};
use crate::{
    contain::{Quiet, catch},
    gen_server::GenServer,
    listener::{Listener, Overflow},
    preserve::{Kept, SharedSnapshot},
};

/// How many events are told in one go, before others get their turn.
const TURN: usize = 128;

pub(crate) struct Line<S: GenServer> {
    listener: Quiet<Arc<dyn Listener<S>>>,
    capacity: usize,
    overflow: Overflow,
    pub(super) blocking: bool,
    pub(super) wants: Wants,
    /// Whether changes are left open: not where some are not told, as it would take those to close them.
    leaves_open: bool,
    queue: VecDeque<Queued<S>>,
    /// Of each kind, how many there were.
    heard: [u64; KINDS],
    /// The last event, if it is a change to the state that is kept. It gets that from the commit that replaces it, or when it is
    /// taken: so a commit shares nothing with anybody.
    open: Option<Change>,
    /// `None` as long as somebody has it who tells the listener.
    hand: Option<Box<Hand<S>>>,
    /// How many events were taken in that hand, but the first: they count as queued.
    in_hand: usize,
    spares: Spares<S>,
}

impl<S: GenServer> Line<S> {
    pub(super) fn new(listener: Arc<dyn Listener<S>>, capacity: usize, overflow: Overflow) -> Self {
        let wants = Wants::of(|callback| catch(|| listener.wants_changes(callback)).unwrap_or(true));
        Self {
            capacity,
            overflow,
            blocking: catch(|| listener.blocking()).unwrap_or(false),
            wants,
            leaves_open: wants.is_all(),
            queue: VecDeque::new(),
            heard: [0; KINDS],
            open: None,
            hand: Some(Box::new(Hand::new(listener.clone()))),
            in_hand: 0,
            spares: Spares::new(),
            listener: Quiet::new(listener),
        }
    }

    pub(super) fn listener(&self) -> Quiet<Arc<dyn Listener<S>>> {
        Quiet::new((*self.listener).clone())
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) const fn blocks(&self) -> bool {
        matches!(self.overflow, Overflow::Block)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.open.is_none()
    }

    /// How many events may be queued.
    #[inline]
    fn room(&self) -> usize {
        self.capacity - self.in_hand
    }

    /// Whether the server has to wait for it.
    pub(super) fn holds_up(&self) -> bool {
        self.blocks() && self.queue.len() + usize::from(self.open.is_some()) >= self.room()
    }

    // ---- in

    /// Queues an event. What gives way to it is added to `nudge`.
    pub(super) fn push(&mut self, event: Event<S>, kept: &Kept<S>, nudge: &mut Nudge<S>) {
        self.close(kept);
        let kind = event.kind();
        self.make_room(kind, nudge);
        self.heard[kind] += 1;
        self.queue.push_back(Queued { number: self.heard[kind], event });
    }

    /// Queues a change from the state in `outgoing` to `kept`, the one that is kept now. Takes the former, if the change to that is still
    /// to be told.
    #[inline]
    pub(super) fn change(
        &mut self,
        outgoing: &mut Option<SharedSnapshot<S>>,
        change: Change,
        kept: &Kept<S>,
        nudge: &mut Nudge<S>,
    ) {
        let (queued, room) = (self.queue.len(), self.room());
        if queued + 1 < room {
            self.supersede(outgoing);
        } else if self.open.is_none() || self.overflow != Overflow::Coalesce || queued < room {
            self.supersede(outgoing);
            self.make_room(CHANGED, nudge);
        }
        // Otherwise the one that is open gives way.
        self.heard[CHANGED] += 1;
        self.open = Some(change);
        if !self.leaves_open {
            self.close(kept);
        }
    }

    /// The state in `outgoing` is not kept any more. Takes it, if the change to that is still to be told.
    #[inline]
    pub(super) fn supersede(&mut self, outgoing: &mut Option<SharedSnapshot<S>>) {
        if let Some(change) = self.open {
            if let Some(state) = outgoing.take() {
                self.open = None;
                let event = Event::Changed { state: Shared::new(state), change };
                self.queue.push_back(Queued { number: self.heard[CHANGED], event });
            }
        }
    }

    /// No change is open any more.
    fn close(&mut self, kept: &Kept<S>) {
        if self.open.is_some() {
            self.supersede(&mut Some(kept.snapshot().clone()));
        }
    }

    #[inline(never)]
    fn make_room(&mut self, kind: usize, nudge: &mut Nudge<S>) {
        if self.queue.len() < self.room() {
            return;
        }
        let gone = self.oldest_to_go(kind).and_then(|place| self.queue.remove(place));
        match gone.map(|gone| gone.event) {
            Some(Event::Changed { state, .. }) if Spares::<S>::HARMLESS => self.spares.save(state),
            Some(Event::Changed { state, .. } | Event::Crashed { state, .. }) => nudge.forget(state),
            Some(_) | None => {}
        }
    }

    /// Where the event is that gives way to one of that kind.
    fn oldest_to_go(&self, kind: usize) -> Option<usize> {
        let may_go = |queued: &Queued<S>| queued.event.may_go();
        match self.overflow {
            Overflow::Block => None,
            Overflow::DropOldest => self.queue.iter().position(may_go),
            Overflow::Coalesce => {
                let same = |queued: &Queued<S>| may_go(queued) && queued.event.kind() == kind;
                self.queue.iter().skip(self.room()).position(same).map(|place| self.room() + place)
            }
        }
    }

    // ---- out

    /// Takes events to tell, as many as are told in one go, and gives them in a hand. Tells whether the server may go on because
    /// of the room that makes. `kept` is the state that is kept.
    pub(super) fn take(&mut self, kept: &Kept<S>) -> Option<(Box<Hand<S>>, bool)> {
        if self.is_empty() {
            return None;
        }
        let held_up = self.holds_up();
        let mut hand = self.hand.take()?;
        // Where the queue is to be short, events are taken one by one: so it is.
        let turn = (self.capacity / 32).clamp(1, TURN);
        if self.queue.len() < turn {
            self.close(kept);
            mem::swap(&mut self.queue, &mut hand.events);
        } else {
            hand.events.extend(self.queue.drain(..turn));
        }
        self.in_hand = hand.events.len() - 1;
        let room = held_up && !self.holds_up();
        Some((hand, room))
    }

    /// Takes a hand back. What was not told in it is told next. Tells whether the server may go on because of the room that makes.
    pub(super) fn take_back(&mut self, mut hand: Box<Hand<S>>) -> bool {
        let held_up = self.holds_up();
        while let Some(untold) = hand.events.pop_back() {
            self.queue.push_front(untold);
        }
        self.in_hand = 0;
        self.spares.absorb(&mut hand.spares);
        self.hand = Some(hand);
        held_up && !self.holds_up()
    }

    #[inline]
    pub(super) fn spare(&mut self) -> Option<SharedSnapshot<S>> {
        self.spares.take()
    }
}
