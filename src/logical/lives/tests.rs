//! What is ordered before the first life has begun: moments that nobody outside can choose.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::*;
use crate::{
    any_listener::{AnyEvent, AnyEventKind},
    gen_server::Never,
    options::Shutdown,
    registry::Registry,
    server_ref::ServerRef,
    spec::ServerSpec,
    tree::Child,
};

#[derive(Clone)]
struct Idle;

impl GenServer for Idle {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;
}

type Order = fn(&Logical<Idle>, Then);

async fn end_of(shutdown: Shutdown, order: impl FnOnce(&Logical<Idle>)) -> Result<ExitReason, StartError> {
    let spec = ServerSpec::new(Idle, ()).shutdown(shutdown);
    let logical = spec.plant(true).expect("nothing is wrong with it");
    order(&logical);
    Logical::begin(&logical, &Handle::current(), 0).expect("it has no name");
    logical.served().await?;
    let server = ServerRef::new(logical);
    Ok(tokio::time::timeout(Duration::from_secs(60), server.stopped()).await.expect("it ends").reason)
}

/// LM5: an owner that ends before its server has begun ends it all the same.
#[tokio::test(start_paused = true)]
async fn an_order_to_end_that_comes_before_the_first_life_is_heard() {
    for shutdown in [Shutdown::Timeout(Duration::from_secs(5)), Shutdown::Infinity] {
        let end = end_of(shutdown, |logical| logical.shut_down(ExitReason::Killed)).await;
        assert!(matches!(end, Ok(ExitReason::Killed)), "{end:?}");
    }
    let end = end_of(Shutdown::BrutalKill, |logical| logical.shut_down(ExitReason::Killed)).await;
    assert!(matches!(end, Err(StartError::Init(_))), "{end:?}");
}

/// A supervisor that ends before it has begun a child may begin it in another life of its own.
#[tokio::test(start_paused = true)]
async fn what_a_parent_says_to_a_child_before_its_first_life_is_of_no_later_one() {
    let orders: [(Order, Then); 3] =
        [(Child::shut_down, Then::Nothing), (Child::shut_down, Then::Another), (Child::kill, Then::Another)];
    for (order, then) in orders {
        let logical = ServerSpec::new(Idle, ()).plant(true).expect("nothing is wrong with it");
        order(&logical, then);
        Logical::begin(&logical, &Handle::current(), 0).expect("it has no name");
        assert!(logical.served().await.is_ok());
        let server = ServerRef::new(logical);
        assert!(server.is_alive());
        server.stop().await.expect("nobody else has stopped it");
    }
}

/// A supervisor that dies while a child is about to begin leaves no orphan.
#[tokio::test(start_paused = true)]
async fn who_is_killed_by_a_parent_that_is_gone_for_good_never_begins() {
    let end = end_of(Shutdown::Infinity, |logical| Child::kill(logical, Then::Nothing)).await;
    assert!(matches!(end, Err(StartError::Init(_))), "{end:?}");
}

/// A name that is taken keeps a server from its first life, and who listens is found out only for that: once.
#[tokio::test(start_paused = true)]
async fn who_listens_is_found_out_once_also_where_the_name_was_taken_first() {
    let (names, starts) = (Registry::new(), Arc::new(AtomicUsize::new(0)));
    let count = starts.clone();
    names.listener(move |event: &AnyEvent<'_>| {
        if let AnyEventKind::Started = event.kind {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let first = ServerSpec::new(Idle, ()).name_in(&names, "it").start().await.expect("it starts");
    let logical =
        ServerSpec::new(Idle, ()).name_in(&names, "it").plant(true).expect("nothing is wrong with it");
    let taken = Logical::begin(&logical, &Handle::current(), 0);
    assert!(matches!(taken, Err(StartError::AlreadyStarted(_))));
    first.stop().await.expect("nobody else has stopped it");
    Logical::begin(&logical, &Handle::current(), 0).expect("the name is free");
    logical.served().await.expect("it serves");
    ServerRef::new(logical).stop().await.expect("nobody else has stopped it");
    assert_eq!(starts.load(Ordering::Relaxed), 2);
}

/// A parent that is about to begin a child again, because of one end, does not undo another that has come since.
#[tokio::test(start_paused = true)]
async fn who_has_ended_since_its_parent_decided_to_begin_it_stays_over() {
    let logical = ServerSpec::new(Idle, ()).plant(true).expect("nothing is wrong with it");
    Logical::begin(&logical, &Handle::current(), 0).expect("it has no name");
    logical.served().await.expect("it serves");
    let (server, decided) = (ServerRef::new(logical.clone()), Child::ends(&*logical));
    server.stop().await.expect("nobody else has stopped it");
    Logical::begin(&logical, &Handle::current(), decided).expect("it has no name");
    assert!(!server.is_alive());
    Logical::begin(&logical, &Handle::current(), Child::ends(&*logical)).expect("it has no name");
    logical.served().await.expect("it serves again");
    assert!(server.is_alive());
    server.stop().await.expect("nobody else has stopped it");
}
