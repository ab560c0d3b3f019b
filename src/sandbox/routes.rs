//! Which call does what. The API proper passes through the faults; the calls for people and tests do not.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shelf;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::account::Register;
use super::bots::{Asked, Bots};
use super::faults::{End, Faults};
use super::records::{Key, Moment, Records, Refusal};
use super::{HangUp, Shared, State, page, stats};
use crate::clock::{Clock, SystemClock};

/// The most operations in one batch.
const LARGEST_BATCH: usize = 50;

/// The most records in one list.
const LONGEST_LIST: usize = 50;

/// A client that waits longer than this for an answer that never comes is cut off.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// A status and a JSON body.
pub(super) type Reply = (StatusCode, Value);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(show_page))
        .route("/stats", get(show_stats))
        .route("/faults", get(show_faults).post(change_faults))
        .route("/truth", post(learn_truth))
        .route("/account", get(api).post(learn_account))
        .route("/reset", post(reset))
        .route("/bots/{*path}", any(bot))
        .fallback(api)
        .with_state(shared)
}

async fn show_page(Shelf(shared): Shelf<Arc<Shared>>) -> Html<String> {
    Html(page::Page(&shared.lock()).to_string())
}

async fn show_stats(Shelf(shared): Shelf<Arc<Shared>>) -> Response {
    axum::Json(stats::stats(&shared.lock())).into_response()
}

async fn show_faults(Shelf(shared): Shelf<Arc<Shared>>) -> Response {
    axum::Json(&shared.lock().faults).into_response()
}

async fn change_faults(Shelf(shared): Shelf<Arc<Shared>>, body: Bytes) -> Response {
    let changed = read::<Value>(&body).and_then(|change| shared.lock().faults.changed(change));
    match changed {
        Ok(faults) => {
            shared.lock().faults = faults.clone();
            axum::Json(faults).into_response()
        }
        Err(problem) => respond(refuse(StatusCode::UNPROCESSABLE_ENTITY, problem)),
    }
}

async fn learn_truth(Shelf(shared): Shelf<Arc<Shared>>, body: Bytes) -> Response {
    match read(&body) {
        Ok(truth) => {
            shared.lock().truth = truth;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => respond(refuse(StatusCode::UNPROCESSABLE_ENTITY, problem)),
    }
}

/// `null` takes any name again.
async fn learn_account(Shelf(shared): Shelf<Arc<Shared>>, body: Bytes) -> Response {
    match read(&body) {
        Ok(account) => {
            shared.lock().account = account;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => respond(refuse(StatusCode::UNPROCESSABLE_ENTITY, problem)),
    }
}

/// Forgets records, calls of bots, counts and truth; account, faults and the course of chance stay.
async fn reset(Shelf(shared): Shelf<Arc<Shared>>) -> StatusCode {
    let mut state = shared.lock();
    state.records = Records::default();
    state.bots = Bots::default();
    state.tally = stats::Tally::default();
    state.truth = stats::Truth::default();
    StatusCode::NO_CONTENT
}

async fn bot(Shelf(shared): Shelf<Arc<Shared>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let asked = Asked {
        method: method.as_str(),
        segments: uri.path().split('/').filter(|segment| !segment.is_empty()).skip(1).collect(),
        query: form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        body: read(&body).unwrap_or_default(),
    };
    respond(shared.lock().bots.answer(&asked, SystemClock.now()))
}

async fn api(
    Shelf(shared): Shelf<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Operation::new(method.as_str(), uri.path(), uri.query(), Input::Bytes(&body));
    let fate = {
        let mut state = shared.lock();
        if state.faults.unauthorised || !authorised(&headers, &shared.token) {
            state.tally.unauthorised += 1;
            return respond(refuse(StatusCode::UNAUTHORIZED, "the token is not valid"));
        }
        if let Some(response) = over_the_limit(&mut state) {
            return response;
        }
        state.tally.count(call.kind());
        let State { dice, faults, .. } = &mut *state;
        dice.fate(faults)
    };
    if !fate.latency.is_zero() {
        sleep(fate.latency).await;
    }
    match fate.end {
        // A read has nothing to commit.
        End::CommitsLate if method != Method::GET => {
            let late = Duration::from_millis(shared.lock().faults.late_commit_ms);
            tokio::spawn(async move {
                sleep(late).await;
                let call = Operation::new(method.as_str(), uri.path(), uri.query(), Input::Bytes(&body));
                shared.lock().perform(&call);
            });
            hang_up()
        }
        End::Answered | End::CommitsLate => respond(shared.lock().perform(&call)),
        End::FailsBefore => {
            respond(refuse(StatusCode::INTERNAL_SERVER_ERROR, "a fault: nothing was committed"))
        }
        End::CutBefore => hang_up(),
        End::CutAfter => {
            shared.lock().perform(&call);
            hang_up()
        }
        End::SilentAfter => {
            shared.lock().perform(&call);
            sleep(LONGEST_SILENCE).await;
            hang_up()
        }
    }
}

fn authorised(headers: &HeaderMap, token: &str) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|sent| sent == token)
}

