//! Reads what came back: the body up to a limit, the wait that was asked for, and the reason of an error.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::classify;

/// Answers beyond this are not read to their end.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Why a body is not what it should be, and the text that there is.
pub(super) struct BodyError {
    pub(super) why: String,
    pub(super) text: String,
}

/// An answer, read to its end.
pub(super) struct Received {
    pub(super) status: u16,
    /// The wait that it asks for.
    pub(super) after: Option<Duration>,
    /// The body as JSON; an empty one is `null`.
    pub(super) body: Result<Value, BodyError>,
}

impl Received {
    pub(super) async fn read(mut response: Response, now: Timestamp) -> Self {
        let status = response.status().as_u16();
        let after = asked_wait(response.headers(), now);
        let body = match read_bytes(&mut response).await {
            Ok(bytes) => parse(&bytes),
            Err(error) => Err(error),
        };
        Self { status, after, body }
    }
}

/// The body as text, whatever it is.
pub(super) async fn read_text(mut response: Response) -> Result<String, String> {
    let bytes = read_bytes(&mut response).await.map_err(|error| error.why)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn read_bytes(response: &mut Response) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    let fault = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > LARGEST_ANSWER => {
                break format!("the answer is larger than {} MiB", LARGEST_ANSWER / 1024 / 1024);
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => break format!("the answer broke off: {}", sentence(&error.without_url())),
        }
    };
    Err(BodyError { why: fault, text: String::from_utf8_lossy(&bytes).into_owned() })
}

fn parse(bytes: &[u8]) -> Result<Value, BodyError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| BodyError {
        why: format!("the answer is not JSON: {error}"),
        text: String::from_utf8_lossy(bytes).into_owned(),
    })
}

fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    classify::retry_after(text(RETRY_AFTER)?, text(DATE), now)
}

/// An error with its causes, which is where the reason stands.
pub(super) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// The innermost cause of an error: for a connection that was never made, the layers around it say nothing more.
pub(super) fn root(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
