//! The receiving edge: `/in/<source>/<token>`. A 2xx that means "kept" is sent only after the delivery is on disk.
//!
//! Nothing is parsed here: the raw request is stored, and what it means is found out later. What is checked is what
//! protects the door: the token, the size, the time, the number of requests under way, and what the platform proves itself
//! with where its source asks for that. Whoever does not know the token learns nothing, not even whether the source exists
//! (unless its preset answers 401 to a wrong token).

mod answer;
mod serve;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, error, warn};

use self::answer::Answer;
pub use self::serve::{Connections, serve};
use crate::clock::Clock;
use crate::event::{Delivery, Preset, Unreadable, Verify};
use crate::failpoint::failpoint;
use crate::id::DeliveryId;
use crate::store::inbox::{Arrival, Inbox};
use crate::telemetry::metric;
use crate::token::{self, TokenHash};

/// Every source that answers, by name: those of the workspace and those that only the database remembers.
#[derive(Clone, Debug, Default)]
pub struct Sources(pub BTreeMap<String, Entry>);

/// What the door knows of one source.
#[derive(Clone)]
pub struct Entry {
    /// Its platform.
    pub preset: &'static Preset,
    /// Hash of its path token. `None` when nothing readable says what the token should be: then any is taken, and the
    /// arrival carries its hash to be checked before it is prepared.
    pub token_hash: Option<TokenHash>,
    /// The application of a source that adds tokens: its second address, with the token as the password.
    pub app: Option<String>,
    /// What a request has to prove besides, in the way of the preset. `None` when the source asks for nothing, and for
    /// sources whose file is gone or cannot be read: then the token alone guards them.
    pub secret: Option<SecretString>,
    /// Why its deliveries cannot be prepared now: paused, removed, renamed, `mapping broken, sendpulse.yaml:12`. They
    /// are kept and answered 2xx all the same, because a 404 makes some platforms switch the webhook off.
    pub waiting: Option<String>,
}

impl fmt::Debug for Entry {
    /// Without hash and secret: a weak token can be guessed from its hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("preset", &self.preset.name)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// What a single request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest body in bytes; beyond it 413.
    pub body_bytes: usize,
    /// Longest time for the body to arrive; beyond it 408.
    pub body_time: Duration,
    /// Longest wait for the storage; beyond it 503. The delivery may still be kept, then the retry is a redelivery.
    pub store_time: Duration,
    /// Most requests under way at one time; beyond it 503. Times `body_bytes` it bounds the memory.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            body_time: Duration::from_secs(10),
            store_time: Duration::from_secs(8),
            in_flight: 512,
        }
    }
}

/// Headers that are kept with a delivery. An allow-list, so that no credential is ever stored by oversight:
/// `authorization`, cookies and signatures are not on it.
const KEPT_HEADERS: [&str; 10] = [
    "content-type",
    "idempotency-key",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "x-event-id",
    "x-event-key",
    "x-event-type",
    "x-request-id",
    "x-webhook-id",
];

/// What the handler shares between requests.
pub struct Receiver {
    inbox: Inbox,
    sources: watch::Receiver<Arc<Sources>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    in_flight: Semaphore,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Receiver {
    /// A receiver that puts arrivals into `inbox` and always sees the newest `sources`.
    pub fn new(
        inbox: Inbox,
        sources: watch::Receiver<Arc<Sources>>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Self {
        Self { inbox, sources, clock, limits, in_flight: Semaphore::new(limits.in_flight) }
    }
}

/// Answers everything below `/in`, so that no other part of the program ever sees a path with a token, and the addresses to
/// which tokens of chats are sent.
pub fn router(receiver: Receiver) -> Router {
    tokens::routes(Router::new().route("/in/{*path}", any(handle))).with_state(Arc::new(receiver))
}

async fn handle(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let path = path(&mut parts).await;
    let (name, token) = path.split_once('/').unwrap_or((&path, ""));
    let sources = Arc::clone(&receiver.sources.borrow());
    let (label, answer) = match authenticate(&sources, name, token) {
        Ok(door) => (name, receiver.receive(name, door, parts, body, None).await),
        Err((label, status)) => (label, Answer::UnknownPath(status)),
    };
    answered(label, answer, began)
}

/// Counts an answer that was begun with then, and gives it.
fn answered(label: &str, answer: Answer, began: Instant) -> Response {
    metrics::counter!(metric::DELIVERIES, "source" => label.to_owned(), "answer" => answer.word())
        .increment(1);
    if matches!(answer, Answer::Kept) {
        metrics::histogram!(metric::ACK_SECONDS).record(began.elapsed());
    } else {
        debug!(source = label, answer = answer.word(), "request on /in answered without keeping it");
    }
    answer.into_response()
}

/// The path below `/in/`, percent-decoded; empty when it is not UTF-8. A slash at the end does not count.
async fn path(parts: &mut Parts) -> String {
    use axum::extract::FromRequestParts as _;
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let path = params.as_ref().ok().and_then(|params| params.iter().next()).map_or("", |(_, path)| path);
    path.strip_suffix('/').unwrap_or(path).to_owned()
}

/// An open door: the source, and the hash of the token when there was nothing to compare it with.
#[derive(Debug)]
struct Door<'a> {
    entry: &'a Entry,
    unverified_token: Option<TokenHash>,
}

/// Compared with when there is no hash to compare with. Nobody knows a text with this hash, and it opens nothing.
const NO_HASH: TokenHash = [0; 32];

/// Lets in who knows the token. Does the same work for a source that does not exist as for a wrong token. Else says by
/// which name to count the attempt (unknown names are not counted one by one: anybody can invent them) and the status.
fn authenticate<'a>(
    sources: &'a Sources,
    name: &'a str,
    token: &str,
) -> Result<Door<'a>, (&'a str, StatusCode)> {
    let given = token::hash(token);
    let entry = sources.0.get(name);
    let expected = entry.and_then(|entry| entry.token_hash);
    let matches = token::same(&given, expected.as_ref().unwrap_or(&NO_HASH));
    let Some(entry) = entry else { return Err(("unknown", StatusCode::NOT_FOUND)) };
    match expected {
        Some(_) if matches && !token.is_empty() => Ok(Door { entry, unverified_token: None }),
        None if !token.is_empty() => Ok(Door { entry, unverified_token: Some(given) }),
        Some(_) | None => {
            let status = StatusCode::from_u16(entry.preset.unknown_path_status);
            Err((name, status.unwrap_or(StatusCode::NOT_FOUND)))
        }
    }
}

