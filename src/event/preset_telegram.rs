//! Telegram bots: the webhook of the Bot API, one update a request.
//!
//! An update does not say which bot it was for. A webhook does: every bot has an address of its own, so the name of the
//! source is the bot's name. Rename the file, and its chats are those of another bot; who somebody is does not change by
//! that, because a Telegram user has one id in all bots (`identifiers.telegram_user`).
//!
//! The payload is the update, with four keys of our own beside Telegram's, so that a mapping need not know the shapes:
//!
//! | key | what it is |
//! |---|---|
//! | `kind` | which update it is: `message`, `edited_message`, `callback_query`, `my_chat_member` … |
//! | `from` | the human who did it |
//! | `start` | what stood behind `?start=` of the link by which somebody came; anybody can type one by hand, so it is a hint |
//! | `own_phone` | the writer's own number with its plus, when they shared their own contact |
//!
//! Facts: Telegram Bot API, `Update`, `Message`, `ChatMemberUpdated`; Bot features, "Deep linking".

use serde_json::{Map, Value};

use super::fields::text;
use super::values::international;
use super::verify::TELEGRAM;
use super::{DEDUPE_WINDOW, Delivery, Event, EventKey, KeyLifetime, Preset, Unreadable, fields, json_body};
use crate::lead::{Chat, ChatState, Flaw};

pub(super) static PRESET: Preset = Preset {
    name: "telegram",
    summary: "Telegram bots (the webhook of the Bot API, POST); the name of the source is the bot's",
    chats: true,
    bot_is_source: true,
    methods: &["POST"],
    unknown_path_status: 404,
    verify: Some(TELEGRAM),
    dedupe_window: DEDUPE_WINDOW,
    split,
};

/// Longest parameter of a link.
const LONGEST_START: usize = 64;

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let Value::Object(mut payload) = json_body::read(&delivery.body)? else { return Err(no_update()) };
    let id = payload.get("update_id").and_then(Value::as_u64).ok_or_else(no_update)?;
    let told = Told::of(&payload, &delivery.source);
    let own = [
        ("kind", told.kind.map(Value::from)),
        ("from", told.from),
        ("start", told.start.map(Value::from)),
        ("own_phone", told.own_phone.clone().map(Value::from)),
    ];
    for (key, value) in own {
        payload.remove(key);
        payload.extend(value.map(|value| (key.to_owned(), value)));
    }
    Ok(vec![Event {
        payload: Value::Object(payload),
        query: fields::query(delivery)?,
        headers: fields::headers(delivery),
        key: EventKey::new(format!("update:{id}"), KeyLifetime::Retention),
        chat: told.chat,
        phone: told.own_phone,
        flaws: told.flaws,
        chat_state: told.chat_state,
        chat_status: None,
    }])
}

fn no_update() -> Unreadable {
    Unreadable(
        "the body is JSON, but no update of the Telegram Bot API (it has no `update_id`); is another platform calling this \
         address?"
            .into(),
    )
}

/// What an update tells.
#[derive(Default)]
struct Told {
    kind: Option<String>,
    from: Option<Value>,
    start: Option<String>,
    own_phone: Option<String>,
    chat: Option<Chat>,
    chat_state: Option<ChatState>,
    flaws: Vec<Flaw>,
}

impl Told {
    fn of(payload: &Map<String, Value>, bot: &str) -> Self {
        // An update has one part beside its id.
        let part = payload.iter().find(|(key, value)| *key != "update_id" && value.is_object());
        let Some((kind, part)) = part else { return Self::default() };
        let from = part.get("from");
        let mut told = Self { kind: Some(kind.clone()), from: from.cloned(), ..Self::default() };
        let place = match kind.as_str() {
            "message" | "edited_message" | "my_chat_member" => part.get("chat"),
            "callback_query" => part.get("message").and_then(|message| message.get("chat")),
            // Channels, inline queries and the chats of a business are no chats of this bot with a human.
            _ => None,
        };
        match place.and_then(|place| private_chat(place, bot)) {
            Some(Ok(chat)) => {
                told.chat_state = chat_state(kind, part);
                told.chat = Some(chat);
            }
            Some(Err(group)) => told.flaws.push(group),
            None => {}
        }
        if kind == "message" {
            told.start = part.get("text").and_then(Value::as_str).and_then(start).map(ToOwned::to_owned);
            told.contact(part);
        }
        told
    }

