//! Addresses by message and by name: recipients, and casts to all who have a name of a list.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::poll;
use undying::{
    Callback, CastError, Context, CrashKind, GenServer, Mailbox, Never, Next, Outcome, Recipient, Registry,
    Reply, ServerRef, ServerSpec, StateMut, TrySendError,
};

use crate::{
    crash::{
        script::{Script, ask, get, job, serves, soon, start, stop, tell, wait_at},
        tape::{Event, tape},
    },
    support::{Gate, inject},
};

/// Adds a number to the state, as an info.
fn plus(number: u64) -> crate::crash::script::Job<u64> {
    job(move |state| {
        *state += number;
        Ok(Next::Wait)
    })
}

/// Adds the length of a text to a log.
fn length(text: String) -> crate::crash::script::Job<Vec<usize>> {
    job(move |log: &mut Vec<usize>| {
        log.push(text.len());
        Ok(Next::Wait)
    })
}

both! {
    /// A recipient is an address by message: servers of different types stand behind addresses of one type, and each
    /// gets what is sent in its own terms.
    async fn recipients_hide_the_type_of_the_server() {
        let (counter, log) = (start(0_u64).await, start(Vec::new()).await);
        let recipients: [Recipient<String>; 2] =
            [counter.recipient(|text: String| plus(text.len() as u64)), log.recipient(length)];
        for recipient in &recipients {
            soon(recipient.send("four".into())).await.expect("a server");
            recipient.try_send("seventh".into()).expect("room");
            // A clone is the same address.
            soon(recipient.clone().send("".into())).await.expect("a server");
        }
        assert_eq!(ask(&counter, get).await, 11);
        assert_eq!(ask(&log, get).await, [4, 7, 0]);
    }

    /// What is sent through a recipient is an info like any other: in one order with what the sender sends otherwise,
    /// and kept across crashes.
    async fn what_is_sent_through_a_recipient_keeps_its_place() {
        let (server, gate) = (start(Vec::new()).await, Gate::new());
        let recipient = server.recipient(length);
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        for n in 0..5 {
            soon(recipient.send("x".repeat(2 * n))).await.expect("a server");
            tell(&server, length("x".repeat(2 * n + 1))).await;
        }
        assert_eq!(server.mailbox_len(), 10);
        server.kill_worker();
        serves(&server, 2).await;
        assert_eq!(ask(&server, get).await, (0..10).collect::<Vec<_>>());
    }

    /// The map runs in the worker, when the message is handled: not in the sender, and a panic in it is a crash of
    /// `handle_info`.
    async fn the_map_of_a_recipient_runs_in_the_worker() {
        let (tape, mut events) = tape();
        let server = ServerSpec::new(Script::new(), 0_u64).listener(tape).start().await.expect("it starts");
        let (gate, runs) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let counted = runs.clone();
        let recipient = server.recipient(move |number: u64| {
            counted.fetch_add(1, Ordering::SeqCst);
            if number == 0 { inject() } else { plus(number) }
        });
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        for number in [1, 0, 2] {
            soon(recipient.send(number)).await.expect("a server");
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0, "nobody has handled it yet");
        gate.open();
        serves(&server, 2).await;
        assert_eq!(ask(&server, get).await, 3);
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        let report = loop {
            if let Some(Event::Crashed { report, .. }) = soon(events.recv()).await {
                break report;
            }
        };
        assert_eq!((report.callback(), report.kind()), (Callback::Info, CrashKind::Panic));
        assert_eq!(report.version(), 1);
    }

    /// CS6: through a recipient, too, a full mailbox makes `send` wait, and `try_send` gives the message back as it
    /// was given.
    async fn a_recipient_of_a_full_mailbox_waits_or_gives_back() {
        let spec = ServerSpec::new(Script::new(), 0_u64).mailbox(Mailbox::bounded(1));
        let (server, gate) = (spec.start().await.expect("it starts"), Gate::new());
        let recipient = server.recipient(|text: String| plus(text.len() as u64));
        tell(&server, wait_at(&gate)).await;
        soon(gate.arrived()).await;
        recipient.try_send("1".into()).expect("room");
        match recipient.try_send("back".into()) {
            Err(TrySendError::Full(text)) => assert_eq!(text, "back"),
            other => panic!("{other:?}"),
        }
        let mut waiting = pin!(recipient.send("22".into()));
        assert!(poll!(&mut waiting).is_pending());
        gate.open();
        soon(waiting).await.expect("room");
        assert_eq!(ask(&server, get).await, 3);
    }

    /// CS2: of a server that is over, a recipient gives the message back, as it was given.
    async fn a_recipient_of_a_dead_server_gives_back() {
        let server = start(0_u64).await;
        let recipient = server.recipient(|text: String| plus(text.len() as u64));
        stop(&server).await;
        match soon(recipient.send("back".into())).await {
            Err(CastError(text)) => assert_eq!(text, "back"),
            Ok(()) => panic!("nobody is there"),
        }
        match recipient.try_send("back".into()) {
            Err(TrySendError::NoProc(text)) => assert_eq!(text, "back"),
            other => panic!("{other:?}"),
        }
    }
}

