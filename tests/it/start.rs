//! What `start` promises, whether `init` goes well or not.

mod names;

use std::{
    fmt::Debug,
    future::pending,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{executor::block_on, poll};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard},
    task::yield_now,
    time::Instant,
};
use undying::{
    Backoff, Callback, Context, Crash, CrashKind, GenServer, Mailbox, Never, Next, Outcome, Registry, Reply,
    Restart, ServerSpec, Shutdown, StartError, StateMut, WhereisError,
};

use crate::support::{Gate, RACES, inject, until};

/// How the `init` of a [`Probe`] goes.
#[derive(Clone, Debug)]
enum Init {
    Run,
    Yield,
    Slow(Gate),
    Fail,
    Panic,
    Ignore,
    Hang,
}

/// What a test sees of its probes: how often they began, and whether one of them still holds the lease.
#[derive(Clone, Default)]
struct Seen {
    inits: Arc<AtomicUsize>,
    restarts: Arc<AtomicUsize>,
    lease: Arc<Mutex<()>>,
}

impl Seen {
    fn inits(&self) -> usize {
        self.inits.load(SeqCst)
    }

    fn lease_is_free(&self) -> bool {
        self.lease.try_lock().is_ok()
    }
}

/// A counter whose `init` takes a resource that only one can have.
struct Probe {
    how: Init,
    seen: Seen,
    lease: Option<OwnedMutexGuard<()>>,
}

fn probe(how: Init, seen: &Seen) -> ServerSpec<Probe> {
    let seen = seen.clone();
    let make = move || Probe { how: how.clone(), seen: seen.clone(), lease: None };
    ServerSpec::from_fn(make, 0)
}

struct Get(Reply<u64>);

enum Cast {
    Add,
    Crash,
}

