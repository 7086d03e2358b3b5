//! The keeper: what it holds cannot be touched from outside, and nothing that happens to its task loses it.

#[cfg(feature = "chaos")]
mod faults;

use std::{
    marker::PhantomData,
    ops::DerefMut,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::mpsc::{self, UnboundedSender};
use undying::{
    CallError, ExitReason, Kept, Listener, Next, Reply, ServerRef, ServerSpec, StateChanged, Terminated,
};

use crate::{
    crash::script::{Job, Script, ask, crash, get, job, look, soon, start, stop},
    support::inject,
};

/// A state whose `Drop` panics as long as it is told to.
#[derive(Clone)]
struct Brittle {
    value: u64,
    brittle: Arc<AtomicBool>,
}

impl Drop for Brittle {
    fn drop(&mut self) {
        // A second panic while unwinding would abort the process.
        if self.brittle.load(Ordering::SeqCst) && !std::thread::panicking() {
            inject();
        }
    }
}

/// Sends the test the old and the new value of every change, and the last one twice.
struct Values(UnboundedSender<(u64, u64)>);

impl Listener<Script<Brittle>> for Values {
    fn state_changed(&self, change: &StateChanged<'_, Script<Brittle>>) {
        let _ = self.0.send((change.old.value, change.new.value));
    }
    fn terminated(&self, end: &Terminated<'_, Script<Brittle>>) {
        let _ = self.0.send((end.state.value, end.state.value));
    }
}

/// Adds one to a [`Brittle`].
async fn add_to(server: &ServerRef<Script<Brittle>>) -> Result<u64, CallError> {
    let up = |reply: Reply<u64>| {
        job(move |state: &mut Brittle| {
            state.value += 1;
            reply.send(state.value);
            Ok(Next::Wait)
        })
    };
    soon(server.call(up)).await
}

/// Asks for the value of a [`Brittle`].
fn value(reply: Reply<u64>) -> Job<Brittle> {
    look(move |state: &Brittle| {
        reply.send(state.value);
        Ok(Next::Wait)
    })
}

/// Whether a type gives out `&mut`: the inherent constant is there only if it does, and then it goes before the trait's.
struct Gives<T>(PhantomData<T>);

impl<T: DerefMut> Gives<T> {
    const MUT: bool = true;
}

trait Otherwise {
    const MUT: bool = false;
}

impl<T> Otherwise for Gives<T> {}

both! {
    /// KF5: snapshots whose `Drop` panics, in the keeper's hands or the worker's, cost a callback at most.
    async fn snapshots_that_panic_in_drop_harm_only_callbacks() {
        let brittle = Arc::new(AtomicBool::new(false));
        let (values, mut heard) = mpsc::unbounded_channel();
        let state = Brittle { value: 0, brittle: Arc::clone(&brittle) };
        let server = ServerSpec::new(Script::new(), state)
            .listener(Values(values))
            .start()
            .await
            .expect("it starts");
        brittle.store(true, Ordering::SeqCst);
        let mut acknowledged = 0;
        for round in 0..100 {
            match add_to(&server).await {
                Ok(sum) => {
                    acknowledged += 1;
                    assert_eq!(sum, acknowledged);
                }
                Err(CallError::Crashed(_)) => {}
                Err(other) => panic!("{other}"),
            }
            if round % 10 == 0 {
                server.kill_worker();
            }
            assert_eq!(ask(&server, value).await, acknowledged);
        }
        // From here on the test itself holds states.
        let exit = stop(&server).await;
        brittle.store(false, Ordering::SeqCst);
        assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
        assert_eq!(exit.state.value, acknowledged);
        drop((exit, server));
        let mut seen = 0;
        while let Some((old, new)) = soon(heard.recv()).await {
            assert_eq!(old, seen);
            seen = new;
        }
        assert_eq!(seen, acknowledged);
    }

    /// KF8: what is given out of the keeper can be read only, and a copy of it is a copy.
    async fn the_kept_state_cannot_be_written_from_outside() {
        const { assert!(Gives::<Box<u64>>::MUT) };
        const { assert!(!Gives::<Kept<Script<Vec<u64>>>>::MUT) };
        let server = start(vec![1]).await;
        let kept = server.peek();
        let mut copy = kept.clone().to_vec();
        copy.push(2);
        assert_eq!((&*kept, &*server.peek()), (&vec![1], &vec![1]));
        crash(&server).await;
        assert_eq!(ask(&server, get).await, [1]);
        assert_eq!(copy, [1, 2]);
    }
}
