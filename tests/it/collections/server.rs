//! Servers whose state is made of collections that know what changed: kept, rolled back, looked at and listened to.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use parking_lot::Mutex;
use undying::{
    CallError, CommitPolicy, Kept, Listener, Next, Poison, Reply, ServerRef, ServerSpec, StateChanged,
    collections::{KeptDeque, KeptMap, KeptSet, KeptVec},
    preserve_fields,
};

use crate::{
    crash::script::{Job, Script, ask, crash, job, look, serves, slow, soon, start, stop, tell},
    support::{Gate, inject},
};

/// One collection of each kind.
#[derive(Default)]
struct Shelf {
    map: KeptMap<u32, String>,
    set: KeptSet<u32>,
    vec: KeptVec<u32>,
    deque: KeptDeque<String>,
}

preserve_fields!(Shelf { map, set, vec, deque });

/// The same of std.
#[derive(Clone, Default, Debug, PartialEq)]
struct Plain {
    map: HashMap<u32, String>,
    set: HashSet<u32>,
    vec: Vec<u32>,
    deque: VecDeque<String>,
}

/// A change that both can make.
macro_rules! change {
    ($shelf:expr, $draw:expr) => {{
        let (shelf, draw) = ($shelf, $draw);
        let key = draw % 500;
        let at = draw as usize % (shelf.vec.len() + 1);
        match draw % 11 {
            0 | 1 => drop(shelf.map.insert(key, draw.to_string())),
            2 => drop(shelf.map.remove(&key)),
            3 => shelf.map.entry(key).or_default().push('x'),
            4 => drop(shelf.set.insert(key)),
            5 => drop(shelf.set.remove(&key)),
            6 => shelf.vec.push(draw),
            7 if at < shelf.vec.len() => shelf.vec[at] ^= draw,
            8 => drop(shelf.deque.pop_front()),
            9 if draw % 13 == 0 => shelf.map.values_mut().for_each(|value| value.push('y')),
            _ => shelf.deque.push_back(draw.to_string()),
        }
    }};
}

impl Shelf {
    fn read(&self) -> Plain {
        Plain {
            map: self.map.clone().into(),
            set: self.set.clone().into(),
            vec: self.vec.to_vec(),
            deque: self.deque.iter().cloned().collect(),
        }
    }
}

/// Makes changes, and then panics if it is to.
fn changes(draws: Vec<u32>, fails: bool) -> Job<Shelf> {
    job(move |shelf: &mut Shelf| {
        for draw in draws {
            change!(&mut *shelf, draw);
        }
        if fails {
            inject();
        }
        Ok(Next::Wait)
    })
}

fn read(reply: Reply<Plain>) -> Job<Shelf> {
    look(|shelf: &Shelf| {
        reply.send(shelf.read());
        Ok(Next::Wait)
    })
}

/// What a listener was told: each state before and after.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Plain, Plain)>>>);

impl Listener<Script<Shelf>> for Told {
    fn state_changed(&self, change: &StateChanged<'_, Script<Shelf>>) {
        self.0.lock().push((change.old.read(), change.new.read()));
    }
}

/// Plays random changes, crashes and kills, and compares what is kept with what std's collections would be.
async fn history(seed: u64, spec: ServerSpec<Script<Shelf>>, every_callback: bool, hold: bool) {
    let mut rng = Rng::with_seed(seed);
    let server = spec.max_restarts(1000, Duration::from_secs(60)).start().await.expect("it starts");
    let mut model = Plain::default();
    let mut held: Vec<(Kept<Script<Shelf>>, Plain)> = Vec::new();
    for _ in 0..120 {
        let draws: Vec<u32> = (0..rng.usize(1..12)).map(|_| rng.u32(..)).collect();
        let fails = rng.u8(..) % 8 == 0;
        tell(&server, changes(draws.clone(), fails)).await;
        let working = ask(&server, read).await;
        if fails {
            // Where not every callback commits, more than this one is undone: what, is not for these tests.
            assert!(!every_callback || working == model, "seed {seed}");
            model = working;
        } else {
            draws.into_iter().for_each(|draw| change!(&mut model, draw));
            assert!(working == model, "seed {seed}");
        }
        if every_callback {
            assert!(server.peek().read() == model, "seed {seed}");
        }
        if hold && rng.bool() {
            let kept = server.peek();
            let then = kept.read();
            held.push((kept, then));
        }
    }
    for (kept, then) in &held {
        assert!(kept.read() == *then, "seed {seed}: a snapshot that was held changed");
    }
    assert!(stop(&server).await.state.read() == model, "seed {seed}");
}

fn spec() -> ServerSpec<Script<Shelf>> {
    ServerSpec::new(Script::new(), Shelf::default())
}

/// A server with `entries` in its map.
async fn stocked(entries: u32) -> ServerRef<Script<Shelf>> {
    let map = (0..entries).map(|key| (key, key.to_string())).collect();
    start(Shelf { map, ..Shelf::default() }).await
}

