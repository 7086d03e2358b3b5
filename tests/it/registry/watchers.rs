//! Those who watch a registry.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    pin::pin,
    sync::Arc,
};

use futures::{FutureExt, StreamExt, poll};
use tokio::task::yield_now;
use undying::{
    Context, GenServer, KeyedRegistry, NameEvent, NameEvents, Never, Next, Outcome, Registry, ServerId,
    ServerSpec, StartError, StateMut,
};

use super::{ENDS, member, mortal, start};
use crate::crash::script::soon;

fn registered(name: &str, id: ServerId) -> NameEvent {
    NameEvent::Registered { name: name.into(), id }
}

fn unregistered(name: &str, id: ServerId) -> NameEvent {
    NameEvent::Unregistered { name: name.into(), id }
}

fn joined(group: &str, id: ServerId) -> NameEvent {
    NameEvent::Joined { group: group.into(), id }
}

fn left(group: &str, id: ServerId) -> NameEvent {
    NameEvent::Left { group: group.into(), id }
}

/// What a watcher is told that has been told of everything.
fn told<K: ToOwned + ?Sized>(events: &mut NameEvents<K>) -> Vec<NameEvent<K::Owned>> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

/// Refuses to start.
#[derive(Clone)]
struct Unwilling;

impl GenServer for Unwilling {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        Ok(Next::Ignore)
    }
}

