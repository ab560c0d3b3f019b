//! Metabot: what a script of a bot posts. The author of the script writes the body; the words in it are the platform's.
//!
//! In Metabot a *lead* is one subscriber of one bot in one messenger, which is what we call a chat, and a *person* is the
//! human, who may have several. So `lead_id` is the chat, and `person_id` is left to the mapping
//! (`identifiers.external_customer`): the two are never taken for one another. A lead's id is unique within Metabot's bot,
//! whatever the messenger; where the body does not name the bot (`bot_id`), the source's name stands for it.

use serde_json::Value;

use super::fields::text;
use super::values::plain_id;
use super::{DEDUPE_WINDOW, Delivery, Event, Preset, Unreadable, preset_json};
use crate::lead::{Chat, Flaw};

pub(super) static PRESET: Preset = Preset {
    name: "metabot",
    summary: "a script of a Metabot bot (POST, JSON); `lead_id` is the chat, `person_id` the human",
    chats: true,
    bot_is_source: false,
    methods: &["POST"],
    unknown_path_status: 404,
    verify: None,
    dedupe_window: DEDUPE_WINDOW,
    split,
};

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let mut events = preset_json::split(delivery)?;
    for event in &mut events {
        event.chat = chat(&event.payload, &delivery.source);
        if event.chat.is_none() {
            event.flaws.push(Flaw {
                field: "chat".to_owned(),
                raw: text(event.payload.get("lead_id")).unwrap_or_default().into_owned(),
                code: "no_lead_id".to_owned(),
                text: "The event names no Metabot lead (`lead_id`), so there is no chat to answer in; have the script send the \
                       id of its lead as `lead_id`."
                    .to_owned(),
            });
        }
    }
    Ok(events)
}

fn chat(payload: &Value, source: &str) -> Option<Chat> {
    let named = |name: &str| text(payload.get(name));
    Some(Chat {
        id: plain_id(payload.get("lead_id"))?.into_owned(),
        bot: plain_id(payload.get("bot_id")).map_or_else(|| source.to_owned(), Into::into),
        bot_name: named("bot_name").map(Into::into),
        channel: named("messenger").map_or_else(|| "metabot".to_owned(), |name| name.to_lowercase()),
        link: None,
    })
}