both! {
    /// Through any changes and crashes, what is kept is what std's collections would be.
    async fn what_is_kept_is_what_std_s_would_be() {
        for seed in 0..12 {
            history(seed, spec(), true, false).await;
        }
    }

    /// A snapshot that a reader holds stays as it is, and the server goes on right without its memory.
    async fn held_snapshots_stay_as_they_are() {
        for seed in 100..106 {
            history(seed, spec(), true, true).await;
        }
    }

    /// So it is with every policy for poisoned states, which keep older snapshots.
    async fn every_poison_policy_keeps_them_right() {
        for poison in [Poison::ResetToInitial, Poison::PreviousGood] {
            for seed in 200..204 {
                history(seed, spec().on_poison(poison), true, seed % 2 == 0).await;
            }
        }
    }

    /// Where several callbacks make one commit, it has what all of them changed.
    async fn looser_commits_have_all_changes() {
        for seed in 300..306 {
            history(seed, spec().commit(CommitPolicy::Every(3)), false, false).await;
        }
    }

    /// A listener is told an unbroken chain of states, the last of which is the one that is kept.
    async fn a_listener_is_told_an_unbroken_chain() {
        for seed in 400..404 {
            let told = Told::default();
            history(seed, spec().listener(told.clone()), true, seed % 2 == 0).await;
            let told = told.0.lock();
            assert!(!told.is_empty() && told[0].0 == Plain::default());
            assert!(told.windows(2).all(|pair| pair[0].1 == pair[1].0), "seed {seed}");
        }
    }

    /// A watcher sees the newest state, and its `peek` does not wait for a callback that has changed half.
    async fn a_busy_server_shows_what_is_kept() {
        let server = stocked(1000).await;
        let mut watch = server.watch();
        let gate = Gate::new();
        let inside = gate.clone();
        tell(&server, slow::<Shelf>(move |mut shelf, _| Box::pin(async move {
            shelf.map.clear();
            shelf.vec.push(1);
            inside.pass().await;
            shelf.map.insert(7, "seven".into());
            Ok(Next::Wait)
        })))
        .await;
        soon(gate.arrived()).await;
        assert_eq!((server.peek().map.len(), server.peek().vec.len()), (1000, 0));
        gate.open();
        assert_eq!(ask(&server, read).await.map, HashMap::from([(7, "seven".into())]));
        let newest = loop {
            let kept = soon(watch.next()).await.expect("a state");
            if kept.version() > 0 {
                break kept;
            }
        };
        assert_eq!((&newest.map[&7], &newest.vec[..]), (&"seven".to_string(), &[1][..]));
    }

    /// A callback that is killed half way leaves nothing of what it did, while the one that was killed still holds its copy.
    async fn a_kill_half_way_leaves_nothing() {
        let server = stocked(1000).await;
        for round in 0..20 {
            let gate = Gate::new();
            let inside = gate.clone();
            tell(&server, slow::<Shelf>(move |mut shelf, _| Box::pin(async move {
                shelf.map.retain(|key, _| key % 2 == 0);
                shelf.deque.push_front("torn".into());
                inside.pass().await;
                Ok(Next::Wait)
            })))
            .await;
            soon(gate.arrived()).await;
            server.kill_worker();
            serves(&server, round + 2).await;
            let key = u32::try_from(round).expect("small");
            tell(&server, job(move |shelf: &mut Shelf| {
                shelf.map.insert(5000 + key, String::new());
                Ok(Next::Hibernate)
            }))
            .await;
            let now = ask(&server, read).await;
            assert_eq!((now.map.len(), now.deque.len()), (1001 + key as usize, 0));
            assert!(server.peek().read() == now);
        }
    }

    /// A reply that is removed from a map unanswered tells its caller so, although snapshots shared it.
    async fn a_reply_that_is_dropped_from_a_map_is_told() {
        let server = start(KeptMap::<u32, Reply<u32>>::new()).await;
        for round in 0..10_u32 {
            let mut call = Box::pin(server.call(|reply| {
                job(move |waiting: &mut KeptMap<u32, Reply<u32>>| {
                    waiting.insert(round, reply);
                    Ok(Next::Wait)
                })
            }).into_future());
            assert!(futures::poll!(&mut call).is_pending());
            crash(&server).await;
            tell(&server, job(move |waiting: &mut KeptMap<u32, Reply<u32>>| {
                match waiting.remove(&round) {
                    Some(reply) if round % 2 == 0 => reply.send(round),
                    dropped => drop(dropped),
                }
                Ok(Next::Wait)
            }))
            .await;
            match soon(call).await {
                Ok(answer) => assert_eq!((answer, round % 2), (round, 0)),
                Err(error) => assert!(matches!(error, CallError::NoReply) && round % 2 == 1, "{error}"),
            }
        }
    }
}

/// What is serialized is what std's collections are, and comes back as it was.
#[cfg(feature = "serde")]
#[test]
fn they_are_serialized_as_std_s_are() {
    let map: KeptMap<String, u32> = (0..100).map(|n| (n.to_string(), n)).collect();
    let vec: KeptVec<u32> = (0..100).collect();
    let text = serde_json::to_string(&(&map, &vec)).expect("it can be written");
    let std: (HashMap<String, u32>, Vec<u32>) = serde_json::from_str(&text).expect("std reads it");
    assert_eq!((&map, &vec), (&std.0.clone().into(), &std.1.clone().into()));
    let text = serde_json::to_string(&std).expect("it can be written");
    let back: (KeptMap<String, u32>, KeptVec<u32>) = serde_json::from_str(&text).expect("they read it");
    assert_eq!((map, vec), back);
    let set: KeptSet<u32> = serde_json::from_str("[3, 1, 3]").expect("a set");
    let deque: KeptDeque<u32> = serde_json::from_str("[3, 1, 3]").expect("a queue");
    assert_eq!((set, deque), (KeptSet::from([1, 3]), KeptDeque::from([3, 1, 3])));
    assert_eq!(serde_json::to_string(&KeptDeque::from([3, 1])).expect("it can be written"), "[3,1]");
    assert_eq!(serde_json::to_string(&KeptSet::from([3])).expect("it can be written"), "[3]");
}
