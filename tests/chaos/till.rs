//! The server that is tormented: it keeps a value twice, and crashes on request in each way a callback can.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::task::yield_now;
use undying::{Context, Crash, Dispatch, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

/// What a till keeps, and what can be asked of it.
pub(crate) trait Goods: Send + Sync + 'static {
    /// What is kept.
    type Value: Clone + PartialEq + Send + Sync;
    type Op: Clone + Send + Sync;
    type Ret: Send + Sync;

    /// What reads the whole of it.
    const LOOK: Self::Op;

    /// What a client asks next.
    fn draw(rng: &mut Rng) -> Self::Op;
    fn only_looks(op: &Self::Op) -> bool;
    fn apply(value: &mut Self::Value, op: &Self::Op) -> Self::Ret;
}

/// A number that is added to.
pub(crate) struct Count;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CountOp {
    Add,
    Look,
}

impl Goods for Count {
    type Value = u64;
    type Op = CountOp;
    /// The total afterwards.
    type Ret = u64;

    const LOOK: CountOp = CountOp::Look;

    fn draw(rng: &mut Rng) -> CountOp {
        if rng.u8(..4) == 0 { CountOp::Look } else { CountOp::Add }
    }

    fn only_looks(op: &CountOp) -> bool {
        *op == CountOp::Look
    }

    fn apply(total: &mut u64, op: &CountOp) -> u64 {
        *total += u64::from(*op == CountOp::Add);
        *total
    }
}

/// How a callback goes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Course {
    Well,
    /// It waits in the middle, where a kill can cut it.
    Slowly,
    Panics,
    Fails,
    /// The clone that would be kept panics.
    CannotBeKept,
}

impl Course {
    /// One in ten crashes.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        match rng.u8(..60) {
            0..2 => Self::Panics,
            2..4 => Self::Fails,
            4..6 => Self::CannotBeKept,
            6..12 => Self::Slowly,
            _ => Self::Well,
        }
    }

    async fn run(self) -> Result<(), Crash> {
        match self {
            Self::Well | Self::CannotBeKept => {}
            Self::Slowly => yield_now().await,
            Self::Panics => panic_quietly(),
            Self::Fails => return Err(Crash::msg("failed on purpose")),
        }
        Ok(())
    }
}

/// Without the panic hook, which takes a thousand times as long.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("panicked on purpose"))
}

/// Where `init` may change the value of a new life.
pub(crate) type Birth<G> = Arc<dyn Fn(&mut <G as Goods>::Value) + Send + Sync>;

pub(crate) struct Till<G: Goods> {
    pub(crate) birth: Option<Birth<G>>,
}

/// The value twice: whoever sees two that differ sees half of what a callback did.
pub(crate) struct Drawer<V> {
    pub(crate) value: V,
    pub(crate) twin: V,
    brittle: bool,
}

pub(crate) struct Order<G: Goods> {
    pub(crate) op: G::Op,
    pub(crate) course: Course,
    pub(crate) reply: Reply<G::Ret>,
}

/// Of a callback that found the work of another one half done.
pub(crate) const TORN: &str = "half of what a callback did is there";

impl<G: Goods> GenServer for Till<G> {
    type State = Drawer<G::Value>;
    type Call = Order<G>;
    /// Changes nothing, in its own way.
    type Cast = Course;
    type Info = Never;
    type Continue = Never;

    async fn init(&mut self, mut drawer: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
        if let Some(birth) = &self.birth {
            birth(&mut drawer.value);
            drawer.twin = drawer.value.clone();
        }
        Ok(Next::Wait)
    }

    async fn handle_call(
        &mut self,
        Order { op, course, reply }: Order<G>,
        mut drawer: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        if drawer.value != drawer.twin {
            return Err(Crash::msg(TORN));
        }
        if G::only_looks(&op) {
            reply.send(G::apply(&mut drawer.value.clone(), &op));
            course.run().await?;
            return Ok(Next::Wait);
        }
        // It is answered here, and half done.
        reply.send(G::apply(&mut drawer.value, &op));
        drawer.brittle = course == Course::CannotBeKept;
        course.run().await?;
        drawer.twin = drawer.value.clone();
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        course: Course,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        course.run().await?;
        Ok(Next::Wait)
    }
}

impl<G: Goods> Till<G> {
    /// One that takes its crashes as they come, with an empty drawer; and how many incarnations have begun, which are counted.
    pub(crate) fn spec(dispatch: Dispatch, birth: Option<Birth<G>>) -> (ServerSpec<Self>, Arc<AtomicU64>)
    where
        G::Value: Default,
    {
        let begun = Arc::new(AtomicU64::new(0));
        let count = begun.clone();
        let make = move || {
            count.fetch_add(1, Relaxed);
            Self { birth: birth.clone() }
        };
        let empty = Drawer { value: G::Value::default(), twin: G::Value::default(), brittle: false };
        let spec = ServerSpec::from_fn(make, empty).dispatch(dispatch);
        (spec.max_restarts(u32::MAX, Duration::from_secs(1)), begun)
    }
}

impl<V: Clone> Clone for Drawer<V> {
    fn clone(&self) -> Self {
        if self.brittle {
            panic_quietly();
        }
        Self { value: self.value.clone(), twin: self.twin.clone(), brittle: false }
    }
}
