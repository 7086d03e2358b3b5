//! Debug hooks: see [`Sys::install`](crate::Sys::install).

use std::{fmt, sync::Arc};

use crate::{
    contain::{catch, drop_each},
    exit::Callback,
};

/// What a debug hook is told of, in the order in which it happens.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use std::sync::{Arc, Mutex};
/// use undying::{Callback, ServerSpec, SysEvent};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).start().await?;
/// let seen = Arc::new(Mutex::new(vec![]));
/// let log = seen.clone();
/// counter.sys().install("log", move |event| log.lock().unwrap().push(event.clone())).await?;
/// counter.cast(5).await?;
/// counter.stop().await?;
/// assert_eq!(seen.lock().unwrap()[..2], [SysEvent::In(Callback::Cast), SysEvent::State { version: 1 }]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SysEvent {
    /// A message was taken, and is about to be handled by this callback: a call, a cast or an info.
    In(Callback),
    /// A callback that has committed sent a reply.
    Out,
    /// A change of the state was committed.
    State {
        /// The version of the state.
        version: u64,
    },
}

pub(crate) type Hook = dyn Fn(&SysEvent) + Send + Sync;

/// The debug hooks of a server, by name.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<(&'static str, Arc<Hook>)>);

impl Hooks {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == id)
    }

    pub(crate) fn with(mut self, id: &'static str, hook: Arc<Hook>) -> Self {
        self.0.push((id, hook));
        self
    }

    /// The others; `None` if there are none.
    pub(crate) fn without(mut self, id: &str) -> Option<Self> {
        self.0.retain(|(known, _)| *known != id);
        (!self.0.is_empty()).then_some(self)
    }

    /// Tells all of them, and gives the names of those that panicked.
    pub(crate) fn tell(&self, event: &SysEvent) -> Vec<&'static str> {
        let broken = self.0.iter().filter(|(_, hook)| catch(|| hook(event)).is_err());
        broken.map(|(id, _)| *id).collect()
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        drop_each(self.0.drain(..));
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}
