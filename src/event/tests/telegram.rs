//! Updates of the Telegram Bot API.

use super::*;

/// `/start 900000417` in a private chat.
fn message() -> Value {
    json!({
        "update_id": 880_000_001,
        "message": {
            "message_id": 481,
            "from": {"id": 700_000_101, "is_bot": false, "first_name": "Олена", "username": "olena_vyhadana"},
            "chat": {"id": 700_000_101, "first_name": "Олена", "type": "private"},
            "date": 1_781_079_045,
            "text": "/start 900000417"
        }
    })
}

fn update(kind: &str, part: Value) -> Value {
    let mut update = json!({"update_id": 880_000_001});
    update[kind] = part;
    update
}

fn edited(pointer: &str, value: Value) -> Value {
    let mut update = message();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    update.pointer_mut(parent).unwrap()[name] = value;
    update
}

/// A message with a contact, and whatever else is in it.
fn contact(contact: &Value, more: Value) -> Value {
    let mut update = edited("/message/contact", contact.clone());
    update["message"].as_object_mut().unwrap().remove("text");
    if let Value::Object(more) = more {
        update["message"].as_object_mut().unwrap().extend(more);
    }
    update
}

fn member(status: &str) -> Value {
    let from = json!({"id": 700_000_101, "first_name": "Олена"});
    let chat = json!({"id": 700_000_101, "type": "private"});
    update(
        "my_chat_member",
        json!({"chat": chat, "from": from, "date": 1, "new_chat_member": {"status": status, "user": {"id": 6}}}),
    )
}

fn codes(event: &Event) -> Vec<&str> {
    event.flaws.iter().map(|flaw| flaw.code.as_str()).collect()
}

#[test]
fn a_start_by_a_link() {
    let event = one("telegram", &message());
    let chat = event.chat.unwrap();
    assert_eq!(
        (chat.channel.as_str(), chat.bot.as_str(), chat.id.as_str()),
        ("telegram", "test", "700000101")
    );
    assert_eq!((event.key.value.as_str(), event.key.lifetime), ("update:880000001", KeyLifetime::Retention));
    assert_eq!(event.payload["start"], "900000417");
    assert_eq!(
        (&event.payload["kind"], &event.payload["from"]["first_name"]),
        (&json!("message"), &json!("Олена"))
    );
    assert_eq!((event.phone, event.chat_state, event.flaws), (None, Some(ChatState::Active), vec![]));
    assert_eq!(event.payload["message"], message()["message"], "Telegram's own keys stay as they are");
}

#[test]
fn one_update_is_one_event_whatever_else_it_says() {
    let first = one("telegram", &message()).key;
    assert_eq!(one("telegram", &edited("/message/text", json!("hello"))).key, first);
    assert_ne!(one("telegram", &edited("/update_id", json!(880_000_002))).key, first);
}

#[test]
fn only_a_message_carries_a_start_parameter() {
    let start = |update: &Value| one("telegram", update).payload.get("start").cloned();
    assert_eq!(start(&edited("/message/text", json!("/start@polynia_shop_bot abc"))), Some(json!("abc")));
    assert_eq!(start(&edited("/message/text", json!("/start"))), None);
    assert_eq!(start(&edited("/message/text", json!({"a": 1}))), None);
    // Who edits an old message has opened no link; and a key that only looks like ours is none.
    let mut old = update("edited_message", message()["message"].clone());
    assert_eq!(start(&old), None);
    old["start"] = json!("forged");
    old["own_phone"] = json!("+380671234567");
    let event = one("telegram", &old);
    assert_eq!((event.payload.get("start"), event.payload.get("own_phone")), (None, None));
}

