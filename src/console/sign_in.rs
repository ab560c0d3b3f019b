//! Signing in: with a name and a password, or with a token.
//!
//! Trying out passwords is slow for everybody who does it: five tries at once, then one every twelve seconds, per name, and
//! never more than two hashes at a time. Names are counted in buckets, so that a stranger cannot fill the memory with names and
//! does not learn which exist. A token is 256 random bits, or the start token, which counts as one more name.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::Console;
use super::guard::{Reader, SESSION, is_of_another_site, likes, path_of_ours};
use super::page::{Failure, head, languages};
use crate::access::password;
use crate::resolve::Language;
use crate::store::access::Holder;
use crate::token::{self, TokenHash};
use crate::web::Access;

/// Names share so many counters.
const BUCKETS: u16 = 4_096;
/// Tries at once.
const TRIES: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// Then one in this time.
const BETWEEN_TRIES: Duration = Duration::from_secs(12);
/// Passwords that are hashed at a time: each takes 19 MiB and some 20 ms.
const HASHED_TOGETHER: usize = 2;

/// How often somebody tried.
pub(super) struct Tries {
    names: DefaultKeyedRateLimiter<u16>,
    hashing: Semaphore,
}

impl Default for Tries {
    fn default() -> Self {
        let quota = Quota::with_period(BETWEEN_TRIES)
            .map_or_else(|| Quota::per_minute(TRIES), |quota| quota.allow_burst(TRIES));
        Self { names: RateLimiter::keyed(quota), hashing: Semaphore::new(HASHED_TOGETHER) }
    }
}

impl Tries {
    fn allow(&self, name: &str) -> bool {
        let [first, second, ..] = token::hash(name);
        self.names.check_key(&(u16::from_be_bytes([first, second]) % BUCKETS)).is_ok()
    }

