//! How a supervisor with a strategy looks after its children: one after the other, in order.

use std::sync::Arc;

use tokio::time::Instant;

use super::{End, Manager, Next, Retry, cut_short, reason_of};
use crate::{
    contain::{drop_quietly, log},
    error::{ChildError, StartError},
    exit::ExitReason,
    plan::{self, RestartPolicy, Step, Strategy},
    record::{Phase, Then},
    tree::{
        children::{Entry, Stage},
        roster::Order,
    },
};

/// A child that did not start, and those that were to be started after it.
struct Failure {
    child: u64,
    error: StartError,
    rest: Vec<u64>,
}

impl Manager {
    pub(super) async fn look_after_ordered(&mut self, strategy: Strategy) -> End {
        if let Err(error) = self.start_founders().await {
            self.stop_all(&Phase::Failed(error.clone())).await;
            return Err(error);
        }
        self.branch.up();
        loop {
            let done = match self.next().await {
                Next::End => {
                    let reason = self.ordered_end();
                    self.stop_all(&Phase::Terminated(reason.clone())).await;
                    return Ok(self.killed_or(reason));
                }
                Next::Order(order) => {
                    self.obey(order).await;
                    Ok(())
                }
                Next::News(seat) => self.attend_to(seat),
                Next::Retry(Retry { alone: true, at, seat }) => {
                    self.retry(Strategy::OneForOne, at, seat).await
                }
                Next::Retry(Retry { at, seat, .. }) => self.retry(strategy, at, seat).await,
            };
            if let Err(reason) = done {
                self.stop_all(&Phase::Terminated(reason.clone())).await;
                return Ok(self.killed_or(reason));
            }
        }
    }

    async fn start_founders(&mut self) -> Result<(), StartError> {
        let seats: Vec<_> = self.branch.look(|roster| roster.children.iter().map(|(seat, _)| seat).collect());
        for &seat in &seats {
            match self.start(seat).await {
                Ok(()) => {}
                Err(StartError::Ignored) => self.ignored(seat),
                Err(error) => {
                    let id =
                        self.branch.look(|roster| roster.children.get(seat).map(|entry| entry.id.clone()));
                    log!(error, undying.supervisor = %self.branch.id, undying.child = id.as_deref(), exception.message = %error, "a child did not start");
                    return Err(error);
                }
            }
        }
        self.leave(&seats);
        Ok(())
    }

    /// Starts a child, and waits until it serves. Its news are left to whoever has asked for it, until that is
    /// [done](Self::leave).
    async fn start(&mut self, seat: u64) -> Result<(), StartError> {
        let child = self.branch.look(|roster| {
            let entry = roster.children.get_mut(seat)?;
            entry.busy = true;
            Some(entry.child.clone())
        });
        // It may have gone to another supervisor.
        let Some(child) = child else { return Ok(()) };
        self.wait(child.settled()).await;
        if self.is_closing() {
            return Err(cut_short("its supervisor is about to end"));
        }
        let ends = self.ends(seat);
        let overtaken = self.branch.look(|roster| {
            let Some(entry) = roster.children.get_mut(seat) else { return false };
            // Somebody has ended it for good since it was decided to start it: that is news like any other.
            let overtaken =
                matches!(&entry.stage, Stage::Ended(reason) if !entry.care.restart.restarts(reason));
            if !overtaken {
                entry.stage = Stage::Starting;
            }
            overtaken
        });
        if overtaken {
            return Ok(());
        }
        self.killed = false;
        child.clone().begin(&self.on, ends)?;
        if self.wait(child.started()).await {
            return Ok(());
        }
        self.branch.look(|roster| match roster.children.get(seat).map(|entry| &entry.stage) {
            Some(Stage::Failed(error)) => Err(error.clone()),
            // It served, or was ended by somebody else: that is news like any other.
            Some(Stage::Ended(_)) => Ok(()),
            _ => Err(cut_short("it ended before it served")),
        })
    }

