//! eSputnik (Yespo, Reteno): the feed of what became of messages, "Data export → Webhook".
//!
//! A list of activities. Yespo holds back every later activity until the first is answered with exactly 200, so whatever
//! arrives is kept and answered so; its check of the address by GET is answered by the receiving edge itself. `iid` names a
//! sending and repeats with every status of it, so the key is made of sending, status and time, and of the link where one
//! was clicked. A link may hold an email, so only its hash is part of the key.
//!
//! The feed names the contact, not the chat. So what became of a Telegram message is told of the chat that this contact has
//! with the bot that the source names (`bot: telegram:shop`), also where no branch makes a lead of it.

use std::borrow::Cow;
use std::iter::repeat_n;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::canonical::hash_key;
use super::fields::text;
use super::values::plain_id;
use super::verify::BASIC;
use super::{
    DEDUPE_WINDOW, Delivery, Event, EventKey, KeyLifetime, Preset, Unreadable, fields, json_body,
    within_bounds,
};
use crate::lead::ChatStatus;
use crate::token::to_hex;

pub(super) static PRESET: Preset = Preset {
    name: "esputnik",
    summary: "the activity feed of eSputnik / Yespo (POST, a JSON list of statuses)",
    chats: false,
    bot_is_source: false,
    methods: &["POST"],
    unknown_path_status: 404,
    verify: Some(BASIC),
    dedupe_window: DEDUPE_WINDOW,
    split,
};

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let payloads = match json_body::read(&delivery.body)? {
        Value::Array(items) => within_bounds(items)?,
        object @ Value::Object(_) => vec![object],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Unreadable(
                "the body is JSON, but no list of activities of eSputnik; is another platform calling this address?"
                    .into(),
            ));
        }
    };
    let query = fields::query(delivery)?;
    let headers = fields::headers(delivery);
    let event = |(payload, (query, headers))| Event {
        key: activity_key(&payload).unwrap_or_else(|| hash_key(&payload, &query)),
        chat_status: chat_status(&payload),
        payload,
        query,
        headers,
        chat: None,
        phone: None,
        flaws: Vec::new(),
        chat_state: None,
    };
    let count = payloads.len();
    Ok(payloads.into_iter().zip(repeat_n((query, headers), count)).map(event).collect())
}

/// What became of a message in a messenger; what became of an email says nothing of a chat.
fn chat_status(payload: &Value) -> Option<ChatStatus> {
    if !text(payload.get("mediaType"))?.eq_ignore_ascii_case("telegram") {
        return None;
    }
    Some(ChatStatus {
        status: text(payload.get("activityStatus"))?.into_owned(),
        description: text(payload.get("statusDescription")).map(Cow::into_owned),
        // A time without an offset is in the contact's own time zone, which the feed does not name.
        at: text(payload.get("activityDateTime")).and_then(|time| time.parse().ok()),
    })
}

fn activity_key(payload: &Value) -> Option<EventKey> {
    let sending = plain_id(payload.get("iid"))?;
    let status = plain_id(payload.get("activityStatus"))?;
    let time = text(payload.get("activityDateTime"))?;
    let is_time = time.len() <= 40
        && time.bytes().all(|letter| letter.is_ascii_digit() || b"-:.TZ+ ".contains(&letter));
    if !is_time {
        return None;
    }
    let mut key = format!("activity:{sending}:{status}:{time}");
    if let Some(link) = text(payload.get("clickEventLink")) {
        key.push(':');
        key.push_str(&to_hex(&Sha256::digest(link.as_bytes()).into()));
    }
    Some(EventKey::new(key, KeyLifetime::Retention))
}
