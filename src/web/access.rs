//! Who may use `/api` and `/metrics`: whoever has a token. The console lets browsers in by sessions ([`crate::console`]).
//!
//! A request from the same host is no proof: a proxy runs there too. Only `demo` does without a token. It listens on
//! loopback, where a page of a stranger can reach it by a name that resolves to 127.0.0.1 (DNS rebinding), so there the
//! Host and the Origin must be ours.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api::storage_failed;
use super::openapi;
use crate::access::{Caller, Role, START_TOKEN, Through};
use crate::store::Store;
use crate::token::{self, TokenHash};

/// The flag that sets the token.
pub const TOKEN_FLAG: &str = "--api-token";
/// The environment variable that sets the token.
pub const TOKEN_VARIABLE: &str = "LEADFOLD_API_TOKEN";

/// How requests are let in. Not printable: a weak token can be guessed from its hash.
#[derive(Clone)]
pub enum Access {
    /// With a token, or a session that began with a password or a token.
    Token {
        /// The one that leadfold was started with: it may everything.
        api: Option<TokenHash>,
        /// For what a web site asks about its links, and nothing else.
        links: Option<TokenHash>,
    },
    /// The demo on this port of the loopback interface: anybody there.
    Demo {
        /// The port it listens on.
        port: u16,
    },
}

/// What decides about a request for the API.
pub(super) struct Gate {
    pub(super) access: Access,
    pub(super) store: Store,
}

/// Lets a request through, or says how to be let through.
pub(super) async fn guard(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let caller = match admit(&gate.access, request.uri().path(), request.headers()) {
        Ok(Admission::As(caller)) => caller,
        Ok(Admission::WhoeverHas(hash)) => match gate.store.access_token(&hash).await {
            Ok(Some(token)) => Caller { name: token.name, role: token.role, through: Through::Api },
            Ok(None) => return unknown_token().into_response(),
            Err(failure) => return storage_failed(&failure),
        },
        Err(refusal) => return refusal.into_response(),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// What is known of a request without the database.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    As(Caller),
    /// Somebody with a token that is none of those that leadfold was started with.
    WhoeverHas(TokenHash),
}

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn unauthorised(text: String) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, text }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.text }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer realm=\"leadfold\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn unknown_token() -> Refusal {
    Refusal::unauthorised(format!(
        "this token is not known here; use the one that leadfold was started with ({TOKEN_FLAG} or {TOKEN_VARIABLE}), or \
         one that `leadfold tokens add` made"
    ))
}

/// Below this a web site may ask, with a token of its own; each operation says whether it is for sites.
const FOR_SITES: &str = "/api/links/";

fn admit(access: &Access, path: &str, headers: &HeaderMap) -> Result<Admission, Refusal> {
    let (api, links) = match access {
        Access::Token { api, links } => (api, links),
        Access::Demo { port } => {
            from_this_machine(headers, *port)?;
            return Ok(Admission::As(demo(Through::Api)));
        }
    };
    let Some(given) = bearer(headers) else {
        return Err(Refusal::unauthorised(format!(
            "send the header `Authorization: Bearer <token>` with the token that leadfold was started with ({TOKEN_FLAG} or \
             {TOKEN_VARIABLE}), or with one that `leadfold tokens add` made"
        )));
    };
    let given = token::hash(given);
    let is = |expected: &Option<TokenHash>| expected.is_some_and(|expected| token::same(&expected, &given));
    let caller =
        |name: &str, role| Ok(Admission::As(Caller { name: name.to_owned(), role, through: Through::Api }));
    // What can be asked for is no secret.
    if (path.starts_with(FOR_SITES) || path == openapi::PATH) && is(links) {
        return caller("site", Role::Site);
    }
    if is(api) {
        return caller(START_TOKEN, Role::Admin);
    }
    Ok(Admission::WhoeverHas(given))
}

/// Whoever looks at the demo.
pub fn demo(through: Through) -> Caller {
    Caller { name: "demo".to_owned(), role: Role::Admin, through }
}

