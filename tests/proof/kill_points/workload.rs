//! The workload: calls, casts, sends, a timer, a deferred reply, a monitor of another server, a listener, a bounded mailbox.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::{JoinHandle, yield_now},
    time,
};
use undying::{
    CallError, Context, Dispatch, GenServer, Mailbox, Next, Outcome, Registry, Reply, Restart, ServerRef,
    ServerSpec, StateMut,
};

use super::account::{Account, Fate, Heard};
use crate::size::inject;

/// Where the server is found, from before its `init` to its end.
pub(super) const NAME: &str = "book";

/// Enters numbers into its state, each of which is sent once. The hundreds of a number are its sender.
#[derive(Clone)]
pub(super) struct Book;

#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    pub(super) entries: Vec<u32>,
    /// Entered last: it tells a torn state.
    pub(super) sum: u32,
    waiting: Option<Reply<usize>>,
}

/// What the callers hear is how many entries there are with theirs.
pub(super) enum Call {
    Look(Reply<usize>),
    Enter(u32, Reply<usize>),
    /// Is answered by the next [`Open`](Self::Open).
    Wait(u32, Reply<usize>),
    Open(u32, Reply<usize>),
    /// Crashes when it has entered its number and answered.
    Spoil(u32, Reply<usize>),
    /// Has another number entered by a timer.
    Arm(u32, u32, Reply<usize>),
    /// Has another number entered when that server is over.
    Watch(u32, u32, ServerRef<Book>, Reply<usize>),
    /// Has another number entered by a task.
    Spawn(u32, u32, Reply<usize>),
    /// Enters another number in a continue.
    Chain(u32, u32, Reply<usize>),
}

impl Book {
    /// Enters a number, with a moment in between at which the state is torn.
    async fn enter(pages: &mut StateMut<'_, Self>, number: u32) -> usize {
        assert_eq!(pages.entries.iter().sum::<u32>(), pages.sum, "nobody ever sees the half of it");
        pages.entries.push(number);
        yield_now().await;
        pages.sum += number;
        pages.entries.len()
    }
}

impl GenServer for Book {
    type State = Pages;
    type Call = Call;
    type Cast = u32;
    type Info = u32;
    type Continue = u32;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        yield_now().await;
        Ok(Next::Wait)
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        yield_now().await;
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        call: Call,
        mut pages: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Look(reply) => reply.send(pages.entries.len()),
            Call::Enter(number, reply) => reply.send(Self::enter(&mut pages, number).await),
            Call::Wait(number, reply) => {
                pages.waiting = Some(reply);
                Self::enter(&mut pages, number).await;
            }
            Call::Open(number, reply) => {
                let (waiting, entries) = (pages.waiting.take(), Self::enter(&mut pages, number).await);
                reply.send(entries);
                waiting.into_iter().for_each(|waiting| waiting.send(entries));
            }
            Call::Spoil(number, reply) => {
                reply.send(Self::enter(&mut pages, number).await);
                inject()
            }
            Call::Arm(number, later, reply) => {
                cx.send_after(Duration::from_secs(1), later);
                reply.send(Self::enter(&mut pages, number).await);
            }
            Call::Watch(number, later, other, reply) => {
                cx.monitor(&other, move |_| later);
                reply.send(Self::enter(&mut pages, number).await);
            }
            Call::Spawn(number, later, reply) => {
                cx.spawn(yield_now(), move |_| later);
                reply.send(Self::enter(&mut pages, number).await);
            }
            Call::Chain(number, next, reply) => {
                reply.send(Self::enter(&mut pages, number).await);
                return Ok(Next::Continue(next));
            }
        }
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        number: u32,
        mut pages: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Self::enter(&mut pages, number).await;
        Ok(Next::Wait)
    }

    async fn handle_info(
        &mut self,
        number: u32,
        mut pages: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Self::enter(&mut pages, number).await;
        Ok(Next::Wait)
    }

    async fn handle_continue(
        &mut self,
        number: u32,
        mut pages: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Self::enter(&mut pages, number).await;
        Ok(Next::Wait)
    }

    async fn terminate(&mut self, _: &undying::ExitReason, _: StateMut<'_, Self>, _: &mut Context<Self>) {
        yield_now().await;
    }
}

/// These numbers are to be followed by those, by a timer, a monitor, a task and a continue.
pub(super) const EFFECTS: [(u32, u32); 4] = [ARM, WATCH, SPAWN, CHAIN];
const ARM: (u32, u32) = (101, 901);
const WATCH: (u32, u32) = (102, 902);
const SPAWN: (u32, u32) = (103, 903);
const CHAIN: (u32, u32) = (108, 904);
/// Is answered with one of the next. Two of these can be lost to two kills.
pub(super) const WAIT: u32 = 104;
pub(super) const OPENS: [u32; 3] = [105, 106, 107];
/// Crashes by itself.
pub(super) const SPOILED: u32 = 303;

