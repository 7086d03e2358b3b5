//! The keeper: tells the listeners what happened, in the order in which it happened. One task for each listener of a server, so
//! that none of them concerns another (K12); a server without listeners has one, too.
//!
//! What it works on, the feed and the record, belongs to the logical server. The death of such a task loses nothing: the next
//! one goes on where it ended, and if there will be none, it finishes its work while it goes.

mod tell;

use std::{future::poll_fn, sync::Arc, task::Poll};

use tokio::{
    task::{spawn_blocking, yield_now},
    time,
};

use self::tell::Teller;
use crate::{
    contain::drop_quietly,
    feed::{Back, Fed, Nudge},
    gen_server::GenServer,
    logical::Logical,
};

/// How many events are told before others get their turn.
const TURN: usize = 128;

pub(crate) struct Keeper<S: GenServer> {
    teller: Teller<S>,
}

impl<S: GenServer> Keeper<S> {
    pub(crate) fn new(logical: Arc<Logical<S>>, ear: usize) -> Self {
        let mut teller = Teller::new(logical, ear);
        teller.look(|feed, ear, _| feed.attend(ear, true));
        Self { teller }
    }

    /// Tells event after event, until there will be no more.
    pub(crate) async fn run(mut self) {
        let teller = &mut self.teller;
        let mut told = 0;
        loop {
            let fed = poll_fn(|task| {
                match teller.look(|feed, ear, kept| feed.pull(ear, Some(task.waker()), kept)) {
                    Fed::Nothing => Poll::Pending,
                    fed => Poll::Ready(fed),
                }
            });
            match fed.await {
                // No await between taking events and telling them: a kill of this task cannot lose one.
                Fed::Events(hand, room) => told += teller.tell(hand, room),
                Fed::Away => {
                    let away = Away { teller: teller.again(), back: false };
                    // When it is back, this task is woken. A runtime that shuts down sends it back at once, over and over.
                    drop(spawn_blocking(move || away.run()));
                    told += 1;
                }
                // In a box: every keeper would have to hold what hardly one ever needs.
                Fed::Stall(pause) => Box::pin(time::sleep(pause)).await,
                Fed::Closed(line) => return drop_quietly(line),
                Fed::Nothing => {}
            }
            if told >= TURN {
                told = 0;
                yield_now().await;
            }
        }
    }
}

impl<S: GenServer> Drop for Keeper<S> {
    fn drop(&mut self) {
        if self.teller.look(|feed, ear, _| feed.attend(ear, false)) {
            self.teller.tell_the_rest();
        }
    }
}

/// Tells a listener that may block what there is to tell, on a thread for that. The keeper waits for it: so does whoever waits
/// for the keeper, and no other keeper of this listener tells anything meanwhile.
struct Away<S: GenServer> {
    teller: Teller<S>,
    /// It has found nothing more to tell: from then on somebody else may be away for this listener.
    back: bool,
}

impl<S: GenServer> Away<S> {
    fn run(mut self) {
        loop {
            let mut nudge = Nudge::none();
            let next = self.teller.look(|feed, ear, kept| feed.pull_away(ear, kept, &mut nudge));
            nudge.ring();
            match next {
                Ok((hand, room)) => drop(self.teller.tell(hand, room)),
                Err(back) => {
                    self.back = true;
                    return self.settle(&back);
                }
            }
        }
    }

    fn settle(&mut self, back: &Back) {
        if back.alone {
            self.teller.tell_the_rest();
        }
    }
}

impl<S: GenServer> Drop for Away<S> {
    /// If it never came to run, because the runtime shuts down.
    fn drop(&mut self) {
        if self.back {
            return;
        }
        let mut nudge = Nudge::none();
        let back = self.teller.look(|feed, ear, _| feed.come_back(ear, &mut nudge));
        nudge.ring();
        self.settle(&back);
    }
}

/// Tells a listener all that is left to tell: for the last one to leave a server that is over.
pub(crate) fn tell_the_rest<S: GenServer>(logical: &Arc<Logical<S>>, ear: usize) {
    Teller::new(logical.clone(), ear).tell_the_rest();
}
