//! `/api`: the registry for programs. Who may call it is decided by [`super::access`].

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::openapi::Routes;
use crate::id::LeadId;
use crate::normalise::spellings;
use crate::operation::{DEFAULT_REGION, Means};
use crate::resolve::Language;
use crate::store::registry::{LeadDetail, LeadRow};
use crate::store::{Store, StoreError};

/// Most leads in one answer.
const LARGEST_PAGE: i64 = 200;

/// The routes below `/api`.
pub(super) fn routes(routes: Routes) -> Routes {
    let words = "Leads, newest first, or those of whoever is known by what is asked for.";
    let routes = routes.reads::<LeadsQuery, LeadsPage>("/api/leads", "leads", words, get(leads));
    let words = "A lead and everything that happened to it.";
    routes.reads::<LeadQuery, LeadDetail>("/api/leads/{id}", "lead", words, get(lead))
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
    /// Go on below this sequence number: `next` of the page before.
    before: Option<i64>,
    /// Page size, 1 to 200; 50 when absent.
    limit: Option<i64>,
    /// A phone in any spelling, an email, a chat id.
    q: Option<String>,
    /// Country of a phone that names none; `UA` when absent.
    region: Option<String>,
}

/// A page of leads.
#[derive(Debug, Serialize, JsonSchema)]
struct LeadsPage {
    /// Newest first.
    leads: Vec<LeadRow>,
    /// Where to go on, when there may be more.
    next: Option<i64>,
}

async fn leads(State(store): State<Store>, query: Result<Query<LeadsQuery>, QueryRejection>) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            let message = format!(
                "{}; the query of /api/leads takes before, limit, q and region",
                rejection.body_text()
            );
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": message }))).into_response();
        }
    };
    let limit = query.limit.unwrap_or(50).clamp(1, LARGEST_PAGE);
    let leads = match &query.q {
        Some(text) => {
            let region = query.region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
            store.leads_of(&spellings(text, &[region]), limit).await
        }
        None => store.leads(query.before, limit).await,
    };
    match leads {
        Ok(leads) => {
            let more = query.q.is_none() && i64::try_from(leads.len()) == Ok(limit);
            let next = leads.last().map(|lead| lead.sequence).filter(|_| more);
            Json(LeadsPage { leads, next }).into_response()
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
