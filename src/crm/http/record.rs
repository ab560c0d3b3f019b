//! What goes over the wire while a task asks for it: for `leadfold doctor`, and for whoever wonders what was sent.
//!
//! Nothing is kept unless [`recorded`] is around the call. Headers are never kept, and neither is the root of the API,
//! because both carry secrets. Personal data is kept, since the spelling of a phone is often the very thing that is looked
//! for: exchanges are for the person who asked, and not for logs.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reqwest::{Body, RequestBuilder, Url};
use serde::Serialize;
use serde_json::Value;

use super::body::Received;
use super::redact::Redactor;

/// The longest body that is kept, in characters.
const LONGEST: usize = 8_000;

/// JSON up to this many bytes, indentation included, stays on one line.
const ONE_LINE: usize = 110;

tokio::task_local! {
    static RECORDING: Arc<Recording>;
}

/// One call of a CRM and its answer, without secrets. Bodies that are long are cut and say so.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// What the adapter calls it, as in messages and metrics.
    pub operation: String,
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query below the root of the API, escaped as it was sent.
    pub target: String,
    /// The body that was sent; JSON is laid out for reading.
    pub request: Option<String>,
    /// The status of the answer; `None` when there was no answer.
    pub status: Option<u16>,
    /// The body of the answer, or what came instead of an answer.
    pub answer: Option<String>,
    /// Until the answer was read; `None` when the caller stopped waiting first.
    pub milliseconds: Option<u64>,
}

impl std::fmt::Debug for Exchange {
    /// Without bodies and values: debug output ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operation, method, status, .. } = self;
        write!(f, "Exchange({operation}: {method}, {status:?})")
    }
}

/// Runs a future, and gives with its output every call of a CRM that it made, in the order in which they were sent. Calls
/// that it hands to other tasks are not seen.
pub async fn recorded<F: Future>(future: F) -> (F::Output, Vec<Exchange>) {
    let recording = Arc::new(Recording::default());
    let output = RECORDING.scope(Arc::clone(&recording), future).await;
    let exchanges = std::mem::take(&mut *recording.lock());
    (output, exchanges)
}

/// The exchanges of one [`recorded`].
#[derive(Default)]
struct Recording(Mutex<Vec<Exchange>>);

impl Recording {
    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is being recorded.
pub(super) struct Recorded<'a> {
    recording: Arc<Recording>,
    index: usize,
    began: Instant,
    redactor: &'a Redactor,
}

/// Notes a call that is about to be sent; `None` when nobody asked for it.
pub(super) fn begin<'a>(
    operation: &str,
    request: &RequestBuilder,
    base: &Url,
    redactor: &'a Redactor,
) -> Option<Recorded<'a>> {
    let recording = RECORDING.try_with(Arc::clone).ok()?;
    let request = request.try_clone().and_then(|request| request.build().ok());
    let (method, target, body) = match &request {
        Some(request) => {
            let body = request.body().and_then(Body::as_bytes).filter(|bytes| !bytes.is_empty());
            (request.method().to_string(), target(request.url(), base), body.map(text_of))
        }
        None => (String::new(), "a request that cannot be shown".to_owned(), None),
    };
    let exchange = Exchange {
        operation: operation.to_owned(),
        method,
        target: redactor.hide(&target),
        request: body.map(|body| shortened(&redactor.hide(&body))),
        status: None,
        answer: None,
        milliseconds: None,
    };
    let index = {
        let mut exchanges = recording.lock();
        exchanges.push(exchange);
        exchanges.len() - 1
    };
    Some(Recorded { recording, index, began: Instant::now(), redactor })
}