impl GenServer for Probe {
    type State = u64;
    type Call = Get;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, _: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        self.seen.inits.fetch_add(1, SeqCst);
        self.lease = Some(self.seen.lease.clone().try_lock_owned()?);
        match &self.how {
            Init::Run => Ok(Next::Wait),
            Init::Yield => {
                yield_now().await;
                Ok(Next::Wait)
            }
            Init::Slow(gate) => {
                gate.pass().await;
                Ok(Next::Wait)
            }
            Init::Fail => Err(Crash::msg("test: no database")),
            Init::Panic => panic!("test: no database"),
            Init::Ignore => Ok(Next::Ignore),
            Init::Hang => pending().await,
        }
    }

    async fn restarted(
        &mut self,
        _: &Restart,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        self.seen.restarts.fetch_add(1, SeqCst);
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        Get(reply): Get,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(*state);
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        cast: Cast,
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match cast {
            Cast::Add => *state += 1,
            Cast::Crash => inject(),
        }
        Ok(Next::Wait)
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

both! {
    /// ST1: start resolves only after a slow init has finished, and a call right after it is answered.
    async fn start_waits_for_init() {
        let gate = Gate::new();
        let mut start = pin!(probe(Init::Slow(gate.clone()), &Seen::default()).start());
        tokio::select! {
            _ = &mut start => panic!("init has not finished"),
            () = gate.arrived() => {}
        }
        assert!(poll!(&mut start).is_pending());
        gate.open();
        let server = start.await.expect("init went well");
        assert_eq!(server.call(Get).await.expect("served at once"), 0);
    }

    /// ST2: an error of init is what start returns; nothing is restarted, no task remains and the name is free.
    async fn an_error_in_init_is_the_result_of_start() {
        let (registry, seen, before) = (Registry::new(), Seen::default(), tasks());
        let error = probe(Init::Fail, &seen).name_in(&registry, "probe").start().await;
        let Err(StartError::Init(report)) = error else { panic!("{error:?}") };
        assert_eq!(report.message(), "test: no database");
        assert_eq!(report.kind(), CrashKind::Error);
        assert_eq!(report.callback(), Callback::Init);
        assert!(registry.names().is_empty());
        until("no task is left", || tasks() == before).await;
        assert_eq!(seen.inits(), 1);
        assert_eq!(seen.restarts.load(SeqCst), 0);
    }

    /// ST3: a panic in the first init is what start returns, with its own message, and init ran exactly once.
    async fn a_panic_in_init_is_the_result_of_start() {
        let (seen, before) = (Seen::default(), tasks());
        let error = probe(Init::Panic, &seen).start().await;
        let Err(StartError::Init(report)) = error else { panic!("{error:?}") };
        assert_eq!(report.message(), "test: no database");
        assert_eq!(report.kind(), CrashKind::Panic);
        until("no task is left", || tasks() == before).await;
        assert_eq!(seen.inits(), 1);
    }

    /// ST4: an init that asks for it is ignored: no server, no error of its own, and the name is free.
    async fn an_ignoring_init_leaves_no_server() {
        let registry = Registry::new();
        let result = probe(Init::Ignore, &Seen::default()).name_in(&registry, "probe").start().await;
        assert!(matches!(result, Err(StartError::Ignored)), "{result:?}");
        assert!(matches!(registry.whereis::<Probe>("probe"), Err(WhereisError::NotFound)));
    }

    /// ST6: failing starts leave no task, no name and nothing that init had taken, each time.
    async fn failing_starts_leave_nothing_behind() {
        let (registry, seen, before) = (Registry::new(), Seen::default(), tasks());
        for round in 0..100 {
            let how = [Init::Fail, Init::Panic, Init::Ignore, Init::Hang][round % 4].clone();
            let limit = Duration::from_millis(if round % 4 == 3 { 1 } else { 20_000 });
            let spec = probe(how, &seen).init_timeout(limit);
            let error = spec.name_in(&registry, "probe").start().await.expect_err("it cannot start");
            let expected = match round % 4 {
                // The message shows that init got the lease: the round before has given it back.
                0 | 1 => matches!(&error, StartError::Init(r) if r.message() == "test: no database"),
                2 => matches!(error, StartError::Ignored),
                _ => matches!(error, StartError::Timeout),
            };
            assert!(expected, "round {round}: {error}");
            assert!(registry.names().is_empty());
            until("no task is left", || tasks() == before).await;
            assert!(seen.lease_is_free());
        }
    }

    /// ST7: after a crash the state is the last one, not what it started with; init does not run again.
    async fn init_does_not_run_again_after_a_crash() {
        let seen = Seen::default();
        let server = probe(Init::Run, &seen).start().await.expect("starts");
        for _ in 0..5 {
            server.cast(Cast::Add).await.expect("alive");
        }
        server.cast(Cast::Crash).await.expect("alive");
        assert_eq!(server.call(Get).await.expect("served after the restart"), 5);
        assert_eq!((seen.inits(), seen.restarts.load(SeqCst)), (1, 1));
    }

    /// ST8: what init continues with runs before a message that was already queued.
    async fn the_continue_of_init_runs_first() {
        let server = ServerSpec::new(Eager, Vec::new()).start().await.expect("starts");
        let log = server.call(Log).await.expect("served");
        assert_eq!(log, ["continue", "cast"]);
    }

    /// ST9: without a name, and with a state of any shape, a server starts and keeps that state as it is.
    async fn any_state_is_kept_verbatim() {
        keeps(()).await;
        keeps(None::<u8>).await;
        keeps(Vec::<String>::new()).await;
        keeps(vec![1_u8; 10_000]).await;
        keeps(("name", Some("not a name"), Duration::MAX)).await;
        keeps(Ok::<u8, String>(1)).await;
    }

    /// ST10: a start given up half-way leaves no task, no name and nothing of its init.
    async fn a_cancelled_start_leaves_nothing_behind() {
        let (registry, seen, before) = (Registry::new(), Seen::default(), tasks());
        for round in 0..RACES {
            let start = probe(Init::Hang, &seen).name_in(&registry, "probe").start();
            let start = tokio::spawn(start);
            for _ in 0..round % 6 {
                yield_now().await;
            }
            start.abort();
            assert!(start.await.expect_err("it hangs in init").is_cancelled());
            until("no task is left", || tasks() == before).await;
            until("the name is free", || registry.names().is_empty()).await;
            assert!(seen.lease_is_free());
        }
    }

    /// ST10: a start that is never polled does nothing.
    async fn an_unpolled_start_does_nothing() {
        let (registry, seen, before) = (Registry::new(), Seen::default(), tasks());
        drop(probe(Init::Run, &seen).name_in(&registry, "probe").start());
        assert!(registry.names().is_empty());
        assert_eq!((seen.inits(), tasks()), (0, before));
    }

    /// ST11: nonsense is refused with a typed error before anything is spawned or any name taken.
    async fn nonsense_is_refused_before_anything_is_spawned() {
        let (registry, seen, before) = (Registry::new(), Seen::default(), tasks());
        for spec in [
            probe(Init::Run, &seen).max_restarts(3, Duration::ZERO),
            probe(Init::Run, &seen).mailbox(Mailbox::bounded(0)),
            probe(Init::Run, &seen).backoff(Backoff::exponential(Duration::MAX, Duration::ZERO)),
        ] {
            let result = spec.name_in(&registry, "probe").start().await;
            assert_eq!(tasks(), before);
            assert!(matches!(result, Err(StartError::Config(_))), "{result:?}");
        }
        assert!(registry.names().is_empty());
        assert_eq!(seen.inits(), 0);
    }

    /// ST11: the largest values are allowed and overflow nothing, neither at the start nor in a restart or a stop.
    async fn the_largest_values_are_allowed() {
        let max = Duration::MAX;
        let spec = probe(Init::Run, &Seen::default()).max_restarts(u32::MAX, max);
        let spec = spec.call_timeout(max).init_timeout(max).kill_grace(max).max_zombies(usize::MAX);
        let server = spec.shutdown(Shutdown::Timeout(max)).start().await.expect("starts");
        server.cast(Cast::Crash).await.expect("alive");
        assert_eq!(server.call(Get).await.expect("served"), 0);
        server.kill_worker();
        assert_eq!(server.wait_incarnation(3).await.expect("restarts"), 3);
        server.stop().timeout(max).await.expect("stops");
    }
}

/// ST5: at its time limit init is given up: start says so, init is dropped and the name is free.
#[tokio::test(start_paused = true)]
async fn init_has_a_time_limit() {
    let (registry, seen, begin) = (Registry::new(), Seen::default(), Instant::now());
    let spec = probe(Init::Hang, &seen).init_timeout(Duration::from_secs(3));
    let result = spec.name_in(&registry, "probe").start().await;
    assert!(matches!(result, Err(StartError::Timeout)), "{result:?}");
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
    assert!(registry.names().is_empty());
    until("init is dropped", || seen.lease_is_free()).await;
}

/// A start outside a runtime panics and says why, and takes no name.
#[test]
fn a_start_outside_a_runtime_says_so() {
    let registry = Registry::new();
    let spec = probe(Init::Run, &Seen::default()).name_in(&registry, "probe");
    let panic = catch_unwind(AssertUnwindSafe(|| block_on(spec.start()))).expect_err("no runtime");
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    assert!(text.is_some_and(|text| text.contains("runtime")));
    assert!(registry.names().is_empty());
}

/// Queues a message to itself in `init`, and goes on with a continue.
#[derive(Clone)]
struct Eager;

struct Log(Reply<Vec<&'static str>>);

impl GenServer for Eager {
    type State = Vec<&'static str>;
    type Call = Log;
    type Cast = ();
    type Info = Never;
    type Continue = ();

    async fn init(&mut self, _: StateMut<'_, Self>, cx: &mut Context<Self>) -> Outcome<Self> {
        cx.server().cast(()).await?;
        Ok(Next::Continue(()))
    }

    async fn handle_continue(
        &mut self,
        (): (),
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        yield_now().await;
        state.push("continue");
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        (): (),
        mut state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        state.push("cast");
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        Log(reply): Log,
        state: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        reply.send(state.clone());
        Ok(Next::Wait)
    }
}

/// Does nothing but have a state.
struct Holder<T>(PhantomData<fn() -> T>);

impl<T: Clone + Send + Sync + 'static> GenServer for Holder<T> {
    type State = T;
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;
}

async fn keeps<T: Clone + Debug + PartialEq + Send + Sync + 'static>(value: T) {
    let spec = ServerSpec::from_fn(|| Holder(PhantomData), value.clone());
    let server = spec.start().await.expect("starts");
    assert_eq!(server.name(), None);
    assert_eq!((&*server.peek(), server.peek().version()), (&value, 0));
    server.kill_worker();
    server.wait_incarnation(2).await.expect("restarts");
    assert_eq!(*server.peek(), value);
}