    /// Whether this is the password; on a thread that may be busy.
    async fn is(&self, password: String, hash: Option<String>) -> bool {
        let Ok(_turn) = self.hashing.acquire().await else { return false };
        tokio::task::spawn_blocking(move || password::is(&password, hash.as_deref())).await.unwrap_or(false)
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

/// The page.
pub(super) async fn form(
    State(console): State<Console>,
    cookies: CookieJar,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if matches!(*console.access, Access::Demo { .. }) {
        return Redirect::to(path_of_ours(&asked.next)).into_response();
    }
    let (language, _) = likes(&cookies, &headers);
    page(language, path_of_ours(&asked.next), None, is_open(&headers)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

/// Why somebody is not let in.
#[derive(Clone, Copy)]
enum Refused {
    Wrong,
    TooOften,
    Elsewhere,
}

/// Begins a session.
pub(super) async fn sign_in(
    State(console): State<Console>,
    cookies: CookieJar,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    let (language, _) = likes(&cookies, &headers);
    let next = path_of_ours(&given.next).to_owned();
    let refused = |status: StatusCode, why: Refused| {
        (status, page(language, &next, Some(why), is_open(&headers))).into_response()
    };
    if is_of_another_site(&headers) {
        return refused(StatusCode::FORBIDDEN, Refused::Elsewhere);
    }
    let name = given.name.trim().to_lowercase();
    let by_token = !given.token.is_empty();
    if !console.tries.allow(if by_token { "" } else { &name }) {
        return refused(StatusCode::TOO_MANY_REQUESTS, Refused::TooOften);
    }
    let holder = if by_token {
        holder_of(&console, &token::hash(given.token.trim())).await
    } else {
        user(&console, name, given.password).await
    };
    let holder = match holder {
        Ok(Some(holder)) => holder,
        Ok(None) => return refused(StatusCode::UNAUTHORIZED, Refused::Wrong),
        Err(failure) => return failure.bare(),
    };
    let secret = URL_SAFE_NO_PAD.encode(console.means.clock.secret());
    let now = console.means.clock.now();
    if let Err(failure) = console.means.store.begin_session(&token::hash(&secret), &holder, now).await {
        return Failure::from(failure).bare();
    }
    tracing::info!(?holder, "somebody signed in");
    let cookie = Cookie::build((SESSION, secret))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_encrypted(&headers))
        .build();
    (cookies.add(cookie), Redirect::to(&next)).into_response()
}

/// Whose token this is.
async fn holder_of(console: &Console, hash: &TokenHash) -> Result<Option<Holder>, Failure> {
    if let Access::Token { api: Some(api), .. } = &*console.access
        && token::same(api, hash)
    {
        return Ok(Some(Holder::Start(*api)));
    }
    Ok(console.means.store.access_token(hash).await?.map(|token| Holder::Token(token.name)))
}

/// The user of this name, if this is their password.
async fn user(console: &Console, name: String, password: String) -> Result<Option<Holder>, Failure> {
    if password.len() > password::LONGEST {
        return Ok(None);
    }
    let kept = console.means.store.password(&name).await?;
    Ok(console.tries.is(password, kept).await.then_some(Holder::User(name)))
}

#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(default)]
    key: String,
}

/// Ends the session.
pub(super) async fn sign_out(
    State(console): State<Console>,
    reader: Reader,
    cookies: CookieJar,
    Form(Key { key }): Form<Key>,
) -> Result<Response, Failure> {
    reader.believe(&key)?;
    if let Some(cookie) = cookies.get(SESSION) {
        console.means.store.end_session(&token::hash(cookie.value())).await?;
    }
    let gone = Cookie::build(SESSION).path("/").build();
    // What the browser kept of pages, also for going back to them, is nobody's any more.
    let forget = [(HeaderName::from_static("clear-site-data"), "\"cache\"")];
    Ok((forget, cookies.remove(gone), Redirect::to("/sign-in")).into_response())
}

/// Whether a proxy in front says that the browser speaks TLS.
fn is_encrypted(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Whether a password would go over a network as it is typed.
fn is_open(headers: &HeaderMap) -> bool {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !is_encrypted(headers) && !matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn page(language: Language, next: &str, refused: Option<Refused>, open: bool) -> Markup {
    let say = |english: &'static str, ukrainian: &'static str| match language {
        Language::English => english,
        Language::Ukrainian => ukrainian,
    };
    let title = say("Sign in", "Вхід");
    html! {
        (head(language, title))
        body.alone {
            main #content {
                h1 { "leadfold" }
                @if let Some(refused) = refused {
                    p.message.bad role="alert" {
                        @match refused {
                            Refused::Wrong => (say("Name, password or token is wrong.", "Ім’я, пароль або токен неправильні.")),
                            Refused::TooOften => (say("Too many tries. Wait a minute, then try again.", "Забагато спроб. Зачекайте хвилину і спробуйте знову.")),
                            Refused::Elsewhere => (say("This was sent from another site. Sign in here.", "Це надіслано з іншого сайту. Увійдіть тут.")),
                        }
                    }
                }
                @if open {
                    p.message.bad { (say(
                        "This page came without TLS, and so would your password go. Put a proxy with a certificate in front.",
                        "Ця сторінка прийшла без TLS, і пароль піде так само. Поставте попереду проксі з сертифікатом.",
                    )) }
                }
                form method="post" action="/sign-in" {
                    input type="hidden" name="next" value=(next);
                    label { (say("Name", "Ім’я")) input name="name" autocomplete="username" autocapitalize="none" required; }
                    label { (say("Password", "Пароль")) input name="password" type="password" autocomplete="current-password" required; }
                    button { (title) }
                }
                details {
                    summary { (say("With a token", "З токеном")) }
                    form method="post" action="/sign-in" {
                        input type="hidden" name="next" value=(next);
                        label { (say("Token", "Токен")) input name="token" type="password" autocomplete="off" required; }
                        p.hint { (say(
                            "The one that leadfold was started with (LEADFOLD_API_TOKEN), or one of `leadfold tokens add`.",
                            "Той, із яким запущено leadfold (LEADFOLD_API_TOKEN), або створений `leadfold tokens add`.",
                        )) }
                        button { (title) }
                    }
                }
                (languages(language, &format!("/sign-in?next={next}")))
            }
        }
    }
}