both! {
    /// NR7: a watcher is told of every change, in the order in which it happened; what changes nothing is not told.
    async fn a_watcher_is_told_of_every_change_in_order() {
        let names = Registry::new();
        let before = member().name_in(&names, "before").start().await.expect("it starts");
        let mut events = names.watch();
        let server = member().name_in(&names, "own").start().await.expect("it starts");
        let (id, other) = (server.id(), before.id());
        names.register("given", &server).expect("it is free");
        names.register("given", &before).expect_err("it is taken");
        member().name_in(&names, "own").start().await.expect_err("it is taken");
        names.join("group", &server);
        names.join("group", &server);
        names.join("group", &before);
        assert!(names.unregister("given") && !names.unregister("given") && !names.unregister("own"));
        assert!(names.leave("group", &server) && !names.leave("group", &server));
        server.kill_worker();
        soon(server.wait_incarnation(2)).await.expect("it goes on");
        soon(before.stop()).await.expect("it stops");
        let expected = [
            registered("own", id),
            registered("given", id),
            joined("group", id),
            joined("group", other),
            unregistered("given", id),
            left("group", id),
        ];
        let told = told(&mut events);
        assert_eq!(told[..6], expected);
        assert_eq!(told.len(), 8, "{told:?}");
        assert!(told[6..].contains(&unregistered("before", other)) && told[6..].contains(&left("group", other)));
        assert_eq!(soon(server.stop()).await.map(drop), Ok(()));
        assert_eq!(soon(events.next()).await, Some(unregistered("own", id)));
    }

    /// NR7 NR4: whatever ends a server, a watcher has been told of all it had when its end is told, in the order in which
    /// it got it.
    async fn the_end_of_a_server_is_told_in_order() {
        let names = KeyedRegistry::new();
        for end in ENDS {
            let server = mortal().start().await.expect("it starts");
            let id = server.id();
            let mut events = names.watch();
            for key in [2, 1] {
                names.register(key, &server, ()).expect("it is free");
                names.join(key, &server);
            }
            told(&mut events);
            end(&server);
            soon(server.stopped()).await;
            let expected = [2, 1].map(|key| {
                [NameEvent::Unregistered { name: key, id }, NameEvent::Left { group: key, id }]
            });
            assert_eq!(told(&mut events), expected.concat());
        }
    }

    /// NR7 NR2: a start that fails is told as one that came and went; one that is refused before is not told at all.
    async fn a_start_that_fails_is_told() {
        let names = Registry::new();
        let mut events = names.watch();
        let ignored = ServerSpec::new(Unwilling, ()).name_in(&names, "own").start().await.map(drop);
        assert!(matches!(ignored, Err(StartError::Ignored)), "{ignored:?}");
        let [NameEvent::Registered { name, id }, gone] = &told(&mut events)[..] else { panic!("two events") };
        assert_eq!((name.as_str(), gone), ("own", &unregistered("own", *id)));
        let config = member().max_restarts(1, std::time::Duration::ZERO).name_in(&names, "own").start().await;
        assert!(matches!(config.map(drop), Err(StartError::Config(_))));
        let owner = start().await;
        soon(owner.stop()).await.expect("it stops");
        let orphan = member().name_in(&names, "own").start_link(&owner).await;
        assert!(matches!(orphan.map(drop), Err(StartError::OwnerGone)));
        assert_eq!(told(&mut events), []);
    }

    /// NR7: who waits is woken by the next change, and by the end of the registry; a wait that is given up loses nothing.
    async fn a_watcher_that_waits_is_woken() {
        let (names, server) = (Registry::new(), start().await);
        let mut events = names.watch();
        {
            let mut given_up = pin!(events.next());
            assert!(poll!(&mut given_up).is_pending());
            names.register("a", &server).expect("it is free");
        }
        assert_eq!(events.next().now_or_never(), Some(Some(registered("a", server.id()))));
        let waiting = tokio::spawn(async move {
            let first = StreamExt::next(&mut events).await;
            (first, events.next().await, events.next().await)
        });
        yield_now().await;
        names.register("b", &server).expect("it is free");
        yield_now().await;
        drop(names);
        let (first, second, third) = soon(waiting).await.expect("no panic");
        assert_eq!((first, second, third), (Some(registered("b", server.id())), None, None));
    }

    /// NR7: two that watch are told the same, in the same order, however many change things at a time: and that order
    /// makes sense.
    async fn all_watchers_are_told_the_same() {
        let (names, mut servers) = (KeyedRegistry::<u8>::new(), Vec::new());
        for _ in 0..4 {
            servers.push(start().await);
        }
        let mut watchers = [names.watch(), names.watch()];
        std::thread::scope(|scope| {
            for server in &servers {
                scope.spawn(|| {
                    for round in 0..500_u32 {
                        let key = (round % 7) as u8;
                        if names.register(key, server, ()).is_ok() && round % 3 > 0 {
                            // It may be another's by now, and that is taken away then.
                            names.unregister(&key);
                        }
                        names.join(key, server);
                        names.leave(&key, server);
                    }
                });
            }
        });
        for server in &servers {
            soon(server.stop()).await.expect("it stops");
        }
        let [one, other] = watchers.each_mut().map(told);
        assert_eq!(one, other);
        let (mut holders, mut members) = (HashMap::new(), HashMap::new());
        for event in one {
            match event {
                NameEvent::Registered { name, id } => assert_eq!(holders.insert(name, id), None),
                NameEvent::Unregistered { name, id } => assert_eq!(holders.remove(&name), Some(id)),
                NameEvent::Joined { group, id } => assert_eq!(members.insert((group, id), ()), None),
                NameEvent::Left { group, id } => assert_eq!(members.remove(&(group, id)), Some(())),
                _ => unreachable!("there are no others"),
            }
        }
        assert!(holders.is_empty() && members.is_empty());
    }

    /// NR7: a watcher that is dropped is forgotten, with what it was not asked for; nothing is kept for it any more.
    async fn a_watcher_that_is_dropped_is_forgotten() {
        let (names, server, token) = (KeyedRegistry::new(), start().await, Arc::new(()));
        let change = || {
            for key in 0..10 {
                names.register(Held(key, token.clone()), &server, ()).expect("it is free");
                names.unregister(&Held(key, token.clone())).expect("it is there");
            }
        };
        change();
        assert_eq!(Arc::strong_count(&token), 1);
        let (mut one, other) = (names.watch(), names.watch());
        change();
        // A key is kept once, whoever is to be told of it, and as often.
        assert_eq!(Arc::strong_count(&token), 11);
        assert!(format!("{other:?}").contains("waiting: 20"), "{other:?}");
        drop(other);
        assert_eq!(told(&mut one).len(), 20);
        assert_eq!(Arc::strong_count(&token), 1);
        drop(one);
        change();
        assert_eq!(Arc::strong_count(&token), 1);
    }
}

/// A key that can be counted.
#[derive(Clone)]
struct Held(u8, #[expect(dead_code, reason = "it is counted")] Arc<()>);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Held {}

impl Hash for Held {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
