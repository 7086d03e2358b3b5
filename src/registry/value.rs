//! What goes with a name.

use std::cell::RefCell;

use parking_lot::ReentrantMutex;

use crate::contain::drop_quietly;

/// A value behind a lock of its own: whoever looks at it keeps nobody from the table. Taken by the thread that has it
/// already, the lock does not wait for itself: that is told.
pub(super) struct Value<V>(ReentrantMutex<RefCell<Option<V>>>);

impl<V> Value<V> {
    pub(super) fn new(value: V) -> Self {
        Self(ReentrantMutex::new(RefCell::new(Some(value))))
    }

    /// Gives what `look` makes of it, unless it was taken away.
    #[track_caller]
    pub(super) fn read<R>(&self, look: impl FnOnce(&V) -> R) -> Option<R> {
        let value = self.0.lock();
        let Ok(value) = value.try_borrow() else {
            panic!("a closure that updates a value looked at it by its key")
        };
        value.as_ref().map(look)
    }

    /// Tells whether it was there to be changed.
    #[track_caller]
    pub(super) fn update(&self, change: impl FnOnce(&mut V)) -> bool {
        let value = self.0.lock();
        let Ok(mut value) = value.try_borrow_mut() else {
            panic!("a closure that has a value updated it by its key")
        };
        value.as_mut().map(change).is_some()
    }

    /// Takes it away; from here on it is not there.
    #[track_caller]
    pub(super) fn take(&self) -> Option<V> {
        let value = self.0.lock();
        let Ok(mut value) = value.try_borrow_mut() else {
            panic!("a closure that has a value took its key away")
        };
        value.take()
    }
}

impl<V> Drop for Value<V> {
    fn drop(&mut self) {
        drop_quietly(self.0.get_mut().take());
    }
}
