//! Chatterfy: the step "Send webhook" of a bot's script. A URL whose macros Chatterfy fills in, called without a body.
//!
//! The names in the URL are the author's: `?subid={tracker.clickid}&chatid={chatId}&step={stepKey}`. Those by which people
//! name the click id and the chat are known here; any other is read by the mapping as it is called (`{{ phone }}`,
//! `{{ tracker.ad_name }}`). A macro that Chatterfy had no value for stands in the URL as it was written: it is no value,
//! and is taken out. The chat id is Telegram's, so the name of the source stands for the bot.
//!
//! One key of our own is added, `click`: the click id, under whichever name it came.

use serde_json::{Map, Value};

use super::canonical::hash_key;
use super::values::plain_id;
use super::{DEDUPE_WINDOW, Delivery, Event, Preset, Unreadable, fields, preset_form};
use crate::lead::{Chat, Flaw};

pub(super) static PRESET: Preset = Preset {
    name: "chatterfy",
    summary: "Chatterfy's step \"Send webhook\" (GET with macros in the query); the name of the source is the bot's",
    chats: true,
    bot_is_source: true,
    methods: &["GET", "POST"],
    unknown_path_status: 404,
    verify: None,
    dedupe_window: DEDUPE_WINDOW,
    split,
};

/// Names of the click id; `tracker.clickid` is another.
const CLICK: [&str; 3] = ["clickid", "subid", "click_id"];

/// Names of the chat.
const CHAT: [&str; 3] = ["chatid", "chatId", "chat_id"];

/// Macros of Chatterfy that are no field of the author's.
const MACROS: [&str; 6] = ["username", "chatId", "stepKey", "createdAt", "name", "clickid"];

/// Where its other macros begin.
const FAMILIES: [&str; 3] = ["tracker.", "fields.", "variables."];

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let (mut payload, mut query) = preset_form::payload(delivery)?;
    let written = CLICK.iter().find_map(|name| payload.get(name)?.as_str());
    let written = written.unwrap_or_default().to_owned();
    without_macros(&mut payload);
    without_macros(&mut query);
    let first = |names: &[&str]| names.iter().find_map(|name| plain_id(payload.get(name)));
    let click = first(&CLICK).or_else(|| plain_id(payload.get("tracker")?.get("clickid")));
    let chat = first(&CHAT).map(|id| Chat {
        channel: "telegram".to_owned(),
        bot: delivery.source.clone(),
        bot_name: None,
        id: id.into_owned(),
        link: None,
    });
    let flaws = [
        chat.is_none().then(|| flaw("chat", "", "no_chat", NO_CHAT)),
        click.is_none().then(|| flaw("click", &written, "untrackable", UNTRACKABLE)),
    ];
    let click = click.map(|id| Value::String(id.into_owned()));
    let key = hash_key(&payload, &query);
    if let (Value::Object(fields), Some(click)) = (&mut payload, click) {
        fields.insert("click".to_owned(), click);
    }
    Ok(vec![Event {
        payload,
        query,
        headers: fields::headers(delivery),
        key,
        chat,
        phone: None,
        flaws: flaws.into_iter().flatten().collect(),
        chat_state: None,
        chat_status: None,
    }])
}

const NO_CHAT: &str =
    "The request names no chat: write `chatid={chatId}` into the URL of the step \"Send webhook\".";

const UNTRACKABLE: &str = "The request has no click id (`subid={tracker.clickid}` in the URL of the step \"Send webhook\"), \
     as when somebody opened the bot without a campaign of the tracker. No postback will ever find this person.";

fn flaw(field: &str, raw: &str, code: &str, text: &str) -> Flaw {
    Flaw { field: field.to_owned(), raw: raw.to_owned(), code: code.to_owned(), text: text.to_owned() }
}

/// Takes out the values that are macros.
fn without_macros(value: &mut Value) {
    let is_macro = |value: &Value| value.as_str().is_some_and(is_unresolved);
    match value {
        Value::Object(fields) => {
            let kept = std::mem::take(fields).into_iter().filter(|(_, value)| !is_macro(value));
            *fields = kept.collect::<Map<_, _>>();
            fields.values_mut().for_each(without_macros);
        }
        Value::Array(items) => {
            items.retain(|item| !is_macro(item));
            items.iter_mut().for_each(without_macros);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a value is a macro, or has one of Chatterfy's own in it: half a link is none. A person may call themselves
/// `Max {gamer}`, so braces inside a text are no macro by themselves.
fn is_unresolved(text: &str) -> bool {
    let text = text.trim();
    let whole = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inside| is_name(inside.trim_start_matches('{').trim_end_matches('}')));
    whole
        || text.split('{').skip(1).filter_map(|behind| behind.split_once('}')).any(|(name, _)| {
            let name = name.trim();
            MACROS.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family)) && is_name(name)
        })
}

fn is_name(text: &str) -> bool {
    let text = text.trim();
    let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::is_unresolved;

    #[test]
    fn macros_that_were_not_filled_in() {
        let check = |text: &str, expect: bool| assert_eq!(is_unresolved(text), expect, "{text}");
        for unresolved in [
            "{tracker.clickid}",
            "{{tracker.clickid}}",
            "{ tracker.clickid }",
            "{KEYCUSTOMFIELD}",
            "{місто}",
            "x-{tracker.clickid}",
            "https://t.me/{username}",
            "{username} {name}",
            "{fields.chatId}",
        ] {
            check(unresolved, true);
        }
        for value in [
            "",
            "67aBcDeF90",
            "Max {gamer}",
            "{}",
            "{{}}",
            "{ }",
            "{a b}",
            "}{",
            "{",
            "tracker.clickid",
            "{\"a\":1}",
        ] {
            check(value, false);
        }
    }
}
