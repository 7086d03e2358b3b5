//! The guide, a page for each piece, in the order in which one may want to read them.
//!
//! | page | what it is about | OTP |
//! | --- | --- | --- |
//! | **To begin with** | | |
//! | [`getting_started`] | from an empty project to a server that crashes and goes on | |
//! | [`what_survives`] | what is kept of a server when a part of it dies | none: nothing is |
//! | [`let_it_crash`] | callbacks for which crashing is safe, and callers that know what to make of it | the same idea |
//! | [`coming_from_elixir`] | Elixir on the left, this crate on the right, the differences said | all of it |
//! | [`coming_from_actors`] | the same for kameo, ractor and actix | |
//! | [`compiler_messages`] | why it does not compile, and what does | |
//! | **One server** | | |
//! | [`timers`] | messages that come later, once or again and again | `Process.send_after`, `:timer` |
//! | [`continues_and_timeouts`] | what comes right after a callback, and what comes if nothing does | `{:continue, _}`, timeouts |
//! | [`tasks_and_streams`] | work beside the server, and items that arrive | `Task.Supervisor`, `GenStage` |
//! | [`mailboxes`] | bounds, what gives way, warnings, dead letters | none |
//! | [`redelivery`] | to run a message again whose callback crashed | none |
//! | [`commit_policies`] | to keep a large state less often than after each callback | none |
//! | [`sys`] | to look into a server, and to change it while it runs | `:sys` |
//! | **Several servers** | | |
//! | [`trees`] | who starts, restarts and ends whom | `Supervisor`, `DynamicSupervisor`, `PartitionSupervisor` |
//! | [`names`] | to find servers: names, groups, keys with values, who comes and goes | `Process.register`, `Registry`, `:pg` |
//! | [`monitors_and_links`] | to be told of an end, to end together, to follow incarnations | `Process.monitor`, `Process.link` |
//! | [`requests`] | several calls at once, addresses by message | `:gen_server.reqids_*`, `GenServer.multi_call` |
//! | [`deadlocks`] | servers that wait for each other | none: a timeout |
//! | **To see it, to weigh it, to break it** | | |
//! | [`telemetry`] | listeners, logs, traces, metrics, and what they cost | `:telemetry` |
//! | [`observer`] | a web page that shows the servers while they run, and its API | `:observer` |
//! | [`performance`] | what costs what, how to choose a type for the state, who runs the callbacks | none |
//! | [`chaos`] | faults on purpose, and whether every answer was right: tests of one's own service | none |
//! | [`reliability`] | what is promised, how it is shown, and how to run that again | none |
//!
//! One rule holds for all of it. What a callback asks of its [`Context`] is done with its commit: *crashed ⇒ not
//! applied* holds for timers, tasks, monitors and links as it does for the state.

// What the pages link to.
#[cfg(doc)]
use crate::*;

#[doc = include_str!("docs/getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("docs/what_survives.md")]
pub mod what_survives {}

#[doc = include_str!("docs/let_it_crash.md")]
pub mod let_it_crash {}

#[doc = include_str!("docs/coming_from_elixir.md")]
pub mod coming_from_elixir {}

#[doc = include_str!("docs/coming_from_actors.md")]
pub mod coming_from_actors {}

#[doc = include_str!("docs/compiler_messages.md")]
pub mod compiler_messages {}

#[doc = include_str!("docs/trees.md")]
pub mod trees {}

#[doc = include_str!("docs/timers.md")]
pub mod timers {}

#[doc = include_str!("docs/continues_and_timeouts.md")]
pub mod continues_and_timeouts {}

#[doc = include_str!("docs/tasks_and_streams.md")]
pub mod tasks_and_streams {}

#[doc = include_str!("docs/monitors_and_links.md")]
pub mod monitors_and_links {}

#[doc = include_str!("docs/names.md")]
pub mod names {}

#[doc = include_str!("docs/mailboxes.md")]
pub mod mailboxes {}

#[doc = include_str!("docs/deadlocks.md")]
pub mod deadlocks {}

#[doc = include_str!("docs/sys.md")]
pub mod sys {}

#[doc = include_str!("docs/requests.md")]
pub mod requests {}

#[doc = include_str!("docs/redelivery.md")]
pub mod redelivery {}

#[doc = include_str!("docs/observer.md")]
pub mod observer {}

#[doc = include_str!("docs/performance.md")]
pub mod performance {}

#[doc = include_str!("docs/commit_policies.md")]
pub mod commit_policies {}

#[doc = include_str!("docs/telemetry.md")]
///
/// # The events of `TracingListener`
///
#[doc = include_str!("docs/telemetry/events.md")]
///
/// # The metrics of `MetricsListener`
///
#[doc = include_str!("docs/telemetry/metrics.md")]
pub mod telemetry {}

#[cfg_attr(feature = "chaos", doc = include_str!("docs/chaos.md"))]
#[cfg_attr(
    not(feature = "chaos"),
    doc = "How to test one's own service by faults on purpose: a page of the feature `chaos`."
)]
pub mod chaos {}

#[doc = include_str!("docs/reliability.md")]
pub mod reliability {}