/// Notes what it is cast. Its casts can be cloned, so that one can go to many.
#[derive(Clone)]
struct Board;

impl GenServer for Board {
    type State = Vec<&'static str>;
    type Call = Reply<Vec<&'static str>>;
    type Cast = Post;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Self::Call,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(state.clone());
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        post: Post,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match post {
            Post::Note(text) => state.push(text),
            Post::Hold(gate) => gate.pass().await,
        }
        Ok(Next::Wait)
    }
}

#[derive(Clone)]
enum Post {
    Note(&'static str),
    Hold(Gate),
}

async fn board(registry: &Registry, name: &str, mailbox: Mailbox) -> ServerRef<Board> {
    let spec = ServerSpec::new(Board, Vec::new()).name_in(registry, name).mailbox(mailbox);
    spec.max_restarts(u32::MAX, Duration::from_secs(1)).start().await.expect("it starts")
}

both! {
    /// CS5: a cast to a list of names reaches every living server of the type under one of them, once, and nobody else.
    async fn a_cast_to_names_reaches_those_who_live() {
        let registry = Registry::new();
        let mut boards = Vec::new();
        for name in ["a", "b", "c", "over", "unasked"] {
            boards.push(board(&registry, name, Mailbox::unbounded()).await);
        }
        soon(boards[3].stop()).await.expect("a server");
        let stranger = ServerSpec::new(Script::new(), 0_u64).name_in(&registry, "stranger");
        let _stranger = stranger.start().await.expect("it starts");
        let names = ["a", "missing", "b", "stranger", "over", "c"];
        assert_eq!(registry.abcast::<Board>(names, Post::Note("hello")), 3);
        for (n, board) in boards.iter().enumerate() {
            if n != 3 {
                let expected: &[_] = if n < 3 { &["hello"] } else { &[] };
                assert_eq!(soon(board.call(|reply| reply)).await.expect("served"), expected);
            }
        }
        let nobody: [&str; 0] = [];
        assert_eq!(registry.abcast::<Board>(nobody, Post::Note("hello")), 0);
        assert_eq!(registry.abcast::<Board>(["missing"], Post::Note("hello")), 0);
        assert_eq!(Registry::new().abcast::<Board>(["a"], Post::Note("hello")), 0, "another registry");
    }

    /// CS5: a server that is between two incarnations lives, and gets it afterwards.
    async fn a_cast_to_names_reaches_a_server_that_restarts() {
        let registry = Registry::new();
        let server = board(&registry, "a", Mailbox::unbounded()).await;
        for n in 1..=20 {
            let gate = Gate::new();
            soon(server.cast(Post::Hold(gate.clone()))).await.expect("a server");
            soon(gate.arrived()).await;
            server.kill_worker();
            assert_eq!(registry.abcast::<Board>(["a"], Post::Note("x")), 1);
            assert_eq!(soon(server.call(|reply| reply)).await.expect("served").len(), n);
        }
        assert_eq!(server.incarnation(), 21);
    }

    /// CS5: it never waits, not for room either, and the number it gives is of those who really got it.
    async fn a_cast_to_names_never_waits() {
        let registry = Registry::new();
        let full = board(&registry, "full", Mailbox::bounded(1)).await;
        let free = board(&registry, "free", Mailbox::bounded(1)).await;
        let gate = Gate::new();
        soon(full.cast(Post::Hold(gate.clone()))).await.expect("a server");
        soon(gate.arrived()).await;
        full.try_cast(Post::Note("first")).expect("room");
        let got = registry.abcast::<Board>(["full", "free"], Post::Note("second"));
        gate.open();
        let mut noted = 0;
        for server in [&full, &free] {
            let notes = soon(server.call(|reply| reply)).await.expect("served");
            noted += notes.iter().filter(|note| **note == "second").count();
        }
        assert_eq!(got, noted);
        assert_eq!(soon(free.call(|reply| reply)).await.expect("served"), ["second"]);
    }
}
