//! `/`: the console, for people who never open a terminal.
//!
//! Pages are made on the server, from the same operations that the API takes, and can be read without JavaScript.
//!
//! | file | what it is |
//! |---|---|
//! | `guard` | who a browser is, and what a form must carry to be believed |
//! | `sign_in` | signing in and out |
//! | `page` | what every page has: head, sections, messages |
//! | `words` | two languages, numbers, dates |
//! | `reasons` | states and reasons in words |
//! | `difference` | what differs between two versions of the workspace |
//! | `assets` | style and script |
//! | `preferences` | language and time zone of a browser |
//! | `account` | a reader's own password |
//! | `access`, `actions` | the section of users and tokens; in it, the audit log |
//! | `registry`, `lead`, `deliveries` | what came, and what became of it |
//! | `live` | tells open pages that something has changed |
//! | the others | a section each, in the order of [`page::Section`] |
//!
//! House rules: a page writes both languages side by side ([`guard::Reader::say`]), so that none can be forgotten; text that
//! others sent is only ever written through `maud`, which escapes it; nothing is styled or run in line, so that the content
//! security policy can forbid it; a form that changes something calls [`guard::Reader::key`] and goes through
//! [`crate::operation::ask`]; no address makes a page do something by itself, unless it has the reader's [proof](guard::Reader::proof).

mod access;
mod account;
mod actions;
mod assets;
mod attention;
mod deliveries;
mod destinations;
mod difference;
mod guard;
mod lead;
mod live;
mod mappings;
mod overview;
mod page;
mod people;
mod pools;
mod preferences;
mod reasons;
mod registry;
mod sign_in;
#[cfg(test)]
mod sources;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use tokio_util::sync::CancellationToken;

pub use self::assets::version as assets_version;
use self::live::Live;
use crate::operation::Means;
use crate::token;
use crate::web::Access;

/// What pages work with.
#[derive(Clone)]
struct Console {
    means: Means,
    access: Arc<Access>,
    live: Arc<Live>,
    /// What forms carry where nobody signs in.
    own_key: Arc<str>,
}

/// The pages, with who may see them decided; also what answers where nothing is.
/// Pages that are told of news are let go by `stop`.
pub fn router(means: Means, access: Access, stop: CancellationToken) -> Router {
    let own_key = guard::form_key(&token::to_hex(&means.clock.secret())).into();
    let console = Console { means, access: Arc::new(access), live: Arc::new(Live::new(stop)), own_key };
    Router::new()
        .route("/", get(registry::list))
        .route("/live", get(live::live))
        .merge(lead::routes())
        .merge(deliveries::routes())
        .merge(people::routes())
        .merge(attention::routes())
        .merge(mappings::router())
        .merge(destinations::routes())
        .merge(overview::routes())
        .merge(access::routes())
        .merge(actions::routes())
        .merge(account::routes())
        .route("/sign-out", post(sign_in::sign_out))
        .fallback(page::nothing_here)
        .layer(from_fn_with_state(console.clone(), guard::guard))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/preferences", post(preferences::set))
        .merge(assets::router())
        .layer(axum::middleware::from_fn(guard::headers))
        .with_state(console)
}
