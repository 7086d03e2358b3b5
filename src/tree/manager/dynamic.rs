//! How a dynamic supervisor looks after its children: all at once, each for itself.

use tokio::time::Instant;

use super::{End, Manager, Next, Retry};
use crate::{
    contain::drop_each,
    exit::ExitReason,
    record::Then,
    tree::{child::News, children::Stage},
};

impl Manager {
    pub(super) async fn look_after_dynamic(&mut self) -> End {
        self.branch.up();
        loop {
            let done = match self.next().await {
                Next::End => Err(self.ordered_end()),
                // Its handles give no orders: they do things themselves.
                Next::Order(_) => Ok(()),
                Next::News(seat) => self.attend_to(seat),
                Next::Retry(Retry { at, seat, .. }) => {
                    self.begin_again(at, seat);
                    Ok(())
                }
            };
            if let Err(reason) = done {
                self.stop_together(&reason).await;
                return Ok(self.killed_or(reason));
            }
        }
    }

    /// Begins another life of a child. What comes of it will be news.
    fn begin_again(&self, at: Instant, seat: u64) {
        let ends = self.ends(seat);
        let child = self.branch.look(|roster| {
            let entry = roster.children.get_mut(seat).filter(|entry| entry.is_due(at) && !entry.leaving)?;
            entry.stage = Stage::Starting;
            entry.restarting = true;
            Some(entry.child.clone())
        });
        let Some(child) = child else { return };
        if let Err(error) = child.clone().begin(&self.on, ends) {
            child.lineage().report(News::Failed(error));
        }
        // Whoever wanted it to end before it began was not heard.
        let leaving = self.branch.look(|roster| roster.children.get(seat).is_some_and(|entry| entry.leaving));
        if leaving {
            child.shut_down(Then::Nothing);
        }
        self.branch.ring();
    }

    /// Stops all children at the same time.
    async fn stop_together(&mut self, reason: &ExitReason) {
        // Nobody comes in any more, and whoever is in has begun.
        self.branch.look(|roster| {
            roster.stop.get_or_insert_with(|| reason.clone());
        });
        let branch = self.branch.clone();
        let children: Vec<_> = self
            .wait(branch.until(|roster| {
                let seated = roster.children.iter().any(|(_, entry)| matches!(entry.stage, Stage::Seated));
                (!seated).then(|| roster.children.iter().map(|(_, entry)| entry.child.clone()).collect())
            }))
            .await;
        if !self.branch.look(|roster| roster.kill) {
            children.iter().for_each(|child| child.shut_down(Then::Nothing));
        }
        for child in &children {
            self.wait(child.gone()).await;
        }
        drop_each(children);
    }
}
