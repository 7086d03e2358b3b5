//! States of a gibibyte and of ten million entries. They take gigabytes and many seconds, so they are run on request, and say what
//! they have measured: `cargo test --release --test it -- --ignored --nocapture --test-threads 1 giants`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use undying::{Kept, Next, Preserve, ServerRef, ServerSpec, collections::KeptMap};

use crate::crash::script::{Job, Script, asked, job, look, stop};

const GIB: usize = 1 << 30;
const MANY: u64 = 10_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

type Server<T> = ServerRef<Script<T>>;

/// How long a change takes with its commit, the first and the fastest of those after it; and a read of it.
struct Costs {
    first: Duration,
    change: Duration,
    read: Duration,
    restart: Duration,
}

async fn timed<T: Preserve>(
    server: &Server<T>,
    work: impl Fn(&mut T) + Send + 'static,
    writes: bool,
) -> Duration {
    let begin = Instant::now();
    let call = server.call(|reply| -> Job<T> {
        if writes {
            job(move |state| {
                work(state);
                reply.send(());
                Ok(Next::Wait)
            })
        } else {
            look(move |_| {
                reply.send(());
                Ok(Next::Wait)
            })
        }
    });
    call.timeout(HOUR).await.expect("an answer");
    begin.elapsed()
}

/// Changes such a state, crashes in the middle of a change, and is killed: nothing acknowledged is lost, nothing torn is kept.
async fn endures<T: Preserve>(
    what: &str,
    state: T,
    change: fn(&mut T),
    changes: fn(&Kept<Script<T>>) -> u64,
) -> Costs {
    let spec = ServerSpec::new(Script::new(), state).call_timeout(HOUR);
    let server = spec.start().await.expect("it starts");
    let first = timed(&server, change, true).await;
    let mut fastest = HOUR;
    for _ in 0..4 {
        fastest = fastest.min(timed(&server, change, true).await);
    }
    let mut read = HOUR;
    for _ in 0..100 {
        read = read.min(timed(&server, change, false).await);
    }
    assert_eq!(changes(&server.peek()), 5, "{what}");

    let begin = Instant::now();
    let torn = server.call(asked(job(move |state| {
        change(state);
        crate::support::inject()
    })));
    torn.timeout(HOUR).await.expect_err("it crashes");
    server.wait_incarnation(2).await.expect("it goes on");
    timed(&server, change, false).await;
    let restart = begin.elapsed();
    assert_eq!(changes(&server.peek()), 5, "{what}");
    server.kill_worker();
    server.wait_incarnation(3).await.expect("it goes on");
    timed(&server, change, true).await;
    assert_eq!(changes(&server.peek()), 6, "{what}");
    let begin = Instant::now();
    server.stop().await.map(drop).expect("it stops");
    eprintln!(
        "{what}: first change {first:.2?}, later ones {fastest:.2?}, read {read:.2?}, crash to the next answer {restart:.2?}, stop {:.2?}",
        begin.elapsed()
    );
    Costs { first, change: fastest, read, restart }
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_string()
}

/// A gibibyte of bytes is kept like anything else: each change costs a copy of it. In an `Arc` it costs nothing but what is made
/// anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes four gibibytes: cargo test --release --test it -- --ignored --nocapture --test-threads 1 giants"]
async fn a_state_may_be_of_a_gibibyte() {
    crate::support::quiet();
    let plain =
        endures("1 GiB in a Vec", vec![0_u8; GIB], |state| state[0] += 1, |kept| kept[0].into()).await;
    let shared: (u64, Arc<Vec<u8>>) = (0, Arc::new(vec![0_u8; GIB]));
    let shared = endures("1 GiB in an Arc", shared, |state| state.0 += 1, |kept| kept.0).await;
    assert!(plain.read < Duration::from_millis(1), "a read copies nothing");
    assert!(
        shared.first.max(shared.change).max(shared.restart) < plain.change,
        "what is shared is not copied"
    );
    eprintln!("{}", peak());
}

/// Ten million entries, in a map of std's that is copied whole, and in one that knows what has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes gigabytes: cargo test --release --test it -- --ignored --nocapture --test-threads 1 giants"]
async fn a_state_may_have_ten_million_entries() {
    crate::support::quiet();
    let numbers: Vec<u64> = vec![0; MANY as usize];
    endures("10⁷ in a Vec", numbers, |state| state[7] += 1, |kept| kept[7]).await;
    let plain: HashMap<u64, u64> = (0..MANY).map(|key| (key, 0)).collect();
    let bump = |state: &mut HashMap<u64, u64>| *state.entry(7).or_default() += 1;
    let plain = endures("10⁷ in a HashMap", plain, bump, |kept| kept[&7]).await;
    let kept: KeptMap<u64, u64> = (0..MANY).map(|key| (key, 0)).collect();
    let bump = |state: &mut KeptMap<u64, u64>| {
        if let Some(count) = state.get_mut(&7) {
            *count += 1;
        }
    };
    let kept =
        endures("10⁷ in a KeptMap", kept, bump, |kept| kept.get(&7).copied().unwrap_or_default()).await;
    assert!(kept.change * 100 < plain.change, "a change costs what changed");
    eprintln!("{}", peak());
}

/// A queue of ten million messages is handled whole and in order, and let go whole at a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes gigabytes: cargo test --release --test it -- --ignored --nocapture --test-threads 1 giants"]
async fn a_queue_may_have_ten_million_messages() {
    crate::support::quiet();
    for kill in [false, true] {
        let server: Server<u64> =
            ServerSpec::new(Script::new(), 0).call_timeout(HOUR).start().await.expect("it starts");
        let gate = crate::support::Gate::new();
        server.cast(crate::crash::script::wait_at(&gate)).await.map_err(drop).expect("alive");
        gate.arrived().await;
        for n in 0..MANY {
            let in_order = job(move |next: &mut u64| {
                assert_eq!(*next, n, "test: out of order");
                *next += 1;
                Ok(Next::Wait)
            });
            server.try_cast(in_order).map_err(drop).expect("room");
        }
        let begin = Instant::now();
        if kill {
            server.kill();
            assert_eq!(*server.stopped().await.state, 0);
        } else {
            gate.open();
            timed(&server, |_| (), false).await;
            assert_eq!(*stop(&server).await.state, MANY);
        }
        eprintln!(
            "10⁷ queued messages, {}: {:.2?}",
            if kill { "let go" } else { "handled" },
            begin.elapsed()
        );
    }
    eprintln!("{}", peak());
}
