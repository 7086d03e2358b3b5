//! Who may ask, and what every answer says to the browser: before any request is looked at, and after each was answered.

use std::{
    borrow::Cow,
    hint::black_box,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    Json,
    extract::{Query, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{self, HeaderName},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::routes::App;

/// Why a request is not granted: a status, and a sentence for whoever reads the answer.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) Cow<'static, str>);

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<Cow<'static, str>>) -> Self {
        Self(status, why.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Said {
            error: Cow<'static, str>,
        }
        let Self(status, error) = self;
        let mut response = (status, Json(Said { error })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let with = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, with);
        }
        response
    }
}

/// Lets a request through, or refuses it; the host first, so that a site that has no business here learns nothing of the token.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let checked =
        check_host(&app.hosts, uri, headers).and_then(|()| check_token(&app.token, method, uri, headers));
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// What goes for every answer. The page has a policy of its own.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A site whose name resolves to this address is another site's: only what nobody else's name can be is taken for ours.
fn check_host(hosts: &[String], uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut named: Vec<_> = headers.get_all(header::HOST).iter().map(HeaderValue::to_str).collect();
    named.extend(uri.authority().map(|authority| Ok(authority.as_str())));
    let ours = |host: &Result<&str, _>| host.as_ref().is_ok_and(|host| is_ours(hosts, host));
    if !named.is_empty() && named.iter().all(ours) {
        return Ok(());
    }
    let why = "this observer answers to IP addresses, to localhost, and to the host names that it was given";
    Err(Refusal::new(StatusCode::FORBIDDEN, why))
}

fn is_ours(hosts: &[String], authority: &str) -> bool {
    // The port is not looked at: behind a tunnel it is another one.
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    let is_v6 = |ip: &str| ip.parse::<Ipv6Addr>().is_ok();
    match host.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']').is_some_and(is_v6),
        None => {
            matches!(host.parse(), Ok(IpAddr::V4(_)))
                || host.eq_ignore_ascii_case("localhost")
                || hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
        }
    }
}

fn check_token(token: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let brought = match headers.get(header::AUTHORIZATION) {
        Some(value) => value.to_str().ok().and_then(bearer).map(Cow::Borrowed),
        // No other site can have a browser send a header of ours; an address it can.
        None if !method.is_safe() => None,
        None => in_address(uri).map(Cow::Owned),
    };
    if brought.is_some_and(|brought| same(brought.as_bytes(), token.as_bytes())) {
        return Ok(());
    }
    let why = if method.is_safe() {
        "this needs the token of the observer, as `Authorization: Bearer` or as `?token=`"
    } else {
        "this needs the token of the observer, as `Authorization: Bearer`"
    };
    Err(Refusal::new(StatusCode::UNAUTHORIZED, why))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn in_address(uri: &Uri) -> Option<String> {
    #[derive(Deserialize)]
    struct Wanted {
        token: String,
    }
    Query::<Wanted>::try_from_uri(uri).ok().map(|Query(Wanted { token })| token)
}

/// Whether they are the same. How long that takes tells nothing but the length.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (one, other)| black_box(all | (one ^ other)));
    one.len() == other.len() && differences == 0
}
