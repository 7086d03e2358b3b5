//! Children at the edge of what a supervisor allows: no room, all the room there is, children that start children without bound, and a
//! parent that waits for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use undying::{
    Backoff, CallError, ChildError, Context, DynamicSupervisor, DynamicSupervisorRef, GenServer, Never, Next,
    Outcome, RestartPolicy, ServerRef, ServerSpec, StateMut, Status, Supervisor,
};

use crate::{
    crash::script::{Script, add, soon},
    support::until,
};

const MAX: Duration = Duration::MAX;
const HOUR: Duration = Duration::from_secs(3_600);

fn spec() -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0)
}

/// Starts two others like it.
#[derive(Clone)]
struct Rabbit {
    parent: DynamicSupervisorRef,
    tally: Arc<Tally>,
}

/// What became of the starts, and how many children were seen at the most.
#[derive(Debug, Default)]
struct Tally {
    born: AtomicUsize,
    refused: AtomicUsize,
    tried: AtomicUsize,
    most: AtomicUsize,
}

impl Tally {
    fn look(&self) -> [usize; 3] {
        [&self.born, &self.refused, &self.tried].map(|count| count.load(SeqCst))
    }
}

impl Rabbit {
    /// A future of its own kind of future: boxed.
    fn breed(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { parent, tally } = self.clone();
            tally.tried.fetch_add(1, SeqCst);
            let began = parent.start_child(ServerSpec::new(self, ())).await;
            tally.most.fetch_max(parent.children().len(), SeqCst);
            match began {
                Ok(_) => tally.born.fetch_add(1, SeqCst),
                Err(ChildError::MaxChildren) => tally.refused.fetch_add(1, SeqCst),
                Err(other) => panic!("test: {other}"),
            };
        })
    }
}

impl GenServer for Rabbit {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        tokio::spawn(self.clone().breed());
        self.clone().breed().await;
        Ok(Next::Wait)
    }
}

both! {
    /// DY2: a dynamic supervisor without room takes nobody, one with all the room in the world everybody.
    async fn no_room_for_children_is_no_room() {
        let none = soon(DynamicSupervisor::builder().max_children(0).start()).await.expect("it starts");
        let refused = soon(none.start_child(spec())).await.map(drop);
        assert!(matches!(refused, Err(ChildError::MaxChildren)), "{refused:?}");
        let all = soon(DynamicSupervisor::builder().max_children(usize::MAX).start()).await.expect("it starts");
        for _ in 0..10 {
            soon(all.start_child(spec())).await.expect("there is room");
        }
        assert_eq!(all.children().len(), 10);
        for supervisor in [none, all] {
            soon(supervisor.stop()).await.expect("it stops");
        }
    }

    /// DY2: children that start others without bound, each in its `init` and in a task of its own, are never more than there is room
    /// for; and when they are done, the supervisor serves on.
    async fn children_that_start_children_come_to_an_end() {
        let parent = soon(DynamicSupervisor::builder().max_children(50).start()).await.expect("it starts");
        let tally = Arc::new(Tally::default());
        let rabbit = Rabbit { parent: parent.clone(), tally: tally.clone() };
        soon(parent.start_child(ServerSpec::new(rabbit.clone(), ()))).await.expect("there is room for one");
        until("it is full, and all have been told", || {
            let [born, refused, tried] = tally.look();
            parent.children().len() == 50 && born == 49 && born + refused == tried && tried == 100
        })
        .await;
        assert!(tally.most.load(SeqCst) <= 50, "{tally:?}");
        let one = parent.children()[0].server;
        soon(parent.terminate_child(one)).await.expect("it is there");
        soon(parent.start_child(spec())).await.expect("there is room again");
        soon(parent.stop()).await.expect("it stops");
    }
}

/// RI10: calls to a child whose supervisor waits for ever before it restarts it time out, and the supervisor can be stopped.
#[tokio::test(start_paused = true)]
async fn a_supervisor_may_wait_for_ever() {
    let family = Supervisor::builder().backoff(Backoff::exponential(MAX, MAX)).max_restarts(u32::MAX, MAX);
    let family =
        family.child(spec().id("a").restart(RestartPolicy::Permanent)).start().await.expect("it starts");
    let server: ServerRef<Script<u64>> = family.server("a").expect("it is there");
    let ended = server.monitor();
    server.kill();
    ended.await;
    until("it waits", || server.status() == Status::Restarting).await;
    let called = server.call(add).timeout(HOUR).await;
    assert!(matches!(called, Err(CallError::Timeout)), "{called:?}");
    family.stop().await.expect("it stops");
    assert_eq!(server.status(), Status::Terminated);
}
