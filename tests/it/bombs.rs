//! The bombs: everything of the user's that the crate runs, made to fail in every way, the first, the second and every
//! time. After each, the server is what was promised, and the next caller gets an answer.

mod bomb;
mod cases;
mod fuse;

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use undying::Callback;

use cases::{
    in_a_cut_message, in_a_handled_message, in_a_killed_terminate, in_a_listener, in_a_message_callback,
    in_a_restart, in_a_start, in_an_unhandled_message, in_terminate, in_the_first_state, in_the_state,
};
use fuse::{Case, Kind, Place, When};

/// Runs a case for each of `kinds` and `whens`. One that does not come to an end is a failure with its name.
async fn each<F: Future<Output = ()>>(place: Place, kinds: &[Kind], whens: &[When], run: impl Fn(Case) -> F) {
    for &kind in kinds {
        for &when in whens {
            let case = Case { place, kind, when };
            let run = timeout(Duration::from_secs(60), run(case)).await;
            assert!(run.is_ok(), "{case:?} hangs");
        }
    }
}

both! {
    /// RELIABILITY 2: bombs in `handle_call`.
    async fn bombs_in_call() {
        let place = Place::Callback(Callback::Call);
        each(place, Kind::ALL, When::ALL, in_a_message_callback).await;
    }

    /// RELIABILITY 2: bombs in `handle_cast`.
    async fn bombs_in_cast() {
        let place = Place::Callback(Callback::Cast);
        each(place, Kind::ALL, When::ALL, in_a_message_callback).await;
    }

    /// RELIABILITY 2: bombs in `handle_info`.
    async fn bombs_in_info() {
        let place = Place::Callback(Callback::Info);
        each(place, Kind::ALL, When::ALL, in_a_message_callback).await;
    }

    /// RELIABILITY 2: bombs in `handle_continue`.
    async fn bombs_in_continue() {
        let place = Place::Callback(Callback::Continue);
        each(place, Kind::ALL, When::ALL, in_a_message_callback).await;
    }

    /// RELIABILITY 2: bombs in `handle_timeout`.
    async fn bombs_in_timeout() {
        let place = Place::Callback(Callback::Timeout);
        each(place, Kind::ALL, When::ALL, in_a_message_callback).await;
    }

    /// RELIABILITY 2: bombs in `init`.
    async fn bombs_in_init() {
        let place = Place::Callback(Callback::Init);
        each(place, Kind::ALL, When::ALL, in_a_start).await;
    }

    /// RELIABILITY 2, CR13: bombs in `restarted`.
    async fn bombs_in_restarted() {
        let place = Place::Callback(Callback::Restarted);
        each(place, Kind::ALL, When::ALL, in_a_restart).await;
    }

    /// RELIABILITY 2: bombs in `terminate`.
    async fn bombs_in_terminate() {
        let place = Place::Callback(Callback::Terminate);
        each(place, Kind::SYNC, When::ALL, in_terminate).await;
        each(place, &[Kind::Kill], When::ALL, in_a_killed_terminate).await;
    }

    /// RELIABILITY 2: bombs in the factory, at a start and at a restart.
    async fn bombs_in_the_factory() {
        each(Place::Factory, Kind::SYNC, When::ALL, in_a_start).await;
        each(Place::Factory, Kind::SYNC, &[When::Second, When::Later], in_a_restart).await;
    }

    /// RELIABILITY 2, CR12: bombs in `clone` of the state.
    async fn bombs_in_clone() {
        each(Place::Clone, Kind::SYNC, When::ALL, in_the_state).await;
        each(Place::Clone, Kind::SYNC, When::ALL, in_the_first_state).await;
    }

    /// RELIABILITY 2, CR11: bombs in `drop` of the state.
    async fn bombs_in_drop_of_the_state() {
        each(Place::DropState, Kind::SYNC, When::ALL, in_the_state).await;
        each(Place::DropState, Kind::SYNC, When::ALL, in_the_first_state).await;
    }

    /// RELIABILITY 2: bombs in `drop` of the server, which every incarnation has its own of.
    async fn bombs_in_drop_of_the_server() {
        each(Place::DropServer, Kind::SYNC, When::ALL, in_the_state).await;
    }

    /// RELIABILITY 2: bombs in `drop` of a message: handled, cut by a kill, and never handled.
    async fn bombs_in_drop_of_a_message() {
        each(Place::DropMessage, Kind::SYNC, When::ALL, in_a_handled_message).await;
        each(Place::DropMessage, Kind::SYNC, When::ALL, in_a_cut_message).await;
        each(Place::DropMessage, Kind::SYNC, When::ALL, in_an_unhandled_message).await;
    }

    /// RELIABILITY 2, LI5: bombs in each method of a listener.
    async fn bombs_in_a_listener() {
        let places = [Place::Started, Place::Changed, Place::Crashed, Place::Restarted, Place::Terminated];
        for place in places {
            each(place, Kind::SYNC, When::ALL, in_a_listener).await;
        }
    }
}
