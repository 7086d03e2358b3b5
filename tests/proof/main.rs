//! What the crate promises, shown at length: no moment at which a kill does harm, no sequence of steps that surprises a model, no
//! month that leaves a trace, and nothing left behind by what has ended.
//!
//! Each module has a size for every change, and a long one for before a figure is claimed:
//!
//! ```text
//! UNDYING_PROOF=long cargo test --release --all-features --test proof <module> -- --nocapture
//! ```
//!
//! What is random prints its seed and takes it from `UNDYING_SEED`.

mod kill_points;
mod leaks;
mod long_time;
mod memory;
mod model;
mod size;
