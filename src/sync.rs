//! The locks, atomics and thread-locals of the crate: parking_lot's and std's, or those of a model checker.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use self::real::*;

#[cfg(any(loom, shuttle))]
pub(crate) use self::model::*;

#[cfg(not(any(loom, shuttle)))]
mod real {
    pub(crate) use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread_local,
    };

    pub(crate) use parking_lot::{Mutex, RwLock};
    #[cfg(feature = "chaos")]
    pub(crate) use std::thread::yield_now;
    pub(crate) use tokio::task::coop;
}

#[cfg(any(loom, shuttle))]
mod model {
    #[cfg(loom)]
    use loom::sync as checked;
    #[cfg(shuttle)]
    use shuttle::sync as checked;

    pub(crate) use checked::{
        MutexGuard, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    };
    #[cfg(all(feature = "chaos", shuttle))]
    pub(crate) use shuttle::thread::yield_now;
    #[cfg(shuttle)]
    pub(crate) use shuttle::thread_local;
    // What is modelled under loom has none of these.
    #[cfg(all(feature = "chaos", loom))]
    pub(crate) use std::thread::yield_now;
    #[cfg(loom)]
    pub(crate) use std::thread_local;
    #[cfg(loom)]
    pub(crate) use tokio::task::coop;

    /// Tokio's budgets, without an end: the checker itself decides whose turn it is.
    #[cfg(shuttle)]
    pub(crate) mod coop {
        use std::task::{Context, Poll};

        pub(crate) use tokio::task::coop::has_budget_remaining;

        pub(crate) struct Turn;

        impl Turn {
            pub(crate) fn made_progress(&self) {}
        }

        pub(crate) fn poll_proceed(_: &mut Context<'_>) -> Poll<Turn> {
            Poll::Ready(Turn)
        }
    }

    /// A checked mutex with the shape of parking_lot's.
    #[derive(Debug, Default)]
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

    /// A checked lock for readers and writers with the shape of parking_lot's.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(checked::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(checked::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
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

    /// Runs `model` under 20,000 random schedules, or as many as `SHUTTLE_SCHEDULES` says, and under as many of those that a few
    /// preemptions at bad moments make (PCT).
    #[cfg(shuttle)]
    pub(crate) fn holds(model: impl Fn() + Send + Sync + 'static) {
        let asked_for = std::env::var("SHUTTLE_SCHEDULES").ok();
        let schedules = asked_for.map_or(20_000, |many| many.parse().expect("SHUTTLE_SCHEDULES is a number"));
        let model = std::sync::Arc::new(model);
        let again = model.clone();
        shuttle::check_random(move || again(), schedules);
        shuttle::check_pct(move || model(), schedules, 3);
    }

    /// Shows that the checker finds the fault in `model`, so that its silence about the others means something.
    pub(crate) fn is_found_broken(model: impl Fn() + Send + Sync + 'static) {
        let found = catch_unwind(AssertUnwindSafe(|| holds(model)));
        assert!(found.is_err(), "the seeded bug was not found");
    }
}
