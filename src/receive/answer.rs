//! Everything that `/in` answers.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::event::Verify;

/// One of the answers of `/in`.
#[derive(Debug)]
pub(super) enum Answer {
    /// The delivery is on disk. Exactly 200: some platforms take no other 2xx for a success.
    Kept,
    /// Somebody opened the address to see whether it works; nothing was stored.
    Works(&'static [&'static str]),
    /// No such source, or a wrong token.
    UnknownPath(StatusCode),
    /// No such application, or a wrong key.
    Unauthorised,
    /// The body is not what this address takes, and why.
    Refused(String),
    /// The source asks for more than its token, and the request does not have it.
    NotProven(&'static Verify),
    /// The preset takes other methods.
    WrongMethod(&'static [&'static str]),
    /// A compressed body: it could hide any size, and no platform sends one unasked.
    Encoded,
    /// The body is longer than this many bytes.
    TooLarge(usize),
    /// The body took longer than this.
    TooSlow(Duration),
    /// The connection or the body's framing broke.
    BrokenOff,
    /// Too many requests under way.
    Busy,
    /// The storage failed or did not answer.
    NotStored,
}

/// Seconds after which a platform may try again: long enough for a burst to pass, short enough for a lead to be fresh.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl Answer {
    /// The label in metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Works(_) => "works",
            Self::UnknownPath(_) => "unknown_path",
            Self::Unauthorised => "unauthorised",
            Self::Refused(_) => "refused",
            Self::NotProven(_) => "not_proven",
            Self::WrongMethod(_) => "wrong_method",
            Self::Encoded => "encoded",
            Self::TooLarge(_) => "too_large",
            Self::TooSlow(_) => "too_slow",
            Self::BrokenOff => "broken_off",
            Self::Busy => "busy",
            Self::NotStored => "not_stored",
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Kept => json(StatusCode::OK, r#"{"ok":true}"#),
            Self::Works(methods) => (
                StatusCode::OK,
                [(header::CONTENT_TYPE, TEXT)],
                format!("This address works. Send events to it by {}.\n", methods.join(" or ")),
            )
                .into_response(),
            Self::UnknownPath(status) => json(
                status,
                r#"{"ok":false,"error":"no source at this address; copy it anew from leadfold"}"#,
            ),
            Self::Unauthorised => (
                StatusCode::UNAUTHORIZED,
                [
                    (header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"leadfold\"")),
                    (header::CONTENT_TYPE, JSON),
                ],
                error("nothing was stored: no application of this id takes this key; send the key as the password of HTTP Basic"),
            )
                .into_response(),
            Self::Refused(why) => (
                StatusCode::BAD_REQUEST,
                [(header::CONTENT_TYPE, JSON)],
                error(&format!("nothing was stored: {why}")),
            )
                .into_response(),
            Self::NotProven(verify) => {
                let text = format!(
                    "nothing was stored: the header {} must hold the `secret` of this source, once; compare what the \
                     platform is set to send with its file",
                    verify.header
                );
                let body = (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, JSON)], error(&text));
                match verify.challenge.map(HeaderValue::from_static) {
                    Some(challenge) => ([(header::WWW_AUTHENTICATE, challenge)], body).into_response(),
                    None => body.into_response(),
                }
            }
            Self::WrongMethod(methods) => {
                let methods = methods.join(", ");
                let allow =
                    HeaderValue::try_from(methods.as_str()).unwrap_or(HeaderValue::from_static("POST"));
                let text = format!("nothing was stored: this source takes {methods}");
                (
                    StatusCode::METHOD_NOT_ALLOWED,
                    [(header::ALLOW, allow), (header::CONTENT_TYPE, JSON)],
                    error(&text),
                )
                    .into_response()
            }
            Self::Encoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                [
                    (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
                    (header::CONTENT_TYPE, JSON),
                ],
                error("nothing was stored: send the body without Content-Encoding"),
            )
                .into_response(),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                [(header::CONTENT_TYPE, JSON)],
                error(&format!("nothing was stored: the body is longer than {limit} bytes")),
            )
                .into_response(),
            Self::TooSlow(limit) => (
                StatusCode::REQUEST_TIMEOUT,
                [(header::CONTENT_TYPE, JSON)],
                error(&format!(
                    "nothing was stored: the body took longer than {} s to arrive",
                    limit.as_secs_f32()
                )),
            )
                .into_response(),
            Self::BrokenOff => json(
                StatusCode::BAD_REQUEST,
                r#"{"ok":false,"error":"nothing was stored: the body broke off"}"#,
            ),
            Self::Busy => {
                try_again(r#"{"ok":false,"error":"nothing was stored: too many requests; send it again"}"#)
            }
            Self::NotStored => try_again(r#"{"ok":false,"error":"not confirmed as stored; send it again"}"#),
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn json(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
}

fn try_again(body: &'static str) -> Response {
    let headers = [(header::RETRY_AFTER, RETRY_AFTER), (header::CONTENT_TYPE, JSON)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}

fn error(text: &str) -> String {
    serde_json::json!({ "ok": false, "error": text }).to_string()
}