impl Recorded<'_> {
    pub(super) fn answered(&self, received: &Received) {
        let text = match &received.body {
            Ok(Value::Null) => None,
            Ok(body) => Some(laid_out(body)),
            Err(error) => Some(format!("({})\n{}", error.why, error.text)),
        };
        self.end(Some(received.status), text.as_deref());
    }

    pub(super) fn unanswered(&self, why: &str) {
        self.end(None, Some(why));
    }

    fn end(&self, status: Option<u16>, answer: Option<&str>) {
        if let Some(exchange) = self.recording.lock().get_mut(self.index) {
            exchange.status = status;
            exchange.answer = answer.map(|text| shortened(&self.redactor.hide(text)));
            exchange.milliseconds = Some(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
    }
}

/// The address without the root, which may be a secret as a whole.
fn target(url: &Url, base: &Url) -> String {
    let path = url.path().strip_prefix(base.path().trim_end_matches('/')).unwrap_or_else(|| url.path());
    let query = url.query().map(|query| {
        let own = query.strip_prefix(base.query().unwrap_or_default()).unwrap_or(query);
        own.trim_start_matches('&')
    });
    match query.filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn text_of(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(json) => laid_out(&json),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// JSON for reading: whatever fits on a line stays on one.
fn laid_out(json: &Value) -> String {
    let mut out = String::new();
    lay_out(json, 0, &mut out);
    out
}

fn lay_out(json: &Value, indent: usize, out: &mut String) {
    let line = json.to_string();
    let entries: Vec<(String, &Value)> = match json {
        _ if line.len() + indent <= ONE_LINE => Vec::new(),
        Value::Array(items) => items.iter().map(|item| (String::new(), item)).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (format!("{}: ", Value::from(key.as_str())), value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    if entries.is_empty() {
        out.push_str(&line);
        return;
    }
    let (open, close) = if json.is_array() { ('[', ']') } else { ('{', '}') };
    out.push(open);
    let last = entries.len() - 1;
    for (index, (key, value)) in entries.into_iter().enumerate() {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent + 2));
        out.push_str(&key);
        lay_out(value, indent + 2, out);
        if index < last {
            out.push(',');
        }
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    out.push(close);
}

fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    // Writing to a String cannot fail.
    write!(short, "…\n(cut here: {length} characters in all)").ok();
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_api_is_not_shown() {
        let check = |base: &str, url: &str, expect: &str| {
            assert_eq!(target(&url.parse().unwrap(), &base.parse().unwrap()), expect, "{url}");
        };
        check("https://crm.example", "https://crm.example/contacts", "/contacts");
        check(
            "https://crm.example/rest/1/s3cret/",
            "https://crm.example/rest/1/s3cret/deals?a=b",
            "/deals?a=b",
        );
        check("https://crm.example/v1", "https://crm.example/v1", "");
        check("https://crm.example/?key=s3cret", "https://crm.example/deals?key=s3cret&a=b", "/deals?a=b");
        check("https://crm.example/?key=s3cret", "https://crm.example/deals?key=s3cret", "/deals");
    }

    #[test]
    fn long_bodies_are_cut_and_say_so() {
        let long = shortened(&"ї".repeat(LONGEST + 1));
        assert!(long.ends_with("(cut here: 8001 characters in all)"), "{long}");
        assert_eq!(shortened("short"), "short");
    }

    #[test]
    fn json_is_laid_out_when_it_is_long() {
        assert_eq!(text_of(b"{\"a\": 1}"), "{\"a\":1}");
        assert_eq!(text_of(b"a=1"), "a=1");
        let item = serde_json::json!({ "id": 7, "name": "x".repeat(60) });
        let long = serde_json::json!({ "items": [item, item], "empty": [], "text": "x".repeat(ONE_LINE) });
        let text = text_of(long.to_string().as_bytes());
        let lines: Vec<&str> = text.lines().map(|line| line.get(..12).unwrap_or(line)).collect();
        assert_eq!(
            lines,
            [
                "{",
                "  \"items\": [",
                "    {\"id\":7,",
                "    {\"id\":7,",
                "  ],",
                "  \"empty\": [",
                "  \"text\": \"x",
                "}"
            ]
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), long);
    }

    #[tokio::test]
    async fn nothing_is_recorded_unless_it_is_asked_for() {
        super::super::install_tls();
        let redactor = Redactor::new([]);
        let base: Url = "http://127.0.0.1:1".parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(base.clone());
        assert!(begin("list", &request, &base, &redactor).is_none());
        let (count, exchanges) = recorded(async {
            let first = begin("list", &request, &base, &redactor).unwrap();
            drop(begin("search", &request, &base, &redactor).unwrap());
            first.unanswered("no connection");
            1
        })
        .await;
        assert_eq!((count, exchanges.len()), (1, 2));
        assert_eq!(exchanges[0].answer.as_deref(), Some("no connection"));
        assert_eq!(exchanges[1].milliseconds, None, "still under way when the recording ended");
    }
}
