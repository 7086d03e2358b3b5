//! Between two lives: handles, names and callers while a parent is about to restart a child.

mod races;
mod told;

use std::pin::pin;

use futures::{FutureExt, poll};
use undying::{
    CallError, ExitReason, Registry, ServerSpec, Shutdown, StartError, Status, Strategy, Supervisor,
    SupervisorRef,
};

use super::{Door, Kid, Log, SECOND, child, dies, kid, noting, rise, settled, status, word};
use crate::{
    crash::script::{Script, add, ask, get, inc, soon, start, stop, tell, wait_at},
    support::{Gate, until},
};

/// What keeps the parent from restarting the victim at once.
#[derive(Debug, Clone, Copy)]
enum Hold {
    /// A sibling that takes its time to stop.
    SiblingStops,
    /// A sibling that takes its time to start again.
    SiblingStarts,
}

const HOLDS: [Hold; 2] = [Hold::SiblingStops, Hold::SiblingStarts];

/// A victim and the siblings that hold its parent up.
struct Family {
    sup: SupervisorRef,
    victim: Kid,
    hold: Hold,
    stops: Gate,
    starts: Gate,
}

impl Family {
    /// Starts the tree; `victim` is the spec of the one that is to die. One death is all that the parent forgives.
    async fn of(hold: Hold, victim: ServerSpec<Script<u64>>) -> Self {
        let door = Door::new();
        door.gate.open();
        let sup = rise(
            Supervisor::builder()
                .strategy(Strategy::OneForAll)
                .max_restarts(1, 60 * SECOND)
                .child(door.spec("door").shutdown(Shutdown::BrutalKill))
                .child(victim.id("victim"))
                .child(child("slow", &Log::default()).shutdown(Shutdown::Infinity)),
        )
        .await;
        soon(door.gate.arrived()).await;
        let victim = kid(&sup, "victim");
        Self { sup, victim, hold, stops: Gate::new(), starts: door.gate }
    }

    /// Has the victim die; when this returns, its parent is held up: the gap is open.
    async fn fall(&self) {
        let end = self.victim.monitor();
        self.victim.kill();
        soon(end).await;
        self.held().await;
    }

    /// To be called before the death: the sibling that stops slowly is busy then.
    async fn prepare(&self) {
        if let Hold::SiblingStops = self.hold {
            tell(&kid(&self.sup, "slow"), wait_at(&self.stops)).await;
            soon(self.stops.arrived()).await;
            self.starts.open();
        }
    }

    async fn held(&self) {
        match self.hold {
            Hold::SiblingStops => {
                let slow = kid(&self.sup, "slow");
                until("the sibling is told to stop", || slow.try_cast(inc()).is_err()).await;
            }
            Hold::SiblingStarts => soon(self.starts.arrived()).await,
        }
    }

    /// Lets the parent go on.
    fn mend(&self) {
        match self.hold {
            Hold::SiblingStops => self.stops.open(),
            Hold::SiblingStarts => self.starts.open(),
        }
    }
}

/// A victim that begins with 10 and has counted to 11, in the gap after its death.
async fn fallen(hold: Hold) -> Family {
    let family = Family::of(hold, ServerSpec::new(Script::new(), 10)).await;
    assert_eq!(ask(&family.victim, add).await, 11);
    family.prepare().await;
    family.fall().await;
    family
}

