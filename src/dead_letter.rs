//! Messages that will not be handled any more, and running a message again whose callback crashed.

use std::{cell::Cell, fmt, sync::Arc};

use crate::{
    contain::{catch, drop_quietly, log},
    error::CallError,
    exit::{Callback, CrashReport, ExitReason},
    gen_server::GenServer,
    record::Envelope,
    reply::Claim,
    sync::thread_local,
};

/// A message that was queued and will not be handled: see [`ServerSpec::dead_letters`](crate::ServerSpec::dead_letters).
///
/// # Examples
///
/// One with a server is in the [guide](crate::docs::mailboxes#example).
///
/// ```
/// use undying::{DeadLetter, DeadLetterReason, GenServer, Message};
///
/// /// To be given to `ServerSpec::dead_letters`.
/// fn bury<S: GenServer<Cast: std::fmt::Debug>>(letter: DeadLetter<S>) {
///     match (letter.message, letter.why) {
///         (Message::Cast(cast), DeadLetterReason::Crashed(report)) => println!("{cast:?} crashed: {report}"),
///         (Message::Cast(cast), why) => println!("{cast:?}: {why:?}"),
///         _ => {} // callers are told themselves
///     }
/// }
/// ```
#[non_exhaustive]
pub struct DeadLetter<S: GenServer> {
    /// The message.
    pub message: Message<S>,
    /// Why it will not be handled.
    pub why: DeadLetterReason,
}

/// A message to a server.
///
/// # Examples
///
/// ```
/// use undying::{GenServer, Message};
///
/// fn kind<S: GenServer>(message: &Message<S>) -> &'static str {
///     match message {
///         Message::Call(_) => "a call",
///         Message::Cast(_) => "a cast",
///         Message::Info(_) => "something else",
///         _ => "something new",
///     }
/// }
/// ```
#[non_exhaustive]
pub enum Message<S: GenServer> {
    /// Of a [`call`](crate::ServerRef::call). Its caller has been told already.
    Call(S::Call),
    /// Of a [`cast`](crate::ServerRef::cast).
    Cast(S::Cast),
    /// Of a [`send`](crate::ServerRef::send).
    Info(S::Info),
}

/// Why a message will not be handled.
///
/// # Examples
///
/// ```
/// use undying::DeadLetterReason;
///
/// fn explain(why: &DeadLetterReason) -> String {
///     match why {
///         DeadLetterReason::Overflow => "there was no room for it".into(),
///         DeadLetterReason::Crashed(report) => format!("it crashed: {}", report.message()),
///         DeadLetterReason::Ended(reason) => format!("the server was over first: {reason}"),
///         _ => format!("{why:?}"),
///     }
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// It gave way to a newer one: [`WhenFull::DropOldest`](crate::WhenFull::DropOldest).
    Overflow,
    /// Its callback crashed, each time it was run: [`Redelivery::Retry`]. The report is of the last time; its
    /// [`version`](CrashReport::version) is that of the state it was run on.
    Crashed(CrashReport),
    /// It was queued when the server ended.
    Ended(ExitReason),
}

/// Whether a message whose callback crashed is run again.
///
/// A message is a call, a cast, or anything that comes as an `Info`, the ticks of timers and the results of tasks included. A
/// [`Next::Continue`](crate::Next::Continue) is never run twice.
///
/// # Examples
///
/// One where it helps is in the [guide](crate::docs::redelivery#example).
///
/// ```
#[doc = include_str!("docs/samples/counter.md")]
/// use undying::{Redelivery, ServerSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = ServerSpec::new(Counter, 0).redelivery(Redelivery::Retry { max: 2 }).start().await?;
/// counter.cast(13).await?; // crashes always
/// assert_eq!(counter.wait_incarnation(4).await.ok(), Some(4)); // it was tried three times
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redelivery {
    /// No: at most once.
    Never,
    /// Up to `max` times more, before anything that was queued behind it. The caller of a call waits meanwhile. A message is
    /// cloned before it is handled; what its callback has done to the world is done again, and by a zombie perhaps at the same
    /// time. If it crashes each time, it is a [`DeadLetter`].
    Retry {
        /// How many times more.
        max: u32,
    },
}