/// Lets in what the demo's own pages send. A page of a stranger can reach it by a name that resolves to 127.0.0.1.
pub fn from_this_machine(headers: &HeaderMap, port: u16) -> Result<(), Refusal> {
    let host = single(headers, &header::HOST).is_some_and(|host| is_loopback(host, port));
    let origin = !headers.contains_key(header::ORIGIN)
        || single(headers, &header::ORIGIN)
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| is_loopback(origin, port));
    if host && origin {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::FORBIDDEN,
        text: format!("the demo answers only to its own pages; open http://127.0.0.1:{port}/"),
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = single(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The value of a header that was sent exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// Whether `host:port` names the loopback interface, literally: any other name may resolve to it.
fn is_loopback(authority: &str, port: u16) -> bool {
    let Ok(parsed) = authority.parse::<Authority>() else { return false };
    let ours = matches!(parsed.host(), "localhost" | "127.0.0.1" | "[::1]");
    ours && !authority.contains('@') && parsed.port_u16().unwrap_or(80) == port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_token_opens_and_nothing_else() {
        let access = Access::Token { api: Some(token::hash("s3cret")), links: None };
        let check = |pairs: &[(&'static str, &str)], expect: bool| {
            let admitted = admit(&access, "/api/leads", &headers(pairs));
            assert_eq!(matches!(admitted, Ok(Admission::As(_))), expect, "{pairs:?}");
        };
        check(&[("authorization", "Bearer s3cret")], true);
        check(&[("authorization", "bearer s3cret")], true);
        check(&[("authorization", "Bearer s3cre")], false);
        check(&[("authorization", "Bearer ")], false);
        check(&[("authorization", "Basic s3cret")], false);
        check(&[("authorization", "s3cret")], false);
        check(&[("authorization", "Bearer s3cret"), ("authorization", "Bearer other")], false);
        check(&[("host", "localhost")], false);
        check(&[], false);
    }

    #[test]
    fn a_refusal_says_how_to_set_the_token() {
        let (set, unset) = (Some(token::hash("s3cret")), None);
        for access in [Access::Token { api: set, links: None }, Access::Token { api: unset, links: None }] {
            let refusal = admit(&access, "/api/leads", &headers(&[])).unwrap_err();
            let wrong = admit(&access, "/api/leads", &headers(&[("authorization", "Bearer wrong")])).unwrap();
            assert_eq!(wrong, Admission::WhoeverHas(token::hash("wrong")));
            for refusal in [refusal, unknown_token()] {
                assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
                assert!(refusal.text.contains("--api-token") && refusal.text.contains("LEADFOLD_API_TOKEN"));
            }
        }
    }

    #[test]
    fn an_unset_token_is_no_token() {
        let unset = Access::Token { api: None, links: None };
        for path in ["/api/leads", "/api/links/verify"] {
            let admitted = admit(&unset, path, &headers(&[("authorization", "Bearer ")]));
            assert!(!matches!(admitted, Ok(Admission::As(_))));
        }
    }

    #[test]
    fn a_site_asks_about_its_links_and_nothing_else() {
        let access = Access::Token { api: Some(token::hash("s3cret")), links: Some(token::hash("weak")) };
        let role = |access: &Access, path: &str, token: &str| match admit(
            access,
            path,
            &headers(&[("authorization", &format!("Bearer {token}"))]),
        ) {
            Ok(Admission::As(caller)) => Some(caller.role),
            Ok(Admission::WhoeverHas(_)) | Err(_) => None,
        };
        let check = |path: &str, token: &str, expect: Option<Role>| {
            assert_eq!(role(&access, path, token), expect, "{path} {token}");
        };
        check("/api/links/verify", "weak", Some(Role::Site));
        check("/api/links/verify", "s3cret", Some(Role::Admin));
        check("/api/links/verify", "wrong", None);
        check(openapi::PATH, "weak", Some(Role::Site));
        check("/api/links", "weak", None);
        check("/api/leads", "weak", None);
        check("/api/people", "weak", None);
        check("/metrics", "weak", None);
        check("/", "weak", None);
        let alone = Access::Token { api: None, links: Some(token::hash("weak")) };
        assert_eq!(role(&alone, "/api/links/verify", "weak"), Some(Role::Site));
        assert_eq!(role(&alone, "/api/leads", "weak"), None);
    }

    #[test]
    fn the_demo_checks_host_and_origin() {
        let check = |port: u16, pairs: &[(&'static str, &str)], expect: bool| {
            let got = admit(&Access::Demo { port }, "/api/leads", &headers(pairs));
            assert_eq!(got.is_ok(), expect, "{port} {pairs:?}");
        };
        check(8080, &[("host", "127.0.0.1:8080")], true);
        check(8080, &[("host", "localhost:8080")], true);
        check(8080, &[("host", "[::1]:8080")], true);
        check(80, &[("host", "localhost")], true);
        check(8080, &[("host", "localhost:8080"), ("origin", "http://localhost:8080")], true);
        check(8080, &[("host", "localhost:8080"), ("origin", "http://127.0.0.1:8080")], true);

        check(8080, &[], false);
        check(8080, &[("host", "localhost")], false);
        check(8080, &[("host", "localhost:8081")], false);
        check(8080, &[("host", "rebind.example.com:8080")], false);
        check(8080, &[("host", "localhost.example.com:8080")], false);
        check(8080, &[("host", "127.0.0.1.nip.io:8080")], false);
        check(8080, &[("host", "me@localhost:8080")], false);
        check(8080, &[("host", "localhost:8080"), ("host", "evil:8080")], false);
        check(8080, &[("host", "localhost:8080"), ("origin", "http://evil.example:8080")], false);
        check(8080, &[("host", "localhost:8080"), ("origin", "https://localhost:8080")], false);
        check(8080, &[("host", "localhost:8080"), ("origin", "http://localhost:3000")], false);
        check(8080, &[("host", "localhost:8080"), ("origin", "null")], false);
    }
}
