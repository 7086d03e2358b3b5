//! Telemetry: what the listeners of the crate say by `tracing` and by `metrics`, and the span around each callback.

mod collector;
mod events;
mod hostile;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
mod redaction;
mod spans;
mod trees;
