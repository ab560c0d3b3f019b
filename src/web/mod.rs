//! What people and machines see of leadfold, apart from `/in`.

mod access;
pub mod api;
mod health;
pub mod operations;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

pub use self::access::{Access, TOKEN_FLAG, TOKEN_VARIABLE};
pub use self::health::Readiness;
use crate::telemetry::Metrics;

/// Health for everybody; `pages`, `/metrics` and the answer to unknown paths for those whom `access` lets in.
///
/// `pages` brings no fallback of its own.
pub fn router(
    access: Access,
    ready: watch::Receiver<Readiness>,
    trouble: watch::Receiver<Option<String>>,
    metrics: Metrics,
    pages: Router,
) -> Router {
    let guarded = pages
        .merge(health::metrics(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({ "error": "nothing is at this address" }))))
        .layer(from_fn_with_state(Arc::new(access), access::guard));
    health::health(ready, trouble).merge(guarded)
}
