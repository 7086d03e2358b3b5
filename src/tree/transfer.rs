//! Moving a running child from one supervisor to another.
//!
//! Nothing of the child itself is touched: it gets another parent. That happens in one instant, while its
//! [`Lineage`](super::child::Lineage) and both supervisors are locked, so that no news of it can go astray. One transfer at a
//! time, in the whole process: so nobody else locks two supervisors at once, and no two transfers can each move a supervisor
//! below the other.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::time;

use super::{
    branch::Branch,
    child::Child,
    children::{Entry, Stage},
    dynamic::DynamicSupervisorRef,
    roster::{Event, Roster},
    supervisor::SupervisorRef,
};
use crate::{
    error::{ChildError, TransferError},
    sync::Mutex,
};

/// How long a child is waited for that its supervisor is starting, stopping or restarting.
const PATIENCE: Duration = Duration::from_secs(5);

/// A supervisor that a running child can be [transferred](SupervisorRef::transfer) to: a [`SupervisorRef`] or a
/// [`DynamicSupervisorRef`], and nothing else.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{Adopt, ServerSpec, Supervisor, SupervisorRef, TransferError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// /// Gives everything that there is to somebody else.
/// async fn bequeath(from: &SupervisorRef, to: &impl Adopt) -> Result<(), TransferError> {
///     for child in from.children() {
///         from.transfer(&child.id, to).await?;
///     }
///     Ok(())
/// }
///
/// let till = ServerSpec::new(Quiet, 0).id("till");
/// let (day, night) = (Supervisor::builder().child(till).start().await?, Supervisor::builder().start().await?);
/// bequeath(&day, &night).await?;
/// assert!(day.children().is_empty() && night.server::<Quiet>("till").is_some());
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a child cannot be transferred to a `{Self}`",
    note = "it can be given to a `SupervisorRef` or a `DynamicSupervisorRef`"
)]
pub trait Adopt: sealed::Adopt {}

impl Adopt for SupervisorRef {}
impl Adopt for DynamicSupervisorRef {}

#[expect(unnameable_types, private_interfaces, reason = "sealed: nobody else can take children in")]
mod sealed {
    use std::sync::Arc;

    use super::{Branch, DynamicSupervisorRef, SupervisorRef};

    pub trait Adopt {
        fn branch(&self) -> &Arc<Branch>;
    }

    impl Adopt for SupervisorRef {
        fn branch(&self) -> &Arc<Branch> {
            &self.branch
        }
    }

    impl Adopt for DynamicSupervisorRef {
        fn branch(&self) -> &Arc<Branch> {
            &self.branch
        }
    }
}

pub(super) async fn transfer(
    from: &Arc<Branch>,
    find: impl Fn(&Roster) -> Option<u64>,
    to: &Arc<Branch>,
) -> Result<(), TransferError> {
    let moved = from.until_some(|| attempt(from, &find, to));
    time::timeout(PATIENCE, moved).await.unwrap_or(Err(TransferError::Timeout))
}

/// Moves the child, unless its supervisor is busy with it (`None`).
fn attempt(
    from: &Arc<Branch>,
    find: impl Fn(&Roster) -> Option<u64>,
    to: &Arc<Branch>,
) -> Option<Result<(), TransferError>> {
    static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    let _turn = TURN.lock();
    let found = from.look(|roster| {
        if roster.is_closing() {
            return Err(TransferError::NoProc);
        }
        let entry = find(roster).and_then(|seat| roster.children.get(seat)).ok_or(TransferError::NotFound)?;
        Ok(entry.child.clone())
    });
    let child = match found {
        Ok(child) => child,
        Err(error) => return Some(Err(error)),
    };
    if Arc::ptr_eq(from, to) {
        return Some(Err(TransferError::Refused(ChildError::AlreadyStarted)));
    }
    if to.server() == child.server() || to.is_below(child.server()) {
        return Some(Err(TransferError::Refused(ChildError::NotFound)));
    }
    let moved = child.lineage().still(|seat| {
        from.look(|source| {
            let number = find(source).filter(|number| {
                source.children.get(*number).is_some_and(|entry| entry.child.server() == child.server())
            });
            let Some(number) = number.filter(|_| !source.is_closing()) else {
                return Some(Err(TransferError::NotFound));
            };
            let entry = source.children.get(number)?;
            if let (Stage::Down, false) = (&entry.stage, entry.busy) {
                return Some(Err(TransferError::NotFound));
            }
            if entry.busy || entry.leaving || matches!(entry.stage, Stage::Pending(_)) {
                return None;
            }
            let settled = to.look(|destination| {
                refuses(to, destination, entry)?;
                let entry = Entry { founder: false, ..entry.clone() };
                let news = entry.is_news();
                let number = destination.children.insert(entry);
                if news {
                    destination.events.push_back(Event::News(number));
                }
                *seat = Some(to.seat(number, false));
                Ok(destination.manager.take())
            });
            Some(match settled {
                Ok(manager) => Ok((manager, source.children.remove(number), source.strike(child.server()))),
                Err(error) => Err(TransferError::Refused(error)),
            })
        })
    })?;
    Some(moved.map(|(manager, was, founder)| {
        drop((was, founder));
        manager.into_iter().for_each(std::task::Waker::wake);
    }))
}

/// Why `to` does not take a child, if it does not.
fn refuses(to: &Branch, destination: &Roster, entry: &Entry) -> Result<(), ChildError> {
    if destination.is_closing() || !destination.is_alive() {
        return Err(ChildError::NoProc);
    }
    if destination.children.len() >= to.rules.max_children {
        return Err(ChildError::MaxChildren);
    }
    if to.rules.strategy.is_some() {
        destination.vacant(&entry.id)?;
    }
    entry.care.check(&entry.id, to.rules.auto_shutdown).map_err(ChildError::Start)
}