fn over_the_limit(state: &mut State) -> Option<Response> {
    let rate = state.faults.rate?;
    let wait = state.window.admit(rate, Instant::now()).err()?;
    state.tally.rate_limited += 1;
    let mut response = respond(refuse(StatusCode::TOO_MANY_REQUESTS, "too many calls"));
    if rate.retry_after {
        let seconds = wait.as_millis().div_ceil(1000).to_string();
        if let Ok(value) = HeaderValue::from_str(&seconds) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    Some(response)
}

fn hang_up() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(HangUp);
    response
}

fn respond((status, body): Reply) -> Response {
    if status == StatusCode::NO_CONTENT {
        status.into_response()
    } else {
        (status, axum::Json(body)).into_response()
    }
}

pub(super) fn refuse(status: StatusCode, error: impl Into<String>) -> Reply {
    (status, json!({ "error": error.into() }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not what it should be: {error}"))
}

/// One call, or one item of a batch.
pub(super) struct Operation<'a> {
    method: &'a str,
    segments: Vec<String>,
    query: Vec<(String, String)>,
    body: Input<'a>,
}

/// A body as it came, or as it stands in a batch.
pub(super) enum Input<'a> {
    Bytes(&'a [u8]),
    Json(&'a Value),
}

impl<'a> Operation<'a> {
    pub(super) fn new(method: &'a str, path: &str, query: Option<&str>, body: Input<'a>) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        Self { method, segments, query, body }
    }

    /// The call without what varies, for counting: `GET /contacts/{id}`.
    pub(super) fn kind(&self) -> String {
        let known =
            ["contacts", "deals", "tasks", "notes", "users", "pipelines", "account", "batch", "merge_into"];
        let mut kind = self.method.to_owned();
        for (index, segment) in self.segments.iter().enumerate() {
            kind.push_str(if index == 0 { " /" } else { "/" });
            let plain = known.iter().find(|word| *word == segment);
            kind.push_str(plain.copied().unwrap_or(if index == 0 { "other" } else { "{id}" }));
        }
        kind
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn input<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body = match self.body {
            Input::Bytes(bytes) => read(bytes).map_err(Refusal::Invalid)?,
            Input::Json(value) => value.clone(),
        };
        if !body.is_object() {
            return Err(Refusal::Invalid("the body must be a JSON object".to_owned()));
        }
        serde_json::from_value(body).map_err(|error| Refusal::Invalid(error.to_string()))
    }
}

impl State {
    fn moment(&self) -> Moment {
        let lag = Duration::from_millis(self.faults.search_lag_ms);
        Moment { instant: Instant::now(), wall: SystemClock.now(), lag }
    }

    pub(super) fn perform(&mut self, call: &Operation<'_>) -> Reply {
        self.dispatch(call).unwrap_or_else(|refusal| match refusal {
            Refusal::NotFound(error) => refuse(StatusCode::NOT_FOUND, error),
            Refusal::Invalid(error) => refuse(StatusCode::UNPROCESSABLE_ENTITY, error),
        })
    }

    fn dispatch(&mut self, call: &Operation<'_>) -> Result<Reply, Refusal> {
        let now = self.moment();
        let records = &mut self.records;
        let register = Register(self.account.as_ref());
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match (call.method, segments.as_slice()) {
            ("POST", ["contacts"]) => {
                let input = call.input()?;
                register.contact(&input)?;
                made(&records.create_contact(input, now))
            }
            ("PATCH", ["contacts", id]) => {
                let input = call.input()?;
                register.contact(&input)?;
                found(&records.update_contact(number(id)?, input, now)?)
            }
            ("GET", ["contacts", id]) => read_contact(records, number(id)?, call.parameter("with")),
            ("GET", ["contacts"]) => search_contacts(records, &self.faults, call, now.instant),
            ("DELETE", ["contacts", id]) => {
                records.delete_contact(number(id)?).map(|()| (StatusCode::NO_CONTENT, Value::Null))
            }
            ("POST", ["contacts", id, "merge_into", other]) => records
                .merge(number(id)?, number(other)?, now)
                .map(|()| (StatusCode::NO_CONTENT, Value::Null)),
            ("POST", ["deals"]) => {
                let input = call.input()?;
                register.deal(&input, None)?;
                made(&records.create_deal(input, now)?)
            }
            ("PATCH", ["deals", id]) => {
                let (id, input) = (number(id)?, call.input()?);
                register.deal(&input, records.deals.get(&id))?;
                found(&records.update_deal(id, input, now)?)
            }
            ("GET", ["deals"]) => search_deals(records, &self.faults, call, now.instant),
            ("POST", ["tasks"]) => {
                let input = call.input()?;
                register.remark(&input)?;
                made(&records.create_task(input, now)?)
            }
            ("POST", ["notes"]) => made(&records.create_note(call.input()?, now)?),
            ("GET", ["tasks"]) => {
                let ids = by_marker(records, &self.faults, Key::TaskMarker, call, now.instant)?;
                list(ids.iter().filter_map(|id| records.tasks.get(id)))
            }
            ("GET", ["notes"]) => {
                let ids = by_marker(records, &self.faults, Key::NoteMarker, call, now.instant)?;
                list(ids.iter().filter_map(|id| records.notes.get(id)))
            }
            ("GET", ["users"]) => match register.0 {
                Some(account) => list(&account.users),
                None => list(users(records)),
            },
            ("GET", ["pipelines"]) => match register.0 {
                Some(account) => list(&account.pipelines),
                None => list(pipelines(records)),
            },
            ("GET", ["account"]) => found(&register.0),
            ("POST", ["batch"]) if self.faults.batch => self.batch(call),
            (method, _) => {
                Err(Refusal::NotFound(format!("there is no {method} /{}", call.segments.join("/"))))
            }
        }
    }

    fn batch(&mut self, call: &Operation<'_>) -> Result<Reply, Refusal> {
        let body: Value = call.input()?;
        let operations = body.get("operations").and_then(Value::as_array);
        let operations = operations.ok_or_else(|| Refusal::Invalid("`operations` is missing".to_owned()))?;
        if operations.len() > LARGEST_BATCH {
            return Err(Refusal::Invalid(format!("more than {LARGEST_BATCH} operations")));
        }
        let results: Vec<Value> = operations
            .iter()
            .map(|operation| {
                let text = |name| operation.get(name).and_then(Value::as_str).unwrap_or_default();
                let (path, query) = text("path").split_once('?').unwrap_or((text("path"), ""));
                let body = operation.get("body").unwrap_or(&Value::Null);
                let item = Operation::new(text("method"), path, Some(query), Input::Json(body));
                let (status, body) = match item.segments.first().map(String::as_str) {
                    Some("batch") => refuse(StatusCode::UNPROCESSABLE_ENTITY, "a batch holds no batch"),
                    _ => self.perform(&item),
                };
                json!({ "status": status.as_u16(), "body": body })
            })
            .collect();
        Ok((StatusCode::OK, json!({ "results": results })))
    }
}

fn number(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_| Refusal::NotFound(format!("there is no record {id}")))
}

