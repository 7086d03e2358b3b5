//! What a callback asks of its [`Context`](crate::Context): timers, monitors, links, tasks.
//!
//! It is *staged* here and done when the callback commits, so that a callback that crashes has done none of it (G2), and a
//! fenced incarnation can arm nothing (K4). What stands in the record changes in the same instant as the state
//! ([`record`](Effects::record)); other servers are made to know before the replies are out ([`connect`](Effects::connect)), so
//! that whoever hears one can rely on it; whatever may run or drop user code comes last ([`carry_out`](Effects::carry_out)).

use std::{
    collections::{HashMap, HashSet},
    fmt, mem,
    pin::Pin,
    sync::{Arc, Weak},
};

use tokio::{task::AbortHandle, time::Instant};

use crate::{
    contain::{drop_each, drop_quietly},
    gen_server::GenServer,
    logical::Logical,
    monitor::{Down, MonitorRef},
    peer::{self, Peer, Watcher},
    record::Record,
    task::{Running, TaskRef},
    timers::{Key, Timer, TimerRef},
};

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Most callbacks ask for nothing.
pub(crate) struct Effects<S: GenServer>(Option<Box<Staged<S>>>);

struct Staged<S: GenServer> {
    /// In the order of their names; `None` where it was cancelled again.
    armed: Vec<(TimerRef, Option<Arming<S>>)>,
    /// Those of them that have a key.
    keys: HashMap<Key, TimerRef>,
    cancelled: HashSet<TimerRef>,
    monitors: Vec<(MonitorRef, Arc<dyn Peer>, Watcher)>,
    demonitored: Vec<MonitorRef>,
    tasks: Vec<(TaskRef, Running, Body)>,
    aborted: Vec<TaskRef>,
    links: Vec<(Arc<dyn Peer>, bool)>,
    /// What the record gave back, to be dropped outside its lock (K8).
    removed: Vec<Timer<S::Info>>,
    unwatched: Vec<(MonitorRef, Weak<dyn Peer>)>,
    stopped: Vec<AbortHandle>,
    /// The servers that are watched from now on.
    watched: Vec<(MonitorRef, Arc<dyn Peer>)>,
    /// Watchers of servers that were over, and servers that were linked to such: they are told last.
    late: Vec<(Watcher, Down)>,
    ended: Vec<(Arc<dyn Peer>, Down)>,
    /// Other servers, of which this may be the last handle: what they hold is users', and is dropped last.
    met: Vec<Arc<dyn Peer>>,
}

struct Arming<S: GenServer> {
    at: Option<Instant>,
    timer: Timer<S::Info>,
}

impl<S: GenServer> Effects<S> {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    fn staged(&mut self) -> &mut Staged<S> {
        self.0.get_or_insert_default()
    }

    // ---- staging

    pub(crate) fn arm(&mut self, at: Option<Instant>, timer: Timer<S::Info>) -> TimerRef {
        let name = TimerRef::next();
        let staged = self.staged();
        if let Some(key) = &timer.key {
            staged.keys.insert(key.clone(), name);
        }
        staged.armed.push((name, Some(Arming { at, timer })));
        name
    }

    /// Cancels a timer that was armed by this callback, or one that stands in the record.
    pub(crate) fn cancel(&mut self, name: TimerRef, is_armed: impl FnOnce() -> bool) -> bool {
        if let Some(staged) = &mut self.0 {
            if let Ok(place) = staged.armed.binary_search_by_key(&name, |(name, _)| *name) {
                let armed = staged.armed[place].1.take();
                return armed.is_some();
            }
            if staged.cancelled.contains(&name) {
                return false;
            }
        }
        is_armed() && self.staged().cancelled.insert(name)
    }

    /// The timer of that key that this callback has armed last.
    pub(crate) fn named(&self, key: &str) -> Option<TimerRef> {
        self.0.as_ref()?.keys.get(key).copied()
    }

    pub(crate) fn monitor(
        &mut self,
        server: Arc<dyn Peer>,
        watcher: impl FnOnce(MonitorRef) -> Watcher,
    ) -> MonitorRef {
        let name = MonitorRef::next();
        self.staged().monitors.push((name, server, watcher(name)));
        name
    }

    pub(crate) fn demonitor(&mut self, name: MonitorRef, is_set: impl FnOnce() -> bool) -> bool {
        if let Some(staged) = &mut self.0 {
            if let Some(place) = staged.monitors.iter().position(|(staged, ..)| *staged == name) {
                drop(staged.monitors.remove(place));
                return true;
            }
            if staged.demonitored.contains(&name) {
                return false;
            }
        }
        let set = is_set();
        if set {
            self.staged().demonitored.push(name);
        }
        set
    }

