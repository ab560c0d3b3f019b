//! Requests in the shape of eSputnik's *Add application tokens*: `{"tokens": [{ "token": …, "email": … }]}`.
//!
//! Whoever sends tokens to `POST /v1/apps/{app}/tokens` of eSputnik (seed: docs.esputnik.com, "Integrating with a Telegram
//! bot") sends them here with another host and nothing else changed. A token is the id of a chat with the bot; whose it is,
//! one of the identifiers beside it says. Each token is an event.

use std::iter::repeat_n;

use serde_json::{Map, Value};

use super::canonical::hash_key;
use super::fields::text;
use super::{Delivery, Event, Preset, Unreadable, fields, json_body, within_bounds};
use crate::lead::{Chat, ChatState};

/// Its word in `source: { preset: … }`.
pub const NAME: &str = "esputnik_tokens";

pub(super) static PRESET: Preset = Preset {
    name: NAME,
    summary: "eSputnik's Add application tokens (POST /v1/apps/<app>/tokens, each token an event)",
    chats: true,
    bot_is_source: false,
    methods: &["POST"],
    unknown_path_status: 404,
    // A request that is sent again after a lost answer comes within seconds. Whoever stops the bot and starts it again
    // within minutes sends the same, too, and means it.
    verify: None,
    dedupe_window: std::time::Duration::from_mins(1),
    split,
};

/// What says who a token is for, in the order in which people are looked up.
const IDENTIFIERS: [&str; 4] = ["contactId", "externalCustomerId", "phone", "email"];

/// Longest token in bytes: as long as any id of a chat.
const LONGEST: usize = 256;

fn split(delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    let items = items(&delivery.body)?;
    let query = fields::query(delivery)?;
    let headers = fields::headers(delivery);
    let mut events = Vec::with_capacity(items.len());
    let count = items.len();
    for ((number, payload), (query, headers)) in
        items.into_iter().enumerate().zip(repeat_n((query, headers), count))
    {
        // Where one human's token was erased, an empty object keeps the places of the others.
        let is_erased = payload.as_object().is_some_and(Map::is_empty);
        let token = if is_erased { None } else { Some(token(&payload, number)?) };
        let chat = token.map(|id| Chat {
            channel: "telegram".to_owned(),
            bot: delivery.source.clone(),
            bot_name: None,
            id,
            link: None,
        });
        events.push(Event {
            key: hash_key(&payload, &query),
            payload,
            query,
            headers,
            // Whoever adds a token says that messages arrive under it.
            chat_state: chat.as_ref().map(|_| ChatState::Active),
            chat,
            chat_status: None,
            phone: None,
            flaws: Vec::new(),
        });
    }
    Ok(events)
}

/// Whether a body can be taken: every item has a token, and says whose it is. The error names the first that does not.
///
/// # Errors
/// [`Unreadable`], in words for whoever sends it.
pub fn check_tokens(body: &[u8]) -> Result<(), Unreadable> {
    let items = items(body)?;
    items.iter().enumerate().try_for_each(|(number, item)| token(item, number).map(drop))
}

fn items(body: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let Value::Object(mut fields) = json_body::read(body)? else {
        return Err(Unreadable("the body is no JSON object; send {\"tokens\": [ … ]}".to_owned()));
    };
    match fields.remove("tokens") {
        Some(Value::Array(items)) if items.is_empty() => {
            Err(Unreadable("`tokens` is empty; send at least one".to_owned()))
        }
        Some(Value::Array(items)) => within_bounds(items),
        Some(_) => Err(Unreadable("`tokens` is no list; send {\"tokens\": [ … ]}".to_owned())),
        None => Err(Unreadable("the body has no `tokens`; send {\"tokens\": [ … ]}".to_owned())),
    }
}

