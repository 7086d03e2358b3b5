//! What most logical servers have none of: timers, tasks, monitors, links. Part of the record, allocated when first needed.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Weak,
};

use tokio::task::{AbortHandle, JoinHandle};

use crate::{
    contain::{drop_each, drop_quietly},
    dead_letter::{Again, Message},
    gen_server::GenServer,
    monitor::MonitorRef,
    name::ServerId,
    notice::{Notice, Source},
    peer::{Peer, Tie, Watcher},
    registry::Places,
    request::Request,
    task::{Running, TaskRef},
    timers::Timers,
};

pub(crate) struct Extras<S: GenServer> {
    pub(crate) timers: Timers<S::Info>,
    /// A timer has fired since the last message: if there is mail, it is mail's turn (K10).
    pub(crate) mail_is_next: bool,
    pub(crate) tasks: HashMap<TaskRef, Running>,
    /// Tasks that were spawned only after the end, and aborted at once.
    pub(crate) leaving: Vec<JoinHandle<()>>,
    /// The servers it monitors.
    pub(crate) monitors: HashMap<MonitorRef, Weak<dyn Peer>>,
    /// Who monitors it.
    pub(crate) watchers: HashMap<MonitorRef, Watcher>,
    pub(crate) ties: HashMap<ServerId, (Weak<dyn Peer>, Tie)>,
    /// The names it was given, and the groups it is in.
    pub(crate) places: Places,
    /// What is asked of the worker itself.
    pub(crate) requests: VecDeque<Request<S>>,
    /// Messages whose callback crashed and that are run again before any other.
    pub(crate) again: VecDeque<Again<S>>,
    /// The message in hand, if it is to be run again should its callback crash.
    pub(crate) copy: Option<Message<S>>,
    /// How often it was run before.
    pub(crate) runs: u32,
}

impl<S: GenServer> Default for Extras<S> {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            mail_is_next: false,
            tasks: HashMap::new(),
            leaving: Vec::new(),
            monitors: HashMap::new(),
            watchers: HashMap::new(),
            ties: HashMap::new(),
            places: Places::default(),
            requests: VecDeque::new(),
            again: VecDeque::new(),
            copy: None,
            runs: 0,
        }
    }
}

/// What a server has going, and lets go of when it ends.
pub(crate) struct Own<S: GenServer> {
    places: Places,
    timers: Timers<S::Info>,
    tasks: HashMap<TaskRef, Running>,
    leaving: Vec<JoinHandle<()>>,
    monitors: HashMap<MonitorRef, Weak<dyn Peer>>,
    requests: VecDeque<Request<S>>,
    again: VecDeque<Again<S>>,
}

impl<S: GenServer> Own<S> {
    /// Gives back the messages that are not run again now, and the tasks, which are on their way out.
    pub(crate) fn end(self) -> (VecDeque<Again<S>>, Vec<JoinHandle<()>>) {
        let Self { places, timers, tasks, leaving, monitors, requests, again } = self;
        drop(places);
        drop_each(requests);
        drop_each(timers.into_timers());
        let tasks: Vec<_> = tasks.into_values().filter_map(|running| running.handle).chain(leaving).collect();
        tasks.iter().for_each(JoinHandle::abort);
        for (monitor, server) in monitors {
            let Some(server) = server.upgrade() else { continue };
            server.unwatch(monitor);
            drop_quietly(server);
        }
        (again, tasks)
    }
}

impl<S: GenServer> Extras<S> {
    /// Takes out what ends with the server; those who are to be told of its end stay.
    pub(crate) fn own(&mut self) -> Own<S> {
        Own {
            places: mem::take(&mut self.places),
            timers: mem::take(&mut self.timers),
            tasks: mem::take(&mut self.tasks),
            leaving: mem::take(&mut self.leaving),
            monitors: mem::take(&mut self.monitors),
            requests: mem::take(&mut self.requests),
            again: mem::take(&mut self.again),
        }
    }

    /// The copy of the message in hand.
    pub(crate) fn take_copy(&mut self) -> Option<Message<S>> {
        self.runs = 0;
        self.copy.take()
    }

    /// Whether a notice is still wanted, now that its turn has come.
    pub(crate) fn wants(&mut self, notice: &Notice<S::Info>) -> bool {
        match notice.source {
            Source::Monitor(monitor) => self.monitors.remove(&monitor).is_some(),
            Source::Stream { task, last: true } => self.tasks.remove(&task).is_some(),
            Source::Stream { task, last: false } => self.tasks.contains_key(&task),
            Source::User | Source::Link | Source::Task => true,
        }
    }

    /// Whether a task can be aborted.
    pub(crate) fn is_running(&self, task: TaskRef) -> bool {
        self.tasks.get(&task).is_some_and(|running| !running.aborted)
    }

    /// Notes that a task is to be aborted. Of a stream nothing is wanted any more.
    pub(crate) fn abort(&mut self, task: TaskRef) -> Option<AbortHandle> {
        let running = self.tasks.get_mut(&task)?;
        running.aborted = true;
        let handle = running.abort_handle();
        if running.is_stream {
            self.tasks.remove(&task);
        }
        handle
    }

    /// The tasks that end with incarnation `epoch`.
    pub(crate) fn abort_bound_to(&mut self, epoch: u64) -> Vec<AbortHandle> {
        let bound = self.tasks.values_mut().filter(|running| running.bound_to == Some(epoch));
        let aborted = bound.filter_map(|running| {
            running.aborted = true;
            running.abort_handle()
        });
        aborted.collect()
    }
}
