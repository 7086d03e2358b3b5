//! Clients against a nemesis: whatever is killed and whatever crashes by itself, what was acknowledged is kept, what crashed is
//! not applied, and once all is calm everybody is served.
//!
//! ```text
//! UNDYING_PROOF=long cargo test --release --features chaos --test chaos -- --nocapture
//! ```
//!
//! Eight clients on a runtime of several threads ask a [`till`], whose callbacks crash one time in ten, in each way a callback
//! can. A [`nemesis`] on a thread of its own kills whatever there is to kill every 0 to 2 ms. What the clients were told is
//! checked in [rounds](soak): at the end of each the value is read, and the next one begins with it, so that all rounds together
//! are the whole history, however long it is.
//!
//! * [`kills`] needs no feature: the worker is killed, and the totals are looked at.
//! * `recorded` needs the feature `chaos`: keepers and supervisors are killed as well, and every round has to be linearizable.
//!
//! A run prints what it did, and its seed; `UNDYING_SEED` takes that back. The draws of clients and nemesis are the same then;
//! which thread is faster is not.

mod clients;
mod kills;
mod nemesis;
#[cfg(feature = "chaos")]
mod recorded;
mod soak;
mod till;
