//! What a worker does next, what a callback wants to come after it, and how an incarnation ends.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    cell::Fenced,
    contain::Quiet,
    dead_letter::Message,
    deadlines::later,
    error::StartError,
    exit::{Callback, CrashKind, CrashReport, ExitReason, Place},
    gen_server::{GenServer, Next, Restart},
    notice::Notice,
    request::Wish,
    seat::Seat,
    timers::Maker,
};

/// How an incarnation ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It never served: the server does not start.
    NotStarted(StartError),
    /// It was to stop, or is to stop: the logical server ends with this reason.
    Stopped(ExitReason),
    /// It crashed: there will be another.
    Died { reason: ExitReason, report: CrashReport },
    /// Somebody ended it from outside.
    Fenced,
    /// Somebody ended it from outside, and its task could not be stopped (K5).
    Abandoned,
}

/// Makes the server value of each incarnation.
pub(crate) type Factory<S> = Quiet<Box<dyn Fn() -> S + Send>>;

/// The seat of a worker. The end is in a box, since the task has room for it for as long as it lives.
pub(crate) type WorkerSeat = Arc<Seat<Box<End>>>;

/// How an incarnation begins.
pub(crate) enum Opening {
    Init,
    Restarted(Restart),
}

/// What a worker does next.
pub(crate) enum Job<S: GenServer> {
    Init,
    Restarted(Restart),
    Call(S::Call),
    Cast(S::Cast),
    Info(S::Info),
    Timer(S::Info),
    Tick(Arc<Maker<S::Info>>),
    Notice(Box<Notice<S::Info>>),
    /// A notice that nobody wants any more.
    Void(Box<Notice<S::Info>>),
    /// A message that was run before.
    Again(Message<S>),
    Continue(S::Continue),
    Timeout,
    System(Wish<S>),
    Stop(ExitReason),
}

/// What follows a callback.
pub(crate) enum Turn {
    GoOn,
    Stop(ExitReason),
}

/// Why a callback's work is not kept.
pub(crate) enum Unkept {
    Crashed(CrashReport),
    /// `init` does not want to start.
    Ignored,
    Fenced,
}

impl From<Fenced> for Unkept {
    fn from(Fenced: Fenced) -> Self {
        Self::Fenced
    }
}

/// What a callback wants to come after it, if that is anything but the next message.
pub(crate) struct After<S: GenServer> {
    /// The user's, so dropped quietly if nothing comes of it.
    pub(crate) next: Quiet<Option<S::Continue>>,
    pub(crate) idle_until: Option<Instant>,
    pub(crate) stop: Option<ExitReason>,
    pub(crate) hibernate: bool,
}

impl<S: GenServer> After<S> {
    #[inline]
    pub(crate) fn of(next: Next<S>, place: Place) -> Result<Option<Self>, Unkept> {
        if let Next::Wait = next { Ok(None) } else { Self::unusual(next, place).map(Some) }
    }

    fn unusual(next: Next<S>, place: Place) -> Result<Self, Unkept> {
        let mut after = Self { next: Quiet::new(None), idle_until: None, stop: None, hibernate: false };
        let error = |message: String| Unkept::Crashed(CrashReport::new(CrashKind::Error, message, place));
        match next {
            Next::Wait => {}
            Next::Continue(next) => *after.next = Some(next),
            Next::Timeout(wait) => after.idle_until = later(wait),
            Next::Hibernate => after.hibernate = true,
            Next::Stop(reason) if place.callback == Callback::Init => {
                return Err(error(format!("init stopped: {reason}")));
            }
            Next::Stop(reason) => after.stop = Some(reason),
            Next::Ignore if place.callback == Callback::Init => return Err(Unkept::Ignored),
            Next::Ignore => return Err(error("`Next::Ignore` is for `init` only".into())),
        }
        Ok(after)
    }
}

impl<S: GenServer> From<Opening> for Job<S> {
    fn from(opening: Opening) -> Self {
        match opening {
            Opening::Init => Self::Init,
            Opening::Restarted(why) => Self::Restarted(why),
        }
    }
}

impl<S: GenServer> Job<S> {
    /// Whether it has left the mailbox.
    pub(crate) fn is_mail(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Cast(_) | Self::Info(_) | Self::Notice(_) | Self::Void(_))
    }

    pub(crate) fn callback(&self) -> Callback {
        match self {
            Self::Init => Callback::Init,
            Self::Restarted(_) => Callback::Restarted,
            Self::Call(_) => Callback::Call,
            Self::Cast(_) => Callback::Cast,
            Self::Info(_) | Self::Timer(_) | Self::Tick(_) | Self::Notice(_) => Callback::Info,
            Self::Again(message) => message.callback(),
            Self::System(_) => Callback::System,
            Self::Void(_) => Callback::Idle,
            Self::Continue(_) => Callback::Continue,
            Self::Timeout => Callback::Timeout,
            Self::Stop(_) => Callback::Terminate,
        }
    }
}
