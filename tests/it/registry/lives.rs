//! What becomes of names when a parent starts a server again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::task::yield_now;
use undying::{Backoff, NameEvent, Registry, ServerRef, StartError, Status, Supervisor, SupervisorRef};

use super::{Member, has_nothing, heard, member, start};
use crate::{
    crash::script::soon,
    support::{RACES, until},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A supervisor that never gives up, and its child of the name `own`.
async fn family(names: &Registry, supervisor: Supervisor) -> (SupervisorRef, ServerRef<Member>) {
    let child = member().name_in(names, "own").id("child");
    let family = supervisor.max_restarts(u32::MAX, HOUR).child(child);
    let family = soon(family.start()).await.expect("it starts");
    let child = family.server("child").expect("it is there");
    (family, child)
}

/// Kills the server, and waits for its next life.
async fn revive(server: &ServerRef<Member>) {
    let life = server.incarnation();
    server.kill();
    soon(server.wait_incarnation(life + 1)).await.expect("its parent starts it again");
}

both! {
    /// NR3 NR4: the name of a spec outlives the lives of its server: it is never free in between, and never leads to
    /// anybody else, and nobody who watches is told anything of it.
    async fn the_name_of_a_spec_is_never_free_between_two_lives() {
        let (names, other) = (Registry::new(), start().await);
        let (family, server) = family(&names, Supervisor::builder()).await;
        let (mut events, done) = (names.watch(), Arc::new(AtomicBool::new(false)));
        let looker = tokio::spawn({
            let (names, done, id) = (names.clone(), done.clone(), server.id());
            async move {
                while !done.load(SeqCst) {
                    assert_eq!(names.whereis::<Member>("own").expect("always there").id(), id);
                    let refused = names.register("own", &other);
                    assert!(matches!(refused, Err(StartError::AlreadyStarted(holder)) if holder == id));
                    assert!(!names.unregister("own"));
                    yield_now().await;
                }
            }
        });
        for _ in 0..RACES {
            revive(&server).await;
            yield_now().await;
        }
        done.store(true, SeqCst);
        looker.await.expect("found it every time");
        assert_eq!(events.next().now_or_never(), None);
        soon(family.stop()).await.expect("it stops");
        let gone = NameEvent::Unregistered { name: "own".into(), id: server.id() };
        assert_eq!(events.next().now_or_never(), Some(Some(gone)));
        assert!(has_nothing(&names), "{names:?}");
    }

    /// NR4: what a server was given besides ends with each of its lives, and can be given in each of them.
    async fn given_names_and_groups_end_with_a_life() {
        let names = Registry::new();
        let (family, server) = family(&names, Supervisor::builder()).await;
        for _ in 0..RACES {
            names.register("given", &server).expect("it is free in each life");
            names.join("group", &server);
            revive(&server).await;
            assert_eq!((names.names(), names.groups()), (vec!["own".to_owned()], vec![]));
        }
        names.register("given", &server).expect("it is free");
        soon(family.stop()).await.expect("it stops");
        assert!(has_nothing(&names), "{names:?}");
    }

    /// NR1 NR4: a child that is terminated has no name, and when it is restarted it takes its name again, unless somebody
    /// else has taken it.
    async fn a_child_that_is_restarted_takes_its_name_again() {
        let names = Registry::new();
        let (family, server) = family(&names, Supervisor::builder()).await;
        soon(family.terminate_child("child")).await.expect("it is there");
        assert!(has_nothing(&names), "{names:?}");
        let refused = names.register("given", &server);
        assert!(matches!(refused, Err(StartError::OwnerGone)), "{refused:?}");
        let usurper = start().await;
        names.register("own", &usurper).expect("it is free");
        let refused = soon(family.restart_child("child")).await;
        assert!(refused.is_err_and(|error| error.to_string().contains(&usurper.id().to_string())));
        assert_eq!(names.whereis::<Member>("own").expect("it is there").id(), usurper.id());
        assert!(names.unregister("own"));
        soon(family.restart_child("child")).await.expect("the name is free");
        assert_eq!(names.whereis::<Member>("own").expect("it is there").id(), server.id());
        names.register("given", &server).expect("it runs again");
        assert!(heard(&server).await.is_empty());
        soon(family.stop()).await.expect("it stops");
        assert!(has_nothing(&names), "{names:?}");
    }
}

/// NR3 NR4: between two lives a server can be given names as it can be sent messages: they are its next life's, or gone
/// when its parent gives it up.
#[tokio::test(start_paused = true)]
async fn names_that_are_given_between_two_lives_are_the_next_ones() {
    for gives_up in [false, true] {
        let names = Registry::new();
        let pause = Backoff::exponential(HOUR, HOUR);
        let (family, server) = family(&names, Supervisor::builder().backoff(pause)).await;
        names.register("before", &server).expect("it is free");
        server.kill();
        until("it waits", || server.status() == Status::Restarting).await;
        until("its names are free", || names.names() == ["own"]).await;
        names.register("between", &server).expect("it is free");
        names.join("between", &server);
        if gives_up {
            soon(family.terminate_child("child")).await.expect("it is there");
        } else {
            server.wait_incarnation(2).await.expect("its parent starts it again");
            assert_eq!(names.whereis::<Member>("between").expect("it is there").id(), server.id());
            assert_eq!(names.members::<Member>("between").len(), 1);
            soon(family.stop()).await.expect("it stops");
        }
        assert!(has_nothing(&names), "{names:?}");
    }
}
