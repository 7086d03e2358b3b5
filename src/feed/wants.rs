//! Which changes a listener wants to hear of.

use crate::exit::Callback;

/// By which callbacks. Never those of `init`: they are told by `started`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wants(u16);

impl Wants {
    pub(super) const NONE: Self = Self(0);

    /// Those that can change the state.
    const EACH: [Callback; 8] = [
        Callback::Restarted,
        Callback::Call,
        Callback::Cast,
        Callback::Info,
        Callback::Continue,
        Callback::Timeout,
        Callback::Terminate,
        Callback::System,
    ];

    /// Asks for each.
    pub(super) fn of(wants: impl Fn(Callback) -> bool) -> Self {
        let wanted = Self::EACH.into_iter().filter(|callback| wants(*callback));
        Self(wanted.fold(0, |all, callback| all | Self::bit(callback)))
    }

    const fn bit(callback: Callback) -> u16 {
        1 << callback as u16
    }

    #[inline]
    pub(super) const fn has(self, callback: Callback) -> bool {
        self.0 & Self::bit(callback) != 0
    }

    /// Whether it is all of them.
    pub(super) fn is_all(self) -> bool {
        self.0.count_ones() as usize == Self::EACH.len()
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
