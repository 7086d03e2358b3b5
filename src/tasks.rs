//! Handles to the tasks of a subtree that only a fault on purpose aborts. Without the feature `chaos` there are none.

use tokio::task::JoinHandle;
#[cfg(feature = "chaos")]
use {std::mem, tokio::task::AbortHandle};

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    #[cfg(feature = "chaos")]
    supervisor: Option<AbortHandle>,
    #[cfg(feature = "chaos")]
    keepers: Vec<AbortHandle>,
}

#[cfg(feature = "chaos")]
impl Tasks {
    pub(crate) fn note_supervisor(&mut self, task: &JoinHandle<()>) {
        self.supervisor = Some(task.abort_handle());
    }

    /// What was noted before comes back.
    pub(crate) fn note_keepers(&mut self, tasks: &[Option<JoinHandle<()>>]) -> impl Sized + use<> {
        let keepers = tasks.iter().flatten().map(JoinHandle::abort_handle).collect();
        mem::replace(&mut self.keepers, keepers)
    }

    pub(crate) fn supervisor(&self) -> Option<AbortHandle> {
        self.supervisor.clone()
    }

    pub(crate) fn keepers(&self) -> Vec<AbortHandle> {
        self.keepers.clone()
    }
}

#[cfg(not(feature = "chaos"))]
#[expect(clippy::unused_self, reason = "as with the feature")]
impl Tasks {
    pub(crate) const fn note_supervisor(&self, _: &JoinHandle<()>) {}

    pub(crate) const fn note_keepers(&self, _: &[Option<JoinHandle<()>>]) -> impl Sized + use<> {}
}
