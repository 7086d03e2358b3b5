//! The locks and atomics of the primitives: parking_lot and std, or those of a model checker.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use self::real::*;

#[cfg(any(loom, shuttle))]
pub(crate) use self::model::*;

#[cfg(not(any(loom, shuttle)))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) use parking_lot::Mutex;
}

#[cfg(any(loom, shuttle))]
mod model {
    #[cfg(loom)]
    use loom::sync as checked;
    #[cfg(shuttle)]
    use shuttle::sync as checked;

    pub(crate) use checked::{
        MutexGuard,
        atomic::{AtomicUsize, Ordering},
    };

    /// A checked mutex with the shape of parking_lot's.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(checked::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(checked::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

/// What the models of the primitives share: run every schedule, or very many of them.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) mod check {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[cfg(loom)]
    pub(crate) use loom::{future::block_on, thread::spawn};
    #[cfg(shuttle)]
    pub(crate) use shuttle::{future::block_on, thread::spawn};

    /// Runs `model` under every schedule with at most four preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says.
    #[cfg(loom)]
    pub(crate) fn holds(model: impl Fn() + Send + Sync + 'static) {
        let mut every = loom::model::Builder::new();
        every.preemption_bound = every.preemption_bound.or(Some(4));
        every.check(model);
    }

    /// Runs `model` under random schedules, and under those that a few preemptions at bad moments make (PCT).
    #[cfg(shuttle)]
    pub(crate) fn holds(model: impl Fn() + Send + Sync + 'static) {
        let model = std::sync::Arc::new(model);
        let again = model.clone();
        shuttle::check_random(move || again(), 20_000);
        shuttle::check_pct(move || model(), 20_000, 3);
    }

    /// Shows that the checker finds the fault in `model`, so that its silence about the others means something.
    pub(crate) fn is_found_broken(model: impl Fn() + Send + Sync + 'static) {
        let found = catch_unwind(AssertUnwindSafe(|| holds(model)));
        assert!(found.is_err(), "the seeded bug was not found");
    }
}
