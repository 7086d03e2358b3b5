//! What happens to a server, as events of the crate `tracing`.

mod values;

use std::{fmt, sync::Arc};

use tracing::Level;

use self::values::{Show, Values};
use super::{callback_word, is_method, kind_word, reason_word};
use crate::{
    any_listener::{AnyEvent, AnyEventKind, AnyListener, listens_to_any},
    exit::{Callback, CrashReport, ExitReason},
};

/// Says what happens to a server by the crate `tracing`: one event with its data in fields for each start, change of the state,
/// crash, restart and end.
///
#[doc = include_str!("../docs/telemetry/events.md")]
///
/// **No state is ever told** unless [`values`](Self::values) says how to write it, nor is any message. What a panic or an error
/// says of itself is told: a panic message that quotes the state is in `exception.message`.
///
/// Other than this listener, the worker opens a span around each callback: the target `undying::callback`, TRACE. And the crate
/// logs crashes and its own warnings without any listener, under the paths of its modules.
///
/// # Examples
///
/// ```
/// use undying::{ServerSpec, telemetry::TracingListener};
/// # use undying::{GenServer, Never};
/// # #[derive(Clone)] struct Sessions;
/// # #[derive(Clone, Default)] struct Session { user: String, token: String }
/// # impl GenServer for Sessions { type State = Session; type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // Who is logged in is told, and nothing else of the state.
/// let listener = TracingListener::default().values(|state: &Session, f| write!(f, "user {}", state.user));
/// let sessions = ServerSpec::new(Sessions, Session::default()).listener(listener).start().await.unwrap();
/// # sessions.stop().await.unwrap();
/// # }
/// ```
#[derive(Clone, Default)]
pub struct TracingListener {
    values: Vec<Arc<dyn Show>>,
}

impl TracingListener {
    /// Tells the states whose snapshot is a `T`, written by `show`. For a state that is `Clone`, the snapshot is of the state's
    /// type. Defaults to telling none.
    ///
    /// It can be given for any number of types; where a type has more than one, the first is used. `show` is called by the
    /// keeper, and only if somebody listens to the event. If it panics, the event comes without a value.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fmt::Debug;
    /// use undying::telemetry::TracingListener;
    ///
    /// # let _ =
    /// TracingListener::default()
    ///     .values::<u64>(Debug::fmt)
    ///     .values(|accounts: &Vec<String>, f| write!(f, "{} accounts", accounts.len()))
    /// # ;
    /// ```
    #[must_use = "it is a listener that is yet to be given to a server"]
    pub fn values<T: 'static>(
        mut self,
        show: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync + 'static,
    ) -> Self {
        self.values.push(Arc::new(Values::new(show)));
        self
    }

    fn state(&self, event: &AnyEvent<'_>) -> Option<String> {
        self.values.iter().find_map(|values| values.state(event))
    }

    fn old(&self, event: &AnyEvent<'_>) -> Option<String> {
        self.values.iter().find_map(|values| values.old(event))
    }
}

/// Tells an event with the fields that all events have. Nothing is made of the state unless somebody listens.
macro_rules! tell {
    ($listener:ident, $event:ident, $level:expr, $target:literal, $message:literal, $($fields:tt)*) => {
        if tracing::enabled!(target: $target, $level) {
            tracing::event!(
                target: $target,
                $level,
                server.id = %$event.server.id(),
                server.name = $event.server.name(),
                "server.type" = $event.server.type_name(),
                $($fields)*
                undying.state = $listener.state($event),
                $message
            );
        }
    };
}

impl TracingListener {
    fn state_changed(&self, event: &AnyEvent<'_>, at: At, version: u64, lagged: u64) {
        tell!(
            self,
            event,
            Level::DEBUG,
            "undying::state_changed",
            "the state changed",
            code.function.name = at.function(event),
            undying.callback = callback_word(at.callback),
            undying.incarnation = at.incarnation,
            undying.version = version,
            undying.lagged = lagged,
            undying.old_state = self.old(event),
        );
    }

    fn crashed(&self, event: &AnyEvent<'_>, report: &CrashReport, abandoned: bool, lagged: u64) {
        let kind = kind_word(report.kind());
        tell!(
            self,
            event,
            Level::ERROR,
            "undying::crashed",
            "the server crashed",
            code.function.name = At::of(report).function(event),
            "error.type" = kind,
            "exception.type" = kind,
            exception.message = report.message(),
            undying.callback = callback_word(report.callback()),
            undying.incarnation = report.incarnation(),
            undying.version = report.version(),
            undying.abandoned = abandoned,
            undying.lagged = lagged,
        );
    }

    fn terminated(&self, event: &AnyEvent<'_>, reason: &ExitReason) {
        let report = match reason {
            ExitReason::Crashed(report) | ExitReason::RestartLimit(report) => Some(report),
            _ => None,
        };
        let word = reason_word(reason);
        macro_rules! terminated {
            ($level:expr) => {
                tell!(
                    self, event, $level, "undying::terminated", "the server is over",
                    code.function.name = report.and_then(|report| At::of(report).function(event)),
                    "error.type" = reason.is_abnormal().then_some(word),
                    "exception.type" = report.map(|report| kind_word(report.kind())),
                    exception.message = report.map(CrashReport::message),
                    undying.callback = report.map(|report| callback_word(report.callback())),
                    undying.incarnation = report.map(CrashReport::incarnation),
                    undying.version = report.map(CrashReport::version),
                    undying.exit.reason = word,
                    undying.exit.description = %reason,
                )
            };
        }
        match reason {
            ExitReason::Killed => terminated!(Level::WARN),
            abnormal if abnormal.is_abnormal() => terminated!(Level::ERROR),
            _ => terminated!(Level::INFO),
        }
    }
}

impl AnyListener for TracingListener {
    fn event(&self, event: &AnyEvent<'_>) {
        match event.kind {
            AnyEventKind::Started => {
                tell!(self, event, Level::INFO, "undying::started", "the server serves",);
            }
            AnyEventKind::StateChanged { version, incarnation, callback, lagged } => {
                self.state_changed(event, At { callback, incarnation }, version, lagged);
            }
            AnyEventKind::Crashed { report, abandoned, lagged } => {
                self.crashed(event, report, abandoned, lagged);
            }
            AnyEventKind::Restarted { incarnation, took, lagged } => tell!(
                self,
                event,
                Level::INFO,
                "undying::restarted",
                "the server serves again",
                undying.incarnation = incarnation,
                undying.restart.duration = took.as_secs_f64(),
                undying.lagged = lagged,
            ),
            AnyEventKind::Terminated { reason } => self.terminated(event, reason),
        }
    }
}

listens_to_any!(TracingListener);

/// Where in the life of a server something happened.
#[derive(Debug, Clone, Copy)]
struct At {
    callback: Callback,
    incarnation: u64,
}

impl At {
    fn of(report: &CrashReport) -> Self {
        Self { callback: report.callback(), incarnation: report.incarnation() }
    }

    /// The full name of the method, as OpenTelemetry has it.
    fn function(self, event: &AnyEvent<'_>) -> Option<String> {
        let method = || format!("{}::{}", event.server.type_name(), callback_word(self.callback));
        is_method(self.callback).then(method)
    }
}

impl fmt::Debug for TracingListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.values.iter().map(|values| values.type_name()).collect();
        f.debug_struct("TracingListener").field("values", &types).finish()
    }
}
