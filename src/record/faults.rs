//! Callbacks that are to crash on purpose. Without the feature `chaos` there are none.

use crate::exit::Callback;

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Those whose next run is to crash, each once for every time it is in here.
    #[cfg(feature = "chaos")]
    to_crash: Vec<Callback>,
}

#[cfg(feature = "chaos")]
impl Faults {
    pub(crate) fn crash_next(&mut self, callback: Callback) {
        self.to_crash.push(callback);
    }

    /// Whether this run of a callback is to crash.
    #[inline]
    pub(crate) fn strike(&mut self, callback: Callback) -> bool {
        let marked = self.to_crash.iter().position(|marked| *marked == callback);
        marked.map(|marked| self.to_crash.swap_remove(marked)).is_some()
    }
}

#[cfg(not(feature = "chaos"))]
impl Faults {
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn strike(&self, _: Callback) -> bool {
        false
    }
}
