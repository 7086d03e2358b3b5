//! An address by message.

use std::{fmt, pin::Pin, sync::Arc};

use crate::{
    error::{CastError, TrySendError},
    gen_server::GenServer,
    logical::Logical,
    mailbox::Refused,
    notice::{Notice, Source},
    record::Envelope,
    sync::Mutex,
};

/// Where to send an `M`, whatever type of server gets it: see [`ServerRef::recipient`](crate::ServerRef::recipient). Cheap to
/// clone.
///
/// # Examples
///
/// ```
/// # use undying::{Context, GenServer, Never, Next, Outcome, Recipient, ServerSpec, StateMut};
/// #[derive(Clone, Copy)]
/// struct Price(u64);
///
/// # #[derive(Clone)] struct Board;
/// # #[derive(Clone)] struct Alarm;
/// enum BoardInfo { New(Price) }
///
/// # impl GenServer for Board {
/// #     type State = Vec<u64>; type Call = Never; type Cast = Never; type Info = BoardInfo; type Continue = Never;
/// #     async fn handle_info(&mut self, BoardInfo::New(Price(price)): BoardInfo, mut all: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         all.push(price); Ok(Next::Wait)
/// #     }
/// # }
/// # impl GenServer for Alarm {
/// #     type State = bool; type Call = Never; type Cast = Never; type Info = u64; type Continue = Never;
/// #     async fn handle_info(&mut self, price: u64, mut rang: StateMut<'_, Self>, _: &mut Context<Self>) -> Outcome<Self> {
/// #         *rang |= price > 10; Ok(Next::Wait)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let board = ServerSpec::new(Board, vec![]).start().await.unwrap();
/// let alarm = ServerSpec::new(Alarm, false).start().await.unwrap();
/// let interested: [Recipient<Price>; 2] = [board.recipient(BoardInfo::New), alarm.recipient(|Price(price)| price)];
/// for recipient in &interested {
///     recipient.send(Price(12)).await.unwrap();
/// }
/// assert_eq!(**board.stop().await.unwrap().state, [12]);
/// assert!(*alarm.stop().await.unwrap().state);
/// # }
/// ```
pub struct Recipient<M>(Arc<dyn Address<M>>);

trait Address<M>: Send + Sync {
    fn send(&self, message: M) -> Pin<Box<dyn Future<Output = Result<(), CastError<M>>> + Send + '_>>;
    fn try_send(&self, message: M) -> Result<(), TrySendError<M>>;
}

struct Mapped<S: GenServer, F> {
    logical: Arc<Logical<S>>,
    map: Arc<F>,
}

/// A message that may come back.
type Parcel<M> = Arc<Mutex<Option<M>>>;

impl<S: GenServer, F> Mapped<S, F> {
    /// Puts a message into an envelope that is opened in the worker.
    fn pack<M>(&self, message: M) -> (Parcel<M>, Envelope<S>)
    where
        M: Send + 'static,
        F: Fn(M) -> S::Info + Send + Sync + 'static,
    {
        let parcel = Arc::new(Mutex::new(Some(message)));
        let (packed, map) = (parcel.clone(), self.map.clone());
        let make = move || map(unpack(&packed));
        (parcel, Envelope::Notice(Notice::new(Source::User, make)))
    }
}

fn unpack<M>(parcel: &Parcel<M>) -> M {
    parcel.lock().take().expect("a message is handled or comes back, but not both")
}

impl<M, S, F> Address<M> for Mapped<S, F>
where
    M: Send + 'static,
    S: GenServer,
    F: Fn(M) -> S::Info + Send + Sync + 'static,
{
    fn send(&self, message: M) -> Pin<Box<dyn Future<Output = Result<(), CastError<M>>> + Send + '_>> {
        Box::pin(async move {
            let (parcel, envelope) = self.pack(message);
            let posted = self.logical.post(envelope).await;
            posted.map_err(|_| CastError(unpack(&parcel)))
        })
    }

    fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        let (parcel, envelope) = self.pack(message);
        self.logical.try_push(envelope).map_err(|refused| match refused {
            Refused::Full(_) => TrySendError::Full(unpack(&parcel)),
            Refused::Closed(_) => TrySendError::NoProc(unpack(&parcel)),
        })
    }
}

impl<M: Send + 'static> Recipient<M> {
    pub(crate) fn of<S: GenServer>(
        logical: Arc<Logical<S>>,
        map: impl Fn(M) -> S::Info + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Mapped { logical, map: Arc::new(map) }))
    }

    /// Sends a message, as [`ServerRef::send`](crate::ServerRef::send) does.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the message is not queued.
    ///
    /// # Errors
    ///
    /// [`CastError`] with the message, as for `ServerRef::send`.
    pub async fn send(&self, message: M) -> Result<(), CastError<M>> {
        self.0.send(message).await
    }

    /// Sends a message, and never waits, as [`ServerRef::try_send`](crate::ServerRef::try_send) does.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] with the message, as for `ServerRef::try_send`.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.0.try_send(message)
    }
}

impl<M> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").finish_non_exhaustive()
    }
}