/// Works from the start of a server to its end, whatever happens to it meanwhile. Ticks do not count while a worker shows that
/// others may run its callbacks: that is the same thing over and over.
pub(super) async fn work(dispatch: Dispatch, names: Registry, counts: Arc<AtomicBool>) -> Account {
    let heard = Arc::<Heard>::default();
    let hears = heard.clone();
    let spec = ServerSpec::new(Book, Pages::default())
        .name_in(&names, NAME)
        .dispatch(dispatch)
        .mailbox(Mailbox::bounded(2))
        .max_restarts(u32::MAX, Duration::from_secs(1))
        .listener(move |event: undying::Event<'_, Book>| hears.hear(&event));
    let mut account = Account::new(heard);
    let Ok(server) = spec.start().await else { return account };
    if dispatch == Dispatch::Direct {
        counts.store(false, Relaxed);
        for _ in 0..40 {
            // It may be over already.
            let _ = server.call(Call::Look).await;
        }
        counts.store(true, Relaxed);
    }
    let monitor = server.monitor();
    let clients = [
        tokio::spawn(calls_of_all_kinds(server.clone())),
        tokio::spawn({
            let server = server.clone();
            async move { casts(&server, &[201, 202, 203, 204, 205, 206, 207, 208]).await }
        }),
        tokio::spawn(calls(server.clone())),
    ];
    for client in clients {
        account.fates.extend(client.await.expect("a client ends"));
    }
    for number in [601, 602, 603, 604] {
        // It is asleep each time: this is where callers run its callbacks.
        account.fates.push(call(&server, number, |reply| Call::Enter(number, reply)).await);
        time::advance(Duration::from_secs(1)).await;
    }
    account.fates.extend(casts(&server, &[701, 702]).await);
    account.stopped = Some(server.stop().await.map(|exit| exit.reason));
    account.down = Some(monitor.await.reason);
    account.late = server.call(Call::Look).await.err();
    account.last = Some(server.peek());
    account
}

async fn calls_of_all_kinds(server: ServerRef<Book>) -> Vec<(u32, Fate)> {
    let other = ServerSpec::new(Book, Pages::default()).start().await.expect("it starts");
    let mut fates = vec![
        call(&server, ARM.0, |reply| Call::Arm(ARM.0, ARM.1, reply)).await,
        call(&server, WATCH.0, |reply| Call::Watch(WATCH.0, WATCH.1, other.clone(), reply)).await,
        call(&server, SPAWN.0, |reply| Call::Spawn(SPAWN.0, SPAWN.1, reply)).await,
    ];
    let waiter: JoinHandle<_> = tokio::spawn({
        let server = server.clone();
        async move { call(&server, WAIT, |reply| Call::Wait(WAIT, reply)).await }
    });
    other.stop().await.expect("it stops");
    while !waiter.is_finished() && !server.peek().entries.contains(&WAIT) && server.is_alive() {
        yield_now().await;
    }
    for number in OPENS {
        // Nobody else lets the waiter go.
        let open = call(&server, number, |reply| Call::Open(number, reply)).await;
        fates.push(open);
        if open.1 != Fate::Refused {
            break;
        }
    }
    fates.push(call(&server, CHAIN.0, |reply| Call::Chain(CHAIN.0, CHAIN.1, reply)).await);
    fates.push(waiter.await.expect("it is answered"));
    fates
}

/// Every third is sent as an info.
async fn casts(server: &ServerRef<Book>, numbers: &[u32]) -> Vec<(u32, Fate)> {
    let mut fates = Vec::new();
    for &number in numbers {
        let sent = if number % 3 == 0 { server.send(number).await } else { server.cast(number).await };
        fates.push((number, sent.map_or(Fate::Refused, |()| Fate::Queued)));
    }
    fates
}

async fn calls(server: ServerRef<Book>) -> Vec<(u32, Fate)> {
    let mut fates = Vec::new();
    for number in [301, 302, SPOILED, 304, 305, 306, 307] {
        let make = if number == SPOILED { Call::Spoil } else { Call::Enter };
        fates.push(call(&server, number, |reply| make(number, reply)).await);
    }
    fates
}

async fn call(server: &ServerRef<Book>, number: u32, call: impl FnOnce(Reply<usize>) -> Call) -> (u32, Fate) {
    let fate = match server.call(call).no_timeout().await {
        Ok(entries) => Fate::Acknowledged(entries),
        Err(CallError::Crashed(_) | CallError::NoProc) => Fate::Refused,
        Err(CallError::Stopped(_)) => Fate::Unknown,
        Err(error) => panic!("{number}: {error}"),
    };
    (number, fate)
}
