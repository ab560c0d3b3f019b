//! Any platform whose request body can be set to JSON.

use std::iter::repeat_n;
use std::mem;

use serde_json::Value;

use super::canonical::hash_key;
use super::{DEDUPE_WINDOW, Delivery, Event, Preset, Unreadable, fields, json_body, within_bounds};

pub(super) static PRESET: Preset = Preset {
    name: "json",
    summary: "POST with any JSON body; an object is one event, a list of objects is one event each",
    chats: false,
    bot_is_source: false,
    methods: &["POST"],
    unknown_path_status: 404,
    verify: None,
    dedupe_window: DEDUPE_WINDOW,
    split,
};

pub(super) fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let mut body = json_body::read(&delivery.body)?;
    let payloads = match body.as_array_mut() {
        Some(items) if items.iter().all(Value::is_object) => within_bounds(mem::take(items))?,
        Some(_) | None => vec![body],
    };
    let query = fields::query(delivery)?;
    let headers = fields::headers(delivery);
    let event = |(payload, (query, headers))| Event {
        key: hash_key(&payload, &query),
        payload,
        query,
        headers,
        chat: None,
        chat_state: None,
        chat_status: None,
        phone: None,
        flaws: Vec::new(),
    };
    let count = payloads.len();
    Ok(payloads.into_iter().zip(repeat_n((query, headers), count)).map(event).collect())
}
