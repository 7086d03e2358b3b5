//! The fuse: where it is, what happens when it goes off, and when that is.

use std::{
    future::pending,
    panic::{panic_any, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use undying::{Callback, Crash, CrashKind, CrashReport, ServerRef};

use super::bomb::Bomb;

/// What the fuse is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Callback(Callback),
    Clone,
    DropState,
    DropServer,
    DropMessage,
    Factory,
    /// Of the listener, as those that follow.
    Started,
    Changed,
    Crashed,
    Restarted,
    Terminated,
}

/// What happens when it goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Panic,
    Any,
    /// A payload whose `Drop` panics.
    Heavy,
    Resume,
    Err,
    /// A kill of the incarnation, which is then at an await.
    Kill,
}

impl Kind {
    /// Those that need neither an outcome nor an await.
    pub(crate) const SYNC: &'static [Self] = &[Self::Panic, Self::Any, Self::Heavy, Self::Resume];
    pub(crate) const ALL: &'static [Self] =
        &[Self::Panic, Self::Any, Self::Heavy, Self::Resume, Self::Err, Self::Kill];

    fn blow(self) -> ! {
        match self {
            Self::Panic => panic!("test: bomb"),
            Self::Any => panic_any(7_u8),
            Self::Heavy => panic_any(Heavy),
            Self::Resume => resume_unwind(Box::new("test: bomb")),
            Self::Err | Self::Kill => unreachable!("not for a place without outcome or await"),
        }
    }

    /// Shows that `report` tells of this kind.
    pub(crate) fn told_by(self, report: &CrashReport) -> bool {
        let (kind, message) = match self {
            Self::Panic | Self::Resume => (CrashKind::Panic, Some("test: bomb")),
            Self::Any | Self::Heavy => (CrashKind::Panic, Some("opaque payload")),
            Self::Err => (CrashKind::Error, Some("test: bomb")),
            Self::Kill => (CrashKind::Kill, None),
        };
        report.kind() == kind && message.is_none_or(|message| report.message() == message)
    }
}

struct Heavy;

impl Drop for Heavy {
    fn drop(&mut self) {
        // A second panic while unwinding would abort the process, and is nothing the crate could prevent.
        if !thread::panicking() {
            panic!("test: the payload refuses to go");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    First,
    Second,
    Every,
    /// Every time but the first.
    Later,
}

impl When {
    /// The times there are for every place.
    pub(crate) const ALL: &'static [Self] = &[Self::First, Self::Second, Self::Every];

    /// Whether the `nth` time, from 1, is one of them.
    pub(crate) fn is(self, nth: u32) -> bool {
        match self {
            Self::First => nth == 1,
            Self::Second => nth == 2,
            Self::Every => true,
            Self::Later => nth > 1,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) when: When,
}

#[derive(Debug)]
pub(crate) struct Fuse {
    case: Case,
    armed: AtomicBool,
    touched: AtomicU32,
    blown: AtomicU32,
}

impl Fuse {
    pub(crate) fn new(case: Case) -> Arc<Self> {
        Arc::new(Self {
            case,
            armed: AtomicBool::new(true),
            touched: AtomicU32::new(0),
            blown: AtomicU32::new(0),
        })
    }

    /// Switches the fuse on or off; it does not count while it is off.
    pub(crate) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    pub(crate) fn touched(&self) -> u32 {
        self.touched.load(Ordering::SeqCst)
    }

    pub(crate) fn blown(&self) -> u32 {
        self.blown.load(Ordering::SeqCst)
    }

    fn lit(&self, place: Place) -> bool {
        if place != self.case.place || !self.armed.load(Ordering::SeqCst) {
            return false;
        }
        let nth = self.touched.fetch_add(1, Ordering::SeqCst) + 1;
        let lit = self.case.when.is(nth);
        self.blown.fetch_add(u32::from(lit), Ordering::SeqCst);
        lit
    }

    pub(crate) fn touch(&self, place: Place) {
        if self.lit(place) {
            self.case.kind.blow();
        }
    }

    /// For a `Drop`: does nothing while unwinding, for that would abort the process.
    pub(crate) fn touch_in_drop(&self, place: Place) {
        if !thread::panicking() {
            self.touch(place);
        }
    }

    pub(crate) async fn pass(&self, callback: Callback, server: ServerRef<Bomb>) -> Result<(), Crash> {
        if !self.lit(Place::Callback(callback)) {
            return Ok(());
        }
        match self.case.kind {
            Kind::Err => Err(Crash::msg("test: bomb")),
            Kind::Kill => {
                server.kill_worker();
                pending().await
            }
            kind => kind.blow(),
        }
    }
}
