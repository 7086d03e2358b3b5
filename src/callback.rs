//! The future of one callback, run inside the scope of its server and with its panics caught.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::Span;

use crate::{
    contain::{Payload, Quiet, catch, drop_quietly},
    scope::Scope,
};

pin_project! {
    /// Polls a callback inside its [`Scope`]; a panic comes back as its payload (K3).
    ///
    /// If the worker is aborted at one of the callback's awaits, what the callback owns is dropped inside the scope, too.
    pub(crate) struct InCallback<'a, F> {
        scope: &'a mut Scope,
        // Mostly none: somebody has to listen at that level. So it is in a box.
        span: Option<Box<Quiet<Span>>>,
        #[pin]
        callback: Option<F>,
    }

    impl<F> PinnedDrop for InCallback<'_, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.callback.is_some() {
                let _ = this.scope.enter(|| this.callback.set(None));
            }
        }
    }
}

impl<'a, F: Future> InCallback<'a, F> {
    pub(crate) fn new(scope: &'a mut Scope, span: Option<Box<Quiet<Span>>>, callback: F) -> Self {
        Self { scope, span, callback: Some(callback) }
    }
}

impl<F: Future> Future for InCallback<'_, F> {
    type Output = Result<F::Output, Payload>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let entered = this.span.as_ref().and_then(|span| catch(|| span.enter()).ok());
        let polled = this.scope.enter(|| {
            let callback =
                this.callback.as_mut().as_pin_mut().expect("a callback is not polled after its end");
            let polled = callback.poll(cx);
            if polled.is_ready() {
                // What the callback still owns is dropped as a part of it: if that panics, it has crashed.
                this.callback.set(None);
            }
            polled
        });
        if entered.is_some() {
            drop_quietly(entered);
        }
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => {
                let _ = this.scope.enter(|| this.callback.set(None));
                Poll::Ready(Err(payload))
            }
        }
    }
}
