//! What every preset makes of what platforms send, and of what nobody should send.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::lead::ChatState;

mod chatterfy;
mod esputnik;
mod metabot;
mod telegram;

const URL_ENCODED: &str = "application/x-www-form-urlencoded";

fn delivery(query: Option<&str>, content_type: &str, body: impl Into<Vec<u8>>) -> Delivery {
    Delivery {
        id: DeliveryId(Uuid::nil()),
        source: "test".into(),
        method: "POST".into(),
        query: query.map(Into::into),
        headers: vec![("content-type".into(), content_type.into()), ("user-agent".into(), "Bot/1".into())],
        body: body.into(),
        received_at: Timestamp::UNIX_EPOCH,
    }
}

fn split(name: &str, delivery: &Delivery) -> Result<Vec<Event>, Unreadable> {
    (preset(name).unwrap().split)(delivery)
}

fn split_json(name: &str, body: &Value) -> Vec<Event> {
    split(name, &delivery(None, "application/json", body.to_string())).unwrap()
}

fn one(name: &str, body: &Value) -> Event {
    let mut events = split_json(name, body);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn refused(name: &str, content_type: &str, body: impl Into<Vec<u8>>, why: &str) {
    let message = split(name, &delivery(None, content_type, body)).unwrap_err().0;
    assert!(message.contains(why), "{message}");
}

/// A flow webhook of `SendPulse`.
fn press() -> Value {
    json!({
        "service": "telegram", "title": "Замовлення консультації",
        "bot": {"id": "64f1a0c2b7d3e4a5c6f70812", "name": "Polynia Shop"},
        "contact": {
            "id": "666702a5d41b7c0e9f3a1b20", "photo": null, "tags": [], "last_message": "Так",
            "variables": {"phone": "+38 (067) 000-00-01"}
        },
        "info": null, "date": 1_718_031_902
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut event = press();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    event
}

#[test]
fn presets_are_listed_once_and_take_posts() {
    let mut names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PRESETS.len());
    let posts = |preset: &&&Preset| preset.methods.contains(&"POST");
    let others: Vec<_> = PRESETS.iter().filter(|preset| !posts(preset)).map(|preset| preset.name).collect();
    assert_eq!(others, [TRIGGER], "it is called over the API");
    assert!(preset("carrier pigeon").is_none());
}

#[test]
fn sendpulse_lists_and_bare_objects() {
    assert_eq!(split_json("sendpulse", &json!([press(), with("/date", json!(1_718_031_903))])).len(), 2);
    assert_eq!(one("sendpulse", &press()).key, one("sendpulse", &json!([press()])).key);
    assert_eq!(split_json("sendpulse", &json!([])), vec![]);
    // A stranger in the list harms nobody else.
    assert_eq!(split_json("sendpulse", &json!([press(), 5])).len(), 2);
    refused("sendpulse", "application/json", "5", "neither a list");
    refused("sendpulse", URL_ENCODED, "a=1", "not JSON");
}

#[test]
fn sendpulse_empty_variables_are_a_map() {
    assert_eq!(
        one("sendpulse", &with("/contact/variables", json!([]))).payload["contact"]["variables"],
        json!({})
    );
    assert_eq!(
        one("sendpulse", &with("/contact/variables", json!([1]))).payload["contact"]["variables"],
        json!([1])
    );
    let (list, map) = (with("/contact/variables", json!([])), with("/contact/variables", json!({})));
    assert_eq!(one("sendpulse", &list).key, one("sendpulse", &map).key);
}

#[test]
fn sendpulse_keys() {
    let first = one("sendpulse", &press()).key;
    assert_eq!(first.lifetime, KeyLifetime::Window);
    let check = |pointer: &str, value: Value, same: bool| {
        assert_eq!(one("sendpulse", &with(pointer, value)).key == first, same, "{pointer}");
    };
    check("/contact/photo", json!("https://cdn.example.com/1.jpg"), true);
    check("/contact/tags", json!(["CRM"]), true);
    check("/contact/last_activity", json!(1_718_031_999), true);
    check("/date", json!(1_718_031_903), false);
    check("/title", json!("Інше"), false);
    check("/contact/variables/phone", json!("0670000001"), false);
    check("/contact/id", json!("666702a5d41b7c0e9f3a1b21"), false);
    check("/bot/id", json!("64f1a0c2b7d3e4a5c6f70813"), false);
    check("/contact/last_message", json!("Ні"), false);
}

#[test]
fn sendpulse_messages_have_an_id() {
    let message = |title: &str, id: Value, date: i64| {
        let mut event = with("/info", json!({"message": {"id": id}}));
        event["title"] = json!(title);
        event["date"] = json!(date);
        one("sendpulse", &event).key
    };
    let key = message("incoming_message", json!("666702b1aa10c3f2d9e84b77"), 1);
    assert_eq!(key.value, "incoming_message:64f1a0c2b7d3e4a5c6f70812:666702b1aa10c3f2d9e84b77");
    assert_eq!(key.lifetime, KeyLifetime::Retention);
    assert_eq!(key, message("incoming_message", json!("666702b1aa10c3f2d9e84b77"), 2));
    assert!(
        message("incoming_message", json!(90_071_992_547_409_931_i64), 1)
            .value
            .ends_with(":90071992547409931")
    );
    // A flow may carry the message before it: pressing twice is two events with one message.
    for (title, id) in [
        ("run_custom_flow", json!("666702b1aa10c3f2d9e84b77")),
        ("incoming_message", json!("None")),
        ("incoming_message", json!("")),
        ("incoming_message", json!(null)),
        ("incoming_message", json!("a:b")),
        ("incoming_message", json!("x".repeat(129))),
    ] {
        let (first, second) = (message(title, id.clone(), 1), message(title, id.clone(), 2));
        assert_eq!(first.lifetime, KeyLifetime::Window, "{title} {id}");
        assert_ne!(first, second, "{title} {id}");
    }
}

#[test]
fn sendpulse_chats() {
    let chat = one("sendpulse", &press()).chat.unwrap();
    assert_eq!((chat.channel.as_str(), chat.bot_name.as_deref()), ("telegram", Some("Polynia Shop")));
    assert_eq!(
        chat.link.unwrap(),
        "https://login.sendpulse.com/messengers/chats/64f1a0c2b7d3e4a5c6f70812/contacts/all/666702a5d41b7c0e9f3a1b20"
    );
    assert_eq!(one("sendpulse", &with("/service", json!("Telegram"))).chat.unwrap().channel, "telegram");
    assert_eq!(one("sendpulse", &with("/bot/name", json!("None"))).chat.unwrap().bot_name, None);
    for (pointer, value) in [
        ("/contact/id", json!(null)),
        ("/contact/id", json!("../../settings")),
        ("/bot/id", json!("None")),
        ("/service", json!("")),
        ("/contact", json!([])),
    ] {
        assert_eq!(one("sendpulse", &with(pointer, value)).chat, None, "{pointer}");
    }
}

#[test]
fn sendpulse_says_who_can_be_written_to() {
    let check = |title: &str, blocked: Option<bool>| {
        let state = one("sendpulse", &with("/title", json!(title))).chat_state;
        let got =
            state.map(|state| matches!(state, ChatState::Blocked { why } if why.starts_with("the person ")));
        assert_eq!(got, blocked, "{title}");
    };
    for title in ["bot_block", "bot_blocked", "unsubscribe", "bot_unsubscribe"] {
        check(title, Some(true));
    }
    check("incoming_message", Some(false));
    check("new_subscriber", Some(false));
    for title in ["outgoing_message", "open_chat", "run_custom_flow", "link_click", "Стоп", ""] {
        check(title, None);
    }
    let sent = |title: &str| one("sendpulse", &with("/title", json!(title))).chat_status;
    for title in ["outgoing_message", "outbound_message"] {
        assert_eq!(
            sent(title).map(|status| status.status).as_deref(),
            Some(title),
            "it went out, and that is all"
        );
    }
    assert_eq!(sent("incoming_message"), None);
    // Of no chat nothing can be said.
    let mut nobody = with("/title", json!("bot_block"));
    nobody["bot"] = json!(null);
    assert_eq!(one("sendpulse", &nobody).chat_state, None);
}

#[test]
fn json_takes_any_value() {
    let check = |body: Value, expect: &[Value]| {
        let payloads: Vec<_> = split_json("json", &body).into_iter().map(|event| event.payload).collect();
        assert_eq!(payloads, expect, "{body}");
    };
    check(json!({"a": 1}), &[json!({"a": 1})]);
    check(json!([{"a": 1}, {"a": 2}]), &[json!({"a": 1}), json!({"a": 2})]);
    check(json!([{"a": 1}, 2]), &[json!([{"a": 1}, 2])]);
    check(json!([1, 2]), &[json!([1, 2])]);
    check(json!("lead"), &[json!("lead")]);
    check(json!(null), &[json!(null)]);
    check(json!([]), &[]);
    refused("json", "application/json", "[{}]".replace("{}", &"{},".repeat(1_000)) + "x", "not JSON");
    refused("json", "application/json", format!("[{}{{}}]", "{},".repeat(1_000)), "1001 events");
}

#[test]
fn twins_in_one_list_share_a_key() {
    let events = split_json("json", &json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}]));
    assert_eq!(events[0].key, events[1].key);
    assert_ne!(events[0].key, events[2].key);
}