    /// Stops a child, and waits until it is over or, if there is to be `Another` life, waits for that.
    async fn stop(&mut self, seat: u64, then: Then) {
        let child = self.branch.look(|roster| {
            let entry = roster.children.get_mut(seat)?;
            entry.busy = true;
            Some(entry.child.clone())
        });
        let Some(child) = child else { return };
        if self.branch.look(|roster| roster.kill) {
            child.kill(then);
        } else {
            child.shut_down(then);
        }
        match then {
            Then::Another => self.wait(child.settled()).await,
            Then::Nothing => self.wait(child.gone()).await,
        }
        self.branch.look(|roster| {
            if let Some(entry) = roster.children.get_mut(seat) {
                entry.stage = match then {
                    Then::Another => Stage::Between,
                    Then::Nothing => Stage::Down,
                };
            }
        });
    }

    /// Stops all children in reverse order, because the supervisor is to end like that. If it will be there again, they are to
    /// wait for that.
    async fn stop_all(&mut self, end: &Phase) {
        let back = self.branch.comes_back(end);
        loop {
            let last = self.branch.look(|roster| {
                let (seat, entry) = roster.children.iter().next_back()?;
                Some((seat, entry.after(back)))
            });
            let Some((last, then)) = last else { return };
            self.stop(last, then).await;
            match then {
                Then::Another => drop(self.branch.look(|roster| roster.children.remove(last))),
                Then::Nothing => self.branch.forget(last),
            }
        }
    }

    /// What has happened to these children meanwhile is news like any other.
    fn leave(&self, seats: &[u64]) {
        self.branch.look(|roster| seats.iter().for_each(|&seat| roster.leave_to_manager(seat)));
        self.branch.ring();
    }

    /// Restarts a child, and with it those that the strategy wants to be.
    async fn retry(&mut self, strategy: Strategy, at: Instant, seat: u64) -> Result<(), ExitReason> {
        let planned = self.branch.look(|roster| {
            let ended = roster.children.get_mut(seat)?;
            if !ended.is_due(at) {
                return None;
            }
            ended.stage = Stage::Between;
            let (seats, members): (Vec<_>, Vec<_>) =
                roster.children.iter().map(|(seat, entry)| (seat, entry.member())).unzip();
            let place = seats.iter().position(|&other| other == seat)?;
            let steps = plan::restart(strategy, &members, place);
            // Nobody takes them away in the middle of it.
            for step in &steps {
                let (Step::Stop(place) | Step::Dismiss(place) | Step::Start(place)) = *step;
                if let Some(entry) = roster.children.get_mut(seats[place]) {
                    entry.busy = true;
                }
            }
            Some((seats, steps))
        });
        let Some((seats, steps)) = planned else { return Ok(()) };
        let done = self.take(&steps, &seats).await;
        let scheduled = match done {
            Err(Failure { child, error, rest }) if !self.is_closing() => {
                let at = self.schedule(child, &reason_of(&error));
                // They are restarted with it; or for themselves, should it be gone by then.
                at.map(|at| rest.into_iter().for_each(|seat| self.retry_at(Retry { at, seat, alone: true })))
            }
            _ => Ok(()),
        };
        self.leave(&seats);
        scheduled
    }

