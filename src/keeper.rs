//! The keeper: tells the listeners what happened, in the order in which it happened. One task for each listener of a server, so
//! that none of them concerns another (K12); a server without listeners has one, too.
//!
//! What it works on, the feed and the record, belongs to the logical server. The death of such a task loses nothing: the next
//! one goes on where it ended, and if there will be none, it finishes its work while it goes.

mod tell;

use std::{future::poll_fn, sync::Arc, task::Poll};

use tokio::{
    task::{coop, spawn_blocking},
    time,
};

use self::tell::tell;
use crate::{
    contain::drop_quietly,
    feed::{Back, Fed, Nudge},
    gen_server::GenServer,
    logical::Logical,
};

pub(crate) struct Keeper<S: GenServer> {
    logical: Arc<Logical<S>>,
    /// The number of its listener.
    ear: usize,
}

impl<S: GenServer> Keeper<S> {
    pub(crate) fn new(logical: Arc<Logical<S>>, ear: usize) -> Self {
        logical.cell.look(|record| record.feed.attend(ear, true));
        Self { logical, ear }
    }

    /// Tells event after event, until there will be no more.
    pub(crate) async fn run(self) {
        let Self { logical, ear } = &self;
        loop {
            let fed = poll_fn(|task| {
                match logical.cell.look(|record| record.feed.pull(*ear, Some(task.waker()))) {
                    Fed::Nothing => Poll::Pending,
                    fed => Poll::Ready(fed),
                }
            });
            match fed.await {
                // No await between taking an event and telling it: a kill of this task cannot lose one.
                Fed::Event(told, room) => {
                    if room {
                        logical.mailbox.wake();
                    }
                    tell(logical, *ear, told);
                }
                Fed::Away => {
                    let away = Away { logical: logical.clone(), ear: *ear, back: false };
                    // When it is back, this task is woken.
                    drop(spawn_blocking(move || away.run()));
                }
                Fed::Stall(pause) => time::sleep(pause).await,
                Fed::Closed(listener) => return drop_quietly(listener),
                Fed::Nothing => {}
            }
            coop::consume_budget().await;
        }
    }
}

impl<S: GenServer> Drop for Keeper<S> {
    fn drop(&mut self) {
        if self.logical.cell.look(|record| record.feed.attend(self.ear, false)) {
            tell_the_rest(&self.logical, self.ear);
        }
    }
}

/// Tells a listener that may block what there is to tell, on a thread for that. The keeper waits for it: so does whoever waits
/// for the keeper, and no other keeper of this listener tells anything meanwhile.
struct Away<S: GenServer> {
    logical: Arc<Logical<S>>,
    ear: usize,
    /// It has found nothing more to tell: from then on somebody else may be away for this listener.
    back: bool,
}

impl<S: GenServer> Away<S> {
    fn run(mut self) {
        loop {
            let mut nudge = Nudge::none();
            let next = self.logical.cell.look(|record| record.feed.pull_away(self.ear, &mut nudge));
            nudge.ring();
            match next {
                Ok((told, room)) => {
                    if room {
                        self.logical.mailbox.wake();
                    }
                    tell(&self.logical, self.ear, told);
                }
                Err(back) => {
                    self.back = true;
                    return back.settle(&self.logical, self.ear);
                }
            }
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
        let back = self.logical.cell.look(|record| record.feed.come_back(self.ear, &mut nudge));
        nudge.ring();
        back.settle(&self.logical, self.ear);
    }
}

impl Back {
    fn settle<S: GenServer>(self, logical: &Arc<Logical<S>>, ear: usize) {
        if self.alone {
            tell_the_rest(logical, ear);
        }
    }
}

/// Tells a listener all that is left to tell: for the last one to leave a server that is over.
pub(crate) fn tell_the_rest<S: GenServer>(logical: &Arc<Logical<S>>, ear: usize) {
    loop {
        match logical.cell.look(|record| record.feed.pull(ear, None)) {
            Fed::Event(told, _) => tell(logical, ear, told),
            Fed::Stall(_) => {}
            Fed::Closed(listener) => return drop_quietly(listener),
            Fed::Away | Fed::Nothing => return,
        }
    }
}
