//! A server that changes one element of its state, or reads it, or leaves it alone.

use std::{
    hint::black_box,
    marker::PhantomData,
    time::{Duration, Instant},
};

use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerRef, StateMut};

use super::data::Data;

pub(super) struct Holder<D>(PhantomData<fn(D)>);

impl<D> Default for Holder<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// What it does, and to which element.
#[derive(Clone, Copy)]
pub(super) enum Touch {
    Change(u64),
    Read(u64),
    /// Looks at the state as a whole.
    Glance,
}

impl<D: Data> GenServer for Holder<D> {
    type State = D;
    type Call = Reply<()>;
    type Cast = Touch;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        done: Reply<()>,
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        done.send(());
        Ok(Next::Wait)
    }

    async fn handle_cast(
        &mut self,
        touch: Touch,
        mut data: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match touch {
            Touch::Change(at) => data.change(at),
            Touch::Read(at) => {
                black_box(data.read(at));
            }
            Touch::Glance => {
                black_box(&*data);
            }
        }
        Ok(Next::Wait)
    }
}

/// Casts `count` touches, a few at a time, so that the queue stays small and in the caches.
pub(super) async fn cast<D: Data>(
    server: ServerRef<Holder<D>>,
    touch: fn(u64) -> Touch,
    count: usize,
) -> Duration {
    const BURST: u64 = 256;
    let began = Instant::now();
    for number in 0..count as u64 {
        server.cast(touch(number)).await.expect("it runs");
        if number % BURST == BURST - 1 {
            server.call(|done| done).await.expect("an answer");
        }
    }
    server.call(|done| done).await.expect("an answer");
    began.elapsed()
}