#[test]
fn query_and_headers_come_along() {
    let event =
        &split("json", &delivery(Some("operation=tg_auth&tracker.event=sale"), "application/json", "{}"))
            .unwrap()[0];
    assert_eq!(event.query, json!({"operation": "tg_auth", "tracker": {"event": "sale"}}));
    assert_eq!(event.headers, json!({"content-type": "application/json", "user-agent": "Bot/1"}));
}

#[test]
fn forms_of_all_kinds() {
    let check = |query: Option<&str>, content_type: &str, body: &str, expect: Value| {
        let events = split("form", &delivery(query, content_type, body)).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].payload, expect, "{body}");
    };
    let multipart = "multipart/form-data; boundary=XX";
    check(None, URL_ENCODED, "test=test", json!({"test": "test"}));
    check(None, "application/x-www-form-urlencoded; charset=utf-8", "Name=%D0%90", json!({"Name": "А"}));
    check(None, "", "phone=1", json!({"phone": "1"}));
    check(
        Some("clickid=1&tracker.event=sale"),
        "",
        "",
        json!({"clickid": "1", "tracker": {"event": "sale"}}),
    );
    check(Some("utm=x"), URL_ENCODED, "a=1", json!({"a": "1"}));
    check(
        None,
        multipart,
        "--XX\r\nContent-Disposition: form-data; name=\"fields.name\"\r\n\r\nІнна\r\n\
         --XX\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"cv.pdf\"\r\nContent-Type: application/pdf\r\n\r\nPDF\r\n\
         --XX\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--XX--\r\n",
        json!({
            "fields": {"name": "Інна"},
            "cv": {"file": "cv.pdf", "content_type": "application/pdf", "size": 3},
            "unnamed": "no name"
        }),
    );
}

