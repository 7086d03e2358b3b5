//! Handles to the tasks of a subtree that only a fault on purpose aborts.

use tokio::task::AbortHandle;

#[derive(Debug, Default)]
#[cfg_attr(not(feature = "chaos"), allow(dead_code, reason = "read by `chaos` only"))]
pub(crate) struct Tasks {
    pub(crate) supervisor: Option<AbortHandle>,
    pub(crate) keepers: Vec<AbortHandle>,
}
