//! Kinds of state: what survives without being rolled back, what is volatile, and what is kept as something else.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use undying::{Context, GenServer, Never, Next, Outcome, Preserve, Reply, ServerRef, ServerSpec, StateMut};

use crate::{
    crash::script::{Script, ask, job, look, soon, start, stop, tell},
    support::inject,
};

/// A server with all three kinds of memory: shared by all incarnations, of one incarnation, kept.
#[derive(Clone, Default)]
struct Memories {
    table: Arc<Mutex<HashMap<&'static str, u64>>>,
    volatile: u64,
}

enum Note {
    /// Writes the value to all three memories.
    Write(u64),
    /// Writes the value to all three memories and panics.
    Lose(u64),
}

/// The table itself, what it holds, the volatile value and the kept one.
type Recall = (Arc<Mutex<HashMap<&'static str, u64>>>, u64, u64);

impl GenServer for Memories {
    type State = u64;
    type Call = Reply<Recall>;
    type Cast = Note;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        reply: Reply<Recall>,
        state: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send((Arc::clone(&self.table), self.volatile, *state));
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        note: Note,
        mut state: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        let (Note::Write(value) | Note::Lose(value)) = note;
        self.table.lock().insert("value", value);
        self.volatile = value;
        *state = value;
        if matches!(note, Note::Lose(_)) {
            inject();
        }
        Ok(Next::Wait)
    }
}

/// A state that is not `Clone`: two ends of one shared cell. What is kept of it is the number in the cell.
struct Shared {
    left: Arc<AtomicU64>,
    right: Arc<AtomicU64>,
    /// No type with such a field can be `Clone`.
    double: Box<dyn Fn(u64) -> u64 + Send>,
}

impl Preserve for Shared {
    type Snapshot = u64;

    fn snapshot(&mut self) -> u64 {
        self.left.load(Ordering::SeqCst)
    }

    fn restore(snapshot: &u64) -> Self {
        let left = Arc::new(AtomicU64::new(*snapshot));
        Self { right: Arc::clone(&left), left, double: Box::new(|n| 2 * n) }
    }
}

/// What of a [`Shared`] can be told: whether both ends are one, and the double of each.
type Told = (bool, u64, u64);

async fn told(server: &ServerRef<Script<Shared>>) -> Told {
    ask(server, |reply: Reply<Told>| {
        look(move |state: &Shared| {
            reply.send((
                Arc::ptr_eq(&state.left, &state.right),
                (state.double)(state.left.load(Ordering::SeqCst)),
                (state.double)(state.right.load(Ordering::SeqCst)),
            ));
            Ok(Next::Wait)
        })
    })
    .await
}

/// Doubles a [`Shared`] by its right end.
fn double(state: &mut Shared) {
    let n = state.right.load(Ordering::SeqCst);
    state.right.store((state.double)(n), Ordering::SeqCst);
}

/// A state that keeps a journal: a commit appends to an earlier snapshot only what that does not have yet.
struct Journal {
    entries: Vec<u64>,
    appended: Arc<AtomicU64>,
}

/// A snapshot of a [`Journal`], and where its appended entries are counted.
type Pages = (Vec<u64>, Arc<AtomicU64>);

impl Preserve for Journal {
    type Snapshot = Pages;

    fn snapshot(&mut self) -> Pages {
        (self.entries.clone(), Arc::clone(&self.appended))
    }

    fn snapshot_into(&mut self, (pages, _): &mut Pages) {
        let new = &self.entries[pages.len()..];
        self.appended.fetch_add(new.len() as u64, Ordering::SeqCst);
        pages.extend(new);
    }

    fn restore((pages, appended): &Pages) -> Self {
        Self { entries: pages.clone(), appended: Arc::clone(appended) }
    }
}

both! {
    /// SV9: an `Arc` in the server outlives its incarnations as it is: the same one, and not rolled back.
    async fn a_shared_table_survives_and_is_not_rolled_back() {
        let memories = Memories::default();
        let table = Arc::clone(&memories.table);
        let server = ServerSpec::new(memories, 0).start().await.expect("it starts");
        soon(server.cast(Note::Write(1))).await.expect("a server");
        let (_, volatile, kept) = soon(server.call(|reply| reply)).await.expect("an answer");
        assert_eq!((volatile, kept), (1, 1));
        soon(server.cast(Note::Lose(2))).await.expect("a server");
        let (same, volatile, kept) = soon(server.call(|reply| reply)).await.expect("an answer");
        assert!(Arc::ptr_eq(&same, &table));
        assert_eq!(table.lock()["value"], 2, "written by the callback that crashed");
        assert_eq!(volatile, 0, "each incarnation gets a fresh `self`");
        assert_eq!(kept, 1);
        server.kill_worker();
        soon(server.wait_incarnation(3)).await.expect("an incarnation");
        assert_eq!(table.lock()["value"], 2);
    }

    /// SV11: a state that is not `Clone` is built again from its snapshot, what it shares within itself included.
    async fn a_custom_snapshot_restores_shared_structure() {
        let server = start(Shared::restore(&1)).await;
        assert_eq!(told(&server).await, (true, 2, 2));
        tell(&server, job(|state| {
            double(state);
            Ok(Next::Wait)
        }))
        .await;
        assert_eq!(told(&server).await, (true, 4, 4));
        // The last value is in a place that the worker shares with nobody: not even a panic leaves it behind.
        tell(&server, job(|state| {
            double(state);
            inject()
        }))
        .await;
        assert_eq!(told(&server).await, (true, 4, 4));
        assert_eq!((*server.peek(), server.incarnation()), (2, 2));
        let exit = stop(&server).await;
        assert_eq!(*exit.state, 2);
    }

    /// SV11: a type that updates an earlier snapshot in place is kept as exactly as one that is copied whole.
    async fn a_snapshot_updated_in_place_is_exact() {
        let appended = Arc::new(AtomicU64::new(0));
        let server = start(Journal { entries: Vec::new(), appended: Arc::clone(&appended) }).await;
        for n in 0..100_u64 {
            tell(&server, job(move |state: &mut Journal| {
                state.entries.push(n);
                Ok(Next::Wait)
            }))
            .await;
            if n % 10 == 9 {
                tell(&server, job(move |state: &mut Journal| {
                    state.entries.push(1_000 + n);
                    inject()
                }))
                .await;
            }
        }
        soon(server.wait_incarnation(11)).await.expect("an incarnation");
        assert_eq!(server.peek().0, (0..100).collect::<Vec<_>>());
        let exit = stop(&server).await;
        assert_eq!(exit.state.0, (0..100).collect::<Vec<_>>());
        assert!(appended.load(Ordering::SeqCst) > 0, "at least one snapshot was updated in place");
    }
}
