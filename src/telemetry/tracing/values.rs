//! How states are written into events, where the user has said how.

use std::{any::type_name, fmt, marker::PhantomData};

use crate::{any_listener::AnyEvent, contain::catch};

/// Writes the states of one type.
pub(super) trait Show: Send + Sync {
    /// The state of an event, if it is of the type.
    fn state(&self, event: &AnyEvent<'_>) -> Option<String>;
    /// The state before a change, if it is of the type.
    fn old(&self, event: &AnyEvent<'_>) -> Option<String>;
    fn type_name(&self) -> &'static str;
}

/// Writes a `T` as the user's function does.
pub(super) struct Values<T, F> {
    show: F,
    of: PhantomData<fn(&T)>,
}

impl<T, F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result> Values<T, F> {
    pub(super) fn new(show: F) -> Self {
        Self { show, of: PhantomData }
    }

    /// The text is made before the event is: a subscriber does not see the user's function panic, and perhaps under a lock of
    /// its own. A function that fails may have written half a value, and that is not told.
    fn write(&self, value: &T) -> Option<String> {
        struct Text<'a, T, F>(&'a T, &'a F);
        impl<T, F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Text<'_, T, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (self.1)(self.0, f)
            }
        }
        let mut text = String::new();
        let written = catch(|| fmt::Write::write_fmt(&mut text, format_args!("{}", Text(value, &self.show))));
        matches!(written, Ok(Ok(()))).then_some(text)
    }
}

impl<T: 'static, F> Show for Values<T, F>
where
    F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
{
    fn state(&self, event: &AnyEvent<'_>) -> Option<String> {
        event.state().and_then(|state| self.write(state))
    }

    fn old(&self, event: &AnyEvent<'_>) -> Option<String> {
        event.old().and_then(|old| self.write(old))
    }

    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
}
