//! The monkey: the same seed does the same, and the mix, the pace and the choice of servers are as told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use undying::{
    AnyServerRef, CallError, Callback, ChildError, CrashKind, DynamicSupervisor, ServerRef, ServerSpec,
    StartError, Supervisor,
    chaos::{Fault, Monkey, MonkeyReport},
};

use crate::{
    crash::script::{Script, add, ask, soon, start},
    support::until,
};

type Server = ServerRef<Script<u64>>;

fn spec(name: &str) -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0).id(name).max_restarts(u32::MAX, Duration::from_secs(1))
}

async fn several<const N: usize>() -> [Server; N] {
    let mut servers = Vec::new();
    for _ in 0..N {
        servers.push(spec("").start().await.expect("it starts"));
    }
    servers.try_into().expect("as many as were started")
}

/// What was done to which of `servers`, and when.
fn story(report: &MonkeyReport, servers: &[Server]) -> Vec<(Duration, usize, Fault)> {
    let place = |id| servers.iter().position(|server| server.id() == id).expect("one of them");
    report.faults.iter().map(|strike| (strike.after, place(strike.id), strike.fault)).collect()
}

fn mixed(seed: u64, servers: &[Server]) -> Monkey {
    let monkey = Monkey::seeded(seed)
        .fault(Fault::KillWorker, 5)
        .fault(Fault::KillKeeper, 2)
        .fault(Fault::CrashNext(Callback::Call), 1);
    servers.iter().fold(monkey, Monkey::server)
}

/// The same seed and as many servers: the same faults, to the same ones, at the same moments.
#[tokio::test(start_paused = true)]
async fn the_same_seed_strikes_the_same_servers_with_the_same_faults_at_the_same_moments() {
    let servers: [Server; 4] = several().await;
    let first = soon(mixed(42, &servers).run(300)).await;
    let others: [Server; 4] = several().await;
    let second = soon(mixed(42, &others).run(300)).await;
    assert_eq!((first.seed, first.faults.len()), (42, 300));
    assert_eq!(story(&first, &servers), story(&second, &others));
    let other = soon(mixed(43, &others).run(300)).await;
    assert_ne!(story(&first, &servers), story(&other, &others));
}

/// The faults are really done: each kill is an end of an incarnation, each crash on purpose waits for its callback.
#[tokio::test(start_paused = true)]
async fn what_the_report_says_was_done() {
    let server = start(0).await;
    let monkey = Monkey::seeded(1).server(&server).every(Duration::from_millis(10));
    let report = soon(monkey.run(50)).await;
    until("the last kill is over", || server.incarnation() == 51).await;
    assert_eq!(report.kills, vec![server.id().to_string(); 50]);
    assert!(report.faults.iter().all(|strike| strike.fault == Fault::KillWorker && strike.id == server.id()));

    let monkey = Monkey::seeded(1).server(&server).fault(Fault::CrashNext(Callback::Call), 1);
    let report = soon(monkey.run(3)).await;
    assert_eq!((report.kills.len(), report.faults.len()), (0, 3));
    for _ in 0..3 {
        let crashed = soon(server.call(add)).await.expect_err("on purpose");
        assert!(crashed.to_string().contains("crashed by chaos"), "{crashed}");
    }
    assert_eq!(ask(&server, add).await, 1);
}

/// A fault is drawn as often as its weight says, one of weight 0 never.
#[tokio::test(start_paused = true)]
async fn weights_say_how_often_a_fault_is_drawn() {
    let server = spec("").start().await.expect("it starts");
    let nothing = Fault::StallKeeper(Duration::ZERO);
    let monkey = Monkey::seeded(9)
        .server(&server)
        .fault(Fault::KillWorker, 1)
        .fault(Fault::KillSupervisor, 0)
        .fault(nothing, 9);
    let report = soon(monkey.run(2000)).await;
    let kills = report.kills.len();
    assert!((140..=260).contains(&kills), "{kills} of 2000 are not a tenth");
    assert_eq!(report.faults.iter().filter(|strike| strike.fault == nothing).count(), 2000 - kills);
    assert!(server.is_alive());
}

/// Pauses are drawn from none to twice the mean, in Tokio's time.
#[tokio::test(start_paused = true)]
async fn the_pauses_are_as_long_as_told_on_average() {
    let server = spec("").start().await.expect("it starts");
    let mean = Duration::from_secs(3);
    let began = Instant::now();
    let report = Monkey::seeded(5).server(&server).every(mean).run(1000).await;
    let mut last = Duration::ZERO;
    for strike in &report.faults {
        assert!(strike.after - last <= 2 * mean, "{strike}");
        last = strike.after;
    }
    assert!((2800..3200).contains(&last.as_secs()), "{last:?}");
    // Tokio's clock has milliseconds.
    assert!(began.elapsed() >= last && began.elapsed() - last <= Duration::from_millis(2));
}