#[test]
fn forms_that_cannot_be_read_say_why() {
    let multipart = "multipart/form-data; boundary=XX";
    let part = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    refused("form", URL_ENCODED, "", "no fields");
    refused("form", "application/json", "{}", "preset: json");
    refused("form", "application/xml", "<a/>", "application/xml");
    refused(
        "form",
        multipart,
        "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhalf a na",
        "cut off",
    );
    refused("form", multipart, part, "cut off");
    refused("form", "multipart/form-data", part, "boundary");
    refused("form", multipart, part.repeat(1_001) + "--XX--\r\n", "1000 fields");
    refused("form", multipart, "--XX--\r\n", "no fields");
}

#[test]
fn what_was_split_can_be_stored_and_read_again() {
    let deep = format!(r#"{{"a":{}"\u0000😀"{}}}"#, "[".repeat(99), "]".repeat(99));
    for event in split("json", &delivery(Some("$serde_json::private::RawValue=["), "", deep)).unwrap() {
        let stored = serde_json::to_string(&event).unwrap();
        assert!(!stored.contains("\\u0000"));
        assert_eq!(serde_json::from_str::<Event>(&stored).unwrap(), event);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!("None")),
    ];
    let name = prop_oneof![
        "(service|title|bot|contact|info|message|id|name|variables|date|tags|update_id|from|chat|type|text|lead_id|iid)",
        "\\PC{0,5}",
        Just("$serde_json::private::Number".to_owned())
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn content_type() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("application/json".to_owned()),
        Just(URL_ENCODED.to_owned()),
        Just("multipart/form-data; boundary=XX".to_owned()),
        "\\PC{0,20}",
    ]
}

/// Splits by every preset, twice. Whatever can be split can be stored.
fn survives(delivery: &Delivery) {
    for preset in PRESETS {
        let first = (preset.split)(delivery);
        assert_eq!(first, (preset.split)(delivery), "{}", preset.name);
        for event in first.into_iter().flatten() {
            let stored = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&stored).unwrap(), event);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_split_without_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300), query in proptest::option::of("\\PC{0,30}"), kind in content_type()
    ) {
        survives(&delivery(query.as_deref(), &kind, body));
    }

    #[test]
    fn any_json_splits_without_panic(body in json_value(), query in "[a-c.=&%0]{0,20}") {
        survives(&delivery(Some(&query), "application/json", body.to_string()));
    }

    #[test]
    fn almost_json_and_almost_multipart_split_without_panic(
        json in "[\\[\\]{}\",:\\\\uUdDeE0-9 a]{0,60}",
        parts in proptest::collection::vec("(--XX|--XX--|\r\n|Content-Disposition: form-data; name=\"|\"|a|:)", 0..30)
    ) {
        survives(&delivery(None, "application/json", json));
        survives(&delivery(None, "multipart/form-data; boundary=XX", parts.concat()));
    }
}

#[test]
fn a_key_that_no_index_holds_is_its_beginning_and_its_hash() {
    let key = |text: &str| EventKey::new(text.to_owned(), KeyLifetime::Retention).value;
    let long = |end: &str| format!("{}{end}", "їжак-".repeat(2_000));
    assert_eq!(key("order-17"), "order-17");
    assert_eq!(key(&"x".repeat(512)), "x".repeat(512));
    for text in [&long("1"), &"x".repeat(513)] {
        assert!(key(text).len() <= 512 && key(text).contains("…sha256:"), "{}", key(text));
        assert_eq!(key(text), key(text));
    }
    assert!(key(&long("1")).starts_with("їжак-їжак-"));
    assert_ne!(key(&long("1")), key(&long("2")));
}
