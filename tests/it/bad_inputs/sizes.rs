//! Messages, states and names of any size, from none at all to a mebibyte. Those of a gibibyte are in `giants`.

use std::sync::Arc;

use undying::{
    CallError, Context, Crash, GenServer, Next, Outcome, Registry, Reply, ServerRef, ServerSpec, StartError,
    StateMut, Supervisor, WhereisError,
};

use crate::{
    crash::script::{Script, add, ask, crash, job, look, slow, soon, start, stop, tell},
    support::{inject, until},
};

const MIB: usize = 1 << 20;

/// A value of so many bytes that is moved about, not pointed to.
#[derive(Clone, Copy, PartialEq)]
struct Bulk<const N: usize>([u8; N]);

/// Adds what its messages have in their first byte, to a state of the same size.
#[derive(Clone)]
struct Mover<const N: usize>;

impl<const N: usize> GenServer for Mover<N> {
    type State = Bulk<N>;
    type Call = (Bulk<N>, Reply<Bulk<N>>);
    type Cast = Bulk<N>;
    type Info = Bulk<N>;
    type Continue = Bulk<N>;

    async fn handle_call(
        &mut self,
        (by, reply): Self::Call,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        state.0[0] += by.0[0];
        if by.0[1] > 0 {
            inject();
        }
        reply.send(*state);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        by: Bulk<N>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(Next::Continue(by))
    }

    async fn handle_info(
        &mut self,
        by: Bulk<N>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        Ok(Next::Continue(by))
    }

    async fn handle_continue(
        &mut self,
        by: Bulk<N>,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        state.0[0] += by.0[0];
        Ok(Next::Wait)
    }
}

/// Moves such messages by every way there is, with a crash in between.
async fn moves<const N: usize>() {
    let bulk = |first: u8, second: u8| {
        let mut bulk = Bulk([0; N]);
        (bulk.0[0], bulk.0[1]) = (first, second);
        bulk
    };
    let server = soon(Box::pin(ServerSpec::new(Mover, bulk(0, 0)).start())).await.expect("it starts");
    let called = soon(Box::pin(server.call(|reply| (bulk(1, 0), reply)))).await.expect("an answer");
    assert!(called == bulk(1, 0));
    soon(Box::pin(server.cast(bulk(2, 0)))).await.map_err(drop).expect("alive");
    soon(Box::pin(server.send(bulk(4, 0)))).await.map_err(drop).expect("alive");
    let crashed = soon(Box::pin(server.call(|reply| (bulk(100, 1), reply)))).await.map(drop);
    assert!(matches!(crashed, Err(CallError::Crashed(_))), "{crashed:?}");
    soon(server.wait_incarnation(2)).await.expect("alive");
    server.kill_worker();
    soon(server.wait_incarnation(3)).await.expect("alive");
    let called = soon(Box::pin(server.call(|reply| (bulk(8, 0), reply)))).await.expect("an answer");
    assert!(called == bulk(15, 0) && soon(server.stop()).await.expect("alive").state.0[0] == 15);
}

/// Nothing in it takes any room.
#[derive(Clone)]
struct Nothing;

impl GenServer for Nothing {
    type State = ();
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();
    type Continue = ();

    async fn handle_call(
        &mut self,
        reply: Reply<()>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(());
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        (): (),
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *state = ();
        Ok(Next::Continue(()))
    }

    async fn handle_info(&mut self, (): (), _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        inject()
    }

    async fn handle_continue(
        &mut self,
        (): (),
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *state = ();
        Ok(Next::Wait)
    }
}

