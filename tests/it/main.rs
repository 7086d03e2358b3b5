//! The behaviours of the crate, one module a group. Every test names the behaviour it shows; race items repeat
//! [`support::RACES`] times, and whatever needs no paused clock runs on both runtime flavours.

#[macro_use]
mod support;

mod bombs;
mod call;
mod cast;
mod continues;
mod crash;
mod intensity;
mod keeper;
mod listener;
mod regressions;
mod reply;
mod soak;
mod start;
mod state;
mod stop;
mod timeout;
