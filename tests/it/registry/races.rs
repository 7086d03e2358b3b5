//! Races for names, and between names and ends.

use std::sync::Arc;

use futures::FutureExt;
use tokio::{sync::Barrier, task::yield_now};
use undying::{
    Context, GenServer, KeyedRegistry, NameEvent, Never, Next, Outcome, Registry, ServerId, ServerRef,
    ServerSpec, StartError, StateMut,
};

use super::{Member, has_nothing, start};
use crate::{
    crash::script::soon,
    support::{Gate, RACES},
};

/// A server that takes its time to start.
#[derive(Clone)]
struct Starter(Option<Gate>);

impl GenServer for Starter {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        match &self.0 {
            Some(gate) => gate.pass().await,
            None => yield_now().await,
        }
        Ok(Next::Wait)
    }
}

fn starter(names: &Registry) -> ServerSpec<Starter> {
    ServerSpec::new(Starter(None), ()).name_in(names, "name")
}

/// Has both begin at the same time, and gives what comes of them.
async fn race<A, B>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let line = Arc::new(Barrier::new(2));
    let at = line.clone();
    let one = tokio::spawn(async move {
        at.wait().await;
        one.await
    });
    let other = tokio::spawn(async move {
        line.wait().await;
        other.await
    });
    (soon(one).await.expect("no panic"), soon(other).await.expect("no panic"))
}

