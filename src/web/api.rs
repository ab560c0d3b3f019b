//! `/api`: the registry for programs. Who may call it is decided by [`super::access`].

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::openapi::Routes;
use crate::id::{DeliveryId, LeadId};
use crate::operation::{DEFAULT_REGION, Means};
use crate::resolve::Language;
use crate::store::deliveries::{DeliveryDetail, DeliveryRow};
use crate::store::listing::{Filter, Listed, Place, Standing, Turn};
use crate::store::registry::LeadDetail;
use crate::store::{Store, StoreError, deliveries};

/// Most leads or deliveries in one answer.
const LARGEST_PAGE: usize = 200;
/// As many as nobody asked otherwise.
const PAGE: usize = 50;

/// The routes below `/api`.
pub(super) fn routes(routes: Routes) -> Routes {
    let words = "Leads, newest first, or those that are looked for.";
    let routes = routes.reads::<LeadsQuery, LeadsPage>("/api/leads", "leads", words, get(leads));
    let words = "A lead and everything that happened to it.";
    let routes = routes.reads::<LeadQuery, LeadDetail>("/api/leads/{id}", "lead", words, get(lead));
    let words = "Deliveries, newest first, as they came.";
    let routes = routes.reads::<DeliveriesQuery, DeliveriesPage>(
        "/api/deliveries",
        "deliveries",
        words,
        get(deliveries),
    );
    let words = "A delivery and what became of its events.";
    routes.reads::<NoQuery, DeliveryDetail>("/api/deliveries/{id}", "delivery", words, get(delivery))
}

impl FromRef<Means> for Store {
    fn from_ref(means: &Means) -> Self {
        means.store.clone()
    }
}

/// Query of `GET /api/leads`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LeadsQuery {
    /// Go on with older ones: `next` of the page before.
    before: Option<String>,
    /// Go on with newer ones: `previous` of the page before.
    after: Option<String>,
    /// Page size, 1 to 200; 50 when absent.
    limit: Option<usize>,
    /// A phone in any spelling, an email, the beginning of a name, a chat id, an id of ours or of an event.
    q: Option<String>,
    /// Country of a phone that names none; `UA` when absent.
    region: Option<String>,
    /// From this source.
    source: Option<String>,
    /// To this destination.
    destination: Option<String>,
    /// `needs-attention`, `open`, `held`, `synced` or `filtered`.
    state: Option<Standing>,
    /// Received at this time or later.
    from: Option<Timestamp>,
    /// Received before this time.
    to: Option<Timestamp>,
}

fn bad_request(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": message }))).into_response()
}

/// A page of leads.
#[derive(Debug, Serialize, JsonSchema)]
struct LeadsPage {
    /// Newest first.
    leads: Vec<Listed>,
    /// Where to go on with older ones, when there may be more.
    #[schemars(with = "Option<String>")]
    next: Option<Place>,
    /// Where to go on with newer ones, when there may be more.
    #[schemars(with = "Option<String>")]
    previous: Option<Place>,
    /// So many were looked at, and there may be more beyond: the page is not full, and not the end either.
    looked_at: Option<usize>,
}

async fn leads(State(store): State<Store>, query: Result<Query<LeadsQuery>, QueryRejection>) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            return bad_request(&format!(
                "{}; the query of /api/leads takes before, after, limit, q, region, source, destination, state, from and to",
                rejection.body_text()
            ));
        }
    };
    let filter = Filter {
        source: query.source,
        destination: query.destination,
        standing: query.state,
        from: query.from,
        to: query.to,
        text: query.q,
        regions: vec![query.region.unwrap_or_else(|| DEFAULT_REGION.to_owned())],
    };
    let place = |text: String| {
        let place: Place = text.parse()?;
        if filter.has(place) {
            return Ok(place);
        }
        Err(format!("'{text}' is a place in another list; take `next` or `previous` of a page of this one"))
    };
    let turn = match (query.before, query.after) {
        (Some(_), Some(_)) => Err("take before or after, not both".to_owned()),
        (Some(before), None) => place(before).map(Turn::Before),
        (None, Some(after)) => place(after).map(Turn::After),
        (None, None) => Ok(Turn::Newest),
    };
    let turn = match turn {
        Ok(turn) => turn,
        Err(message) => return bad_request(&message),
    };
    match store.listed(&filter, turn, query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)).await {
        Ok(page) => Json(LeadsPage {
            leads: page.leads,
            next: page.older,
            previous: page.newer,
            looked_at: page.looked_at,
        })
        .into_response(),
        Err(failure) => storage_failed(&failure),
    }
}

