//! How much is done, and from which seed.

use std::env;

/// Whether the long size was asked for.
pub(crate) fn is_long() -> bool {
    env::var("UNDYING_PROOF").is_ok_and(|size| size == "long")
}

/// One of the two, as the size is.
pub(crate) fn size<T>(per_change: T, long: T) -> T {
    if is_long() { long } else { per_change }
}

/// The payload of a panic on purpose.
#[derive(Debug)]
struct Injected;

/// Panics without running the panic hook: about a thousand times cheaper than `panic!`, and it prints nothing.
pub(crate) fn inject() -> ! {
    std::panic::resume_unwind(Box::new(Injected))
}

/// The seed of what is random: a new one each time, unless `UNDYING_SEED` has one.
pub(crate) fn seed() -> u64 {
    match env::var("UNDYING_SEED") {
        Ok(seed) => seed.parse().expect("UNDYING_SEED is a number"),
        Err(_) => fastrand::u64(..),
    }
}