both! {
    /// K11: between two lives a server is alive and restarting, for its handles and for its parent.
    async fn a_server_between_two_lives_is_restarting() {
        for hold in HOLDS {
            let family = fallen(hold).await;
            let Family { sup, victim, .. } = &family;
            assert_eq!((victim.status(), victim.is_alive()), (Status::Restarting, true), "{hold:?}");
            assert_eq!(status(sup, "victim"), Some(Status::Restarting), "{hold:?}");
            assert_eq!((victim.incarnation(), *victim.peek()), (1, 11), "{hold:?}");
            assert_eq!(kid(sup, "victim").id(), victim.id());
            assert!(sup.is_alive() && sup.count().specs == 3);
            family.mend();
            serves_again(&family).await;
        }
    }

    /// CA12 RI8: what is sent between two lives is served by the next one, in order.
    async fn what_is_sent_between_two_lives_is_served_by_the_next() {
        for hold in HOLDS {
            let family = fallen(hold).await;
            let victim = &family.victim;
            for _ in 0..3 {
                tell(victim, inc()).await;
                victim.try_cast(inc()).expect("taken");
                victim.send(inc()).await.expect("taken");
                victim.try_send(inc()).expect("taken");
            }
            let mut call = pin!(victim.call(add).no_timeout());
            assert!(poll!(&mut call).is_pending());
            assert_eq!(victim.mailbox_len(), 13);
            family.mend();
            // It began afresh, and all that came before the call was before it.
            assert_eq!(soon(call).await.expect("served"), 23, "{hold:?}");
            serves_again(&family).await;
        }
    }

    /// K11: who waits for the next incarnation waits on through the gap.
    async fn the_next_incarnation_is_waited_for() {
        for hold in HOLDS {
            let family = fallen(hold).await;
            let victim = family.victim.clone();
            assert_eq!(soon(victim.wait_incarnation(1)).await.expect("it has been"), 1);
            {
                let mut next = pin!(victim.wait_incarnation(2));
                assert!(poll!(&mut next).is_pending());
                family.mend();
                assert_eq!(soon(next).await.expect("restarted"), 2, "{hold:?}");
            }
            serves_again(&family).await;
        }
    }

    /// NR3: the name leads to the server between two lives, and nobody else can take it.
    async fn a_name_is_kept_between_two_lives() {
        for hold in HOLDS {
            let names = Registry::new();
            let family =
                Family::of(hold, ServerSpec::new(Script::new(), 0_u64).name_in(&names, "victim")).await;
            family.prepare().await;
            family.fall().await;
            let victim = &family.victim;
            assert_eq!(names.whereis::<Script<u64>>("victim").expect("alive").id(), victim.id());
            assert_eq!((names.names(), victim.name()), (vec!["victim".into()], Some("victim")));
            let thief = ServerSpec::new(Script::<u64>::new(), 0).name_in(&names, "victim");
            match soon(thief.start()).await {
                Err(StartError::AlreadyStarted(id)) => assert_eq!(id, victim.id()),
                other => panic!("{hold:?}: {other:?}"),
            }
            tell(&names.whereis("victim").expect("alive"), inc()).await;
            family.mend();
            assert_eq!(ask(victim, get).await, 1);
            assert_eq!(names.whereis::<Script<u64>>("victim").expect("alive").id(), victim.id());
            soon(family.sup.stop()).await.expect("it stops");
            assert!(names.names().is_empty());
        }
    }

    /// K13: what was queued before the death is not served by the next life: its callers learn how the life ended.
    async fn what_was_queued_before_the_death_is_answered_with_it() {
        for hold in HOLDS {
            let family = Family::of(hold, ServerSpec::new(Script::new(), 0_u64)).await;
            let (victim, gate) = (&family.victim, Gate::new());
            family.prepare().await;
            tell(victim, wait_at(&gate)).await;
            soon(gate.arrived()).await;
            let mut early = pin!(victim.call(add).no_timeout());
            assert!(poll!(&mut early).is_pending());
            tell(victim, inc()).await;
            family.fall().await;
            let told = early.now_or_never().expect("at once");
            assert!(matches!(told, Err(CallError::Stopped(ExitReason::Killed))), "{hold:?}: {told:?}");
            assert_eq!(victim.mailbox_len(), 0);
            family.mend();
            assert_eq!(ask(victim, add).await, 1);
            serves_again(&family).await;
        }
    }

    /// K13: if the parent gives up instead, or is stopped, those who wait in the gap learn that it is over.
    async fn who_waits_in_the_gap_learns_that_it_is_over() {
        for hold in HOLDS {
            for kill in [true, false] {
                let names = Registry::new();
                let spec = ServerSpec::new(Script::new(), 0_u64).name_in(&names, "victim");
                let family = Family::of(hold, spec).await;
                family.prepare().await;
                family.fall().await;
                let victim = &family.victim;
                tell(victim, inc()).await;
                let mut call = pin!(victim.call(add).no_timeout());
                let mut next = pin!(victim.wait_incarnation(2));
                assert!(poll!(&mut call).is_pending() && poll!(&mut next).is_pending());
                let sup = family.sup.clone();
                if kill {
                    sup.kill();
                } else {
                    tokio::spawn(async move { sup.stop().await });
                    tokio::task::yield_now().await;
                    family.mend();
                }
                soon(family.sup.stopped()).await;
                let end = soon(call).await;
                match kill {
                    true => assert!(matches!(end, Err(CallError::Stopped(_))), "{hold:?}: {end:?}"),
                    // The parent may have come so far that the next life served it before it was stopped.
                    false => assert!(matches!(end, Ok(2) | Err(CallError::Stopped(_))), "{hold:?}: {end:?}"),
                }
                let next = soon(next).await;
                assert!(next.is_err() || end.is_ok(), "{hold:?}: {next:?}");
                assert!(!victim.is_alive() && victim.status() == Status::Terminated);
                assert!(names.names().is_empty());
                let late = soon(victim.call(get)).await;
                assert!(matches!(late, Err(CallError::NoProc)), "{late:?}");
            }
        }
    }

    /// CA12: a slow `init` of the next life is such a gap, too.
    async fn a_slow_init_of_the_next_life_is_waited_for() {
        let (names, door) = (Registry::new(), Door::new());
        door.gate.open();
        let sup = rise(Supervisor::builder().child(door.spec("door").name_in(&names, "door"))).await;
        soon(door.gate.arrived()).await;
        let server = sup.server::<Door>("door").expect("a child");
        server.cast(7).await.expect("alive");
        assert_eq!(soon(server.call(|reply| reply)).await.expect("served"), 7);
        server.kill();
        soon(door.gate.arrived()).await;
        assert_eq!((server.status(), server.is_alive(), server.incarnation()), (Status::Restarting, true, 1));
        assert_eq!(names.whereis::<Door>("door").expect("alive").id(), server.id());
        for by in [1, 2, 3] {
            server.cast(by).await.expect("taken");
        }
        let mut call = pin!(server.call(|reply| reply).no_timeout());
        assert!(poll!(&mut call).is_pending());
        door.gate.open();
        assert_eq!(soon(call).await.expect("served"), 123);
        settled(&sup).await;
        assert_eq!((server.status(), server.incarnation()), (Status::Running, 2));
    }

    /// K11: handles of every kind are good for every life.
    async fn every_handle_is_good_for_every_life() {
        let names = Registry::new();
        let spec = ServerSpec::new(Script::new(), 0_u64).id("x").name_in(&names, "x");
        let sup = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(spec)).await;
        let x = kid(&sup, "x");
        let (weak, to) = (x.downgrade(), x.recipient(|_: ()| inc()));
        let id = x.id();
        for life in 2..=50 {
            dies(&x).await;
            assert_eq!((x.id(), x.incarnation(), x.is_alive()), (id, life, true));
            to.send(()).await.expect("taken");
            assert_eq!(ask(&weak.upgrade().expect("alive"), add).await, 2);
            assert_eq!(kid(&sup, "x").id(), id);
            assert_eq!(ask(&names.whereis("x").expect("alive"), get::<u64>).await, 2);
        }
    }

    /// K11: incarnations and versions go on counting: what is newer has the higher number, in every life.
    async fn numbers_never_go_back() {
        for preserve in [true, false] {
            let spec =
                ServerSpec::new(noting("x", &Log::default()), 0).id("x").preserve_on_escalation(preserve);
            let sup = rise(Supervisor::builder().max_restarts(u32::MAX, SECOND).child(spec)).await;
            let x = kid(&sup, "x");
            let (mut incarnation, mut version) = (x.incarnation(), x.peek().version());
            for _ in 0..20 {
                ask(&x, add).await;
                let now = x.peek().version();
                assert!(now > version);
                version = now;
                dies(&x).await;
                assert_eq!(x.incarnation(), incarnation + 1);
                incarnation += 1;
                assert!(x.peek().version() >= version);
                version = x.peek().version();
            }
        }
    }

    /// SP1: an end that no restart follows is the end, and the name is free for another server.
    async fn an_end_without_a_restart_is_the_end() {
        let names = Registry::new();
        let spec = ServerSpec::new(Script::new(), 0_u64).id("x").name_in(&names, "x");
        let sup = rise(Supervisor::builder().child(spec)).await;
        let x = kid(&sup, "x");
        assert_eq!(word(&stop(&x).await.reason), "normal");
        until("it is down", || status(&sup, "x") == Some(Status::Terminated)).await;
        assert!(!x.is_alive() && names.names().is_empty());
        assert!(matches!(soon(x.call(get)).await, Err(CallError::NoProc)));
        assert!(soon(x.wait_incarnation(2)).await.is_err());
        let other = ServerSpec::new(Script::<u64>::new(), 0).name_in(&names, "x").start().await;
        assert!(other.is_ok(), "the name is free");
        stop(&start(0_u64).await).await;
    }
}

/// Waits until the whole family is up again, and ends it.
async fn serves_again(family: &Family) {
    settled(&family.sup).await;
    assert_eq!((family.victim.status(), family.victim.incarnation()), (Status::Running, 2));
    ask(&family.victim, get).await;
    // The door was let through as often as it has come.
    soon(family.sup.stop()).await.expect("it stops");
}
