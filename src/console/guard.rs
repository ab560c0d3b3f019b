//! Who a browser is: a cookie with 256 random bits names a session, whose hash is a row.
//!
//! A form that changes something carries a key that is made from the session, so that another site cannot send it in the
//! reader's name; `Origin` and `Sec-Fetch-Site`, where the browser sends them, are asked as well. The cookie is only sent to us
//! (`SameSite=Lax`: a link in an alert still opens), and never shown to a script.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;

use super::Console;
use super::page::{self, Failure};
use super::words::zone;
use crate::access::{Caller, Role, Through};
use crate::resolve::Language;
use crate::store::StoreError;
use crate::store::access::Holder;
use crate::token::{self, TokenHash};
use crate::web::{Access, demo, from_this_machine};

/// The cookie of a session.
pub(super) const SESSION: &str = "leadfold_session";
/// The cookie of a browser in which somebody signed in before.
pub(super) const KNOWN: &str = "leadfold_known";
/// The cookies of what a browser likes.
pub(super) const LANGUAGE: &str = "leadfold_language";
pub(super) const ZONE: &str = "leadfold_zone";
/// The header of what a page asks for by itself: an open page is no use of a session.
const BY_ITSELF: &str = "x-by-itself";
/// The field of a form that holds its key.
pub(super) const KEY: &str = "key";

