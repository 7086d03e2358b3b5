//! The behaviours of the crate, one module a group. Every test names the behaviour it shows; race items repeat
//! [`support::RACES`] times, and whatever needs no paused clock runs on both runtime flavours.

#[macro_use]
mod support;

mod any;
mod bad_inputs;
mod bombs;
mod call;
mod cast;
#[cfg(feature = "chaos")]
mod chaos;
mod collections;
mod commit_policy;
mod continues;
mod crash;
mod deadlock;
mod dispatch;
mod effects;
#[cfg(feature = "chaos")]
mod history;
mod intensity;
mod keeper;
mod links;
mod listener;
mod mailbox;
#[cfg(feature = "chaos")]
mod monkey;
#[cfg(feature = "observer")]
mod observer;
mod redelivery;
mod registry;
mod regressions;
mod reply;
mod requests;
mod soak;
mod start;
mod state;
mod stop;
mod sys;
mod tasks;
mod telemetry;
mod timeout;
mod timers;
mod tree;
mod watch;