thread_local! {
    /// Whether a hook for dead letters is running.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this code runs in a hook for dead letters: what such a hook sends must not make another dead letter, which would be
/// told it in turn, without an end.
pub(crate) fn is_told() -> bool {
    TOLD.with(Cell::get)
}

pub(crate) type Undertaker<S> = dyn Fn(DeadLetter<S>) + Send + Sync;

/// How a message is run again: how often, and how it is copied.
pub(crate) struct Copies<S: GenServer> {
    pub(crate) max: u32,
    call: fn(&S::Call) -> S::Call,
    cast: fn(&S::Cast) -> S::Cast,
    info: fn(&S::Info) -> S::Info,
}

impl<S: GenServer> Copies<S> {
    pub(crate) fn new(max: u32) -> Self
    where
        S::Call: Clone,
        S::Cast: Clone,
        S::Info: Clone,
    {
        Self { max, call: Clone::clone, cast: Clone::clone, info: Clone::clone }
    }

    /// User code.
    pub(crate) fn copy(&self, message: &Message<S>) -> Message<S> {
        match message {
            Message::Call(call) => Message::Call((self.call)(call)),
            Message::Cast(cast) => Message::Cast((self.cast)(cast)),
            Message::Info(info) => Message::Info((self.info)(info)),
        }
    }
}

/// A message that is to be run again.
pub(crate) struct Again<S: GenServer> {
    pub(crate) message: Message<S>,
    pub(crate) claim: Option<Claim>,
    /// How often it was run.
    pub(crate) runs: u32,
}

impl<S: GenServer> Envelope<S> {
    /// Sees a message off that will not be handled: its caller is told `error`, and the hook, if there is one, gets it.
    pub(crate) fn bury(
        self,
        hook: Option<&Arc<Undertaker<S>>>,
        error: CallError,
        why: impl FnOnce() -> DeadLetterReason,
    ) {
        let message = match self {
            Self::Call(call, claim) => {
                claim.fail(error);
                Message::Call(call)
            }
            Self::Cast(cast) => Message::Cast(cast),
            Self::Info(info) => Message::Info(info),
            Self::Own(own) => return own.bury(hook, error, why),
            Self::Notice(notice) if hook.is_some() && notice.is_mail() => match catch(|| notice.make()) {
                Ok(info) => Message::Info(info),
                Err(_) => return,
            },
            Self::Notice(notice) => return drop_quietly(notice),
        };
        message.bury(hook, why);
    }
}

impl<S: GenServer> Message<S> {
    /// What handles it.
    pub(crate) fn callback(&self) -> Callback {
        match self {
            Self::Call(_) => Callback::Call,
            Self::Cast(_) => Callback::Cast,
            Self::Info(_) => Callback::Info,
        }
    }

    pub(crate) fn bury(self, hook: Option<&Arc<Undertaker<S>>>, why: impl FnOnce() -> DeadLetterReason) {
        let Some(hook) = hook else { return drop_quietly(self) };
        let outer = TOLD.with(|told| told.replace(true));
        let told = catch(|| hook(DeadLetter { message: self, why: why() }));
        TOLD.with(|told| told.set(outer));
        if told.is_err() {
            log!(error, "a hook for dead letters panicked");
        }
    }
}

impl<S: GenServer> fmt::Debug for DeadLetter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter").field("message", &self.message).field("why", &self.why).finish()
    }
}

impl<S: GenServer> fmt::Debug for Message<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call(_) => "Call(..)",
            Self::Cast(_) => "Cast(..)",
            Self::Info(_) => "Info(..)",
        })
    }
}