    /// A number is the writer's own when Telegram says that the contact is the writer, and it came from nowhere else.
    fn contact(&mut self, message: &Value) {
        let Some(contact) = message.get("contact") else { return };
        let Some(phone) = text(contact.get("phone_number")) else { return };
        let user = |value: Option<&Value>| value.and_then(Value::as_u64);
        let own = user(contact.get("user_id"))
            .is_some_and(|id| user(message.get("from").and_then(|from| from.get("id"))) == Some(id));
        let direct = ["via_bot", "forward_origin", "forward_from", "forward_date"]
            .iter()
            .all(|sign| message.get(sign).is_none_or(Value::is_null));
        let flaw = if !own {
            (
                "not_own_contact",
                "Somebody shared the contact of somebody else, so the number says nothing of who wrote.",
            )
        } else if !direct {
            (
                "relayed_contact",
                "The contact was forwarded or came through another bot, so Telegram does not vouch that the number is \
                 the writer's.",
            )
        } else if let Some(phone) = international(&phone) {
            self.own_phone = Some(phone);
            return;
        } else {
            ("not_international", "The shared contact has a number that is none of the international form.")
        };
        let (code, sentence) = flaw;
        self.flaws.push(Flaw {
            field: "phone".to_owned(),
            raw: phone.into_owned(),
            code: code.to_owned(),
            text: sentence.to_owned(),
        });
    }
}

/// The chat of the bot with one human. A group is told as a flaw: many write there.
fn private_chat(place: &Value, bot: &str) -> Option<Result<Chat, Flaw>> {
    let id = place.get("id").and_then(Value::as_i64)?;
    if id < 0 || place.get("type").and_then(Value::as_str) != Some("private") {
        return Some(Err(Flaw {
            field: "chat".to_owned(),
            raw: id.to_string(),
            code: "group".to_owned(),
            text: "This is a group or a channel of Telegram, where many write, so it is not used to tell who wrote."
                .to_owned(),
        }));
    }
    Some(Ok(Chat {
        channel: "telegram".to_owned(),
        bot: bot.to_owned(),
        bot_name: None,
        id: id.to_string(),
        link: None,
    }))
}

/// Who writes or presses can be written to. An edited message may be older than a block.
fn chat_state(kind: &str, part: &Value) -> Option<ChatState> {
    match kind {
        "message" | "callback_query" => Some(ChatState::Active),
        "my_chat_member" => match part.get("new_chat_member")?.get("status")?.as_str()? {
            "member" => Some(ChatState::Active),
            "kicked" => Some(ChatState::Blocked { why: "the person blocked the bot".to_owned() }),
            _ => None,
        },
        _ => None,
    }
}

/// The parameter in `/start PARAMETER` (private chats) and `/start@bot PARAMETER` (groups). Telegram passes on at most 64
/// of `A-Za-z0-9_-`; anything else was typed by hand.
fn start(message: &str) -> Option<&str> {
    let (command, parameter) = message.split_once(char::is_whitespace)?;
    let (command, _bot) = command.split_once('@').unwrap_or((command, ""));
    let parameter = parameter.trim();
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"_-".contains(&letter);
    (command == "/start" && (1..=LONGEST_START).contains(&parameter.len()) && parameter.bytes().all(allowed))
        .then_some(parameter)
}

#[cfg(test)]
mod tests {
    use super::start;

    #[test]
    fn the_parameter_of_a_link() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(start(text), expect, "{text:?}");
        check("/start 900000417", Some("900000417"));
        check("/start@polynia_shop_bot 900000417", Some("900000417"));
        check("/start 1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10", Some("1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10"));
        check("/start  a_B-9 ", Some("a_B-9"));
        check("/start\na", Some("a"));
        check(&format!("/start {}", "x".repeat(64)), Some(&"x".repeat(64)));
        for none in [
            "/start",
            "/start ",
            "",
            "start 1",
            " /start 1",
            "/started 1",
            "/Start 1",
            "/stop 1",
            "/start hello world",
            "/start +380671234567",
            "/start привіт",
            "/start a@b.c",
            "/start {{token}}",
            &format!("/start {}", "x".repeat(65)),
        ] {
            check(none, None);
        }
    }
}
