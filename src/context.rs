//! What a callback knows of its server beside the state, and what it can ask for.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::Stream;
use tokio::time::Instant;

use crate::{
    contain::drop_quietly,
    deadlines::later,
    effects::Effects,
    exit::{Callback, ExitReason, Place},
    extras::Extras,
    gen_server::GenServer,
    logical::Logical,
    monitor::{Down, MonitorRef},
    notice::{Notice, Source},
    record::Record,
    server_ref::ServerRef,
    task::{self, Running, TaskRef},
    timers::{Key, Rings, Timer, TimerRef},
};

/// A callback's view of its own server.
///
/// What a callback asks of it, timers, monitors, links and tasks, is done when the callback commits: *crashed ⇒ not applied*
/// holds for that as for the state. All of it belongs to the logical server and survives later crashes.
///
/// # Examples
///
/// A session that expires unless it is used, whatever crashes meanwhile:
///
/// ```
/// use std::time::Duration;
/// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
///
/// #[derive(Clone)]
/// struct Session;
/// struct Used;
/// struct Expired;
///
/// impl GenServer for Session {
///     type State = u32; // how often it was used
///     type Call = Never;
///     type Cast = Used;
///     type Info = Expired;
///     type Continue = Never;
///
///     async fn handle_cast(&mut self, _: Used, mut used: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
///         *used += 1;
///         cx.set_timer("expiry", Duration::from_secs(60), Expired); // in place of the one before
///         Ok(Next::Wait)
///     }
///
///     async fn handle_info(&mut self, _: Expired, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
///         Ok(Next::Stop(undying::ExitReason::Normal))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let session = ServerSpec::new(Session, 0).start().await.unwrap();
/// let begin = tokio::time::Instant::now();
/// session.cast(Used).await.unwrap();
/// tokio::time::sleep(Duration::from_secs(30)).await;
/// session.cast(Used).await.unwrap();
/// session.kill_worker();
/// assert_eq!(*session.stopped().await.state, 2);
/// assert_eq!(begin.elapsed().as_secs(), 90);
/// # }
/// ```
pub struct Context<S: GenServer> {
    logical: Arc<Logical<S>>,
    incarnation: u64,
    pub(crate) version: u64,
    pub(crate) effects: Effects<S>,
    /// Whether the callback wants the state to be committed.
    pub(crate) commit: bool,
}

impl<S: GenServer> Context<S> {
    pub(crate) fn new(logical: Arc<Logical<S>>, incarnation: u64, version: u64) -> Self {
        Self { logical, incarnation, version, effects: Effects::none(), commit: false }
    }

    /// A handle to this server, for others. Calling it from here is [`CallError::CallingSelf`](crate::CallError::CallingSelf).
    ///
    /// In the server's own state keep it as a [`WeakServerRef`](crate::WeakServerRef): the final state can be read after the
    /// end, so a server whose state holds itself is never freed.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut, WeakServerRef};
    ///
    /// #[derive(Clone)]
    /// struct Parent;
    ///
    /// impl GenServer for Parent {
    ///     type State = Option<WeakServerRef<Self>>; // a strong one would never be freed
    /// #   type Call = Never; type Cast = Never; type Info = Never; type Continue = Never;
    ///     async fn init(&mut self, mut itself: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         *itself = Some(cx.server().downgrade()); // to be given to others
    ///         Ok(Next::Wait)
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let parent = ServerSpec::new(Parent, None).start().await.unwrap();
    /// # assert_eq!(parent.peek().as_ref().unwrap().upgrade().unwrap().id(), parent.id());
    /// # }
    /// ```
    pub fn server(&self) -> ServerRef<S> {
        ServerRef::new(self.logical.clone())
    }

    /// The number of this incarnation, from 1.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The version of the state this callback began with: how many commits have changed it.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Commits the state with the end of this callback, whatever the [policy](crate::CommitPolicy), if it returns `Ok`.
    pub fn commit(&mut self) {
        self.commit = true;
    }

    // ---- timers

