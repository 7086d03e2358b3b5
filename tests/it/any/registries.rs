//! Who listens to all servers with a name in a registry, from then on.

use std::sync::Arc;

use undying::{AnyEvent, Registry, ServerRef, ServerSpec, StartError, Supervisor};

use super::Notes;
use crate::{
    crash::script::{Script, add, ask, soon, start, stop},
    support::{RACES, until},
};

/// A counter from 0 of that name.
async fn named(names: &Registry, name: &str) -> ServerRef<Script<u64>> {
    let spec = ServerSpec::new(Script::new(), 0).name_in(names, name);
    soon(spec.start()).await.expect("it starts")
}

both! {
    /// AN11: a listener of a registry hears of every server that begins with a name in it, from then on, and of no other.
    async fn every_named_server_is_heard_of_from_then_on() {
        let (names, notes) = (Registry::new(), Notes::default());
        let before = named(&names, "before").await;
        names.listener(notes.clone());
        let (after, stranger) = (named(&names, "after").await, start(0_u64).await);
        let elsewhere = named(&Registry::new(), "after").await;
        // A name that is given later makes no difference.
        names.register("stranger", &stranger).expect("a free name");
        for server in [&before, &after, &stranger, &elsewhere] {
            assert_eq!(ask(server, add).await, 1);
            stop(server).await;
        }
        assert_eq!(notes.of(after.id()).len(), 3);
        assert_eq!(notes.len(), 3);
    }

    /// AN11: the listener of a registry and that of a supervisor each hear of a server that has both.
    async fn a_server_of_a_tree_with_a_name_is_heard_of_by_both() {
        let (names, by_name, by_tree) = (Registry::new(), Notes::default(), Notes::default());
        names.listener(by_name.clone());
        let top = Supervisor::builder()
            .listener(by_tree.clone())
            .child(ServerSpec::new(Script::new(), 0_u64).id("x").name_in(&names, "x"))
            .start()
            .await
            .expect("it starts");
        let x = names.whereis::<Script<u64>>("x").expect("it is there");
        assert_eq!(ask(&x, add).await, 1);
        soon(top.stop()).await.expect("it stops");
        assert_eq!(by_name.of(x.id()), by_tree.of(x.id()));
        assert_eq!(by_name.len(), 3);
    }

    /// AN11: a server whose name is taken begins no life, and nobody hears of it; the next one of that name is heard of once.
    async fn a_server_that_is_refused_is_not_heard_of() {
        let (names, notes) = (Registry::new(), Notes::default());
        names.listener(notes.clone());
        let first = named(&names, "x").await;
        for _ in 0..10 {
            let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&names, "x");
            assert!(matches!(soon(spec.start()).await, Err(StartError::AlreadyStarted(_))));
        }
        assert_eq!(notes.len(), notes.of(first.id()).len());
        stop(&first).await;
        let second = named(&names, "x").await;
        stop(&second).await;
        assert_eq!((notes.of(first.id()).len(), notes.of(second.id()).len(), notes.len()), (2, 2, 4));
    }

    /// AN11 K12: listeners come while servers do: each server is heard of whole or not at all.
    async fn listeners_may_race_servers() {
        for _ in 0..RACES {
            let (names, notes) = (Registry::new(), Notes::default());
            let starting = tokio::spawn({
                let names = names.clone();
                async move { named(&names, "x").await }
            });
            names.listener(notes.clone());
            let server = soon(starting).await.expect("joined");
            assert_eq!(ask(&server, add).await, 1);
            stop(&server).await;
            let heard = notes.of(server.id());
            assert!([0, 3].contains(&heard.len()), "{heard:?}");
        }
    }

    /// AN10: what listens to a registry is let go with the registry and its servers.
    async fn what_listens_to_a_registry_is_let_go() {
        let (names, mark) = (Registry::new(), Arc::new(()));
        let held = mark.clone();
        names.listener(move |_: &AnyEvent<'_>| {
            let _ = &held;
        });
        let server = named(&names, "x").await;
        stop(&server).await;
        drop(server);
        assert_eq!(Arc::strong_count(&mark), 2);
        drop(names);
        until("nobody holds the listener", || Arc::strong_count(&mark) == 1).await;
    }
}
