//! Listeners that do not want to hear of every change.

use tokio::sync::mpsc::UnboundedReceiver;
use undying::{
    Callback, Crashed, ExitReason, Listener, Overflow, Restarted, ServerRef, ServerSpec, Started,
    StateChanged, Terminated,
};

use super::only_end;
use crate::{
    crash::{
        script::{Script, add, ask, crash, get, inc, stop, tell},
        tape::{Event, Tape, rest, tape},
    },
    support::inject,
};

/// Wants changes by one callback, or by none.
struct Only(Option<Callback>, Tape<u64>);

impl Listener<Script<u64>> for Only {
    fn started(&self, event: &Started<'_, Script<u64>>) {
        self.1.started(event);
    }

    fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
        self.1.state_changed(change);
    }

    fn crashed(&self, crash: &Crashed<'_, Script<u64>>) {
        self.1.crashed(crash);
    }

    fn restarted(&self, restart: &Restarted<'_, Script<u64>>) {
        self.1.restarted(restart);
    }

    fn terminated(&self, end: &Terminated<'_, Script<u64>>) {
        self.1.terminated(end);
    }

    fn wants_changes(&self, by: Callback) -> bool {
        self.0 == Some(by)
    }
}

/// Cannot say what it wants.
struct Speechless(Tape<u64>);

impl Listener<Script<u64>> for Speechless {
    fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
        self.0.state_changed(change);
    }

    fn wants_changes(&self, _: Callback) -> bool {
        inject()
    }
}

/// A counter from 0 that is listened to.
async fn heard_by(listeners: impl IntoIterator<Item = Only>) -> ServerRef<Script<u64>> {
    let spec = ServerSpec::new(Script::new(), 0);
    // A queue in which unwanted changes would be in the way.
    let spec =
        listeners.into_iter().fold(spec, |spec, only| spec.listener_with(only, 4, Overflow::DropOldest));
    spec.start().await.expect("it starts")
}

/// The changes among `events`: old, new, and how many before were not told.
fn changes(events: &[Event<u64>]) -> Vec<(u64, u64, u64)> {
    let change = |event: &Event<u64>| match *event {
        Event::Changed { old, new, lagged, .. } => Some((old, new, lagged)),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

/// Two calls and casts in turn, with a request of `Sys` after them, three times over.
async fn work(server: &ServerRef<Script<u64>>) {
    for _ in 0..3 {
        for _ in 0..2 {
            tell(server, inc()).await;
            ask(server, add).await;
        }
        server.sys().replace(|state| *state += 10).await.expect("replaced");
    }
}

both! {
    /// LI3: who wants no changes is told of everything else, with the state as it then is.
    async fn who_wants_no_changes_hears_the_rest() {
        let (tape, events) = tape();
        let server = heard_by([Only(None, tape)]).await;
        work(&server).await;
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 42);
        stop(&server).await;
        drop(server);
        match &rest(events).await[..] {
            [Event::Started, Event::Crashed { state: 42, .. }, Event::Restarted { incarnation: 2 }, end] => {
                assert!(matches!(end, Event::Terminated { reason: ExitReason::Normal, state: 42 }), "{end:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// LI2, LI3: who wants changes of one kind hears of each of these, and the chain of states holds for it.
    async fn who_wants_some_changes_hears_each_of_them() {
        let ((one, first), (two, second)) = (tape(), tape());
        let server = heard_by([Only(Some(Callback::System), one), Only(Some(Callback::Call), two)]).await;
        let slowly = async |events: &mut UnboundedReceiver<Event<u64>>, n: usize| {
            let mut heard = Vec::new();
            while changes(&heard).len() < n {
                heard.push(crate::crash::script::soon(events.recv()).await.expect("not the end"));
            }
            heard
        };
        let (mut first, mut second) = (first, second);
        let (mut system, mut calls) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            for _ in 0..2 {
                tell(&server, inc()).await;
                ask(&server, add).await;
                calls.extend(changes(&slowly(&mut second, 1).await));
            }
            server.sys().replace(|state| *state += 10).await.expect("replaced");
            system.extend(changes(&slowly(&mut first, 1).await));
        }
        assert_eq!(system, [(0, 14, 0), (14, 28, 0), (28, 42, 0)]);
        assert_eq!(calls, [(0, 2, 0), (2, 4, 0), (4, 16, 0), (16, 18, 0), (18, 30, 0), (30, 32, 0)]);
        stop(&server).await;
        drop(server);
        assert!(matches!(only_end(&rest(first).await), (ExitReason::Normal, 42)));
        assert!(matches!(only_end(&rest(second).await), (ExitReason::Normal, 42)));
    }

    /// LI5: a listener that panics when it is asked what it wants is told of everything.
    async fn who_cannot_say_what_it_wants_gets_all() {
        let (tape, events) = tape();
        let server =
            ServerSpec::new(Script::new(), 0_u64).listener(Speechless(tape)).start().await.expect("it starts");
        work(&server).await;
        stop(&server).await;
        drop(server);
        assert_eq!(changes(&rest(events).await).len(), 15);
    }
}