    pub(crate) fn spawn<F>(&mut self, running: Running, body: impl FnOnce(TaskRef) -> F) -> TaskRef
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name = TaskRef::next();
        self.staged().tasks.push((name, running, Box::pin(body(name))));
        name
    }

    pub(crate) fn abort(&mut self, name: TaskRef, is_running: impl FnOnce() -> bool) -> bool {
        let staged = self.0.as_deref();
        let asked_for = staged.is_some_and(|staged| staged.tasks.iter().any(|(task, ..)| *task == name));
        let before = staged.is_some_and(|staged| staged.aborted.contains(&name));
        let running = !before && (asked_for || is_running());
        if running {
            self.staged().aborted.push(name);
        }
        running
    }

    pub(crate) fn link(&mut self, server: Arc<dyn Peer>) {
        self.staged().links.push((server, true));
    }

    pub(crate) fn unlink(&mut self, server: Arc<dyn Peer>, is_linked: impl FnOnce() -> bool) -> bool {
        let links = self.0.iter().flat_map(|staged| staged.links.iter().rev());
        let staged = links.filter(|(peer, _)| peer.id() == server.id()).map(|(_, linked)| *linked).next();
        let linked = staged.unwrap_or_else(is_linked);
        if linked {
            self.staged().links.push((server, false));
        }
        linked
    }

    /// The callback has crashed: it has asked for nothing.
    pub(crate) fn forget(&mut self) {
        let Some(staged) = self.0.take() else { return };
        let Staged { armed, monitors, tasks, links, removed, met, .. } = *staged;
        drop_each(armed);
        drop_each(monitors);
        drop_each(tasks);
        drop_each(links);
        drop_each(removed);
        drop_each(met);
    }

    // ---- the commit

    /// Does what concerns the record. Under its lock: no user code runs and nothing of a user's is dropped.
    #[inline]
    pub(crate) fn record(&mut self, record: &mut Record<S>) {
        if let Some(staged) = &mut self.0 {
            staged.record(record);
        }
    }

    /// Does what concerns other servers: after the commit, and before the replies tell anybody that it was done. K1: it only
    /// notes; whoever is to be told at once is told after that.
    #[inline]
    pub(crate) fn connect(&mut self, logical: &Arc<Logical<S>>) {
        if let Some(staged) = &mut self.0 {
            staged.connect(logical);
        }
    }

    /// Does what may run or drop what is a user's: last.
    #[inline]
    pub(crate) fn carry_out(&mut self, logical: &Arc<Logical<S>>) {
        if let Some(staged) = self.0.take() {
            staged.carry_out(logical);
        }
    }
}

impl<S: GenServer> Staged<S> {
    fn record(&mut self, record: &mut Record<S>) {
        let Self {
            armed, cancelled, monitors, demonitored, tasks, aborted, removed, unwatched, stopped, ..
        } = self;
        let extras = record.extras();
        removed.extend(cancelled.drain().filter_map(|name| extras.timers.cancel(name)));
        for (name, arming) in armed.drain(..) {
            let Some(Arming { at, timer }) = arming else { continue };
            removed.extend(extras.timers.arm(name, at, timer));
        }
        for (name, server, _) in &*monitors {
            extras.monitors.insert(*name, Arc::downgrade(server));
        }
        for name in demonitored.drain(..) {
            unwatched.extend(extras.monitors.remove(&name).map(|server| (name, server)));
        }
        for (name, running, _) in &mut *tasks {
            extras.tasks.insert(*name, mem::take(running));
        }
        for name in &*aborted {
            stopped.extend(extras.abort(*name));
        }
    }

    fn connect(&mut self, logical: &Arc<Logical<S>>) {
        for (name, server, watcher) in self.monitors.drain(..) {
            self.late.extend(server.watch(name, watcher));
            self.watched.push((name, server));
        }
        let here: Arc<dyn Peer> = logical.clone();
        for (there, linked) in self.links.drain(..) {
            if linked {
                self.ended.extend(peer::link(&here, &there));
            } else {
                peer::unlink(&*here, &*there);
            }
            self.met.push(there);
        }
    }

    fn carry_out(self, logical: &Arc<Logical<S>>) {
        let Self { tasks, aborted, removed, mut unwatched, stopped, watched, late, ended, met, .. } = self;
        late.into_iter().for_each(|(watcher, down)| watcher(down));
        for (peer, down) in ended {
            peer.peer_ended(down);
            drop_quietly(peer);
        }
        for (name, server) in &watched {
            // Was this server over before it had begun to watch?
            let gone = |record: &mut Record<S>| record.deferred.ended();
            if logical.cell.look(gone) {
                unwatched.push((*name, Arc::downgrade(server)));
            }
        }
        drop_each(removed);
        for (name, server) in unwatched {
            let Some(server) = server.upgrade() else { continue };
            server.unwatch(name);
            drop_quietly(server);
        }
        drop_each(met);
        drop_each(watched);
        stopped.into_iter().for_each(|task| task.abort());
        for (name, _, body) in tasks {
            if aborted.contains(&name) {
                // It never runs; its drop tells the server so.
                drop_quietly(body);
                continue;
            }
            let task = tokio::spawn(body);
            let unwanted = logical.cell.look(|record| record.note_task(name, task));
            unwanted.into_iter().for_each(|task| task.abort());
        }
    }
}

impl<S: GenServer> Default for Staged<S> {
    fn default() -> Self {
        Self {
            armed: Vec::new(),
            keys: HashMap::new(),
            cancelled: HashSet::new(),
            monitors: Vec::new(),
            demonitored: Vec::new(),
            tasks: Vec::new(),
            aborted: Vec::new(),
            links: Vec::new(),
            removed: Vec::new(),
            unwatched: Vec::new(),
            stopped: Vec::new(),
            watched: Vec::new(),
            late: Vec::new(),
            ended: Vec::new(),
            met: Vec::new(),
        }
    }
}

impl<S: GenServer> Drop for Effects<S> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl<S: GenServer> fmt::Debug for Effects<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("any", &self.0.is_some()).finish_non_exhaustive()
    }
}