/// It ends in time, and not before.
#[tokio::test(start_paused = true)]
async fn run_for_strikes_until_the_time_is_over() {
    let server = spec("").start().await.expect("it starts");
    let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    let began = Instant::now();
    let report = Monkey::seeded(5).server(&server).every(minute).run_for(hour).await;
    assert!(began.elapsed() - hour <= Duration::from_millis(2), "{:?}", began.elapsed());
    assert!((40..80).contains(&report.faults.len()), "{report}");
    assert!(report.faults.iter().all(|strike| strike.after <= hour));

    let idle = Monkey::seeded(5).server(&server).every(Duration::MAX);
    assert_eq!(idle.run_for(hour).await.faults, []);
}

/// Each strike is among those that are alive at its moment.
#[tokio::test(start_paused = true)]
async fn only_servers_that_are_alive_are_struck_and_new_ones_are_found() {
    let [old, young]: [Server; 2] = several().await;
    let there: Arc<Mutex<Vec<AnyServerRef>>> = Arc::default();
    let now = there.clone();
    let monkey = Monkey::seeded(3).among(move || now.lock().expect("whole").clone());
    let monkey = tokio::spawn(monkey.every(Duration::from_millis(10)).run(40));

    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!monkey.is_finished(), "it waits for somebody");
    there.lock().expect("whole").push((&old).into());
    soon(old.wait_incarnation(4)).await.expect("struck thrice");
    there.lock().expect("whole").push((&young).into());
    old.kill();
    soon(old.stopped()).await;
    let lives = old.incarnation();

    let report = soon(monkey).await.expect("it ends");
    assert_eq!(report.faults.len(), 40);
    let of = |server: &Server| report.faults.iter().filter(|strike| strike.id == server.id()).count() as u64;
    assert!(of(&old) >= lives - 1 && lives >= 4, "{report}");
    assert!(
        of(&young) > 0 && report.faults[of(&old) as usize..].iter().all(|strike| strike.id == young.id())
    );
}

/// The report says it in a few lines, and how to have it again.
#[tokio::test(start_paused = true)]
async fn a_report_says_what_was_done_and_how_to_do_it_again() {
    let servers: [Server; 2] = several().await;
    let report = soon(mixed(11, &servers).run(100)).await;
    let text = report.to_string();
    assert!(text.starts_with("100 faults on 2 servers within "), "{text}");
    assert!(text.contains("again with Monkey::seeded(11)"), "{text}");
    let count = |fault| report.faults.iter().filter(|strike| strike.fault == fault).count();
    for fault in [Fault::KillWorker, Fault::KillKeeper, Fault::CrashNext(Callback::Call)] {
        assert!(text.contains(&format!("{} × {fault}", count(fault))), "{text}");
    }
    assert_eq!(report.kills.len(), count(Fault::KillWorker) + count(Fault::KillKeeper));
    let strike = &report.faults[0];
    assert!(strike.to_string().ends_with(&format!("{} of {}", strike.fault, strike.server)), "{strike}");
}

/// It is a mistake to have it strike nobody.
#[tokio::test]
#[should_panic(expected = "a monkey needs servers")]
async fn a_monkey_without_servers_says_so() {
    Monkey::seeded(1).run(1).await;
}

both! {
    /// G1 G2: over a whole tree whose servers come and go, nothing acknowledged is lost and nothing refused is applied.
    async fn a_tree_whose_servers_come_and_go_keeps_its_promises_under_a_monkey() {
        let rooms = DynamicSupervisor::builder().id("rooms").max_restarts(u32::MAX, Duration::from_secs(1));
        let shop = Supervisor::builder()
            .max_restarts(u32::MAX, Duration::from_secs(1))
            .child(spec("till"))
            .child(rooms)
            .start()
            .await
            .expect("it starts");
        let rooms = shop.dynamic_supervisor("rooms").expect("a child");
        let all = shop.clone();
        let monkey = Monkey::seeded(8)
            .among(move || all.servers())
            .every(Duration::from_micros(200))
            .fault(Fault::KillWorker, 6)
            .fault(Fault::KillKeeper, 2)
            .fault(Fault::CrashNext(Callback::Call), 2);
        let monkey = tokio::spawn(monkey.run(500));

        let till = shop.server::<Script<u64>>("till").expect("a child");
        let mut sold = 0;
        while !monkey.is_finished() {
            let guest = match rooms.start_child(spec("")).await {
                Ok(guest) => guest,
                // It was struck in its `init` already, which is not tried again.
                Err(ChildError::Start(StartError::Init(report))) if report.kind() == CrashKind::Kill => continue,
                Err(other) => panic!("{other}"),
            };
            sold += update(&till).await;
            let mut stayed = 0;
            for _ in 0..10 {
                stayed += update(&guest).await;
            }
            assert_eq!(*guest.peek(), stayed);
            rooms.terminate_child(guest.id()).await.expect("it goes");
        }
        let report = soon(monkey).await.expect("it ends");
        assert_eq!(report.faults.len(), 500);
        let on_guests = report.faults.iter().filter(|strike| strike.id != till.id()).count();
        assert!(on_guests > 0 && on_guests < 500, "{report}");
        assert_eq!(*till.peek(), sold, "{report}");
        soon(shop.stop()).await.expect("it stops");
    }
}

/// Adds one, again and again until it is acknowledged.
async fn update(server: &Server) -> u64 {
    loop {
        match soon(server.call(add)).await {
            Ok(_) => return 1,
            Err(CallError::Crashed(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}