    /// Takes one step after the other.
    async fn take(&mut self, steps: &[Step], seats: &[u64]) -> Result<(), Failure> {
        for (taken, step) in steps.iter().enumerate() {
            match *step {
                Step::Stop(place) => self.stop(seats[place], Then::Another).await,
                Step::Dismiss(place) => {
                    self.stop(seats[place], Then::Nothing).await;
                    self.branch.forget(seats[place]);
                }
                Step::Start(place) => {
                    let seat = seats[place];
                    self.branch.look(|roster| {
                        if let Some(entry) = roster.children.get_mut(seat) {
                            entry.restarting = true;
                        }
                    });
                    match self.start(seat).await {
                        Ok(()) => {}
                        Err(StartError::Ignored) => self.ignored(seat),
                        Err(error) => {
                            let rest = steps[taken + 1..].iter().filter_map(|step| match *step {
                                Step::Start(place) => Some(seats[place]),
                                Step::Stop(_) | Step::Dismiss(_) => None,
                            });
                            return Err(Failure { child: seat, error, rest: rest.collect() });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    // ---- orders

    async fn obey(&mut self, order: Order) {
        // Whoever has given the order and gone does not wait for the answer.
        match order {
            Order::Start(entry, answer) => drop(answer.send(self.start_child(*entry).await)),
            Order::Terminate(id, answer) => drop(answer.send(self.terminate_child(&id).await)),
            Order::Restart(id, answer) => drop(answer.send(self.restart_child(&id).await)),
            Order::Delete(id, answer) => drop(answer.send(self.delete_child(&id))),
        }
    }

    async fn start_child(&mut self, entry: Entry) -> Result<(), ChildError> {
        let (child, id) = (entry.child.clone(), entry.id.clone());
        let mut entry = Some(Entry { busy: true, ..entry });
        let seated = self.branch.look(|roster| {
            roster.vacant(&id)?;
            Ok(entry.take().map(|entry| roster.children.insert(entry)))
        });
        // One that is refused is a user's, and goes outside the lock (K8).
        drop_quietly(entry);
        let Some(seat) = seated? else { return Ok(()) };
        child.lineage().set(Some(self.branch.seat(seat, false)));
        match self.start(seat).await {
            Ok(()) => {}
            Err(StartError::Ignored) => self.ignored(seat),
            Err(error) => {
                let closing = self.is_closing();
                self.stop(seat, Then::Nothing).await;
                self.branch.forget(seat);
                return Err(if closing { ChildError::NoProc } else { ChildError::Start(error) });
            }
        }
        self.leave(&[seat]);
        Ok(())
    }

    fn find(&self, id: &Arc<str>) -> Result<(u64, Stage, RestartPolicy), ChildError> {
        self.branch.look(|roster| {
            let seat = roster.children.named(id).ok_or(ChildError::NotFound)?;
            let entry = roster.children.get(seat).ok_or(ChildError::NotFound)?;
            Ok((seat, entry.stage.clone(), entry.care.restart))
        })
    }

    async fn terminate_child(&mut self, id: &Arc<str>) -> Result<(), ChildError> {
        let (seat, _, restart) = self.find(id)?;
        self.stop(seat, Then::Nothing).await;
        if restart == RestartPolicy::Temporary {
            self.branch.forget(seat);
        }
        self.leave(&[seat]);
        Ok(())
    }

    async fn restart_child(&mut self, id: &Arc<str>) -> Result<(), ChildError> {
        let (seat, Stage::Down, _) = self.find(id)? else { return Err(ChildError::Running) };
        let started = match self.start(seat).await {
            Ok(()) => Ok(()),
            Err(StartError::Ignored) => {
                self.ignored(seat);
                Ok(())
            }
            Err(error) => {
                self.stop(seat, Then::Nothing).await;
                Err(ChildError::Start(error))
            }
        };
        self.leave(&[seat]);
        started
    }

    fn delete_child(&self, id: &Arc<str>) -> Result<(), ChildError> {
        let (seat, Stage::Down, _) = self.find(id)? else { return Err(ChildError::Running) };
        self.branch.forget(seat);
        Ok(())
    }

    /// The `init` of a child has asked for it not to be started. As in OTP it stays in the list, but a temporary one does not.
    fn ignored(&self, seat: u64) {
        let temporary = self.branch.look(|roster| {
            roster.children.get(seat).is_some_and(|entry| entry.care.restart == RestartPolicy::Temporary)
        });
        if temporary {
            self.branch.forget(seat);
        } else {
            self.lay_down(seat);
        }
    }
}
