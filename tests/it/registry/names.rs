//! Names that running servers are given.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::{runtime::Builder, task::yield_now};
use undying::{
    Context, Crash, GenServer, Never, Next, Outcome, Registry, ServerRef, ServerSpec, StartError, StateMut,
    WhereisError,
};

use super::{ENDS, Member, Say, Stranger, has_nothing, heard, member, mortal, start, start_stranger};
use crate::{
    crash::script::soon,
    support::{Gate, RACES},
};

both! {
    /// NR10: a server can be given any number of names besides its own, and answers to all of them, also in its next
    /// incarnation.
    async fn a_server_answers_to_every_name_it_is_given() {
        let names = Registry::new();
        let server = member().name_in(&names, "own").start().await.expect("it starts");
        for name in ["a", "b", ""] {
            names.register(name, &server).expect("it is free");
        }
        let mut all = names.names();
        all.sort();
        assert_eq!(all, ["", "a", "b", "own"]);
        for (note, name) in (0..).zip(&all) {
            let found = names.whereis::<Member>(name).expect("it is there");
            found.cast(Say::Note(note)).await.expect("alive");
            found.cast(Say::Crash).await.expect("alive");
        }
        assert_eq!(heard(&server).await, [0, 1, 2, 3]);
        assert_eq!((server.name(), server.incarnation()), (Some("own"), 5));
    }

    /// NR1: a name that somebody has is not given again, and who asks is told the holder: of a name of a spec, also of one
    /// whose server is still in its `init`, of a name that was given, and to the holder itself.
    async fn a_name_that_is_taken_is_not_given() {
        let (names, other, gate) = (Registry::new(), start().await, Gate::new());
        let slow = tokio::spawn(ServerSpec::new(Slow(gate.clone()), ()).name_in(&names, "slow").start());
        soon(gate.arrived()).await;
        let early = names.register("slow", &other);
        gate.open();
        let slow = soon(slow).await.expect("no panic").expect("it starts");
        let late = names.register("slow", &other);
        let again = names.register("slow", &slow);
        for refused in [early, late, again] {
            assert!(matches!(refused, Err(StartError::AlreadyStarted(id)) if id == slow.id()), "{refused:?}");
        }
        names.register("given", &slow).expect("it is free");
        let again = names.register("given", &slow);
        let start = member().name_in(&names, "given").start().await;
        for refused in [names.register("given", &other), again, start.map(drop)] {
            assert!(matches!(refused, Err(StartError::AlreadyStarted(id)) if id == slow.id()), "{refused:?}");
        }
        soon(slow.stop()).await.expect("it stops");
        names.register("slow", &other).expect("it is free");
        names.register("given", &other).expect("it is free");
    }

    /// A name that was given can be taken away, once; the name that a server was started with cannot.
    async fn only_names_that_were_given_are_taken_away() {
        let names = Registry::new();
        let server = member().name_in(&names, "own").start().await.expect("it starts");
        names.register("given", &server).expect("it is free");
        assert!(names.unregister("given"));
        assert!(!names.unregister("given"));
        assert!(!names.unregister("nobody's"));
        assert!(!names.unregister("own"));
        assert_eq!(names.whereis::<Member>("given").expect_err("it is free"), WhereisError::NotFound);
        assert_eq!(names.whereis::<Member>("own").expect("it is there").id(), server.id());
        names.register("given", &server).expect("it is free again");
        soon(server.stop()).await.expect("it stops");
        assert!(has_nothing(&names));
    }

    /// NR4: however a server ends, before its end is told none of its names is taken any more and no group has it; its
    /// names can be given at once, and it gets none any more.
    async fn no_end_leaves_a_name_or_a_place_behind() {
        let names = Registry::new();
        for end in ENDS {
            let server = mortal().name_in(&names, "own").start().await.expect("the name is free");
            names.register("given", &server).expect("the name is free");
            names.join("group", &server);
            let heir = start().await;
            end(&server);
            soon(server.stopped()).await;
            assert!(has_nothing(&names), "{names:?}");
            let late = names.register("late", &server);
            assert!(matches!(late, Err(StartError::OwnerGone)), "{late:?}");
            names.join("late", &server);
            assert!(!names.leave("late", &server));
            assert!(has_nothing(&names), "{names:?}");
            names.register("given", &heir).expect("the name is free");
            soon(heir.stop()).await.expect("it stops");
            assert!(has_nothing(&names), "{names:?}");
        }
    }

    /// NR3: while its worker is killed again and again, a server keeps the names it was given and its groups.
    async fn given_names_and_groups_survive_crashes() {
        let (names, server) = (Registry::new(), start().await);
        names.register("given", &server).expect("it is free");
        names.join("group", &server);
        let done = Arc::new(AtomicBool::new(false));
        let looker = tokio::spawn({
            let (names, done, id) = (names.clone(), done.clone(), server.id());
            async move {
                while !done.load(SeqCst) {
                    assert_eq!(names.whereis::<Member>("given").expect("always there").id(), id);
                    assert_eq!(names.members::<Member>("group").len(), 1);
                    yield_now().await;
                }
            }
        });
        for incarnation in 2..2 + RACES as u64 {
            server.kill_worker();
            soon(server.wait_incarnation(incarnation)).await.expect("it goes on");
        }
        done.store(true, SeqCst);
        looker.await.expect("found it every time");
    }

    /// NR2: what a server has got in an `init` that fails is gone when `start` returns, each time.
    async fn a_failed_start_leaves_nothing_behind() {
        for round in 0..100 {
            let names = Registry::new();
            let error = ServerSpec::new(Hasty { names: names.clone(), fails: true }, ());
            let error = error.name_in(&names, "own").start().await.map(drop);
            assert!(matches!(error, Err(StartError::Init(_))), "round {round}: {error:?}");
            assert!(has_nothing(&names), "round {round}: {names:?}");
        }
    }

    /// A server may give itself names, and join groups, in its own callbacks, also in `init`. That is done at once, and
    /// a crash does not undo it.
    async fn a_server_may_register_itself() {
        let names = Registry::new();
        let server = ServerSpec::new(Hasty { names: names.clone(), fails: false }, ()).start();
        let server = soon(server).await.expect("it starts");
        let finds = |name| names.whereis::<Hasty>(name).is_ok_and(|found| found.id() == server.id());
        assert!(finds("in init") && !finds("in a crash"));
        server.try_cast(()).expect("room");
        soon(server.wait_incarnation(2)).await.expect("it goes on");
        assert!(finds("in init") && finds("in a crash"));
        assert_eq!(names.members::<Hasty>("in init").len(), 1);
    }

    /// NR8: what a name leads to is looked up by type, and of a group only the members of that type are given.
    async fn names_that_were_given_are_looked_up_by_type() {
        let (names, server, stranger) = (Registry::new(), start().await, start_stranger().await);
        names.register("given", &server).expect("it is free");
        assert_eq!(names.whereis::<Stranger>("given").expect_err("a member"), WhereisError::TypeMismatch);
        names.join("group", &server);
        names.join("group", &stranger);
        assert_eq!(names.members::<Member>("group").iter().map(ServerRef::id).collect::<Vec<_>>(), [server.id()]);
        assert_eq!(names.members::<Stranger>("group").len(), 1);
        assert!(names.members::<Slow>("group").is_empty());
    }

    /// A registry is gone with its last handle, whatever servers were given names in it; they go on, and end in good order.
    async fn a_registry_does_not_live_on_because_of_its_servers() {
        let (names, server) = (Registry::new(), start().await);
        names.register("given", &server).expect("it is free");
        names.join("group", &server);
        let mut events = names.watch();
        drop(names);
        assert_eq!(soon(events.next()).await, None);
        assert!(heard(&server).await.is_empty());
        // It notes another one in the place of that.
        let names = Registry::new();
        names.register("given", &server).expect("it is free");
        soon(server.stop()).await.expect("it stops");
        assert!(has_nothing(&names));
    }
}

