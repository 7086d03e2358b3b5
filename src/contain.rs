//! Running and dropping user code whose panics must go no further (K3).

use std::{
    any::Any,
    fmt, mem,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;

/// Runs `f`; a panic comes back as its payload.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Payload(Some(payload)))
}

/// Logs by `tracing`. Who listens to that is a user's, and is to harm nobody but itself.
macro_rules! log {
    ($level:ident, $($said:tt)*) => {{
        let _ = $crate::contain::catch(|| tracing::$level!($($said)*));
    }};
}
pub(crate) use log;

/// Says, once in a process, that nothing in here can keep its promise where a panic aborts.
pub(crate) fn warn_where_panics_abort() {
    static SAID: AtomicBool = AtomicBool::new(false);
    if cfg!(panic = "abort") && !SAID.swap(true, Ordering::Relaxed) {
        log!(warn, "built with panic = \"abort\": a panic ends the process, and no state survives it");
    }
}

pin_project! {
    /// A future whose panic comes back as its payload.
    pub(crate) struct Caught<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F> Caught<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(future) }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Payload>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = catch(|| {
            let future = this.future.as_mut().as_pin_mut().expect("it is not polled after its end");
            let polled = future.poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => {
                let _ = catch(|| this.future.set(None));
                Poll::Ready(Err(payload))
            }
        }
    }
}

/// Drops `value`; a panic of its `Drop` is logged and goes no further.
pub(crate) fn drop_quietly<T>(value: T) {
    if mem::needs_drop::<T>() && catch(|| drop(value)).is_err() {
        log!(error, "a value's Drop panicked; contained");
    }
}

/// Drops each of `values` quietly. One by one: where two of them panicked in one go, the process would abort.
pub(crate) fn drop_each<T>(values: impl IntoIterator<Item = T>) {
    values.into_iter().for_each(drop_quietly);
}

/// Wakes whoever waits. A waker is not ours and may panic; nobody else is to suffer from it.
pub(crate) fn wake_quietly(waker: Option<Waker>) {
    if let Some(waker) = waker {
        if catch(|| waker.wake()).is_err() {
            log!(error, "a waker panicked; contained");
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
        self.0.as_deref().expect("a payload is taken only by its end")
    }

    /// Goes on with the panic.
    pub(crate) fn resume(mut self) -> ! {
        resume_unwind(self.0.take().expect("a payload is taken only by its end"))
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

    /// Without a value: it is yet to be put in.
    pub(crate) const fn vacant() -> Self {
        Self(None)
    }

    pub(crate) const fn is_vacant(&self) -> bool {
        self.0.is_none()
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
