//! Running and dropping user code whose panics must go no further (K3).

use std::{
    any::Any,
    fmt, mem,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

/// Runs `f`; a panic comes back as its payload.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Payload(Some(payload)))
}

/// Drops `value`; a panic of its `Drop` is logged and goes no further.
pub(crate) fn drop_quietly<T>(value: T) {
    if mem::needs_drop::<T>() && catch(|| drop(value)).is_err() {
        tracing::error!("a value's Drop panicked; contained");
    }
}

/// Wakes whoever waits. A waker is not ours and may panic; nobody else is to suffer from it.
pub(crate) fn wake_quietly(waker: Option<Waker>) {
    if let Some(waker) = waker {
        if catch(|| waker.wake()).is_err() {
            tracing::error!("a waker panicked; contained");
        }
    }
}

/// What a panic carries. Its own `Drop` may panic, too, so it is dropped as carefully as anything else.
pub(crate) struct Payload(Option<Box<dyn Any + Send>>);

impl Payload {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Self(Some(payload))
    }

    pub(crate) fn as_any(&self) -> &(dyn Any + Send) {
        self.0.as_deref().expect("a payload is taken only by its drop")
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").finish_non_exhaustive()
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(self.0.take()))) {
            // A payload that panics when dropped, with a payload that may do so again: the only end is to leak it.
            mem::forget(second);
        }
    }
}

/// A value that is dropped quietly, whatever way its owner ends.
#[derive(Debug)]
pub(crate) struct Quiet<T>(Option<T>);

impl<T> Quiet<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Drops the value now.
    pub(crate) fn clear(&mut self) {
        drop_quietly(self.0.take());
    }
}

impl<T> Deref for Quiet<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the value is taken only by its drop")
    }
}

impl<T> DerefMut for Quiet<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the value is taken only by its drop")
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}
