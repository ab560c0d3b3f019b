//! Signing in: with a name and a password, or with a token.
//!
//! How often somebody may try a password is said by [`crate::operation::entrance`]. Tokens are not counted, here as
//! little as on `/api`: they are 256 random bits, or the start token, which `serve` wants long where strangers come; and whoever
//! counted them together would let any stranger keep out everybody who has one.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::guard::{KNOWN, Reader, SESSION, is_of_another_site, likes, path_of_ours};
use super::page::{Failure, head, languages};
use crate::access::Name;
use crate::access::password::{self, Password};
use crate::operation::entrance;
use crate::resolve::Language;
use crate::store::access::Holder;
use crate::telemetry::masked;
use crate::token::{self, TokenHash};
use crate::web::Access;

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
    let is_first = match console.means.store.has_users().await {
        Ok(has_users) => !has_users,
        Err(failure) => return Failure::from(failure).bare(),
    };
    page(language, path_of_ours(&asked.next), None, is_open(&headers), is_first).into_response()
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
        (status, page(language, &next, Some(why), is_open(&headers), false)).into_response()
    };
    if is_of_another_site(&headers) {
        return refused(StatusCode::FORBIDDEN, Refused::Elsewhere);
    }
    // What cannot be a name is nobody's, and is answered as any other that is nobody's.
    let name = given.name.parse::<Name>().map(String::from).unwrap_or_default();
    let holder = if given.token.is_empty() {
        user(&console, name, given.password, cookies.get(KNOWN).map(Cookie::value)).await
    } else {
        holder_of(&console, &token::hash(given.token.trim())).await
    };
    let (holder, proof) = match holder {
        Ok(Came::In(holder, proof)) => (holder, proof),
        Ok(Came::Wrong) => return refused(StatusCode::UNAUTHORIZED, Refused::Wrong),
        Ok(Came::TooOften) => return refused(StatusCode::TOO_MANY_REQUESTS, Refused::TooOften),
        Err(failure) => return failure.bare(),
    };
    // What somebody left open in this browser ends, whoever it was.
    if let Some(old) = cookies.get(SESSION)
        && let Err(failure) = console.means.store.end_session(&token::hash(old.value())).await
    {
        return Failure::from(failure).bare();
    }
    match begin(&console, cookies, &headers, &holder, &proof).await {
        Ok(Some(cookies)) => {
            tracing::info!(who = masked(holder.name()), "somebody signed in to the console");
            (cookies, Redirect::to(&next)).into_response()
        }
        Ok(None) => refused(StatusCode::UNAUTHORIZED, Refused::Wrong),
        Err(failure) => failure.bare(),
    }
}

/// Who somebody turned out to be.
enum Came {
    /// Their holder, and what the database has of the proof.
    In(Holder, String),
    Wrong,
    TooOften,
}

/// Begins a session in this browser, unless what somebody proved to have is not theirs any more.
pub(super) async fn begin(
    console: &Console,
    cookies: CookieJar,
    headers: &HeaderMap,
    holder: &Holder,
    proof: &str,
) -> Result<Option<CookieJar>, Failure> {
    let secret = URL_SAFE_NO_PAD.encode(console.means.clock.secret());
    let now = console.means.clock.now();
    if !console.means.store.begin_session(&token::hash(&secret), holder, proof, now).await? {
        return Ok(None);
    }
    let cookie = |name: &'static str, value: String, path: &'static str| {
        let cookie = Cookie::build((name, value)).path(path).http_only(true).same_site(SameSite::Lax);
        cookie.secure(is_encrypted(headers))
    };
    let cookies = cookies.add(cookie(SESSION, secret, "/").build());
    Ok(Some(match holder {
        Holder::User(name) => {
            cookies.add(cookie(KNOWN, entrance::mark(name, proof), "/sign-in").permanent().build())
        }
        Holder::Token(_) | Holder::Start(_) => cookies,
    }))
}

/// Whose token this is, and what the database has of it.
async fn holder_of(console: &Console, hash: &TokenHash) -> Result<Came, Failure> {
    if let Access::Token { api: Some(api), .. } = &*console.access
        && token::same(api, hash)
    {
        return Ok(Came::In(Holder::Start(*api), String::new()));
    }
    let token = console.means.store.access_token(hash).await?;
    Ok(token.map_or(Came::Wrong, |token| Came::In(Holder::Token(token.name), token::to_hex(hash))))
}

/// The user of this name, if this is their password, and what the database has of it. `known` is what the browser kept of
/// signing in before.
async fn user(
    console: &Console,
    name: String,
    password: String,
    known: Option<&str>,
) -> Result<Came, Failure> {
    let entrance = &console.means.entrance;
    let kept = console.means.store.password(&name).await?;
    let mark = kept.as_ref().map(|kept| entrance::mark(&name, kept));
    let mark = mark.zip(known).filter(|(mark, known)| token::same(&token::hash(mark), &token::hash(known)));
    let place = match &mark {
        Some((mark, _)) if entrance.allows_known(mark) => None,
        None if entrance.allows_try(&name) => match entrance.place() {
            Some(place) => Some(place),
            None => return Ok(Came::TooOften),
        },
        Some(_) | None => return Ok(Came::TooOften),
    };
    if password.len() > password::LONGEST {
        return Ok(Came::Wrong);
    }
    let is = entrance.is(Password(password), kept.clone()).await;
    drop(place);
    Ok(kept.filter(|_| is).map_or(Came::Wrong, |kept| Came::In(Holder::User(name), kept)))
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

/// `open`: the password would go as it is typed. `is_first`: nobody has a password yet.
fn page(language: Language, next: &str, refused: Option<Refused>, open: bool, is_first: bool) -> Markup {
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
                @if is_first {
                    div.message {
                        (say(
                            "Nobody can sign in with a password yet. Add yourself on the server, or come in with a token (below).",
                            "Ще ніхто не має пароля. Додайте себе на сервері або увійдіть із токеном (нижче).",
                        ))
                        pre tabindex="0" { "leadfold users add olena --role admin" }
                    }
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
