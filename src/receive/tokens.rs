//! The door of sources that add tokens: `POST /v1/apps/{app}/tokens`, as eSputnik's *Add application tokens* has it.
//!
//! A service that sends tokens there keeps its requests and changes the host. The key goes as the password of HTTP Basic,
//! with any user name. Unlike `/in`, a request that cannot be understood is refused: the one who sends it is a program of
//! the company, and an answer that says which item is wrong helps more than a row in the registry. What is answered with 200
//! is kept like everything else.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::any;

use super::answer::Answer;
use super::{Door, NO_HASH, Receiver, Sources, answered};
use crate::event::{basic_credentials, check_tokens};
use crate::token;

/// Longest `Authorization` header that is read.
const LONGEST: usize = 4096;

/// The paths of eSputnik, with and without the part that stands in front of them there.
pub(super) fn routes(router: Router<Arc<Receiver>>) -> Router<Arc<Receiver>> {
    router.route("/v1/apps/{app}/tokens", any(handle)).route("/api/v1/apps/{app}/tokens", any(handle))
}

async fn handle(
    State(receiver): State<Arc<Receiver>>,
    Path(app): Path<String>,
    request: Request,
) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let sources = Arc::clone(&receiver.sources.borrow());
    let (label, answer) = match authenticate(&sources, &app, &parts.headers) {
        Ok((name, door)) => (name, receiver.receive(name, door, parts, body, Some(check_tokens)).await),
        Err(label) => (label, Answer::Unauthorised),
    };
    answered(label, answer, began)
}

/// Lets in who knows the key of an application. Does the same work for one that nobody has as for a wrong key, and says the
/// same.
fn authenticate<'a>(
    sources: &'a Sources,
    app: &str,
    headers: &HeaderMap,
) -> Result<(&'a str, Door<'a>), &'a str> {
    let given = password(headers);
    let hash = token::hash(given.as_deref().unwrap_or_default());
    let named = |app_of_it: &String| app_of_it.eq_ignore_ascii_case(app);
    let found = sources.0.iter().find(|(_, entry)| entry.app.as_ref().is_some_and(named));
    let expected = found.and_then(|(_, entry)| entry.token_hash);
    let matches = token::same(&hash, expected.as_ref().unwrap_or(&NO_HASH));
    let Some((name, entry)) = found else { return Err("unknown") };
    let is_given = given.is_some_and(|password| !password.is_empty());
    match expected {
        Some(_) if matches && is_given => Ok((name, Door { entry, unverified_token: None })),
        None if is_given => Ok((name, Door { entry, unverified_token: Some(hash) })),
        Some(_) | None => Err(name),
    }
}

/// The password of HTTP Basic; `None` where there is none, or more than one header.
fn password(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let value = value.as_bytes();
    if value.len() > LONGEST {
        return None;
    }
    let decoded = String::from_utf8(basic_credentials(value)?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_password_is_what_stands_behind_the_first_colon() {
        let check = |values: &[&str], expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(password(&headers).as_deref(), expect, "{values:?}");
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        check(&[&basic("anyone:k:e:y")], Some("k:e:y"));
        check(&[&basic(":key")], Some("key"));
        check(&[&basic("key:")], Some(""));
        check(&[&basic("ключ:їжак")], Some("їжак"));
        check(&[&basic("key").replace("Basic", "bAsIc ")], None);
        check(&[&basic("a:key").replace("Basic", "BASIC")], Some("key"));
        check(&[&basic("a:key").replace("Basic", "Bearer")], None);
        check(&[&basic("a:key"), &basic("a:key")], None);
        check(&["Basic"], None);
        check(&["Basic !!!"], None);
        check(&[&format!("Basic {}", "A".repeat(5000))], None);
        check(&[], None);
    }
}
