//! `SendPulse` chatbots: global webhooks and the flow element "Send webhook".
//!
//! The body is a list of events, met also as a bare object. `title` names the kind of a global webhook, but the
//! author of a flow types any text there, so it is no enumeration. There is no signature: the secret is the path token.

use std::borrow::Cow;
use std::iter::repeat_n;

use serde_json::{Map, Value};

use super::canonical::{Volatile, hash_key_without};
use super::fields::text;
use super::values::{international, plain_id};
use super::{
    DEDUPE_WINDOW, Delivery, Event, EventKey, KeyLifetime, Preset, Unreadable, fields, json_body,
    within_bounds,
};
use crate::lead::{Chat, ChatState, ChatStatus, Flaw};

pub(super) static PRESET: Preset = Preset {
    name: "sendpulse",
    summary: "SendPulse chatbot webhooks (POST, a JSON list of events)",
    chats: true,
    bot_is_source: false,
    methods: &["POST"],
    unknown_path_status: 404,
    verify: None,
    dedupe_window: DEDUPE_WINDOW,
    split,
};

/// Parts of a contact that change by themselves between two deliveries of one event. The event's own `date` is not
/// among them: pressing Send twice makes two events, and a redelivery repeats the date.
const VOLATILE: Volatile = Volatile {
    object: "contact",
    fields: &["photo", "tags", "last_activity", "last_activity_at", "is_chat_opened"],
};

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let payloads = match json_body::read(&delivery.body)? {
        Value::Array(items) => within_bounds(items)?,
        object @ Value::Object(_) => vec![object],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Unreadable(
                "the body is JSON, but neither a list of SendPulse events nor one event; is another platform calling \
                 this address?"
                    .into(),
            ));
        }
    };
    let query = fields::query(delivery)?;
    let headers = fields::headers(delivery);
    let event = |(mut payload, (query, headers))| {
        repair_variables(&mut payload);
        let chat = chat(&payload);
        Event {
            key: message_key(&payload).unwrap_or_else(|| hash_key_without(Some(&VOLATILE), &payload, &query)),
            flaws: chat.is_none().then(|| chat_without_bot(&payload)).flatten().into_iter().collect(),
            chat_state: chat.as_ref().and_then(|_| chat_state(&payload)),
            chat_status: chat.as_ref().and_then(|_| chat_status(&payload)),
            chat,
            phone: sender_phone(&payload),
            payload,
            query,
            headers,
        }
    };
    let count = payloads.len();
    Ok(payloads.into_iter().zip(repeat_n((query, headers), count)).map(event).collect())
}

/// `SendPulse` writes an empty map as `[]`, as PHP does.
fn repair_variables(payload: &mut Value) {
    if let Some(variables) = payload.get_mut("contact").and_then(|contact| contact.get_mut("variables"))
        && variables.as_array().is_some_and(Vec::is_empty)
    {
        *variables = Value::Object(Map::new());
    }
}

/// The id of an incoming message. Other events may carry the message that came before them, so there it is no key.
fn message_key(payload: &Value) -> Option<EventKey> {
    if payload.get("title")?.as_str()? != "incoming_message" {
        return None;
    }
    let bot = plain_id(payload.get("bot")?.get("id"))?;
    let message = plain_id(payload.get("info")?.get("message")?.get("id"))?;
    Some(EventKey::new(format!("incoming_message:{bot}:{message}"), KeyLifetime::Retention))
}

fn chat(payload: &Value) -> Option<Chat> {
    let of_bot = payload.get("bot")?;
    let bot = plain_id(of_bot.get("id"))?;
    let id = plain_id(payload.get("contact")?.get("id"))?;
    Some(Chat {
        channel: text(payload.get("service"))?.to_lowercase(),
        link: Some(format!("https://login.sendpulse.com/messengers/chats/{bot}/contacts/all/{id}")),
        bot_name: text(of_bot.get("name")).map(Cow::into_owned),
        bot: bot.into_owned(),
        id: id.into_owned(),
    })
}

/// What an event says of its chat. The author of a flow may have typed these words too, and means the same by them.
///
/// Any other title says nothing: a flow also runs by a timer or a mailing, an operator opens a chat, and a link in an old
/// message can be pressed by somebody who has blocked the bot since.
fn chat_state(payload: &Value) -> Option<ChatState> {
    let blocked = |why: &str| Some(ChatState::Blocked { why: why.to_owned() });
    match payload.get("title")?.as_str()? {
        "incoming_message" | "new_subscriber" => Some(ChatState::Active),
        "bot_block" | "bot_blocked" => blocked("the person blocked the bot"),
        "unsubscribe" | "bot_unsubscribe" => blocked("the person unsubscribed from the bot"),
        _ => None,
    }
}

/// A message of the bot's own: it went out, and that is all.
fn chat_status(payload: &Value) -> Option<ChatStatus> {
    let title = payload.get("title")?.as_str()?;
    matches!(title, "outgoing_message" | "outbound_message").then(|| ChatStatus {
        status: title.to_owned(),
        description: None,
        at: None,
    })
}

/// What is said of a contact whose bot or messenger is not named.
fn chat_without_bot(payload: &Value) -> Option<Flaw> {
    let id = plain_id(payload.get("contact")?.get("id"))?;
    Some(Flaw {
        field: "chat".to_owned(),
        raw: id.into_owned(),
        code: "no_bot".to_owned(),
        text: "The event has a contact, but not both `bot.id` and `service`. In another bot the same id is somebody else, \
               so the chat is not used to tell who wrote."
            .to_owned(),
    })
}

/// The number that somebody writes from in `WhatsApp`. Who shows none has only a business-scoped id, which is no number.
fn sender_phone(payload: &Value) -> Option<String> {
    if !text(payload.get("service"))?.eq_ignore_ascii_case("whatsapp") {
        return None;
    }
    international(&text(payload.get("contact")?.get("phone"))?)
}
