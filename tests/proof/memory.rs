//! Memory that was allocated and not freed.

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use parking_lot::{Condvar, Mutex};

/// Counts what `run` allocates and frees on this thread.
pub(crate) fn count(run: impl FnOnce()) -> AllocationInfo {
    // A thread that waits for a lock for the first time may have to enlarge the table of those that wait, which stays. Other tests
    // may make it wait at any time: so it does now, before anything is counted.
    Condvar::new().wait_for(&mut Mutex::new(()).lock(), Duration::from_millis(1));
    measure(run)
}
