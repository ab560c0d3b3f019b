//! What people and machines see of leadfold, apart from `/in`.

mod access;
pub mod api;
mod health;
pub mod openapi;
mod operations;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

use self::access::Gate;
pub use self::access::{Access, TOKEN_FLAG, TOKEN_VARIABLE, demo, from_this_machine};
pub use self::health::Readiness;
use crate::store::Store;
use crate::telemetry::Metrics;

/// Health for everybody; `api` and `/metrics` for those whom `access` lets in; and the console, which lets people in itself and
/// answers wherever nothing is.
pub fn router(
    access: Access,
    store: Store,
    ready: watch::Receiver<Readiness>,
    trouble: watch::Receiver<Option<String>>,
    metrics: Metrics,
    api: Router,
    console: Router,
) -> Router {
    let guarded = api
        .merge(health::metrics(metrics))
        .route("/api/{*rest}", any(nothing_here))
        .layer(from_fn_with_state(Arc::new(Gate { access, store }), access::guard));
    let ours = health::health(ready, trouble).merge(guarded).layer(from_fn(headers));
    ours.merge(console)
}

/// What every answer to a program says to a browser that is led there: there is nothing here to show, to run, or to keep.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn nothing_here() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "nothing is at this address" })))
}