both! {
    /// Messages, answers and states that are large by value, not behind a pointer, are moved through calls, casts, sends, continues,
    /// crashes and kills on the stacks that tests and runtimes have.
    async fn large_values_are_moved() {
        Box::pin(moves::<1_024>()).await;
        Box::pin(moves::<8_192>()).await;
    }

    /// Messages and states without any size are counted like others: each is handled once, each change is a version.
    async fn nothing_at_all_is_a_message_and_a_state() {
        let server = soon(ServerSpec::new(Nothing, ()).start()).await.expect("it starts");
        for _ in 0..3_000 {
            server.try_cast(()).expect("room");
        }
        soon(server.call(|reply| reply)).await.expect("an answer");
        // One for the cast, one for its continue.
        assert_eq!((server.peek().version(), server.incarnation()), (6_000, 1));
        server.try_send(()).expect("room");
        server.try_cast(()).expect("room");
        soon(server.call(|reply| reply)).await.expect("an answer");
        assert_eq!((server.peek().version(), server.incarnation()), (6_002, 2));
        soon(server.stop()).await.expect("alive");
    }

    /// Requests and answers of several mebibytes are handed over, not copied.
    async fn a_message_may_be_of_mebibytes() {
        let server = start(Vec::<u8>::new()).await;
        let text = vec![7_u8; 64 * MIB];
        let place = text.as_ptr() as usize;
        let back = ask(&server, move |reply: Reply<Vec<u8>>| look(move |_: &Vec<u8>| {
            reply.send(text);
            Ok(Next::Wait)
        })).await;
        assert_eq!((back.as_ptr() as usize, back.len()), (place, 64 * MIB));
        stop(&server).await;
    }

    /// What a panic or an error has to say may be as long as it likes, and arrives whole.
    async fn a_crash_may_have_much_to_say() {
        let server = start(0_u64).await;
        let long = "x".repeat(8 * MIB);
        for fails in [false, true] {
            let text = long.clone();
            let called = server.call(|reply: Reply<()>| job(move |_| {
                let _reply = reply;
                if fails { Err(Crash::msg(text)) } else { std::panic::resume_unwind(Box::new(text)) }
            }));
            let Err(CallError::Crashed(report)) = soon(called).await else { panic!("it crashes") };
            assert_eq!(report.message().len(), long.len());
        }
        // An error may not be able to say anything at all.
        let called = server.call(|reply: Reply<()>| job(move |_| {
            let _reply = reply;
            Err(Mute)?
        }));
        let Err(CallError::Crashed(report)) = soon(called).await else { panic!("it crashes") };
        assert!(report.message().contains("Display panicked"), "{report}");
        assert_eq!(ask(&server, add).await, 1);
        stop(&server).await;
    }

    /// NR1 NR4: a name may be a mebibyte long, empty, or of any characters; it is found, taken and freed like any other, by ids in a
    /// tree as well.
    async fn a_name_may_be_anything() {
        let names = Registry::new();
        let long = "n".repeat(MIB);
        for name in [long.as_str(), "", " ", "\0", "a\nb", "ﷺ\u{202e}\u{feff}", "Registry::global"] {
            let spec = || ServerSpec::new(Script::new(), 0_u64).name_in(&names, name);
            let server = soon(spec().start()).await.expect("it is free");
            assert_eq!((server.name(), names.names()), (Some(name), vec![name.to_string()]));
            assert_eq!(names.whereis::<Script<u64>>(name).expect("it is there").id(), server.id());
            let taken = soon(spec().start()).await.map(drop);
            assert!(matches!(taken, Err(StartError::AlreadyStarted(id)) if id == server.id()), "{taken:?}");
            crash(&server).await;
            // It calls itself, by way of another: the circle has the names of both.
            let other = soon(spec().name_in(&Registry::new(), name).start()).await.expect("it is free there");
            let (back, there) = (server.clone(), other.clone());
            let circle = ask(&server, move |reply: Reply<Vec<String>>| slow(move |_, _| Box::pin(async move {
                let inner = there.call(|reply: Reply<Vec<String>>| slow(move |_, _| Box::pin(async move {
                    let Err(CallError::Deadlock { cycle }) = back.call(add).await else { panic!("test: no circle") };
                    reply.send(cycle);
                    Ok(Next::Wait)
                })));
                reply.send(inner.await?);
                Ok(Next::Wait)
            }))).await;
            assert_eq!(circle.len(), 2);
            for server in [&server, &other] {
                stop(server).await;
            }
            assert!(matches!(names.whereis::<Script<u64>>(name), Err(WhereisError::NotFound)));
        }
        let family = Supervisor::builder().id(long.clone());
        let family = family.child(ServerSpec::new(Script::new(), 0_u64).id(long.clone()));
        let family = soon(family.child(ServerSpec::new(Script::new(), 0_u64).id("")).start()).await.expect("it starts");
        for id in ["", &long] {
            let child: ServerRef<Script<u64>> = family.server(id).expect("it is there");
            assert_eq!(ask(&child, add).await, 1);
        }
        assert!(family.tree().to_string().len() > 2 * MIB && family.tree().to_dot().len() > 2 * MIB);
        soon(family.stop()).await.expect("it stops");
    }

    /// K8 G11: a queue of a hundred thousand messages that each hold something is let go at a kill, each of them once.
    async fn a_long_queue_is_let_go_at_once() {
        let (server, held) = (start(0_u64).await, Arc::new(()));
        let gate = crate::support::Gate::new();
        tell(&server, crate::crash::script::wait_at(&gate)).await;
        soon(gate.arrived()).await;
        for _ in 0..100_000 {
            let hold = held.clone();
            server.try_cast(look(move |_| {
                drop(hold);
                Ok(Next::Wait)
            })).map_err(drop).expect("room");
        }
        server.kill();
        soon(server.stopped()).await;
        until("nothing is held", || Arc::strong_count(&held) == 1).await;
    }
}

/// Panics when it is asked what it is.
#[derive(Debug)]
struct Mute;

impl std::fmt::Display for Mute {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        inject()
    }
}

impl std::error::Error for Mute {}
