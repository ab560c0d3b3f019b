//! `/healthz`, `/readyz` and `/metrics`: what machines ask.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

use crate::telemetry::Metrics;

/// Ready, perhaps with a notice that a person should see to; or one sentence that says why not. Anybody may read them, so
/// they say where something is wrong and not what.
pub type Readiness = Result<Option<String>, String>;

/// `/healthz`: the process answers. `/readyz`: it can do its work, or 503 with the reason; `trouble` is that of the
/// database. Both are open to anybody.
pub(super) fn health(ready: watch::Receiver<Readiness>, trouble: watch::Receiver<Option<String>>) -> Router {
    Router::new()
        .route("/healthz", get(async || Json(json!({ "alive": true }))))
        .route("/readyz", get(readyz))
        .with_state((ready, trouble))
}

type Known = (watch::Receiver<Readiness>, watch::Receiver<Option<String>>);

async fn readyz(State((ready, trouble)): State<Known>) -> Response {
    let trouble = trouble.borrow().clone().map(|why| {
        format!("the database takes no writes ({why}); senders are answered 503 until it does, nothing acknowledged is lost")
    });
    let readiness = trouble.map_or_else(|| ready.borrow().clone(), Err);
    match readiness {
        Ok(None) => Json(json!({ "ready": true })).into_response(),
        Ok(Some(notice)) => Json(json!({ "ready": true, "notice": notice })).into_response(),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "why": why }))).into_response()
        }
    }
}

/// `/metrics` in Prometheus' text format. It names sources and destinations, hence it stands behind the guard.
pub(super) fn metrics(metrics: Metrics) -> Router {
    let render = async |State(metrics): State<Metrics>| {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    Router::new().route("/metrics", get(render)).with_state(metrics)
}