/// NR4: a runtime that shuts down ends its servers, and their names with them.
#[test]
fn the_end_of_a_runtime_frees_all_names() {
    let names = Registry::new();
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.enable_all().build().expect("a runtime");
        let server = runtime.block_on(async {
            let server = member().name_in(&names, "own").start().await.expect("the name is free");
            names.register("given", &server).expect("the name is free");
            names.join("group", &server);
            server
        });
        drop(runtime);
        assert!(has_nothing(&names), "{names:?}");
        assert!(!server.is_alive());
    }
}

/// The global registry is one.
#[tokio::test]
async fn the_global_registry_takes_given_names() {
    let server = start().await;
    Registry::global().register("registry::names::global", &server).expect("nobody else calls himself that");
    let found = Registry::global().whereis::<Member>("registry::names::global");
    assert_eq!(found.expect("it is there").id(), server.id());
    soon(server.stop()).await.expect("it stops");
    assert!(Registry::global().whereis::<Member>("registry::names::global").is_err());
}

/// A server whose `init` waits.
#[derive(Clone)]
struct Slow(Gate);

impl GenServer for Slow {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.0.pass().await;
        Ok(Next::Wait)
    }
}

/// Gives itself a name and joins a group in its `init`, which may fail after that, and gives itself another name in a
/// callback that crashes.
#[derive(Clone)]
struct Hasty {
    names: Registry,
    fails: bool,
}

impl GenServer for Hasty {
    type State = ();
    type Call = Never;
    type Cast = ();
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.names.register("in init", &cx.server())?;
        self.names.join("in init", &cx.server());
        if self.fails { Err(Crash::msg("test: too hasty")) } else { Ok(Next::Wait) }
    }

    async fn handle_cast(&mut self, (): (), _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        self.names.register("in a crash", &cx.server())?;
        Err(Crash::msg("test: too hasty"))
    }
}