both! {
    /// NR1: of those who race for a name, to start a server with it or to give it to one that runs, exactly one gets it, and
    /// all others are told who that is.
    async fn one_of_many_gets_the_name() {
        let mut servers = Vec::new();
        for _ in 0..4 {
            servers.push(start().await);
        }
        for _ in 0..RACES {
            let (names, line) = (Registry::new(), Arc::new(Barrier::new(8)));
            let mut racers = Vec::new();
            for server in &servers {
                let (start, at) = (starter(&names).start(), line.clone());
                racers.push(tokio::spawn(async move {
                    at.wait().await;
                    start.await.map(|server| (server.id(), Some(server)))
                }));
                let (names, server, at) = (names.clone(), server.clone(), line.clone());
                racers.push(tokio::spawn(async move {
                    at.wait().await;
                    names.register("name", &server).map(|()| (server.id(), None))
                }));
            }
            let (mut won, mut lost) = (Vec::new(), Vec::new());
            for racer in racers {
                match soon(racer).await.expect("no panic") {
                    Ok(winner) => won.push(winner),
                    Err(StartError::AlreadyStarted(holder)) => lost.push(holder),
                    Err(other) => panic!("{other}"),
                }
            }
            let [(winner, started)] = &won[..] else { panic!("{won:?}") };
            assert_eq!(lost, [*winner; 7]);
            match started {
                Some(server) => {
                    soon(server.stop()).await.expect("it stops");
                }
                None => assert!(names.unregister("name")),
            }
            assert!(has_nothing(&names), "{names:?}");
        }
    }

    /// NR1: while the winner is in its `init`, nobody else gets the name; once it is over, exactly one does.
    async fn nobody_gets_the_name_of_one_in_its_init() {
        let server = start().await;
        for _ in 0..RACES {
            let (names, gate) = (Registry::new(), Gate::new());
            let winner = ServerSpec::new(Starter(Some(gate.clone())), ()).name_in(&names, "name").start();
            let winner = tokio::spawn(winner);
            soon(gate.arrived()).await;
            let (registering, registered) = (names.clone(), server.clone());
            let (given, started) =
                race(async move { registering.register("name", &registered) }, starter(&names).start()).await;
            let (Err(StartError::AlreadyStarted(one)), Err(StartError::AlreadyStarted(other))) = (given, started)
            else {
                panic!("it was taken")
            };
            gate.open();
            let winner = soon(winner).await.expect("no panic").expect("it starts");
            assert_eq!((one, other), (winner.id(), winner.id()));
            winner.kill();
            soon(winner.stopped()).await;
            let (registering, registered) = (names.clone(), server.clone());
            let (given, started) =
                race(async move { registering.register("name", &registered) }, starter(&names).start()).await;
            assert!(given.is_ok() != started.is_ok(), "{given:?} {started:?}");
            started.iter().for_each(ServerRef::kill);
        }
    }

    /// NR4: a name, a place in a group and a key that a server gets while it stops are refused or gone: when the stop has
    /// returned and they were given, nothing is left, and whoever watches has seen them come and go.
    async fn what_is_given_during_a_stop_is_not_left_behind() {
        for round in 0..RACES {
            let (names, keys, server) = (Registry::new(), KeyedRegistry::new(), start().await);
            let mut events = names.watch();
            let token = Arc::new(());
            let giving = {
                let (names, keys, server) = (names.clone(), keys.clone(), server.clone());
                let token = token.clone();
                async move {
                    let mut given = 0;
                    for name in 0..20_u32 {
                        let text = name.to_string();
                        match names.register(&text, &server) {
                            Ok(()) => given += 1,
                            Err(StartError::OwnerGone) => {}
                            Err(other) => panic!("{other}"),
                        }
                        names.join(&text, &server);
                        if let Err(refused) = keys.register(name, &server, token.clone()) {
                            assert!(matches!(refused, StartError::OwnerGone), "{refused}");
                        }
                        if name as usize == round % 20 {
                            yield_now().await;
                        }
                    }
                    given
                }
            };
            let ending = {
                let (server, kills) = (server.clone(), round % 2 == 0);
                async move {
                    if kills {
                        server.kill();
                        server.stopped().await;
                    } else {
                        server.stop().await.expect("it stops");
                    }
                }
            };
            // When the end was told while others still gave, what they had given by then was gone.
            let looking = names.clone();
            let ended = async move {
                ending.await;
                (looking.names(), looking.groups())
            };
            let (given, at_the_end) = race(giving, ended).await;
            assert_eq!(at_the_end, (vec![], vec![]));
            assert!(has_nothing(&names) && keys.keys().is_empty());
            assert_eq!(Arc::strong_count(&token), 1);
            let told: Vec<_> = std::iter::from_fn(|| events.next().now_or_never().flatten()).collect();
            assert_eq!(balance(&told, server.id()), given, "round {round}");
        }
    }

    /// NR4: whoever has been refused a name finds its holder, or the name is free again: an entry never stands in the way of
    /// others when its server is over.
    async fn a_name_is_never_kept_by_one_that_is_over() {
        let (names, heir) = (Registry::new(), start().await);
        for _ in 0..RACES {
            let server = start().await;
            names.register("name", &server).expect("it is free");
            let (looking, waiting, next) = (names.clone(), server.clone(), heir.clone());
            let inherits = async move {
                loop {
                    let refused = looking.register("name", &next);
                    match refused {
                        Ok(()) => break,
                        Err(StartError::AlreadyStarted(id)) => assert_eq!(id, waiting.id()),
                        Err(other) => panic!("{other}"),
                    }
                    assert!(waiting.is_alive() || looking.whereis::<Member>("name").is_err());
                    yield_now().await;
                }
            };
            let ending = async move {
                server.kill();
                server.stopped().await;
                assert!(!server.is_alive());
            };
            race(inherits, ending).await;
            assert_eq!(names.whereis::<Member>("name").expect("it is there").id(), heir.id());
            assert!(names.unregister("name"));
        }
    }

    /// NR5: of those who take a key away exactly one gets its value, also against the end of the server.
    async fn a_value_is_taken_once() {
        for _ in 0..RACES {
            let (keys, server, token) = (KeyedRegistry::new(), start().await, Arc::new(()));
            keys.register(1, &server, token.clone()).expect("it is free");
            let [one, other] = [keys.clone(), keys.clone()];
            let (one, other) =
                race(async move { one.unregister(&1) }, async move { other.unregister(&1) }).await;
            assert!(one.is_some() != other.is_some());
            drop((one, other));
            keys.register(1, &server, token.clone()).expect("it is free");
            let (taking, ending) = (keys.clone(), server.clone());
            let (taken, ()) = race(async move { taking.unregister(&1) }, async move {
                ending.kill();
                ending.stopped().await;
            })
            .await;
            assert_eq!(Arc::strong_count(&token), if taken.is_some() { 2 } else { 1 });
            assert!(keys.keys().is_empty());
        }
    }
}

/// Shows that all that has come is gone, and tells how many names that were.
fn balance(events: &[NameEvent], id: ServerId) -> usize {
    let (mut names, mut groups, mut given) = (Vec::new(), Vec::new(), 0);
    for event in events {
        match event {
            NameEvent::Registered { name, id: holder } => {
                assert_eq!(*holder, id);
                given += 1;
                names.push(name);
            }
            NameEvent::Unregistered { name, .. } => assert_eq!(names.remove(0), name),
            NameEvent::Joined { group, .. } => groups.push(group),
            NameEvent::Left { group, .. } => assert_eq!(groups.remove(0), group),
            _ => unreachable!("there are no others"),
        }
    }
    assert!(names.is_empty() && groups.is_empty());
    given
}
