//! What a logical server is called: its number, and where it has one its name.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The number of a logical server, unique within the process and never used again.
///
/// It stays the same across crashes and restarts: it belongs to the logical server, not to one of its incarnations. Supervisors
/// and the tasks under them have one, too.
///
/// # Examples
///
/// ```
#[doc = include_str!("docs/samples/quiet.md")]
/// use undying::ServerSpec;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (one, other) = (ServerSpec::new(Quiet, 0).start().await?, ServerSpec::new(Quiet, 0).start().await?);
/// assert_ne!(one.id(), other.id());
/// assert_eq!(one.clone().id(), one.id());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u64);

impl ServerId {
    pub(crate) fn next() -> Self {
        Self(serial())
    }
}

/// A number that nothing else in the process has: of a server, a timer, a monitor, a task.
pub(crate) fn serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a server is called in logs and errors: its name, or its number where it has none.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) id: ServerId,
    pub(crate) name: Option<Arc<str>>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => self.id.fmt(f),
        }
    }
}
