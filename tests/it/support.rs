//! What the behaviour tests share: both runtime flavours, quiet panics, gates.

use std::{
    sync::{Arc, Once},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// How often a race item is repeated, on each runtime flavour.
pub(crate) const RACES: usize = 200;

/// Runs each async test body on a current-thread and on a multi-thread runtime.
macro_rules! both {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn body() $body

            $(#[$meta])*
            #[tokio::test(flavor = "current_thread")]
            async fn current_thread() {
                $crate::support::quiet();
                body().await
            }

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn multi_thread() {
                $crate::support::quiet();
                body().await
            }
        }
    )*};
}

/// The payload of an injected panic; the hook of [`quiet`] prints nothing for it.
#[derive(Debug)]
pub(crate) struct Injected;

/// Panics with [`Injected`] without running the panic hook: about a thousand times cheaper than `panic!`.
pub(crate) fn inject() -> ! {
    std::panic::resume_unwind(Box::new(Injected))
}

/// Silences the panic hook for panics whose message starts with `test:` and for those of [`inject`].
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_none_or(|text| text.starts_with("test:")) {
                default(info);
            }
        }));
    });
}

/// A place where a handler stops: the test sees it arrive and says when it goes on. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<(Semaphore, Semaphore)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    /// The handler's side: tells that it is here, then waits to be let through.
    pub(crate) async fn pass(&self) {
        self.0.0.add_permits(1);
        self.0.1.acquire().await.expect("never closed").forget();
    }

    /// Waits until a handler is at the gate.
    pub(crate) async fn arrived(&self) {
        self.0.0.acquire().await.expect("never closed").forget();
    }

    /// Lets one handler through, now or when it comes.
    pub(crate) fn open(&self) {
        self.0.1.add_permits(1);
    }
}

/// Lets the runtime work until `done`. It measures real time, so it also gives up under a paused clock, and never
/// advances that.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < patience, "still waiting until {what}");
        tokio::task::yield_now().await;
    }
}
