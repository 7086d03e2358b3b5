//! A supervisor of either kind, for the transfers between every pair of them.

use tokio::task::{JoinHandle, yield_now};
use undying::{
    ChildInfo, DynamicSupervisorRef, ExitReason, GenServer, ServerId, ServerRef, ServerSpec, Status,
    SupervisorRef, TransferError,
};

use super::parts::{Counter, counter, entry, family, nursery, reborn};
use crate::{crash::script::soon, support::until};

/// A supervisor from or to which a child is moved. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) enum Home {
    Static(SupervisorRef),
    Dynamic(DynamicSupervisorRef),
}

/// From every kind of supervisor to every kind, all of them empty and without a restart limit.
pub(super) async fn pairs() -> [(Home, Home); 4] {
    [
        (Home::fixed().await, Home::fixed().await),
        (Home::fixed().await, Home::dynamic().await),
        (Home::dynamic().await, Home::fixed().await),
        (Home::dynamic().await, Home::dynamic().await),
    ]
}

impl Home {
    pub(super) async fn fixed() -> Self {
        Self::Static(family([]).await)
    }

    pub(super) async fn dynamic() -> Self {
        Self::Dynamic(nursery().await)
    }

    /// Starts a server here, under that id.
    pub(super) async fn bear<S: GenServer>(&self, id: &str, spec: ServerSpec<S>) -> ServerRef<S> {
        match self {
            Self::Static(parent) => {
                soon(parent.start_child(spec.id(id))).await.expect("a child starts");
                parent.server(id).expect("it is there")
            }
            Self::Dynamic(parent) => soon(parent.start_child(spec.id(id))).await.expect("a child starts"),
        }
    }

    /// Starts a counter here, under that id.
    pub(super) async fn child(&self, id: &str) -> ServerRef<Counter> {
        self.bear(id, counter()).await
    }

    /// Moves the child of that id and number from here to `to`.
    pub(super) async fn send(&self, id: &str, server: ServerId, to: &Self) -> Result<(), TransferError> {
        let moved = async {
            match (self, to) {
                (Self::Static(from), Self::Static(to)) => from.transfer(id, to).await,
                (Self::Static(from), Self::Dynamic(to)) => from.transfer(id, to).await,
                (Self::Dynamic(from), Self::Static(to)) => from.transfer(server, to).await,
                (Self::Dynamic(from), Self::Dynamic(to)) => from.transfer(server, to).await,
            }
        };
        soon(moved).await
    }

    /// Moves the child of that id and number, which nothing is to hinder.
    pub(super) async fn move_to(&self, id: &str, server: ServerId, to: &Self) {
        let moved = self.send(id, server, to).await;
        moved.unwrap_or_else(|error| panic!("{error}: {self:?} to {to:?}"));
    }

    pub(super) async fn terminate(&self, id: &str, server: ServerId) {
        let terminated = match self {
            Self::Static(parent) => soon(parent.terminate_child(id)).await,
            Self::Dynamic(parent) => soon(parent.terminate_child(server)).await,
        };
        terminated.expect("a child");
    }

    pub(super) fn children(&self) -> Vec<ChildInfo> {
        match self {
            Self::Static(parent) => parent.children(),
            Self::Dynamic(parent) => parent.children(),
        }
    }

    /// How many children there are, as listed and as counted.
    pub(super) fn len(&self) -> usize {
        let count = match self {
            Self::Static(parent) => parent.count(),
            Self::Dynamic(parent) => parent.count(),
        };
        assert_eq!((count.specs, count.supervisors + count.workers), (self.children().len(), count.specs));
        count.specs
    }

    pub(super) fn has(&self, server: ServerId) -> bool {
        entry(self.children(), server).is_some()
    }

    pub(super) fn info(&self, server: ServerId) -> ChildInfo {
        entry(self.children(), server).expect("it is listed")
    }

    pub(super) async fn stop(&self) -> ExitReason {
        let stopped = match self {
            Self::Static(parent) => soon(parent.stop()).await,
            Self::Dynamic(parent) => soon(parent.stop()).await,
        };
        stopped.expect("it stops")
    }

    pub(super) fn kill(&self) {
        match self {
            Self::Static(parent) => parent.kill(),
            Self::Dynamic(parent) => parent.kill(),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Static(parent) => parent.is_alive(),
            Self::Dynamic(parent) => parent.is_alive(),
        }
    }
}

/// The only one of `homes` that has `server`.
pub(super) fn only_home<'a>(
    homes: impl IntoIterator<Item = &'a Home>,
    server: &ServerRef<impl GenServer>,
) -> &'a Home {
    let mut homes = homes.into_iter().filter(|home| home.has(server.id()));
    let home = homes.next().expect("it is under one of them");
    assert!(homes.next().is_none(), "it is under two of them");
    home
}

/// Yields a few times.
pub(super) async fn pause(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Moves it in a task of its own, a little later.
pub(super) fn moves(
    from: &Home,
    server: &ServerRef<Counter>,
    to: &Home,
    later: usize,
) -> JoinHandle<Result<(), TransferError>> {
    let (from, server, to) = (from.clone(), server.id(), to.clone());
    tokio::spawn(async move {
        pause(later).await;
        from.send("moved", server, &to).await
    })
}

/// It is `home` that looks after `server`.
pub(super) async fn is_looked_after(home: &Home, server: &ServerRef<impl GenServer>) {
    let restarts = home.info(server.id()).restarts;
    reborn(server).await;
    until("it is listed so", || {
        let listed = home.info(server.id());
        (listed.restarts, listed.status) == (restarts + 1, Status::Running)
    })
    .await;
}
