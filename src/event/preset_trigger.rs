//! Triggers: the way back into a chat. A CRM, a data platform or anybody with the token of the API names a trigger and a
//! person; whose chat it is is found out before the request is kept ([`crate::operation::triggers`]), and is kept with it.
//!
//! Nothing comes in at `/in`: who knows the address of a source could else write to anybody.

use std::time::Duration;

use serde_json::{Map, Value};

use super::canonical::hash_key;
use super::{Delivery, Event, EventKey, KeyLifetime, Preset, Unreadable, fields, json_body};
use crate::lead::Chat;

/// Its name, for those who keep such requests.
pub const NAME: &str = "trigger";

/// The same trigger of the same chat with the same data within this time, and without a key of its own, is a repeat.
const REPEATS: Duration = Duration::from_mins(1);

pub(super) static PRESET: Preset = Preset {
    name: NAME,
    summary: "a trigger, called at /api/triggers/<name>: has bots do something in the chat of a person who is known",
    chats: true,
    bot_is_source: false,
    methods: &[],
    unknown_path_status: 404,
    verify: None,
    dedupe_window: REPEATS,
    split,
};

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let mut payload = json_body::read(&delivery.body)?;
    let query = fields::query(delivery)?;
    let hash = hash_key(&payload, &query);
    let Some(entries) = payload.as_object_mut() else {
        return Err(Unreadable("a trigger is a JSON object with `data`".into()));
    };
    let chat = entries.remove("chat").as_ref().and_then(chat);
    let key = match entries.remove("key") {
        Some(Value::String(key)) => EventKey::new(format!("key:{key}"), KeyLifetime::Retention),
        Some(_) | None => hash,
    };
    entries.entry("data").or_insert_with(|| Value::Object(Map::new()));
    Ok(vec![Event {
        key,
        payload,
        query,
        headers: fields::headers(delivery),
        chat,
        chat_state: None,
        chat_status: None,
        phone: None,
        flaws: Vec::new(),
    }])
}

/// The chat that was found for it. Its bot is the whole scope, which is read apart by the mapping.
fn chat(value: &Value) -> Option<Chat> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Chat { channel: text("channel")?, bot: text("scope")?, bot_name: None, id: text("id")?, link: None })
}
