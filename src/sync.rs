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
    }
}
