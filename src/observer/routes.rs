//! What is answered to which request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::{
        Html, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{
    connection::over,
    guard::{Refusal, guard},
    picture::{Node, Picture, number},
    random,
    sources::Sources,
};
use crate::AnyServerRef;

const PAGE: &str = include_str!("page.html");

/// What stands in the page where the nonce of its policy belongs.
const NONCE: &str = "{nonce}";

/// What all requests share.
pub(super) struct App {
    pub(super) sources: Sources,
    pub(super) token: String,
    pub(super) hosts: Vec<String>,
    pub(super) every: Duration,
    pub(super) read_only: bool,
    pub(super) since: Instant,
    pub(super) ended: watch::Receiver<bool>,
}

impl App {
    fn look(&self) -> Picture {
        Picture::take(&self.sources, self.since.elapsed(), self.every, self.read_only)
    }
}

pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/api/tree", get(tree))
        .route("/api/events", get(events))
        .route("/api/servers/{id}/{order}", post(order))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method")
        })
        // Outermost, so that nothing is answered to whom it does not know, not even that there is nothing.
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

async fn page() -> Result<Response, Refusal> {
    let nonce = random().map_err(|_| {
        let why = "the operating system has no random numbers for the page";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    })?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let page = Html(PAGE.replace(NONCE, &nonce));
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], page).into_response())
}

async fn tree(State(app): State<Arc<App>>) -> Json<Picture> {
    Json(app.look())
}

/// A picture at once, and one in each period. None is taken before the one before it was sent: a slow client has fewer of them,
/// and nothing piles up for it.
async fn events(State(app): State<Arc<App>>) -> impl IntoResponse {
    let mut period = interval(app.every);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = app.ended.clone();
    let pictures = stream::unfold((app, period), async |(app, mut period)| {
        period.tick().await;
        let event = Event::default().json_data(app.look());
        Some((event, (app, period)))
    });
    let pictures = pictures.take_until(over(ended));
    Sse::new(pictures).keep_alive(KeepAlive::default())
}

/// What a server can be told.
#[derive(Clone, Copy)]
enum Order {
    Suspend,
    Resume,
    KillWorker,
}

impl Order {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "suspend" => Self::Suspend,
            "resume" => Self::Resume,
            "kill-worker" => Self::KillWorker,
            _ => return None,
        })
    }

    fn give(self, server: &AnyServerRef) {
        match self {
            Self::Suspend => server.suspend(),
            Self::Resume => server.resume(),
            Self::KillWorker => server.kill_worker(),
        }
    }
}

async fn order(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Node>, Refusal> {
    let nothing = || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address");
    let Path((id, order)) = path.map_err(|_| nothing())?;
    let order_given = Order::of(&order).ok_or_else(nothing)?;
    if app.read_only {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "this observer only shows; it was started read-only",
        ));
    }
    let server = app.sources.servers().find(|server| number(server.id()) == id);
    let server = server.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, format!("there is no server with the number {id:?}"))
    })?;
    let over = || Refusal::new(StatusCode::CONFLICT, format!("server {} is over", server.id()));
    if !server.is_alive() {
        return Err(over());
    }
    tracing::info!(server = %server.id(), name = server.name(), order, "an order by way of the observer");
    order_given.give(&server);
    // It may end meanwhile, and not be shown any more.
    app.look().node(&id).map(Json).ok_or_else(over)
}
