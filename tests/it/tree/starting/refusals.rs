//! Trees that make no sense are refused before anything of them starts.

use std::time::Duration;

use undying::{
    Backoff, ChildError, ChildSpec, CommitPolicy, Context, GenServer, Mailbox, Never, Next, Outcome,
    ServerSpec, StartError, StateMut, Supervisor,
};

use super::super::{Log, SECOND, child, ids, kid, rise};
use crate::{
    crash::script::{Script, add, ask, soon},
    support::RACES,
};

/// A server whose type has no parameters: what its id is by default is plain to see.
#[derive(Clone)]
struct Clock(Log);

impl GenServer for Clock {
    type State = u64;
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.0.add("clock");
        Ok(Next::Wait)
    }
}

/// Shows that `tree` is refused for `culprit`, on its own and at two depths of another one, before anything has started.
async fn refused(log: &Log, culprit: &str, tree: impl Fn() -> Supervisor) {
    let first = || Supervisor::builder().child(child("first", log));
    let outer = first().child(tree().id("inner"));
    let deep = first().child(first().id("middle").child(tree().id("inner")));
    for tree in [tree(), outer, deep] {
        match soon(tree.start()).await {
            Err(error @ StartError::Config(_)) => {
                assert!(error.to_string().contains(culprit), "{error}");
            }
            other => panic!("{culprit}: {other:?}"),
        }
        assert!(log.take().is_empty(), "nothing has started");
    }
    let sup = rise(first()).await;
    match soon(sup.start_child(tree().id("inner"))).await {
        Err(ChildError::Start(StartError::Config(text))) => assert!(text.contains(culprit), "{text}"),
        other => panic!("{culprit}: {other:?}"),
    }
    assert_eq!(ids(&sup), ["first"]);
    soon(sup.stop()).await.expect("it stops");
    assert_eq!(log.take(), ["+first", "-first"]);
}

both! {
    /// ST11: two children of one id are refused, of whatever kind they are.
    async fn two_children_of_one_id_are_refused() {
        let log = Log::default();
        refused(&log, "twin", || {
            Supervisor::builder()
                .child(child("twin", &log))
                .child(child("b", &log))
                .child(child("twin", &log))
        })
        .await;
        refused(&log, "twin", || {
            Supervisor::builder().child(Supervisor::builder().id("twin")).child(child("twin", &log))
        })
        .await;
        refused(&log, "twin", || {
            let task = ChildSpec::task("twin", || async {});
            Supervisor::builder().child(child("twin", &log)).child(task)
        })
        .await;
    }

    /// DY11 ST11: two servers of one type need ids of their own, as both would get that of their type.
    async fn two_servers_of_one_type_without_ids_are_refused() {
        let log = Log::default();
        let clock = || ServerSpec::new(Clock(log.clone()), 0);
        refused(&log, "Clock", || Supervisor::builder().child(clock()).child(clock())).await;
    }

    /// DY11: servers of one type run beside each other under ids of their own.
    async fn servers_of_one_type_run_under_ids_of_their_own() {
        let log = Log::default();
        let tree = Supervisor::builder().child(child("one", &log)).child(child("two", &log));
        let sup = rise(tree).await;
        let (one, two) = (kid(&sup, "one"), kid(&sup, "two"));
        assert_ne!(one.id(), two.id());
        for n in 1..=3 {
            assert_eq!(ask(&one, add).await, n);
        }
        assert_eq!(ask(&two, add).await, 1);
    }

    /// DY11: the id of a server is the one it was given, else its name, else the last segment of its type's name.
    async fn an_id_defaults_to_the_name_and_then_to_the_type() {
        let (log, names) = (Log::default(), undying::Registry::new());
        let clock = || ServerSpec::new(Clock(log.clone()), 0);
        let sup = rise(
            Supervisor::builder()
                .child(clock())
                .child(clock().name_in(&names, "tower"))
                .child(clock().id("wrist").name_in(&names, "watch"))
                .child(ChildSpec::from(clock()).id("wall")),
        )
        .await;
        assert_eq!(ids(&sup), ["Clock", "tower", "wrist", "wall"]);
        let watch = names.whereis::<Clock>("watch").expect("a clock");
        assert_eq!(sup.server::<Clock>("wrist").expect("a clock").id(), watch.id());
        assert!(sup.server::<Clock>("watch").is_none());
    }

    /// ST11: a window in which no restart would ever count is refused.
    async fn a_zero_window_is_refused() {
        let log = Log::default();
        refused(&log, "window", || {
            Supervisor::builder().max_restarts(3, Duration::ZERO).child(child("a", &log))
        })
        .await;
    }

    /// ST11: a back-off whose minimum is above its maximum is refused.
    async fn a_backoff_that_shrinks_is_refused() {
        let log = Log::default();
        refused(&log, "back-off", || {
            let backoff = Backoff::exponential(2 * SECOND, SECOND);
            Supervisor::builder().backoff(backoff).child(child("a", &log))
        })
        .await;
    }

    /// ST11: options of a server that make no sense are refused with the whole tree, by the id of that server.
    async fn a_server_that_makes_no_sense_is_refused() {
        let log = Log::default();
        type Spec = ServerSpec<Script<u64>>;
        let odd: [fn(Spec) -> Spec; 4] = [
            |spec| spec.mailbox(Mailbox::bounded(0)),
            |spec| spec.max_restarts(1, Duration::ZERO),
            |spec| spec.commit(CommitPolicy::Every(0)),
            |spec| spec.backoff(Backoff::exponential(2 * SECOND, SECOND)),
        ];
        for make in odd {
            refused(&log, "odd", || {
                Supervisor::builder().child(child("a", &log)).child(make(child("odd", &log)))
            })
            .await;
        }
    }

    /// ST11: a description is refused without one task or name of it, however often that happens.
    async fn a_refusal_leaves_no_name() {
        let (log, names) = (Log::default(), undying::Registry::new());
        for _ in 0..RACES {
            let tree = Supervisor::builder()
                .child(child("a", &log).name_in(&names, "a"))
                .child(child("odd", &log).mailbox(Mailbox::bounded(0)).name_in(&names, "odd"));
            assert!(matches!(soon(tree.start()).await, Err(StartError::Config(_))));
            assert!(names.names().is_empty());
        }
    }
}
