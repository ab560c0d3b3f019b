//! What an answer of a CRM means. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// What an answer means for the step or question it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was asked for.
    Answer,
    /// Over the rate limit: surely not done, and every call holds.
    RateLimited,
    /// The credentials are refused.
    Unauthorised,
    /// Refused, and it would be refused again.
    Rejected,
    /// Surely not done; worth another try.
    NotDone,
    /// Nobody knows whether it was done. A read is simply repeated.
    Unclear,
}

/// A CRM's own meaning of an answer, by status and body; `None` takes the usual one. For CRMs that say "over the limit"
/// with 403 or 503, hide failures behind 200, or are known to refuse with some 5xx before they commit anything.
pub type Judge = Arc<dyn Fn(u16, &Value) -> Option<Verdict> + Send + Sync>;

/// The usual meaning of a status.
pub(super) fn usual(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Answer,
        401 | 403 => Verdict::Unauthorised,
        // The server gave up waiting for the request; whether it acted on a part of it, it does not say.
        408 => Verdict::Unclear,
        425 => Verdict::NotDone,
        429 => Verdict::RateLimited,
        // Redirects of these kinds ask to send the same request elsewhere, so it was not acted upon here.
        301 | 302 | 307 | 308 | 400..=499 => Verdict::Rejected,
        _ => Verdict::Unclear,
    }
}

/// How long a Retry-After header asks to wait: seconds, or a date, which is compared with the CRM's own `Date` where it
/// sent one, because its clock need not be ours.
pub(super) fn retry_after(header: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let until = http_date(header)?;
    let now = date.and_then(http_date).unwrap_or(now);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// How long a body asks to wait, in seconds, for those who say it there: Telegram under `parameters.retry_after` ("Bot API:
/// making requests"), others under `retry_after`.
pub(super) fn wait_in(body: &Value) -> Option<Duration> {
    let seconds = body.pointer("/parameters/retry_after").or_else(|| body.get("retry_after"))?.as_f64()?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// The sentence in an error body that says what is wrong, or the body itself.
pub(super) fn message(body: &Value) -> String {
    const WORDS: [&str; 9] = [
        "message",
        "errorMessage",
        "error_description",
        "error",
        "detail",
        "description",
        "title",
        "errors",
        "code",
    ];
    match body {
        Value::Null => "no reason given".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(entries) => WORDS
            .iter()
            .filter_map(|word| entries.get(*word))
            .find(|value| !value.is_null())
            .map_or_else(|| body.to_string(), message),
        Value::Array(items) => items.first().map_or_else(|| body.to_string(), message),
        Value::Bool(_) | Value::Number(_) => body.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses() {
        for (status, expect) in [
            (200, Verdict::Answer),
            (204, Verdict::Answer),
            (302, Verdict::Rejected),
            (303, Verdict::Unclear),
            (400, Verdict::Rejected),
            (401, Verdict::Unauthorised),
            (403, Verdict::Unauthorised),
            (404, Verdict::Rejected),
            (408, Verdict::Unclear),
            (422, Verdict::Rejected),
            (425, Verdict::NotDone),
            (429, Verdict::RateLimited),
            (500, Verdict::Unclear),
            (503, Verdict::Unclear),
            (599, Verdict::Unclear),
        ] {
            assert_eq!(usual(status), expect, "{status}");
        }
    }

    #[test]
    fn retry_after_in_both_spellings() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let check = |header: &str, date: Option<&str>, expect: Option<u64>| {
            assert_eq!(retry_after(header, date, now), expect.map(Duration::from_secs), "{header} {date:?}");
        };
        check("7", None, Some(7));
        check(" 0 ", None, Some(0));
        check("-3", None, Some(0));
        check("Sat, 21 Nov 2026 12:00:30 GMT", None, Some(30));
        check("Sat, 21 Nov 2026 11:00:00 GMT", None, Some(0));
        check("Sat, 21 Nov 2026 12:00:30 GMT", Some("Sat, 21 Nov 2026 12:00:10 GMT"), Some(20));
        check("Sat, 21 Nov 2026 12:00:30 GMT", Some("nonsense"), Some(30));
        check("soon", None, None);
        check("NaN", None, Some(0));
        check("1e300", None, None);
    }

    #[test]
    fn a_body_may_ask_to_wait() {
        let check = |body: Value, expect: Option<u64>| {
            assert_eq!(wait_in(&body), expect.map(Duration::from_secs), "{body}");
        };
        check(json!({"ok": false, "parameters": {"retry_after": 35}}), Some(35));
        check(json!({"error": "slow down", "retry_after": 2.0}), Some(2));
        check(json!({"parameters": {"retry_after": -1}}), Some(0));
        check(json!({"parameters": {"migrate_to_chat_id": 7}}), None);
        check(json!({"retry_after": "soon"}), None);
        check(json!({"retry_after": 1e300}), None);
        check(json!([]), None);
        check(Value::Null, None);
    }

    #[test]
    fn messages() {
        let check = |body: Value, expect: &str| assert_eq!(message(&body), expect);
        check(json!({"error": {"code": 7, "message": "phone is taken"}}), "phone is taken");
        check(json!({"errors": [{"detail": "bad phone"}, {"detail": "bad email"}]}), "bad phone");
        check(json!({"message": null, "title": "Forbidden"}), "Forbidden");
        check(json!({"status": "ProtocolError", "errorMessage": "no such operation"}), "no such operation");
        check(json!("plain"), "plain");
        check(json!({"odd": 1}), "{\"odd\":1}");
        check(json!([]), "[]");
        check(Value::Null, "no reason given");
    }
}
