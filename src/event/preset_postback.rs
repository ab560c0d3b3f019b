//! Postbacks: what a product (a casino, a broker, a tracker) reports of somebody whom it knows by a click id.
//!
//! A GET with dotted parameters (`clickid=…&tracker.event=sale&fields.user_id=7`), or the same as form fields. What the
//! parameters are called is the network's custom and the account's choice: the section `postback:` of the mapping says it,
//! and makes the key by which a repeat is recognised.

use std::time::Duration;

use serde_json::Map;

use super::canonical::hash_key;
use super::{Delivery, Event, Preset, Unreadable, fields};

pub(super) static PRESET: Preset = Preset {
    name: "postback",
    summary: "postbacks of networks and trackers (GET with clickid, tracker.event …); the person is found by the click id",
    chats: false,
    bot_is_source: false,
    methods: &["GET", "POST"],
    unknown_path_status: 404,
    // The mapping says how long a repeat is one; this is for requests that it cannot read.
    verify: None,
    dedupe_window: Duration::from_mins(1),
    split,
};

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let query = fields::query(delivery)?;
    let payload = if delivery.body.is_empty() { query.clone() } else { fields::url_encoded(&delivery.body)? };
    if payload.as_object().is_none_or(Map::is_empty) {
        return Err(Unreadable(
            "the request has no parameters; a postback has them in its address: ?clickid=…&tracker.event=sale".into(),
        ));
    }
    Ok(vec![Event {
        key: hash_key(&payload, &query),
        payload,
        query,
        headers: fields::headers(delivery),
        chat: None,
        phone: None,
        chat_state: None,
        chat_status: None,
        flaws: Vec::new(),
    }])
}