/// Who reads a page, and how they like it.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// Who, and what they may.
    pub(super) caller: Caller,
    pub(super) language: Language,
    pub(super) zone: TimeZone,
    /// What their forms carry.
    pub(super) key: String,
    /// Path and query of the page, to come back to.
    pub(super) here: String,
    /// Whether they signed in, so that they can sign out.
    pub(super) signed_in: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Reader {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, StatusCode> {
        // Only a page that is not behind the guard has none.
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// Lets those in who have a session, and sends others to where they get one. Makes pages of failures.
pub(super) async fn guard(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let reader = match reader(&console, request.headers(), request.uri()).await {
        Ok(Some(reader)) => reader,
        Ok(None) => return to_sign_in(&request),
        Err(refusal) => return refusal,
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) && is_of_another_site(request.headers()) {
        return page::failed(&reader, &Failure::Forged);
    }
    request.extensions_mut().insert(reader.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => page::failed(&reader, &failure),
        None if is_unreadable(&response) => page::failed(&reader, &Failure::Unreadable(response.status())),
        None => response,
    }
}

/// Whether this is what axum answers to an address or a form that it cannot read: a line for developers, which quotes it.
fn is_unreadable(response: &Response) -> bool {
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let refusals = [
        StatusCode::BAD_REQUEST,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    is_plain && refusals.contains(&response.status())
}

async fn reader(console: &Console, headers: &HeaderMap, uri: &Uri) -> Result<Option<Reader>, Response> {
    let cookies = CookieJar::from_headers(headers);
    let (caller, key, signed_in) = match &*console.access {
        Access::Demo { port } => {
            from_this_machine(headers, *port).map_err(IntoResponse::into_response)?;
            // There is no session to make a key from.
            (demo(Through::Console), console.own_key.to_string(), false)
        }
        Access::Token { .. } => {
            let Some(cookie) = cookies.get(SESSION) else { return Ok(None) };
            let (holder, role) = match session_of(console, &cookies, !headers.contains_key(BY_ITSELF)).await {
                Ok(Some(session)) => session,
                Ok(None) => return Ok(None),
                Err(failure) => return Err(Failure::from(failure).bare()),
            };
            let caller = Caller { name: holder.name().to_owned(), role, through: Through::Console };
            (caller, form_key(cookie.value()), true)
        }
    };
    let here = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (language, zone) = likes(&cookies, headers);
    Ok(Some(Reader { caller, language, zone, key, here, signed_in }))
}

/// Who has the session of these cookies; in the demo, which has none, somebody. `used`: a person did something, and no page
/// by itself.
pub(super) async fn session_of(
    console: &Console,
    cookies: &CookieJar,
    used: bool,
) -> Result<Option<(Holder, Role)>, StoreError> {
    let Access::Token { api, .. } = &*console.access else {
        return Ok(Some((Holder::User(demo(Through::Console).name), Role::Admin)));
    };
    let Some(cookie) = cookies.get(SESSION) else { return Ok(None) };
    let hash = token::hash(cookie.value());
    console.means.store.session(&hash, api.as_ref(), console.means.clock.now(), used).await
}

/// What a form of this session carries. From the secret, not from its hash, which is in the database.
pub(super) fn form_key(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(token::hash(format!("form {secret}")))
}

/// Language and zone that a browser asked for, by cookie or header.
pub(super) fn likes(cookies: &CookieJar, headers: &HeaderMap) -> (Language, TimeZone) {
    let chosen = cookies.get(LANGUAGE).and_then(|cookie| Language::parse(cookie.value()));
    let language = chosen.unwrap_or_else(|| crate::web::api::preferred(headers));
    (language, zone(cookies.get(ZONE).map(Cookie::value)))
}

impl Reader {
    /// Refuses a form that does not carry the reader's key.
    pub(super) fn believe(&self, key: &str) -> Result<(), Failure> {
        let (expected, given): (TokenHash, TokenHash) = (token::hash(&self.key), token::hash(key));
        token::same(&expected, &given).then_some(()).ok_or(Failure::Forged)
    }

    /// What the address of a page has in it that goes on by itself with what the reader began: anybody can write an address
    /// and lead the reader there, and nobody else can make this.
    pub(super) fn proof(&self, of: &str) -> String {
        token::to_hex(&token::hash(format!("begun {} {of}", self.key)))
    }

    /// Whether the reader began it.
    pub(super) fn began(&self, of: &str, proof: &str) -> bool {
        token::same(&token::hash(self.proof(of)), &token::hash(proof))
    }

    /// Whether they may do what this role may.
    pub(super) fn may(&self, role: Role) -> bool {
        self.caller.role >= role
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            caller: demo(Through::Console),
            language: Language::English,
            zone: TimeZone::UTC,
            key: String::new(),
            here: "/".to_owned(),
            signed_in: false,
        }
    }
}

/// Whether the browser says that another site made it send this.
pub(super) fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return !matches!(site, "same-origin" | "none");
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Where a browser without a session goes, to come back when it has one.
fn to_sign_in(request: &Request) -> Response {
    if request.method() != Method::GET {
        return Redirect::to("/sign-in").into_response();
    }
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let next: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
    Redirect::to(&format!("/sign-in?next={next}")).into_response()
}

/// A path of ours from what an address holds; the first page for anything else, so that a link cannot lead elsewhere.
pub(super) fn path_of_ours(text: &str) -> &str {
    let ours = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if ours { text } else { "/" }
}

/// What every answer of the console says to the browser: nothing in line, nothing from elsewhere, in nobody's frame.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
        connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for path in ["/", "/leads/1?x=%2F#a", "/people?q=a//b"] {
            assert_eq!(path_of_ours(path), path);
        }
        for path in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "javascript:alert(1)",
            "/a\r\nb",
        ] {
            assert_eq!(path_of_ours(path), "/", "{path}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_known() {
        let check = |pairs: &[(&'static str, &str)], expect: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(is_of_another_site(&headers), expect, "{pairs:?}");
        };
        check(&[("host", "leads.example:8080")], false);
        check(&[("host", "leads.example:8080"), ("origin", "http://leads.example:8080")], false);
        check(&[("host", "leads.example"), ("origin", "https://LEADS.example")], false);
        check(&[("host", "leads.example"), ("sec-fetch-site", "same-origin")], false);
        check(&[("host", "leads.example"), ("sec-fetch-site", "cross-site")], true);
        check(&[("host", "leads.example"), ("sec-fetch-site", "same-site")], true);
        check(&[("host", "leads.example"), ("origin", "https://evil.example")], true);
        check(&[("host", "leads.example"), ("origin", "null")], true);
        check(&[("origin", "https://leads.example")], true);
    }

    #[test]
    fn a_key_is_good_for_its_session_only() {
        let reader = Reader { key: form_key("one"), ..Reader::for_tests() };
        assert!(reader.believe(&form_key("one")).is_ok());
        assert!(reader.believe(&form_key("two")).is_err());
        assert!(reader.believe("").is_err());
    }
}
