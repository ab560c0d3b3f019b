//! Who may use anything but `/in` and health: whoever has the token.
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
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::operation::Client;
use crate::token::{self, TokenHash};

/// The flag that sets the token.
pub const TOKEN_FLAG: &str = "--api-token";
/// The environment variable that sets the token.
pub const TOKEN_VARIABLE: &str = "LEADFOLD_API_TOKEN";

/// How requests are let in. Not printable: a weak token can be guessed from its hash.
#[derive(Clone)]
pub enum Access {
    /// With a token.
    Token {
        /// For everything; nobody gets in where none is set.
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

/// Lets a request through, or says how to be let through.
pub(super) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    match admit(&access, path, request.headers()) {
        Ok(client) => {
            let mut request = request;
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.text }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer realm=\"leadfold\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Below this a web site may ask, with a token of its own; each operation says whether it is for sites.
const FOR_SITES: &str = "/api/links/";

fn admit(access: &Access, path: &str, headers: &HeaderMap) -> Result<Client, Refusal> {
    let unauthorised = |text: String| Err(Refusal { status: StatusCode::UNAUTHORIZED, text });
    let is = |expected: &Option<TokenHash>, given: &str| {
        expected.as_ref().is_some_and(|expected| token::same(expected, &token::hash(given)))
    };
    match access {
        Access::Token { links, .. }
            if path.starts_with(FOR_SITES) && bearer(headers).is_some_and(|given| is(links, given)) =>
        {
            Ok(Client::Site)
        }
        Access::Token { api: Some(_), .. } => match bearer(headers) {
            Some(given) if matches!(access, Access::Token { api, .. } if is(api, given)) => Ok(Client::Api),
            Some(_) => unauthorised(format!(
                "this is not the token; use the one that leadfold was started with ({TOKEN_FLAG} or {TOKEN_VARIABLE})"
            )),
            None => unauthorised(format!(
                "send the header `Authorization: Bearer <token>` with the token that leadfold was started with \
                 ({TOKEN_FLAG} or {TOKEN_VARIABLE})"
            )),
        },
        Access::Token { api: None, .. } => unauthorised(format!(
            "no token is set, so nobody is let in; start leadfold with {TOKEN_FLAG} or {TOKEN_VARIABLE}"
        )),
        Access::Demo { port } => {
            let host = single(headers, &header::HOST).is_some_and(|host| is_loopback(host, *port));
            let origin = !headers.contains_key(header::ORIGIN)
                || single(headers, &header::ORIGIN)
                    .and_then(|origin| origin.strip_prefix("http://"))
                    .is_some_and(|origin| is_loopback(origin, *port));
            if host && origin {
                return Ok(Client::Api);
            }
            Err(Refusal {
                status: StatusCode::FORBIDDEN,
                text: format!("the demo answers only to its own pages; open http://127.0.0.1:{port}/"),
            })
        }
    }
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
            assert_eq!(admit(&access, "/api/leads", &headers(pairs)).is_ok(), expect, "{pairs:?}");
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
            for pairs in [&[][..], &[("authorization", "Bearer wrong")][..]] {
                let refusal = admit(&access, "/api/leads", &headers(pairs)).unwrap_err();
                assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
                assert!(refusal.text.contains("--api-token") && refusal.text.contains("LEADFOLD_API_TOKEN"));
            }
        }
    }

    #[test]
    fn an_unset_token_is_no_token() {
        let unset = Access::Token { api: None, links: None };
        for path in ["/api/leads", "/api/links/verify"] {
            assert!(admit(&unset, path, &headers(&[("authorization", "Bearer ")])).is_err());
        }
    }

    #[test]
    fn a_site_asks_about_its_links_and_nothing_else() {
        let access = Access::Token { api: Some(token::hash("s3cret")), links: Some(token::hash("weak")) };
        let check = |path: &str, token: &str, expect: Option<Client>| {
            let bearer = format!("Bearer {token}");
            assert_eq!(
                admit(&access, path, &headers(&[("authorization", &bearer)])).ok(),
                expect,
                "{path} {token}"
            );
        };
        check("/api/links/verify", "weak", Some(Client::Site));
        check("/api/links/verify", "s3cret", Some(Client::Api));
        check("/api/links/verify", "wrong", None);
        check("/api/links", "weak", None);
        check("/api/leads", "weak", None);
        check("/api/people", "weak", None);
        check("/metrics", "weak", None);
        check("/", "weak", None);
        let alone = Access::Token { api: None, links: Some(token::hash("weak")) };
        let weak = headers(&[("authorization", "Bearer weak")]);
        assert_eq!(admit(&alone, "/api/links/verify", &weak).ok(), Some(Client::Site));
        assert!(admit(&alone, "/api/leads", &weak).is_err());
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