fn value(record: &impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(record).map_err(|error| Refusal::Invalid(error.to_string()))
}

fn made(record: &impl Serialize) -> Result<Reply, Refusal> {
    Ok((StatusCode::CREATED, value(record)?))
}

fn found(record: &impl Serialize) -> Result<Reply, Refusal> {
    Ok((StatusCode::OK, value(record)?))
}

fn list<T: Serialize>(items: impl IntoIterator<Item = T>) -> Result<Reply, Refusal> {
    let items: Vec<T> = items.into_iter().take(LONGEST_LIST).collect();
    Ok((StatusCode::OK, json!({ "items": value(&items)? })))
}

fn read_contact(records: &Records, id: u64, with: Option<&str>) -> Result<Reply, Refusal> {
    let contact = records.contacts.get(&id);
    let contact = contact.ok_or_else(|| Refusal::NotFound(format!("there is no contact {id}")))?;
    let mut body = value(contact)?;
    if with == Some("open_deals")
        && let Value::Object(entries) = &mut body
    {
        let deals: Vec<_> = records.open_deals(id).collect();
        entries.insert("deals".to_owned(), value(&deals)?);
    }
    Ok((StatusCode::OK, body))
}

fn search_contacts(
    records: &Records,
    faults: &Faults,
    call: &Operation<'_>,
    now: Instant,
) -> Result<Reply, Refusal> {
    let ids = match (call.parameter("phone"), call.parameter("email")) {
        (Some(phone), None) => records.search(Key::Phone, phone, now),
        (None, Some(email)) => records.search(Key::Email, email, now),
        (None, None) => by_marker(records, faults, Key::ContactMarker, call, now)?,
        (Some(_), Some(_)) => return Err(Refusal::Invalid("one search, one value".to_owned())),
    };
    list(ids.iter().filter_map(|id| records.contacts.get(id)))
}