/// Query of `GET /api/deliveries`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeliveriesQuery {
    /// Go on with older ones: `next` of the page before.
    before: Option<DeliveryId>,
    /// Go on with newer ones: `previous` of the page before.
    after: Option<DeliveryId>,
    /// Page size, 1 to 200; 50 when absent.
    limit: Option<usize>,
    /// `unreadable`, `waiting`, `refused`, `redelivery` or `received`.
    kind: Option<deliveries::Kind>,
    /// Sent to this source.
    source: Option<String>,
}

/// Nothing that a query may have.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoQuery {}

/// A page of deliveries.
#[derive(Debug, Serialize, JsonSchema)]
struct DeliveriesPage {
    /// Newest first.
    deliveries: Vec<DeliveryRow>,
    /// Where to go on with older ones, when there may be more.
    next: Option<DeliveryId>,
    /// Where to go on with newer ones, when there may be more.
    previous: Option<DeliveryId>,
    /// So many were looked at, and there may be more beyond: the page is not full, and not the end either.
    looked_at: Option<usize>,
}

async fn deliveries(
    State(store): State<Store>,
    query: Result<Query<DeliveriesQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            return bad_request(&format!(
                "{}; the query of /api/deliveries takes before, after, limit, kind and source",
                rejection.body_text()
            ));
        }
    };
    let turn = match (query.before, query.after) {
        (Some(_), Some(_)) => return bad_request("take before or after, not both"),
        (Some(before), None) => deliveries::Turn::Before(before),
        (None, Some(after)) => deliveries::Turn::After(after),
        (None, None) => deliveries::Turn::Newest,
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    match store.deliveries(query.kind, query.source.as_deref(), turn, limit).await {
        Ok(page) => Json(DeliveriesPage {
            deliveries: page.deliveries,
            next: page.older,
            previous: page.newer,
            looked_at: page.looked_at,
        })
        .into_response(),
        Err(failure) => storage_failed(&failure),
    }
}

async fn delivery(State(store): State<Store>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<DeliveryId>() else {
        return bad_request(&format!("'{id}' is no delivery id; GET /api/deliveries lists them"));
    };
    match store.delivery(id).await {
        Ok(Some(delivery)) => Json(delivery).into_response(),
        Ok(None) => {
            let message = format!("there is no delivery {id}; its retention may have ended");
            (StatusCode::NOT_FOUND, Json(json!({ "error": message }))).into_response()
        }
        Err(failure) => storage_failed(&failure),
    }
}

/// Query of `GET /api/leads/<id>`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LeadQuery {
    /// `en` or `uk`; what the client prefers when absent.
    language: Option<String>,
}

async fn lead(
    State(store): State<Store>,
    Path(id): Path<String>,
    query: Result<Query<LeadQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Query(LeadQuery { language })) = query else {
        let message = "the query of /api/leads/<id> takes language (en or uk)";
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": message }))).into_response();
    };
    let language = match language {
        None => preferred(&headers),
        Some(code) => {
            let Some(language) = Language::parse(&code) else {
                let message = format!("'{code}' is no language that we speak; it is en or uk");
                return (StatusCode::BAD_REQUEST, Json(json!({ "error": message }))).into_response();
            };
            language
        }
    };
    let Ok(id) = id.parse::<LeadId>() else {
        let message = format!("'{id}' is no lead id; GET /api/leads lists them");
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": message }))).into_response();
    };
    match store.lead_in(id, language).await {
        Ok(Some(lead)) => Json(lead).into_response(),
        Ok(None) => {
            let message =
                format!("there is no lead {id}; it may have been erased or its retention has ended");
            (StatusCode::NOT_FOUND, Json(json!({ "error": message }))).into_response()
        }
        Err(failure) => storage_failed(&failure),
    }
}

/// The first language of `Accept-Language` that we speak. Clients list them in the order of their preference.
pub(crate) fn preferred(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut codes = accepted.split(',').filter_map(|range| range.trim().split(['-', ';']).next());
    codes.find_map(Language::parse).unwrap_or(Language::English)
}

pub(super) fn storage_failed(failure: &StoreError) -> Response {
    if failure.is_news() {
        tracing::error!(%failure, "the registry could not be read");
    }
    let message = "the registry cannot be read now; the log of the server says why. Try again";
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": message }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_gets_the_language_that_it_prefers() {
        let check = |accepted: &str, expect: Language| {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, accepted.parse().unwrap())]);
            assert_eq!(preferred(&headers), expect, "{accepted}");
        };
        check("uk-UA,uk;q=0.9,en;q=0.8", Language::Ukrainian);
        check("de, uk;q=0.5", Language::Ukrainian);
        check("en-GB, uk;q=0.5", Language::English);
        check("*", Language::English);
        check("", Language::English);
        assert_eq!(preferred(&HeaderMap::new()), Language::English);
    }
}