/// The token of an item that says whose it is.
fn token(item: &Value, number: usize) -> Result<String, Unreadable> {
    let refused = |what: &str| Err(Unreadable(format!("`tokens[{number}]` {what}")));
    if !item.is_object() {
        return refused(
            "is no object; send { \"token\": …, \"email\": … }, with at least one of contactId, externalCustomerId, phone \
             and email",
        );
    }
    let Some(token) = text(item.get("token")) else { return refused("has no `token`") };
    if token.len() > LONGEST {
        return refused(&format!("has a `token` of more than {LONGEST} bytes"));
    }
    // An id that is not set is often sent as 0.
    let is_given = |name: &str| text(item.get(name)).is_some_and(|text| text != "0");
    if !IDENTIFIERS.into_iter().any(is_given) {
        return refused(
            "does not say whose it is: give at least one of contactId, externalCustomerId, phone and email",
        );
    }
    Ok(token.into_owned())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::id::DeliveryId;

    fn read(body: &str) -> Result<Vec<Event>, Unreadable> {
        split(&Delivery {
            id: DeliveryId(Uuid::nil()),
            source: "tokens".to_owned(),
            method: "POST".to_owned(),
            query: None,
            headers: Vec::new(),
            body: body.into(),
            received_at: Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn each_token_is_an_event_of_its_chat() {
        let body = json!({ "tokens": [
            { "token": "700000101", "externalCustomerId": "crm-7781", "email": "olena@example.com" },
            { "token": 700_000_102, "contactId": 889_000_911 },
        ] });
        check_tokens(body.to_string().as_bytes()).unwrap();
        let events = read(&body.to_string()).unwrap();
        let ids: Vec<&str> = events.iter().map(|event| event.chat.as_ref().unwrap().id.as_str()).collect();
        assert_eq!(ids, ["700000101", "700000102"]);
        assert_eq!(events[0].payload, body["tokens"][0]);
        assert_ne!(events[0].key, events[1].key);
        assert_eq!(read(&body.to_string()).unwrap()[1].key, events[1].key, "sent again, it is the same");
    }

    #[test]
    fn what_is_no_token_of_somebody_is_named() {
        let check = |body: &str, says: &str| {
            for refused in [check_tokens(body.as_bytes()).unwrap_err(), read(body).unwrap_err()] {
                assert!(refused.0.contains(says), "{body}: {}", refused.0);
            }
        };
        check("", "empty");
        check("[]", "no JSON object");
        check("{}", "no `tokens`");
        check(r#"{"tokens":[]}"#, "`tokens` is empty");
        check(r#"{"tokens":{"token":"1","email":"a"}}"#, "`tokens` is no list");
        check(r#"{"tokens":["700000101"]}"#, "`tokens[0]` is no object");
        check(r#"{"tokens":[{"email":"a"}]}"#, "`tokens[0]` has no `token`");
        check(r#"{"tokens":[{"token":" ","email":"a"}]}"#, "`tokens[0]` has no `token`");
        check(r#"{"tokens":[{"token":["1"],"email":"a"}]}"#, "`tokens[0]` has no `token`");
        let whose = "`tokens[1]` does not say whose it is: give at least one of contactId";
        for nobody in [
            "{}",
            r#"{"email":""}"#,
            r#"{"phone":null}"#,
            r#"{"contactId":0}"#,
            r#"{"externalCustomerId":"None"}"#,
            r#"{"email":["a@example.com"]}"#,
            r#"{"name":"Olena"}"#,
        ] {
            let mut second: Value = serde_json::from_str(nobody).unwrap();
            second["token"] = "2".into();
            check(&json!({ "tokens": [{ "token": "1", "email": "a" }, second] }).to_string(), whose);
        }
        let long = json!({ "tokens": [{ "token": "1".repeat(257), "email": "a" }] });
        check(&long.to_string(), "more than 256 bytes");
        let many = json!({ "tokens": vec![json!({ "token": "1", "email": "a" }); 1001] });
        check(&many.to_string(), "1001 events");
    }

    #[test]
    fn an_erased_token_keeps_the_places_of_the_others_and_is_never_accepted() {
        let body = r#"{"tokens":[{},{"token":"2","email":"b"}]}"#;
        let events = read(body).unwrap();
        assert_eq!((events.len(), events[0].chat.is_none()), (2, true));
        assert!(check_tokens(body.as_bytes()).is_err());
    }
}