fn search_deals(
    records: &Records,
    faults: &Faults,
    call: &Operation<'_>,
    now: Instant,
) -> Result<Reply, Refusal> {
    let ids = match call.parameter("contact_id") {
        Some(contact) => records.search(Key::DealContact, contact, now),
        None => by_marker(records, faults, Key::DealMarker, call, now)?,
    };
    let only_open = call.parameter("open") == Some("true");
    list(ids.iter().filter_map(|id| records.deals.get(id)).filter(|deal| deal.open || !only_open))
}

fn by_marker(
    records: &Records,
    faults: &Faults,
    key: Key,
    call: &Operation<'_>,
    now: Instant,
) -> Result<Vec<u64>, Refusal> {
    let marker = call.parameter("marker").ok_or_else(|| {
        Refusal::Invalid("name one value to search by: phone, email, marker or contact_id".to_owned())
    })?;
    if !faults.marker_lookup {
        return Err(Refusal::NotFound("searching by marker is not supported".to_owned()));
    }
    Ok(records.search(key, marker, now))
}

/// Without an account the sandbox has no users of its own: whoever owns something is one.
fn users(records: &Records) -> impl Iterator<Item = Value> {
    let contacts = records.contacts.values().filter_map(|contact| contact.owner.clone());
    let deals = records.deals.values().filter_map(|deal| deal.owner.clone());
    let mut names: Vec<String> = contacts.chain(deals).chain(["demo".to_owned()]).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| json!({ "id": name, "name": name }))
}

/// Any pipeline and stage is taken; those in use are listed.
fn pipelines(records: &Records) -> impl Iterator<Item = Value> {
    let mut used: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for deal in records.deals.values() {
        let stages = used.entry(deal.pipeline.as_deref().unwrap_or("Sales")).or_default();
        if let Some(stage) = deal.stage.as_deref().filter(|stage| !stages.contains(stage)) {
            stages.push(stage);
        }
    }
    used.entry("Sales").or_default();
    let listed: Vec<Value> =
        used.into_iter().map(|(name, stages)| json!({ "name": name, "stages": stages })).collect();
    listed.into_iter()
}
