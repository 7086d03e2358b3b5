//! A register: the value written last.

use std::{fmt::Debug, hash::Hash};

use super::Model;

/// The model of a register: it holds the value that was written last. Compare-and-set makes it that of everything that is read,
/// changed and written back.
///
/// # Examples
///
/// ```
/// use undying::chaos::history::{History, Register, RegisterOp, RegisterRet};
///
/// let history = History::<Register<&str>>::new();
/// let (anna, ben) = (history.client(), history.client());
/// anna.invoke(RegisterOp::Write("tea")).returned(RegisterRet::Written);
/// let change = RegisterOp::CompareAndSet { expected: "tea", new: "coffee" };
/// ben.invoke(change.clone()).returned(RegisterRet::Swapped(true));
/// assert!(history.check(&Register::new("water")).is_ok());
///
/// anna.invoke(change).returned(RegisterRet::Swapped(true)); // what Ben wrote is lost
/// assert!(history.check(&Register::new("water")).is_err());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Register<T> {
    initial: T,
}

/// What can be asked of a [`Register`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the operations of a register")]
pub enum RegisterOp<T> {
    /// Makes it this. The answer is [`Written`](RegisterRet::Written).
    Write(T),
    /// The answer is its [`Value`](RegisterRet::Value).
    Read,
    /// Makes it `new` if it is `expected`. The answer is [`Swapped`](RegisterRet::Swapped): whether it was.
    CompareAndSet {
        /// What it has to be.
        expected: T,
        /// What it becomes.
        new: T,
    },
}

/// What a [`Register`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the answers of a register")]
pub enum RegisterRet<T> {
    /// To [`Write`](RegisterOp::Write).
    Written,
    /// To [`Read`](RegisterOp::Read).
    Value(T),
    /// To [`CompareAndSet`](RegisterOp::CompareAndSet).
    Swapped(bool),
}

impl<T> Register<T> {
    /// A register that holds `initial` at first.
    pub fn new(initial: T) -> Self {
        Self { initial }
    }
}

impl<T: Clone + Eq + Hash + Debug> Model for Register<T> {
    type State = T;
    type Op = RegisterOp<T>;
    type Ret = RegisterRet<T>;

    fn init(&self) -> T {
        self.initial.clone()
    }

    fn apply(&self, value: &mut T, op: &RegisterOp<T>) -> RegisterRet<T> {
        match op {
            RegisterOp::Write(new) => {
                value.clone_from(new);
                RegisterRet::Written
            }
            RegisterOp::Read => RegisterRet::Value(value.clone()),
            RegisterOp::CompareAndSet { expected, new } => {
                let swapped = value == expected;
                if swapped {
                    value.clone_from(new);
                }
                RegisterRet::Swapped(swapped)
            }
        }
    }
}
