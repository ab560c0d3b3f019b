//! What comes in: a [`Delivery`] is one HTTP request as received, an [`Event`] one item of it.
//!
//! A [`Preset`] knows one platform: how its requests are verified, split into events and keyed. Presets are listed in
//! [`PRESETS`] and named nowhere else.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::DeliveryId;
use crate::lead::Chat;

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
}

/// The key by which a second copy of an event is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventKey {
    /// The platform's event id, or a stable hash of the event without its volatile fields.
    pub value: String,
    /// How long it counts.
    pub lifetime: KeyLifetime,
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
    /// Methods that carry events. Others are answered without storing anything.
    pub methods: &'static [&'static str],
    /// Status for a path that never existed and for a wrong path token, alike.
    pub unknown_path_status: u16,
    /// How long a hash key counts unless the source says otherwise.
    pub dedupe_window: Duration,
    /// Turns a delivery into its events, in order.
    pub split: fn(&Delivery) -> Result<Vec<Event>, Unreadable>,
}

/// Every preset.
pub static PRESETS: &[&Preset] = &[];