/// Why a body is not taken at all.
type Check = fn(&[u8]) -> Result<(), Unreadable>;

impl Receiver {
    /// Keeps a request. What `check` refuses is not kept.
    async fn receive(
        &self,
        source: &str,
        door: Door<'_>,
        parts: Parts,
        body: Body,
        check: Option<Check>,
    ) -> Answer {
        let methods = door.entry.preset.methods;
        let query = parts.uri.query().filter(|query| !query.is_empty());
        let looks_around = parts.method == Method::HEAD || (parts.method == Method::GET && query.is_none());
        if looks_around && body.is_end_stream() {
            return Answer::Works(methods);
        }
        if !methods.contains(&parts.method.as_str()) {
            return Answer::WrongMethod(methods);
        }
        if encoded(&parts.headers) {
            return Answer::Encoded;
        }
        let Ok(_permit) = self.in_flight.try_acquire() else { return Answer::Busy };
        let body = match timeout(self.limits.body_time, read(body, self.limits.body_bytes)).await {
            Ok(Ok(body)) => body,
            Ok(Err(answer)) => return answer,
            Err(_) => return Answer::TooSlow(self.limits.body_time),
        };
        if let Err(verify) = proven(door.entry, &parts.headers, &body) {
            return Answer::NotProven(verify);
        }
        if let Some(Err(why)) = check.map(|check| check(&body)) {
            return Answer::Refused(why.0);
        }
        let arrival = Arrival {
            delivery: Delivery {
                id: DeliveryId(self.clock.new_id()),
                source: source.to_owned(),
                method: parts.method.as_str().to_owned(),
                query: query.map(ToOwned::to_owned),
                headers: kept(&parts.headers),
                body,
                received_at: self.clock.now(),
            },
            waiting: door.entry.waiting.clone(),
            unverified_token: door.unverified_token,
        };
        failpoint!("receive.read");
        match timeout(self.limits.store_time, self.inbox.keep(arrival)).await {
            Ok(Ok(())) => {
                failpoint!("receive.kept");
                Answer::Kept
            }
            // Who stores says once, and not for each delivery, that the database is in trouble.
            Ok(Err(why)) if why.meets_all() => {
                debug!(source, %why, "a delivery was not stored; answered 503");
                Answer::NotStored
            }
            Ok(Err(why)) => {
                error!(source, error = %why, "a delivery could NOT be stored; answered 503 so that the platform sends it again");
                Answer::NotStored
            }
            Err(_) => {
                let why = self.inbox.took_too_long(self.limits.store_time);
                debug!(source, %why, "a delivery may not be stored; answered 503");
                Answer::NotStored
            }
        }
    }
}

/// Whether the request is the platform's own, where its source asks for more than the token in the path. A proof that is
/// given twice is none: nobody can say which of the two another reader would take.
fn proven(entry: &Entry, headers: &HeaderMap, body: &[u8]) -> Result<(), &'static Verify> {
    let (Some(verify), Some(secret)) = (&entry.preset.verify, &entry.secret) else { return Ok(()) };
    let mut given = headers.get_all(verify.header).iter();
    let proves = match (given.next(), given.next()) {
        (Some(given), None) => (verify.proves)(secret.expose_secret(), given.as_bytes(), body),
        _ => false,
    };
    if proves { Ok(()) } else { Err(verify) }
}

fn encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The whole body, or why not. A length that was announced as too long is refused before anything is read.
async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Answer> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(Answer::TooLarge(limit));
    }
    let mut bytes = Vec::with_capacity(announced);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            warn!(%error, "a request on /in broke off before its body was complete");
            Answer::BrokenOff
        })?;
        if bytes.len() + chunk.len() > limit {
            return Err(Answer::TooLarge(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| KEPT_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}
