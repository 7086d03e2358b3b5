//! Timers with a key: of each key there is one, so that they can be armed again without a thought.

use tokio::time::sleep;
use undying::{Context, GenServer, Never, Next, Outcome, Restart, ServerRef, ServerSpec, StateMut};

use super::HOUR;
use crate::{
    crash::script::{Script, slow, start, tell},
    effects::{Log, SECOND, act, within},
    support::inject,
};

/// IN4: arming a key again replaces what it stood for, whether that is sooner or later, also when it is due already.
#[tokio::test(start_paused = true)]
async fn a_key_stands_for_the_last_timer_only() {
    let (server, log) = (start(()).await, Log::new());
    let notes = log.clone();
    let first = within(&server, move |cx| {
        cx.set_timer("other", SECOND, notes.job("other"));
        let first = cx.set_timer("key", 2 * SECOND, notes.job("first"));
        cx.set_timer("key", 3 * SECOND, notes.job("second"));
        first
    })
    .await;
    assert!(!server.cancel(first), "it is replaced");
    let notes = log.clone();
    within(&server, move |cx| cx.set_timer("key".to_owned(), SECOND / 2, notes.job("third"))).await;
    sleep(4 * SECOND).await;
    assert_eq!(log.times(), [(SECOND / 2, "third"), (SECOND, "other")]);

    let notes = log.clone();
    within(&server, move |cx| cx.set_timer("key", SECOND, notes.job("fourth"))).await;
    let notes = log.clone();
    let slowly = slow(move |_, cx| {
        Box::pin(async move {
            sleep(2 * SECOND).await;
            cx.set_timer("key", SECOND, notes.job("fifth"));
            Ok(Next::Wait)
        })
    });
    tell(&server, slowly).await;
    sleep(HOUR).await;
    assert_eq!(log.times()[2..], [(7 * SECOND, "fifth")]);
}

/// IN4: a key can be cleared until its timer has fired, by the key or by the timer.
#[tokio::test(start_paused = true)]
async fn a_key_can_be_cleared() {
    let (server, log) = (start(()).await, Log::new());
    assert!(!within(&server, |cx| cx.clear_timer("key")).await);
    let info = log.job("cleared");
    within(&server, move |cx| cx.set_timer("key", SECOND, info)).await;
    assert!(within(&server, |cx| cx.clear_timer("key")).await);
    assert!(!within(&server, |cx| cx.clear_timer("key")).await);

    let info = log.job("cancelled");
    let timer = within(&server, move |cx| cx.set_timer("key", SECOND, info)).await;
    assert!(server.cancel(timer));
    assert!(!within(&server, |cx| cx.clear_timer("key")).await);

    let info = log.job("fired");
    within(&server, move |cx| cx.set_timer("key", SECOND, info)).await;
    sleep(2 * SECOND).await;
    assert_eq!(log.notes(), ["fired"]);
    assert!(!within(&server, |cx| cx.clear_timer("key")).await);
    sleep(HOUR).await;
    assert_eq!(log.len(), 1);
}

/// IN4: what a callback does to a key counts as if it was done at once: what it replaced is over, also when it takes that back.
#[tokio::test(start_paused = true)]
async fn a_callback_can_take_back_what_it_replaced_a_timer_with() {
    for by_key in [false, true] {
        let (server, log) = (start(()).await, Log::new());
        let info = log.job("replaced");
        let replaced = within(&server, move |cx| cx.set_timer("key", SECOND, info)).await;
        let info = log.job("taken back");
        let undone = within(&server, move |cx| {
            let timer = cx.set_timer("key", SECOND, info);
            let replaced = cx.cancel(replaced);
            (replaced, if by_key { cx.clear_timer("key") } else { cx.cancel(timer) }, cx.clear_timer("key"))
        });
        assert_eq!(undone.await, (false, true, false), "by key: {by_key}");
        sleep(HOUR).await;
        assert_eq!(log.notes(), [""; 0], "by key: {by_key}");
    }
}

/// Notes and arms its key again.
fn beat(log: Log<()>, cx: &mut Context<Script<()>>) {
    log.note(());
    cx.set_timer("beat", SECOND, act(move |cx| beat(log, cx)));
}

/// IN4 IN5: a timer that arms its own key again goes on across kills, once a period.
#[tokio::test(start_paused = true)]
async fn a_key_can_be_armed_again_by_its_own_timer() {
    let (server, log) = (start(()).await, Log::new());
    let first = log.clone();
    within(&server, move |cx| beat(first, cx)).await;
    for kill in 0..5 {
        sleep(SECOND / 2).await;
        server.kill_worker();
        server.wait_incarnation(kill + 2).await.expect("it restarts");
        sleep(SECOND / 2).await;
    }
    sleep(SECOND / 2).await;
    assert_eq!(log.times(), (0..=5).map(|n| (n * SECOND, ())).collect::<Vec<_>>());
    assert!(within(&server, |cx| cx.clear_timer("beat")).await);
}

/// Arms the same key in `init` and in `restarted`, as one does who does not want to know which of the two runs.
#[derive(Clone)]
struct Armed {
    log: Log<u64>,
    /// Whether the second incarnation crashes when it has armed, and the third arms nothing.
    fails: bool,
}

impl GenServer for Armed {
    type State = ();
    type Call = Never;
    type Cast = Never;
    type Info = u64;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.set_timer("refresh", 2 * SECOND, cx.incarnation());
        Ok(Next::Wait)
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let incarnation = cx.incarnation();
        if !self.fails || incarnation == 2 {
            cx.set_timer("refresh", 2 * SECOND, incarnation);
        }
        if self.fails && incarnation == 2 {
            inject();
        }
        Ok(Next::Wait)
    }

    async fn handle_info(&mut self, by: u64, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.log.note(by);
        Ok(Next::Wait)
    }
}

async fn armed(fails: bool) -> (ServerRef<Armed>, Log<u64>) {
    let log = Log::new();
    let spec = ServerSpec::new(Armed { log: log.clone(), fails }, ());
    (spec.start().await.expect("it starts"), log)
}

/// IN5: a timer that every incarnation arms anew fires once, for the last one that did.
#[tokio::test(start_paused = true)]
async fn a_key_armed_by_every_incarnation_is_not_doubled() {
    let (server, log) = armed(false).await;
    for incarnation in 2..=4 {
        sleep(SECOND).await;
        server.kill_worker();
        server.wait_incarnation(incarnation).await.expect("it restarts");
    }
    sleep(HOUR).await;
    assert_eq!(log.times(), [(5 * SECOND, 4)]);
}

/// IN5: what `init` armed is still there if the `restarted` that wanted to replace it crashed.
#[tokio::test(start_paused = true)]
async fn a_restarted_that_crashes_replaces_no_timer() {
    let (server, log) = armed(true).await;
    sleep(SECOND).await;
    server.kill_worker();
    server.wait_incarnation(3).await.expect("it restarts");
    sleep(HOUR).await;
    assert_eq!(log.times(), [(2 * SECOND, 1)]);
}
