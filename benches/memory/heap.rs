//! What is allocated and not freed, and who has allocated it.

use std::{
    backtrace::Backtrace,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker, Allocator};

#[global_allocator]
static HEAP: Allocator<std::alloc::System> = Allocator::system();

static LIVE: AtomicUsize = AtomicUsize::new(0);
static TRACING: AtomicBool = AtomicBool::new(false);

/// Sees all allocations of the process from now on.
pub(crate) fn watch() -> Arc<Traces> {
    let traces = Arc::<Traces>::default();
    AllocationRegistry::set_global_tracker(Tracker(traces.clone())).expect("it is the only one");
    AllocationRegistry::enable_tracking();
    traces
}

/// The bytes that are in use now.
pub(crate) fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Where the allocations that are still in use were made, by their address.
#[derive(Default)]
pub(crate) struct Traces(Mutex<HashMap<usize, (usize, Backtrace)>>);

impl Traces {
    pub(crate) fn begin(&self) {
        TRACING.store(true, Ordering::Relaxed);
    }

    /// The sizes and backtraces of those that were made since it began and are still in use.
    pub(crate) fn end(&self) -> Vec<(usize, String)> {
        TRACING.store(false, Ordering::Relaxed);
        AllocationRegistry::disable_tracking();
        let traces = std::mem::take(&mut *self.0.lock().expect("nobody panics meanwhile"));
        traces.into_values().map(|(size, trace)| (size, trace.to_string())).collect()
    }
}

struct Tracker(Arc<Traces>);

impl AllocationTracker for Tracker {
    fn allocated(&self, address: usize, size: usize, _: usize, _: AllocationGroupId) {
        LIVE.fetch_add(size, Ordering::Relaxed);
        if TRACING.load(Ordering::Relaxed) {
            let trace = (size, Backtrace::force_capture());
            self.0.0.lock().expect("nobody panics meanwhile").insert(address, trace);
        }
    }

    fn deallocated(&self, address: usize, size: usize, _: usize, _: AllocationGroupId, _: AllocationGroupId) {
        LIVE.fetch_sub(size, Ordering::Relaxed);
        if TRACING.load(Ordering::Relaxed) {
            self.0.0.lock().expect("nobody panics meanwhile").remove(&address);
        }
    }
}
