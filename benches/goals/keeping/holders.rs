//! The same callbacks twice: on data that is kept, and on data that is not.

use std::{
    hint::black_box,
    marker::PhantomData,
    time::{Duration, Instant},
};

use undying::{Context, GenServer, Never, Next, Outcome, Reply, ServerRef, StateMut};

use super::data::Data;

pub(super) enum Touch {
    Change(u64),
    Read(u64),
}

/// The data is the state.
pub(super) struct InState<D>(PhantomData<fn(D)>);

impl<D> Default for InState<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D: Data> GenServer for InState<D> {
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
        }
        Ok(Next::Wait)
    }
}

/// The data belongs to the incarnation.
pub(super) struct InSelf<D>(pub(super) D);

impl<D: Data> GenServer for InSelf<D> {
    type State = ();
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
        _: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        match touch {
            Touch::Change(at) => self.0.change(at),
            Touch::Read(at) => {
                black_box(self.0.read(at));
            }
        }
        Ok(Next::Wait)
    }
}

/// Casts `count` touches. A few at a time, so that the queue stays small and in the caches; changes go all over the data, reads
/// stay where they are, for it is not the access to the data that is measured.
pub(super) async fn touches<S>(server: ServerRef<S>, touch: fn(u64) -> Touch, count: usize) -> Duration
where
    S: GenServer<Call = Reply<()>, Cast = Touch>,
{
    const BURST: u64 = 256;
    let began = Instant::now();
    for number in 0..count as u64 {
        // An odd multiplier with its bits all over: neighbours in time are not neighbours in the data.
        server.cast(touch(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20)).await.expect("it runs");
        if number % BURST == BURST - 1 {
            server.call(|done| done).await.expect("an answer");
        }
    }
    server.call(|done| done).await.expect("an answer");
    began.elapsed()
}
