//! Listeners that call back into the server they listen to.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use undying::{
    Crashed, ExitReason, Listener, Restarted, ServerRef, ServerSpec, Started, StateChanged, Terminated,
};

use crate::{
    crash::script::{Script, ask, crash, get, inc, soon, stop},
    support::until,
};

/// A listener that asks its server things and casts to it from within its methods.
struct Meddler {
    server: Mutex<Option<ServerRef<Script<u64>>>>,
    answers: Arc<Mutex<Vec<u64>>>,
}

impl Meddler {
    fn meddle(&self) {
        let server = self.server.lock().clone().expect("started comes first");
        let _ = (server.status(), server.incarnation(), server.mailbox_len());
        let _ = (server.peek().version(), server.is_alive());
        let answers = Arc::clone(&self.answers);
        Handle::current().spawn(async move {
            // A call may find the server crashed or over; what counts is that it is answered.
            if let Ok(answer) = server.call(get).await {
                answers.lock().push(answer);
            }
        });
    }
}

impl Listener<Script<u64>> for Meddler {
    fn started(&self, event: &Started<'_, Script<u64>>) {
        *self.server.lock() = Some(event.server.clone());
        assert!(event.server.try_cast(inc()).is_ok());
    }
    fn state_changed(&self, change: &StateChanged<'_, Script<u64>>) {
        if *change.new < 10 {
            let server = self.server.lock().clone().expect("started comes first");
            assert!(server.try_cast(inc()).is_ok());
        }
        self.meddle();
    }
    fn crashed(&self, _: &Crashed<'_, Script<u64>>) {
        self.meddle();
    }
    fn restarted(&self, _: &Restarted<'_, Script<u64>>) {
        self.meddle();
    }
    fn terminated(&self, _: &Terminated<'_, Script<u64>>) {
        self.meddle();
    }
}

both! {
    /// LI8: a listener may ask, cast to and call its own server from within its methods.
    async fn a_listener_may_call_back_into_its_server() {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let meddler = Meddler { server: Mutex::new(None), answers: Arc::clone(&answers) };
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(meddler)
            .start()
            .await
            .expect("it starts");
        until("the casts of the listener are done", || *server.peek() == 10).await;
        crash(&server).await;
        assert_eq!(ask(&server, get).await, 10);
        until("the calls of the listener are answered", || answers.lock().len() >= 12).await;
        let exit = stop(&server).await;
        assert_eq!(*exit.state, 10);
    }

    /// LI8: a listener may stop its own server.
    async fn a_listener_may_stop_its_server() {
        struct Nipper;
        impl Listener<Script<u64>> for Nipper {
            fn started(&self, event: &Started<'_, Script<u64>>) {
                let server = event.server.clone();
                Handle::current().spawn(async move { server.stop().await.map(|exit| exit.reason) });
            }
        }
        let server = ServerSpec::new(Script::new(), 0_u64)
            .listener(Nipper)
            .start()
            .await
            .expect("it starts");
        let exit = soon(server.stopped()).await;
        assert!(matches!(exit.reason, ExitReason::Normal), "{}", exit.reason);
    }

    /// G11: a listener that holds its server does not keep it alive for ever.
    async fn a_server_that_its_listener_holds_is_freed() {
        let meddler = Meddler { server: Mutex::new(None), answers: Arc::default() };
        let server = ServerSpec::new(Script::new(), 9_u64).listener(meddler).start().await.expect("it starts");
        let memory = server.downgrade();
        until("the listener has had its say", || *server.peek() == 10).await;
        stop(&server).await;
        drop(server);
        until("the server is freed", || memory.upgrade().is_none()).await;
    }
}
