//! `peek`, while the server is idle and while it is busy.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use undying::{Context, GenServer, Never, Next, Outcome, ServerRef, ServerSpec, StateMut};

use crate::{
    harness::{Lane, interleave, median},
    subject::Flavour,
    table::Table,
};

#[derive(Clone)]
struct Worker;

/// What keeps it busy.
enum Busy {
    /// One callback, until it is told to stop.
    Callback(Receiver<()>),
    /// One commit after the other, until it is told to stop.
    Commits(Arc<AtomicBool>),
}

impl GenServer for Worker {
    type State = u64;
    type Call = Never;
    /// It says when it begins.
    type Cast = (Sender<()>, Busy);
    type Info = Never;
    type Continue = Busy;

    async fn handle_cast(
        &mut self,
        (begins, busy): Self::Cast,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        begins.send(()).expect("somebody waits for this");
        Ok(Next::Continue(busy))
    }

    async fn handle_continue(
        &mut self,
        busy: Busy,
        mut commits: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *commits += 1;
        match busy {
            Busy::Callback(stop) => {
                stop.recv().expect("it is told to stop");
                Ok(Next::Wait)
            }
            Busy::Commits(stop) if stop.load(Ordering::Relaxed) => Ok(Next::Wait),
            busy => Ok(Next::Continue(busy)),
        }
    }
}

pub(crate) fn run(rounds: usize, table: &mut Table) {
    let runtime = Flavour::MultiThread.runtime();
    let server = runtime.block_on(ServerSpec::new(Worker, 0).start()).expect("it starts");
    let begin = |busy| {
        let (begins, begun) = channel();
        runtime.block_on(server.cast((begins, busy))).expect("it runs");
        begun.recv().expect("it begins");
    };
    let lanes = [
        Lane::new(PEEKS, || peek(&server)),
        Lane::new(PEEKS, || {
            let (stop, stopped) = channel();
            begin(Busy::Callback(stopped));
            let took = peek(&server);
            stop.send(()).expect("it waits for this");
            took
        }),
        Lane::new(PEEKS, || {
            let stop = Arc::new(AtomicBool::new(false));
            begin(Busy::Commits(stop.clone()));
            let took = peek(&server);
            stop.store(true, Ordering::Relaxed);
            took
        }),
    ];
    let [idle, in_callback, committing] = interleave(rounds, lanes).map(median);
    table.head("reading the kept state", "idle");
    table.at_most("peek, idle", idle, 30.0);
    table.ratio("peek, the worker in a callback", in_callback, idle, 1.1);
    table.note_ratio("peek, the worker commits without pause", committing, idle);
}

const PEEKS: usize = 50_000;

fn peek(server: &ServerRef<Worker>) -> Duration {
    let began = Instant::now();
    for _ in 0..PEEKS {
        black_box(*server.peek());
    }
    began.elapsed()
}
