//! A cache that forgets what was not used for longest, and what is too old.
//!
//! What it teaches:
//!
//! * the limits are part of the server, so they live in `self`; the entries and the statistics are the state;
//! * what is kept together agrees: `fetch` counts and makes room *before* it loads, and if loading fails, neither has
//!   happened. There is no order of steps to get right, and the statistics cannot drift away from the entries;
//! * expiry needs no timer: the cache looks at the clock when it is asked. Here that clock is paused, so the minute of
//!   step 4 takes no time. And statistics need no message: `peek` reads the kept state.
//!
//! Run it with `cargo run --example lru_cache`. Every step is printed and asserted.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::VecDeque, error::Error, io, time::Duration};

use tokio::time::{Instant, sleep};
use undying::{CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

#[derive(Clone)]
struct LruCache {
    capacity: usize,
    ttl: Duration,
    load: fn(&str) -> io::Result<String>,
}

#[derive(Clone, Default)]
struct Cache {
    /// The one that was used last is at the back.
    entries: VecDeque<Entry>,
    stats: Stats,
}

#[derive(Clone)]
struct Entry {
    key: &'static str,
    value: String,
    expires: Instant,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Stats {
    hits: usize,
    misses: usize,
    evicted: usize,
    expired: usize,
}

struct Fetch(&'static str, Reply<String>);

impl LruCache {
    fn fetch(&self, key: &'static str, Cache { entries, stats }: &mut Cache) -> io::Result<String> {
        let (now, before) = (Instant::now(), entries.len());
        entries.retain(|entry| entry.expires > now);
        stats.expired += before - entries.len();

        let found = entries.iter().position(|entry| entry.key == key);
        let entry = if let Some(entry) = found.and_then(|at| entries.remove(at)) {
            stats.hits += 1;
            entry
        } else {
            stats.misses += 1;
            if entries.len() == self.capacity {
                entries.pop_front();
                stats.evicted += 1;
            }
            Entry { key, value: (self.load)(key)?, expires: now + self.ttl }
        };
        let value = entry.value.clone();
        entries.push_back(entry);
        Ok(value)
    }
}

impl GenServer for LruCache {
    type State = Cache;
    type Call = Fetch;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Fetch(key, reply): Fetch,
        mut cache: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(self.fetch(key, &mut cache)?);
        Ok(Next::Wait)
    }
}

/// What is slow is better loaded in a task: see the example `deferred_reply`.
fn load(page: &str) -> io::Result<String> {
    if page == "/gone" { Err(io::ErrorKind::NotFound.into()) } else { Ok(format!("the page {page}")) }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = LruCache { capacity: 2, ttl: Duration::from_secs(60), load };
    let cache = ServerSpec::new(server, Cache::default()).start().await?;
    let fetch = |page| cache.call(move |reply| Fetch(page, reply));

    for page in ["/a", "/b", "/a"] {
        assert_eq!(fetch(page).await?, format!("the page {page}"));
    }
    assert_eq!(cache.peek().stats, Stats { misses: 2, hits: 1, ..Stats::default() });
    println!("1. /a and /b are loaded, the second /a is a hit");

    fetch("/c").await?;
    assert_eq!(cache.peek().stats, Stats { misses: 3, hits: 1, evicted: 1, ..Stats::default() });
    println!("2. there is room for two: /c takes the place of /b");

    assert!(matches!(fetch("/gone").await, Err(CallError::Crashed(_))));
    fetch("/a").await?; // It had made room for the page that is gone.
    fetch("/c").await?;
    assert_eq!(cache.peek().stats, Stats { misses: 3, hits: 3, evicted: 1, ..Stats::default() });
    println!("3. /gone crashes: not counted, and nothing has made room for it; /a and /c are hits");

    sleep(Duration::from_secs(60)).await;
    fetch("/c").await?;
    assert_eq!(cache.peek().stats, Stats { misses: 4, hits: 3, evicted: 1, expired: 2 });
    println!("4. a minute later both are too old: {:?}", cache.peek().stats);
    Ok(())
}
