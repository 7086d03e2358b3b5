//! What a supervisor does when a child ends. Pure: no clock, no tasks; the children are given as a list in start order.
//!
//! The decisions are those of OTP's `supervisor` (`restart_child`, `do_restart`, `do_auto_shutdown` in `supervisor.erl`, OTP 24 and
//! later).

use crate::exit::ExitReason;

/// Whether a child is restarted when it ends. OTP's restart types.
///
/// Defaults to `Transient`.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/quiet.md")]
/// use undying::{RestartPolicy, ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder()
///     .child(ServerSpec::new(Quiet, 0).id("till").restart(RestartPolicy::Permanent))
///     .child(ServerSpec::new(Quiet, 0).id("guest").restart(RestartPolicy::Temporary))
///     .start()
///     .await?;
/// shop.server::<Quiet>("guest").unwrap().stop().await?;
/// shop.server::<Quiet>("till").unwrap().stop().await?;
/// assert_eq!(shop.server::<Quiet>("till").unwrap().wait_incarnation(2).await.ok(), Some(2));
/// assert!(shop.server::<Quiet>("guest").is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// Always.
    Permanent,
    /// After an [abnormal](ExitReason::is_abnormal) end.
    #[default]
    Transient,
    /// Never: once it has ended, its supervisor forgets it.
    Temporary,
}

impl RestartPolicy {
    /// Whether a child that ended by itself with that reason is restarted.
    pub(crate) fn restarts(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// Which children are restarted when one of them is. OTP's strategies.
///
/// Defaults to `OneForOne`.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/quiet.md")]
/// use undying::{ServerSpec, Strategy, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let part = |id: &str| ServerSpec::new(Quiet, 0).id(id);
/// let shop = Supervisor::builder()
///     .strategy(Strategy::RestForOne)
///     .child(part("a"))
///     .child(part("b"))
///     .child(part("c"))
///     .start()
///     .await?;
/// let [a, b, c] = ["a", "b", "c"].map(|id| shop.server::<Quiet>(id).unwrap());
/// b.kill();
/// assert_eq!(c.wait_incarnation(2).await.ok(), Some(2)); // comes after b
/// assert_eq!((a.incarnation(), b.incarnation()), (1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All: the others are stopped in reverse order, then all are started in order.
    OneForAll,
    /// That one and those that were started after it.
    RestForOne,
}

/// Whether a supervisor ends when children that are marked as significant have ended by themselves. OTP's `auto_shutdown`.
///
/// Defaults to `Never`.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/quiet.md")]
/// use undying::{AutoShutdown, ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder()
///     .auto_shutdown(AutoShutdown::AnySignificant)
///     .child(ServerSpec::new(Quiet, 0).id("till").significant(true))
///     .child(ServerSpec::new(Quiet, 0).id("lamp"))
///     .start()
///     .await?;
/// shop.server::<Quiet>("till").unwrap().stop().await?; // its work is done
/// shop.stopped().await; //                               and so is that of all
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AutoShutdown {
    /// It does not: no child may be significant.
    #[default]
    Never,
    /// When one of them has.
    AnySignificant,
    /// When the last of them has.
    AllSignificant,
}

/// A child, as far as decisions are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) restart: RestartPolicy,
    pub(crate) significant: bool,
    /// Whether it runs, or is about to.
    pub(crate) up: bool,
}

/// What is done about a child that has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// It is restarted, if the budget allows.
    Restart,
    /// Nothing: it stays in the list.
    Stay,
    /// It is forgotten.
    Forget,
    /// That was the end of the supervisor, too.
    ShutDown,
}

/// Decides about `ended`, which has ended by itself; `others` are the other children.
pub(crate) fn react(
    ended: Member,
    reason: &ExitReason,
    auto_shutdown: AutoShutdown,
    mut others: impl Iterator<Item = Member>,
) -> Reaction {
    if ended.restart.restarts(reason) {
        return Reaction::Restart;
    }
    let over = ended.significant
        && match auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !others.any(|other| other.significant && other.up),
        };
    match ended.restart {
        _ if over => Reaction::ShutDown,
        RestartPolicy::Temporary => Reaction::Forget,
        RestartPolicy::Permanent | RestartPolicy::Transient => Reaction::Stay,
    }
}

/// A step of a restart; the number is a place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Stop it; it is to come back.
    Stop(usize),
    /// Stop it and forget it.
    Dismiss(usize),
    Start(usize),
}

/// The steps of the restart of the child at `ended`, which is down. If one of them fails to start, the rest of the steps is void,
/// and the restart goes on, if the budget allows, as a restart of the one that failed.
pub(crate) fn restart(strategy: Strategy, members: &[Member], ended: usize) -> Vec<Step> {
    let range = match strategy {
        Strategy::OneForOne => ended..ended + 1,
        Strategy::OneForAll => 0..members.len(),
        Strategy::RestForOne => ended..members.len(),
    };
    let is_temporary = |&place: &usize| members[place].restart == RestartPolicy::Temporary;
    let stops = range.clone().rev().filter(|&place| members[place].up);
    let stops =
        stops.map(|place| if is_temporary(&place) { Step::Dismiss(place) } else { Step::Stop(place) });
    let starts = range.filter(|place| !is_temporary(place)).map(Step::Start);
    stops.chain(starts).collect()
}

#[cfg(test)]
mod tests;
