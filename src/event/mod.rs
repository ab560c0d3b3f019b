//! What comes in: a [`Delivery`] is one HTTP request as received, an [`Event`] one item of it.
//!
//! A [`Preset`] knows one platform: how its requests are verified, split into events and keyed. Presets are listed in
//! [`PRESETS`] and named nowhere else.

mod canonical;
mod cut;
mod fields;
mod json_body;
mod preset_chatterfy;
mod preset_esputnik;
mod preset_esputnik_tokens;
mod preset_form;
mod preset_json;
mod preset_metabot;
mod preset_postback;
mod preset_sendpulse;
mod preset_telegram;
mod preset_trigger;
mod status;
#[cfg(test)]
mod tests;
mod values;
mod verify;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use self::cut::cut;
pub use self::preset_esputnik_tokens::{NAME as ESPUTNIK_TOKENS, check_tokens};
pub use self::preset_trigger::NAME as TRIGGER;
pub use self::status::blocked_by;
pub use self::verify::{Verify, basic_credentials};
use crate::id::DeliveryId;
use crate::lead::{Chat, ChatState, ChatStatus, Flaw};
use crate::token::to_hex;

/// One HTTP request as received. Immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Ours.
    pub id: DeliveryId,
    /// Name of the source it was sent to.
    pub source: String,
    /// `GET`, `POST` …
    pub method: String,
    /// The query string as received, without the question mark.
    pub query: Option<String>,
    /// Headers on the allow-list, lower-case names, in order. Never credentials.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Vec<u8>,
    /// When the last byte had arrived.
    pub received_at: Timestamp,
}

/// One item of a delivery, readable as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened, as the platform wrote it (with the preset's small repairs, such as `variables: []` to `{}`).
    pub payload: Value,
    /// The query of the request; dotted keys are nested objects.
    pub query: Value,
    /// The kept headers as an object.
    pub headers: Value,
    /// By what two copies of the same event are known to be one.
    pub key: EventKey,
    /// The chat it came from, where the preset can tell.
    pub chat: Option<Chat>,
    /// Whether the bot can write there, where the event says so: by what the person did. What the bot did by itself says
    /// nothing of it.
    #[serde(default)]
    pub chat_state: Option<ChatState>,
    /// What became of a message to that chat; without `chat`, to a chat of whoever the event is about.
    #[serde(default)]
    pub chat_status: Option<ChatStatus>,
    /// The writer's own phone, where the platform itself vouches for it, with its plus.
    pub phone: Option<String>,
    /// What the preset could not use, and why.
    #[serde(default)]
    pub flaws: Vec<Flaw>,
}

/// The key by which a second copy of an event is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventKey {
    /// The platform's event id, or a stable hash of the event without its volatile fields. Never anything personal (a
    /// phone, the id of a chat): erasing keeps it, so that a redelivery brings nobody back.
    pub value: String,
    /// How long it counts.
    pub lifetime: KeyLifetime,
}

/// The longest key in bytes; each database has a limit of its own for what it finds by an index, PostgreSQL's is 2.7 KB.
const LONGEST_KEY: usize = 512;
/// What stays of a longer one, before its hash: so much tells people which platform made it.
const KEPT_OF_KEY: usize = 64;

impl EventKey {
    /// A key; of one that is too long its beginning and its hash.
    pub fn new(mut value: String, lifetime: KeyLifetime) -> Self {
        if value.len() > LONGEST_KEY {
            let hash = to_hex(&Sha256::digest(value.as_bytes()).into());
            value.truncate(value.floor_char_boundary(KEPT_OF_KEY));
            value.push_str("…sha256:");
            value.push_str(&hash);
        }
        Self { value, lifetime }
    }
}

/// How long an event key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyLifetime {
    /// The platform's own id: as long as the event is kept.
    Retention,
    /// A hash: for the source's `dedupe_window`, because the same form a month later is a new event.
    Window,
}

/// Why a delivery could not be read. The delivery is kept all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// One platform: how its requests are verified, split and keyed.
#[derive(Debug)]
pub struct Preset {
    /// The word in `source: { preset: … }`.
    pub name: &'static str,
    /// One line for `check` and the docs.
    pub summary: &'static str,
    /// Whether it finds the chat of an event, together with its bot.
    pub chats: bool,
    /// Whether that bot is the source itself: an address of its own for each bot, whose name is the source's.
    pub bot_is_source: bool,
    /// Methods that carry events. Others are answered without storing anything.
    pub methods: &'static [&'static str],
    /// Status for a path that never existed and for a wrong path token, alike.
    pub unknown_path_status: u16,
    /// What proves that a request is the platform's, where it sends more than the token in the path.
    pub verify: Option<Verify>,
    /// How long a hash key counts unless the source says otherwise.
    pub dedupe_window: Duration,
    /// Turns a delivery into its events, in order. None at all when the platform sent an empty list.
    pub split: fn(&Delivery) -> Result<Vec<Event>, Unreadable>,
}

/// Every preset.
pub static PRESETS: &[&Preset] = &[
    &preset_sendpulse::PRESET,
    &preset_esputnik_tokens::PRESET,
    &preset_json::PRESET,
    &preset_form::PRESET,
    &preset_telegram::PRESET,
    &preset_chatterfy::PRESET,
    &preset_metabot::PRESET,
    &preset_esputnik::PRESET,
    &preset_postback::PRESET,
    &preset_trigger::PRESET,
];

/// The preset of that name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().copied().find(|preset| preset.name == name)
}

/// Whether the events of this preset are postbacks, which are somebody's by their click id alone.
pub fn are_postbacks(preset: &str) -> bool {
    preset == preset_postback::PRESET.name
}

/// How long a hash key counts by default: longer than the retries of a platform, shorter than the time after which
/// the same form means that somebody came back.
const DEDUPE_WINDOW: Duration = Duration::from_mins(10);

/// More events in one delivery than any platform sends; beyond it the request is an accident or an attack.
const MAX_EVENTS: usize = 1_000;

/// Refuses a delivery that holds more than [`MAX_EVENTS`].
fn within_bounds(payloads: Vec<Value>) -> Result<Vec<Value>, Unreadable> {
    if payloads.len() > MAX_EVENTS {
        return Err(Unreadable(format!(
            "the body is a list of {} events and one request may hold {MAX_EVENTS}; send shorter lists",
            payloads.len()
        )));
    }
    Ok(payloads)
}