    /// Sends `info` to this server after so much time, once. A delay that is too long for the clock never ends.
    ///
    /// The timer survives crashes. Its message is handled at most once, ahead of queued mail (when several timers wait,
    /// they and the mail take turns). The counterpart of `Process.send_after(self(), …)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
    ///
    /// #[derive(Clone)]
    /// struct Server;
    ///
    /// impl GenServer for Server {
    /// #   type State = Vec<u32>; type Call = Never; type Cast = Never; type Info = u32; type Continue = Never;
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.send_after(Duration::from_secs(2), 2);
    ///         cx.send_after(Duration::from_secs(1), 1);
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, n: u32, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         log.push(n);
    ///         Ok(Next::Wait)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Server, vec![]).start().await?;
    /// server.kill_worker(); // changes nothing
    /// tokio::time::sleep(Duration::from_secs(3)).await;
    /// assert_eq!(**server.peek(), [1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_after(&mut self, after: Duration, info: S::Info) -> TimerRef {
        self.arm(later(after), Timer { rings: Rings::Once(info), key: None })
    }

    /// Sends `info` to this server at an instant, once; at once if that has passed. See [`send_after`](Self::send_after).
    pub fn send_at(&mut self, at: Instant, info: S::Info) -> TimerRef {
        self.arm(Some(at), Timer { rings: Rings::Once(info), key: None })
    }

    /// Sends what `info` makes to this server after every period, until it is cancelled. One chain of ticks, whatever
    /// crashes; a tick whose callback crashes is not repeated.
    ///
    /// Ticks do not drift, and those that came due while the worker was busy or gone are made up for, one message each, as with
    /// OTP's `timer:send_interval` and Tokio's `MissedTickBehavior::Burst`. To leave them out, arm a
    /// [`set_timer`](Self::set_timer) anew in each callback. `info` runs in the worker: if it panics, that is a crash of
    /// `handle_info`.
    ///
    /// # Panics
    ///
    /// If the period is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
    ///
    /// #[derive(Clone)]
    /// struct Server;
    ///
    /// impl GenServer for Server {
    /// #   type State = Vec<u32>; type Call = Never; type Cast = Never; type Info = u32; type Continue = Never;
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.send_interval(Duration::from_secs(1), || 1);
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, n: u32, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         log.push(n);
    ///         Ok(Next::Wait)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Server, vec![]).start().await?;
    /// tokio::time::sleep(Duration::from_millis(3_500)).await;
    /// assert_eq!(**server.peek(), [1, 1, 1]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn send_interval(
        &mut self,
        every: Duration,
        info: impl Fn() -> S::Info + Send + 'static,
    ) -> TimerRef {
        assert!(!every.is_zero(), "an interval of zero would fire all the time");
        self.arm(later(every), Timer { rings: Rings::every(every, info), key: None })
    }

    /// Sends `info` to this server after so much time, once, in place of the timer that has the same key. So it can be armed
    /// again and again, also in [`restarted`](GenServer::restarted), and there is only ever one.
    pub fn set_timer(&mut self, key: impl Into<Key>, after: Duration, info: S::Info) -> TimerRef {
        let key = key.into();
        self.clear_timer(&key);
        self.arm(later(after), Timer { rings: Rings::Once(info), key: Some(key) })
    }

    fn arm(&mut self, at: Option<Instant>, timer: Timer<S::Info>) -> TimerRef {
        self.effects.arm(at, timer)
    }

    /// Cancels a timer of this server. `true`: it was armed, and its message will never be handled, if this callback commits.
    /// There is no moment in which the message is on its way already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use undying::{Context, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
    ///
    /// #[derive(Clone)]
    /// struct Server;
    ///
    /// impl GenServer for Server {
    /// #   type State = Vec<u32>; type Call = Never; type Cast = Never; type Info = u32; type Continue = Never;
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         let timer = cx.send_after(Duration::from_secs(1), 1);
    ///         cx.send_after(Duration::from_secs(2), 2);
    ///         assert!(cx.cancel(timer));
    ///         assert!(!cx.cancel(timer)); // is none any more
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, n: u32, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         log.push(n);
    ///         Ok(Next::Wait)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Server, vec![]).start().await?;
    /// tokio::time::sleep(Duration::from_secs(3)).await;
    /// assert_eq!(**server.peek(), [2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&mut self, timer: TimerRef) -> bool {
        let logical = &self.logical;
        self.effects.cancel(timer, || in_record(logical, |extras| extras.timers.is_armed(timer)))
    }

    /// Cancels the timer of that key, as [`cancel`](Self::cancel) does.
    pub fn clear_timer(&mut self, key: &str) -> bool {
        let staged = self.effects.named(key).is_some_and(|timer| self.cancel(timer));
        let extras = |record: &mut Record<S>| record.extras.as_ref()?.timers.named(key);
        let recorded = self.logical.cell.look(extras);
        staged || recorded.is_some_and(|timer| self.cancel(timer))
    }

    // ---- tasks

    /// Runs `future` as a task of this server. What comes of it comes back as an `Info` made by `info`, exactly once as long as
    /// the server lives: its result, [`Crashed`](ExitReason::Crashed) if it panicked, [`Killed`](ExitReason::Killed) if it was
    /// [aborted](Self::abort).
    ///
    /// The task begins when this callback commits, so a callback that waits for its own task waits for ever. It survives
    /// crashes of the worker and is aborted at the logical end. `info` runs in the worker: if it panics, that is a
    /// crash of `handle_info`. The counterpart of `Task.Supervisor.async_nolink`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Slow;
    /// # impl GenServer for Slow {
    /// #     type State = (); type Call = (u64, Reply<u64>); type Cast = Never; type Continue = Never;
    /// #     type Info = (Reply<u64>, Result<u64, ExitReason>);
    /// async fn handle_call(&mut self, (n, reply): Self::Call, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///     let work = async move { (1..=n).product() };
    ///     cx.spawn(work, |result| (reply, result)); // meanwhile the server serves others
    ///     Ok(Next::Wait)
    /// }
    ///
    /// async fn handle_info(&mut self, (reply, result): Self::Info, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///     reply.send(result.unwrap_or(0));
    ///     Ok(Next::Wait)
    /// }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let slow = ServerSpec::new(Slow, ()).start().await.unwrap();
    /// assert_eq!(slow.call(|reply| (5, reply)).await.unwrap(), 120);
    /// # }
    /// ```
    pub fn spawn<F>(
        &mut self,
        future: F,
        info: impl FnOnce(Result<F::Output, ExitReason>) -> S::Info + Send + 'static,
    ) -> TaskRef
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(Running::default(), future, info)
    }

    /// As [`spawn`](Self::spawn), but the task is aborted when this incarnation ends, too. The next one then hears
    /// [`Killed`](ExitReason::Killed). The counterpart of `Task.async`, which links.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
    ///
    /// #[derive(Clone)]
    /// struct Server;
    ///
    /// impl GenServer for Server {
    ///     type State = String;
    ///     type Info = Result<(), ExitReason>;
    /// #   type Call = Never; type Cast = Never; type Continue = Never;
    ///
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.spawn_linked(std::future::pending::<()>(), |result| result);
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, result: Self::Info, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         *log = format!("{result:?}");
    ///         Ok(Next::Stop(ExitReason::Normal))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Server, String::new()).start().await?;
    /// tokio::task::yield_now().await; // the task runs, with this incarnation
    /// server.kill_worker(); //           and ends with it
    /// assert_eq!(*server.stopped().await.state, "Err(Killed)");
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn_linked<F>(
        &mut self,
        future: F,
        info: impl FnOnce(Result<F::Output, ExitReason>) -> S::Info + Send + 'static,
    ) -> TaskRef
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let bound_to = Some(self.incarnation);
        self.spawn_with(Running { bound_to, ..Running::default() }, future, info)
    }

    fn spawn_with<F>(
        &mut self,
        running: Running,
        future: F,
        info: impl FnOnce(Result<F::Output, ExitReason>) -> S::Info + Send + 'static,
    ) -> TaskRef
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let Self { logical, incarnation, version, effects, .. } = self;
        let place = Place { callback: Callback::Task, incarnation: *incarnation, version: *version };
        effects.spawn(running, |name| task::run(logical, name, place, future, info))
    }

    /// Reads a stream as a task of this server: each item comes as an `Info` made by `info`, and at the end `None`.
    ///
    /// At most 64 items wait for the worker at a time; then the stream is not read on. Like a task it begins when this
    /// callback commits, survives crashes and ends with the logical server. A stream that panics is at its end. `info` runs in
    /// that task; if it panics, the stream is over, and the panic is a crash of the `handle_info` that would have got the item.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{Context, ExitReason, GenServer, Never, Next, Outcome, ServerSpec, StateMut};
    ///
    /// #[derive(Clone)]
    /// struct Server;
    ///
    /// impl GenServer for Server {
    ///     type State = Vec<u32>;
    ///     type Info = Option<u32>; // and `None` at the end
    /// #   type Call = Never; type Cast = Never; type Continue = Never;
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.attach(futures::stream::iter([3, 1, 4]), |item| item);
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, item: Option<u32>, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         let Some(n) = item else { return Ok(Next::Stop(ExitReason::Normal)) };
    ///         log.push(n);
    ///         Ok(Next::Wait)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Server, vec![]).start().await?;
    /// assert_eq!(**server.stopped().await.state, [3, 1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn attach<I>(
        &mut self,
        stream: I,
        info: impl FnMut(Option<I::Item>) -> S::Info + Send + 'static,
    ) -> TaskRef
    where
        I: Stream + Send + 'static,
        I::Item: Send + 'static,
    {
        let logical = &self.logical;
        let running = Running { is_stream: true, ..Running::default() };
        self.effects.spawn(running, |name| task::read(logical, name, stream, info))
    }

    /// Aborts a task of this server, at its next await; its `Info` says [`Killed`](ExitReason::Killed), unless it comes to its
    /// end before. Of an attached stream nothing comes any more, not even what is queued. `false`: it was over, or aborted
    /// before.
    pub fn abort(&mut self, task: TaskRef) -> bool {
        let logical = &self.logical;
        self.effects.abort(task, || in_record(logical, |extras| extras.is_running(task)))
    }

    // ---- other servers

    /// Sends what `info` makes of the [`Down`] to this server when `server` is over: once, and at once if it is over already.
    ///
    /// A crash that `server` survives is not its end. The monitor survives crashes of both. `info` runs in the worker.
    /// The counterpart of `Process.monitor`.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{Context, Down, ExitReason, GenServer, Never, Next, Outcome, ServerRef, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Quiet;
    /// # impl GenServer for Quiet { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// #[derive(Clone)]
    /// struct Heir(ServerRef<Quiet>);
    ///
    /// impl GenServer for Heir {
    ///     type State = String;
    ///     type Info = Down;
    /// #   type Call = Never; type Cast = Never; type Continue = Never;
    ///
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.monitor(&self.0, |down| down); // once: it survives crashes
    ///         Ok(Next::Wait)
    ///     }
    ///
    ///     async fn handle_info(&mut self, down: Down, mut log: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
    ///         *log = down.reason.to_string();
    ///         Ok(Next::Stop(ExitReason::Normal))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Quiet, ()).start().await?;
    /// let heir = ServerSpec::new(Heir(server.clone()), String::new()).start().await?;
    /// heir.kill_worker();
    /// server.kill();
    /// assert_eq!(*heir.stopped().await.state, "killed");
    /// # Ok(())
    /// # }
    /// ```
    pub fn monitor<T: GenServer>(
        &mut self,
        server: &ServerRef<T>,
        info: impl FnOnce(Down) -> S::Info + Send + 'static,
    ) -> MonitorRef {
        let watching = Arc::downgrade(&self.logical);
        self.effects.monitor(server.logical.clone(), |name| {
            Box::new(move |down| match watching.upgrade() {
                Some(logical) => logical.notify(Notice::new(Source::Monitor(name), move || info(down))),
                None => drop_quietly(info),
            })
        })
    }

    /// Ends a monitor. `true`: it was set, and no [`Down`] of it will be handled, not even one that is queued already, if this
    /// callback commits. The counterpart of `Process.demonitor(ref, [:flush])`.
    pub fn demonitor(&mut self, monitor: MonitorRef) -> bool {
        let logical = &self.logical;
        self.effects
            .demonitor(monitor, || in_record(logical, |extras| extras.monitors.contains_key(&monitor)))
    }

    /// Links this server with another one: when one of the two comes to an abnormal end, the other one is
    /// [shut down](crate::ServerSpec::shutdown) with the same reason, or told of it if it
    /// [traps exits](crate::ServerSpec::trap_exits). A server that came to such an end before counts as ending now.
    ///
    /// The link is one between logical servers: a crash that a server survives does not concern it. The counterpart of
    /// `Process.link`.
    ///
    /// # Examples
    ///
    /// ```
    /// use undying::{Context, GenServer, Never, Next, Outcome, ServerRef, ServerSpec, StateMut};
    /// # #[derive(Clone)] struct Quiet;
    /// # impl GenServer for Quiet { type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never; }
    /// #[derive(Clone)]
    /// struct Friend(ServerRef<Quiet>);
    ///
    /// impl GenServer for Friend {
    /// #   type State = (); type Call = Never; type Cast = Never; type Info = Never; type Continue = Never;
    ///     async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
    ///         cx.link(&self.0);
    ///         Ok(Next::Wait)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ServerSpec::new(Quiet, ()).start().await?;
    /// let friend = ServerSpec::new(Friend(server.clone()), ()).start().await?;
    /// server.kill();
    /// assert_eq!(friend.stopped().await.reason.to_string(), "killed");
    /// # Ok(())
    /// # }
    /// ```
    pub fn link<T: GenServer>(&mut self, server: &ServerRef<T>) {
        self.effects.link(server.logical.clone());
    }

    /// Takes back a [`link`](Self::link) with that server, whichever of the two made it, or the tie that
    /// [`start_link`](crate::ServerSpec::start_link) made. `false`: there is none.
    pub fn unlink<T: GenServer>(&mut self, server: &ServerRef<T>) -> bool {
        let (logical, peer) = (&self.logical, server.id());
        self.effects
            .unlink(server.logical.clone(), || in_record(logical, |extras| extras.ties.contains_key(&peer)))
    }

    pub(crate) fn label(&self) -> impl fmt::Display {
        self.logical.label()
    }
}

/// Looks at what the server has at present.
fn in_record<S: GenServer>(logical: &Logical<S>, look: impl FnOnce(&Extras<S>) -> bool) -> bool {
    logical.cell.look(|record| record.extras.as_deref().is_some_and(look))
}

impl<S: GenServer> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logical, incarnation, version, effects: _, commit: _ } = self;
        f.debug_struct("Context")
            .field("server", &logical.id)
            .field("incarnation", incarnation)
            .field("version", version)
            .finish_non_exhaustive()
    }
}
