//! Any platform that sends form fields: URL-encoded, multipart, or in the query string.
//!
//! Fields of the body are the payload; without a body, those of the query are. Files are described, not read: a lead
//! is made of texts, and the raw body keeps the rest.

use std::convert::Infallible;

use futures_util::{FutureExt as _, stream};
use multer::Multipart;
use multer::bytes::Bytes;
use serde_json::{Value, json};

use super::canonical::hash_key;
use super::{DEDUPE_WINDOW, Delivery, Event, Preset, Unreadable, fields};

pub(super) static PRESET: Preset = Preset {
    name: "form",
    summary: "form fields: POST (URL-encoded or multipart) or GET with a query string; dotted names become objects",
    chats: false,
    bot_is_source: false,
    methods: &["POST", "GET"],
    unknown_path_status: 404,
    verify: None,
    dedupe_window: DEDUPE_WINDOW,
    split,
};

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let (payload, query) = payload(delivery)?;
    Ok(vec![Event {
        key: hash_key(&payload, &query),
        payload,
        query,
        headers: fields::headers(delivery),
        chat: None,
        chat_state: None,
        chat_status: None,
        phone: None,
        flaws: Vec::new(),
    }])
}

/// The fields of a request, and those of its query.
pub(super) fn payload(delivery: &Delivery) -> Result<(Value, Value), Unreadable> {
    let query = fields::query(delivery)?;
    let payload = if delivery.body.is_empty() { query.clone() } else { read_body(delivery)? };
    if payload.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Unreadable(
            "the request has no fields, neither in its body nor in its query; check what the platform is set to send"
                .into(),
        ));
    }
    Ok((payload, query))
}

fn read_body(delivery: &Delivery) -> Result<Value, Unreadable> {
    let content_type = fields::header(delivery, "content-type").unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "multipart/form-data" => read_multipart(&delivery.body, content_type),
        // Some senders do not say, some say text; the fields are there all the same.
        "" | "application/x-www-form-urlencoded" | "text/plain" => fields::url_encoded(&delivery.body),
        _ if kind.ends_with("json") => Err(Unreadable(
            "the body is JSON, and this source reads form fields; choose `preset: json`".into(),
        )),
        other => Err(Unreadable(format!(
            "the body is {other:?}, and this source reads form fields; check what the platform is set to send"
        ))),
    }
}

fn read_multipart(body: &[u8], content_type: &str) -> Result<Value, Unreadable> {
    let unreadable = |error: multer::Error| {
        Unreadable(format!("the multipart body cannot be read: {error}; it may have been cut off on the way"))
    };
    let boundary = multer::parse_boundary(content_type).map_err(unreadable)?;
    // The whole body is here, so that reading it never waits.
    let parts = read_parts(Bytes::copy_from_slice(body), boundary).now_or_never();
    let parts = parts.unwrap_or(Err(multer::Error::IncompleteStream)).map_err(unreadable)?;
    fields::nested(parts.into_iter())
}

async fn read_parts(body: Bytes, boundary: String) -> Result<Vec<(String, Value)>, multer::Error> {
    let mut multipart = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await? {
        // One more than a form may have, so that the check on fields sees it.
        if parts.len() > fields::MAX_FIELDS {
            break;
        }
        let name = field.name().unwrap_or("unnamed").to_owned();
        let file = field.file_name().map(ToOwned::to_owned);
        let content_type = field.content_type().map(ToString::to_string);
        let content = field.bytes().await?;
        let value = match file {
            Some(file) => json!({ "file": file, "content_type": content_type, "size": content.len() }),
            None => Value::String(String::from_utf8_lossy(&content).into_owned()),
        };
        parts.push((name, value));
    }
    Ok(parts)
}