#[test]
fn a_shared_contact_is_proven_only_when_it_is_the_writers_own() {
    let own = json!({"phone_number": "380670000001", "first_name": "Олена", "user_id": 700_000_101});
    let check = |update: Value, phone: Option<&str>, flaws: &[&str]| {
        let event = one("telegram", &update);
        assert_eq!(event.phone.as_deref(), phone, "{update}");
        assert_eq!(event.payload.get("own_phone").and_then(Value::as_str), phone, "{update}");
        assert_eq!(codes(&event), flaws, "{update}");
    };
    let with = |key: &str, value: Value| {
        let mut contact = own.clone();
        contact[key] = value;
        contact
    };
    check(contact(&own, json!({})), Some("+380670000001"), &[]);
    check(contact(&with("phone_number", json!("+380670000001")), json!({})), Some("+380670000001"), &[]);
    check(contact(&with("user_id", json!(700_000_102)), json!({})), None, &["not_own_contact"]);
    check(contact(&with("user_id", json!(null)), json!({})), None, &["not_own_contact"]);
    check(contact(&with("user_id", json!("700000101")), json!({})), None, &["not_own_contact"]);
    check(contact(&own, json!({"from": null})), None, &["not_own_contact"]);
    check(contact(&with("user_id", json!(null)), json!({"from": null})), None, &["not_own_contact"]);
    check(contact(&own, json!({"via_bot": {"id": 5}})), None, &["relayed_contact"]);
    check(contact(&own, json!({"forward_origin": {"type": "user"}})), None, &["relayed_contact"]);
    check(contact(&own, json!({"forward_date": 1})), None, &["relayed_contact"]);
    check(contact(&with("phone_number", json!("067 000")), json!({})), None, &["not_international"]);
    check(contact(&with("phone_number", json!("")), json!({})), None, &[]);
    check(contact(&json!("text"), json!({})), None, &[]);
    // Editing a message proves nothing anew.
    check(update("edited_message", contact(&own, json!({}))["message"].clone()), None, &[]);
}

#[test]
fn who_blocks_the_bot_cannot_be_written_to() {
    let state = |update: &Value| one("telegram", update).chat_state;
    assert_eq!(
        state(&member("kicked")),
        Some(ChatState::Blocked { why: "the person blocked the bot".to_owned() })
    );
    assert_eq!(state(&member("member")), Some(ChatState::Active));
    assert_eq!(state(&member("restricted")), None);
    let pressed =
        json!({"id": "1", "from": {"id": 700_000_101}, "data": "buy", "message": message()["message"]});
    assert_eq!(state(&update("callback_query", pressed)), Some(ChatState::Active));
    assert_eq!(state(&update("edited_message", message()["message"].clone())), None);
    assert_eq!(one("telegram", &member("kicked")).chat.unwrap().id, "700000101");
}

#[test]
fn where_many_write_nobody_is_met() {
    for kind in ["group", "supergroup", "channel"] {
        let mut update = edited("/message/chat/id", json!(-1_001_234_567_890_i64));
        update["message"]["chat"]["type"] = json!(kind);
        let event = one("telegram", &update);
        assert_eq!(
            (event.chat.is_none(), event.chat_state.is_none(), codes(&event)),
            (true, true, vec!["group"])
        );
    }
    // The bot is thrown out of a group: no human has blocked it.
    let mut out = member("kicked");
    out["my_chat_member"]["chat"] = json!({"id": -5, "type": "group"});
    assert_eq!(one("telegram", &out).chat_state, None);
    for kind in ["channel_post", "business_message", "inline_query", "poll", "chat_member", "something new"] {
        let event = one("telegram", &update(kind, message()["message"].clone()));
        assert_eq!((event.chat, event.chat_state, event.phone), (None, None, None), "{kind}");
        assert_eq!(event.payload["kind"], kind);
    }
}

#[test]
fn what_is_no_update_is_refused_and_odd_updates_are_not() {
    for body in
        ["{}", "[]", "5", "null", r#"{"update_id":"1"}"#, r#"{"update_id":-1}"#, r#"[{"update_id":1}]"#]
    {
        refused("telegram", "application/json", body, "no update");
    }
    for odd in [
        json!({"update_id": 1}),
        json!({"update_id": 1, "message": null}),
        json!({"update_id": 1, "message": "text"}),
        json!({"update_id": 1, "message": {}}),
        json!({"update_id": 1, "message": {"chat": 5, "from": [], "contact": 7, "text": 8}}),
        json!({"update_id": 1, "message": {"chat": {"id": "700000101", "type": "private"}}}),
        json!({"update_id": 1, "callback_query": {"message": null}}),
        json!({"update_id": 1, "my_chat_member": {"new_chat_member": "kicked"}}),
    ] {
        let event = one("telegram", &odd);
        assert_eq!(
            (event.chat, event.chat_state, event.phone, event.flaws),
            (None, None, None, vec![]),
            "{odd}"
        );
    }
    // Two parts in one update do not exist; the first counts.
    let mut both = message();
    both["my_chat_member"] = member("kicked")["my_chat_member"].clone();
    assert_eq!(one("telegram", &both).chat_state, Some(ChatState::Active));
}
